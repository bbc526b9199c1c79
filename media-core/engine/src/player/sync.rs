//! Lip sync: when each of the patient's pictures is let go.
//!
//! A conversation wants the earliest picture: it goes out on arrival as long as the sound that belongs to it is at most 60 ms
//! behind; beyond that it waits until the sound is that near. The clock is the speaker's. Where there is no sound, or it has
//! stalled, or the speaker has gone, monotonic time carries the clock on for a moment and then pictures are simply shown as they
//! come.
//!
//! Belongs here: that decision, told the time. Not here: the sound's own buffer (`jitter`), sockets, drawing.

use media::{AccessUnit, MediaTime, MonoTime};
use std::collections::VecDeque;
use std::time::Duration;

/// ITU-R BT.1359: sound up to 125 ms late goes unnoticed by half of the viewers; half of that is safe for all.
pub(crate) const SOUND_MAY_TRAIL: Duration = Duration::from_millis(60);
/// Streams whose sound lags further behind are broken at their source; holding pictures for that would only add delay.
const LONGEST_HOLD: Duration = Duration::from_millis(1_000);
/// After this long without word from the speaker its clock is not believed any more.
const CLOCK_EXPIRES: Duration = Duration::from_secs(1);
/// As much as half a second of 60 pictures a second, twice over; a queue that is longer lets its oldest go.
const MAX_HELD: usize = 64;

/// What the listener hears now.
#[derive(Debug, Clone, Copy)]
struct Heard {
    pts: MediaTime,
    at: MonoTime,
}

/// Holds pictures until their sound is near.
#[derive(Debug, Default)]
pub(crate) struct LipSync {
    heard: Option<Heard>,
    held: VecDeque<(AccessUnit, MonoTime)>,
}

impl LipSync {
    /// The sound of `pts` leaves the speaker at `at`, which may lie a little ahead.
    pub(crate) fn sound_heard(&mut self, pts: MediaTime, at: MonoTime) {
        self.heard = Some(Heard { pts, at });
    }

    /// There is no sound any more: the speaker or the track has gone.
    pub(crate) fn sound_gone(&mut self) {
        self.heard = None;
    }

    /// Takes a picture that arrived at `now`.
    pub(crate) fn push(&mut self, unit: AccessUnit, now: MonoTime) {
        self.held.push_back((unit, now));
    }

    /// The next picture that may go out at `now`, in decode order, and how long it was held.
    pub(crate) fn pop(&mut self, now: MonoTime) -> Option<(AccessUnit, Duration)> {
        let (unit, arrived) = self.held.front()?;
        if self.held.len() <= MAX_HELD && self.wait(unit.pts, *arrived, now) > Duration::ZERO {
            return None;
        }
        self.held.pop_front().map(|(unit, arrived)| (unit, now.since(arrived)))
    }

    /// When to look again, if nothing else happens.
    pub(crate) fn deadline(&self, now: MonoTime) -> Option<MonoTime> {
        self.held.front().map(|(unit, arrived)| now + self.wait(unit.pts, *arrived, now))
    }

    /// How far the sound trails the picture of `pts` shown at `now`, in milliseconds; negative where the sound is ahead.
    pub(crate) fn offset_ms(&self, pts: MediaTime, now: MonoTime) -> Option<f32> {
        let heard = self.current(now)?;
        Some(pts.minus(heard).micros() as f32 / 1000.0)
    }

    /// Drops everything: another stream begins.
    pub(crate) fn clear(&mut self) {
        self.held.clear();
        self.heard = None;
    }

    /// What is heard at `now`, carried on from the last word of the speaker by monotonic time.
    fn current(&self, now: MonoTime) -> Option<MediaTime> {
        let Heard { pts, at } = self.heard?;
        if now.since(at) > CLOCK_EXPIRES {
            return None;
        }
        let ahead = MediaTime::new(micros(at.since(now)), media::ClockRate::MICRO);
        let behind = MediaTime::new(micros(now.since(at)), media::ClockRate::MICRO);
        Some(pts.rescale(media::ClockRate::MICRO).plus(behind).minus(ahead))
    }

    fn wait(&self, pts: MediaTime, arrived: MonoTime, now: MonoTime) -> Duration {
        let Some(heard) = self.current(now) else { return Duration::ZERO };
        let trails = pts.minus(heard).to_duration();
        let wanted = trails.saturating_sub(SOUND_MAY_TRAIL);
        // More than the longest hold away: the tracks do not belong together.
        if wanted > LONGEST_HOLD {
            return Duration::ZERO;
        }
        wanted.min((arrived + LONGEST_HOLD).since(now))
    }
}

fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::player::feed::tests::outgoing;
    use media::ClockRate;

    fn at(ms: u64) -> MonoTime {
        MonoTime::from_micros(10_000_000 + ms * 1000)
    }

    fn pts(ms: i64) -> MediaTime {
        MediaTime::new(ms, ClockRate::MILLI)
    }

    /// Pictures of 33 ms that arrive on time; answers how long each was held, in ms.
    fn holds(count: u64, mut each: impl FnMut(&mut LipSync, u64)) -> Vec<u64> {
        let mut sync = LipSync::default();
        let mut shown = Vec::new();
        for ms in 0..count * 33 + 3000 {
            each(&mut sync, ms);
            if ms % 33 == 0 && ms / 33 < count {
                sync.push(outgoing(u32::try_from(ms / 33).unwrap(), ms == 0, ms, 1).unit, at(ms));
            }
            while let Some((unit, held)) = sync.pop(at(ms)) {
                shown.push(ms - u64::try_from(unit.pts.millis()).unwrap());
                assert_eq!(held.as_millis(), u128::from(ms) - unit.pts.millis().unsigned_abs() as u128);
            }
        }
        assert_eq!(shown.len() as u64, count, "every picture is shown once");
        shown
    }

    #[test]
    fn on_arrival_without_sound() {
        assert!(holds(30, |_, _| {}).iter().all(|h| *h == 0));
    }

    #[test]
    fn on_arrival_while_sound_is_near() {
        let got = holds(30, |sync, ms| sync.sound_heard(pts(ms as i64 - 55), at(ms)));
        assert!(got.iter().all(|h| *h == 0), "{got:?}");
    }

    #[test]
    fn held_until_sound_is_near() {
        let got = holds(30, |sync, ms| sync.sound_heard(pts(ms as i64 - 200), at(ms)));
        assert!(got.iter().all(|h| (139..=141).contains(h)), "{got:?}");
    }

    #[test]
    fn a_speaker_that_vanishes_holds_nothing() {
        let got = holds(60, |sync, ms| match ms {
            0..500 => sync.sound_heard(pts(ms as i64 - 200), at(ms)),
            500 => sync.sound_gone(),
            _ => {}
        });
        assert!(got[..10].iter().all(|h| (139..=141).contains(h)) && got[20..].iter().all(|h| *h == 0), "{got:?}");
    }

    #[test]
    fn a_clock_that_says_nothing_more_expires() {
        let got = holds(60, |sync, ms| {
            if ms < 500 {
                sync.sound_heard(pts(ms as i64 - 200), at(ms));
            }
        });
        assert!(got[50..].iter().all(|h| *h == 0), "{got:?}");
        assert!(got.iter().all(|h| *h <= 141), "monotonic time carries it on meanwhile");
    }

    #[test]
    fn tracks_that_do_not_belong_together_are_not_held() {
        assert!(holds(30, |sync, ms| sync.sound_heard(pts(ms as i64 - 5000), at(ms))).iter().all(|h| *h == 0));
    }

    #[test]
    fn sound_ahead_never_holds() {
        assert!(holds(30, |sync, ms| sync.sound_heard(pts(ms as i64 + 300), at(ms))).iter().all(|h| *h == 0));
    }

    #[test]
    fn deadline_is_when_pop_succeeds() {
        let mut sync = LipSync::default();
        sync.sound_heard(pts(0), at(0));
        sync.push(outgoing(0, true, 100, 1).unit, at(0));
        assert_eq!(sync.deadline(at(0)), Some(at(40)));
        assert!(sync.pop(at(39)).is_none());
        assert!(sync.pop(at(40)).is_some());
        assert_eq!(sync.deadline(at(41)), None);
    }
}
