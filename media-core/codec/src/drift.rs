//! Following a clock that is not ours: from the fill of a buffer between two clocks to the resampler's ratio.
//!
//! Not here: the resampler (`resample`), jitter measurement (`engine`).

use std::time::Duration;

/// Fill levels jump by a device block with every callback; over this time they are a line.
const SMOOTHING: f64 = 2.0;
/// Seconds in which a deviation is worked off: slow enough that the pitch does not waver (10 ms off is 1 000 ppm, two cents).
const SETTLE: f64 = 10.0;
/// Three tenths of a percent, five cents: nobody hears it in speech.
const MAX_CORRECTION: f64 = 0.003;

/// A controller that holds a buffer at its target by speeding up or slowing down what fills it, or what drains it.
///
/// Feed it the buffer's fill, take [`Self::relative`] for [`crate::Resampler::set_relative`] on the filling side.
#[derive(Debug, Clone)]
pub struct DriftControl {
    target: f64,
    smoothed: Option<f64>,
    learned: f64,
    relative: f64,
}

impl DriftControl {
    /// Holds the fill at `target`.
    pub fn new(target: Duration) -> Self {
        Self { target: target.as_secs_f64(), smoothed: None, learned: 0.0, relative: 1.0 }
    }

    /// A new target; what was learnt of the clocks stays.
    pub fn set_target(&mut self, target: Duration) {
        self.target = target.as_secs_f64();
    }

    /// Takes the fill now, `since` the last update. Answers the factor by which the filling side shall make more samples.
    pub fn update(&mut self, fill: Duration, since: Duration) -> f64 {
        // A pause (sleep, a stall) is not a measurement.
        let dt = since.as_secs_f64().min(1.0);
        let fill = fill.as_secs_f64();
        let smoothed = match self.smoothed {
            None => fill,
            Some(old) => old + (fill - old) * (dt / SMOOTHING).min(1.0),
        };
        self.smoothed = Some(smoothed);
        let missing = self.target - smoothed;
        let wanted = missing / SETTLE;
        // The integral learns the steady difference of the clocks; it stands still while the correction is at its limit.
        if (wanted + self.learned).abs() < MAX_CORRECTION {
            self.learned += missing * dt / (4.0 * SETTLE * SETTLE);
        }
        self.relative = 1.0 + (wanted + self.learned).clamp(-MAX_CORRECTION, MAX_CORRECTION);
        self.relative
    }

    /// The factor last answered.
    pub const fn relative(&self) -> f64 {
        self.relative
    }

    /// How far the clocks are apart as learnt so far, in parts per million; positive where the draining side is faster.
    pub fn ppm(&self) -> f64 {
        self.learned * 1e6
    }

    /// After a break: the fill is measured anew, the clocks' difference is kept.
    pub const fn restart(&mut self) {
        self.smoothed = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Resampler;

    /// Ten minutes of a source and a sink whose clocks differ, in blocks of 10 ms with the resampler between them.
    fn run(ppm: f64, resample: impl Fn(f64, &mut Option<Resampler>) -> f64) -> (f64, f64, f64) {
        let (target, mut fill, mut resampler) = (0.040, 0.040, None);
        let mut control = DriftControl::new(Duration::from_secs_f64(target));
        let (mut low, mut high) = (f64::MAX, f64::MIN);
        for block in 0..60_000 {
            fill += resample(control.relative(), &mut resampler);
            fill -= 0.010 * (1.0 + ppm * 1e-6);
            assert!(fill >= 0.0, "ran dry at {} s", f64::from(block) / 100.0);
            // What a callback sees: the fill, and up to 10 ms of phase.
            let seen = fill + f64::from(block * 7 % 10) * 0.001 - 0.0045;
            control.update(Duration::from_secs_f64(seen.max(0.0)), Duration::from_millis(10));
            if block > 3_000 {
                low = fill.min(low);
                high = fill.max(high);
            }
        }
        (low, high, control.ppm())
    }

    #[test]
    fn holds_a_buffer_for_ten_minutes() {
        for ppm in [-200.0, -20.0, 0.0, 200.0] {
            let (low, high, learned) = run(ppm, |relative, _| 0.010 * relative);
            assert!(low > 0.035 && high < 0.045, "{ppm} ppm: {low:.4}–{high:.4} s");
            assert!((learned - ppm).abs() < 20.0, "{ppm} ppm: learnt {learned:.1}");
        }
    }

    #[test]
    fn holds_a_buffer_with_the_real_resampler() {
        for ppm in [-200.0, 200.0] {
            let (low, high, _) = run(ppm, |relative, resampler| {
                // One channel at 8 kHz keeps ten minutes short.
                let resampler = resampler.get_or_insert_with(|| Resampler::new(8_000, 8_000, 1).unwrap());
                resampler.set_relative(relative);
                let mut out = Vec::with_capacity(100);
                resampler.process(&[0.1; 80], &mut out).unwrap();
                out.len() as f64 / 8_000.0
            });
            assert!(low > 0.034 && high < 0.046, "{ppm} ppm: {low:.4}–{high:.4} s");
        }
    }

    #[test]
    fn never_beyond_what_is_inaudible() {
        let mut control = DriftControl::new(Duration::from_millis(40));
        for fill in [0, 10_000] {
            let relative = control.update(Duration::from_millis(fill), Duration::from_secs(9));
            assert!((relative - 1.0).abs() <= MAX_CORRECTION + 1e-12);
        }
    }
}
