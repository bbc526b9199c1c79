//! Pictures that everybody plays: constrained baseline H.264 in the order it is shown in, of what has B pictures, and of Motion JPEG.
//!
//! Belongs here: decoder and encoder in one, key pictures on demand, sizes that change, a bitrate near the source's. Not here: who needs
//! it and the thread it runs on (`relay::transcode`), the codecs themselves (`h264`, `jpeg`).

mod rate;
#[cfg(test)]
mod tests;

use crate::CodecError;
use crate::decode_jpeg;
use crate::h264::{DecodedPicture, DisplayOrder, EncoderConfig, H264Decoder, H264Encoder, Matrix};
use media::{AccessUnit, ClockRate, CodecParams, MediaTime, MonoTime, Picture, TrackId, UnitKind};
use rate::Rate;
use std::sync::Arc;

/// What segments and late joiners wait for at most where nobody asks.
const KEY_INTERVAL: MediaTime = MediaTime::new(2 * 90_000, ClockRate::VIDEO);
/// What the rate control plans with where the stream does not say.
const FPS: u32 = 30;
/// `matrix_coefficients` of BT.709 (table E-5).
const BT709: u8 = 1;
/// Pictures this wide are of high definition, which means BT.709 where nothing is said.
const HD_WIDTH: u32 = 1280;

/// What was done so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PictureStats {
    /// Pictures encoded.
    pub encoded: u64,
    /// Pictures decoded and left out, because the caller wished so or their time had passed.
    pub left_out: u64,
}

/// Turns the units of one picture track into H.264 that everybody plays: constrained baseline, without B pictures, each picture at its
/// own presentation time.
pub struct PictureTranscoder {
    source: Source,
    encoder: H264Encoder,
    params: Arc<CodecParams>,
    rate: Rate,
    key_wanted: bool,
    key_at: Option<MediaTime>,
    stats: PictureStats,
}

/// What is taken apart.
enum Source {
    H264 {
        decoder: Box<H264Decoder>,
        order: DisplayOrder,
    },
    /// Every picture by itself, shown when it comes.
    Mjpeg,
}

impl PictureTranscoder {
    /// A transcoder of what `source` describes.
    ///
    /// # Errors
    /// [`CodecError::WrongCodec`] for what is neither H.264 nor Motion JPEG, [`CodecError::Config`] for a size that cannot be encoded.
    pub fn new(source: &CodecParams) -> Result<Self, CodecError> {
        let (width, height) = source.size().ok_or(CodecError::WrongCodec)?;
        let (width, height) = (width & !1, height & !1);
        let fps = source.frame_rate().map_or(FPS, |fps| fps.round().clamp(1.0, 120.0) as u32);
        let (source, matrix, rate) = match source {
            CodecParams::H264(params) => {
                let matrix = match params.matrix() {
                    Some(BT709) => Matrix::Bt709,
                    None | Some(2) if width >= HD_WIDTH => Matrix::Bt709,
                    _ => Matrix::Bt601,
                };
                let decoder = Box::new(H264Decoder::new()?);
                (Source::H264 { decoder, order: DisplayOrder::default() }, matrix, Rate::new(width, height, fps))
            }
            // JFIF §3: BT.601.
            CodecParams::Mjpeg(_) => (Source::Mjpeg, Matrix::Bt601, Rate::of_stills(width, height, fps)),
            _ => return Err(CodecError::WrongCodec),
        };
        // Key pictures come by the clock and on demand, not by counting.
        let config = EncoderConfig { gop: 0, matrix, ..EncoderConfig::new(width, height, fps, rate.bitrate()) };
        let mut encoder = H264Encoder::new(config)?;
        // A grey picture that nobody sees: it tells the parameter sets before the first one that is seen.
        let grey = vec![128; Picture::bytes_of(width, height).map_err(|e| CodecError::Config(e.to_string()))?];
        let grey =
            Picture::new(width, height, grey, MonoTime::default()).map_err(|e| CodecError::Config(e.to_string()))?;
        let unit = encoder.encode(&grey, true)?.ok_or_else(|| CodecError::Damaged("no first picture".into()))?;
        Ok(Self {
            source,
            encoder,
            params: unit.params,
            rate,
            key_wanted: true,
            key_at: None,
            stats: PictureStats::default(),
        })
    }

    /// What the result decodes with, known before the first unit. It changes where the source's size does.
    pub const fn params(&self) -> &Arc<CodecParams> {
        &self.params
    }

    /// What was done so far.
    pub fn stats(&self) -> PictureStats {
        let late = match &self.source {
            Source::H264 { order, .. } => order.late(),
            Source::Mjpeg => 0,
        };
        PictureStats { left_out: self.stats.left_out + late, ..self.stats }
    }

    /// The next picture out is a key picture.
    pub const fn request_keyframe(&mut self) {
        self.key_wanted = true;
    }

    /// Units are missing before the next one: nothing is decoded until a key picture.
    pub const fn expect_key(&mut self) {
        match &mut self.source {
            Source::H264 { decoder, .. } => decoder.expect_key(),
            // Each of them is one.
            Source::Mjpeg => {}
        }
    }

    /// Takes a unit and gives the pictures whose turn it is, as units of `track`. With `encode` false they are only decoded, because
    /// what follows refers to them: that is how time lost is made up for.
    ///
    /// # Errors
    /// As [`H264Decoder::decode`] and [`decode_jpeg`]; decoding goes on at the next key picture.
    pub fn push(&mut self, unit: &AccessUnit, track: TrackId, encode: bool) -> Result<Vec<AccessUnit>, CodecError> {
        if let Some(bitrate) = self.rate.count(unit) {
            self.encoder.set_bitrate(bitrate)?;
        }
        let mut shown = Vec::new();
        match &mut self.source {
            Source::H264 { decoder, order } => {
                let picture = decoder.decode_at_once(unit)?;
                order.unit(unit);
                if let Some(picture) = picture {
                    order.push(picture);
                }
                shown.extend(std::iter::from_fn(|| order.pop()));
            }
            Source::Mjpeg if !matches!(&*unit.params, CodecParams::Mjpeg(_)) => return Err(CodecError::WrongCodec),
            Source::Mjpeg if encode => {
                let picture = decode_jpeg(&unit.payload, unit.captured.unwrap_or_default())?;
                shown.push(DecodedPicture { picture, pts: unit.pts });
            }
            // Nothing refers to it.
            Source::Mjpeg => self.stats.left_out += 1,
        }
        let mut out = Vec::new();
        for picture in shown {
            if encode {
                out.extend(self.encode(&picture, track)?);
            } else {
                self.stats.left_out += 1;
            }
        }
        Ok(out)
    }

    fn encode(&mut self, shown: &DecodedPicture, track: TrackId) -> Result<Option<AccessUnit>, CodecError> {
        let pts = shown.pts.rescale(ClockRate::VIDEO);
        // A source whose times went back begins anew.
        let due = self.key_at.is_none_or(|at| pts < at || pts >= at.plus(KEY_INTERVAL));
        let Some(unit) = self.encoder.encode(&shown.picture, due || self.key_wanted)? else { return Ok(None) };
        if unit.kind == UnitKind::Key {
            self.key_wanted = false;
            self.key_at = Some(pts);
        }
        self.params = Arc::clone(&unit.params);
        self.stats.encoded += 1;
        let captured = Some(shown.picture.captured()).filter(|at| *at != MonoTime::default());
        Ok(Some(AccessUnit {
            track,
            dts: pts,
            pts,
            duration: None,
            kind: unit.kind,
            captured,
            params: unit.params,
            payload: unit.payload,
        }))
    }
}

impl std::fmt::Debug for PictureTranscoder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "PictureTranscoder to {:?}, {:?}", self.encoder.config(), self.stats)
    }
}
