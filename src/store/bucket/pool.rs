//! Pool of connections to the bucket, for all calls, with and without the SDK. HTTP/1.1 only: a bucket
//! limits the bandwidth of each connection, and parts use several.

use std::{
    fmt,
    net::SocketAddr,
    path::Path,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

pub(super) use aws_sdk_s3::primitives::SdkBody;
use axum::http::{Request, Uri};
use futures_util::FutureExt as _;
use http_body_util::Either;
use hyper_rustls::{HttpsConnector, MaybeHttpsStream};
use hyper_util::{
    client::legacy::{
        Client, ResponseFuture,
        connect::{
            CaptureConnection, HttpConnector,
            dns::{GaiResolver, Name},
        },
    },
    rt::{TokioExecutor, TokioIo, TokioTimer},
};
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, pem::PemObject as _},
};
use tokio::net::TcpStream;
use tower::Service;

use crate::store::{BoxError, chunks::PartBody};

/// Longest time an idle connection is kept. S3 closes it after about as long, which a frozen process does
/// not notice.
const IDLE_TIMEOUT: Duration = Duration::from_secs(20);
/// Most idle connections: one for each concurrent upload allowed by default.
const MAX_IDLE: usize = 200;

/// Buffer for TLS records of a connection, in bytes. With rustls's default of 64 KiB a part takes many
/// system calls, each as expensive as encrypting its bytes.
const TLS_BUFFER_BYTES: usize = 512 * 1024;

/// Request body: a part, or the SDK's body.
pub(super) type RequestBody = Either<PartBody, SdkBody>;
pub(super) type SendError = hyper_util::client::legacy::Error;

/// Root certificates that TLS trusts besides the built-in ones.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Certificates(Arc<[CertificateDer<'static>]>);

impl Certificates {
    /// Reads a PEM file. `None` when it cannot be read or contains no usable certificate.
    pub fn from_file(path: &Path) -> Option<Self> {
        let read: Result<Arc<[_]>, _> = CertificateDer::pem_file_iter(path).ok()?.collect();
        let certificates = Self(read.ok()?);
        let (usable, _) = certificates.add_to(&mut RootCertStore::empty());
        (usable > 0).then_some(certificates)
    }

    /// Adds them to `roots`; returns the numbers of usable and of unusable ones.
    fn add_to(&self, roots: &mut RootCertStore) -> (usize, usize) {
        roots.add_parsable_certificates(self.0.iter().cloned())
    }
}

impl fmt::Debug for Certificates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} certificates", self.0.len())
    }
}

/// Connections to one bucket; cheap to clone.
#[derive(Clone)]
pub struct Connections(Client<Dialer, RequestBody>);

impl fmt::Debug for Connections {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Connections")
    }
}

impl Connections {
    /// Connects to the host of each request; `timeout` is for DNS, TCP and TLS together.
    pub fn new(trusted: Trusted<'_>, timeout: Duration) -> Self {
        Self::with_resolver(Resolver::System(GaiResolver::new()), trusted, timeout)
    }

    /// Connects to this address for every host.
    pub fn to_address(address: SocketAddr, trusted: Trusted<'_>, timeout: Duration) -> Self {
        Self::with_resolver(Resolver::Fixed(address), trusted, timeout)
    }

    fn with_resolver(resolver: Resolver, trusted: Trusted<'_>, timeout: Duration) -> Self {
        let mut tcp = HttpConnector::new_with_resolver(resolver);
        tcp.set_nodelay(true);
        // The connector around it handles `https`.
        tcp.enforce_http(false);
        let dialer = Dialer {
            connector: HttpsConnector::from((tcp, trusted.tls())),
            timeout,
        };
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE_TIMEOUT)
            .pool_max_idle_per_host(MAX_IDLE)
            .build(dialer);
        Self(client)
    }

    pub(super) fn send(&self, request: Request<RequestBody>) -> ResponseFuture {
        self.0.request(request)
    }
}

/// Prevents reuse of a connection: a new one may reach a server that works.
pub(super) fn poison(used: &CaptureConnection) {
    if let Some(connected) = used.connection_metadata().as_ref() {
        connected.poison();
    }
}

/// Root certificates that TLS trusts.
#[derive(Clone, Copy, Debug)]
pub enum Trusted<'c> {
    /// None: the endpoint is plain HTTP.
    Nobody,
    /// Those that browsers trust, and these.
    Public(&'c Certificates),
}

impl Trusted<'_> {
    fn tls(self) -> ClientConfig {
        let mut roots = RootCertStore::empty();
        if let Self::Public(certificates) = self {
            roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
            certificates.add_to(&mut roots);
        }
        ClientConfig::builder()
            .with_root_certificates(roots)
            .with_no_client_auth()
    }
}

/// Connects, with one timeout for DNS, TCP and TLS together.
#[derive(Clone)]
struct Dialer {
    connector: HttpsConnector<HttpConnector<Resolver>>,
    timeout: Duration,
}

impl Service<Uri> for Dialer {
    type Response = MaybeHttpsStream<TokioIo<TcpStream>>;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, BoxError>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.connector.poll_ready(context)
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let connected = tokio::time::timeout(self.timeout, self.connector.call(uri));
        let prepared = connected.map(|connected| {
            let mut stream = connected??;
            if let MaybeHttpsStream::Https(tls) = &mut stream {
                let (_, session) = tls.inner_mut().get_mut();
                session.set_buffer_limit(Some(TLS_BUFFER_BYTES));
            }
            Ok(stream)
        });
        prepared.boxed()
    }
}

/// Resolves host names.
#[derive(Clone)]
enum Resolver {
    /// Uses the system's resolver.
    System(GaiResolver),
    /// Resolves all names to one address.
    Fixed(SocketAddr),
}

impl Service<Name> for Resolver {
    type Response = std::vec::IntoIter<SocketAddr>;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, BoxError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, name: Name) -> Self::Future {
        match self {
            Self::System(resolver) => {
                let found = resolver.call(name);
                let addresses = found.map(|found| Ok(found?.collect::<Vec<_>>().into_iter()));
                addresses.boxed()
            }
            Self::Fixed(address) => std::future::ready(Ok(vec![*address].into_iter())).boxed(),
        }
    }
}

#[cfg(test)]
mod tests {
    use rcgen::{CertifiedKey, KeyPair, generate_simple_self_signed};
    use rustls::{ServerConfig, pki_types::PrivateKeyDer};
    use tokio::{
        io::{AsyncReadExt as _, AsyncWriteExt as _},
        net::TcpListener,
    };
    use tokio_rustls::TlsAcceptor;

    use super::*;

    const HOST: &str = "chat.bucket.example";
    const TIMEOUT: Duration = Duration::from_secs(3);

    fn self_signed() -> CertifiedKey<KeyPair> {
        generate_simple_self_signed([HOST.to_owned()]).expect("a certificate")
    }

    fn from_file(pem: &str) -> Option<Certificates> {
        let file = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(file.path(), pem).expect("written");
        Certificates::from_file(file.path())
    }

    /// Starts a server with this certificate, which answers every client that trusts it.
    async fn server(identity: &CertifiedKey<KeyPair>) -> SocketAddr {
        let key = PrivateKeyDer::try_from(identity.signing_key.serialize_der());
        let chain = vec![identity.cert.der().clone()];
        let config = ServerConfig::builder()
            .with_no_client_auth()
            .with_single_cert(chain, key.expect("a key"))
            .expect("a pair");
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.expect("a connection");
                let Ok(mut stream) = acceptor.accept(stream).await else {
                    continue;
                };
                let _ = stream.read(&mut [0; 4096]).await;
                let response = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";
                let _ = stream.write_all(response).await;
            }
        });
        address
    }

    /// Returns the error of a request to a server with this address and name, if it fails.
    async fn failure(
        address: SocketAddr,
        certificates: &Certificates,
        timeout: Duration,
        host: &str,
    ) -> Option<SendError> {
        let trusted = Trusted::Public(certificates);
        let connections = Connections::to_address(address, trusted, timeout);
        let mut request = Request::new(Either::Right(SdkBody::empty()));
        *request.uri_mut() = format!("https://{host}/").parse().expect("a URI");
        connections.send(request).await.err()
    }

    #[tokio::test]
    async fn a_server_is_trusted_by_the_certificates_of_the_file_and_under_its_name_only() {
        let identity = self_signed();
        let address = server(&identity).await;
        let its_own = from_file(&identity.cert.pem()).expect("certificates");
        let another = from_file(&self_signed().cert.pem()).expect("certificates");
        for (certificates, host, trusted) in [
            (&its_own, HOST, true),
            (&its_own, "other.example", false),
            (&another, HOST, false),
            (&Certificates::default(), HOST, false),
        ] {
            let failure = failure(address, certificates, TIMEOUT, host).await;
            assert_eq!(failure.is_none(), trusted, "{host}");
        }
    }

    #[tokio::test]
    async fn a_server_that_never_shakes_hands_is_given_up() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let (certificates, timeout) = (Certificates::default(), Duration::from_millis(20));
        let failure = failure(address, &certificates, timeout, HOST).await;
        let failure = failure.expect("no handshake");
        assert!(failure.is_connect(), "{failure:?}");
    }

    #[test]
    fn a_file_without_a_usable_certificate_is_none() {
        let empty = "-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n";
        for pem in ["", "not a certificate", empty] {
            assert_eq!(from_file(pem), None, "{pem}");
        }
        assert_eq!(Certificates::from_file("/nowhere/ca.pem".as_ref()), None);
        assert!(from_file(&self_signed().cert.pem()).is_some());
    }
}
