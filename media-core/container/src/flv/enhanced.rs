//! What the extended headers of video and audio tags have in common (Enhanced RTMP v2, ExVideoTagHeader and ExAudioTagHeader).
//!
//! Not here: what the packets of a codec hold (`video`, `audio`).

use super::FlvError;
use super::fields::Fields;
use bytes::Bytes;
use std::borrow::Cow;

/// One modifier exists (the nanosecond offset); a message with more than this many is an attack on our patience.
pub(super) const MAX_MOD_EX: usize = 8;

const MULTITRACK_VIDEO: u8 = 6;
const MULTITRACK_AUDIO: u8 = 5;
const MOD_EX: u8 = 7;

/// `AvMultitrackType`.
const ONE_TRACK: u8 = 0;
const MANY_TRACKS_MANY_CODECS: u8 = 2;

/// Which of the two headers it is: their packet types differ.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    Video,
    Audio,
}

/// An extended packet: of the only track, or of track 0 where there are several.
pub(super) struct Packet {
    pub(super) packet_type: u8,
    pub(super) four_cc: [u8; 4],
    /// `None` where the message has tracks, but not number 0.
    pub(super) body: Option<Bytes>,
}

/// Reads from behind the first byte, whose low bits are `packet_type`. The nanosecond offset of a modifier is passed over:
/// this clock ticks in milliseconds.
pub(super) fn packet(side: Side, mut packet_type: u8, fields: &mut Fields<'_>) -> Result<Packet, FlvError> {
    let mut modifiers = 0;
    while packet_type == MOD_EX {
        modifiers += 1;
        if modifiers > MAX_MOD_EX {
            return Err(FlvError::TooManyModifiers);
        }
        let mut size = usize::from(fields.u8()?) + 1;
        if size == 256 {
            size = usize::from(fields.u16()?) + 1;
        }
        fields.take(size)?;
        packet_type = fields.u8()? & 0x0F;
    }
    let multitrack = match side {
        Side::Video => MULTITRACK_VIDEO,
        Side::Audio => MULTITRACK_AUDIO,
    };
    if packet_type != multitrack {
        return Ok(Packet { packet_type, four_cc: fields.array()?, body: Some(fields.rest()) });
    }
    let types = fields.u8()?;
    let (layout, packet_type) = (types >> 4, types & 0x0F);
    let mut four_cc = [0; 4];
    if layout != MANY_TRACKS_MANY_CODECS {
        four_cc = fields.array()?;
    }
    loop {
        if layout == MANY_TRACKS_MANY_CODECS {
            four_cc = fields.array()?;
        }
        let track = fields.u8()?;
        let body = if layout == ONE_TRACK {
            fields.rest()
        } else {
            let size = usize::try_from(fields.u24()?).unwrap_or(usize::MAX);
            fields.take(size)?
        };
        if track == 0 {
            return Ok(Packet { packet_type, four_cc, body: Some(body) });
        }
        if fields.is_empty() {
            return Ok(Packet { packet_type, four_cc, body: None });
        }
    }
}

/// A FourCC for people; bytes that do not print become dots.
pub(super) fn name(four_cc: [u8; 4]) -> Cow<'static, str> {
    match &four_cc {
        b"vp08" => "VP8".into(),
        b"vvc1" => "H266".into(),
        b".mp3" => "MPEG-1/2 Audio".into(),
        b"ac-3" => "AC-3".into(),
        b"ec-3" => "E-AC-3".into(),
        b"fLaC" => "FLAC".into(),
        other => {
            other.map(|b| if b.is_ascii_graphic() { char::from(b) } else { '.' }).iter().collect::<String>().into()
        }
    }
}
