//! The entrance: units of one codec and configuration to 48 kHz stereo.
//!
//! Belongs here: the decoder of the units' parameters, resampling, how far both trail.
//! Not here: where the sound belongs in time (`timeline`), decoding (`sound_decoder`).

use crate::convert::remix;
use crate::{CodecError, Resampler, SoundDecoder};
use media::{AccessUnit, CodecParams};
use std::sync::Arc;

/// What stands between units of one configuration and 48 kHz stereo.
pub(super) struct Intake {
    params: Arc<CodecParams>,
    decoder: SoundDecoder,
    resampler: Option<Resampler>,
    /// What the last unit held, at the decoder's own rate and channels.
    decoded: Vec<f32>,
    stereo: Vec<f32>,
}

impl Intake {
    /// For units of `params`.
    pub(super) fn new(params: &Arc<CodecParams>) -> Result<Self, CodecError> {
        let decoder = SoundDecoder::new(params)?;
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

    /// Frames at 48 kHz by which the next sample that comes out is older than its unit's time: what the resampler holds back, and
    /// what waits for its next chunk.
    pub(super) fn behind(&self) -> i64 {
        let rate = i64::from(self.decoder.rate().max(1));
        let waiting = self.resampler.as_ref().map_or(0, |r| i64::try_from(r.waiting()).unwrap_or(0));
        let held = self.resampler.as_ref().map_or(0, |r| i64::from(r.delay()));
        held + waiting * 48_000 / rate
    }

    /// Decodes `unit`, for [`Self::give`]; answers whether it was whole. Something of its length takes the place of a damaged one.
    pub(super) fn decode(&mut self, unit: &AccessUnit) -> Result<bool, CodecError> {
        self.decoded.clear();
        let whole = self.decoder.decode(&unit.payload, &mut self.decoded).is_ok();
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

    /// Replaces `out` by `frames` frames of 48 kHz stereo in place of what was lost before `next`.
    pub(super) fn conceal(&mut self, frames: usize, next: &AccessUnit, out: &mut Vec<f32>) {
        self.decoder.conceal(frames, &next.payload, out);
    }

    /// A new stretch begins: what came before says nothing about it.
    pub(super) fn restart(&mut self) -> Result<(), CodecError> {
        self.decoder = SoundDecoder::new(&self.params)?;
        Ok(())
    }
}
