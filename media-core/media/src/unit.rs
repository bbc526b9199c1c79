//! The access unit: what one decode call consumes.
//!
//! Belongs here: its fields and the framings it can be asked for. Not here: RTP packets (beside the ring, `relay`),
//! how a publisher's times are mended (`hub`).

use crate::h265;
use crate::monotonic::MonoTime;
use crate::nal::{ACCESS_UNIT_DELIMITER, LengthPrefixed, append_annex_b};
use crate::time::MediaTime;
use crate::track::{CodecParams, TrackId};
use bytes::Bytes;
use std::sync::Arc;

/// Where decoding can start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UnitKind {
    /// A picture at which decoding can start (IDR, IRAP, a key picture that is shown).
    Key,
    /// A picture that needs those before it.
    Delta,
    /// A sound frame; every one is a start point.
    Audio,
}

/// One coded picture or one sound frame. Immutable; a clone is two reference counts.
///
/// H.264 and H.265 payloads are length-prefixed NAL units without parameter sets and delimiters; AV1 is a temporal unit of open
/// bitstream units with sizes, without delimiters; VP8 is a frame; VP9 is a frame or superframe; AAC is one raw frame without ADTS;
/// Opus is one packet; Motion JPEG is a JPEG.
#[derive(Clone)]
pub struct AccessUnit {
    /// The track it belongs to.
    pub track: TrackId,
    /// Decode order; rises within a track.
    pub dts: MediaTime,
    /// When it is shown or heard; equals `dts` unless pictures are reordered.
    pub pts: MediaTime,
    /// How long, where the source says so.
    pub duration: Option<MediaTime>,
    /// Key, delta or audio.
    pub kind: UnitKind,
    /// When light or sound met the device, on this machine's clock, where that is known.
    pub captured: Option<MonoTime>,
    /// What it decodes with. Compare by `Arc::ptr_eq` first: the same `Arc` means no change.
    pub params: Arc<CodecParams>,
    /// The payload in canonical framing.
    pub payload: Bytes,
}

impl AccessUnit {
    /// Can decoding start here?
    pub fn is_key(&self) -> bool {
        self.kind == UnitKind::Key
    }

    /// Is it a picture?
    pub fn is_video(&self) -> bool {
        self.kind != UnitKind::Audio
    }

    /// The NAL units of a picture, parameter sets not included. Empty for codecs without NAL units, sound among them.
    pub fn nals(&self) -> LengthPrefixed<'_> {
        let has_nals = matches!(&*self.params, CodecParams::H264(_) | CodecParams::H265(_));
        LengthPrefixed::trusted(if has_nals && self.is_video() { &self.payload } else { &[] })
    }

    /// The payload as FLV, MP4 and decoders with a configuration record take it.
    pub const fn length_prefixed(&self) -> &Bytes {
        &self.payload
    }

    /// The picture as Annex B with its parameter sets in front of a key picture: what MPEG-TS, decoders and WebCodecs take.
    /// Empty for codecs without NAL units.
    pub fn annex_b(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.payload.len() + 64);
        self.append_annex_b(&mut out);
        out
    }

    /// Appends [`Self::annex_b`] behind an access unit delimiter, without which nothing in MPEG-TS says where a picture begins
    /// (ISO/IEC 13818-1 §2.14.1 for H.264, §2.17.1 for H.265).
    pub fn append_delimited_annex_b(&self, out: &mut Vec<u8>) {
        out.reserve(self.payload.len() + 64);
        match &*self.params {
            CodecParams::H264(_) => append_annex_b(out, ACCESS_UNIT_DELIMITER),
            CodecParams::H265(_) => append_annex_b(out, h265::ACCESS_UNIT_DELIMITER),
            _ => {}
        }
        self.append_annex_b(out);
    }

    fn append_annex_b(&self, out: &mut Vec<u8>) {
        match (self.kind, &*self.params) {
            (UnitKind::Key, CodecParams::H264(params)) => out.extend_from_slice(&params.annex_b()),
            (UnitKind::Key, CodecParams::H265(params)) => out.extend_from_slice(&params.annex_b()),
            _ => {}
        }
        for nal in self.nals() {
            append_annex_b(out, nal);
        }
    }
}

impl std::fmt::Debug for AccessUnit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?} track {} dts {:?} {} bytes", self.kind, self.track.0, self.dts, self.payload.len())
    }
}
