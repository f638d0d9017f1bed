//! HTTP/1.1 server for Function Compute and local use, on a given listener, with graceful shutdown.

use std::{
    collections::HashMap,
    convert::Infallible,
    fmt, io,
    net::SocketAddr,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use axum::{
    body::{Body, Bytes, HttpBody},
    http::{Request, header::EXPECT},
    response::Response,
};
use hyper::{
    body::{Frame, Incoming, SizeHint},
    server::conn::http1,
};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    server::graceful::GracefulShutdown,
    service::TowerToHyperService,
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::watch,
    task::{self, AbortHandle, JoinSet},
};
use tower::{Service, ServiceExt as _, service_fn};

use super::{
    Limits,
    watched::{Activity, Watched},
};
use crate::api::Arrival;

/// Time for requests in flight to finish after the shutdown signal.
const GRACE: Duration = Duration::from_secs(10);
/// Time after it for their clients to read the response that the server is busy.
const BUSY_RESPONSE_TIMEOUT: Duration = Duration::from_secs(2);
/// Most bytes of an unread body that are discarded after the response.
const LINGERING_BYTES: usize = 64 * 1024 * 1024;
/// Longest time for discarding.
const LINGERING_TIME: Duration = Duration::from_secs(10);
/// Longest pause of the client meanwhile; one that has stopped sending can read the response.
const LINGERING_TIMEOUT: Duration = Duration::from_secs(1);

/// Serves `service` until `stop` is ready, then waits for requests in flight, at most 10 s. Those still
/// unanswered are cancelled through [`Arrival::given_up`]. At the limit of connections, or of file
/// descriptors, the longest idle connection is closed.
pub async fn serve<S>(service: S, listener: TcpListener, limits: Limits, stop: impl Future)
where
    S: Service<Request<Body>, Response = Response, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send,
{
    let graceful = GracefulShutdown::new();
    let mut connections = Connections::new(limits);
    let (give_up, given_up) = watch::channel(false);
    let mut stop = std::pin::pin!(stop);
    let hyper_service = move |arrival: Arrival, activity: Activity| {
        let service = service.clone();
        TowerToHyperService::new(service_fn(move |request: Request<Incoming>| {
            let expects_continue = request.headers().contains_key(EXPECT);
            let mut request = request.map(|body| {
                Body::new(Lingering {
                    body: Some(body),
                    started: !expects_continue,
                })
            });
            request.extensions_mut().insert(arrival.clone());
            let handled = activity.handle();
            let answer = service.clone().oneshot(request);
            async move {
                let answer = answer.await;
                drop(handled);
                answer
            }
        }))
    };
    loop {
        tokio::select! {
            _ = &mut stop => break,
            (stream, peer) = accept(&listener, &mut connections) => {
                let activity = Activity::new();
                let arrival = Arrival {
                    client: Some(peer.ip()),
                    given_up: Some(given_up.clone()),
                    ..Arrival::default()
                };
                let connection = http1::Builder::new()
                    .timer(TokioTimer::new())
                    .header_read_timeout(limits.idle)
                    .serve_connection(
                        TokioIo::new(Watched::new(stream, activity.clone(), limits.idle)),
                        hyper_service(arrival, activity.clone()),
                    );
                connections.add(graceful.watch(connection), activity);
            }
        }
    }
    drop(listener);
    tracing::info!("stopping; requests in flight have {} s", GRACE.as_secs());
    let mut drained = std::pin::pin!(graceful.shutdown());
    if tokio::time::timeout(GRACE, &mut drained).await.is_err() {
        tracing::warn!("stopped with requests in flight; undoing them");
        give_up.send_replace(true);
        let _ = tokio::time::timeout(BUSY_RESPONSE_TIMEOUT, drained).await;
        // Drops the requests still running, and with them what they stored.
        connections.tasks.shutdown().await;
    }
}

/// Accepts a connection. A process that is out of file descriptors frees some.
async fn accept(listener: &TcpListener, connections: &mut Connections) -> (TcpStream, SocketAddr) {
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => {
                // Responses are small and written at once, so Nagle's algorithm would only delay them.
                let _ = stream.set_nodelay(true);
                return (stream, peer);
            }
            Err(error) => {
                tracing::warn!(%error, "could not accept a connection");
                connections.close_longest_idle();
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

/// The open connections.
struct Connections {
    tasks: JoinSet<()>,
    open: HashMap<task::Id, (AbortHandle, Activity)>,
    max: usize,
}

impl Connections {
    /// Connections for each allowed request: idle keep-alive connections are cheap.
    const PER_REQUEST: usize = 4;

    fn new(limits: Limits) -> Self {
        Self {
            tasks: JoinSet::new(),
            open: HashMap::new(),
            max: limits.max_in_flight.saturating_mul(Self::PER_REQUEST),
        }
    }

    fn add<E: fmt::Display>(
        &mut self,
        connection: impl Future<Output = Result<(), E>> + Send + 'static,
        activity: Activity,
    ) {
        while let Some(ended) = self.tasks.try_join_next_with_id() {
            let id = ended.map_or_else(|error| error.id(), |(id, ())| id);
            self.open.remove(&id);
        }
        if self.tasks.len() >= self.max {
            self.close_longest_idle();
        }
        let task = self.tasks.spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "a connection failed");
            }
        });
        self.open.insert(task.id(), (task, activity));
    }

    fn close_longest_idle(&mut self) {
        let open = self.open.iter();
        let longest = open.max_by_key(|(_, (_, activity))| activity.idleness());
        let longest = longest.map(|(id, _)| *id);
        if let Some((task, _)) = longest.and_then(|id| self.open.remove(&id)) {
            task.abort();
            tracing::debug!("closed the longest idle connection");
        }
    }
}

/// A body whose unread rest is discarded when it is dropped (lingering close): a client that gets a
/// response before it has sent everything would otherwise see a connection reset instead.
struct Lingering {
    body: Option<Incoming>,
    /// Whether the client sends the body: false while it waits for `100 Continue`.
    started: bool,
}

impl HttpBody for Lingering {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        self.started = true;
        let Some(body) = &mut self.body else {
            return Poll::Ready(None);
        };
        let frame = ready!(Pin::new(body).poll_frame(cx));
        if !matches!(frame, Some(Ok(_))) {
            self.body = None;
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(HttpBody::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        let hint = self.body.as_ref().map(HttpBody::size_hint);
        hint.unwrap_or_default()
    }
}

impl Drop for Lingering {
    fn drop(&mut self) {
        if let Some(body) = self.body.take()
            && self.started
            && !body.is_end_stream()
        {
            tokio::spawn(tokio::time::timeout(LINGERING_TIME, discard(body)));
        }
    }
}

async fn discard(mut body: Incoming) {
    use http_body_util::BodyExt as _;
    let mut left = LINGERING_BYTES;
    while let Ok(Some(Ok(frame))) = tokio::time::timeout(LINGERING_TIMEOUT, body.frame()).await {
        left = left.saturating_sub(frame.data_ref().map_or(0, Bytes::len));
        if left == 0 {
            break;
        }
    }
}

/// Resolves at Ctrl-C or SIGTERM. Installs the handlers when called, not when first polled: without one
/// a signal kills the process. A second signal ends the process at once.
pub(super) fn shutdown_signal() -> impl Future<Output = ()> {
    let mut signals = ShutdownSignals::new();
    async move {
        signals.recv().await;
        tokio::spawn(async move {
            signals.recv().await;
            tracing::warn!("second signal; exiting without undoing requests in flight");
            std::process::exit(INTERRUPTED);
        });
    }
}

/// Exit code of a process that Ctrl-C ended, by the convention of shells: 128 + SIGINT.
const INTERRUPTED: i32 = 130;

/// Ctrl-C and SIGTERM.
#[cfg(unix)]
struct ShutdownSignals([io::Result<tokio::signal::unix::Signal>; 2]);

#[cfg(unix)]
impl ShutdownSignals {
    fn new() -> Self {
        use tokio::signal::unix::{SignalKind, signal};
        Self([SignalKind::interrupt(), SignalKind::terminate()].map(signal))
    }

    async fn recv(&mut self) {
        let [interrupt, terminate] = &mut self.0;
        tokio::select! {
            () = recv(interrupt) => {}
            () = recv(terminate) => {}
        }
    }
}

#[cfg(unix)]
async fn recv(signal: &mut io::Result<tokio::signal::unix::Signal>) {
    match signal {
        Ok(signal) => drop(signal.recv().await),
        Err(_) => std::future::pending().await,
    }
}

/// Ctrl-C only.
#[cfg(not(unix))]
struct ShutdownSignals;

#[cfg(not(unix))]
impl ShutdownSignals {
    fn new() -> Self {
        Self
    }

    async fn recv(&mut self) {
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}
