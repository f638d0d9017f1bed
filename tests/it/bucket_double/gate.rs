//! Holds calls to the double until a test lets them go on: before they take effect, and again before
//! they are answered. So the test decides the order of effects and answers.

use std::collections::BTreeMap;
use std::sync::Mutex;

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

/// Lets calls pass, or holds each of them.
#[derive(Default)]
pub(super) struct Gate {
    pub(super) is_closed: bool,
    held: Mutex<BTreeMap<usize, (Held, oneshot::Sender<()>)>>,
}

impl Gate {
    pub(super) fn closed() -> Self {
        Self {
            is_closed: true,
            ..Self::default()
        }
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
    pub(super) async fn pass(&self, call: Held) {
        let (go, gone) = oneshot::channel();
        let held = self.held.lock();
        held.expect("no panic while held")
            .insert(call.number, (call, go));
        let _ = gone.await;
    }
}
