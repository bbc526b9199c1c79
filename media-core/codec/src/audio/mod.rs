//! Sound from one codec to the other: the pipeline objects, told units and answering units.
//!
//! Belongs here: decode, fill gaps, resample, encode, and the times of what comes out. Not here: reading a path and feeding its
//! sibling (`relay::transcode`), jitter buffers (`engine`).

mod intake;
mod outlet;
#[cfg(test)]
mod tests;
mod timeline;
mod transcoder;

pub use transcoder::SoundTranscoder;

use media::TrackId;

/// How to transcode sound.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TranscodeConfig {
    /// Bits per second of the result.
    pub bitrate: u32,
    /// The track the result belongs to.
    pub track: TrackId,
}

impl TranscodeConfig {
    /// 128 kbit/s for `track`.
    pub const fn new(track: TrackId) -> Self {
        Self { bitrate: 128_000, track }
    }
}

/// What was mended on the way, for metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TranscodeStats {
    /// Units in.
    pub units_in: u64,
    /// Units out.
    pub units_out: u64,
    /// Units that did not decode and were replaced.
    pub damaged: u64,
    /// Samples at 48 kHz put in where sound was missing.
    pub filled: u64,
    /// Samples at 48 kHz left out where sound overlapped.
    pub trimmed: u64,
    /// Breaks in the timeline after which the result was anchored anew.
    pub breaks: u64,
}
