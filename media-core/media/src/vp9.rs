//! VP9: the first bits of a frame, the configuration record, and the entrance of a VP9 track.
//!
//! Sections are those of the VP9 Bitstream & Decoding Process Specification 0.7; the record is that of the VP Codec ISO Media
//! File Format Binding 1.0. Not here: RTP payload descriptors (`proto::rtp`), boxes and tags (`container`).

use crate::CodecParams;
use crate::bits::Bits;
use crate::unit::UnitKind;
use crate::video::VideoUnit;
use bytes::Bytes;
use std::sync::Arc;
use thiserror::Error;

/// What VP9 bytes can get wrong.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Vp9Error {
    /// The uncompressed header ends early, or is none (§6.2).
    #[error("broken VP9 frame header")]
    Frame,
    /// The configuration record ends early, or is of another version.
    #[error("broken VP9 configuration record")]
    Record,
    /// A picture came before the first key picture.
    #[error("a picture before the first key picture")]
    NoParams,
}

/// What a VP9 track decodes with, and how its pictures look. A decoder itself needs none of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Vp9Params {
    record: Record,
    width: u32,
    height: u32,
}

/// The fields of the configuration record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Record {
    profile: u8,
    /// Ten times the level; 0 where nobody says.
    level: u8,
    depth: u8,
    /// 0 and 1 are 4:2:0 (sited left, and between), 2 is 4:2:2, 3 is 4:4:4.
    chroma: u8,
    full_range: bool,
    /// Primaries, transfer, matrix (ITU-T H.273); 2 is unspecified.
    colour: [u8; 3],
}

impl Record {
    /// With the box's version and flags in front, as FFmpeg sends it by RTMP, or without.
    fn parse(record: &[u8]) -> Result<Self, Vp9Error> {
        let fields = match record {
            [1, 0, 0, 0, rest @ ..] if rest.len() >= 8 => rest,
            short => short,
        };
        let [profile, level, depths, primaries, transfer, matrix, _, _] =
            *fields.first_chunk::<8>().ok_or(Vp9Error::Record)?;
        let (depth, chroma) = (depths >> 4, depths >> 1 & 7);
        if profile > 3 || !matches!(depth, 8 | 10 | 12) || chroma > 3 {
            return Err(Vp9Error::Record);
        }
        // RGB cannot be subsampled, and readers of the record refuse what says so.
        let colour = [primaries, transfer, if matrix == 0 && chroma != 3 { 2 } else { matrix }];
        Ok(Self { profile, level, depth, chroma, full_range: depths & 1 == 1, colour })
    }
}

impl Vp9Params {
    fn new(mut record: Record, width: u32, height: u32) -> Self {
        if record.level == 0 {
            record.level = level_of(width, height);
        }
        Self { record, width, height }
    }

    /// Reads a configuration record, with or without the box's version and flags, for pictures of this size.
    ///
    /// # Errors
    /// [`Vp9Error::Record`].
    pub fn from_vpcc(record: &[u8], width: u32, height: u32) -> Result<Self, Vp9Error> {
        Ok(Self::new(Record::parse(record)?, width, height))
    }

    /// The configuration record with the box's version and flags in front: the body of `vpcC`, and what Enhanced RTMP carries.
    pub fn vpcc(&self) -> [u8; 12] {
        let Record { profile, level, depth, chroma, full_range, colour: [primaries, transfer, matrix] } = self.record;
        let depths = depth << 4 | chroma << 1 | u8::from(full_range);
        [1, 0, 0, 0, profile, level, depths, primaries, transfer, matrix, 0, 0]
    }

    /// Width of the pictures in pixels.
    pub const fn width(&self) -> u32 {
        self.width
    }

    /// Height of the pictures in pixels.
    pub const fn height(&self) -> u32 {
        self.height
    }

    /// The profile, 0 to 3.
    pub const fn profile(&self) -> u8 {
        self.record.profile
    }

    /// The RFC 6381 name, such as `vp09.00.30.08`.
    pub fn codec_string(&self) -> String {
        format!("vp09.{:02}.{:02}.{:02}", self.record.profile, self.record.level, self.record.depth)
    }
}

/// Ten times the level that pictures of this size need at thirty a second (annex A).
fn level_of(width: u32, height: u32) -> u8 {
    const LEVELS: [(u32, u8); 8] = [
        (36_864, 10),
        (73_728, 11),
        (122_880, 20),
        (245_760, 21),
        (552_960, 30),
        (983_040, 31),
        (2_228_224, 40),
        (8_912_896, 50),
    ];
    let size = width.saturating_mul(height);
    LEVELS.iter().find(|(most, _)| size <= *most).map_or(60, |(_, level)| *level)
}

/// What the uncompressed header of a frame says.
enum Header {
    Delta,
    Key { profile: u8, depth: u8, chroma: u8, full_range: bool, width: u32, height: u32 },
}

impl Header {
    fn read(frame: &[u8]) -> Option<Self> {
        let mut bits = Bits::new(frame);
        if bits.take(2)? != 2 {
            return None;
        }
        let profile = bits.small(1)? | bits.small(1)? << 1;
        if profile == 3 {
            bits.take(1)?;
        }
        // show_existing_frame, then frame_type: 0 is a key picture.
        if bits.flag()? || bits.flag()? {
            return Some(Self::Delta);
        }
        // show_frame, error_resilient_mode, frame_sync_code.
        bits.take(2)?;
        if bits.take(24)? != 0x49_8342 {
            return None;
        }
        let depth = match profile >= 2 {
            true if bits.flag()? => 12,
            true => 10,
            false => 8,
        };
        let odd = profile & 1 == 1;
        let (chroma, full_range) = match bits.take(3)? {
            // RGB
            7 => {
                bits.skip(u32::from(odd))?;
                (3, true)
            }
            _ => {
                let full_range = bits.flag()?;
                let chroma = match odd {
                    false => 0,
                    true => match (bits.flag()?, bits.flag()?, bits.flag()?) {
                        (true, false, _) => 2,
                        _ => 3,
                    },
                };
                (chroma, full_range)
            }
        };
        let (width, height) = (bits.take(16)? + 1, bits.take(16)? + 1);
        Some(Self::Key { profile, depth, chroma, full_range, width, height })
    }
}

/// The entrance of a VP9 track: frames and superframes are canonical as they are; it tells key from delta and learns the size.
#[derive(Debug, Clone, Default)]
pub struct Vp9Entrance {
    record: Option<Record>,
    params: Option<Arc<CodecParams>>,
}

impl Vp9Entrance {
    /// An entrance that has seen no key picture.
    pub fn new() -> Self {
        Self::default()
    }

    /// A configuration record that came out of band; the size follows with the first key picture.
    ///
    /// # Errors
    /// [`Vp9Error::Record`].
    pub fn set_record(&mut self, record: &[u8]) -> Result<(), Vp9Error> {
        self.record = Some(Record::parse(record)?);
        Ok(())
    }

    /// Parameters that came out of band, size included.
    pub fn set_params(&mut self, params: Vp9Params) {
        self.record = Some(params.record);
        self.put(params);
    }

    /// Can decoding start at this frame?
    pub fn starts(frame: &[u8]) -> bool {
        matches!(Header::read(frame), Some(Header::Key { .. }))
    }

    /// What is known now; `None` until the size is.
    pub fn params(&self) -> Option<Arc<CodecParams>> {
        self.params.clone()
    }

    /// Takes one frame or superframe. `Ok(None)` where it is empty.
    ///
    /// # Errors
    /// [`Vp9Error::NoParams`] before the first key picture, [`Vp9Error::Frame`] for what is none.
    pub fn unit(&mut self, data: &Bytes) -> Result<Option<VideoUnit>, Vp9Error> {
        if data.is_empty() {
            return Ok(None);
        }
        // A superframe's index is at its end: it begins as its first frame does (annex B).
        let kind = match Header::read(data).ok_or(Vp9Error::Frame)? {
            Header::Delta => UnitKind::Delta,
            Header::Key { profile, depth, chroma, full_range, width, height } => {
                let told = self.record.filter(|r| r.profile == profile && r.depth == depth);
                let record = match told {
                    // The record knows where chroma sits and which colours they are; the frame how it is subsampled.
                    Some(record) if record.chroma.max(1) == chroma.max(1) => record,
                    _ => Record { profile, level: 0, depth, chroma, full_range, colour: [2; 3] },
                };
                self.put(Vp9Params::new(record, width, height));
                UnitKind::Key
            }
        };
        let params = self.params.clone().ok_or(Vp9Error::NoParams)?;
        Ok(Some(VideoUnit { kind, params, payload: data.clone() }))
    }

    fn put(&mut self, params: Vp9Params) {
        let new = CodecParams::Vp9(params);
        if self.params.as_deref() != Some(&new) {
            self.params = Some(Arc::new(new));
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// The beginning of a key picture of 320×240, as libvpx writes it, and of the next.
    pub(crate) const KEY: &[u8] = &[0x82, 0x49, 0x83, 0x42, 0, 0x13, 0xf0, 0x0e, 0xf6, 6];
    const DELTA: &[u8] = &[0x86, 0, 0x40, 0x92];
    const RECORD: [u8; 12] = [1, 0, 0, 0, 0, 0x14, 0x82, 2, 2, 2, 0, 0];

    pub(crate) fn params() -> Vp9Params {
        Vp9Params::from_vpcc(&RECORD, 320, 240).unwrap()
    }

    #[test]
    fn record_round_trips_with_and_without_version() {
        assert_eq!(params().vpcc(), RECORD);
        assert_eq!(Vp9Params::from_vpcc(&RECORD[4..], 320, 240), Ok(params()));
        assert_eq!(params().codec_string(), "vp09.00.20.08");
        for cut in 0..8 {
            assert_eq!(Vp9Params::from_vpcc(&RECORD[..cut], 1, 1), Err(Vp9Error::Record), "cut at {cut}");
        }
        assert_eq!(Vp9Params::from_vpcc(&[9; 8], 1, 1), Err(Vp9Error::Record));
    }

    #[test]
    fn the_key_picture_says_the_size() {
        let mut e = Vp9Entrance::new();
        let frame = Bytes::from_static;
        assert_eq!(e.unit(&frame(DELTA)).unwrap_err(), Vp9Error::NoParams);
        e.set_record(&RECORD).unwrap();
        assert!(e.params().is_none());
        let unit = e.unit(&frame(KEY)).unwrap().unwrap();
        assert_eq!((unit.kind, &*unit.params), (UnitKind::Key, &CodecParams::Vp9(params())));
        assert_eq!(unit.payload.as_ptr(), KEY.as_ptr(), "no copy");
        let next = e.unit(&frame(DELTA)).unwrap().unwrap();
        assert_eq!(next.kind, UnitKind::Delta);
        assert!(Arc::ptr_eq(&unit.params, &next.params));
        // A larger key picture, without a new record.
        let mut larger = KEY.to_vec();
        larger[5] = 0x23;
        let unit = e.unit(&larger.into()).unwrap().unwrap();
        assert!(matches!(&*unit.params, CodecParams::Vp9(p) if p.width() == 576));
        // Nothing is told: the size says the level.
        let mut e = Vp9Entrance::new();
        assert_eq!(e.unit(&frame(KEY)).unwrap().unwrap().params.codec_string(), "vp09.00.20.08");
        assert!(e.unit(&Bytes::new()).unwrap().is_none());
        for broken in [&KEY[..6], &[0x02][..], &[0x82, 1, 2, 3, 4]] {
            assert_eq!(e.unit(&Bytes::copy_from_slice(broken)).unwrap_err(), Vp9Error::Frame, "{broken:02x?}");
        }
    }
}
