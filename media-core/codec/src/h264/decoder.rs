//! The H.264 decoder: one access unit in, at most one picture out.
//!
//! Not here: deciding what to show when (`engine`), asking the sender for a key picture (`relay`, `engine`).

use super::display::DisplayOrder;
use super::sps::without_reordering;
use crate::CodecError;
use media::{AccessUnit, CodecParams, H264Params, MediaTime, MonoTime, Picture, UnitKind, append_annex_b};
use openh264::OpenH264API;
use openh264::decoder::{DecodeOptions, DecodedYUV, Decoder, DecoderConfig, Flush};
use openh264::formats::YUVSource;
use std::sync::Arc;

/// A picture and when it is shown.
#[derive(Debug, Clone)]
pub struct DecodedPicture {
    /// The picture; its capture time is the unit's, where that was known.
    pub picture: Picture,
    /// Presentation time of the unit it came from.
    pub pts: MediaTime,
}

/// Decodes access units in decode order. After damage it answers [`CodecError::NeedKey`] until the next key picture and
/// resumes there by itself; the caller keeps the last picture and asks the sender for a key.
pub struct H264Decoder {
    decoder: Decoder,
    state: State,
    params: Option<Arc<CodecParams>>,
    /// The parameter sets of `params` as the library gets them.
    sets: Vec<u8>,
    order: DisplayOrder,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    NeedKey,
    Running,
}

impl H264Decoder {
    /// A decoder that waits for its first key picture.
    ///
    /// # Errors
    /// [`CodecError::Native`] where the library cannot start.
    pub fn new() -> Result<Self, CodecError> {
        Ok(Self {
            decoder: open()?,
            state: State::NeedKey,
            params: None,
            sets: Vec::new(),
            order: DisplayOrder::default(),
        })
    }

    /// Decodes `unit`. Pictures come out in the order they are shown in: `None` where this one waits for its turn (streams with B
    /// pictures).
    ///
    /// # Errors
    /// [`CodecError::NeedKey`] for a delta picture without what it refers to, [`CodecError::Native`] where the library refuses
    /// the unit, [`CodecError::WrongCodec`] for sound.
    pub fn decode(&mut self, unit: &AccessUnit) -> Result<Option<DecodedPicture>, CodecError> {
        let picture = self.decode_at_once(unit)?;
        self.order.unit(unit);
        if let Some(picture) = picture {
            self.order.push(picture);
        }
        Ok(self.order.pop())
    }

    /// Decodes `unit` to its own picture, whatever the order it is shown in. `None` for a unit that shows nothing.
    ///
    /// # Errors
    /// As [`Self::decode`].
    pub(crate) fn decode_at_once(&mut self, unit: &AccessUnit) -> Result<Option<DecodedPicture>, CodecError> {
        let CodecParams::H264(params) = &*unit.params else { return Err(CodecError::WrongCodec) };
        if self.state == State::NeedKey && unit.kind != UnitKind::Key {
            return Err(CodecError::NeedKey);
        }
        let changed =
            self.params.as_ref().is_none_or(|known| !Arc::ptr_eq(known, &unit.params) && *known != unit.params);
        if changed {
            self.sets = parameter_sets(params);
            self.params = Some(Arc::clone(&unit.params));
        }
        // Parameter sets may change before a picture that is not a key (recovery points of other encoders).
        let mut bytes = if changed || unit.is_key() { self.sets.clone() } else { Vec::new() };
        unit.nals().for_each(|nal| append_annex_b(&mut bytes, nal));
        let options = DecodeOptions::new().flush_after_decode(Flush::NoFlush);
        let outcome = match self.decoder.decode_with_options(&bytes, options) {
            Ok(Some(yuv)) => to_picture(&yuv, unit.captured.unwrap_or_default())
                .map(|picture| Some(DecodedPicture { picture, pts: unit.pts })),
            Ok(None) => Ok(None),
            Err(e) => Err(CodecError::openh264("DecodeFrameNoDelay", &e)),
        };
        if outcome.is_err() {
            // What follows refers to what is lost. A fresh decoder costs less than a millisecond and holds no broken state.
            self.decoder = open()?;
            self.params = None;
            self.order = DisplayOrder::default();
            self.state = State::NeedKey;
        } else {
            self.state = State::Running;
        }
        outcome
    }

    /// Is the next picture that decodes a key picture?
    pub fn needs_key(&self) -> bool {
        self.state == State::NeedKey
    }

    /// Forgets everything; the next picture must be a key picture. For units that were left out on purpose.
    pub const fn expect_key(&mut self) {
        self.state = State::NeedKey;
    }
}

impl std::fmt::Debug for H264Decoder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "H264Decoder {:?}", self.state)
    }
}

fn open() -> Result<Decoder, CodecError> {
    Decoder::with_api_config(OpenH264API::from_source(), DecoderConfig::new())
        .map_err(|e| CodecError::openh264("decoder", &e))
}

fn parameter_sets(params: &H264Params) -> Vec<u8> {
    let mut out = Vec::new();
    append_annex_b(&mut out, &without_reordering(params.sps()));
    params.pps().iter().for_each(|pps| append_annex_b(&mut out, pps));
    out
}

fn to_picture(yuv: &DecodedYUV<'_>, captured: MonoTime) -> Result<Picture, CodecError> {
    let ((width, height), strides) = (yuv.dimensions(), yuv.strides());
    // Cropping may leave odd sides; a picture here has even ones.
    let (width, height) = (width & !1, height & !1);
    let mut data = Vec::with_capacity(width * height * 3 / 2);
    let planes = [
        (yuv.y(), strides.0, width, height),
        (yuv.u(), strides.1, width / 2, height / 2),
        (yuv.v(), strides.2, width / 2, height / 2),
    ];
    for (plane, stride, width, height) in planes {
        for row in plane.chunks(stride.max(1)).take(height) {
            data.extend_from_slice(row.get(..width).ok_or_else(|| CodecError::Damaged("short row".into()))?);
        }
    }
    let side = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
    Picture::new(side(width), side(height), data, captured).map_err(|e| CodecError::Damaged(e.to_string()))
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::h264::{EncoderConfig, H264Encoder};
    use crate::scale::tests::{moving_card, psnr};
    use bytes::Bytes;
    use media::{ClockRate, TrackId, VideoUnit};
    use std::process::Command;

    pub(crate) fn unit_of(unit: &VideoUnit, n: i64) -> AccessUnit {
        let at = MediaTime::new(n * 3000, ClockRate::VIDEO);
        AccessUnit {
            track: TrackId(0),
            dts: at,
            pts: at,
            duration: None,
            kind: unit.kind,
            captured: None,
            params: Arc::clone(&unit.params),
            payload: unit.payload.clone(),
        }
    }

    fn stream(count: u32, gop: u32) -> Vec<AccessUnit> {
        let config = EncoderConfig { gop, ..EncoderConfig::new(320, 240, 30, 500_000) };
        let mut encoder = H264Encoder::new(config).unwrap();
        (0..count)
            .map(|n| unit_of(&encoder.encode(&moving_card(320, 240, n), false).unwrap().unwrap(), i64::from(n)))
            .collect()
    }

    #[test]
    fn resumes_at_the_next_key_picture() {
        let check = |name: &str, break_unit: &dyn Fn(&AccessUnit) -> Option<AccessUnit>| {
            let mut decoder = H264Decoder::new().unwrap();
            let mut good = Vec::new();
            for (n, unit) in stream(30, 10).iter().enumerate() {
                let unit = if n == 14 { break_unit(unit) } else { Some(unit.clone()) };
                if let Some(unit) = unit
                    && let Ok(Some(_)) = decoder.decode(&unit)
                {
                    good.push(n);
                }
            }
            assert!((0..14).chain(20..30).all(|n| good.contains(&n)), "{name}: {good:?}");
            assert!(!good.contains(&16) && !good.contains(&19), "{name}: {good:?}");
        };
        check("lost", &|_| None);
        check("truncated", &|u| Some(AccessUnit { payload: u.payload.slice(..u.payload.len() / 2), ..u.clone() }));
        check("no slice data", &|u| {
            Some(AccessUnit { payload: Bytes::from_static(&[0, 0, 0, 2, 0x41, 0x9A]), ..u.clone() })
        });
    }

    #[test]
    fn waits_for_a_key_picture() {
        let units = stream(12, 10);
        let mut decoder = H264Decoder::new().unwrap();
        assert_eq!(decoder.decode(&units[1]).unwrap_err(), CodecError::NeedKey);
        assert!(decoder.needs_key());
        assert!(decoder.decode(&units[10]).unwrap().is_some());
        decoder.expect_key();
        assert_eq!(decoder.decode(&units[11]).unwrap_err(), CodecError::NeedKey);
    }

    #[test]
    fn capture_time_goes_through() {
        let mut decoder = H264Decoder::new().unwrap();
        let unit = AccessUnit { captured: Some(MonoTime::from_micros(77)), ..stream(1, 1).remove(0) };
        let decoded = decoder.decode(&unit).unwrap().unwrap();
        assert_eq!((decoded.picture.captured().micros(), decoded.pts.ticks()), (77, 0));
    }

    #[test]
    fn same_picture_as_ffmpeg() {
        let units = stream(10, 10);
        let annex_b: Vec<u8> = units.iter().flat_map(AccessUnit::annex_b).collect();
        let dir = std::env::temp_dir().join(format!("codec-decoder-{}.h264", std::process::id()));
        std::fs::write(&dir, annex_b).unwrap();
        let output = Command::new("ffmpeg")
            .args(["-v", "error", "-f", "h264", "-i"])
            .arg(&dir)
            .args(["-f", "rawvideo", "-pix_fmt", "yuv420p", "pipe:1"])
            .output()
            .expect("ffmpeg is installed");
        std::fs::remove_file(&dir).unwrap();
        let mut decoder = H264Decoder::new().unwrap();
        let size = Picture::bytes_of(320, 240).unwrap();
        assert_eq!(output.stdout.len(), 10 * size);
        for (unit, theirs) in units.iter().zip(output.stdout.chunks(size)) {
            let ours = decoder.decode(unit).unwrap().unwrap().picture;
            let theirs = Picture::new(320, 240, theirs.to_vec(), MonoTime::default()).unwrap();
            assert!(psnr(&ours, &theirs) > 90.0, "decoding is exact (H.264 clause 8)");
        }
    }

    #[test]
    fn garbage_is_an_error() {
        let mut decoder = H264Decoder::new().unwrap();
        let key = stream(1, 1).remove(0);
        let garbage = AccessUnit { payload: Bytes::from_static(&[0, 0, 0, 4, 0x65, 1, 2, 3]), ..key.clone() };
        assert!(decoder.decode(&garbage).is_err() || decoder.needs_key() || decoder.decode(&key).is_ok());
        assert!(decoder.decode(&key).unwrap().is_some());
    }
}
