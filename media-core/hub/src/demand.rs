//! Who wants a path: readers, and those who wait for it to be published.
//!
//! Belongs here: counting, and waking whoever fetches a stream only while it is wanted. Not here: readers' cursors (`reader`), fetching
//! (`relay::source`).

use crate::name::PathName;
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::sync::Notify;

#[derive(Debug, Default)]
pub(crate) struct Demand {
    /// How many wait, by path; as many entries as there are connections at most.
    waiting: Mutex<BTreeMap<PathName, usize>>,
    /// Woken when a reader or a wait comes or goes, on whatever path.
    pub(crate) changed: Notify,
}

impl Demand {
    pub(crate) fn wait(self: &Arc<Self>, name: &PathName) -> Waiting {
        *self.waiting.lock().entry(name.clone()).or_default() += 1;
        self.changed.notify_waiters();
        Waiting { demand: Arc::clone(self), name: name.clone() }
    }

    pub(crate) fn waiting(&self, name: &PathName) -> usize {
        self.waiting.lock().get(name).copied().unwrap_or_default()
    }
}

/// Somebody who would read a path as soon as it is published. Dropping it is no longer wanting to.
#[derive(Debug)]
pub struct Waiting {
    demand: Arc<Demand>,
    name: PathName,
}

impl Drop for Waiting {
    fn drop(&mut self) {
        {
            let mut waiting = self.demand.waiting.lock();
            if let Some(count) = waiting.get_mut(&self.name) {
                *count -= 1;
                if *count == 0 {
                    waiting.remove(&self.name);
                }
            }
        }
        self.demand.changed.notify_waiters();
    }
}
