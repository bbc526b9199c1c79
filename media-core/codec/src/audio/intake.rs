//! The entrance: units of one codec and configuration to 48 kHz stereo.
//!
//! Belongs here: which decoder takes which parameters, what stands in place of damaged and lost units, resampling.
//! Not here: where the sound belongs in time (`timeline`), the decoders themselves (`aac`, `opus`).

use super::timeline::CLOCK;
use crate::convert::remix;
use crate::{AacDecoder, CodecError, OpusDecoder, Resampler};
use media::{AccessUnit, CodecParams};
use std::sync::Arc;

/// Frames at 48 kHz that are guessed in place of lost ones: more sounds like a robot, silence follows.
const MAX_CONCEAL: usize = 60 * 48;
/// Frames of a damaged Opus packet that does not say how long it is: 20 ms, what everybody sends.
const OPUS_FRAMES: usize = 960;

/// What stands between units of one configuration and 48 kHz stereo.
pub(super) struct Intake {
    params: Arc<CodecParams>,
    decoder: Decoder,
    resampler: Option<Resampler>,
    /// What the last unit held, at the decoder's own rate and channels.
    decoded: Vec<f32>,
    stereo: Vec<f32>,
}

enum Decoder {
    Aac(AacDecoder),
    Opus(OpusDecoder),
}

impl Decoder {
    fn new(params: &CodecParams) -> Result<Self, CodecError> {
        match params {
            CodecParams::Aac(params) => AacDecoder::new(params).map(Self::Aac),
            CodecParams::Opus(_) => OpusDecoder::new().map(Self::Opus),
            CodecParams::H264(_) => Err(CodecError::WrongCodec),
        }
    }

    const fn rate(&self) -> u32 {
        match self {
            Self::Aac(decoder) => decoder.rate(),
            Self::Opus(_) => 48_000,
        }
    }

    const fn channels(&self) -> u8 {
        match self {
            Self::Aac(decoder) => decoder.channels(),
            Self::Opus(_) => 2,
        }
    }

    /// Samples per channel, at its own rate, by which decoded sound trails its unit's time.
    const fn delay(&self) -> u32 {
        match self {
            Self::Aac(decoder) => decoder.delay(),
            Self::Opus(_) => 0,
        }
    }

    fn decode(&mut self, unit: &AccessUnit, out: &mut Vec<f32>) -> Result<usize, CodecError> {
        match self {
            Self::Aac(decoder) => decoder.decode(&unit.payload, out),
            Self::Opus(decoder) => decoder.decode(&unit.payload, out),
        }
    }

    /// Something as long as `unit` would have been, had it been whole.
    fn replace(&mut self, unit: &AccessUnit, out: &mut Vec<f32>) -> Result<(), CodecError> {
        match self {
            Self::Aac(decoder) => out.resize(decoder.frame() * usize::from(decoder.channels()), 0.0),
            Self::Opus(decoder) => {
                let said = unit.duration.and_then(|d| usize::try_from(d.rescale(CLOCK).ticks()).ok());
                decoder.decode_lost(said.filter(|f| *f > 0).unwrap_or(OPUS_FRAMES), None, out)?;
            }
        }
        Ok(())
    }
}

impl Intake {
    /// For units of `params`.
    pub(super) fn new(params: &Arc<CodecParams>) -> Result<Self, CodecError> {
        let decoder = Decoder::new(params)?;
        let resampler = match decoder.rate() {
            48_000 => None,
            rate => Some(Resampler::new(rate, 48_000, 2)?),
        };
        Ok(Self { params: Arc::clone(params), decoder, resampler, decoded: Vec::new(), stereo: Vec::new() })
    }

    /// Are units of `params` for this one?
    pub(super) fn takes(&self, params: &Arc<CodecParams>) -> bool {
        Arc::ptr_eq(&self.params, params) || self.params == *params
    }

    /// Frames at 48 kHz by which the next sample that comes out is older than its unit's time: what the filters hold back, and what
    /// waits for the resampler's chunk. Exact from the first decoded unit on.
    pub(super) fn behind(&self) -> i64 {
        let rate = i64::from(self.decoder.rate().max(1));
        let waiting = self.resampler.as_ref().map_or(0, |r| i64::try_from(r.waiting()).unwrap_or(0));
        let held = self.resampler.as_ref().map_or(0, |r| i64::from(r.delay()));
        i64::from(self.decoder.delay()) * 48_000 / rate + held + waiting * 48_000 / rate
    }

    /// Decodes `unit`, for [`Self::give`]; answers whether it was whole. Something of its length takes the place of a damaged one.
    pub(super) fn decode(&mut self, unit: &AccessUnit) -> Result<bool, CodecError> {
        self.decoded.clear();
        let whole = self.decoder.decode(unit, &mut self.decoded).is_ok();
        if !whole {
            self.decoded.clear();
            self.decoder.replace(unit, &mut self.decoded)?;
        }
        Ok(whole)
    }

    /// Replaces `out` by what was decoded last, 48 kHz stereo.
    pub(super) fn give(&mut self, out: &mut Vec<f32>) -> Result<(), CodecError> {
        out.clear();
        match &mut self.resampler {
            Some(resampler) => {
                self.stereo.clear();
                remix(&self.decoded, self.decoder.channels(), 2, &mut self.stereo);
                resampler.process(&self.stereo, out)?;
            }
            None => remix(&self.decoded, self.decoder.channels(), 2, out),
        }
        Ok(())
    }

    /// Replaces `out` by `frames` frames of 48 kHz stereo in place of what was lost before `next`: the decoder's guess for a moment
    /// where it can guess, then silence.
    pub(super) fn conceal(&mut self, frames: usize, next: &AccessUnit, out: &mut Vec<f32>) {
        out.clear();
        if let Decoder::Opus(decoder) = &mut self.decoder {
            let guessed = match media::opus_packet_samples(&next.payload) {
                // One packet was lost: its copy may travel in the next one.
                Ok(samples) if samples as usize == frames => decoder.decode_lost(frames, Some(&next.payload), out),
                _ => decoder.decode_lost(frames.min(MAX_CONCEAL), None, out),
            };
            if guessed.is_err() {
                out.clear();
            }
        }
        out.resize(frames * 2, 0.0);
    }

    /// A new stretch begins: what came before says nothing about it.
    pub(super) fn restart(&mut self) -> Result<(), CodecError> {
        if let Decoder::Opus(decoder) = &mut self.decoder {
            *decoder = OpusDecoder::new()?;
        }
        Ok(())
    }
}
