//! One writer for many players of a path.
//!
//! Belongs here: who is served together, and how a player leaves when it needs more than the next unit. Not here: what a player is sent
//! (`connection`), which units it gets (`hub`).
//!
//! A task for each player costs a wake-up for each player and unit, which with hundreds of players was half of what a unit cost. A player
//! that has got everything and waits for the next unit is therefore *seated*: its whole connection is put where the path's writer finds it,
//! and its own task only waits for what the peer says. The writer serves the seated, one after another, without ever waiting: whoever cannot
//! take all of a unit at once is given back to its own task, which waits for that peer alone, lets the hub skip what it must, and seats it
//! again when it is level.

use super::serving::{Held, Served};
use hub::{Changes, PathName};
use parking_lot::Mutex;
use std::collections::HashMap;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::sync::Notify;

/// Players of one writer. Serving so many takes about a millisecond; more of them are spread over more cores, which then contend for the path.
const SEATS: usize = 512;

/// The writers of all paths.
#[derive(Debug, Clone, Default)]
pub(crate) struct Fanout(Arc<Mutex<HashMap<PathName, Vec<Arc<Group>>>>>);

/// Players that are served together.
struct Group {
    changes: Changes,
    seats: Mutex<Vec<Arc<Seat>>>,
    /// Somebody left.
    left: Notify,
}

impl std::fmt::Debug for Group {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Group").field("path", self.changes.path()).finish_non_exhaustive()
    }
}

#[derive(Default)]
struct Seat {
    /// Empty while its own task looks after it.
    held: Mutex<Option<Held>>,
    /// What the writer leaves to the player's own task.
    left: Mutex<Option<Served>>,
    back: Notify,
    free: AtomicBool,
}

/// A player's place with a writer, which it keeps while its own task looks after it for a moment. Dropping it leaves.
pub(super) struct Place {
    seat: Arc<Seat>,
    group: Arc<Group>,
}

impl Fanout {
    /// A place for a player that listens where `changes` come from.
    pub(super) fn place(&self, changes: &Changes) -> Place {
        let seat = Arc::new(Seat::default());
        let group = self.group(changes, &seat);
        Place { seat, group }
    }

    /// The group of this path that has room, with `seat` in it.
    fn group(&self, changes: &Changes, seat: &Arc<Seat>) -> Arc<Group> {
        let mut all = self.0.lock();
        let groups = all.entry(changes.path().clone()).or_default();
        for group in groups.iter().filter(|group| group.changes == *changes) {
            let mut seats = group.seats.lock();
            if seats.len() < SEATS {
                seats.push(Arc::clone(seat));
                return Arc::clone(group);
            }
        }
        let group = Arc::new(Group {
            changes: changes.clone(),
            seats: Mutex::new(vec![Arc::clone(seat)]),
            left: Notify::new(),
        });
        groups.push(Arc::clone(&group));
        // It serves by polling sockets that never make it wait; tokio's budget would make them seem full.
        tokio::spawn(tokio::task::unconstrained(self.clone().write(Arc::clone(&group))));
        group
    }

    /// Serves the seated whenever their path has changed, until nobody is left.
    async fn write(self, group: Arc<Group>) {
        loop {
            let changed = group.changes.next();
            tokio::pin!(changed);
            changed.as_mut().enable();
            group.serve();
            loop {
                tokio::select! {
                    () = &mut changed => break,
                    () = group.left.notified() => {}
                }
                if self.ends(&group) {
                    return;
                }
            }
        }
    }

    /// Clears the places of those who left; takes `group` off the list if nobody stays.
    fn ends(&self, group: &Arc<Group>) -> bool {
        let mut all = self.0.lock();
        let mut seats = group.seats.lock();
        seats.retain(|seat| !seat.free.load(Ordering::Acquire));
        if !seats.is_empty() {
            return false;
        }
        let path = group.changes.path();
        if let Some(groups) = all.get_mut(path) {
            groups.retain(|other| !Arc::ptr_eq(other, group));
            if groups.is_empty() {
                all.remove(path);
            }
        }
        true
    }
}

impl Group {
    fn serve(&self) {
        for seat in &*self.seats.lock() {
            seat.serve(&self.changes);
        }
    }
}

impl Seat {
    /// Hands on what there is, if the player is seated and can take it.
    fn serve(&self, changes: &Changes) {
        let mut held = self.held.lock();
        let mut left = self.left.lock();
        if left.is_some() {
            return;
        }
        let Some(held) = &mut *held else { return };
        // As in a task of its own, a fault ends one player alone.
        let served = catch_unwind(AssertUnwindSafe(|| held.serve(changes)));
        let served = served.unwrap_or_else(|_panic| Served::Failed(io::Error::other("a fault in the relay")));
        if !matches!(served, Served::Level) {
            *left = Some(served);
            self.back.notify_one();
        }
    }
}

impl Place {
    /// Is it with a writer that serves this path?
    pub(super) fn serves(&self, changes: &Changes) -> bool {
        self.group.changes == *changes
    }

    /// Takes the seat, and is served at once: what was written before is not written again.
    pub(super) fn sit(&self, held: Held) {
        *self.seat.held.lock() = Some(held);
        self.seat.serve(&self.group.changes);
    }

    /// Waits until the player's own task is needed.
    pub(super) async fn left(&self) {
        self.seat.back.notified().await;
    }

    /// The player, if it sat, and how it was served last.
    pub(super) fn stand(&self) -> Option<(Held, Served)> {
        let held = self.seat.held.lock().take()?;
        Some((held, self.seat.left.lock().take().unwrap_or(Served::Level)))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        drop(self.stand());
        self.seat.free.store(true, Ordering::Release);
        self.group.left.notify_one();
    }
}
