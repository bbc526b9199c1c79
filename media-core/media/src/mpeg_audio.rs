//! MPEG-1 and MPEG-2 Audio, layers I to III (MP3): the four bytes every frame begins with (ISO/IEC 11172-3 §2.4.1.3,
//! 13818-3 §2.4.2.3).
//!
//! Not here: decoding (`codec`).

use crate::time::ClockRate;
use thiserror::Error;

/// What a frame's header can get wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("broken MPEG audio frame header")]
pub struct MpegAudioError;

/// The layer: how much the encoder thought.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum MpegAudioLayer {
    /// Layer I.
    I,
    /// Layer II: what broadcasters send.
    II,
    /// Layer III: MP3.
    III,
}

/// What an MPEG audio track decodes with. It has no header of its own: every frame says it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MpegAudioParams {
    /// The layer.
    pub layer: MpegAudioLayer,
    /// Samples per second.
    pub rate: ClockRate,
    /// 1 or 2.
    pub channels: u8,
    /// Samples per channel of one frame: 384, 576 or 1152.
    pub frame_samples: u16,
}

/// A frame's header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MpegAudioHeader {
    /// What it decodes with.
    pub params: MpegAudioParams,
    /// Bytes of the whole frame, its header included.
    pub bytes: usize,
}

/// Kilobits per second by index 1 … 14, for MPEG-1 layers I, II, III and for MPEG-2 layer I and the two others.
const BITRATES: [[u16; 14]; 5] = [
    [32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448],
    [32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384],
    [32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320],
    [32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256],
    [8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160],
];

impl MpegAudioHeader {
    /// Bytes of the longest frame: MPEG 2.5, layer II, 160 kbit/s at 8 kHz, and a byte of padding.
    pub const MAX_BYTES: usize = 144 * 160_000 / 8_000 + 1;

    /// Reads the header that `frame` begins with.
    ///
    /// # Errors
    /// [`MpegAudioError`] for what is none, for reserved values, and for free-format frames, whose length nobody says.
    pub fn parse(frame: &[u8]) -> Result<Self, MpegAudioError> {
        let &[0xFF, b, c, d, ..] = frame else { return Err(MpegAudioError) };
        if b & 0xE0 != 0xE0 {
            return Err(MpegAudioError);
        }
        // MPEG-1 runs at full rates, MPEG-2 at half of them, MPEG 2.5 at a quarter.
        let shift = match b >> 3 & 3 {
            0 => 2,
            2 => 1,
            3 => 0,
            _ => return Err(MpegAudioError),
        };
        let layer = match b >> 1 & 3 {
            1 => MpegAudioLayer::III,
            2 => MpegAudioLayer::II,
            3 => MpegAudioLayer::I,
            _ => return Err(MpegAudioError),
        };
        let rate = match c >> 2 & 3 {
            0 => 44_100,
            1 => 48_000,
            2 => 32_000,
            _ => return Err(MpegAudioError),
        } >> shift;
        let row = match (shift, layer) {
            (0, MpegAudioLayer::I) => 0,
            (0, MpegAudioLayer::II) => 1,
            (0, MpegAudioLayer::III) => 2,
            (_, MpegAudioLayer::I) => 3,
            (_, MpegAudioLayer::II | MpegAudioLayer::III) => 4,
        };
        let index = usize::from(c >> 4).checked_sub(1).ok_or(MpegAudioError)?;
        let bitrate = BITRATES.get(row).and_then(|row: &[u16; 14]| row.get(index)).ok_or(MpegAudioError)?;
        let padding = u32::from(c >> 1 & 1);
        let (frame_samples, slot) = match layer {
            MpegAudioLayer::I => (384, 4),
            MpegAudioLayer::III if shift > 0 => (576, 1),
            MpegAudioLayer::II | MpegAudioLayer::III => (1152, 1),
        };
        let slots = frame_samples / 8 / slot * u32::from(*bitrate) * 1000 / rate + padding;
        let channels = if d >> 6 == 3 { 1 } else { 2 };
        let rate = ClockRate::new(rate).ok_or(MpegAudioError)?;
        let params = MpegAudioParams { layer, rate, channels, frame_samples: frame_samples as u16 };
        Ok(Self { params, bytes: (slots * slot) as usize })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn headers() {
        let check = |bytes: [u8; 4], layer, rate, channels, frame_samples, length| {
            let header = MpegAudioHeader::parse(&bytes).unwrap();
            let want = MpegAudioParams { layer, rate: ClockRate::new(rate).unwrap(), channels, frame_samples };
            assert_eq!((header.params, header.bytes), (want, length), "{bytes:02x?}");
        };
        // As ffmpeg and LAME write them.
        check([0xFF, 0xFB, 0x90, 0x64], MpegAudioLayer::III, 44_100, 2, 1152, 417);
        check([0xFF, 0xFB, 0x92, 0x64], MpegAudioLayer::III, 44_100, 2, 1152, 418);
        check([0xFF, 0xFB, 0x94, 0xC4], MpegAudioLayer::III, 48_000, 1, 1152, 384);
        check([0xFF, 0xF3, 0x44, 0xC4], MpegAudioLayer::III, 24_000, 1, 576, 96);
        check([0xFF, 0xE3, 0x48, 0xC4], MpegAudioLayer::III, 8_000, 1, 576, 288);
        check([0xFF, 0xFD, 0xC4, 0x04], MpegAudioLayer::II, 48_000, 2, 1152, 768);
        check([0xFF, 0xFF, 0xC4, 0x04], MpegAudioLayer::I, 48_000, 2, 384, 384);
        for bad in [[0xFE, 0xFB, 0x90, 0], [0xFF, 0xEB, 0x90, 0], [0xFF, 0xF9, 0x90, 0], [0xFF, 0xFB, 0x9C, 0]] {
            assert!(MpegAudioHeader::parse(&bad).is_err(), "{bad:02x?}");
        }
        for bitrate in [0x00, 0xF0] {
            assert!(MpegAudioHeader::parse(&[0xFF, 0xFB, bitrate, 0]).is_err(), "free format and reserved");
        }
        assert!(MpegAudioHeader::parse(&[0xFF, 0xFB, 0x90]).is_err());
    }

    proptest! {
        #[test]
        fn a_header_is_bounded(bytes in any::<[u8; 4]>()) {
            if let Ok(header) = MpegAudioHeader::parse(&bytes) {
                prop_assert!((24..=MpegAudioHeader::MAX_BYTES).contains(&header.bytes), "{}", header.bytes);
                prop_assert!((8_000..=48_000).contains(&header.params.rate.hz()));
            }
        }
    }
}
