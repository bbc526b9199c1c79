//! What segments are written with: fMP4 or MPEG-TS, the same to whoever cuts them.
//!
//! Not here: where to cut (`segmenter`), boxes and packets (`container`).

use bytes::Bytes;
use container::fmp4::{self, Fmp4Error, FragmentWriter};
use container::mpegts::{ChunkWriter, TsError};
use media::{AccessUnit, Codec, MediaTime, TrackSet};
use proto::hls::Packaging;
use thiserror::Error;

/// Why a unit is not in a segment.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub(super) enum WriteError {
    #[error("fMP4: {0}")]
    Fmp4(#[from] Fmp4Error),
    #[error("MPEG-TS: {0}")]
    MpegTs(#[from] TsError),
}

/// A part that was cut.
#[derive(Debug)]
pub(super) struct Piece {
    pub(super) bytes: Bytes,
    /// Where the leading track begins, from the writer's origin.
    pub(super) start: MediaTime,
    pub(super) duration: MediaTime,
    pub(super) independent: bool,
}

#[derive(Debug)]
pub(super) enum Writer {
    Fmp4(FragmentWriter),
    MpegTs(ChunkWriter),
}

/// Can players be expected to play `codec` in segments of this kind? Opus in MPEG-TS is written by us and heard by nobody.
pub(super) const fn carries(packaging: Packaging, codec: Codec) -> bool {
    match packaging {
        Packaging::Fmp4 => fmp4::carries(codec),
        Packaging::MpegTs => matches!(codec, Codec::H264 | Codec::H265 | Codec::Aac | Codec::MpegAudio),
    }
}

impl Writer {
    pub(super) fn new(packaging: Packaging, tracks: &TrackSet, origin: MediaTime) -> Result<Self, WriteError> {
        Ok(match packaging {
            Packaging::Fmp4 => Self::Fmp4(FragmentWriter::new(tracks, origin)?),
            Packaging::MpegTs => Self::MpegTs(ChunkWriter::new(tracks, origin)?),
        })
    }

    /// The init segment; empty where segments say everything themselves.
    pub(super) fn init(&self) -> Bytes {
        match self {
            Self::Fmp4(writer) => writer.init().clone(),
            Self::MpegTs(_) => Bytes::new(),
        }
    }

    pub(super) fn replace_tracks(&mut self, tracks: &TrackSet) -> Result<(), WriteError> {
        match self {
            Self::Fmp4(writer) => writer.replace_tracks(tracks)?,
            Self::MpegTs(writer) => writer.replace_tracks(tracks)?,
        }
        Ok(())
    }

    /// What is pending, and what comes next, begins a segment.
    pub(super) fn begin_segment(&mut self) {
        if let Self::MpegTs(writer) = self {
            writer.begin_segment();
        }
    }

    pub(super) fn fits(&self, unit: &AccessUnit) -> bool {
        match self {
            Self::Fmp4(writer) => writer.fits(unit),
            Self::MpegTs(writer) => writer.fits(unit),
        }
    }

    pub(super) fn push(&mut self, unit: &AccessUnit) -> Result<(), WriteError> {
        match self {
            Self::Fmp4(writer) => writer.push(unit)?,
            Self::MpegTs(writer) => writer.push(unit)?,
        }
        Ok(())
    }

    pub(super) fn pending_bytes(&self) -> usize {
        match self {
            Self::Fmp4(writer) => writer.pending_bytes(),
            Self::MpegTs(writer) => writer.pending_bytes(),
        }
    }

    pub(super) fn pending_duration(&self) -> MediaTime {
        match self {
            Self::Fmp4(writer) => writer.pending_duration(),
            Self::MpegTs(writer) => writer.pending_duration(),
        }
    }

    pub(super) fn cut(&mut self) -> Result<Option<Piece>, WriteError> {
        Ok(match self {
            Self::Fmp4(writer) => writer.cut()?.map(|f| Piece {
                bytes: f.bytes,
                start: f.start,
                duration: f.duration,
                independent: f.independent,
            }),
            Self::MpegTs(writer) => writer.cut().map(|c| Piece {
                bytes: c.bytes,
                start: c.start,
                duration: c.duration,
                independent: c.independent,
            }),
        })
    }
}
