//! A test double of a bucket: runs in the test process, speaks the S3 protocol
//! over loopback, and injects faults.
//!
//! Four modules answer a request:
//!
//! 1. `front` reads it from the connection, records it, injects the planned
//!    fault, and refuses features that the dialect does not support.
//! 2. The `s3s` crate parses it and verifies its SigV4 signature, in headers or
//!    in a presigned query. POST forms go to `post_form` instead, which
//!    implements the native forms of both clouds.
//! 3. `backend` checks the session token and implements the S3 operations.
//! 4. `contents` stores objects and multipart uploads and enforces their rules. It
//!    also contains the access keys, permissions and faults that a test sets.
//!
//! The double is stricter than clouds where that finds bugs: parts of a
//! completed or aborted upload are deleted, and a second completion is 404
//! `NoSuchUpload`. It is laxer in two points: `x-amz-checksum-*` headers are not
//! verified, and every region is accepted.
//!
//! It has its own thread and runtime, so a test may block its thread, and
//! dropping the double closes every connection, including hanging ones.

mod backend;
mod contents;
mod form_tests;
mod front;
mod gate;
mod post_form;
mod refusal;
mod role;
mod tests;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::panic::Location;
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::{Builder, Handle, Runtime};
use tokio::time::timeout;

use contents::Key;
pub(crate) use contents::{Contents, Object};
pub(crate) use front::{DENIED, Fault, Operation, Recorded};
use front::{Front, Planned};
use gate::Gate;
pub(crate) use gate::{Held, Stage};

/// Name of the only bucket.
pub(crate) const BUCKET: &str = "chat-test";
/// Access key id that every double accepts, without a session token.
pub(crate) const KEY_ID: &str = "AKIDCHATTEST";
/// Secret key of [`KEY_ID`].
pub(crate) const SECRET: &str = "only-known-to-tests";

/// Longest wait of [`BucketDouble::wait_until`].
const TIMEOUT: Duration = Duration::from_secs(10);

/// The cloud that the double imitates.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Dialect {
    /// AWS: `If-None-Match: *` on writes, parts of at least 5 MiB.
    S3,
    /// OSS through its S3-compatible API: no trailers, no conditional writes
    /// except `x-oss-forbid-overwrite`, parts of at least 100 KiB, no path style
    /// on its own domain.
    Oss,
}

/// A running bucket on 127.0.0.1; it stops when dropped.
pub(crate) struct BucketDouble {
    addr: SocketAddr,
    front: Arc<Front>,
    /// `None` if the test drives the runtime.
    runtime: Option<Runtime>,
}

impl BucketDouble {
    /// Starts an empty bucket on a free port.
    pub(crate) async fn start(dialect: Dialect) -> Self {
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("a runtime");
        let mut double = Self::on(runtime.handle(), dialect, Gate::default());
        double.runtime = Some(runtime);
        double
    }

    /// Starts an empty bucket on the test's runtime, which holds every call except forms until the test
    /// releases it.
    pub(crate) fn held(dialect: Dialect, runtime: &Runtime) -> Self {
        Self::on(runtime.handle(), dialect, Gate::closed())
    }

    fn on(runtime: &Handle, dialect: Dialect, gate: Gate) -> Self {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
        let addr = listener.local_addr().expect("the port just bound");
        let double = Self {
            addr,
            front: Arc::new(Front::new(dialect, gate)),
            runtime: None,
        };
        double.allow(KEY_ID, SECRET, None);
        runtime.spawn(front::serve(listener, double.front.clone()));
        double
    }

    /// Returns the imitated cloud.
    pub(crate) fn dialect(&self) -> Dialect {
        self.front.dialect
    }

    /// Returns the endpoint in path style: the bucket is the first segment of the path.
    pub(crate) fn endpoint(&self) -> String {
        format!("http://{}", self.addr)
    }

    /// Returns the socket address. A request with a `Host` of `chat-test.<anything>`
    /// is virtual-hosted.
    pub(crate) fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Accepts another access key. With a session token, requests signed with the
    /// key must send this token; without, they must send none.
    pub(crate) fn allow(&self, key_id: &str, secret: &str, session_token: Option<&str>) {
        let key = Key {
            secret: secret.to_owned(),
            session_token: session_token.map(str::to_owned),
        };
        self.front
            .change(|now| now.keys.insert(key_id.to_owned(), key));
    }

    /// Permits listing keys with these prefixes only; a missing object is then
    /// answered with 403, as AWS does without permission to list the whole bucket.
    pub(crate) fn list_only(&self, prefixes: &[&str]) {
        let prefixes = prefixes.iter().map(|&prefix| prefix.to_owned()).collect();
        self.front.change(|now| now.role.listed = Some(prefixes));
    }

    /// Limits the source of CopyObject to this many bytes, instead of 5 GiB.
    pub(crate) fn limit_copies(&self, bytes: usize) {
        self.front
            .change(|now| now.role.max_copy_bytes = Some(bytes));
    }

    /// Stores an object without a request.
    pub(crate) fn plant(&self, key: &str, object: Object) {
        self.front.change(|now| now.put(key.to_owned(), object));
    }

    /// Plans a fault for the next `times` requests of this kind (`usize::MAX`:
    /// all). Faults are injected in the order they were planned.
    pub(crate) fn fail(&self, on: Operation, fault: Fault, times: usize) {
        self.front
            .change(|now| now.planned.push(Planned { on, fault, times }));
    }

    /// Cancels the planned faults.
    pub(crate) fn heal(&self) {
        self.front.change(|now| now.planned.clear());
    }

    /// Returns the calls that wait for the test, see [`BucketDouble::held`].
    pub(crate) fn calls_held(&self) -> Vec<Held> {
        self.front.gate.held()
    }

    /// Releases a held call to its next stage.
    pub(crate) fn release(&self, number: usize) {
        self.front.gate.release(number);
    }

    /// Returns all objects, by key.
    pub(crate) fn objects(&self) -> BTreeMap<String, Object> {
        self.front.contents.borrow().objects().clone()
    }

    /// Counts multipart uploads that are neither completed nor aborted.
    pub(crate) fn open_uploads(&self) -> usize {
        self.front.contents.borrow().open_uploads()
    }

    /// Returns the bytes in parts of open uploads, which a provider would bill.
    pub(crate) fn part_bytes(&self) -> usize {
        self.front.contents.borrow().part_bytes()
    }

    /// Returns every request so far, in order of arrival.
    pub(crate) fn requests(&self) -> Vec<Recorded> {
        self.front.contents.borrow().requests().to_vec()
    }

    /// Asserts that the bucket has no object and no open upload.
    #[track_caller]
    pub(crate) fn assert_nothing_left(&self) {
        let contents = self.front.contents.borrow();
        assert!(
            contents.objects().is_empty() && contents.open_uploads() == 0,
            "the bucket should be empty, but has {contents:?}"
        );
    }

    /// Waits until `holds` is true of the contents, for effects after the client
    /// has disconnected. Panics with the contents after ten seconds.
    #[track_caller]
    pub(crate) fn wait_until(&self, holds: impl Fn(&Contents) -> bool) -> impl Future<Output = ()> {
        let caller = Location::caller();
        let mut contents = self.front.contents.subscribe();
        async move {
            let settled = timeout(TIMEOUT, contents.wait_for(|now| holds(now)))
                .await
                .is_ok();
            if !settled {
                let now = contents.borrow();
                panic!("waited {TIMEOUT:?} in vain at {caller}; the bucket has {now:?}");
            }
        }
    }
}

impl Drop for BucketDouble {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}
