//! How a request reaches us and how the answer leaves: a socket, Function Compute or Lambda. These
//! files change the shape of things and decide nothing about uploads.

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
    /// `UPLOAD_IDLE_SECS`: longest wait for a request's headers, and for a client to take more of an
    /// answer.
    pub idle: Duration,
    /// `UPLOAD_REQUEST_SECS`: longest wait for the whole of an event.
    pub request: Duration,
    /// `UPLOAD_MAX_IN_FLIGHT`: most requests at a time.
    pub max_in_flight: usize,
}

/// Which platform this process was started by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Runtime {
    /// `AWS_LAMBDA_RUNTIME_API` is set.
    Lambda,
    /// `FC_FUNCTION_NAME` or `FC_INSTANCE_ID` is set.
    FunctionCompute,
    /// Neither: a developer's machine, or a server.
    Local,
}

/// For the eyes of the person who starts the process.
#[derive(Clone, Copy, Debug)]
pub struct Greeting<'a> {
    /// Where files go.
    pub stores_into: &'a str,
    /// Whether uploads need a token.
    pub needs_token: bool,
    /// Whether the local server has a page.
    pub has_page: bool,
    /// Whether tickets and recalls end with the process.
    pub has_secret_of_its_own: bool,
}

/// Runs until the platform or a person ends it.
///
/// # Errors
/// When the address cannot be listened on, or Lambda's runtime API fails.
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
    let stop = server::asked_to_stop();
    let listener = TcpListener::bind(addr).await.map_err(|error| {
        let remedy = remedy(&error);
        let text = format!("cannot listen on {addr} (UPLOAD_ADDR): {error}{remedy}");
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
    if greeting.has_secret_of_its_own {
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

/// Advice for the failure that newcomers meet.
fn remedy(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::AddrInUse => {
            "; another program listens there, perhaps another chat-upload: end it, or choose another port, \
             such as UPLOAD_ADDR=127.0.0.1:9001"
        }
        io::ErrorKind::AddrNotAvailable => {
            "; this machine has no such address: 0.0.0.0 stands for all it has"
        }
        io::ErrorKind::PermissionDenied => "; ports below 1024 are for the administrator",
        _ => "",
    }
}

/// Where a browser reaches a server that listens at `addr`: when that is every address of the machine, at its own and
/// at the one by which the network knows it.
fn addresses(addr: SocketAddr) -> Vec<SocketAddr> {
    if !addr.ip().is_unspecified() {
        return vec![addr];
    }
    let at = |ip| SocketAddr::new(ip, addr.port());
    // Nothing is sent: the system only says from which address it would be (192.0.2.0/24 is nobody's, RFC 5737).
    let outward = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).and_then(|socket| {
        socket.connect((Ipv4Addr::new(192, 0, 2, 1), 9))?;
        socket.local_addr()
    });
    let outward = outward.map(|from| at(from.ip()));
    let own = [at(Ipv4Addr::LOCALHOST.into())].into_iter();
    own.chain(outward).collect()
}

/// A terminal puts its prompt behind what curl prints.
async fn end_json_with_newline(response: Response) -> Response {
    const MOST_BYTES: usize = 16 * 1024 * 1024;
    let kind = response.headers().get(CONTENT_TYPE);
    let is_json = kind.is_some_and(|kind| kind.as_bytes().starts_with(b"application/json"));
    if !is_json || response.body().is_end_stream() {
        return response;
    }
    let (mut parts, body) = response.into_parts();
    let Ok(body) = to_bytes(body, MOST_BYTES).await else {
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    };
    parts.headers.remove(CONTENT_LENGTH);
    Response::from_parts(parts, [&body[..], b"\n"].concat().into())
}

/// A command that uploads to this server from the machine it runs on.
fn first_upload(addr: SocketAddr, needs_token: bool) -> String {
    // Where to listen may be no address to go to.
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
