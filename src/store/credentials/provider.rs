//! The keys that sign: fixed ones as they are, an agent's fetched anew shortly before they end, by
//! one request while the others wait for it.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use aws_credential_types::provider::{error::CredentialsError, future};
use aws_sdk_s3::config::ProvideCredentials;
use tokio::sync::Mutex;

use crate::store::{Agent, Credentials, Error, bucket::Signer};

/// Keys of an agent are not used in the last minutes of their life: requests on their way would
/// arrive too late, and so would the forms that they sign.
const RESERVE: Duration = Duration::from_secs(5 * 60);

/// Where the keys of a request come from; cheap to clone.
#[derive(Clone, Debug)]
pub(in crate::store) enum Keys {
    /// From the request itself or from the environment.
    Fixed(Credentials),
    /// From a container's agent.
    Rotating(Arc<Rotating>),
}

/// An agent and what it said last.
#[derive(Debug)]
pub(in crate::store) struct Rotating {
    agent: Agent,
    last: Mutex<Option<Credentials>>,
}

impl From<Signer> for Keys {
    fn from(signer: Signer) -> Self {
        match signer {
            Signer::Keys(credentials) => Self::Fixed(credentials),
            Signer::Agent(agent) => Self::Rotating(Arc::new(Rotating {
                agent,
                last: Mutex::default(),
            })),
        }
    }
}

impl Keys {
    /// Whether both stand for the same keys, or the same agent's.
    pub(in crate::store) fn are(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Fixed(one), Self::Fixed(another)) => one == another,
            (Self::Rotating(one), Self::Rotating(another)) => Arc::ptr_eq(one, another),
            (_, _) => false,
        }
    }

    /// The keys that sign now.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when the agent gives none and those it gave before have ended.
    pub(in crate::store) async fn now(&self) -> Result<Credentials, Error> {
        match self {
            Self::Fixed(credentials) => Ok(credentials.clone()),
            Self::Rotating(rotating) => rotating.at(SystemTime::now()).await,
        }
    }
}

impl Rotating {
    async fn at(&self, now: SystemTime) -> Result<Credentials, Error> {
        let mut last = self.last.lock().await;
        if let Some(fresh) = last.as_ref().filter(|last| live_at(last, now + RESERVE)) {
            return Ok(fresh.clone());
        }
        match (self.agent.fetch().await, &*last) {
            (Ok(fetched), _) => Ok(last.insert(fetched).clone()),
            (Err(error), Some(still_good)) if live_at(still_good, now) => {
                tracing::warn!(error = &*error as &dyn std::error::Error, "no new keys yet");
                Ok(still_good.clone())
            }
            (Err(source), _) => Err(Error::Unavailable {
                operation: "fetching keys",
                detail: "the container's agent gave none".to_owned(),
                source,
            }),
        }
    }
}

fn live_at(credentials: &Credentials, at: SystemTime) -> bool {
    credentials.expires_at().is_none_or(|end| at < end)
}

impl ProvideCredentials for Keys {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        future::ProvideCredentials::new(async {
            let keys = self.now().await.map_err(CredentialsError::provider_error)?;
            Ok(aws_sdk_s3::config::Credentials::new(
                keys.key_id(),
                keys.secret(),
                keys.session_token().map(str::to_owned),
                keys.expires_at(),
                "chat-upload",
            ))
        })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use chrono::{DateTime, Utc};
    use tokio::{
        io::{AsyncReadExt as _, AsyncWriteExt as _},
        net::TcpListener,
    };

    use super::*;
    use crate::store::Authorization;

    /// An agent whose n-th keys are called `n` and live for `lives[n]`; later it answers 500.
    async fn agent(lives: impl Into<Vec<Duration>>) -> (Arc<Rotating>, Arc<AtomicU32>) {
        let lives = lives.into();
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let uri = format!("http://{}/", listener.local_addr().expect("an address"));
        let asked = Arc::new(AtomicU32::new(0));
        let counter = Arc::clone(&asked);
        tokio::spawn(async move {
            loop {
                let (mut stream, _) = listener.accept().await.expect("a connection");
                let _ = stream.read(&mut [0; 4096]).await.expect("a request");
                let number = counter.fetch_add(1, Ordering::SeqCst);
                let answer = match lives.get(number as usize) {
                    Some(life) => keys_named(number, *life),
                    None => "HTTP/1.1 500 No\r\ncontent-length: 0\r\n\r\n".to_owned(),
                };
                stream.write_all(answer.as_bytes()).await.expect("sent");
            }
        });
        let agent = Agent::at(&uri, Authorization::None).expect("an agent");
        let last = Mutex::default();
        (Arc::new(Rotating { agent, last }), asked)
    }

    fn keys_named(number: u32, life: Duration) -> String {
        let end = DateTime::<Utc>::from(SystemTime::now() + life).to_rfc3339();
        format!(
            "HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n{{\"AccessKeyId\":\"{number}\",\
             \"SecretAccessKey\":\"s\",\"Token\":\"t\",\"Expiration\":\"{end}\"}}"
        )
    }

    const HOUR: Duration = Duration::from_secs(60 * 60);

    async fn id_at(rotating: &Rotating, at: SystemTime) -> Option<String> {
        let keys = rotating.at(at).await.ok()?;
        Some(keys.key_id().to_owned())
    }

    #[tokio::test]
    async fn keys_of_an_agent_are_fetched_once_by_many_requests() {
        let (rotating, asked) = agent([HOUR]).await;
        let requests = (0..20).map(|_| id_at(&rotating, SystemTime::now()));
        for id in futures_util::future::join_all(requests).await {
            assert_eq!(id.as_deref(), Some("0"));
        }
        assert_eq!(asked.load(Ordering::SeqCst), 1);
    }

    #[tokio::test]
    async fn keys_of_an_agent_are_fetched_anew_shortly_before_they_end() {
        let (rotating, _) = agent([HOUR, 3 * HOUR]).await;
        let now = SystemTime::now();
        for (at, expected) in [
            (now, "0"),
            (now + HOUR - 2 * RESERVE, "0"),
            (now + HOUR - RESERVE / 2, "1"),
            (now + 2 * HOUR, "1"),
        ] {
            assert_eq!(id_at(&rotating, at).await.as_deref(), Some(expected));
        }
    }

    #[tokio::test]
    async fn an_agent_that_fails_does_not_end_keys_that_are_still_good() {
        let (rotating, asked) = agent([HOUR]).await;
        let now = SystemTime::now();
        assert_eq!(id_at(&rotating, now).await.as_deref(), Some("0"));
        let late = now + HOUR - RESERVE / 2;
        assert_eq!(id_at(&rotating, late).await.as_deref(), Some("0"));
        assert_eq!(id_at(&rotating, now + 2 * HOUR).await, None);
        assert_eq!(asked.load(Ordering::SeqCst), 3);
    }
}
