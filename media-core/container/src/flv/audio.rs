//! Audio tag bodies (Adobe FLV 10.1 §E.4.2; Enhanced RTMP v2, "Enhanced Audio").
//!
//! Not here: what AudioSpecificConfig and OpusHead say (`media`), timestamps (`demux`, `mux`).

use super::enhanced::{self, Side};
use super::fields::Fields;
use super::{FlvError, Signalling, SmallHeader};
use bytes::Bytes;
use media::{G711Law, G711Params};
use std::borrow::Cow;

/// The sound codecs that are carried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AudioCodec {
    /// AAC; its header is an AudioSpecificConfig.
    Aac,
    /// Opus, in Enhanced RTMP alone; its header is an OpusHead (RFC 7845 §5.1).
    Opus,
    /// MP3, at most one frame a tag; each frame says what it is. Only read.
    MpegAudio,
    /// G.711 at 8 kHz. Only read.
    G711(G711Params),
}

/// What an audio tag says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AudioTag {
    /// The codec's header.
    SequenceStart(AudioCodec, Bytes),
    /// One raw AAC frame or one Opus packet.
    Frame(AudioCodec, Bytes),
    /// No more sound until the next [`Self::SequenceStart`].
    SequenceEnd,
    /// Nothing for a decoder: empty bodies, channel layouts, reserved packet types.
    Silent,
    /// A codec that is not carried here, or a track beside the first; its name.
    Unsupported(Cow<'static, str>),
}

const EX_HEADER: u8 = 9;
const MP3: u8 = 2;
const A_LAW: u8 = 7;
const MU_LAW: u8 = 8;
const AAC: u8 = 10;
const MP3_8_KHZ: u8 = 14;
/// AAC is always announced as 44 kHz, 16 bit, stereo; players take the truth from the AudioSpecificConfig (§E.4.2.1).
const AAC_FIRST_BYTE: u8 = AAC << 4 | 0x0F;
const MP4A: [u8; 4] = *b"mp4a";
const OPUS: [u8; 4] = *b"Opus";

/// `AudioPacketType`; the first two are those of legacy AAC as well.
mod packet {
    pub(super) const SEQUENCE_START: u8 = 0;
    pub(super) const CODED_FRAMES: u8 = 1;
    pub(super) const SEQUENCE_END: u8 = 2;
}

impl AudioTag {
    /// Reads a body; what it holds are slices of it.
    ///
    /// # Errors
    /// [`FlvError::Truncated`] where it ends inside a field.
    pub fn parse(body: &Bytes) -> Result<Self, FlvError> {
        let mut fields = Fields::new(body);
        if fields.is_empty() {
            return Ok(Self::Silent);
        }
        let first = fields.u8()?;
        match first >> 4 {
            EX_HEADER => Self::parse_enhanced(first & 0x0F, &mut fields),
            // Some encoders send the first byte alone before they have sound.
            AAC if fields.is_empty() => Ok(Self::Silent),
            AAC => Ok(Self::packet(AudioCodec::Aac, fields.u8()?, fields.rest())),
            MP3 | MP3_8_KHZ => Ok(Self::packet(AudioCodec::MpegAudio, packet::CODED_FRAMES, fields.rest())),
            law @ (A_LAW | MU_LAW) => {
                let law = if law == A_LAW { G711Law::A } else { G711Law::Mu };
                // The bits for rate and width say nothing here (§E.4.2.1): it is 8 kHz.
                let params = G711Params { channels: 1 + (first & 1), ..G711Params::telephone(law) };
                Ok(Self::packet(AudioCodec::G711(params), packet::CODED_FRAMES, fields.rest()))
            }
            format => Ok(Self::Unsupported(legacy_name(format))),
        }
    }

    fn parse_enhanced(packet_type: u8, fields: &mut Fields<'_>) -> Result<Self, FlvError> {
        let packet = enhanced::packet(Side::Audio, packet_type, fields)?;
        let Some(body) = packet.body else { return Ok(Self::Unsupported("second audio track".into())) };
        match packet.four_cc {
            MP4A => Ok(Self::packet(AudioCodec::Aac, packet.packet_type, body)),
            OPUS => Ok(Self::packet(AudioCodec::Opus, packet.packet_type, body)),
            other => Ok(Self::Unsupported(enhanced::name(other))),
        }
    }

    fn packet(codec: AudioCodec, packet_type: u8, body: Bytes) -> Self {
        match packet_type {
            packet::SEQUENCE_END => Self::SequenceEnd,
            _ if body.is_empty() => Self::Silent,
            packet::SEQUENCE_START => Self::SequenceStart(codec, body),
            packet::CODED_FRAMES => Self::Frame(codec, body),
            _ => Self::Silent,
        }
    }

    /// The body as a header and the payload it stands before; `None` for what is only ever read, and for Opus and the end of
    /// a sequence in legacy signalling, which has no word for them.
    pub fn write(&self, signalling: Signalling) -> Option<(SmallHeader, Bytes)> {
        let (codec, packet_type, payload) = match self {
            Self::SequenceStart(codec, header) => (*codec, packet::SEQUENCE_START, header.clone()),
            Self::Frame(codec, data) => (*codec, packet::CODED_FRAMES, data.clone()),
            Self::SequenceEnd => (AudioCodec::Opus, packet::SEQUENCE_END, Bytes::new()),
            Self::Silent | Self::Unsupported(_) => return None,
        };
        let mut header = SmallHeader::default();
        match (signalling, codec) {
            (Signalling::Legacy, AudioCodec::Aac) => header.put(&[AAC_FIRST_BYTE, packet_type]),
            (Signalling::Enhanced, AudioCodec::Aac) => header.put_four_cc(EX_HEADER << 4 | packet_type, &MP4A),
            (Signalling::Enhanced, AudioCodec::Opus) => header.put_four_cc(EX_HEADER << 4 | packet_type, &OPUS),
            (Signalling::Legacy, AudioCodec::Opus) | (_, AudioCodec::MpegAudio | AudioCodec::G711(_)) => return None,
        }
        Some((header, payload))
    }
}

/// Legacy sound formats (§E.4.2.1), and the number ZLMediaKit took for Opus.
fn legacy_name(format: u8) -> Cow<'static, str> {
    match format {
        0 | 3 => "LPCM".into(),
        1 => "ADPCM".into(),
        4..=6 => "Nellymoser".into(),
        11 => "Speex".into(),
        13 => "Opus in legacy FLV".into(),
        other => format!("audio format {other}").into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn bodies() {
        let check = |body: &[u8], want: Result<AudioTag, FlvError>| {
            assert_eq!(AudioTag::parse(&Bytes::copy_from_slice(body)), want, "{body:02x?}");
        };
        let start = |codec, header: &'static [u8]| Ok(AudioTag::SequenceStart(codec, Bytes::from_static(header)));
        let frame = |codec, data: &'static [u8]| Ok(AudioTag::Frame(codec, Bytes::from_static(data)));
        let unsupported = |name: &'static str| Ok(AudioTag::Unsupported(name.into()));
        check(&[], Ok(AudioTag::Silent));
        check(&[0xAF], Ok(AudioTag::Silent));
        check(&[0xAF, 0, 0x11, 0x90], start(AudioCodec::Aac, &[0x11, 0x90]));
        check(&[0xAE, 1, 7], frame(AudioCodec::Aac, &[7]));
        check(&[0xAF, 1], Ok(AudioTag::Silent));
        check(&[0x2F, 0xFF, 0xFB], frame(AudioCodec::MpegAudio, &[0xFF, 0xFB]));
        check(&[0xEE, 0xFF], frame(AudioCodec::MpegAudio, &[0xFF]));
        check(&[0x2F], Ok(AudioTag::Silent));
        check(&[0x72, 0x55, 0xD5], frame(AudioCodec::G711(G711Params::telephone(G711Law::A)), &[0x55, 0xD5]));
        let stereo = G711Params { channels: 2, ..G711Params::telephone(G711Law::Mu) };
        check(&[0x83, 0xFF], frame(AudioCodec::G711(stereo), &[0xFF]));
        check(&[0xB2], unsupported("Speex"));
        check(b"\x90OpusOpusHead", start(AudioCodec::Opus, b"OpusHead"));
        check(b"\x91Opus\xfc", frame(AudioCodec::Opus, &[0xFC]));
        check(b"\x91mp4a\x07", frame(AudioCodec::Aac, &[7]));
        check(b"\x92mp4a", Ok(AudioTag::SequenceEnd));
        check(b"\x94Opus\x01\x02", Ok(AudioTag::Silent));
        check(b"\x91fLaC\x01", unsupported("FLAC"));
        check(b"\x91Op", Err(FlvError::Truncated { at: 1 }));
        check(b"\x95\x01mp4a\0\x07", frame(AudioCodec::Aac, &[7]));
        check(b"\x95\x11mp4a\x01\0\0\x01\x08\0\0\0\x01\x07", frame(AudioCodec::Aac, &[7]));
        check(b"\x97\x02\0\0\x05\x01Opus\xfc", frame(AudioCodec::Opus, &[0xFC]));
    }

    proptest! {
        #[test]
        fn round_trips(data in prop::collection::vec(any::<u8>(), 1..40), opus in any::<bool>()) {
            let codec = if opus { AudioCodec::Opus } else { AudioCodec::Aac };
            let (start, frame) =
                (AudioTag::SequenceStart(codec, data.clone().into()), AudioTag::Frame(codec, data.into()));
            for tag in [start, frame, AudioTag::SequenceEnd] {
                for signalling in [Signalling::Legacy, Signalling::Enhanced] {
                    match tag.write(signalling) {
                        Some((header, payload)) => {
                            let body: Bytes = [&header[..], &payload].concat().into();
                            prop_assert_eq!(AudioTag::parse(&body), Ok(tag.clone()));
                        }
                        None => prop_assert!(signalling == Signalling::Legacy && (opus || tag == AudioTag::SequenceEnd)),
                    }
                }
            }
        }
    }
}
