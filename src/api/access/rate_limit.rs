//! Rate limit: one token bucket per client, in the memory of this process. Instances do not share
//! buckets; only the gateway's throttling limits all of them together.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv6Addr},
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use crate::api::{Api, Error};

/// Most clients remembered. A forgotten client starts again with a full bucket.
const MAX_CLIENTS: usize = 10_000;

/// Counts a request for its user, else for its address; a client without either is not limited.
///
/// # Errors
/// The client's bucket is empty.
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

/// The network that counts as one client: an IPv4 address, or a /64 of IPv6, in which a client chooses
/// its addresses freely (RFC 4291, 2.5.4).
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX)).into()
        }
        address => address,
    }
}

/// Token buckets; one token is one upload.
#[derive(Debug)]
pub(in crate::api) struct Limiter {
    /// Uploads per minute, which is also the capacity of a bucket.
    per_minute: f64,
    clients: Mutex<HashMap<String, Bucket>>,
}

#[derive(Debug)]
struct Bucket {
    tokens: f64,
    /// Time of the last update.
    since: Instant,
}

impl Limiter {
    pub(in crate::api) fn new(per_minute: u32) -> Self {
        Self {
            per_minute: per_minute.into(),
            clients: Mutex::default(),
        }
    }

    /// Takes a token from `client`'s bucket; `Err` is the time until there is one.
    fn take(&self, client: &str, now: Instant) -> Result<(), Duration> {
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        if clients.len() >= MAX_CLIENTS && !clients.contains_key(client) {
            self.forget(&mut clients, now);
        }
        let full = Bucket {
            tokens: self.per_minute,
            since: now,
        };
        let bucket = clients.entry(client.to_owned()).or_insert(full);
        bucket.tokens = self.refilled(bucket, now);
        bucket.since = now;
        if bucket.tokens < 1.0 {
            let missing = 1.0 - bucket.tokens;
            return Err(Duration::from_secs_f64(missing * 60.0 / self.per_minute));
        }
        bucket.tokens -= 1.0;
        Ok(())
    }

    fn refilled(&self, bucket: &Bucket, now: Instant) -> f64 {
        let passed = now.saturating_duration_since(bucket.since).as_secs_f64();
        (bucket.tokens + passed * self.per_minute / 60.0).min(self.per_minute)
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
