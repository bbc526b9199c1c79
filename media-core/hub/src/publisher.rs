//! The writing end of a path.
//!
//! Belongs here: the handle and what it promises. Not here: the ring (`ring`), mending times (`timeline`).

use crate::feedback::Feedback;
use crate::path::Path;
use crate::skipped::SkippedTrack;
use media::{AccessUnit, MonoTime, TrackSet};
use std::sync::Arc;
use thiserror::Error;
use tokio::sync::Notify;

/// Who publishes, for the API, the log and the start policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublisherInfo {
    /// MediaMTX's name for the kind of source, such as `rtmpConn` or `webRTCSession`.
    pub kind: &'static str,
    /// The connection's or session's id.
    pub id: String,
    /// It answers a wish for a key frame at once (our own encoder, WebRTC), so readers may wait for one.
    pub answers_keyframes: bool,
}

/// Why nobody can publish there.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum PublishError {
    /// The hub holds [`crate::Limits::paths`] paths already.
    #[error("there are {0} paths already, the most this relay holds")]
    TooManyPaths(usize),
}

/// Is this publisher still the path's?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PublisherState {
    /// Its units are heard.
    Live,
    /// Another publisher has taken over; what it writes is dropped.
    Replaced,
    /// The path was closed or the publisher thrown out.
    Closed,
}

/// The one writer of a path. Dropping it, or [`Publisher::finish`], starts the path's grace.
#[derive(Debug)]
pub struct Publisher {
    path: Arc<Path>,
    generation: u64,
    wake: Arc<Notify>,
}

impl Publisher {
    pub(crate) const fn new(path: Arc<Path>, generation: u64, wake: Arc<Notify>) -> Self {
        Self { path, generation, wake }
    }

    /// Hands a unit to everyone, now. Never waits for a reader; amortised O(1) plus one wake-up.
    ///
    /// `now` is when the unit arrived. Units of a track come in decode order; times that do not rise are mended and
    /// counted. A unit of a track the set does not hold is carried, and readers that do not know it ignore it.
    pub fn write(&self, unit: AccessUnit, now: MonoTime) {
        self.path.write(self.generation, unit, now);
    }

    /// Announces the tracks, or a change of them.
    pub fn set_tracks(&self, tracks: TrackSet) {
        self.path.set_tracks(self.generation, tracks);
    }

    /// Tells what it sends and nobody gets; replaces what was told before.
    pub fn set_skipped_tracks(&self, tracks: Vec<SkippedTrack>) {
        self.path.set_skipped_tracks(self.generation, tracks);
    }

    /// What readers wish now. A wish for a key frame stands until one is written.
    pub fn feedback(&self) -> Feedback {
        let mut state = self.path.state.lock();
        if state.generation != self.generation {
            return Feedback::default();
        }
        let now = state.feedback;
        state.feedback.bitrate = None;
        now
    }

    /// Is this publisher still the path's?
    pub fn state(&self) -> PublisherState {
        let state = self.path.state.lock();
        match (state.generation == self.generation, state.publisher.is_some()) {
            (true, true) => PublisherState::Live,
            (true, false) => PublisherState::Closed,
            (false, _) => PublisherState::Replaced,
        }
    }

    /// How many readers the path has.
    pub fn readers(&self) -> usize {
        self.path.state.lock().readers.len()
    }

    /// Waits until there is something to look at: feedback, readers, state. May wake without cause.
    pub async fn changed(&self) {
        self.wake.notified().await;
    }

    /// Leaves. Readers wait for the next publisher as long as the grace allows.
    pub fn finish(self) {
        drop(self);
    }
}

impl Drop for Publisher {
    fn drop(&mut self) {
        self.path.vacate(self.generation);
    }
}
