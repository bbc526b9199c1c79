//! FLV: file framing, and the tag bodies that RTMP messages share with it.
//!
//! Belongs here: tags as Adobe FLV 10.1 annex E and Enhanced RTMP v2 describe them, `onMetaData`, [`Demuxer`] and [`Muxer`].
//! Not here: RTMP chunks, handshake and commands (`proto::rtmp`), AMF0 itself (`media::amf0`).

mod audio;
mod demux;
mod enhanced;
mod error;
mod fields;
mod file;
mod metadata;
mod mux;
mod video;

pub use audio::{AudioCodec, AudioTag};
pub use demux::{Demuxer, Event, Events};
pub use error::FlvError;
pub use file::{FileReader, Tag, file_header, tag, tag_header, tag_trailer};
pub use metadata::Metadata;
pub use mux::{Message, Messages, Muxer, SmallHeader};
pub use video::{VideoCodec, VideoTag};

/// What a tag carries; the numbers are RTMP's message types too (Adobe FLV 10.1 §E.4.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TagKind {
    /// Sound (8).
    Audio,
    /// Picture (9).
    Video,
    /// AMF0 data (18): metadata, cue points.
    Script,
}

impl TagKind {
    /// The kind with this tag or message type; `None` for everything that is no media.
    pub const fn from_message_type(number: u8) -> Option<Self> {
        match number {
            8 => Some(Self::Audio),
            9 => Some(Self::Video),
            18 => Some(Self::Script),
            _ => None,
        }
    }

    /// Its tag or message type.
    pub const fn message_type(self) -> u8 {
        match self {
            Self::Audio => 8,
            Self::Video => 9,
            Self::Script => 18,
        }
    }
}

/// How a tag body is headed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Signalling {
    /// Codec numbers of 2008: what every peer understands, AVC and AAC only.
    #[default]
    Legacy,
    /// FourCC (Enhanced RTMP): also H.265, AV1, VP9 and Opus. Only to peers that said so (`fourCcList` in `connect`).
    Enhanced,
}

/// Sizes of tags and RTMP messages have 24 bits.
pub const MAX_BODY: usize = 0xFF_FFFF;
