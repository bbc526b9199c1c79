//! Times of samples: a straight line through what callbacks report.
//!
//! Callbacks come late by whatever the scheduler likes, never early; and the latency that a sound system reports beside them may be
//! as old as its last question to the server (PulseAudio through cpal: 0–100 ms wrong, in a sawtooth, always to the same side).
//! So the line lies along the promptest callbacks, and the latency is the best report of the last moments.

use media::MonoTime;
use std::time::Duration;

/// How long a report counts: twice this at most. Long enough for one prompt callback and one fresh latency, short enough to
/// follow when a sound server on a busy machine put in silence of its own.
const BUCKET: f64 = 0.3;
/// How much of a change is taken over with each report, so that times do not jump when reports expire.
const FOLLOW: f64 = 0.05;
/// Further off than this is not jitter: the device slept, or sound was lost.
const JUMP: f64 = 0.25;

/// To which side reported latencies err.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Recording: sound happened before the callback, never as long ago as the worst report.
    Capture,
    /// Playing: sound is heard after the callback, no sooner than the best report.
    Playout,
}

#[derive(Debug, Clone, Copy)]
struct Bucket {
    since: f64,
    /// Time of position zero by the promptest callback.
    origin: f64,
    latency: f64,
}

/// From positions (frames) to times.
#[derive(Debug, Clone)]
pub(super) struct Line {
    kind: Kind,
    rate: f64,
    current: Option<Bucket>,
    previous: Option<Bucket>,
    origin: Option<f64>,
    prompt: Option<f64>,
    reports: u32,
}

impl Line {
    pub(super) fn new(kind: Kind, rate: u32) -> Self {
        Self {
            kind,
            rate: f64::from(rate.max(1)),
            current: None,
            previous: None,
            origin: None,
            prompt: None,
            reports: 0,
        }
    }

    /// Takes a callback at `now`. Recording: `position` is behind its last frame, `latency` how long ago that met the device.
    /// Playing: `position` is its first frame, `latency` how soon that will be heard.
    pub(super) fn report(&mut self, position: u64, now: MonoTime, latency: Duration) {
        let now = now.micros() as f64 / 1e6;
        let mut bucket =
            Bucket { since: now, origin: now - position as f64 / self.rate, latency: latency.as_secs_f64() };
        let jumped = self.current.is_some_and(|known| (bucket.origin - known.origin).abs() > JUMP);
        if jumped {
            (self.current, self.previous, self.origin, self.reports) = (None, None, None, 0);
        }
        if let Some(known) = self.current {
            if now - known.since < BUCKET {
                bucket = self.best(known, bucket);
                bucket.since = known.since;
            } else {
                self.previous = Some(known);
            }
        }
        self.current = Some(bucket);
        let best = self.previous.map_or(bucket, |previous| self.best(previous, bucket));
        self.prompt = Some(best.origin);
        let origin = match self.kind {
            Kind::Capture => best.origin - best.latency,
            Kind::Playout => best.origin + best.latency,
        };
        self.reports = self.reports.saturating_add(1);
        // The first reports are averaged, later ones followed.
        let follow = FOLLOW.max(1.0 / f64::from(self.reports));
        self.origin = Some(self.origin.map_or(origin, |old| old + (origin - old) * follow));
    }

    /// Seconds at position zero by the promptest callback of the last moments: it grows where the device got silence that nobody
    /// here knows of.
    pub(super) const fn prompt(&self) -> Option<f64> {
        self.prompt
    }

    fn best(&self, a: Bucket, b: Bucket) -> Bucket {
        let latency = match self.kind {
            Kind::Capture => a.latency.min(b.latency),
            Kind::Playout => a.latency.max(b.latency),
        };
        Bucket { since: a.since.max(b.since), origin: a.origin.min(b.origin), latency }
    }

    /// When the frame at `position` is or was at the device; `None` before the first report.
    pub(super) fn at(&self, position: u64) -> Option<MonoTime> {
        let time = self.origin? + position as f64 / self.rate;
        Some(MonoTime::from_micros((time.max(0.0) * 1e6) as u64))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Ten milliseconds a callback, mostly prompt, sometimes 30 ms late; latency 12 ms, reported in a sawtooth of 100 ms.
    fn run(kind: Kind, ppm: f64) -> (Line, Vec<f64>) {
        let mut line = Line::new(kind, 48_000);
        let mut errors = Vec::new();
        let mut last = 0;
        for n in 1..3_000_u64 {
            let happens = 50e6 + n as f64 * 10_000.0 * (1.0 + ppm * 1e-6);
            let late = if n % 7 == 0 { (n * 7919 % 30_000) as f64 } else { (n * 7919 % 300) as f64 };
            let stale = (n % 10) as f64 * 10_000.0;
            let (now, reported, truth) = match kind {
                Kind::Capture => (happens + 12_000.0 + late, 12_000.0 + stale, happens),
                Kind::Playout => (happens + late, (112_000.0 - late - stale).max(0.0), happens + 112_000.0),
            };
            line.report(n * 480, MonoTime::from_micros(now as u64), Duration::from_micros(reported as u64));
            let got = line.at(n * 480).unwrap().micros();
            assert!(got > last, "times rise");
            last = got;
            errors.push(got as f64 - truth);
        }
        (line, errors)
    }

    #[test]
    fn late_callbacks_and_stale_latencies_do_not_show() {
        for kind in [Kind::Capture, Kind::Playout] {
            for ppm in [-200.0, 0.0, 200.0] {
                let (_, errors) = run(kind, ppm);
                let worst = errors.iter().skip(300).fold(0.0_f64, |w, e| w.max(e.abs()));
                assert!(worst < 1_000.0, "{kind:?} {ppm} ppm: {worst} µs");
            }
        }
    }

    #[test]
    fn a_pause_is_a_new_line() {
        let (mut line, _) = run(Kind::Capture, 0.0);
        line.report(480_000, MonoTime::from_micros(900_000_000), Duration::from_millis(10));
        assert_eq!(line.at(480_000 + 48_000).unwrap().micros(), 900_990_000);
        assert_eq!(Line::new(Kind::Playout, 48_000).at(7), None);
    }
}
