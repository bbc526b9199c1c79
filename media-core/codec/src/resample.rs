//! Sample rates: an asynchronous sinc resampler whose ratio can follow a drifting clock.
//!
//! Not here: deciding the ratio (`drift`), channels (`convert`).

use crate::CodecError;
use audioadapter_buffers::direct::InterleavedSlice;
use rubato::{
    Adjustable, Async, FixedAsync, Resampler as _, SincInterpolationParameters, SincInterpolationType, WindowFunction,
};

/// 1.4 ms of delay and −137 dB of distortion; half of 256's time.
const SINC_LEN: usize = 128;
/// Device clocks stay within ±200 ppm; a jitter buffer that drains after a stall wants up to 1 %, and room above it.
const MAX_RELATIVE: f64 = 1.02;
/// Chunks per second: 2.5 ms of sound wait for their chunk at most.
const CHUNKS_PER_SECOND: u32 = 400;

/// Resamples interleaved sound, block by block, without gaps.
pub struct Resampler {
    inner: Async<f32>,
    channels: usize,
    ratio: f64,
    waiting: Vec<f32>,
    chunk: Vec<f32>,
}

impl Resampler {
    /// From `from` Hz to `to` Hz (both 4 000–384 000) with `channels` channels. Equal rates are allowed: that is how a drifting
    /// clock is followed.
    ///
    /// # Errors
    /// [`CodecError::Config`] for other rates or no channels.
    pub fn new(from: u32, to: u32, channels: u8) -> Result<Self, CodecError> {
        let possible = 4_000..=384_000;
        if !possible.contains(&from) || !possible.contains(&to) || channels == 0 {
            return Err(CodecError::Config(format!("{channels} channels from {from} Hz to {to} Hz")));
        }
        let parameters = SincInterpolationParameters {
            sinc_len: SINC_LEN,
            f_cutoff: None,
            oversampling_factor: 128,
            interpolation: SincInterpolationType::Cubic,
            window: WindowFunction::Blackman2,
        };
        let (ratio, channels) = (f64::from(to) / f64::from(from), usize::from(channels));
        let frames = (from / CHUNKS_PER_SECOND) as usize;
        let inner = Async::new_sinc(ratio, MAX_RELATIVE, &parameters, frames, channels, FixedAsync::Input)
            .map_err(|e| CodecError::Config(e.to_string()))?;
        let chunk = vec![0.0; inner.output_frames_max() * channels];
        Ok(Self { inner, channels, ratio, waiting: Vec::new(), chunk })
    }

    /// Samples per channel at the output by which sound is held back by the filter.
    pub fn delay(&self) -> u32 {
        u32::try_from(self.inner.output_delay()).unwrap_or(0)
    }

    /// Samples per channel at the input that wait for their chunk to fill.
    pub const fn waiting(&self) -> usize {
        self.waiting.len() / self.channels
    }

    /// Makes `relative` times as many output samples as the rates alone say: 1.0001 for a listener whose clock runs 100 ppm fast.
    /// Clamped to ±2 %; glides there over one chunk.
    pub fn set_relative(&mut self, relative: f64) {
        let relative = if relative.is_finite() { relative.clamp(1.0 / MAX_RELATIVE, MAX_RELATIVE) } else { 1.0 };
        let set = self.inner.set_resample_ratio(self.ratio * relative, true);
        debug_assert!(set.is_ok(), "the ratio was clamped to what the resampler was made for");
    }

    /// Takes `input`, appends what is ready to `out`, both interleaved. Answers the frames appended.
    ///
    /// # Errors
    /// [`CodecError::Config`] should the library refuse its own sizes.
    pub fn process(&mut self, input: &[f32], out: &mut Vec<f32>) -> Result<usize, CodecError> {
        let config = |e: &dyn std::fmt::Display| CodecError::Config(e.to_string());
        self.waiting.extend_from_slice(input);
        let (mut taken, mut made) = (0, 0);
        loop {
            let need = self.inner.input_frames_next() * self.channels;
            let Some(block) = self.waiting.get(taken..taken + need) else { break };
            let from = InterleavedSlice::new(block, self.channels, need / self.channels).map_err(|e| config(&e))?;
            let room = self.chunk.len() / self.channels;
            let mut to = InterleavedSlice::new_mut(&mut self.chunk, self.channels, room).map_err(|e| config(&e))?;
            let (_, frames) = self.inner.process_into_buffer(&from, &mut to, None).map_err(|e| config(&e))?;
            out.extend_from_slice(self.chunk.get(..frames * self.channels).unwrap_or_default());
            taken += need;
            made += frames;
        }
        self.waiting.drain(..taken);
        Ok(made)
    }

    /// Forgets what it holds, for a break in the sound.
    pub fn reset(&mut self) {
        self.inner.reset();
        self.waiting.clear();
    }
}

impl std::fmt::Debug for Resampler {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Resampler ×{:.6}, {} channels", self.inner.resample_ratio(), self.channels)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::level::tests::{power_at, rms, tone};

    #[test]
    fn keeps_tone_level_and_delay() {
        for (from, channels) in [(44_100, 2), (16_000, 1), (48_000, 2), (96_000, 2)] {
            let mut resampler = Resampler::new(from, 48_000, channels).unwrap();
            let factor = 48_000.0 / f64::from(from);
            let mono = tone(1000.0 * factor, 0.5, from as usize);
            let start = from as usize / 2;
            let input: Vec<f32> = mono
                .iter()
                .enumerate()
                .flat_map(|(n, s)| std::iter::repeat_n(if n < start { 0.0 } else { *s }, usize::from(channels)))
                .collect();
            let mut out = Vec::new();
            for block in input.chunks(usize::from(channels) * 333) {
                resampler.process(block, &mut out).unwrap();
            }
            let first: Vec<f32> = out.iter().step_by(usize::from(channels)).copied().collect();
            assert!(first.len().abs_diff(48_000) < 300, "{from}: {}", first.len());
            let steady = &first[28_800..43_200];
            assert!((power_at(steady, 1000.0) / 0.5 - 1.0).abs() < 0.01, "{from}: {}", power_at(steady, 1000.0));
            assert!((rms(steady) / 0.3535 - 1.0).abs() < 0.01);
            let heard = first.iter().position(|s| s.abs() > 0.25).unwrap();
            let known = 24_000 + resampler.delay() as usize;
            assert!(heard.abs_diff(known) < 12, "{from}: at {heard}, known {known}");
        }
    }

    #[test]
    fn ratio_is_adjustable() {
        let mut resampler = Resampler::new(48_000, 48_000, 1).unwrap();
        for relative in [1.0002, 0.9998, 1.01, f64::NAN, 99.0] {
            resampler.set_relative(relative);
            resampler.process(&[0.0; 4_800], &mut Vec::new()).unwrap();
            let made = resampler.process(&vec![0.0; 480_000], &mut Vec::new()).unwrap();
            let want = 480_000.0 * if relative.is_nan() { 1.0 } else { relative.min(MAX_RELATIVE) };
            assert!((made as f64 - want).abs() < 3.0, "{relative}: {made}");
        }
    }

    #[test]
    fn impossible_rates_are_refused() {
        for (from, to, channels) in [(0, 48_000, 2), (48_000, 1, 2), (48_000, 48_000, 0), (u32::MAX, 48_000, 1)] {
            assert!(Resampler::new(from, to, channels).is_err());
        }
    }
}
