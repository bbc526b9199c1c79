//! Mending a publisher's timeline: jumps, equal or falling DTS, and the seam between two publishers of one path.
//!
//! Belongs here: turning the times a publisher gives into times that rise per track for the whole life of the path.
//! Not here: unwrapping counters (`media::Unwrapper`), reordering (nobody does; units come in decode order).

use media::{AccessUnit, ClockRate, MediaTime, MonoTime, TrackId};
use std::time::Duration;

/// How often something was mended, by what it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Mended {
    /// DTS equal to or below the one before on its track.
    pub falling: u64,
    /// DTS leapt by more than [`MAX_STEP`] against the arrival clock.
    pub jumps: u64,
}

/// A step this far from what the arrival clock says is a jump: encoders pause, sleep and reset, but a burst after a pause
/// still agrees with the clock within seconds.
const MAX_STEP: Duration = Duration::from_secs(10);

/// Microseconds, 36 000 years: what is further off is no time of any clock, and sums of what is nearer fit their type.
const FARTHEST: i64 = 1 << 60;

/// Media time of a path: one per path, living through its publishers.
#[derive(Debug, Default)]
pub(crate) struct Timeline {
    /// Added to the publisher's times, microseconds. `None` until the publisher's first unit.
    shift: Option<i64>,
    /// Latest mended DTS of any track and when it arrived.
    edge: Option<(i64, MonoTime)>,
    last: Vec<(TrackId, MediaTime)>,
    mended: Mended,
}

impl Timeline {
    /// A new publisher's first unit goes where the old one's stream would be by now.
    pub(crate) fn new_publisher(&mut self) {
        self.shift = None;
    }

    pub(crate) const fn mended(&self) -> Mended {
        self.mended
    }

    /// Gives `unit` times that rise. Units of the first publisher keep theirs as they are, as long as they behave.
    pub(crate) fn mend(&mut self, unit: &mut AccessUnit, now: MonoTime) {
        unit.dts = within_reach(unit.dts);
        unit.pts = within_reach(unit.pts);
        let given = unit.dts.micros();
        let expected = self.edge.map(|(dts, at)| dts.saturating_add(micros(now.since(at))));
        let shift = match (self.shift, expected) {
            (None, None) => 0,
            (None, Some(expected)) => expected.saturating_sub(given),
            (Some(shift), None) => shift,
            (Some(shift), Some(expected)) => {
                let off = given.saturating_add(shift).saturating_sub(expected);
                if off.unsigned_abs() > micros(MAX_STEP).unsigned_abs() {
                    self.mended.jumps += 1;
                    expected.saturating_sub(given)
                } else {
                    shift
                }
            }
        };
        self.shift = Some(shift);
        if shift != 0 {
            let shift = MediaTime::new(shift, ClockRate::MICRO);
            unit.dts = unit.dts.plus(shift);
            unit.pts = unit.pts.plus(shift);
        }
        self.keep_rising(unit);
        let dts = unit.dts.micros();
        if self.edge.is_none_or(|(edge, _)| dts >= edge) {
            self.edge = Some((dts, now));
        }
    }

    fn keep_rising(&mut self, unit: &mut AccessUnit) {
        match self.last.iter_mut().find(|(track, _)| *track == unit.track) {
            Some((_, last)) => {
                if unit.dts <= *last {
                    self.mended.falling += 1;
                    let step = MediaTime::new(1, unit.dts.rate());
                    unit.dts = last.rescale(unit.dts.rate()).plus(step);
                    unit.pts = unit.pts.max(unit.dts).rescale(unit.dts.rate());
                }
                *last = unit.dts;
            }
            None => self.last.push((unit.track, unit.dts)),
        }
    }
}

fn within_reach(time: MediaTime) -> MediaTime {
    let micros = time.micros();
    if micros.unsigned_abs() <= FARTHEST.unsigned_abs() {
        return time;
    }
    MediaTime::new(micros.clamp(-FARTHEST, FARTHEST), ClockRate::MICRO).rescale(time.rate())
}

fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ring::tests::unit;
    use media::UnitKind;

    fn ms(ms: u64) -> MonoTime {
        MonoTime::from_micros(ms * 1000)
    }

    fn feed(timeline: &mut Timeline, times: &[(i64, u64)]) -> Vec<i64> {
        times
            .iter()
            .map(|&(dts, at)| {
                let mut u = unit(0, UnitKind::Delta, dts, 10);
                timeline.mend(&mut u, ms(at));
                u.dts.millis()
            })
            .collect()
    }

    #[test]
    fn good_times_stay() {
        let mut t = Timeline::default();
        assert_eq!(feed(&mut t, &[(500, 0), (533, 33), (566, 66)]), [500, 533, 566]);
        assert_eq!(t.mended(), Mended::default());
    }

    #[test]
    fn falling_times_rise() {
        let mut t = Timeline::default();
        assert_eq!(feed(&mut t, &[(100, 0), (100, 1), (90, 2), (140, 40)]), [100, 101, 102, 140]);
        assert_eq!(t.mended().falling, 2);
    }

    #[test]
    fn a_jump_lands_on_the_clock() {
        let mut t = Timeline::default();
        assert_eq!(feed(&mut t, &[(0, 0), (33, 33), (900_000, 66), (900_033, 99)]), [0, 33, 66, 99]);
        assert_eq!(t.mended().jumps, 1);
    }

    #[test]
    fn absurd_times_rise_too() {
        let mut t = Timeline::default();
        let times = feed(&mut t, &[(i64::MAX, 0), (i64::MAX, 33), (i64::MIN, 66), (i64::MIN, 99)]);
        assert!(times.is_sorted_by(|a, b| a < b), "{times:?}");
    }

    #[test]
    fn the_next_publisher_goes_on() {
        let mut t = Timeline::default();
        assert_eq!(feed(&mut t, &[(7000, 0), (7033, 33)]), [7000, 7033]);
        t.new_publisher();
        assert_eq!(feed(&mut t, &[(0, 5033), (33, 5066)]), [12_033, 12_066]);
        assert_eq!(t.mended(), Mended::default());
    }
}
