//! The container credential endpoint: Lambda managed instances, ECS and EKS provide temporary
//! credentials at `AWS_CONTAINER_CREDENTIALS_FULL_URI` instead of in environment variables
//! (AWS SDKs and Tools Reference Guide, "Container credential provider").

use std::{fmt, net::IpAddr, path::PathBuf, time::Duration};

use axum::http::{
    Request, Uri,
    header::{AUTHORIZATION, HOST},
    uri::{Authority, PathAndQuery},
};
use bytes::Bytes;
use chrono::DateTime;
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use tokio::net::TcpStream;

use super::Credentials;
use crate::store::BoxError;

/// Base of relative URIs on ECS.
const ECS_ENDPOINT: &str = "http://169.254.170.2";
/// Link-local addresses of the endpoints of ECS and EKS; any other address must be loopback.
const LINK_LOCAL: [&str; 3] = ["169.254.170.2", "169.254.170.23", "fd00:ec2::23"];
/// Largest response accepted, in bytes.
const MAX_RESPONSE_BYTES: usize = 64 * 1024;
/// Longest wait for the response.
const TIMEOUT: Duration = Duration::from_secs(2);

/// An endpoint that provides temporary credentials.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContainerEndpoint {
    uri: Uri,
    authorization: Authorization,
}

/// `Authorization` header of requests to the endpoint.
#[derive(Clone, PartialEq, Eq)]
pub enum Authorization {
    /// No header.
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

impl ContainerEndpoint {
    /// Creates the endpoint of a full URI: plain HTTP to loopback or to a link-local address of ECS or EKS.
    /// `None` for any other URI, so that no token is sent to, nor credentials fetched from, another host.
    pub fn from_full_uri(full_uri: &str, authorization: Authorization) -> Option<Self> {
        let uri: Uri = full_uri.parse().ok()?;
        let host = uri.host()?.trim_matches(['[', ']']);
        let address = host.parse::<IpAddr>();
        let is_local = host == "localhost" || address.is_ok_and(|ip| ip.is_loopback());
        let is_http = uri.scheme_str() == Some("http");
        (is_http && (is_local || LINK_LOCAL.contains(&host))).then_some(Self { uri, authorization })
    }

    /// Creates the endpoint of a path on the host of ECS.
    pub fn from_relative_uri(relative_uri: &str, authorization: Authorization) -> Option<Self> {
        Self::from_full_uri(&format!("{ECS_ENDPOINT}{relative_uri}"), authorization)
    }

    /// Fetches credentials with an expiration.
    ///
    /// # Errors
    /// When no response arrives in time, or one without credentials.
    pub(super) async fn fetch(&self) -> Result<Credentials, BoxError> {
        let response = tokio::time::timeout(TIMEOUT, self.send()).await??;
        let Response {
            access_key_id,
            secret_access_key,
            token,
            expiration,
        } = serde_json::from_slice(&response)?;
        let expires = DateTime::parse_from_rfc3339(&expiration)?;
        Credentials::new(access_key_id, secret_access_key, token)
            .map(|credentials| credentials.expiring_at(expires.into()))
            .ok_or_else(|| "the container credential endpoint sent empty credentials".into())
    }

    async fn send(&self) -> Result<Bytes, BoxError> {
        let (host, port) = (self.uri.host().unwrap_or_default(), self.uri.port_u16());
        let stream =
            TcpStream::connect((host.trim_matches(['[', ']']), port.unwrap_or(80))).await?;
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
        let connection = tokio::spawn(connection);
        let response = sender.send_request(self.request().await?).await?;
        let status = response.status();
        let body = Limited::new(response.into_body(), MAX_RESPONSE_BYTES)
            .collect()
            .await?
            .to_bytes();
        connection.abort();
        if status.is_success() {
            Ok(body)
        } else {
            Err(format!("the container credential endpoint answered {status}").into())
        }
    }

    async fn request(&self) -> Result<Request<Empty<Bytes>>, BoxError> {
        let path = self.uri.path_and_query().map_or("/", PathAndQuery::as_str);
        let authority = self.uri.authority().map_or("", Authority::as_str);
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

/// Response of the endpoint. Has no `Debug`, which would show secrets.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Response {
    access_key_id: String,
    secret_access_key: String,
    token: Option<String>,
    expiration: String,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::test_server::{TestServer, response};

    #[test]
    fn an_endpoint_is_on_this_machine_or_link_local() {
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
            let endpoint = ContainerEndpoint::from_full_uri(uri, Authorization::None);
            assert_eq!(endpoint.is_some(), expected, "{uri}");
        }
        for (path, expected) in [("/v2/credentials/x", true), (".evil.example/x", false)] {
            let endpoint = ContainerEndpoint::from_relative_uri(path, Authorization::None);
            assert_eq!(endpoint.is_some(), expected, "{path}");
        }
    }

    #[test]
    fn debug_shows_no_token() {
        let token = Authorization::Token("t0ken".into());
        let endpoint = ContainerEndpoint::from_full_uri("http://localhost/", token);
        assert!(!format!("{endpoint:?}").contains("t0ken"));
    }

    #[tokio::test]
    async fn credentials_are_fetched_with_the_token_of_the_file() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(file.path(), "t0ken\n").expect("written");
        let given = r#"{"AccessKeyId":"id","SecretAccessKey":"secret","Token":"session","Expiration":"2030-01-01T00:00:00Z"}"#;
        let server = TestServer::start([response(200, "", given)]).await;
        let uri = format!("{}/creds?x=1", server.url());
        let token = Authorization::TokenFile(file.path().into());
        let endpoint = ContainerEndpoint::from_full_uri(&uri, token).expect("loopback");
        let credentials = endpoint.fetch().await.expect("credentials");
        assert_eq!(credentials.key_id(), "id");
        assert_eq!(credentials.session_token(), Some("session"));
        assert!(credentials.expires_at().is_some());
        let request = &server.requests()[0];
        assert_eq!(request.line(), "GET /creds?x=1 HTTP/1.1");
        assert_eq!(request.header("authorization"), Some("t0ken"));
    }

    #[tokio::test]
    async fn an_endpoint_that_refuses_gives_no_credentials() {
        let server = TestServer::start([response(403, "", "")]).await;
        let endpoint = ContainerEndpoint::from_full_uri(server.url(), Authorization::None);
        assert!(endpoint.expect("loopback").fetch().await.is_err());
    }
}
