//! Video tag bodies (Adobe FLV 10.1 §E.4.3; Enhanced RTMP v2, "Enhanced Video").
//!
//! Not here: what is inside a picture (`entrance`), timestamps (`demux`, `mux`).

use super::enhanced::{self, Side};
use super::fields::Fields;
use super::{FlvError, Signalling, SmallHeader};
use bytes::Bytes;
use media::{Codec, UnitKind};
use std::borrow::Cow;

/// The picture codecs that are carried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VideoCodec {
    /// H.264; its header is an AVC decoder configuration record (ISO/IEC 14496-15 §5.3.3.1).
    Avc,
    /// H.265; its header is an HEVC decoder configuration record (§8.3.3.1).
    Hevc,
    /// AV1, in Enhanced RTMP alone; its header is an AV1 codec configuration record.
    Av1,
    /// VP9, in Enhanced RTMP alone; its header is a VP codec configuration record.
    Vp9,
}

impl VideoCodec {
    /// All that are carried.
    pub const ALL: [Self; 4] = [Self::Avc, Self::Hevc, Self::Av1, Self::Vp9];

    /// Its FourCC.
    pub const fn four_cc(self) -> [u8; 4] {
        match self {
            Self::Avc => *b"avc1",
            Self::Hevc => *b"hvc1",
            Self::Av1 => *b"av01",
            Self::Vp9 => *b"vp09",
        }
    }

    /// Its name in the rest of the program.
    pub const fn codec(self) -> Codec {
        match self {
            Self::Avc => Codec::H264,
            Self::Hevc => Codec::H265,
            Self::Av1 => Codec::Av1,
            Self::Vp9 => Codec::Vp9,
        }
    }

    /// What tags call `codec`; `None` for sound.
    pub fn of(codec: Codec) -> Option<Self> {
        Self::ALL.into_iter().find(|known| known.codec() == codec)
    }

    /// Do its frames say when they are shown? The others are never reordered.
    const fn has_composition(self) -> bool {
        matches!(self, Self::Avc | Self::Hevc)
    }
}

/// What a video tag says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum VideoTag {
    /// The codec's header.
    SequenceStart(VideoCodec, Bytes),
    /// One coded picture.
    Frame {
        /// Of which codec.
        codec: VideoCodec,
        /// Key or delta, as the tag header claims; what is inside decides.
        kind: UnitKind,
        /// Milliseconds from decoding to presentation, 24 bits signed; zero for codecs that are never reordered.
        composition: i32,
        /// NAL units behind lengths of the size the record announced; a temporal unit; a frame.
        data: Bytes,
    },
    /// No more pictures until the next [`Self::SequenceStart`].
    SequenceEnd(VideoCodec),
    /// Nothing for a decoder: empty bodies, commands, colour metadata, reserved packet types.
    Silent,
    /// A codec that is not carried here, or a track beside the first; its name.
    Unsupported(Cow<'static, str>),
}

/// Bit 7 of the first byte: an extended header follows.
const EX_HEADER: u8 = 0x80;
const AVC: u8 = 7;
/// Not Adobe's: what Chinese encoders and phones send, headed as AVC is.
const HEVC: u8 = 12;
const KEY_FRAME: u8 = 1;
const INTER_FRAME: u8 = 2;
const GENERATED_KEY_FRAME: u8 = 4;
const COMMAND_FRAME: u8 = 5;

/// `VideoPacketType`.
mod packet {
    pub(super) const SEQUENCE_START: u8 = 0;
    pub(super) const CODED_FRAMES: u8 = 1;
    pub(super) const SEQUENCE_END: u8 = 2;
    pub(super) const CODED_FRAMES_X: u8 = 3;
    pub(super) const METADATA: u8 = 4;
}

impl VideoTag {
    /// Reads a body; `data` and the record are slices of it.
    ///
    /// # Errors
    /// [`FlvError::Truncated`] where it ends inside a field.
    pub fn parse(body: &Bytes) -> Result<Self, FlvError> {
        let mut fields = Fields::new(body);
        if fields.is_empty() {
            return Ok(Self::Silent);
        }
        let first = fields.u8()?;
        let frame_type = first >> 4 & 7;
        if first & EX_HEADER != 0 {
            return Self::parse_enhanced(frame_type, first & 0x0F, &mut fields);
        }
        if frame_type == COMMAND_FRAME || fields.is_empty() {
            return Ok(Self::Silent);
        }
        let codec = match first & 0x0F {
            AVC => VideoCodec::Avc,
            HEVC => VideoCodec::Hevc,
            other => return Ok(Self::Unsupported(legacy_name(other))),
        };
        let packet_type = fields.u8()?;
        let composition = fields.i24()?;
        Ok(match packet_type {
            0 => Self::start(codec, fields.rest()),
            1 => Self::frame(codec, frame_type, composition, fields.rest()),
            2 => Self::SequenceEnd(codec),
            _ => Self::Silent,
        })
    }

    fn parse_enhanced(frame_type: u8, packet_type: u8, fields: &mut Fields<'_>) -> Result<Self, FlvError> {
        // A command has neither FourCC nor body (VideoCommand); metadata keeps its own meaning.
        if frame_type == COMMAND_FRAME && packet_type != packet::METADATA {
            return Ok(Self::Silent);
        }
        let packet = enhanced::packet(Side::Video, packet_type, fields)?;
        let Some(body) = packet.body else { return Ok(Self::Unsupported("second video track".into())) };
        if packet.packet_type == packet::METADATA {
            return Ok(Self::Silent);
        }
        let Some(codec) = VideoCodec::ALL.into_iter().find(|codec| codec.four_cc() == packet.four_cc) else {
            return Ok(Self::Unsupported(enhanced::name(packet.four_cc)));
        };
        let mut fields = Fields::new(&body);
        Ok(match packet.packet_type {
            packet::SEQUENCE_START => Self::start(codec, body),
            packet::CODED_FRAMES if codec.has_composition() => {
                Self::frame(codec, frame_type, fields.i24()?, fields.rest())
            }
            packet::CODED_FRAMES | packet::CODED_FRAMES_X => Self::frame(codec, frame_type, 0, body),
            packet::SEQUENCE_END => Self::SequenceEnd(codec),
            _ => Self::Silent,
        })
    }

    fn start(codec: VideoCodec, record: Bytes) -> Self {
        if record.is_empty() { Self::Silent } else { Self::SequenceStart(codec, record) }
    }

    fn frame(codec: VideoCodec, frame_type: u8, composition: i32, data: Bytes) -> Self {
        if data.is_empty() {
            return Self::Silent;
        }
        let key = matches!(frame_type, KEY_FRAME | GENERATED_KEY_FRAME);
        Self::Frame { codec, kind: if key { UnitKind::Key } else { UnitKind::Delta }, composition, data }
    }

    /// The body as a header and the payload it stands before; `None` for what is only ever read. `signalling` is for H.264: the
    /// others are headed by their FourCC alone. Composition times beyond 24 bits are held at the limit.
    pub fn write(&self, signalling: Signalling) -> Option<(SmallHeader, Bytes)> {
        let (codec, frame_type, packet_type, composition, payload) = match self {
            Self::SequenceStart(codec, record) => (*codec, KEY_FRAME, packet::SEQUENCE_START, 0, record.clone()),
            Self::Frame { codec, kind, composition, data } => {
                let frame_type = if *kind == UnitKind::Key { KEY_FRAME } else { INTER_FRAME };
                (*codec, frame_type, packet::CODED_FRAMES, *composition, data.clone())
            }
            Self::SequenceEnd(codec) => (*codec, KEY_FRAME, packet::SEQUENCE_END, 0, Bytes::new()),
            Self::Silent | Self::Unsupported(_) => return None,
        };
        let [_, time @ ..] = composition.clamp(-0x80_0000, 0x7F_FFFF).to_be_bytes();
        let mut header = SmallHeader::default();
        if codec == VideoCodec::Avc && signalling == Signalling::Legacy {
            header.put(&[frame_type << 4 | AVC, packet_type]);
            header.put(&time);
            return Some((header, payload));
        }
        let with_time = codec.has_composition() && packet_type == packet::CODED_FRAMES && composition != 0;
        let packet_type = match packet_type {
            packet::CODED_FRAMES if codec.has_composition() && !with_time => packet::CODED_FRAMES_X,
            other => other,
        };
        header.put(&[EX_HEADER | frame_type << 4 | packet_type]);
        header.put(&codec.four_cc());
        if with_time {
            header.put(&time);
        }
        Some((header, payload))
    }
}

/// Legacy codec numbers, those that vendors took for themselves included.
fn legacy_name(codec: u8) -> Cow<'static, str> {
    match codec {
        2 => "Sorenson H.263".into(),
        3 | 6 => "Screen video".into(),
        4 | 5 => "VP6".into(),
        13 => "AV1".into(),
        other => format!("video codec {other}").into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn frame_of(codec: VideoCodec, kind: UnitKind, composition: i32, data: &'static [u8]) -> VideoTag {
        VideoTag::Frame { codec, kind, composition, data: Bytes::from_static(data) }
    }

    fn frame(kind: UnitKind, composition: i32, data: &'static [u8]) -> VideoTag {
        frame_of(VideoCodec::Avc, kind, composition, data)
    }

    #[test]
    fn bodies() {
        let check = |body: &[u8], want: Result<VideoTag, FlvError>| {
            assert_eq!(VideoTag::parse(&Bytes::copy_from_slice(body)), want, "{body:02x?}");
        };
        let start_of = |codec| Ok(VideoTag::SequenceStart(codec, Bytes::from_static(&[1, 2])));
        let start = || start_of(VideoCodec::Avc);
        let unsupported = |name: &'static str| Ok(VideoTag::Unsupported(name.into()));
        check(&[], Ok(VideoTag::Silent));
        check(&[0x17], Ok(VideoTag::Silent));
        check(&[0x17, 0, 0, 0, 0, 1, 2], start());
        check(&[0x17, 0, 0, 0, 0], Ok(VideoTag::Silent));
        check(&[0x17, 1, 0, 0, 40, 9], Ok(frame(UnitKind::Key, 40, &[9])));
        check(&[0x27, 1, 0xFF, 0xFF, 0xFE, 9], Ok(frame(UnitKind::Delta, -2, &[9])));
        check(&[0x27, 1, 0, 0, 0], Ok(VideoTag::Silent));
        check(&[0x17, 2, 0, 0, 0], Ok(VideoTag::SequenceEnd(VideoCodec::Avc)));
        check(&[0x17, 9, 0, 0, 0], Ok(VideoTag::Silent));
        check(&[0x17, 1, 0], Err(FlvError::Truncated { at: 2 }));
        check(&[0x57, 0], Ok(VideoTag::Silent));
        check(&[0x22, 1], unsupported("Sorenson H.263"));
        // H.265 as AVC is headed.
        check(&[0x1C, 0, 0, 0, 0, 1, 2], start_of(VideoCodec::Hevc));
        check(&[0x2C, 1, 0, 0, 40, 9], Ok(frame_of(VideoCodec::Hevc, UnitKind::Delta, 40, &[9])));
        check(&[0x2D, 1, 0, 0, 40, 9], unsupported("AV1"));
        // Enhanced.
        check(b"\x90avc1\x01\x02", start());
        check(b"\x91avc1\0\0\x28\x09", Ok(frame(UnitKind::Key, 40, &[9])));
        check(b"\xa3avc1\x09", Ok(frame(UnitKind::Delta, 0, &[9])));
        check(b"\x92avc1", Ok(VideoTag::SequenceEnd(VideoCodec::Avc)));
        check(b"\x94avc1\x02\0\x09colorInfo", Ok(VideoTag::Silent));
        check(b"\x94hvc1\x02\0\x09colorInfo", Ok(VideoTag::Silent));
        check(b"\xd1\0", Ok(VideoTag::Silent));
        check(b"\x90hvc1\x01\x02", start_of(VideoCodec::Hevc));
        check(b"\x91hvc1\0\0\x28\x09", Ok(frame_of(VideoCodec::Hevc, UnitKind::Key, 40, &[9])));
        check(b"\xa3hvc1\x09", Ok(frame_of(VideoCodec::Hevc, UnitKind::Delta, 0, &[9])));
        // AV1 and VP9 have no composition time.
        check(b"\x90av01\x01\x02", start_of(VideoCodec::Av1));
        check(b"\x91av01\x09", Ok(frame_of(VideoCodec::Av1, UnitKind::Key, 0, &[9])));
        check(b"\xa1vp09\x09", Ok(frame_of(VideoCodec::Vp9, UnitKind::Delta, 0, &[9])));
        check(b"\xa3vp09\x09", Ok(frame_of(VideoCodec::Vp9, UnitKind::Delta, 0, &[9])));
        check(b"\x92vp09", Ok(VideoTag::SequenceEnd(VideoCodec::Vp9)));
        check(b"\x90vp08\x01", unsupported("VP8"));
        check(b"\x91\x01\x02\x03\x04\x01", unsupported("...."));
        check(b"\x91avc", Err(FlvError::Truncated { at: 1 }));
        check(b"\x91avc1\0", Err(FlvError::Truncated { at: 0 }));
    }

    #[test]
    fn modifiers_and_tracks() {
        let check = |body: &[u8], want: Result<VideoTag, FlvError>| {
            assert_eq!(VideoTag::parse(&Bytes::copy_from_slice(body)), want, "{body:02x?}");
        };
        let want = || Ok(frame(UnitKind::Key, 0, &[9]));
        // ModEx: size - 1, data, type of the modifier and the packet type behind it.
        check(b"\x97\x02\0\0\x05\x03avc1\x09", want());
        let long = [&b"\x97\xff\x01\x03"[..], &[0; 260], b"\x03avc1\x09"].concat();
        check(&long, want());
        check(&[&[0x97][..], &[0, 0, 7].repeat(9)].concat(), Err(FlvError::TooManyModifiers));
        check(b"\x97\x09\0", Err(FlvError::Truncated { at: 2 }));
        // Multitrack: one track; many tracks of one codec; many of many.
        check(b"\x96\x03avc1\0\x09", want());
        check(b"\x96\x13avc1\x01\0\0\x02\x07\x07\0\0\0\x01\x09", want());
        check(b"\x96\x23hvc1\x01\0\0\x01\x07avc1\0\0\0\x01\x09", want());
        check(b"\x96\x03avc1\x02\x09", Ok(VideoTag::Unsupported("second video track".into())));
        check(b"\x96\x13avc1\x01\0\0\xff\x07", Err(FlvError::Truncated { at: 10 }));
    }

    proptest! {
        #[test]
        fn round_trips(
            key in any::<bool>(),
            composition in -0x80_0000..0x80_0000_i32,
            data in prop::collection::vec(any::<u8>(), 1..40),
        ) {
            let kind = if key { UnitKind::Key } else { UnitKind::Delta };
            for codec in VideoCodec::ALL {
                let composition = if codec.has_composition() { composition } else { 0 };
                let data = Bytes::from(data.clone());
                let frame = VideoTag::Frame { codec, kind, composition, data: data.clone() };
                for tag in [frame, VideoTag::SequenceStart(codec, data), VideoTag::SequenceEnd(codec)] {
                    for signalling in [Signalling::Legacy, Signalling::Enhanced] {
                        let (header, payload) = tag.write(signalling).unwrap();
                        let body: Bytes = [&header[..], &payload].concat().into();
                        prop_assert_eq!(VideoTag::parse(&body), Ok(tag.clone()));
                    }
                }
            }
        }
    }
}
