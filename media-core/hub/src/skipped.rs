//! Tracks that somebody does not get, and why: what the log and the API tell instead of silence.
//!
//! Not here: who decides it (`relay`), units that were lost (`reader`).

use parking_lot::Mutex;

/// A track that is not carried from a publisher, or not to a reader.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SkippedTrack {
    /// The codec's name, as the API gives it.
    pub codec: String,
    /// Why, in words for the operator.
    pub reason: String,
}

/// More than this in one stream are noise, not tracks.
const MAX_SKIPPED: usize = 16;

/// What one reader does not get.
#[derive(Debug, Default)]
pub(crate) struct SkippedTracks(Mutex<Vec<SkippedTrack>>);

impl SkippedTracks {
    pub(crate) fn set(&self, tracks: Vec<SkippedTrack>) {
        *self.0.lock() = bounded(tracks);
    }

    pub(crate) fn list(&self) -> Vec<SkippedTrack> {
        self.0.lock().clone()
    }
}

/// As many as are kept.
pub(crate) fn bounded(mut tracks: Vec<SkippedTrack>) -> Vec<SkippedTrack> {
    tracks.truncate(MAX_SKIPPED);
    tracks
}
