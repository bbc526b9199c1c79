//! RTP timestamps of several tracks on one timeline.
//!
//! Belongs here: unwrapping, the common zero (by arrival at first, by sender reports as soon as two tracks have one), sliding
//! from one to the other without a step back. Not here: mending a publisher's timeline (`hub`), drift against our clock
//! (the player).

use crate::rtp::rtcp::NtpTime;
use media::{ClockRate, MediaKind, MediaTime, MonoTime, Unwrapper};
use std::collections::VecDeque;
use std::time::Duration;

/// A track of a [`SyncTimeline`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TrackHandle(usize);

/// A track that is off by more than this is set right at once; below, it slides.
const STEP: i64 = 1_000_000;
/// Sound slides by one part in eight: more of it would be silence put in or sound left out.
const SLIDE_SOUND: i64 = 8;
/// Pictures slide by half: 300 ms are made good in 0.6 s, before anybody has seen lips out of step. Times never fall.
const SLIDE_PICTURE: i64 = 2;
/// RTP time that leaves arrival time by more than this was restarted by the sender.
const RESTART: i64 = 10_000_000;

/// Reports looked back on: some ten seconds, in which clocks drift apart by less than a millisecond.
const REPORTS: usize = 10;
/// A report that differs by more than this from the others was made by a clock that was set, not by a slow encoder.
const CLOCK_SET: u64 = 1_000_000;

/// Several RTP clocks of one sender, with a common zero at the first packet of any of them.
#[derive(Debug, Default)]
pub struct SyncTimeline {
    zero: Option<MonoTime>,
    tracks: Vec<Clock>,
}

#[derive(Debug)]
struct Clock {
    kind: MediaKind,
    rate: ClockRate,
    unwrapper: Unwrapper<32>,
    /// Added to unwrapped time, µs.
    shift: i64,
    /// Where `shift` slides to.
    target: i64,
    last: Option<Last>,
    /// Latest time handed out, µs.
    edge: i64,
    /// Wall clock less RTP time of the latest sender reports, µs since 1900.
    reports: VecDeque<i64>,
}

#[derive(Debug, Clone, Copy)]
struct Last {
    raw: u32,
    ticks: i64,
    arrived: MonoTime,
}

impl SyncTimeline {
    /// A timeline without tracks.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a track whose RTP clock ticks at `rate`.
    pub fn add(&mut self, kind: MediaKind, rate: ClockRate) -> TrackHandle {
        self.tracks.push(Clock {
            kind,
            rate,
            unwrapper: Unwrapper::new(),
            shift: 0,
            target: 0,
            last: None,
            edge: i64::MIN,
            reports: VecDeque::new(),
        });
        TrackHandle(self.tracks.len() - 1)
    }

    /// The time of RTP `timestamp`, on the track's clock, for a packet that arrived at `arrived`. `None` for a handle of another
    /// timeline.
    pub fn time(&mut self, track: TrackHandle, timestamp: u32, arrived: MonoTime) -> Option<MediaTime> {
        let zero = *self.zero.get_or_insert(arrived);
        let clock = self.tracks.get_mut(track.0)?;
        let since_zero = micros(arrived.since(zero));
        let ticks = clock.unwrapper.unwrap(u64::from(timestamp));
        let given = MediaTime::new(ticks, clock.rate).micros();
        match clock.last {
            None => clock.anchor(since_zero.saturating_sub(given)),
            Some(last) => {
                let step = given.saturating_sub(MediaTime::new(last.ticks, clock.rate).micros());
                let waited = micros(arrived.since(last.arrived));
                if step.saturating_sub(waited).saturating_abs() > RESTART {
                    clock.reports.clear();
                    // By arrival, but behind what was handed out already (one tick is at most one µs rounded up).
                    let tick = 1_000_000 / i64::from(clock.rate.hz()) + 1;
                    clock.anchor(since_zero.max(clock.edge.saturating_add(tick)).saturating_sub(given));
                } else {
                    let room = step.max(0) / clock.slide();
                    clock.shift =
                        clock.shift.saturating_add(clock.target.saturating_sub(clock.shift).clamp(-room, room));
                }
            }
        }
        if clock.last.is_none_or(|last| ticks >= last.ticks) || clock.reports.is_empty() {
            clock.last = Some(Last { raw: timestamp, ticks, arrived });
        }
        let time = MediaTime::new(ticks, clock.rate).plus(MediaTime::new(clock.shift, ClockRate::MICRO));
        clock.edge = clock.edge.max(time.micros());
        Some(time)
    }

    /// A sender report: `timestamp` of this track is the wall clock's `ntp`. Ignored before the track's first packet.
    pub fn sender_report(&mut self, track: TrackHandle, ntp: NtpTime, timestamp: u32) {
        let Some(clock) = self.tracks.get_mut(track.0) else { return };
        let Some(last) = clock.last else { return };
        let step = i64::from(timestamp.wrapping_sub(last.raw).cast_signed());
        let time = MediaTime::new(last.ticks.saturating_add(step), clock.rate).micros();
        clock.take_report(ntp.micros().saturating_sub(time));
        self.align();
    }

    /// Goes to where the sender reports lead at once, with no time below zero: for a caller that has handed out nothing yet and
    /// asks for the times anew.
    pub fn settle(&mut self) {
        let below = self.tracks.iter().filter_map(|t| Some((t, t.last?))).map(|(t, last)| {
            let time = MediaTime::new(last.ticks, t.rate).micros();
            time.saturating_add(t.target).saturating_neg()
        });
        let raise = below.max().unwrap_or(0).max(0);
        for clock in &mut self.tracks {
            clock.anchor(clock.target.saturating_add(raise));
        }
    }

    /// Are all tracks aligned by sender reports, and arrived there?
    pub fn is_synchronised(&self) -> bool {
        self.tracks.iter().all(|t| !t.reports.is_empty() && t.shift == t.target)
    }

    /// Every track with a report follows the reference: sound if there is any, because a step in it is heard.
    fn align(&mut self) {
        let reference = |t: &&Clock| !t.reports.is_empty() && t.last.is_some();
        let Some(lead) = self.tracks.iter().filter(reference).find(|t| t.kind == MediaKind::Audio) else { return };
        let Some(zero) = lead.ntp_at_zero() else { return };
        let mut ahead = 0;
        for clock in &mut self.tracks {
            let Some(own) = clock.ntp_at_zero() else { continue };
            // `own` = NTP at out time zero; to make it `zero`, out times move by the difference.
            clock.target = clock.shift.saturating_add(own.saturating_sub(zero));
            let error = clock.target.saturating_sub(clock.shift);
            if error > STEP {
                clock.shift = clock.target;
            } else if error < -STEP {
                ahead = ahead.max(error.saturating_neg());
            }
        }
        // A track far ahead cannot go back; the others come forward to it.
        if ahead > 0 {
            for clock in &mut self.tracks {
                clock.target = clock.target.saturating_add(ahead);
                if clock.target.saturating_sub(clock.shift) > STEP {
                    clock.shift = clock.target;
                }
            }
        }
    }
}

impl Clock {
    const fn slide(&self) -> i64 {
        match self.kind {
            MediaKind::Audio => SLIDE_SOUND,
            MediaKind::Video => SLIDE_PICTURE,
        }
    }

    fn anchor(&mut self, shift: i64) {
        self.shift = shift;
        self.target = shift;
    }

    /// Many senders report when a packet was sent, not when its content was captured, so a report is late by whatever encoding
    /// and pacing took. The least late of the last few is the one to believe; a clock that was set begins anew.
    fn take_report(&mut self, offset: i64) {
        if self.reports.iter().min().is_some_and(|least| offset.abs_diff(*least) > CLOCK_SET) {
            self.reports.clear();
        }
        self.reports.push_back(offset);
        if self.reports.len() > REPORTS {
            self.reports.pop_front();
        }
    }

    /// The sender's wall clock at time zero of the timeline, µs.
    fn ntp_at_zero(&self) -> Option<i64> {
        self.reports.iter().min().map(|offset| offset.saturating_sub(self.shift))
    }
}

fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at(ms: u64) -> MonoTime {
        MonoTime::from_micros(ms * 1000)
    }

    fn ntp(ms: u64) -> NtpTime {
        NtpTime::from_unix_micros(1_700_000_000_000_000 + ms * 1000)
    }

    /// One sender: sound and picture of the same instant, the picture `late` ms later on the wire.
    struct Sender {
        timeline: SyncTimeline,
        video: TrackHandle,
        audio: TrackHandle,
        late: u64,
    }

    const VIDEO_BASE: u32 = u32::MAX - 45_000;

    impl Sender {
        fn new(late: u64) -> Self {
            let mut timeline = SyncTimeline::new();
            let video = timeline.add(MediaKind::Video, ClockRate::VIDEO);
            let audio = timeline.add(MediaKind::Audio, ClockRate::AUDIO_48K);
            Self { timeline, video, audio, late }
        }

        fn video(&mut self, ms: u32) -> i64 {
            let timestamp = VIDEO_BASE.wrapping_add(ms * 90);
            self.timeline.time(self.video, timestamp, at(u64::from(ms) + self.late)).unwrap().micros()
        }

        fn audio(&mut self, ms: u32) -> i64 {
            self.timeline.time(self.audio, ms.wrapping_mul(48), at(u64::from(ms))).unwrap().micros()
        }

        fn reports(&mut self, ms: u32) {
            self.timeline.sender_report(self.video, ntp(u64::from(ms)), VIDEO_BASE.wrapping_add(ms * 90));
            self.timeline.sender_report(self.audio, ntp(u64::from(ms)), ms.wrapping_mul(48));
        }
    }

    #[test]
    fn by_arrival_before_reports() {
        let mut s = Sender::new(80);
        assert_eq!((s.audio(0), s.video(0)), (0, 80_000));
    }

    #[test]
    fn reports_bring_the_tracks_together() {
        for late in [0, 30, 80, 400, 3000] {
            let mut s = Sender::new(late);
            let (mut last_video, mut last_audio, mut end) = (-1, -1, (0, 0));
            for ms in (0..12_000).step_by(20) {
                let (a, v) = (s.audio(ms), s.video(ms));
                assert!(a > last_audio && v > last_video, "times rise, {late} ms late, at {ms}");
                (last_audio, last_video, end) = (a, v, (a, v));
                if ms % 1000 == 500 {
                    s.reports(ms);
                }
                assert!(late > 1000 || ms < 1400 || (a - v).abs() <= 100, "{late} ms late, at {ms}: {}", v - a);
            }
            assert!((end.0 - end.1).abs() <= 100, "{late} ms late: {end:?}");
            assert!(s.timeline.is_synchronised());
        }
    }

    #[test]
    fn late_reports_are_not_believed() {
        let mut s = Sender::new(30);
        let mut end = (0, 0);
        for ms in (0..12_000).step_by(20) {
            end = (s.audio(ms), s.video(ms));
            if ms % 1000 == 500 {
                // Every third report is made in its time, the others after an encoder that had to wait.
                let late = u64::from(ms / 1000 % 3) * 90;
                s.timeline.sender_report(s.video, ntp(u64::from(ms) + late), VIDEO_BASE.wrapping_add(ms * 90));
                s.timeline.sender_report(s.audio, ntp(u64::from(ms)), ms.wrapping_mul(48));
            }
        }
        assert!((end.0 - end.1).abs() <= 100, "{end:?}");
    }

    #[test]
    fn settled_at_once() {
        let mut t = SyncTimeline::new();
        let (v, a) = (t.add(MediaKind::Video, ClockRate::VIDEO), t.add(MediaKind::Audio, ClockRate::AUDIO_48K));
        // Sound arrives 30 ms late, and both say so.
        assert_eq!(t.time(v, 9000, at(0)).unwrap().micros(), 0);
        assert_eq!(t.time(a, 48_000, at(30)).unwrap().micros(), 30_000);
        t.sender_report(v, ntp(5000), 9000);
        t.sender_report(a, ntp(5000), 48_000);
        t.settle();
        let times = [t.time(v, 9000, at(30)), t.time(a, 48_000, at(30))].map(|t| t.unwrap().micros());
        assert_eq!(times[0], times[1]);
        assert!(times[0] >= 0 && t.is_synchronised());
    }

    #[test]
    fn a_restarted_clock_goes_on_by_arrival() {
        let mut t = SyncTimeline::new();
        let v = t.add(MediaKind::Video, ClockRate::VIDEO);
        assert_eq!(t.time(v, 0, at(0)).unwrap().micros(), 0);
        assert_eq!(t.time(v, 3_000_000_000, at(40)).unwrap().micros(), 40_000);
        assert_eq!(t.time(v, 3_000_003_600, at(80)).unwrap().micros(), 80_000);
    }

    proptest! {
        /// Whatever comes: no panic, and rising timestamps with rising arrival give rising times.
        #[test]
        fn rises(steps in prop::collection::vec((1_u32..9000, 0_u64..200, any::<Option<(u64, u32)>>()), 1..100)) {
            let mut t = SyncTimeline::new();
            let (v, a) = (t.add(MediaKind::Video, ClockRate::VIDEO), t.add(MediaKind::Audio, ClockRate::AUDIO_48K));
            let (mut ts, mut now, mut last) = (0_u32, 0, i64::MIN);
            for (step, waited, report) in steps {
                ts = ts.wrapping_add(step);
                now += waited;
                let time = t.time(v, ts, at(now)).unwrap().micros();
                let _sound = t.time(a, ts, at(now));
                prop_assert!(time >= last);
                last = time;
                if let Some((ntp, rtp)) = report {
                    t.sender_report(v, NtpTime(ntp), ts.wrapping_add(rtp % 1000));
                    t.sender_report(a, NtpTime(ntp.rotate_left(7)), ts);
                }
            }
        }
    }
}
