//! Adapters of the platforms: a local HTTP server, Function Compute and Lambda. They convert requests
//! and responses, and have no rules about uploads.

mod fc;
pub mod gateway;
mod lambda;
mod server;
mod watched;

use std::{
    io,
    net::{Ipv4Addr, SocketAddr, UdpSocket},
    time::Duration,
};

use axum::{
    Router,
    body::{HttpBody as _, to_bytes},
    http::{
        StatusCode,
        header::{CONTENT_LENGTH, CONTENT_TYPE},
    },
    middleware,
    response::{IntoResponse as _, Response},
};
use tokio::net::TcpListener;

pub use self::{fc::service as fc_service, server::serve};

/// Limits of a server.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// `UPLOAD_IDLE_SECS`: longest wait for a request's headers, and for a client to read more of a
    /// response.
    pub idle: Duration,
    /// `UPLOAD_REQUEST_SECS`: longest wait for a whole event.
    pub request: Duration,
    /// `UPLOAD_MAX_IN_FLIGHT`: most concurrent requests.
    pub max_in_flight: usize,
}

/// Platform that started this process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Runtime {
    /// `AWS_LAMBDA_RUNTIME_API` is set.
    Lambda,
    /// `FC_FUNCTION_NAME` or `FC_INSTANCE_ID` is set.
    FunctionCompute,
    /// Neither: a developer's machine, or a server.
    Local,
}

/// Facts for the log messages at start.
#[derive(Clone, Copy, Debug)]
pub struct Greeting<'a> {
    /// Name of the store.
    pub stores_into: &'a str,
    /// Whether uploads need a token.
    pub needs_token: bool,
    /// Whether the local server has a page.
    pub has_page: bool,
    /// Whether the signing secret is random, so that tickets and recalls are void after a restart.
    pub has_random_secret: bool,
}

/// Serves requests until the platform or a signal stops the process.
///
/// # Errors
/// When the address cannot be bound, or Lambda's runtime API fails.
pub async fn run(
    runtime: Runtime,
    addr: SocketAddr,
    router: Router,
    limits: Limits,
    greeting: Greeting<'_>,
) -> io::Result<()> {
    if runtime == Runtime::Lambda {
        return lambda::run(router).await;
    }
    let stop = server::shutdown_signal();
    let listener = TcpListener::bind(addr).await.map_err(|error| {
        let advice = bind_advice(&error);
        let text = format!("cannot listen on {addr} (UPLOAD_ADDR): {error}{advice}");
        io::Error::new(error.kind(), text)
    })?;
    let addr = listener.local_addr()?;
    if runtime == Runtime::Local && greeting.has_page {
        for addr in addresses(addr) {
            tracing::info!("open http://{addr}/ in a browser");
        }
    }
    let stores_into = greeting.stores_into;
    tracing::info!("listening on http://{addr}, storing into {stores_into}");
    if greeting.has_random_secret {
        tracing::info!(
            "UPLOAD_SIGNING_SECRET is not set: large uploads and recalls end with this process"
        );
    }
    if runtime == Runtime::Local {
        tracing::info!("try: {}", first_upload(addr, greeting.needs_token));
    }
    if runtime == Runtime::FunctionCompute {
        serve(fc_service(router, limits), listener, limits, stop).await;
    } else {
        let router = router.layer(middleware::map_response(end_json_with_newline));
        serve(router, listener, limits, stop).await;
    }
    Ok(())
}

/// Advice on a failure to bind the address.
fn bind_advice(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::AddrInUse => {
            "; another program listens there, perhaps another chat-upload: end it, or choose another port, \
             such as UPLOAD_ADDR=127.0.0.1:9001"
        }
        io::ErrorKind::AddrNotAvailable => {
            "; this machine has no such address: 0.0.0.0 means all it has"
        }
        io::ErrorKind::PermissionDenied => "; ports below 1024 need administrator rights",
        _ => "",
    }
}

/// Addresses at which a browser reaches a server bound to `addr`. For the unspecified address: loopback, and the
/// machine's address in its network.
fn addresses(addr: SocketAddr) -> Vec<SocketAddr> {
    if !addr.ip().is_unspecified() {
        return vec![addr];
    }
    let at = |ip| SocketAddr::new(ip, addr.port());
    // Sends nothing: the system only chooses a source address (192.0.2.0/24 is for documentation, RFC 5737).
    let outbound = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).and_then(|socket| {
        socket.connect((Ipv4Addr::new(192, 0, 2, 1), 9))?;
        socket.local_addr()
    });
    let outbound = outbound.map(|from| at(from.ip()));
    let own = [at(Ipv4Addr::LOCALHOST.into())].into_iter();
    own.chain(outbound).collect()
}

/// Ends JSON with a newline, so that a shell's prompt after curl's output is on its own line.
async fn end_json_with_newline(response: Response) -> Response {
    const MAX_BYTES: usize = 16 * 1024 * 1024;
    let kind = response.headers().get(CONTENT_TYPE);
    let is_json = kind.is_some_and(|kind| kind.as_bytes().starts_with(b"application/json"));
    if !is_json || response.body().is_end_stream() {
        return response;
    }
    let (mut parts, body) = response.into_parts();
    let Ok(body) = to_bytes(body, MAX_BYTES).await else {
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    };
    parts.headers.remove(CONTENT_LENGTH);
    Response::from_parts(parts, [&body[..], b"\n"].concat().into())
}

/// Command that uploads a file to this server from its own machine.
fn first_upload(addr: SocketAddr, needs_token: bool) -> String {
    // No client can connect to the unspecified address.
    let addr = addresses(addr).first().copied().unwrap_or(addr);
    let token = if needs_token {
        " -H \"token: $(scripts/make-token)\""
    } else {
        ""
    };
    format!("curl -F img=@photo.jpg{token} http://{addr}/api/chat/uploadAliyun")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_upload_goes_to_an_address_and_with_the_token_that_is_needed() {
        for (addr, needs_token, reachable) in [
            ("127.0.0.1:9000", false, "127.0.0.1:9000"),
            ("0.0.0.0:9001", false, "127.0.0.1:9001"),
            ("192.168.1.7:80", true, "192.168.1.7:80"),
        ] {
            let token = ["", " -H \"token: $(scripts/make-token)\""][usize::from(needs_token)];
            let line = first_upload(addr.parse().expect("an address"), needs_token);
            let url = format!("http://{reachable}/api/chat/uploadAliyun");
            assert_eq!(line, format!("curl -F img=@photo.jpg{token} {url}"));
        }
    }
}
