//! Credentials providers: static, or fetched from a container credential endpoint and refreshed 5 minutes
//! before they expire, by one request while the others wait for it.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use tokio::sync::Mutex;

use super::{ContainerEndpoint, Credentials};
use crate::store::Error;

/// Remaining lifetime at which credentials are refreshed: requests in flight, and forms signed with
/// them, would arrive too late.
const REFRESH_BEFORE: Duration = Duration::from_secs(5 * 60);

/// Source of credentials; cheap to clone.
#[derive(Clone, Debug)]
pub enum CredentialsProvider {
    /// From the environment or the request.
    Static(Credentials),
    /// From a container credential endpoint.
    Container(Arc<CachedCredentials>),
}

/// The latest credentials of a container credential endpoint.
#[derive(Debug)]
pub struct CachedCredentials {
    endpoint: ContainerEndpoint,
    last: Mutex<Option<Credentials>>,
}

impl From<ContainerEndpoint> for CredentialsProvider {
    fn from(endpoint: ContainerEndpoint) -> Self {
        let last = Mutex::default();
        Self::Container(Arc::new(CachedCredentials { endpoint, last }))
    }
}

impl CredentialsProvider {
    /// Returns valid credentials, refreshed if needed.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when the endpoint returns none and the latest ones have expired.
    pub(in crate::store) async fn current(&self) -> Result<Credentials, Error> {
        match self {
            Self::Static(credentials) => Ok(credentials.clone()),
            Self::Container(cached) => cached.at(SystemTime::now()).await,
        }
    }
}

impl CachedCredentials {
    async fn at(&self, now: SystemTime) -> Result<Credentials, Error> {
        let mut last = self.last.lock().await;
        if let Some(fresh) = last
            .as_ref()
            .filter(|last| !last.is_expired(now + REFRESH_BEFORE))
        {
            return Ok(fresh.clone());
        }
        match (self.endpoint.fetch().await, &*last) {
            (Ok(fetched), _) => Ok(last.insert(fetched).clone()),
            (Err(error), Some(valid)) if !valid.is_expired(now) => {
                tracing::warn!(
                    error = &*error as &dyn std::error::Error,
                    "could not refresh credentials; using the current ones until they expire"
                );
                Ok(valid.clone())
            }
            (Err(source), _) => {
                let detail = "the container credential endpoint returned none";
                Err(Error::unavailable("fetching credentials", detail, source))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use chrono::{DateTime, Utc};

    use super::*;
    use crate::store::{
        Authorization,
        test_server::{TestServer, response},
    };

    /// An endpoint whose n-th credentials have the id `n` and expire after `lives[n]`; it answers 500
    /// afterwards.
    async fn endpoint(lives: &[Duration]) -> (TestServer, CachedCredentials) {
        let responses = lives.iter().enumerate().map(|(number, life)| {
            let end = DateTime::<Utc>::from(SystemTime::now() + *life).to_rfc3339();
            let body = format!(
                r#"{{"AccessKeyId":"{number}","SecretAccessKey":"s","Token":"t","Expiration":"{end}"}}"#
            );
            response(200, "connection: close\r\n", &body)
        });
        let failures = std::iter::repeat_n(response(500, "", ""), 9);
        let server = TestServer::start(responses.chain(failures)).await;
        let endpoint = ContainerEndpoint::from_full_uri(server.url(), Authorization::None);
        let cached = CachedCredentials {
            endpoint: endpoint.expect("loopback"),
            last: Mutex::default(),
        };
        (server, cached)
    }

    const HOUR: Duration = Duration::from_secs(60 * 60);

    async fn id_at(cached: &CachedCredentials, at: SystemTime) -> Option<String> {
        let credentials = cached.at(at).await.ok()?;
        Some(credentials.key_id().to_owned())
    }

    #[tokio::test]
    async fn many_requests_fetch_credentials_once() {
        let (server, cached) = endpoint(&[HOUR]).await;
        let requests = (0..20).map(|_| id_at(&cached, SystemTime::now()));
        for id in futures_util::future::join_all(requests).await {
            assert_eq!(id.as_deref(), Some("0"));
        }
        assert_eq!(server.requests().len(), 1);
    }

    #[tokio::test]
    async fn credentials_are_refreshed_shortly_before_they_expire() {
        let (_server, cached) = endpoint(&[HOUR, 3 * HOUR]).await;
        let now = SystemTime::now();
        for (at, expected) in [
            (now, "0"),
            (now + HOUR - 2 * REFRESH_BEFORE, "0"),
            (now + HOUR - REFRESH_BEFORE / 2, "1"),
            (now + 2 * HOUR, "1"),
        ] {
            assert_eq!(id_at(&cached, at).await.as_deref(), Some(expected));
        }
    }

    #[tokio::test]
    async fn an_endpoint_that_fails_does_not_end_credentials_that_are_still_valid() {
        let (server, cached) = endpoint(&[HOUR]).await;
        let now = SystemTime::now();
        assert_eq!(id_at(&cached, now).await.as_deref(), Some("0"));
        let late = now + HOUR - REFRESH_BEFORE / 2;
        assert_eq!(id_at(&cached, late).await.as_deref(), Some("0"));
        assert_eq!(id_at(&cached, now + 2 * HOUR).await, None);
        assert_eq!(server.requests().len(), 3);
    }
}
