//! Times of samples: what callbacks report jitters by milliseconds, what is handed on does not.

use media::MonoTime;
use std::time::Duration;

/// How much of a deviation is taken over with each report: callbacks come a hundred times a second, so a clock that differs by
/// 200 ppm is followed within 0.1 ms while 5 ms of jitter shrink to 0.1.
const FOLLOW: f64 = 0.02;
/// Further off than this is not jitter: the device slept, or a block was lost.
const JUMP: f64 = 0.1;

/// A smoothed line through reports of "sample number `position` was at `time`".
#[derive(Debug, Clone)]
pub(super) struct Stamps {
    rate: f64,
    anchor: Option<(u64, f64)>,
}

impl Stamps {
    pub(super) fn new(rate: u32) -> Self {
        Self { rate: f64::from(rate.max(1)), anchor: None }
    }

    /// Takes a report; `position` counts frames since the device was opened.
    pub(super) fn report(&mut self, position: u64, time: MonoTime) {
        let time = time.micros() as f64 / 1e6;
        let smoothed = match self.predict(position) {
            Some(expected) if (time - expected).abs() < JUMP => expected + (time - expected) * FOLLOW,
            _ => time,
        };
        self.anchor = Some((position, smoothed));
    }

    /// When the sample is or was at the device; `None` before the first report.
    pub(super) fn at(&self, position: u64) -> Option<MonoTime> {
        let time = self.predict(position)?;
        Some(MonoTime::from_micros(Duration::try_from_secs_f64(time.max(0.0)).map_or(0, |d| d.as_micros() as u64)))
    }

    fn predict(&self, position: u64) -> Option<f64> {
        let (at, time) = self.anchor?;
        let frames = position as f64 - at as f64;
        Some(time + frames / self.rate)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jitter_shrinks_and_drift_is_followed() {
        let mut stamps = Stamps::new(48_000);
        assert_eq!(stamps.at(0), None);
        let mut last = 0;
        for n in 0..6_000_u64 {
            // 200 ppm fast, up to 5 ms late.
            let truth = 1e6 + n as f64 * 10_000.0 * 1.0002;
            stamps.report(n * 480, MonoTime::from_micros((truth + (n * 7919 % 5_000) as f64) as u64));
            let got = stamps.at(n * 480).unwrap().micros();
            assert!(got > last);
            if n > 500 {
                let error = got as f64 - truth - 2_500.0;
                assert!(error.abs() < 700.0, "{n}: {error} µs");
            }
            last = got;
        }
        stamps.report(6_000 * 480, MonoTime::from_micros(90_000_000));
        assert_eq!(stamps.at(6_000 * 480 + 48_000).unwrap().micros(), 91_000_000);
    }
}
