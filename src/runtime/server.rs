//! The HTTP server of Function Compute and of a laptop: HTTP/1.1 on a listener of the caller's,
//! until a signal of the caller's.

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

/// How long requests in flight may go on after the signal.
const GRACE: Duration = Duration::from_secs(10);
/// How long their clients may then take to read that the server is busy.
const LAST_ANSWERS: Duration = Duration::from_secs(2);
/// How much of an unread body is still taken from a client that is already answered.
const LINGER_BYTES: usize = 64 * 1024 * 1024;
/// How long that may take.
const LINGER: Duration = Duration::from_secs(10);
/// How long an answered client may pause within it; one that sends nothing waits for nothing.
const LINGER_SILENCE: Duration = Duration::from_secs(1);

/// Serves `service` until `stop` is ready, then lets requests in flight finish, at most 10 s. Those
/// that have not been answered then are given up through [`Arrival::given_up`]. One connection too many,
/// or one too many for the system, closes the longest idle one.
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
            let waits = request.headers().contains_key(EXPECT);
            let mut request = request.map(|body| {
                Body::new(Lingering {
                    body: Some(body),
                    started: !waits,
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
        tracing::warn!("stopped with requests in flight; they are undone");
        give_up.send_replace(true);
        let _ = tokio::time::timeout(LAST_ANSWERS, drained).await;
        // A request still running would never drop, and so never undo, what it began.
        connections.tasks.shutdown().await;
    }
}

/// The next connection. A process out of file descriptors gets some free.
async fn accept(listener: &TcpListener, connections: &mut Connections) -> (TcpStream, SocketAddr) {
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => {
                // Answers are small and written whole: nothing to wait for.
                let _ = stream.set_nodelay(true);
                return (stream, peer);
            }
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
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
    most: usize,
}

impl Connections {
    /// A connection that waits between two requests costs little: there may be more than requests.
    const PER_REQUEST: usize = 4;

    fn new(limits: Limits) -> Self {
        Self {
            tasks: JoinSet::new(),
            open: HashMap::new(),
            most: limits.max_in_flight.saturating_mul(Self::PER_REQUEST),
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
        if self.tasks.len() >= self.most {
            self.close_longest_idle();
        }
        let task = self.tasks.spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "a connection ended");
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
            tracing::debug!("the longest idle connection was closed for another");
        }
    }
}

/// A body whose rest is still read when nobody wants it: a client that is answered before it has
/// sent everything would otherwise see its connection reset instead of the answer.
struct Lingering {
    body: Option<Incoming>,
    /// Whether the client is sending: one that waits for `100 Continue` need not be told to.
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
            tokio::spawn(tokio::time::timeout(LINGER, discard(body)));
        }
    }
}

async fn discard(mut body: Incoming) {
    use http_body_util::BodyExt as _;
    let mut left = LINGER_BYTES;
    while let Ok(Some(Ok(frame))) = tokio::time::timeout(LINGER_SILENCE, body.frame()).await {
        left = left.saturating_sub(frame.data_ref().map_or(0, Bytes::len));
        if left == 0 {
            break;
        }
    }
}

/// Ready at Ctrl-C or SIGTERM. From this call on, not only once it is awaited: a signal that nobody
/// listens for ends the process at once. So does a second one.
pub(super) fn asked_to_stop() -> impl Future<Output = ()> {
    let mut asked = Asked::new();
    async move {
        asked.once().await;
        tokio::spawn(async move {
            asked.once().await;
            tracing::warn!("asked to stop again; requests in flight are not undone");
            std::process::exit(INTERRUPTED);
        });
    }
}

/// Exit code of a process that Ctrl-C ended, as shells have it.
const INTERRUPTED: i32 = 130;

/// Ctrl-C and SIGTERM.
#[cfg(unix)]
struct Asked([io::Result<tokio::signal::unix::Signal>; 2]);

#[cfg(unix)]
impl Asked {
    fn new() -> Self {
        use tokio::signal::unix::{SignalKind, signal};
        Self([SignalKind::interrupt(), SignalKind::terminate()].map(signal))
    }

    async fn once(&mut self) {
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
struct Asked;

#[cfg(not(unix))]
impl Asked {
    fn new() -> Self {
        Self
    }

    async fn once(&mut self) {
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}
