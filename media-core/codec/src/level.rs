//! How loud sound is: RMS and peak for meters.

/// A level, full scale 1.0.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Level {
    /// Root mean square over the last window.
    pub rms: f32,
    /// Largest magnitude, falling 20 dB a second.
    pub peak: f32,
}

impl Level {
    /// RMS in dB below full scale, not below −120.
    pub fn rms_db(self) -> f32 {
        decibel(self.rms)
    }

    /// Peak in dB below full scale, not below −120.
    pub fn peak_db(self) -> f32 {
        decibel(self.peak)
    }
}

fn decibel(value: f32) -> f32 {
    20.0 * value.max(1e-6).log10()
}

/// Meters interleaved sound of any number of channels together, in windows of 50 ms: quick enough for the eye, long enough for
/// a steady bar down to 20 Hz.
#[derive(Debug, Clone)]
pub struct LevelMeter {
    window: usize,
    fall: f32,
    sum: f64,
    count: usize,
    level: Level,
}

impl LevelMeter {
    /// A meter for `rate` Hz and `channels` channels.
    pub fn new(rate: u32, channels: u8) -> Self {
        let per_second = (rate.max(1) as usize) * usize::from(channels.max(1));
        let fall = 0.1_f32.powf(1.0 / per_second as f32);
        Self { window: (per_second / 20).max(1), fall, sum: 0.0, count: 0, level: Level::default() }
    }

    /// Takes more sound. Not-a-number counts as silence.
    pub fn push(&mut self, samples: &[f32]) {
        for sample in samples {
            let magnitude = if sample.is_finite() { sample.abs() } else { 0.0 };
            self.level.peak = magnitude.max(self.level.peak * self.fall);
            self.sum += f64::from(magnitude * magnitude);
            self.count += 1;
            if self.count == self.window {
                self.level.rms = (self.sum / self.window as f64).sqrt() as f32;
                self.sum = 0.0;
                self.count = 0;
            }
        }
    }

    /// The level now.
    pub const fn level(&self) -> Level {
        self.level
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use std::f64::consts::TAU;

    /// `count` samples of a sine of `hz` at 48 kHz.
    pub(crate) fn tone(hz: f64, amplitude: f64, count: usize) -> Vec<f32> {
        (0..count).map(|n| (amplitude * (TAU * hz * n as f64 / 48_000.0).sin()) as f32).collect()
    }

    /// Amplitude of the component at `hz` of 48 kHz sound.
    pub(crate) fn power_at(samples: &[f32], hz: f64) -> f64 {
        let (mut re, mut im) = (0.0, 0.0);
        for (n, sample) in samples.iter().enumerate() {
            let (sin, cos) = (TAU * hz * n as f64 / 48_000.0).sin_cos();
            re += f64::from(*sample) * cos;
            im += f64::from(*sample) * sin;
        }
        2.0 * re.hypot(im) / samples.len() as f64
    }

    pub(crate) fn rms(samples: &[f32]) -> f64 {
        (samples.iter().map(|s| f64::from(s * s)).sum::<f64>() / samples.len() as f64).sqrt()
    }

    #[test]
    fn meters_a_tone_and_falls() {
        let mut meter = LevelMeter::new(48_000, 1);
        meter.push(&tone(1000.0, 0.5, 48_000));
        assert!((meter.level().rms_db() + 9.03).abs() < 0.1 && (meter.level().peak_db() + 6.02).abs() < 0.1);
        meter.push(&[0.0; 24_000]);
        assert_eq!(meter.level().rms, 0.0);
        assert!((meter.level().peak_db() + 16.02).abs() < 0.2, "{}", meter.level().peak_db());
        meter.push(&[f32::NAN; 10]);
        assert!(meter.level().peak.is_finite());
    }
}
