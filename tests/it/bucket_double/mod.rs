//! A bucket that runs inside the test process, speaks the S3 protocol over
//! loopback, and can be told to fail.
//!
//! Four steps answer a request:
//!
//! 1. `front` takes it from the connection, writes it down, applies the fault
//!    that is planned for it, and refuses what the dialect does not know.
//! 2. The `s3s` crate parses it and checks its SigV4 signature, in headers or
//!    in a presigned query. A POST form goes to `post_form` instead, which knows
//!    the native forms of both clouds.
//! 3. `backend` looks at the session token and translates between S3's
//!    messages and the contents.
//! 4. `contents` holds objects and part uploads, and knows the rules about them. The keys, rights and
//!    faults that a test sets are there, too.
//!
//! The double is stricter than clouds are where that finds mistakes: parts of
//! an upload that was completed or aborted are gone, and a second completion is
//! 404 `NoSuchUpload`. It is laxer in this: `x-amz-checksum-*` headers are not
//! verified and every region is accepted.
//!
//! It has a thread and a runtime of its own, so a test may block its thread, and
//! ending the double ends every connection, hanging ones too.

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

/// The one bucket there is.
pub(crate) const BUCKET: &str = "chat-test";
/// The key every double accepts, without a session token.
pub(crate) const KEY_ID: &str = "AKIDCHATTEST";
/// The secret of [`KEY_ID`].
pub(crate) const SECRET: &str = "only-known-to-tests";

/// How long [`BucketDouble::wait_until`] waits at most.
const TIMEOUT: Duration = Duration::from_secs(10);

/// The cloud that the double imitates.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Dialect {
    /// AWS: `If-None-Match: *` on writes, parts of at least 5 MiB.
    S3,
    /// OSS through its S3-compatible API: no trailers, no conditional writes
    /// but `x-oss-forbid-overwrite`, parts of at least 100 KiB, no path style
    /// on its own domain.
    Oss,
}

/// A running bucket on 127.0.0.1; it stops when dropped.
pub(crate) struct BucketDouble {
    addr: SocketAddr,
    front: Arc<Front>,
    /// `None` where the test runs it.
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

    /// Starts an empty bucket that does nothing but while the test runs this runtime, and holds every
    /// call except forms until the test lets it go on.
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

    /// The cloud that it imitates.
    pub(crate) fn dialect(&self) -> Dialect {
        self.front.dialect
    }

    /// The address in path style: the bucket is the first segment of the path.
    pub(crate) fn endpoint(&self) -> String {
        format!("http://{}", self.addr)
    }

    /// Where to connect. A request whose `Host` is `chat-test.<anything>` is
    /// taken as virtual-hosted, whatever `<anything>` is.
    pub(crate) fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Accepts one more key. With a session token, requests signed by the key
    /// must carry exactly this token; without, they must carry none.
    pub(crate) fn allow(&self, key_id: &str, secret: &str, session_token: Option<&str>) {
        let key = Key {
            secret: secret.to_owned(),
            session_token: session_token.map(str::to_owned),
        };
        self.front
            .change(|now| now.keys.insert(key_id.to_owned(), key));
    }

    /// From now on nobody may list keys but those below one of these prefixes;
    /// and whoever asks for an object that is not there is answered 403, as AWS
    /// does to those who may not list the whole bucket.
    pub(crate) fn list_only(&self, prefixes: &[&str]) {
        let prefixes = prefixes.iter().map(|&prefix| prefix.to_owned()).collect();
        self.front.change(|now| now.role.listed = Some(prefixes));
    }

    /// From now on CopyObject takes sources of so many bytes at most, instead of
    /// 5 GiB.
    pub(crate) fn limit_copies(&self, bytes: usize) {
        self.front.change(|now| now.role.largest_copy = Some(bytes));
    }

    /// Puts an object there as if somebody had uploaded it.
    pub(crate) fn plant(&self, key: &str, object: Object) {
        self.front.change(|now| now.put(key.to_owned(), object));
    }

    /// Plans a fault for the next `times` requests of this kind (`usize::MAX`:
    /// for ever). Faults planned first strike first.
    pub(crate) fn fail(&self, on: Operation, fault: Fault, times: usize) {
        self.front
            .change(|now| now.planned.push(Planned { on, fault, times }));
    }

    /// Forgets the faults that were planned and have not struck.
    pub(crate) fn heal(&self) {
        self.front.change(|now| now.planned.clear());
    }

    /// The calls that wait for the test, see [`BucketDouble::held`].
    pub(crate) fn calls_held(&self) -> Vec<Held> {
        self.front.gate.held()
    }

    /// Lets a held call take effect, or be answered if it has.
    pub(crate) fn let_go(&self, number: usize) {
        self.front.gate.let_go(number);
    }

    /// Everything stored, by key.
    pub(crate) fn objects(&self) -> BTreeMap<String, Object> {
        self.front.contents.borrow().objects().clone()
    }

    /// Part uploads created, but neither completed nor aborted.
    pub(crate) fn open_uploads(&self) -> usize {
        self.front.contents.borrow().open_uploads()
    }

    /// Bytes in the parts of open uploads: what a provider would charge for.
    pub(crate) fn parts_held(&self) -> usize {
        self.front.contents.borrow().parts_held()
    }

    /// Every request so far, in the order of arrival.
    pub(crate) fn requests(&self) -> Vec<Recorded> {
        self.front.contents.borrow().requests().to_vec()
    }

    /// Asserts that no object and no part of one was left behind.
    #[track_caller]
    pub(crate) fn assert_nothing_left(&self) {
        let contents = self.front.contents.borrow();
        assert!(
            contents.objects().is_empty() && contents.open_uploads() == 0,
            "the bucket should be empty, but has {contents:?}"
        );
    }

    /// Waits until `holds` is true of the contents, for what happens after the
    /// client has left. Panics with the contents after ten seconds.
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
