//! The reading end of a path: a cursor into its ring.
//!
//! Belongs here: where a reader starts, what it skips, what it is told. Not here: what is kept (`ring`), sockets.
//!
//! Falling behind is a value: a reader whose place has left the ring gets [`ReadError::Lagged`] once and then goes on with
//! sound at once and with pictures from the next key frame. Whole GOPs are lost, never half of one.

use crate::feedback::Feedback;
use crate::path::{Path, ReaderSlot, State};
use crate::ring::Entry;
use crate::skipped::SkippedTrack;
use media::{AccessUnit, MediaKind, MonoTime, TrackSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use thiserror::Error;
use tokio::sync::futures::Notified;

/// Who reads, for the API and the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReaderInfo {
    /// MediaMTX's name for the kind of reader, such as `rtmpConn` or `hlsSession`.
    pub kind: &'static str,
    /// The connection's or session's id.
    pub id: String,
}

/// Where a reader begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    /// With the first picture soonest: a key frame on request where the publisher answers such wishes, else the newest GOP.
    Soonest,
    /// With the newest GOP in the ring, however old; else with the next key frame.
    LastKey,
    /// With the next key frame.
    NextKey,
    /// With whatever comes next, key or not.
    Live,
}

/// What a reader gets.
#[derive(Debug, Clone)]
pub enum Item {
    /// The tracks that the units after this belong to: first of all, and on every change.
    Tracks(Arc<TrackSet>),
    /// A unit, and when it came in.
    Unit(AccessUnit, MonoTime),
}

/// A reader fell behind the ring.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("fell behind, {missed} units lost")]
pub struct Lagged {
    /// Units that left the ring unread.
    pub missed: u64,
}

/// Why a reader's stream is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[repr(u8)]
pub enum Ended {
    /// The publisher has gone and did not come back within the grace.
    #[error("the publisher has gone")]
    PublisherGone = 1,
    /// Nobody published within the time a reader waits.
    #[error("nobody is publishing there")]
    NoPublisher = 2,
    /// The path was closed.
    #[error("the path was closed")]
    Closed = 3,
}

impl Ended {
    pub(crate) const fn from_code(code: u8) -> Option<Self> {
        match code {
            1 => Some(Self::PublisherGone),
            2 => Some(Self::NoPublisher),
            3 => Some(Self::Closed),
            _ => None,
        }
    }
}

/// What a reader is told instead of an item.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum ReadError {
    /// Units were lost; reading goes on by itself.
    #[error(transparent)]
    Lagged(#[from] Lagged),
    /// There is nothing more to read.
    #[error(transparent)]
    Ended(#[from] Ended),
}

/// Everything that its readers must look at: units written, tracks known, streams ended.
#[derive(Debug, Clone)]
pub struct Changes(Arc<Path>);

impl Changes {
    /// The next change; enable it before asking the readers, so that none in between is missed.
    pub fn next(&self) -> Notified<'_> {
        self.0.readers_wake.notified()
    }

    /// The path's name.
    pub fn path(&self) -> &crate::PathName {
        &self.0.name
    }
}

impl PartialEq for Changes {
    /// Of the very same path, which a later one of its name is not.
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for Changes {}

/// A key frame this young serves a joining reader as well as a fresh one would, and spares the publisher a request.
const FRESH_KEY: Duration = Duration::from_millis(250);

/// A cursor into a path's ring. Dropping it leaves.
#[derive(Debug)]
pub struct Reader {
    path: Arc<Path>,
    slot: Arc<ReaderSlot>,
    start: Start,
    /// Number of the next entry; `None` until the start was found.
    cursor: Option<u64>,
    tracks: Option<Arc<TrackSet>>,
    /// Pictures are passed over until a key frame.
    need_key: bool,
    /// Pictures below this number are passed over (impatience).
    skip_pictures_to: u64,
    generation: u64,
    patience: Option<Duration>,
}

impl Reader {
    pub(crate) const fn new(path: Arc<Path>, slot: Arc<ReaderSlot>, start: Start) -> Self {
        Self {
            path,
            slot,
            start,
            cursor: None,
            tracks: None,
            need_key: false,
            skip_pictures_to: 0,
            generation: 0,
            patience: None,
        }
    }

    /// Sets how far behind the newest unit pictures may be before whole GOPs are passed over to catch up.
    #[must_use]
    pub const fn with_patience(mut self, patience: Duration) -> Self {
        self.patience = Some(patience);
        self
    }

    /// Waits for the next item.
    ///
    /// # Errors
    /// [`ReadError::Lagged`] once per loss, after which reading goes on; [`ReadError::Ended`] for good.
    pub async fn next(&mut self) -> Result<Item, ReadError> {
        let path = Arc::clone(&self.path);
        loop {
            let woken = path.readers_wake.notified();
            tokio::pin!(woken);
            // Registered before looking, so that a write in between is not missed.
            woken.as_mut().enable();
            if let Some(item) = self.try_next()? {
                return Ok(item);
            }
            woken.await;
        }
    }

    /// The next item if there is one now.
    ///
    /// # Errors
    /// As [`Reader::next`].
    pub fn try_next(&mut self) -> Result<Option<Item>, ReadError> {
        let path = Arc::clone(&self.path);
        let mut state = path.state.lock();
        if let Some(ended) = self.slot.ended() {
            return Err(ended.into());
        }
        let Some(cursor) = self.cursor.or_else(|| self.find_start(&mut state)) else {
            return Ok(self.announced(&state));
        };
        let first = state.ring.first();
        if cursor < first {
            let missed = first - cursor;
            self.cursor = Some(first);
            self.need_key = true;
            if state.ring.last_key().is_none() {
                request_keyframe(&mut state);
            }
            self.slot.skipped.fetch_add(missed, Ordering::Relaxed);
            return Err(Lagged { missed }.into());
        }
        self.lose_patience(&state, cursor);
        Ok(self.advance(&state, cursor).or_else(|| self.announced(&state)))
    }

    fn advance(&mut self, state: &State, mut cursor: u64) -> Option<Item> {
        while let Some(entry) = state.ring.get(cursor) {
            if self.tracks.as_ref().is_none_or(|t| !Arc::ptr_eq(t, &entry.tracks)) {
                self.tracks = Some(Arc::clone(&entry.tracks));
                self.cursor = Some(cursor);
                return Some(Item::Tracks(Arc::clone(&entry.tracks)));
            }
            if self.wants(cursor, entry) {
                let (unit, arrived) = (entry.unit.clone(), entry.arrived);
                self.slot.bytes.fetch_add(unit.payload.len() as u64, Ordering::Relaxed);
                self.cursor = Some(cursor + 1);
                return Some(Item::Unit(unit, arrived));
            }
            self.slot.skipped.fetch_add(1, Ordering::Relaxed);
            cursor += 1;
        }
        self.cursor = Some(cursor);
        None
    }

    /// Tracks announced before their first unit: what a muxer needs to write headers early.
    fn announced(&mut self, state: &State) -> Option<Item> {
        let known = &state.tracks;
        if known.is_empty() || self.tracks.as_ref().is_some_and(|t| Arc::ptr_eq(t, known)) {
            return None;
        }
        self.tracks = Some(Arc::clone(known));
        Some(Item::Tracks(Arc::clone(known)))
    }

    /// Of the path that is read: for one who waits for many of its readers at once.
    pub fn changes(&self) -> Changes {
        Changes(Arc::clone(&self.path))
    }

    /// Asks the publisher for a key frame.
    pub fn request_keyframe(&self) {
        self.path.give_feedback(Feedback { keyframe: true, bitrate: None });
    }

    /// Asks the publisher for at most this many bits per second.
    pub fn request_bitrate(&self, bits_per_second: u32) {
        self.path.give_feedback(Feedback { keyframe: false, bitrate: Some(bits_per_second) });
    }

    /// Tells which tracks of the path it does not get; replaces what was told before.
    pub fn set_skipped_tracks(&self, tracks: Vec<SkippedTrack>) {
        self.slot.skipped_tracks.set(tracks);
    }

    /// Units passed over so far, by lagging, impatience or waiting for a key frame.
    pub fn skipped(&self) -> u64 {
        self.slot.skipped.load(Ordering::Relaxed)
    }

    /// The path's name.
    pub fn path(&self) -> &crate::PathName {
        &self.path.name
    }

    fn find_start(&mut self, state: &mut State) -> Option<u64> {
        // Tracks may be known before a unit is written; there is nothing to choose until one is.
        let newest = state.ring.newest()?;
        self.generation = state.generation;
        let last_key = state.ring.last_key();
        let fresh = last_key
            .and_then(|key| state.ring.get(key))
            .is_some_and(|key| newest.arrived.since(key.arrived) <= FRESH_KEY);
        let answers = state.publisher.as_ref().is_some_and(|p| p.info.answers_keyframes);
        let has_video = state.tracks.first(MediaKind::Video).is_some();
        let start = match self.start {
            Start::Soonest if answers && has_video && !fresh => Start::NextKey,
            Start::Soonest => Start::LastKey,
            other => other,
        };
        let end = state.ring.end();
        self.need_key = start != Start::Live;
        let cursor = match (start, last_key) {
            (Start::LastKey | Start::Soonest, Some(key)) => key,
            // Sound alone: begin with the newest unit, so that a join is heard at once.
            (Start::LastKey | Start::Soonest, None) if !has_video => end - 1,
            (Start::LastKey | Start::Soonest | Start::NextKey, _) => {
                request_keyframe(state);
                end
            }
            (Start::Live, _) => end,
        };
        self.cursor = Some(cursor);
        Some(cursor)
    }

    fn lose_patience(&mut self, state: &State, cursor: u64) {
        let (Some(patience), Some(key)) = (self.patience, state.ring.last_key()) else {
            return;
        };
        let (Some(here), Some(newest)) = (state.ring.get(cursor), state.ring.newest()) else {
            return;
        };
        if key > cursor && newest.arrived.since(here.arrived) > patience {
            self.skip_pictures_to = self.skip_pictures_to.max(key);
        }
    }

    fn wants(&mut self, number: u64, entry: &Entry) -> bool {
        if entry.generation != self.generation {
            self.generation = entry.generation;
            self.need_key = true;
        }
        if !entry.unit.is_video() {
            return true;
        }
        if number < self.skip_pictures_to {
            self.need_key = true;
            return false;
        }
        if entry.unit.is_key() {
            self.need_key = false;
        }
        !self.need_key
    }
}

fn request_keyframe(state: &mut State) {
    if !state.feedback.keyframe {
        state.feedback.keyframe = true;
        state.wake_publisher();
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.path.leave(&self.slot);
    }
}
