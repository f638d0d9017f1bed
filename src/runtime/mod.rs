//! How a request reaches us and how the answer leaves: a socket, Function Compute or Lambda. These
//! files change the shape of things and decide nothing about uploads.

mod fc;
pub mod gateway;
mod lambda;
mod server;

use std::{io, net::SocketAddr, time::Duration};

use axum::Router;
use tokio::net::TcpListener;

pub use self::{fc::service as fc_service, server::serve};

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

/// Runs until the platform or a person ends it. `idle` is the longest wait for a request's headers;
/// `stores_into` is for the person's eyes.
///
/// # Errors
/// When the address cannot be listened on, or Lambda's runtime API fails.
pub async fn run(
    runtime: Runtime,
    addr: SocketAddr,
    router: Router,
    idle: Duration,
    stores_into: &str,
) -> io::Result<()> {
    if runtime == Runtime::Lambda {
        return lambda::run(router).await;
    }
    let stop = server::asked_to_stop();
    let listener = TcpListener::bind(addr).await.map_err(|error| {
        io::Error::new(
            error.kind(),
            format!("cannot listen on {addr} (UPLOAD_ADDR): {error}"),
        )
    })?;
    let addr = listener.local_addr()?;
    tracing::info!("listening on http://{addr}, storing into {stores_into}");
    if runtime == Runtime::Local {
        tracing::info!("try: curl -F img=@photo.jpg http://{addr}/api/chat/uploadAliyun");
    }
    match runtime {
        Runtime::FunctionCompute => {
            serve(fc_service(router), listener, idle, stop).await;
        }
        Runtime::Local | Runtime::Lambda => {
            serve(router, listener, idle, stop).await;
        }
    }
    Ok(())
}
