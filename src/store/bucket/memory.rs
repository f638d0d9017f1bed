//! Memory budget for the parts of all uploads. A part claims its share once, and never needs another, so
//! waiting parts cannot deadlock. While some wait, the upload whose client has been idle longest is ended.

use std::{
    sync::{
        Arc, Mutex, PoisonError, Weak,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::{
    sync::{Notify, OwnedSemaphorePermit, Semaphore},
    time::Instant,
};

use crate::store::Error;

/// Unit of a share, in bytes.
const UNIT: usize = 64 * 1024;
/// Longest time a client may be idle while others wait for memory.
pub(in crate::store) const IDLE_GRACE: Duration = Duration::from_secs(5);
/// Interval at which a waiting part checks for idle clients.
const CHECK_INTERVAL: Duration = Duration::from_secs(1);

/// Memory budget for all parts.
#[derive(Debug)]
pub(super) struct Memory {
    units: Arc<Semaphore>,
    /// Total, in units.
    total: usize,
    filling: Mutex<Vec<Weak<Filling>>>,
}

/// Share of a part, released when dropped.
#[derive(Debug)]
pub(super) struct Share {
    permit: OwnedSemaphorePermit,
    filling: Arc<Filling>,
}

/// A part with a share, while it is filled.
#[derive(Debug)]
struct Filling {
    start: Instant,
    /// When its client became idle, in milliseconds after `start`; [`ACTIVE`] while no data of it is
    /// awaited.
    idle_since: AtomicU64,
    has_ended: AtomicBool,
    end: Notify,
}

const ACTIVE: u64 = u64::MAX;

impl Memory {
    pub(super) fn new(bytes: usize) -> Self {
        let total = (bytes / UNIT).max(1);
        Self {
            units: Arc::new(Semaphore::new(total)),
            total,
            filling: Mutex::default(),
        }
    }

    /// Waits until there is room for a part of `bytes`.
    pub(super) async fn claim(&self, bytes: usize) -> Result<Share, Error> {
        let units = bytes.div_ceil(UNIT).min(self.total);
        let units = u32::try_from(units).unwrap_or(u32::MAX);
        let mut permit = std::pin::pin!(Arc::clone(&self.units).acquire_many_owned(units));
        let permit = loop {
            tokio::select! {
                biased;
                permit = &mut permit => break permit,
                () = tokio::time::sleep(CHECK_INTERVAL) => self.end_longest_idle(),
            }
        };
        let filling = Arc::new(Filling {
            start: Instant::now(),
            idle_since: AtomicU64::new(ACTIVE),
            has_ended: AtomicBool::new(false),
            end: Notify::new(),
        });
        let mut all = self.filling.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|filling| filling.strong_count() > 0);
        all.push(Arc::downgrade(&filling));
        Ok(Share {
            permit: permit.map_err(|_| Error::Interrupted)?,
            filling,
        })
    }

    /// Ends the upload whose client has been idle longest, unless one ended earlier has not released its share.
    fn end_longest_idle(&self) {
        let all = self.filling.lock().unwrap_or_else(PoisonError::into_inner);
        let filling: Vec<_> = all.iter().filter_map(Weak::upgrade).collect();
        if filling.iter().any(|filling| filling.has_ended()) {
            return;
        }
        let idle = filling
            .iter()
            .max_by_key(|filling| filling.idle_for())
            .filter(|filling| filling.idle_for() >= IDLE_GRACE);
        if let Some(filling) = idle {
            filling.has_ended.store(true, Ordering::Relaxed);
            filling.end.notify_one();
        }
    }
}

impl Filling {
    fn has_ended(&self) -> bool {
        self.has_ended.load(Ordering::Relaxed)
    }

    fn idle_for(&self) -> Duration {
        match self.idle_since.load(Ordering::Relaxed) {
            ACTIVE => Duration::ZERO,
            since => (self.start.elapsed()).saturating_sub(Duration::from_millis(since)),
        }
    }
}

impl Share {
    /// Resolves when other uploads need the share; run while waiting for the client.
    pub(super) async fn wanted_back(&self) {
        struct Idle<'f>(&'f AtomicU64);
        impl Drop for Idle<'_> {
            fn drop(&mut self) {
                self.0.store(ACTIVE, Ordering::Relaxed);
            }
        }
        let filling = &self.filling;
        let since = filling.start.elapsed().as_millis();
        let since = u64::try_from(since).unwrap_or(ACTIVE - 1);
        filling.idle_since.store(since, Ordering::Relaxed);
        let _idle = Idle(&filling.idle_since);
        filling.end.notified().await;
    }

    /// Converts the share of a full part: from now on its client is not waited for.
    pub(super) fn full(self) -> OwnedSemaphorePermit {
        self.permit
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    const MIB: usize = 1024 * 1024;

    async fn claim(memory: &Memory, bytes: usize) -> Share {
        memory.claim(bytes).await.expect("a share")
    }

    #[tokio::test]
    async fn shares_are_as_large_as_what_they_are_for() {
        let memory = Memory::new(16 * MIB);
        let _large = claim(&memory, 8 * MIB).await;
        let small: Vec<_> =
            futures_util::future::join_all((0..7).map(|_| claim(&memory, MIB + 1))).await;
        assert_eq!(small.len(), 7);
        assert!(memory.claim(MIB).now_or_never().is_none());
        drop(small);
        let _all_the_rest = claim(&memory, 8 * MIB).await;
        assert!(memory.claim(1).now_or_never().is_none());
    }

    #[tokio::test]
    async fn a_part_larger_than_the_memory_gets_all_of_it() {
        let memory = Memory::new(MIB);
        let share = claim(&memory, 8 * MIB).await;
        assert!(memory.claim(1).now_or_never().is_none());
        drop(share.full());
        let _next = claim(&memory, 1).await;
    }

    #[tokio::test(start_paused = true)]
    async fn the_client_that_is_silent_longest_makes_room_for_others() {
        let memory = Memory::new(2 * MIB);
        let [first, second] = [claim(&memory, MIB).await, claim(&memory, MIB).await];
        let start = Instant::now();
        let mut longest = Box::pin(async move {
            second.wanted_back().await;
            assert!(start.elapsed() >= IDLE_GRACE);
            // The other one is not ended while this one ends.
            tokio::time::sleep(10 * IDLE_GRACE).await;
        });
        assert!((&mut longest).now_or_never().is_none());
        tokio::time::advance(CHECK_INTERVAL).await;
        let mut shorter = Box::pin(first.wanted_back());
        assert!((&mut shorter).now_or_never().is_none());

        let (share, ()) = tokio::join!(memory.claim(MIB), longest);
        drop(share.expect("a share"));
        assert!(shorter.now_or_never().is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_sends_is_left_alone() {
        let memory = Memory::new(MIB);
        let share = claim(&memory, MIB).await;
        let sending = async {
            for _ in 0..10 {
                let chunk = tokio::time::sleep(IDLE_GRACE / 2);
                tokio::select! {
                    biased;
                    () = chunk => {}
                    () = share.wanted_back() => panic!("it was not idle"),
                }
            }
        };
        tokio::select! {
            () = sending => {}
            _ = memory.claim(1) => panic!("there was no room"),
        }
    }
}
