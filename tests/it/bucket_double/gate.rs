//! Holds calls to the double until a test releases them: before they take effect, and again before
//! they are answered. So the test decides the order of effects and responses.

use std::collections::BTreeMap;
use std::sync::Mutex;

use tokio::sync::oneshot;

use super::front::Operation;

/// Progress of a held call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stage {
    /// Received, without effect so far.
    Arrived,
    /// Performed, and not answered yet.
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

/// Lets calls pass, or holds each one.
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

    /// Returns the held calls, in order of arrival.
    pub(super) fn held(&self) -> Vec<Held> {
        let held = self.held.lock().expect("no panic while held");
        held.values().map(|(held, _)| held.clone()).collect()
    }

    /// Releases one call to its next stage.
    pub(super) fn release(&self, number: usize) {
        let mut held = self.held.lock().expect("no panic while held");
        let (_, release) = held.remove(&number).expect("a held call");
        // Its task may have ended with its runtime.
        let _ = release.send(());
    }

    /// Waits until the test releases the call.
    pub(super) async fn pass(&self, call: Held) {
        let (release, released) = oneshot::channel();
        let held = self.held.lock();
        held.expect("no panic while held")
            .insert(call.number, (call, release));
        let _ = released.await;
    }
}
