//! When a failed attempt is made again: the SDK's standard mode ("Retry behavior" of the AWS SDKs
//! and Tools Reference Guide), for the calls that do not go through the SDK.

use std::{
    sync::atomic::{AtomicI64, AtomicU32, Ordering},
    time::{Duration, SystemTime},
};

use axum::http::StatusCode;

/// Attempts of one call, the first one included.
pub(super) const MAX_ATTEMPTS: u32 = 3;
/// Longest pause before the first repetition; each further one may be twice as long.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// Longest pause, whoever asks for it.
const MAX_PAUSE: Duration = Duration::from_secs(20);

/// The bucket is asked for too much.
const THROTTLED: [&str; 10] = [
    "SlowDown",
    "Throttling",
    "ThrottlingException",
    "ThrottledException",
    "RequestThrottled",
    "RequestThrottledException",
    "RequestLimitExceeded",
    "BandwidthLimitExceeded",
    "TooManyRequestsException",
    "PriorRequestNotComplete",
];
/// It may go better at once.
const TRANSIENT: [&str; 3] = ["RequestTimeout", "RequestTimeoutException", "InternalError"];
/// What clouds say to a signature with a time that is too far from theirs, among other reasons.
const SKEWED: [&str; 5] = [
    "RequestTimeTooSkewed",
    "SignatureDoesNotMatch",
    "InvalidSignatureException",
    "AuthFailure",
    "AccessDeniedException",
];
/// Clocks that differ by less are not why a signature was refused.
const SKEW: Duration = Duration::from_secs(4 * 60);

/// An attempt that failed, as far as it matters here.
#[derive(Clone, Copy, Debug)]
pub(super) enum Failed<'f> {
    /// No answer, no whole one, or none in time.
    Unanswered,
    /// Refused or broken.
    Answered {
        status: StatusCode,
        code: &'f str,
        /// What the answer asks for (`x-amz-retry-after`).
        pause: Option<Duration>,
        /// How far the clock was off that the signature had its time from.
        skew: Duration,
    },
}

impl Failed<'_> {
    /// What a repetition costs of the quota; `None` when there is to be none.
    fn cost(self) -> Option<u32> {
        const THROTTLED_OR_REFUSED: u32 = 5;
        const LOST: u32 = 10;
        let Self::Answered {
            status, code, skew, ..
        } = self
        else {
            return Some(LOST);
        };
        if status == StatusCode::TOO_MANY_REQUESTS || THROTTLED.contains(&code) {
            Some(THROTTLED_OR_REFUSED)
        } else if TRANSIENT.contains(&code) || matches!(status.as_u16(), 500 | 502..=504) {
            Some(LOST)
        } else if SKEWED.contains(&code) && skew > SKEW {
            Some(THROTTLED_OR_REFUSED)
        } else {
            None
        }
    }

    /// How long to wait before repetition number `repetition`, counted from 1.
    fn pause(self, repetition: u32, random: f64) -> Duration {
        match self {
            Self::Answered {
                pause: Some(pause), ..
            } => pause.min(MAX_PAUSE),
            _ => {
                let longest = FIRST_PAUSE.saturating_mul(1 << (repetition - 1).min(10));
                longest.min(MAX_PAUSE).mul_f64(random)
            }
        }
    }
}

/// What all calls together may spend on repetitions, so that a bucket in trouble is not asked three
/// times for everything. One that goes well earns some back.
#[derive(Debug)]
pub(super) struct Quota(AtomicU32);

/// What one call has spent on its last repetition.
#[derive(Debug, Default)]
pub(super) struct Spent(u32);

impl Default for Quota {
    fn default() -> Self {
        Self(AtomicU32::new(Self::FULL))
    }
}

impl Quota {
    const FULL: u32 = 500;

    /// How long to wait before the next attempt; `None` when there is to be none.
    pub(super) fn pause(
        &self,
        failed: Failed<'_>,
        attempts_made: u32,
        spent: &mut Spent,
    ) -> Option<Duration> {
        if attempts_made >= MAX_ATTEMPTS {
            return None;
        }
        let cost = failed.cost()?;
        let take = |left: u32| left.checked_sub(cost);
        let (set, fetch) = (Ordering::Relaxed, Ordering::Relaxed);
        self.0.fetch_update(set, fetch, take).ok()?;
        *spent = Spent(cost);
        Some(failed.pause(attempts_made.max(1), fastrand::f64()))
    }

    /// A call went well: what its last repetition cost comes back, or a little.
    pub(super) fn earn(&self, Spent(spent): Spent) {
        if self.0.load(Ordering::Relaxed) == Self::FULL {
            return;
        }
        let give = |left: u32| Some((left + spent.max(1)).min(Self::FULL));
        let (set, fetch) = (Ordering::Relaxed, Ordering::Relaxed);
        let _ = self.0.fetch_update(set, fetch, give);
    }
}

/// The bucket's time: this machine's, put right by what a refusal taught.
#[derive(Debug, Default)]
pub(super) struct Clock {
    /// How far the bucket's clock is ahead, in milliseconds.
    ahead: AtomicI64,
}

impl Clock {
    pub(super) fn now(&self) -> SystemTime {
        self.put_right(SystemTime::now())
    }

    fn put_right(&self, at: SystemTime) -> SystemTime {
        let ahead = self.ahead.load(Ordering::Relaxed);
        let by = Duration::from_millis(ahead.unsigned_abs());
        let right = if ahead < 0 {
            at.checked_sub(by)
        } else {
            at.checked_add(by)
        };
        right.unwrap_or(at)
    }

    /// Compares with the time the bucket gave, and goes by that from now on if it is far off.
    /// Returns how far.
    pub(super) fn compare(&self, theirs: SystemTime, ours: SystemTime) -> Duration {
        let off = between(self.put_right(ours), theirs);
        if off.unsigned_abs() > SKEW.as_millis() as u64 {
            self.ahead.store(between(ours, theirs), Ordering::Relaxed);
        }
        Duration::from_millis(off.unsigned_abs())
    }
}

/// Milliseconds from one moment to another, less than zero when it is earlier.
fn between(from: SystemTime, to: SystemTime) -> i64 {
    match to.duration_since(from) {
        Ok(later) => later.as_millis() as i64,
        Err(earlier) => -(earlier.duration().as_millis() as i64),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answered(status: u16, code: &str) -> Failed<'_> {
        Failed::Answered {
            status: StatusCode::from_u16(status).expect("a status"),
            code,
            pause: None,
            skew: Duration::ZERO,
        }
    }

    #[test]
    fn what_may_pass_is_tried_again_and_what_is_refused_is_not() {
        for (status, code, again) in [
            (500, "InternalError", true),
            (502, "no code", true),
            (503, "ServiceUnavailable", true),
            (503, "SlowDown", true),
            (504, "no code", true),
            (429, "no code", true),
            (400, "RequestTimeout", true),
            (400, "SlowDown", true),
            (501, "NotImplemented", false),
            (505, "no code", false),
            (400, "InvalidArgument", false),
            (403, "AccessDenied", false),
            (403, "SignatureDoesNotMatch", false),
            (404, "NoSuchBucket", false),
            (409, "FileAlreadyExists", false),
            (412, "PreconditionFailed", false),
            (301, "PermanentRedirect", false),
        ] {
            let failed = answered(status, code);
            assert_eq!(failed.cost().is_some(), again, "{status} {code}");
        }
        assert!(Failed::Unanswered.cost().is_some());
    }

    #[test]
    fn a_refused_signature_is_tried_again_only_where_the_clock_was_off() {
        for (minutes, again) in [(0, false), (4, false), (5, true), (60, true)] {
            let failed = Failed::Answered {
                status: StatusCode::FORBIDDEN,
                code: "RequestTimeTooSkewed",
                pause: None,
                skew: Duration::from_secs(minutes * 60),
            };
            assert_eq!(failed.cost().is_some(), again, "{minutes} minutes");
        }
    }

    #[test]
    fn pauses_double_and_are_drawn_by_lot() {
        for (repetition, random, millis) in [
            (1, 1.0, 1_000),
            (1, 0.25, 250),
            (2, 1.0, 2_000),
            (3, 0.5, 2_000),
            (9, 1.0, 20_000),
            (40, 1.0, 20_000),
        ] {
            let pause = Failed::Unanswered.pause(repetition, random);
            assert_eq!(pause, Duration::from_millis(millis));
        }
    }

    #[test]
    fn a_bucket_may_ask_for_a_pause_but_not_for_any() {
        for (asked, given) in [(0, 0), (300, 300), (90_000, 20_000)] {
            let failed = Failed::Answered {
                status: StatusCode::SERVICE_UNAVAILABLE,
                code: "SlowDown",
                pause: Some(Duration::from_millis(asked)),
                skew: Duration::ZERO,
            };
            assert_eq!(failed.pause(1, 0.5), Duration::from_millis(given));
        }
    }

    #[test]
    fn a_call_is_attempted_three_times() {
        let quota = Quota::default();
        let mut spent = Spent::default();
        for (made, again) in [(1, true), (2, true), (3, false)] {
            let pause = quota.pause(Failed::Unanswered, made, &mut spent);
            assert_eq!(pause.is_some(), again, "{made} attempts");
        }
    }

    #[test]
    fn a_bucket_in_trouble_is_left_alone_until_calls_go_well() {
        let quota = Quota::default();
        let again =
            |quota: &Quota, spent: &mut Spent| quota.pause(Failed::Unanswered, 1, spent).is_some();
        let mut last = Spent::default();
        for call in 0..50 {
            assert!(again(&quota, &mut last), "call {call}");
        }
        assert!(!again(&quota, &mut Spent::default()));
        quota.earn(last);
        assert!(again(&quota, &mut Spent::default()));
        assert!(!again(&quota, &mut Spent::default()));
        for _ in 0..10 {
            quota.earn(Spent::default());
        }
        assert!(again(&quota, &mut Spent::default()));
    }

    #[test]
    fn a_quota_never_grows_beyond_what_it_was() {
        let quota = Quota::default();
        quota.earn(Spent(10));
        assert_eq!(quota.0.into_inner(), Quota::FULL);
    }

    #[test]
    fn a_clock_that_is_off_is_put_right_and_one_that_came_right_again_too() {
        const HOUR: Duration = Duration::from_secs(3600);
        let clock = Clock::default();
        let ours = SystemTime::UNIX_EPOCH + 1_000_000 * HOUR;
        for (theirs, off, then) in [
            (ours + SKEW, SKEW, ours),
            (ours + HOUR, HOUR, ours + HOUR),
            (ours + HOUR + SKEW, SKEW, ours + HOUR),
            (ours, HOUR, ours),
            (ours - HOUR, HOUR, ours - HOUR),
        ] {
            assert_eq!(clock.compare(theirs, ours), off);
            assert_eq!(clock.put_right(ours), then);
        }
    }
}
