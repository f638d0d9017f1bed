//! The SDK's *standard* retry mode ("Retry behavior" of the AWS SDKs and Tools Reference Guide) for calls
//! without the SDK: three attempts, exponential backoff with full jitter, a token bucket shared by all
//! calls, and correction of clock skew.

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, AtomicU32, Ordering},
    },
    time::{Duration, SystemTime},
};

use axum::http::StatusCode;

use crate::store::Error;

/// Most attempts of one call, including the first.
pub(super) const MAX_ATTEMPTS: u32 = 3;
/// Longest backoff before the first retry; each further one may be twice as long.
const FIRST_BACKOFF: Duration = Duration::from_secs(1);
/// Longest backoff, even if the bucket asks for more.
const MAX_BACKOFF: Duration = Duration::from_secs(20);

/// Error codes of throttling.
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
/// Error codes of transient errors.
const TRANSIENT: [&str; 3] = ["RequestTimeout", "RequestTimeoutException", "InternalError"];
/// Error codes of clock skew, among other causes.
const SKEWED: [&str; 5] = [
    "RequestTimeTooSkewed",
    "SignatureDoesNotMatch",
    "InvalidSignatureException",
    "AuthFailure",
    "AccessDeniedException",
];
/// Largest clock skew that is not taken for the cause of a refused signature.
const MAX_SKEW: Duration = Duration::from_secs(4 * 60);

/// Counts the attempts of one call.
#[derive(Clone, Debug, Default)]
pub(super) struct Attempts(Arc<AtomicU32>);

impl Attempts {
    /// Counts an attempt about to be sent.
    pub(super) fn begin(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn made(&self) -> u32 {
        self.0.load(Ordering::Relaxed)
    }

    /// Whether an attempt without a response may have succeeded. A call that was never sent, or was
    /// refused at its first attempt, has no such attempt.
    pub(super) fn outcome_is_unknown(&self, error: Option<&Error>) -> bool {
        match (self.made(), error) {
            (0, _) | (1, None | Some(Error::Refused { .. })) => false,
            (_, _) => true,
        }
    }
}

/// A response with a 3xx, 4xx or 5xx status.
#[derive(Debug)]
pub(super) struct Refusal {
    pub(super) status: StatusCode,
    pub(super) code: String,
    pub(super) request_id: String,
    pub(super) message: String,
    /// Backoff requested by the response (`x-amz-retry-after`).
    pub(super) retry_after: Option<Duration>,
    /// Clock skew of the signature.
    pub(super) skew: Duration,
}

/// Cost in tokens of a retry after a refusal, or without one after a missing, incomplete or late response;
/// `None` if the error is not retryable.
fn cost(refusal: Option<&Refusal>) -> Option<u32> {
    const THROTTLED_OR_REFUSED: u32 = 5;
    const LOST: u32 = 10;
    let Some(refusal) = refusal else {
        return Some(LOST);
    };
    let (status, code) = (refusal.status, &*refusal.code);
    if status == StatusCode::TOO_MANY_REQUESTS || THROTTLED.contains(&code) {
        Some(THROTTLED_OR_REFUSED)
    } else if TRANSIENT.contains(&code) || matches!(status.as_u16(), 500 | 502..=504) {
        Some(LOST)
    } else if SKEWED.contains(&code) && refusal.skew > MAX_SKEW {
        Some(THROTTLED_OR_REFUSED)
    } else {
        None
    }
}

/// Returns the wait before retry number `retry`, counted from 1; `jitter` is between 0 and 1.
fn backoff(asked: Option<Duration>, retry: u32, jitter: f64) -> Duration {
    let computed = || FIRST_BACKOFF.saturating_mul(1 << (retry - 1).min(10));
    match asked {
        Some(asked) => asked.min(MAX_BACKOFF),
        None => computed().min(MAX_BACKOFF).mul_f64(jitter),
    }
}

/// Retry token bucket of all calls: it limits retries while a bucket fails. Successful calls return
/// tokens.
#[derive(Debug)]
pub(super) struct RetryTokens(AtomicU32);

/// Tokens taken for the last retry of a call.
#[derive(Debug, Default)]
pub(super) struct Taken(u32);

impl Default for RetryTokens {
    fn default() -> Self {
        Self(AtomicU32::new(Self::FULL))
    }
}

impl RetryTokens {
    const FULL: u32 = 500;

    /// Takes tokens for a retry and returns its backoff; `None` if the call must not be retried.
    pub(super) fn take(
        &self,
        refusal: Option<&Refusal>,
        attempts_made: u32,
        taken: &mut Taken,
    ) -> Option<Duration> {
        if attempts_made >= MAX_ATTEMPTS {
            return None;
        }
        let cost = cost(refusal)?;
        let take = |left: u32| left.checked_sub(cost);
        let (set, fetch) = (Ordering::Relaxed, Ordering::Relaxed);
        self.0.fetch_update(set, fetch, take).ok()?;
        *taken = Taken(cost);
        let asked = refusal.and_then(|refusal| refusal.retry_after);
        Some(backoff(asked, attempts_made.max(1), fastrand::f64()))
    }

    /// Returns the tokens of a successful call's last retry, or one if it had none.
    pub(super) fn release(&self, Taken(taken): Taken) {
        if self.0.load(Ordering::Relaxed) == Self::FULL {
            return;
        }
        let give = |left: u32| Some((left + taken.max(1)).min(Self::FULL));
        let (set, fetch) = (Ordering::Relaxed, Ordering::Relaxed);
        let _ = self.0.fetch_update(set, fetch, give);
    }
}

/// Local clock, corrected by the `Date` of rejected calls.
#[derive(Debug, Default)]
pub(super) struct SkewedClock {
    /// Offset of the bucket's clock, in milliseconds.
    offset: AtomicI64,
}

impl SkewedClock {
    pub(super) fn now(&self) -> SystemTime {
        self.corrected(SystemTime::now())
    }

    fn corrected(&self, at: SystemTime) -> SystemTime {
        let offset = self.offset.load(Ordering::Relaxed);
        let by = Duration::from_millis(offset.unsigned_abs());
        let corrected = if offset < 0 {
            at.checked_sub(by)
        } else {
            at.checked_add(by)
        };
        corrected.unwrap_or(at)
    }

    /// Compares the `Date` of a response with the time its call was sent, and corrects the clock if they
    /// differ too much. Returns the skew.
    pub(super) fn observe(&self, server_date: SystemTime, sent_at: SystemTime) -> Duration {
        let skew = millis_between(self.corrected(sent_at), server_date);
        if skew.unsigned_abs() > MAX_SKEW.as_millis() as u64 {
            let offset = millis_between(sent_at, server_date);
            self.offset.store(offset, Ordering::Relaxed);
        }
        Duration::from_millis(skew.unsigned_abs())
    }
}

/// Milliseconds from one time to another, negative if it is earlier.
fn millis_between(from: SystemTime, to: SystemTime) -> i64 {
    match to.duration_since(from) {
        Ok(later) => later.as_millis() as i64,
        Err(earlier) => -(earlier.duration().as_millis() as i64),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(status: u16, code: &str, skew: Duration) -> Refusal {
        Refusal {
            status: StatusCode::from_u16(status).expect("a status"),
            code: code.to_owned(),
            request_id: String::new(),
            message: String::new(),
            retry_after: None,
            skew,
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
            let refusal = refusal(status, code, Duration::ZERO);
            assert_eq!(cost(Some(&refusal)).is_some(), again, "{status} {code}");
        }
        assert!(cost(None).is_some());
    }

    #[test]
    fn a_refused_signature_is_tried_again_only_where_the_clock_was_off() {
        for (minutes, again) in [(0, false), (4, false), (5, true), (60, true)] {
            let skew = Duration::from_secs(minutes * 60);
            let refusal = refusal(403, "RequestTimeTooSkewed", skew);
            assert_eq!(cost(Some(&refusal)).is_some(), again, "{minutes} minutes");
        }
    }

    #[test]
    fn backoff_is_exponential_with_full_jitter() {
        for (retry, jitter, millis) in [
            (1, 1.0, 1_000),
            (1, 0.25, 250),
            (2, 1.0, 2_000),
            (3, 0.5, 2_000),
            (9, 1.0, 20_000),
            (40, 1.0, 20_000),
        ] {
            let backoff = backoff(None, retry, jitter);
            assert_eq!(backoff, Duration::from_millis(millis));
        }
    }

    #[test]
    fn a_bucket_may_ask_for_a_backoff_but_not_for_any() {
        for (asked, given) in [(0, 0), (300, 300), (90_000, 20_000)] {
            let asked = Some(Duration::from_millis(asked));
            assert_eq!(backoff(asked, 1, 0.5), Duration::from_millis(given));
        }
    }

    #[test]
    fn a_call_is_attempted_three_times() {
        let tokens = RetryTokens::default();
        let mut taken = Taken::default();
        for (made, again) in [(1, true), (2, true), (3, false)] {
            let backoff = tokens.take(None, made, &mut taken);
            assert_eq!(backoff.is_some(), again, "{made} attempts");
        }
    }

    #[test]
    fn a_bucket_in_trouble_is_left_alone_until_calls_go_well() {
        let tokens = RetryTokens::default();
        let again = || {
            let mut taken = Taken::default();
            tokens.take(None, 1, &mut taken).map(|_| taken)
        };
        let taken: Vec<_> = std::iter::from_fn(again).collect();
        assert_eq!(taken.len(), 50);
        tokens.release(taken.into_iter().next_back().expect("a retry"));
        assert!(again().is_some());
        assert!(again().is_none());
        for _ in 0..10 {
            tokens.release(Taken::default());
        }
        assert!(again().is_some());
    }

    #[test]
    fn retry_tokens_never_grows_beyond_what_it_was() {
        let tokens = RetryTokens::default();
        tokens.release(Taken(10));
        assert_eq!(tokens.0.into_inner(), RetryTokens::FULL);
    }

    #[test]
    fn a_skewed_clock_is_corrected_and_so_is_one_that_was_set_right() {
        const HOUR: Duration = Duration::from_secs(3600);
        let clock = SkewedClock::default();
        let ours = SystemTime::UNIX_EPOCH + 1_000_000 * HOUR;
        for (theirs, off, then) in [
            (ours + MAX_SKEW, MAX_SKEW, ours),
            (ours + HOUR, HOUR, ours + HOUR),
            (ours + HOUR + MAX_SKEW, MAX_SKEW, ours + HOUR),
            (ours, HOUR, ours),
            (ours - HOUR, HOUR, ours - HOUR),
        ] {
            assert_eq!(clock.observe(theirs, ours), off);
            assert_eq!(clock.corrected(ours), then);
        }
    }
}
