//! What readers ask of a publisher: the latest wish counts, not how often it was said.

/// Wishes gathered since the publisher last took them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Feedback {
    /// Somebody needs a key frame to start or to go on.
    pub keyframe: bool,
    /// The lowest bitrate asked for, in bits per second.
    pub bitrate: Option<u32>,
}

impl Feedback {
    pub(crate) fn merge(&mut self, other: Self) {
        self.keyframe |= other.keyframe;
        self.bitrate = match (self.bitrate, other.bitrate) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        };
    }
}
