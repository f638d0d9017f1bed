//! Holds calls to the double until a test lets them go on: before they take effect, and again before
//! they are answered. So the test decides the order of effects and answers.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::oneshot;

use super::front::Operation;

/// How far a held call has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stage {
    /// It has had no effect yet.
    Arrived,
    /// It is not answered yet.
    Performed,
}

/// A call that waits at the gate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Held {
    pub(crate) number: usize,
    pub(crate) operation: Operation,
    pub(crate) key: String,
    pub(crate) stage: Stage,
}

/// Open until it is closed.
#[derive(Default)]
pub(super) struct Gate {
    closed: AtomicBool,
    held: Mutex<BTreeMap<usize, (Held, oneshot::Sender<()>)>>,
}

impl Gate {
    pub(super) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Relaxed)
    }

    pub(super) fn close(&self) {
        self.closed.store(true, Ordering::Relaxed);
    }

    /// In the order of arrival.
    pub(super) fn held(&self) -> Vec<Held> {
        let held = self.held.lock().expect("no panic while held");
        held.values().map(|(held, _)| held.clone()).collect()
    }

    /// Lets one call go on to its next stage.
    pub(super) fn let_go(&self, number: usize) {
        let mut held = self.held.lock().expect("no panic while held");
        let (_, go) = held.remove(&number).expect("a call that is held");
        // Its task may have ended with its runtime.
        let _ = go.send(());
    }

    /// Waits until the test lets the call go on.
    pub(super) async fn pass(&self, number: usize, operation: Operation, key: &str, stage: Stage) {
        let (go, gone) = oneshot::channel();
        let held = Held {
            number,
            operation,
            key: key.to_owned(),
            stage,
        };
        self.hold(held, go);
        let _ = gone.await;
    }

    fn hold(&self, call: Held, go: oneshot::Sender<()>) {
        let mut held = self.held.lock().expect("no panic while held");
        held.insert(call.number, (call, go));
    }
}
