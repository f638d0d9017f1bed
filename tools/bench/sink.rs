//! An object store that discards everything: it reads a body and answers at once, so that the measured
//! cost is the server's only.

use std::{
    io,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::{Method, Request, Response, StatusCode, body::Incoming, header::ETAG};
use rustls::{
    ServerConfig, SupportedCipherSuite, crypto::CryptoProvider, pki_types::PrivateKeyDer,
};
use tempfile::NamedTempFile;
use tokio_rustls::TlsAcceptor;

use crate::listener::{listen, speak};

const CREATED: &str = r#"<?xml version="1.0" encoding="UTF-8"?>
<InitiateMultipartUploadResult><Bucket>bench</Bucket><Key>k</Key><UploadId>bench</UploadId></InitiateMultipartUploadResult>"#;
const COMPLETED: &str = r#"<?xml version="1.0" encoding="UTF-8"?>
<CompleteMultipartUploadResult><Location>http://bench/k</Location><Bucket>bench</Bucket><Key>k</Key><ETag>"0"</ETag></CompleteMultipartUploadResult>"#;

/// A running sink, with TLS 1.3 and one cipher suite or without TLS, for the life of the
/// process.
pub(crate) struct Sink {
    pub(crate) address: SocketAddr,
    /// File with its certificate, if it uses TLS.
    pub(crate) certificate: Option<NamedTempFile>,
    taken: Arc<AtomicU64>,
}

impl Sink {
    /// Starts it on its own thread.
    pub(crate) fn start(tls: Option<SupportedCipherSuite>) -> io::Result<Self> {
        let (certificate, acceptor) = tls.map(self_signed).transpose()?.unzip();
        let taken = Arc::<AtomicU64>::default();
        let counted = Arc::clone(&taken);
        let address = listen("sink", move |stream| {
            let (tls, taken) = (acceptor.clone(), Arc::clone(&counted));
            async move {
                let answer = |request| answer(request, &taken);
                match tls {
                    None => speak(stream, answer).await,
                    Some(tls) => match tls.accept(stream).await {
                        Ok(stream) => speak(stream, answer).await,
                        Err(error) => eprintln!("the sink's handshake failed: {error}"),
                    },
                }
            }
        })?;
        Ok(Self {
            address,
            certificate,
            taken,
        })
    }

    /// Returns the value for `UPLOAD_ENDPOINT`.
    pub(crate) fn endpoint(&self) -> String {
        let scheme = ["http", "https"][usize::from(self.certificate.is_some())];
        format!("{scheme}://{}", self.address)
    }

    /// Returns the bytes of objects and parts received so far.
    pub(crate) fn taken(&self) -> u64 {
        self.taken.load(Ordering::Relaxed)
    }
}

/// Creates a self-signed certificate for loopback (ECDSA, P-256): its file, and an acceptor.
fn self_signed(suite: SupportedCipherSuite) -> io::Result<(NamedTempFile, TlsAcceptor)> {
    let identity = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]);
    let identity = identity.map_err(io::Error::other)?;
    let file = NamedTempFile::new()?;
    std::fs::write(file.path(), identity.cert.pem())?;
    let key = PrivateKeyDer::try_from(identity.signing_key.serialize_der());
    let provider = CryptoProvider {
        cipher_suites: vec![suite],
        ..rustls::crypto::ring::default_provider()
    };
    let config = ServerConfig::builder_with_provider(Arc::new(provider))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(io::Error::other)?
        .with_no_client_auth()
        .with_single_cert(
            vec![identity.cert.der().clone()],
            key.map_err(io::Error::other)?,
        )
        .map_err(io::Error::other)?;
    Ok((file, TlsAcceptor::from(Arc::new(config))))
}

async fn answer(request: Request<Incoming>, taken: &AtomicU64) -> Response<Full<Bytes>> {
    let method = request.method().clone();
    let creates = request.uri().query().is_some_and(|query| {
        let mut names = query.split('&').map(|pair| pair.split('=').next());
        names.any(|name| name == Some("uploads"))
    });
    let Some(size) = discard(request.into_body()).await else {
        return reply(StatusCode::BAD_REQUEST, "");
    };
    match method {
        Method::PUT => {
            taken.fetch_add(size, Ordering::Relaxed);
            reply(StatusCode::OK, "")
        }
        Method::POST if creates => reply(StatusCode::OK, CREATED),
        Method::POST => reply(StatusCode::OK, COMPLETED),
        Method::DELETE => reply(StatusCode::NO_CONTENT, ""),
        _ => reply(StatusCode::OK, ""),
    }
}

/// Counts the bytes of a body; `None` when it was cut off.
async fn discard(mut body: Incoming) -> Option<u64> {
    let mut size = 0;
    while let Some(frame) = body.frame().await {
        size += frame.ok()?.data_ref().map_or(0, Bytes::len) as u64;
    }
    Some(size)
}

fn reply(status: StatusCode, body: &'static str) -> Response<Full<Bytes>> {
    let response = Response::builder().status(status).header(ETAG, "\"0\"");
    response.body(Full::from(body)).expect("a response")
}
