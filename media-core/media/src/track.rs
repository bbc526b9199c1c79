//! Tracks: what a path carries.
//!
//! Not here: the units themselves (`unit`), who may read them (`hub`).

use crate::aac::AacParams;
use crate::av1::Av1Params;
use crate::g711::{G711Law, G711Params};
use crate::h264::H264Params;
use crate::h265::H265Params;
use crate::mjpeg::MjpegParams;
use crate::mpeg_audio::MpegAudioParams;
use crate::opus::OpusParams;
use crate::time::ClockRate;
use crate::vp8::Vp8Params;
use crate::vp9::Vp9Params;
use std::sync::Arc;

/// A track's place in its [`TrackSet`], stable for the life of a publisher.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TrackId(pub u8);

/// Picture or sound.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum MediaKind {
    /// Picture.
    Video,
    /// Sound.
    Audio,
}

/// Which codec, without its parameters: what readers ask for and peers negotiate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Codec {
    /// H.264 / AVC.
    H264,
    /// H.265 / HEVC.
    H265,
    /// AV1.
    Av1,
    /// VP8.
    Vp8,
    /// VP9.
    Vp9,
    /// Motion JPEG.
    Mjpeg,
    /// MPEG-4 AAC.
    Aac,
    /// Opus.
    Opus,
    /// G.711, A-law or µ-law.
    G711,
    /// MPEG-1 and MPEG-2 Audio, layers I to III.
    MpegAudio,
}

impl Codec {
    /// Picture or sound.
    pub const fn kind(self) -> MediaKind {
        match self {
            Self::H264 | Self::H265 | Self::Av1 | Self::Vp8 | Self::Vp9 | Self::Mjpeg => MediaKind::Video,
            Self::Aac | Self::Opus | Self::G711 | Self::MpegAudio => MediaKind::Audio,
        }
    }

    /// The name MediaMTX's API gives it.
    pub const fn label(self) -> &'static str {
        match self {
            Self::H264 => "H264",
            Self::H265 => "H265",
            Self::Av1 => "AV1",
            Self::Vp8 => "VP8",
            Self::Vp9 => "VP9",
            Self::Mjpeg => "M-JPEG",
            Self::Aac => "MPEG-4 Audio",
            Self::Opus => "Opus",
            Self::G711 => "G711",
            Self::MpegAudio => "MPEG-1/2 Audio",
        }
    }
}

/// What a decoder must know before the first unit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CodecParams {
    /// H.264 parameter sets.
    H264(H264Params),
    /// H.265 parameter sets.
    H265(H265Params),
    /// AV1 sequence header.
    Av1(Av1Params),
    /// VP8's size.
    Vp8(Vp8Params),
    /// VP9 configuration.
    Vp9(Vp9Params),
    /// Motion JPEG's size.
    Mjpeg(MjpegParams),
    /// AAC configuration.
    Aac(AacParams),
    /// Opus header.
    Opus(OpusParams),
    /// G.711's law.
    G711(G711Params),
    /// What MPEG audio frames say of themselves.
    MpegAudio(MpegAudioParams),
}

impl CodecParams {
    /// Which codec.
    pub const fn codec(&self) -> Codec {
        match self {
            Self::H264(_) => Codec::H264,
            Self::H265(_) => Codec::H265,
            Self::Av1(_) => Codec::Av1,
            Self::Vp8(_) => Codec::Vp8,
            Self::Vp9(_) => Codec::Vp9,
            Self::Mjpeg(_) => Codec::Mjpeg,
            Self::Aac(_) => Codec::Aac,
            Self::Opus(_) => Codec::Opus,
            Self::G711(_) => Codec::G711,
            Self::MpegAudio(_) => Codec::MpegAudio,
        }
    }

    /// Samples per second and channels, of sound.
    pub const fn sound(&self) -> Option<(u32, u8)> {
        match self {
            Self::H264(_) | Self::H265(_) | Self::Av1(_) | Self::Vp8(_) | Self::Vp9(_) | Self::Mjpeg(_) => None,
            Self::Aac(p) => Some((p.rate().hz(), p.channels())),
            Self::Opus(p) => Some((ClockRate::AUDIO_48K.hz(), p.channels)),
            Self::G711(p) => Some((p.rate.hz(), p.channels)),
            Self::MpegAudio(p) => Some((p.rate.hz(), p.channels)),
        }
    }

    /// The RFC 6381 name for playlists and MSE.
    pub fn codec_string(&self) -> String {
        match self {
            Self::H264(p) => p.codec_string(),
            Self::H265(p) => p.codec_string(),
            Self::Av1(p) => p.codec_string(),
            Self::Vp8(_) => "vp8".into(),
            Self::Vp9(p) => p.codec_string(),
            // ISO/IEC 14496-1's object type for it.
            Self::Mjpeg(_) => "mp4v.6C".into(),
            Self::Aac(p) => p.codec_string(),
            Self::Opus(_) => "opus".into(),
            // RFC 6381 has no name for it; QuickTime's, by which players know the two laws.
            Self::G711(p) => if p.law == G711Law::A { "alaw" } else { "ulaw" }.into(),
            Self::MpegAudio(_) => "mp4a.6B".into(),
        }
    }

    /// Width and height of the shown picture in pixels; `None` for sound.
    pub const fn size(&self) -> Option<(u32, u32)> {
        match self {
            Self::H264(p) => Some((p.width(), p.height())),
            Self::H265(p) => Some((p.width(), p.height())),
            Self::Av1(p) => Some((p.width(), p.height())),
            Self::Vp8(p) => Some((p.width(), p.height())),
            Self::Vp9(p) => Some((p.width(), p.height())),
            Self::Mjpeg(p) => Some((p.width(), p.height())),
            Self::Aac(_) | Self::Opus(_) | Self::G711(_) | Self::MpegAudio(_) => None,
        }
    }

    /// Pictures per second, where the stream says so itself; `None` for sound.
    pub fn frame_rate(&self) -> Option<f64> {
        match self {
            Self::H264(p) => p.frame_rate(),
            _ => None,
        }
    }
}

/// One codec stream of a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Track {
    /// Its place in the set.
    pub id: TrackId,
    /// The clock its times tick on.
    pub clock: ClockRate,
    /// What it decodes with now; units carry their own, which may be newer.
    pub params: Arc<CodecParams>,
}

impl Track {
    /// Which codec.
    pub fn codec(&self) -> Codec {
        self.params.codec()
    }

    /// Picture or sound.
    pub fn kind(&self) -> MediaKind {
        self.codec().kind()
    }
}

/// The tracks of a path at one moment.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TrackSet(Vec<Track>);

impl TrackSet {
    /// A set of `tracks`; ids must differ, a later duplicate is dropped.
    pub fn new(tracks: impl IntoIterator<Item = Track>) -> Self {
        let mut set: Vec<Track> = Vec::new();
        for track in tracks {
            if set.iter().all(|t| t.id != track.id) {
                set.push(track);
            }
        }
        Self(set)
    }

    /// The track with this id.
    pub fn get(&self, id: TrackId) -> Option<&Track> {
        self.0.iter().find(|t| t.id == id)
    }

    /// The first track of this kind: the one that leads where only one can be carried.
    pub fn first(&self, kind: MediaKind) -> Option<&Track> {
        self.0.iter().find(|t| t.kind() == kind)
    }

    /// All tracks, in the publisher's order.
    pub fn iter(&self) -> std::slice::Iter<'_, Track> {
        self.0.iter()
    }

    /// How many tracks.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Is there none?
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl<'a> IntoIterator for &'a TrackSet {
    type Item = &'a Track;
    type IntoIter = std::slice::Iter<'a, Track>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl FromIterator<Track> for TrackSet {
    fn from_iter<T: IntoIterator<Item = Track>>(iter: T) -> Self {
        Self::new(iter)
    }
}
