//! The player socket's messages, byte by byte; the window's half is `ui/src/player/wire.ts`.
//!
//! Little endian throughout. Every binary message begins with its kind:
//!
//! | kind | message | layout |
//! |---|---|---|
//! | 1 | patient's access unit | `u8` kind, `u8` flags (bit 0 key, bit 1 discontinuity), `u16` width, `u16` height, `u16` 0, `u32` sequence, `u32` 0, `u64` pts µs, then Annex B, parameter sets in front of a key unit |
//! | 2 | own picture | `u8` kind, `u8` flags (bit 0 mirrored), `u16` width, `u16` height, `u16` 0, `u32` sequence, `u32` 0, `u64` captured µs, then the I420 planes |
//! | 3 | patient's picture, where the window cannot decode | as 2 |
//! | 4 | levels | `u8` kind, `u8` flags (bit 0 muted), `u16` 0, `f32` own RMS, own peak, patient's RMS, patient's peak, each 0 to 1 |
//!
//! The window answers in JSON: `{"type":"selfTest","ok":bool}`, `{"type":"shown","sequence":n,"decodeMs":x,"displayMs":y}`,
//! `{"type":"needKey"}`.
//!
//! Belongs here: that layout. Not here: the connection (`socket`), what is sent when (`feed`).

use bytes::{BufMut, Bytes, BytesMut};
use media::{AccessUnit, CodecParams, MediaTime, Picture};
use serde::Deserialize;

const KIND_UNIT: u8 = 1;
const KIND_OWN: u8 = 2;
const KIND_REMOTE: u8 = 3;
const KIND_METER: u8 = 4;

/// Most bytes of a text message from the window; the longest real one has 90.
pub(crate) const MAX_TEXT: usize = 1024;

/// Levels on both sides, full scale 1.0.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(crate) struct Levels {
    pub(crate) muted: bool,
    pub(crate) mic: codec::Level,
    pub(crate) remote: codec::Level,
}

/// What the window says.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(tag = "type", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub(crate) enum FromWindow {
    /// Whether it decodes H.264 by itself.
    SelfTest { ok: bool },
    /// A picture of the patient is on screen.
    Shown { sequence: u32, decode_ms: f32, display_ms: f32 },
    /// It cannot go on without a key unit.
    NeedKey,
    /// The own picture is drawn so many of the screen's pixels high.
    OwnHeight { pixels: u32 },
}

impl FromWindow {
    /// `None` for what is not a message; the window is ours, but it displays what others send.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        (text.len() <= MAX_TEXT).then(|| serde_json::from_str(text).ok()).flatten()
    }
}

/// Kind 1.
pub(crate) fn unit(unit: &AccessUnit, sequence: u32, discontinuity: bool) -> Bytes {
    let (width, height) = match &*unit.params {
        CodecParams::H264(params) => (params.width(), params.height()),
        _ => (0, 0),
    };
    let flags = u8::from(unit.is_key()) | u8::from(discontinuity) << 1;
    let annex_b = unit.annex_b();
    let mut out = header(KIND_UNIT, flags, (width, height), sequence, micros(unit.pts), annex_b.len());
    out.extend_from_slice(&annex_b);
    out.freeze()
}

/// Kind 2.
pub(crate) fn own_picture(picture: &Picture, sequence: u32, mirrored: bool) -> Bytes {
    picture_message(KIND_OWN, picture, sequence, u8::from(mirrored), picture.captured().micros())
}

/// Kind 3.
pub(crate) fn remote_picture(picture: &Picture, sequence: u32, pts: MediaTime) -> Bytes {
    picture_message(KIND_REMOTE, picture, sequence, 0, micros(pts))
}

/// Kind 4.
pub(crate) fn meter(levels: &Levels) -> Bytes {
    let mut out = BytesMut::with_capacity(20);
    out.put_slice(&[KIND_METER, u8::from(levels.muted), 0, 0]);
    for level in [levels.mic.rms, levels.mic.peak, levels.remote.rms, levels.remote.peak] {
        out.put_f32_le(level.clamp(0.0, 1.0));
    }
    out.freeze()
}

fn picture_message(kind: u8, picture: &Picture, sequence: u32, flags: u8, time: u64) -> Bytes {
    let mut out = header(kind, flags, (picture.width(), picture.height()), sequence, time, picture.data().len());
    out.extend_from_slice(picture.data());
    out.freeze()
}

fn header(kind: u8, flags: u8, size: (u32, u32), sequence: u32, time: u64, payload: usize) -> BytesMut {
    let side = |n: u32| u16::try_from(n).unwrap_or(u16::MAX);
    let mut out = BytesMut::with_capacity(24 + payload);
    out.put_slice(&[kind, flags]);
    out.put_u16_le(side(size.0));
    out.put_u16_le(side(size.1));
    out.put_u16_le(0);
    out.put_u32_le(sequence);
    out.put_u32_le(0);
    out.put_u64_le(time);
    out
}

fn micros(time: MediaTime) -> u64 {
    u64::try_from(time.micros()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use media::MonoTime;

    #[test]
    fn pictures_and_levels_byte_by_byte() {
        let picture = Picture::new(4, 2, vec![7; 12], MonoTime::from_micros(0x0102)).unwrap();
        let bytes = own_picture(&picture, 5, true);
        let want = [2, 1, 4, 0, 2, 0, 0, 0, 5, 0, 0, 0, 0, 0, 0, 0, 2, 1, 0, 0, 0, 0, 0, 0];
        assert_eq!((&bytes[..24], &bytes[24..]), (&want[..], &[7; 12][..]));
        let level = |rms, peak| codec::Level { rms, peak };
        let bytes = meter(&Levels { muted: true, mic: level(0.5, 2.0), remote: level(0.0, 0.25) });
        let floats: Vec<f32> = bytes[4..].chunks(4).map(|c| f32::from_le_bytes(c.try_into().unwrap())).collect();
        assert_eq!((&bytes[..4], &floats[..]), (&[4, 1, 0, 0][..], &[0.5, 1.0, 0.0, 0.25][..]));
    }

    #[test]
    fn what_the_window_says() {
        let check = |text: &str, want| assert_eq!(FromWindow::parse(text), want, "{text}");
        check(r#"{"type":"selfTest","ok":false}"#, Some(FromWindow::SelfTest { ok: false }));
        check(r#"{"type":"needKey"}"#, Some(FromWindow::NeedKey));
        check(
            r#"{"type":"shown","sequence":7,"decodeMs":1.5,"displayMs":2}"#,
            Some(FromWindow::Shown { sequence: 7, decode_ms: 1.5, display_ms: 2.0 }),
        );
        check(r#"{"type":"ownHeight","pixels":620}"#, Some(FromWindow::OwnHeight { pixels: 620 }));
        check("", None);
        check(r#"{"type":"shown"}"#, None);
        check(&format!("{{\"type\":\"needKey\",\"x\":\"{}\"}}", "y".repeat(2000)), None);
    }
}
