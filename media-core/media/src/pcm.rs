//! Raw sound. Not here: resampling and levels (`codec`), devices (`device`).

use crate::monotonic::MonoTime;

/// A block of raw sound: interleaved samples, full scale ±1.0.
#[derive(Debug, Clone, PartialEq)]
pub struct Pcm {
    /// Samples per second per channel.
    pub rate: u32,
    /// Channels; `samples.len()` is a multiple of it.
    pub channels: u8,
    /// Interleaved samples.
    pub samples: Vec<f32>,
    /// When the first sample met the device, or was asked for by it.
    pub captured: MonoTime,
}

impl Pcm {
    /// Samples per channel.
    pub fn frames(&self) -> usize {
        self.samples.len() / usize::from(self.channels.max(1))
    }
}
