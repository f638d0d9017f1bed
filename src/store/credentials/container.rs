//! Keys from the agent of a container: Lambda managed instances, SnapStart, ECS and EKS hand out
//! keys that rotate at `AWS_CONTAINER_CREDENTIALS_FULL_URI` instead of putting them into the
//! environment (AWS SDKs and Tools Reference Guide, "Container credential provider").

use std::{fmt, net::IpAddr, path::PathBuf, time::Duration};

use axum::http::{
    Request, Uri,
    header::{AUTHORIZATION, HOST},
};
use bytes::Bytes;
use chrono::DateTime;
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use tokio::net::TcpStream;

use super::Credentials;

/// Where ECS's agent answers relative addresses.
const ECS_AGENT: &str = "http://169.254.170.2";
/// Link-local addresses of the agents of ECS and EKS; others must be this machine's own.
const AGENTS: [&str; 3] = ["169.254.170.2", "169.254.170.23", "fd00:ec2::23"];
/// Largest answer, in bytes.
const MAX_ANSWER_BYTES: usize = 64 * 1024;
/// Longest wait for the agent.
const PATIENCE: Duration = Duration::from_secs(2);

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// An agent that hands out keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Agent {
    uri: Uri,
    authorization: Authorization,
}

/// What the agent wants to see before it answers.
#[derive(Clone, PartialEq, Eq)]
pub enum Authorization {
    /// Nothing.
    None,
    /// `AWS_CONTAINER_AUTHORIZATION_TOKEN`
    Token(String),
    /// `AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE`: its content changes, so it is read each time.
    TokenFile(PathBuf),
}

impl fmt::Debug for Authorization {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "none",
            Self::Token(_) => "a token (hidden)",
            Self::TokenFile(_) => "a token file",
        })
    }
}

impl Agent {
    /// The agent at a whole address: plain HTTP on this machine or at an agent's link-local one.
    /// `None` for any other: keys are not fetched from, nor a token sent to, just anywhere.
    pub fn at(full_uri: &str, authorization: Authorization) -> Option<Self> {
        let uri: Uri = full_uri.parse().ok()?;
        let host = uri.host()?.trim_matches(['[', ']']);
        let address = host.parse::<IpAddr>();
        let is_ours = host == "localhost" || address.is_ok_and(|ip| ip.is_loopback());
        let is_http = uri.scheme_str() == Some("http");
        (is_http && (is_ours || AGENTS.contains(&host))).then_some(Self { uri, authorization })
    }

    /// The agent of ECS, asked for a path.
    pub fn ecs(relative_uri: &str, authorization: Authorization) -> Option<Self> {
        Self::at(&format!("{ECS_AGENT}{relative_uri}"), authorization)
    }

    /// Asks for keys; they say when they end.
    ///
    /// # Errors
    /// When there is no answer in time, or one without keys.
    pub(super) async fn fetch(&self) -> Result<Credentials, BoxError> {
        let answer = tokio::time::timeout(PATIENCE, self.ask()).await??;
        let keys: Keys = serde_json::from_slice(&answer)?;
        let expires = DateTime::parse_from_rfc3339(&keys.expiration)?;
        Credentials::new(keys.access_key_id, keys.secret_access_key, keys.token)
            .map(|credentials| credentials.expiring_at(expires.into()))
            .ok_or_else(|| "the container's agent answered with empty keys".into())
    }

    async fn ask(&self) -> Result<Bytes, BoxError> {
        let (host, port) = (self.uri.host().unwrap_or_default(), self.uri.port_u16());
        let stream =
            TcpStream::connect((host.trim_matches(['[', ']']), port.unwrap_or(80))).await?;
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
        let connection = tokio::spawn(connection);
        let answer = sender.send_request(self.request().await?).await?;
        let status = answer.status();
        let body = Limited::new(answer.into_body(), MAX_ANSWER_BYTES)
            .collect()
            .await?
            .to_bytes();
        connection.abort();
        if status.is_success() {
            Ok(body)
        } else {
            Err(format!("the container's agent answered {status}").into())
        }
    }

    async fn request(&self) -> Result<Request<Empty<Bytes>>, BoxError> {
        let path = self.uri.path_and_query().map_or("/", |path| path.as_str());
        let authority = self
            .uri
            .authority()
            .map_or("", |authority| authority.as_str());
        let mut request = Request::get(path).header(HOST, authority);
        match &self.authorization {
            Authorization::None => {}
            Authorization::Token(token) => request = request.header(AUTHORIZATION, token),
            Authorization::TokenFile(path) => {
                let token = tokio::fs::read_to_string(path).await?;
                request = request.header(AUTHORIZATION, token.trim());
            }
        }
        Ok(request.body(Empty::new())?)
    }
}

/// The agent's answer. Its `Debug` would show secrets, so it has none.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Keys {
    access_key_id: String,
    secret_access_key: String,
    token: Option<String>,
    expiration: String,
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    #[test]
    fn keys_come_from_this_machine_or_an_agent_only() {
        for (uri, expected) in [
            ("http://127.0.0.1:9001/creds", true),
            ("http://localhost/creds", true),
            ("http://[::1]:80/x", true),
            ("http://169.254.170.2/v2/x", true),
            ("http://169.254.170.23/v1/credentials", true),
            ("http://[fd00:ec2::23]/v1/credentials", true),
            ("http://169.254.169.254/latest", false),
            ("http://10.0.0.1/creds", false),
            ("http://127.0.0.1.example.com/", false),
            ("https://127.0.0.1/creds", false),
            ("/creds", false),
        ] {
            assert_eq!(
                Agent::at(uri, Authorization::None).is_some(),
                expected,
                "{uri}"
            );
        }
        assert!(Agent::ecs("/v2/credentials/x", Authorization::None).is_some());
        assert!(Agent::ecs(".evil.example/x", Authorization::None).is_none());
    }

    #[test]
    fn debug_shows_no_token() {
        let agent = Agent::at("http://localhost/", Authorization::Token("t0ken".into()));
        assert!(!format!("{agent:?}").contains("t0ken"));
    }

    /// Answers one request with `answer`; returns what was asked.
    async fn agent_that_answers(answer: &'static str) -> (String, tokio::task::JoinHandle<String>) {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
            .await
            .expect("a port");
        let uri = format!(
            "http://{}/creds?x=1",
            listener.local_addr().expect("an address")
        );
        let asked = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.expect("a connection");
            let mut request = vec![0; 4096];
            let len = stream.read(&mut request).await.expect("a request");
            stream.write_all(answer.as_bytes()).await.expect("sent");
            String::from_utf8_lossy(&request[..len]).into_owned()
        });
        (uri, asked)
    }

    #[tokio::test]
    async fn keys_are_fetched_with_the_token_of_the_file() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(file.path(), "t0ken\n").expect("written");
        let (uri, asked) = agent_that_answers(
            "HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n{\"AccessKeyId\":\"id\",\"SecretAccessKey\":\"secret\",\
             \"Token\":\"session\",\"Expiration\":\"2030-01-01T00:00:00Z\"}",
        )
        .await;
        let agent =
            Agent::at(&uri, Authorization::TokenFile(file.path().into())).expect("an agent");
        let keys = agent.fetch().await.expect("keys");
        assert_eq!(
            (keys.key_id(), keys.session_token()),
            ("id", Some("session"))
        );
        assert!(keys.expires_at().is_some());
        let asked = asked.await.expect("asked").to_ascii_lowercase();
        assert!(asked.starts_with("get /creds?x=1 http/1.1\r\n"), "{asked}");
        assert!(asked.contains("authorization: t0ken\r\n"), "{asked}");
    }

    #[tokio::test]
    async fn an_agent_that_refuses_gives_no_keys() {
        let (uri, _) =
            agent_that_answers("HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\n\r\n").await;
        let agent = Agent::at(&uri, Authorization::None).expect("an agent");
        assert!(agent.fetch().await.is_err());
    }
}
