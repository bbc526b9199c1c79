//! The list of what is pushed where, and the handles to it.
//!
//! Belongs here: starting and stopping pushes, and what is known of each. Not here: how one goes on (`keeper`), JSON (`api`).

use super::destination::Destination;
use super::keeper;
use crate::clock::Clock;
use crate::listen::Listening;
use hub::PathName;
use media::MonoTime;
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// How far a push is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PushPhase {
    /// Nobody publishes the path.
    Waiting,
    /// The server is being asked.
    Connecting,
    /// The server takes the stream, since then.
    Running(MonoTime),
    /// It failed, and is tried again then.
    Failed {
        /// In words for a person.
        error: String,
        /// When the next try comes.
        again: MonoTime,
    },
}

impl PushPhase {
    /// For lists.
    pub(crate) const fn name(&self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Connecting => "connecting",
            Self::Running(_) => "running",
            Self::Failed { .. } => "failed",
        }
    }
}

/// A push at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PushState {
    /// Its id, also that of its reader in the path's list.
    pub id: String,
    /// Which path.
    pub path: PathName,
    /// Where to, without keys and passwords.
    pub destination: String,
    /// Since when it is wanted.
    pub created: MonoTime,
    /// How far it is.
    pub phase: PushPhase,
    /// Bytes sent, over all connections.
    pub outbound_bytes: u64,
    /// Times that it failed, or was ended by the server.
    pub failures: u64,
}

#[derive(Debug)]
struct Entry {
    state: PushState,
    stop: CancellationToken,
    kick: Arc<Notify>,
}

/// Every push of a relay. A clone is another handle to the same.
#[derive(Debug, Clone)]
pub(crate) struct Pushes(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    listening: Listening,
    clock: Clock,
    stop: CancellationToken,
    entries: Mutex<BTreeMap<String, Entry>>,
    tasks: Mutex<JoinSet<()>>,
}

impl Pushes {
    pub(crate) fn new(listening: Listening, clock: Clock, stop: CancellationToken) -> Self {
        Self(Arc::new(Inner { listening, clock, stop, entries: Mutex::default(), tasks: Mutex::default() }))
    }

    /// Pushes `path` from now on, whenever it is published. Within a runtime.
    pub(crate) fn start(&self, path: PathName, destination: Destination) -> Push {
        let id = uuid::Uuid::new_v4().to_string();
        let (stop, kick) = (self.0.stop.child_token(), Arc::new(Notify::new()));
        let state = PushState {
            id: id.clone(),
            path: path.clone(),
            destination: destination.to_string(),
            created: self.0.clock.now(),
            phase: PushPhase::Waiting,
            outbound_bytes: 0,
            failures: 0,
        };
        let entry = Entry { state, stop: stop.clone(), kick: Arc::clone(&kick) };
        self.0.entries.lock().insert(id.clone(), entry);
        let listed = Listed { pushes: self.clone(), id: id.clone() };
        let run = keeper::keep(path, destination, self.0.listening.clone(), self.0.clock, listed, stop.clone(), kick);
        let mut tasks = self.0.tasks.lock();
        while tasks.try_join_next().is_some() {}
        tasks.spawn(run);
        Push { pushes: self.clone(), id, stop: Some(stop) }
    }

    pub(crate) fn list(&self) -> Vec<PushState> {
        let mut all: Vec<_> = self.0.entries.lock().values().map(|entry| entry.state.clone()).collect();
        all.sort_by_key(|state| state.created);
        all
    }

    fn get(&self, id: &str) -> Option<PushState> {
        self.0.entries.lock().get(id).map(|entry| entry.state.clone())
    }

    /// Ends a push's connection, or its pause; it is tried again at once. `false` if there is none of this id.
    pub(crate) fn kick(&self, id: &str) -> bool {
        let entries = self.0.entries.lock();
        entries.get(id).inspect(|entry| entry.kick.notify_waiters()).is_some()
    }

    /// Waits until every push has said goodbye; the relay's stop has told them to.
    pub(crate) async fn ended(&self) {
        let mut tasks = std::mem::take(&mut *self.0.tasks.lock());
        while tasks.join_next().await.is_some() {}
    }
}

/// A push that somebody holds; dropping it stops it.
#[derive(Debug)]
pub struct Push {
    pushes: Pushes,
    id: String,
    stop: Option<CancellationToken>,
}

impl Push {
    /// Its id in the API.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// What is known of it; `None` once it has ended.
    pub fn state(&self) -> Option<PushState> {
        self.pushes.get(&self.id)
    }

    /// Tries again at once.
    pub fn retry(&self) {
        let _there = self.pushes.kick(&self.id);
    }

    /// Lets it go on for as long as the relay runs.
    pub fn detach(mut self) {
        self.stop = None;
    }
}

impl Drop for Push {
    fn drop(&mut self) {
        if let Some(stop) = &self.stop {
            stop.cancel();
        }
    }
}

/// A push's own place in the list; it is taken off however the push ends.
pub(super) struct Listed {
    pushes: Pushes,
    pub(super) id: String,
}

impl Listed {
    pub(super) fn phase(&self, phase: PushPhase) {
        self.update(|state| state.phase = phase);
    }

    /// Counts what was sent.
    pub(super) fn sent(&self, bytes: usize) {
        self.update(|state| state.outbound_bytes = state.outbound_bytes.saturating_add(bytes as u64));
    }

    pub(super) fn failed(&self, error: String, again: MonoTime) {
        self.update(|state| {
            state.failures += 1;
            state.phase = PushPhase::Failed { error, again };
        });
    }

    fn update(&self, change: impl FnOnce(&mut PushState)) {
        if let Some(entry) = self.pushes.0.entries.lock().get_mut(&self.id) {
            change(&mut entry.state);
        }
    }
}

impl Drop for Listed {
    fn drop(&mut self) {
        let entry = self.pushes.0.entries.lock().remove(&self.id);
        if let Some(entry) = entry {
            entry.stop.cancel();
        }
    }
}
