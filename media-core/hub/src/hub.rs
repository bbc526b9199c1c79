//! The registry of paths and the passing of time.
//!
//! Belongs here: finding and making paths, ending what waits too long. Not here: a path's own state (`path`).
//!
//! Lock order: the registry before a path, never the other way round.

use crate::demand::{Demand, Waiting};
use crate::name::PathName;
use crate::path::{Path, ReaderSlot};
use crate::publisher::{PublishError, Publisher, PublisherInfo};
use crate::reader::{Ended, Reader, ReaderInfo, Start};
use crate::ring::RingLimits;
use crate::skipped::SkippedTrack;
use crate::timeline::Mended;
use media::{MonoTime, TrackSet};
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;

/// What a hub allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// What each path keeps.
    pub ring: RingLimits,
    /// How long a reader is held while nobody publishes.
    pub reader_wait: Duration,
    /// How long readers are kept after the publisher left.
    pub publisher_grace: Duration,
    /// Most paths, publishers and waiting readers together.
    pub paths: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            ring: RingLimits::default(),
            reader_wait: Duration::from_secs(30),
            publisher_grace: Duration::from_secs(15),
            // A path without readers and publisher is gone within the grace; this only bounds a flood of names.
            paths: 10_000,
        }
    }
}

/// A path at one moment, for the API and metrics.
#[derive(Debug, Clone)]
pub struct PathState {
    /// Its name.
    pub name: PathName,
    /// Who publishes, and since when.
    pub publisher: Option<(PublisherInfo, MonoTime)>,
    /// What it carries.
    pub tracks: Arc<TrackSet>,
    /// What its publisher sends and nobody gets.
    pub skipped_tracks: Vec<SkippedTrack>,
    /// Who reads.
    pub readers: Vec<ReaderState>,
    /// Payload bytes written.
    pub inbound_bytes: u64,
    /// Payload bytes handed to readers, those gone included.
    pub outbound_bytes: u64,
    /// How often times were mended.
    pub mended: Mended,
    /// Payload bytes kept in the ring.
    pub ring_bytes: usize,
}

/// A reader at one moment.
#[derive(Debug, Clone)]
pub struct ReaderState {
    /// Who it is.
    pub info: ReaderInfo,
    /// Since when.
    pub joined: MonoTime,
    /// Payload bytes handed to it.
    pub outbound_bytes: u64,
    /// Units it lost or passed over.
    pub skipped: u64,
    /// Tracks of the path that it does not get.
    pub skipped_tracks: Vec<SkippedTrack>,
}

/// All paths of one relay. A clone is another handle to the same.
#[derive(Debug, Clone)]
pub struct Hub(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    limits: Limits,
    paths: Mutex<BTreeMap<PathName, Arc<Path>>>,
    published: Notify,
    demand: Arc<Demand>,
}

impl Hub {
    /// An empty hub.
    pub fn new(limits: Limits) -> Self {
        Self(Arc::new(Inner { limits, paths: Mutex::default(), published: Notify::new(), demand: Arc::default() }))
    }

    /// Publishes on `name`. A publisher that is there is replaced at once: a phone that reconnects is never refused because
    /// of its dead socket. `tracks` may be empty and announced later.
    ///
    /// # Errors
    /// [`PublishError::TooManyPaths`].
    pub fn publish(
        &self,
        name: &PathName,
        info: PublisherInfo,
        tracks: TrackSet,
        now: MonoTime,
    ) -> Result<Publisher, PublishError> {
        let publisher = {
            let mut paths = self.0.paths.lock();
            let path = self.0.path(&mut paths, name)?;
            let (generation, wake) = path.install(info, tracks, now);
            Publisher::new(path, generation, wake)
        };
        self.0.published.notify_waiters();
        Ok(publisher)
    }

    /// Reads `name`, published already or not.
    ///
    /// # Errors
    /// [`PublishError::TooManyPaths`] where the path would be one too many.
    pub fn read(&self, name: &PathName, info: ReaderInfo, start: Start, now: MonoTime) -> Result<Reader, PublishError> {
        let mut paths = self.0.paths.lock();
        let path = self.0.path(&mut paths, name)?;
        let slot = Arc::new(ReaderSlot::new(info, now));
        path.join(Arc::clone(&slot));
        Ok(Reader::new(path, slot, start))
    }

    /// Has `name` a publisher now?
    pub fn is_published(&self, name: &PathName) -> bool {
        let path = self.0.paths.lock().get(name).cloned();
        path.is_some_and(|p| p.state.lock().publisher.is_some())
    }

    /// The tracks of `name`, where somebody publishes it; an empty set while they are not announced yet.
    pub fn tracks(&self, name: &PathName) -> Option<Arc<TrackSet>> {
        let path = self.0.paths.lock().get(name).cloned()?;
        let state = path.state.lock();
        state.publisher.as_ref().map(|_| Arc::clone(&state.tracks))
    }

    /// Waits for the next publisher on any path. Create the future before looking, so that none is missed.
    pub fn published(&self) -> tokio::sync::futures::Notified<'_> {
        self.0.published.notified()
    }

    /// Tells that somebody waits for `name` to be published, until the answer is dropped.
    pub fn wait(&self, name: &PathName) -> Waiting {
        self.0.demand.wait(name)
    }

    /// How many read `name` or wait for it.
    pub fn demand(&self, name: &PathName) -> usize {
        let path = self.0.paths.lock().get(name).cloned();
        let readers = path.map_or(0, |path| path.state.lock().readers.len());
        readers.saturating_add(self.0.demand.waiting(name))
    }

    /// Waits for the next change of [`Self::demand`] on any path. Create the future before looking, so that none is missed.
    pub fn demand_changed(&self) -> tokio::sync::futures::Notified<'_> {
        self.0.demand.changed.notified()
    }

    /// Throws the publisher of `name` out and ends its readers now.
    pub fn close(&self, name: &PathName) {
        let path = self.0.paths.lock().get(name).cloned();
        if let Some(path) = path {
            let slot = path.state.lock().publisher.take();
            if let Some(slot) = slot {
                slot.wake.notify_one();
            }
            path.end_readers(Ended::Closed);
        }
    }

    /// Every path, by name.
    pub fn paths(&self) -> Vec<PathState> {
        let paths: Vec<_> = self.0.paths.lock().values().cloned().collect();
        paths.iter().map(|p| p.snapshot()).collect()
    }

    /// One path.
    pub fn path(&self, name: &PathName) -> Option<PathState> {
        let path = self.0.paths.lock().get(name).cloned();
        path.map(|p| p.snapshot())
    }

    /// Lets time pass: ends readers that waited too long, forgets paths that nobody uses. Call it a few times a second.
    pub fn tick(&self, now: MonoTime) {
        self.0.paths.lock().retain(|_, path| !self.0.limits.expire(path, now));
    }
}

impl Inner {
    fn path(&self, paths: &mut BTreeMap<PathName, Arc<Path>>, name: &PathName) -> Result<Arc<Path>, PublishError> {
        if let Some(path) = paths.get(name) {
            return Ok(Arc::clone(path));
        }
        if paths.len() >= self.limits.paths {
            return Err(PublishError::TooManyPaths(self.limits.paths));
        }
        let path = Arc::new(Path::new(name.clone(), self.limits.ring, Arc::clone(&self.demand)));
        paths.insert(name.clone(), Arc::clone(&path));
        Ok(path)
    }
}

impl Limits {
    /// Ends what has waited too long on `path`; true if nobody needs it any more.
    fn expire(&self, path: &Path, now: MonoTime) -> bool {
        let mut state = path.state.lock();
        if state.publisher.is_some() {
            return false;
        }
        let vacant = now.since(*state.vacant_since.get_or_insert(now));
        let was_live = state.was_live;
        let mut ended = false;
        if was_live && vacant >= self.publisher_grace {
            state.end_readers(Ended::PublisherGone);
            // From here on it is a path that nobody publishes; later readers wait their own time.
            state.was_live = false;
            ended = true;
        } else if !was_live {
            for slot in &state.readers {
                if now.since(slot.joined) >= self.reader_wait && slot.ended().is_none() {
                    slot.end(Ended::NoPublisher);
                    ended = true;
                }
            }
        }
        let unused = state.readers.is_empty() && (!was_live || vacant >= self.publisher_grace);
        drop(state);
        if ended {
            path.readers_wake.notify_waiters();
        }
        unused
    }
}
