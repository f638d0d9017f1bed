//! Rate limit per client: a token bucket for each, in the memory of this process. Instances do not
//! know of each other; only the gateway's own throttling limits them all.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv6Addr},
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use crate::api::{Api, Error};

/// Most clients remembered. A forgotten client begins again with a full bucket.
const MAX_CLIENTS: usize = 10_000;

/// Counts a call for its user, else for its address; a client without either is not limited.
///
/// # Errors
/// There have been too many.
pub(in crate::api) fn count(
    api: &Api,
    user: Option<&str>,
    address: Option<IpAddr>,
) -> Result<(), Error> {
    let Some(limiter) = &api.limiter else {
        return Ok(());
    };
    let client = match (user, address) {
        (Some(id), _) => format!("user {id}"),
        (None, Some(address)) => format!("address {}", network(address)),
        (None, None) => return Ok(()),
    };
    let taken = limiter.take(&client, Instant::now());
    taken.map_err(|after| Error::TooManyRequests { after })
}

/// The client that uploads from an address count for. An IPv6 client has the whole /64 of it to
/// choose from (RFC 4291, 2.5.4), so that is one client.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX)).into()
        }
        address => address,
    }
}

/// Buckets of uploads, refilled as time passes.
#[derive(Debug)]
pub(in crate::api) struct Limiter {
    /// Uploads per minute, and most at once.
    per_minute: f64,
    clients: Mutex<HashMap<String, Bucket>>,
}

#[derive(Debug)]
struct Bucket {
    left: f64,
    at: Instant,
}

impl Limiter {
    pub(in crate::api) fn new(per_minute: u32) -> Self {
        Self {
            per_minute: per_minute.into(),
            clients: Mutex::default(),
        }
    }

    /// Takes one upload from `client`'s bucket; `Err` is the wait until there is one.
    fn take(&self, client: &str, now: Instant) -> Result<(), Duration> {
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        if clients.len() >= MAX_CLIENTS && !clients.contains_key(client) {
            self.forget(&mut clients, now);
        }
        let full = Bucket {
            left: self.per_minute,
            at: now,
        };
        let bucket = clients.entry(client.to_owned()).or_insert(full);
        bucket.left = self.refilled(bucket, now);
        bucket.at = now;
        if bucket.left < 1.0 {
            let missing = 1.0 - bucket.left;
            return Err(Duration::from_secs_f64(missing * 60.0 / self.per_minute));
        }
        bucket.left -= 1.0;
        Ok(())
    }

    fn refilled(&self, bucket: &Bucket, now: Instant) -> f64 {
        let passed = now.saturating_duration_since(bucket.at).as_secs_f64();
        (bucket.left + passed * self.per_minute / 60.0).min(self.per_minute)
    }

    /// Forgets the clients with a full bucket and, if there is none, all.
    fn forget(&self, clients: &mut HashMap<String, Bucket>, now: Instant) {
        clients.retain(|_, bucket| self.refilled(bucket, now) < self.per_minute);
        if clients.len() >= MAX_CLIENTS {
            clients.clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_has_its_minute_at_once_and_then_its_share_of_time() {
        let (limiter, start) = (Limiter::new(60), Instant::now());
        for _ in 0..60 {
            assert_eq!(limiter.take("a", start), Ok(()));
        }
        assert_eq!(limiter.take("a", start), Err(Duration::from_secs(1)));
        assert_eq!(limiter.take("b", start), Ok(()));
        assert_eq!(limiter.take("a", start + Duration::from_secs(1)), Ok(()));
        assert!(limiter.take("a", start + Duration::from_secs(1)).is_err());
        let much_later = start + Duration::from_secs(3600);
        let taken = (0..100).filter(|_| limiter.take("a", much_later).is_ok());
        assert_eq!(taken.count(), 60);
    }

    #[test]
    fn memory_is_bounded_however_many_clients_come() {
        let (limiter, now) = (Limiter::new(1), Instant::now());
        for client in 0..3 * MAX_CLIENTS {
            let _ = limiter.take(&client.to_string(), now);
        }
        assert!(limiter.clients.lock().expect("whole").len() <= MAX_CLIENTS);
    }
}
