//! Fragmented MP4 (ISO/IEC 14496-12 §8.8, CMAF ISO/IEC 23000-19): init segment, fragments, and reading both.
//!
//! Belongs here: boxes and sample timing. Not here: when a part or a segment is cut, playlists (`proto::hls`, `relay`),
//! files (`relay::record`).

mod boxes;
mod demux;
mod fragment;
mod init;

pub use demux::{Demuxer, read};
pub use fragment::{Fragment, FragmentWriter};
pub use init::init_segment;

use crate::VideoError;
use media::{AacError, Codec};
use thiserror::Error;

/// Is `codec` written? What is not has to be left out of the tracks.
pub const fn carries(codec: Codec) -> bool {
    match codec {
        Codec::H264 | Codec::H265 | Codec::Av1 | Codec::Vp9 | Codec::Aac | Codec::Opus => true,
        Codec::Vp8 | Codec::Mjpeg | Codec::G711 | Codec::MpegAudio => false,
    }
}

/// What MP4 bytes can get wrong, or what cannot be written as MP4.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Fmp4Error {
    /// A box reaches past the end of its parent, or of the bytes.
    #[error("the box at byte {at} does not fit")]
    Box {
        /// Offset of the box.
        at: usize,
    },
    /// The inside of a box.
    #[error("{kind} at byte {at}: {reason}")]
    Content {
        /// Its four characters.
        kind: &'static str,
        /// Offset of the box; zero where it was being written.
        at: usize,
        /// What the box layer said.
        reason: String,
    },
    /// A box without which the rest means nothing.
    #[error("no {0} box")]
    Missing(&'static str),
    /// Sample data lies outside the bytes, or samples claim more than there are.
    #[error("samples of the fragment at byte {at} lie outside the data")]
    Samples {
        /// Offset of the `moof`.
        at: usize,
    },
    /// More samples in one fragment, or more tracks, than any writer makes.
    #[error("too many {0}")]
    TooMany(&'static str),
    /// A codec that is not written.
    #[error("{0} is not carried in MP4 here")]
    NotCarried(&'static str),
    /// A picture, or what it decodes with.
    #[error(transparent)]
    Video(#[from] VideoError),
    /// AAC configuration.
    #[error("AAC: {0}")]
    Aac(#[from] AacError),
    /// The writer was given no track.
    #[error("no track to write")]
    NoTracks,
    /// The unit's track or parameters are not those of the init segment: a new one is due.
    #[error("the unit does not belong to the init segment")]
    Changed,
    /// The writer holds as much as a fragment may: cut first.
    #[error("the fragment is full")]
    Full,
}

/// Samples of one fragment. A minute at 120 pictures and 100 sound frames a second stays below.
const MAX_SAMPLES: usize = 16_384;
/// Bytes of one fragment: a 10 s GOP at 50 Mbps stays below; offsets in a fragment have 31 bits.
const MAX_BYTES: usize = 64 << 20;
/// `sample_is_non_sync_sample` 0, `sample_depends_on` 2: decoding can start here (ISO/IEC 14496-12 §8.8.3.1).
const SYNC: u32 = 0x0200_0000;
/// `sample_is_non_sync_sample` 1, `sample_depends_on` 1.
const NON_SYNC: u32 = 0x0101_0000;
