//! G.711: which law, how many channels (ITU-T G.711; RTP payload types 0 and 8 of RFC 3551 §6).
//!
//! Not here: decoding (`codec`).

use crate::time::ClockRate;

/// How samples are companded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum G711Law {
    /// A-law (PCMA): Europe's, and most cameras'.
    A,
    /// µ-law (PCMU): America's and Japan's.
    Mu,
}

/// What a G.711 track decodes with: one byte a sample.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct G711Params {
    /// Which law.
    pub law: G711Law,
    /// Samples per second; 8000 but for cameras that say otherwise.
    pub rate: ClockRate,
    /// 1 or 2.
    pub channels: u8,
}

impl G711Params {
    /// One channel at 8 kHz, as telephones and RTP's static payload types have it.
    pub const fn telephone(law: G711Law) -> Self {
        Self { law, rate: ClockRate::TELEPHONE, channels: 1 }
    }

    /// Samples per channel in a payload of so many bytes.
    pub const fn samples(&self, bytes: usize) -> usize {
        bytes / if self.channels == 0 { 1 } else { self.channels as usize }
    }
}
