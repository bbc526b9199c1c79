//! MPEG transport streams (ISO/IEC 13818-1): access units to 188-byte packets and back.
//!
//! Belongs here: packets, program tables, PES, the clock. Not here: what NAL units and frame headers say (`media`), where HLS
//! cuts (`proto::hls`), sockets (`relay`).
//!
//! Written here rather than taken: `mpeg2ts-reader` marks finding the next packet after damage as still to be done, and it is a
//! reader alone. Other crates were not compared.

mod chunk;
mod demux;
mod elementary;
mod mux;
mod opus;
mod packet;
mod pes;
mod psi;
#[cfg(test)]
mod tests;

pub use chunk::{Chunk, ChunkWriter};
pub use demux::{Damage, Demuxer, Event};
pub use mux::Muxer;

use media::Codec;
use thiserror::Error;

/// Is `codec` written? What is not has to be left out of the tracks.
pub const fn carries(codec: Codec) -> bool {
    match codec {
        Codec::H264 | Codec::H265 | Codec::Aac | Codec::Opus | Codec::MpegAudio => true,
        Codec::Av1 | Codec::Vp8 | Codec::Vp9 | Codec::Mjpeg | Codec::G711 => false,
    }
}

/// What cannot be written as MPEG-TS. Reading has no errors: damage is counted and passed over.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum TsError {
    /// A codec that is not written.
    #[error("{0} is not carried in MPEG-TS here")]
    NotCarried(&'static str),
    /// No track to write, or more than the tables name.
    #[error("{0} tracks; MPEG-TS is written with 1 to {MAX_TRACKS}")]
    Tracks(usize),
    /// The unit's track or parameters are not those of the tables: new ones are due.
    #[error("the unit does not belong to the tables")]
    Changed,
    /// A sound frame that its framing has no words for.
    #[error("a sound frame of {0} bytes cannot be framed")]
    Frame(usize),
}

/// Tracks of one program: so many fit a table of one packet, and more than any stream here has.
const MAX_TRACKS: usize = 8;
/// Bits of PTS, DTS and the PCR's base (§2.4.2.2).
const CLOCK_BITS: u32 = 33;
/// Ticks of the 90 kHz clock in a second.
const SECOND: i64 = 90_000;

/// Stream types of ISO/IEC 13818-1 table 2-34.
mod stream_type {
    pub(super) const MPEG1_AUDIO: u8 = 0x03;
    pub(super) const MPEG2_AUDIO: u8 = 0x04;
    /// Told apart by descriptors.
    pub(super) const PRIVATE: u8 = 0x06;
    pub(super) const ADTS: u8 = 0x0F;
    pub(super) const H264: u8 = 0x1B;
    pub(super) const H265: u8 = 0x24;

    /// What a stream that is not read is called in logs.
    pub(super) fn name(kind: u8) -> String {
        let name = match kind {
            0x01 | 0x02 => "MPEG-1/2 Video",
            0x10 => "MPEG-4 Video",
            0x11 => "MPEG-4 Audio LATM",
            0x15 => "timed metadata",
            0x33 => "H266",
            0x81 => "AC3",
            0x86 => "SCTE-35",
            0x87 => "E-AC3",
            PRIVATE => "private data",
            other => return format!("stream type {other:#04x}"),
        };
        name.into()
    }
}
