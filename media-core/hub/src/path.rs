//! One path: its ring, its publisher, its readers' slots, and who is woken when.
//!
//! Belongs here: the state under the path's one lock. Not here: a reader's cursor (`reader`), the registry and time limits
//! (`hub`).

use crate::demand::Demand;
use crate::feedback::Feedback;
use crate::hub::{PathState, ReaderState};
use crate::name::PathName;
use crate::publisher::PublisherInfo;
use crate::reader::{Ended, ReaderInfo};
use crate::ring::{Entry, Ring, RingLimits};
use crate::skipped::{SkippedTrack, SkippedTracks, bounded};
use crate::timeline::Timeline;
use media::{AccessUnit, MonoTime, TrackId, TrackSet};
use parking_lot::Mutex;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use tokio::sync::Notify;

#[derive(Debug)]
pub(crate) struct Path {
    pub(crate) name: PathName,
    pub(crate) state: Mutex<State>,
    /// Woken on every write and on every change a reader must see.
    pub(crate) readers_wake: Notify,
    demand: Arc<Demand>,
}

#[derive(Debug)]
pub(crate) struct State {
    pub(crate) ring: Ring,
    pub(crate) tracks: Arc<TrackSet>,
    /// What the publisher sends and nobody gets.
    skipped_tracks: Vec<SkippedTrack>,
    pub(crate) publisher: Option<PublisherSlot>,
    /// Counts publishers; the current one's number.
    pub(crate) generation: u64,
    /// Somebody has published since the path was made or last ran out of grace.
    pub(crate) was_live: bool,
    /// Since when there is no publisher, as far as a tick has seen; `None` while there is one.
    pub(crate) vacant_since: Option<MonoTime>,
    pub(crate) readers: Vec<Arc<ReaderSlot>>,
    pub(crate) feedback: Feedback,
    timeline: Timeline,
    inbound_bytes: u64,
    outbound_bytes_of_gone: u64,
}

#[derive(Debug)]
pub(crate) struct PublisherSlot {
    pub(crate) info: PublisherInfo,
    pub(crate) since: MonoTime,
    /// Wakes the one publisher: feedback, readers coming and going, replacement, closing.
    pub(crate) wake: Arc<Notify>,
}

/// What the path knows of a reader; shared with it, so that neither waits for the other.
#[derive(Debug)]
pub(crate) struct ReaderSlot {
    pub(crate) info: ReaderInfo,
    pub(crate) joined: MonoTime,
    ended: AtomicU8,
    pub(crate) bytes: AtomicU64,
    pub(crate) skipped: AtomicU64,
    pub(crate) skipped_tracks: SkippedTracks,
}

impl ReaderSlot {
    pub(crate) fn new(info: ReaderInfo, joined: MonoTime) -> Self {
        Self {
            info,
            joined,
            ended: AtomicU8::new(0),
            bytes: AtomicU64::new(0),
            skipped: AtomicU64::new(0),
            skipped_tracks: SkippedTracks::default(),
        }
    }

    pub(crate) fn end(&self, why: Ended) {
        self.ended.store(why as u8, Ordering::Release);
    }

    pub(crate) fn ended(&self) -> Option<Ended> {
        Ended::from_code(self.ended.load(Ordering::Acquire))
    }
}

impl Path {
    pub(crate) fn new(name: PathName, limits: RingLimits, demand: Arc<Demand>) -> Self {
        let state = State {
            ring: Ring::new(limits),
            tracks: Arc::default(),
            skipped_tracks: Vec::new(),
            publisher: None,
            generation: 0,
            was_live: false,
            vacant_since: None,
            readers: Vec::new(),
            feedback: Feedback::default(),
            timeline: Timeline::default(),
            inbound_bytes: 0,
            outbound_bytes_of_gone: 0,
        };
        Self { name, state: Mutex::new(state), readers_wake: Notify::new(), demand }
    }

    /// Installs a publisher, replacing the one there is.
    pub(crate) fn install(&self, info: PublisherInfo, tracks: TrackSet, now: MonoTime) -> (u64, Arc<Notify>) {
        let wake = Arc::new(Notify::new());
        let generation = {
            let mut state = self.state.lock();
            if let Some(old) = state.publisher.take() {
                old.wake.notify_one();
            }
            state.generation += 1;
            state.publisher = Some(PublisherSlot { info, since: now, wake: Arc::clone(&wake) });
            state.was_live = true;
            state.vacant_since = None;
            state.ring.forget_start();
            state.skipped_tracks.clear();
            state.timeline.new_publisher();
            state.feedback.keyframe |= !state.readers.is_empty();
            if !tracks.is_empty() && *state.tracks != tracks {
                state.tracks = Arc::new(tracks);
            }
            state.generation
        };
        self.readers_wake.notify_waiters();
        (generation, wake)
    }

    /// The publisher numbered `generation` leaves, if it is still the one.
    pub(crate) fn vacate(&self, generation: u64) {
        let mut state = self.state.lock();
        if state.generation == generation && state.publisher.is_some() {
            state.publisher = None;
            state.ring.forget_start();
        }
    }

    /// Writes a unit of publisher `generation`; nothing happens if another one has taken over.
    pub(crate) fn write(&self, generation: u64, mut unit: AccessUnit, now: MonoTime) {
        {
            let mut state = self.state.lock();
            if state.generation != generation || state.publisher.is_none() {
                return;
            }
            state.timeline.mend(&mut unit, now);
            state.inbound_bytes = state.inbound_bytes.saturating_add(unit.payload.len() as u64);
            if unit.is_key() {
                state.feedback.keyframe = false;
            }
            state.adopt_params(&unit);
            let tracks = Arc::clone(&state.tracks);
            state.ring.push(Entry { unit, tracks, arrived: now, generation });
        }
        self.readers_wake.notify_waiters();
    }

    pub(crate) fn set_tracks(&self, generation: u64, tracks: TrackSet) {
        {
            let mut state = self.state.lock();
            if state.generation != generation || *state.tracks == tracks {
                return;
            }
            state.tracks = Arc::new(tracks);
        }
        self.readers_wake.notify_waiters();
    }

    pub(crate) fn set_skipped_tracks(&self, generation: u64, tracks: Vec<SkippedTrack>) {
        let mut state = self.state.lock();
        if state.generation == generation {
            state.skipped_tracks = bounded(tracks);
        }
    }

    pub(crate) fn join(&self, slot: Arc<ReaderSlot>) {
        {
            let mut state = self.state.lock();
            state.readers.push(slot);
            state.wake_publisher();
        }
        self.demand.changed.notify_waiters();
    }

    pub(crate) fn leave(&self, slot: &Arc<ReaderSlot>) {
        {
            let mut state = self.state.lock();
            state.readers.retain(|s| !Arc::ptr_eq(s, slot));
            state.outbound_bytes_of_gone =
                state.outbound_bytes_of_gone.saturating_add(slot.bytes.load(Ordering::Relaxed));
            state.wake_publisher();
        }
        self.demand.changed.notify_waiters();
    }

    pub(crate) fn give_feedback(&self, feedback: Feedback) {
        let mut state = self.state.lock();
        let before = state.feedback;
        state.feedback.merge(feedback);
        if state.feedback != before {
            state.wake_publisher();
        }
    }

    /// Ends every reader and forgets the stream.
    pub(crate) fn end_readers(&self, why: Ended) {
        self.state.lock().end_readers(why);
        self.readers_wake.notify_waiters();
    }

    pub(crate) fn snapshot(&self) -> PathState {
        let state = self.state.lock();
        let readers: Vec<ReaderState> = state
            .readers
            .iter()
            .map(|slot| ReaderState {
                info: slot.info.clone(),
                joined: slot.joined,
                outbound_bytes: slot.bytes.load(Ordering::Relaxed),
                skipped: slot.skipped.load(Ordering::Relaxed),
                skipped_tracks: slot.skipped_tracks.list(),
            })
            .collect();
        let outbound_bytes =
            readers.iter().fold(state.outbound_bytes_of_gone, |n, r| n.saturating_add(r.outbound_bytes));
        PathState {
            name: self.name.clone(),
            publisher: state.publisher.as_ref().map(|slot| (slot.info.clone(), slot.since)),
            tracks: Arc::clone(&state.tracks),
            skipped_tracks: state.skipped_tracks.clone(),
            readers,
            inbound_bytes: state.inbound_bytes,
            outbound_bytes,
            mended: state.timeline.mended(),
            ring_bytes: state.ring.bytes(),
        }
    }
}

impl State {
    pub(crate) fn wake_publisher(&self) {
        if let Some(slot) = &self.publisher {
            slot.wake.notify_one();
        }
    }

    pub(crate) fn end_readers(&mut self, why: Ended) {
        for slot in &self.readers {
            slot.end(why);
        }
        self.ring.clear();
        self.tracks = Arc::default();
        self.skipped_tracks.clear();
        self.timeline = Timeline::default();
        self.feedback = Feedback::default();
    }

    /// A unit that decodes with other parameters than its track announces changes the track.
    fn adopt_params(&mut self, unit: &AccessUnit) {
        let same = |id: TrackId| {
            self.tracks.get(id).is_none_or(|t| Arc::ptr_eq(&t.params, &unit.params) || t.params == unit.params)
        };
        if same(unit.track) {
            return;
        }
        let changed = self.tracks.iter().cloned().map(|mut track| {
            if track.id == unit.track {
                track.params = Arc::clone(&unit.params);
            }
            track
        });
        self.tracks = Arc::new(changed.collect());
    }
}
