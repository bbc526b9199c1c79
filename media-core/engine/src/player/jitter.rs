//! The jitter buffer of the patient's sound: as short as the network allows, and short again after a stall.
//!
//! What arrives is 48 kHz stereo with its media time; what leaves is asked for by the speaker in its own time. The target
//! follows the jitter seen in the last ten seconds. An excess is worked off so that nobody hears it: a little faster through the
//! resampler in front ([`JitterBuffer::relative`]), silence skipped, and only far beyond the target a cut, cross-faded.
//!
//! Belongs here: that buffer, told the time. Not here: decoding and resampling (`sound`), pictures (`sync`).

use codec::DriftControl;
use media::{ClockRate, MediaTime, MonoTime};
use std::collections::VecDeque;
use std::time::Duration;

/// Samples per second per channel inside the buffer.
pub(crate) const RATE: u32 = 48_000;
/// Interleaved channels inside the buffer.
pub(crate) const CHANNELS: usize = 2;

/// The speaker asks for up to 20 ms at a time, half of which is missing on average; as much again keeps a late thread from being
/// heard.
const MARGIN: Duration = Duration::from_millis(20);
/// A network that needs more than this is felt as a stall anyway, and then the stall is the better choice.
const LONGEST_TARGET: Duration = Duration::from_millis(400);
/// Jitter is what was seen within this.
const WINDOW: Duration = Duration::from_secs(10);
/// Enough for ten seconds of the shortest packets; bounds what is remembered of arrivals.
const MAX_ARRIVALS: usize = 1_024;
/// A packet that comes earlier than every one before it by more than this shows that those had waited somewhere: at the beginning
/// of a stream in the sender, which then works off its backlog. That says nothing of the network to come.
const BACKLOG: Duration = Duration::from_millis(20);
/// Packets this close together came in one burst.
const TOGETHER: Duration = Duration::from_millis(3);
/// Beyond this the clocks' drift is not the reason, and the resampler goes to its limit.
const HURRY: Duration = Duration::from_millis(40);
/// One percent faster: nobody hears it in speech, and a second's stall is gone in under two minutes even without a pause.
const HURRIED: f64 = 0.99;
/// Beyond this a cut is better than the delay.
const CUT: Duration = Duration::from_millis(300);
/// −50 dB: a pause, breath and room included.
const SILENCE: f32 = 0.003;
/// Missing sound up to this is replaced by silence, so that lips stay in step; beyond it the stream begins anew.
const LONGEST_GAP: Duration = Duration::from_millis(500);
/// Rounding of millisecond timestamps (FLV) around 1024-sample frames.
const TIMESTAMP_SLACK: Duration = Duration::from_millis(5);
/// Samples over which sound fades in and out at breaks: 5 ms.
const FADE: usize = 240;

/// What the buffer has gone through.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct JitterStats {
    /// Times the speaker found nothing to play.
    pub(crate) underruns: u64,
    /// Frames (samples per channel) left out to catch up.
    pub(crate) dropped: u64,
    /// Frames of silence put in for lost sound.
    pub(crate) filled: u64,
}

/// Packets that came together: how late the first and the last of them were, in µs.
#[derive(Debug, Clone, Copy)]
struct Arrival {
    at: MonoTime,
    first: i64,
    last: i64,
}

/// The buffer.
#[derive(Debug)]
pub(crate) struct JitterBuffer {
    samples: VecDeque<f32>,
    /// Media time right after the last sample, in µs.
    tail: Option<i64>,
    playing: bool,
    /// Frames still to fade in.
    fade_in: usize,
    arrivals: VecDeque<Arrival>,
    packet: Duration,
    target: Duration,
    drift: DriftControl,
    last_push: Option<MonoTime>,
    stats: JitterStats,
}

impl JitterBuffer {
    /// An empty buffer that waits for its target before it plays.
    pub(crate) fn new() -> Self {
        Self {
            samples: VecDeque::new(),
            tail: None,
            playing: false,
            fade_in: FADE,
            arrivals: VecDeque::new(),
            packet: Duration::ZERO,
            target: MARGIN,
            drift: DriftControl::new(MARGIN),
            last_push: None,
            stats: JitterStats::default(),
        }
    }

    /// Takes interleaved stereo that begins at `pts` and lasts `duration` of media time (the samples may be a little more or fewer
    /// than that, as [`Self::relative`] asked), from a packet that arrived at `arrived`.
    pub(crate) fn push(&mut self, pts: MediaTime, duration: Duration, samples: &[f32], arrived: MonoTime) {
        self.observe(pts, duration, arrived);
        let begin = pts.micros();
        if let Some(tail) = self.tail {
            let gap = begin.saturating_sub(tail);
            if gap.unsigned_abs() > micros(LONGEST_GAP).unsigned_abs() {
                self.restart();
            } else if gap > micros(TIMESTAMP_SLACK) {
                let frames = usize::try_from(gap * i64::from(RATE) / 1_000_000).unwrap_or(0);
                self.samples.extend(std::iter::repeat_n(0.0, frames * CHANNELS));
                self.stats.filled += frames as u64;
            }
        }
        self.tail = Some(begin.saturating_add(micros(duration)));
        self.samples.extend(samples);
        if self.excess() > CUT {
            self.cut();
        }
    }

    /// Fills `out` (interleaved stereo) with what is heard next. Answers the media time of its first sample, where it is sound.
    pub(crate) fn render(&mut self, out: &mut [f32]) -> Option<MediaTime> {
        if !self.playing {
            if self.fill() < self.target || self.samples.is_empty() {
                return None;
            }
            self.playing = true;
            self.fade_in = FADE;
        }
        self.skip_silence(out.len());
        let pts = self.head()?;
        let take = out.len().min(self.samples.len());
        for (to, from) in out.iter_mut().zip(self.samples.drain(..take)) {
            *to = from;
        }
        self.fade(out, take);
        Some(pts)
    }

    /// The factor by which the resampler in front shall make more samples: below 1 to catch up.
    pub(crate) fn relative(&mut self, now: MonoTime) -> f64 {
        let since = self.last_push.map_or(Duration::ZERO, |last| now.since(last));
        self.last_push = Some(now);
        // The mean fill lies half a packet below the fill right after a push.
        let mean = self.fill().saturating_sub(self.packet / 2);
        let slow = self.drift.update(mean, since);
        if self.playing && self.excess() > HURRY { HURRIED } else { slow }
    }

    /// Sound waiting to be played.
    pub(crate) fn fill(&self) -> Duration {
        frames_to_time(self.samples.len() / CHANNELS)
    }

    /// How much the buffer means to hold.
    #[cfg(test)]
    pub(crate) const fn target(&self) -> Duration {
        self.target
    }

    /// What it has gone through.
    pub(crate) const fn stats(&self) -> JitterStats {
        self.stats
    }

    /// Another stream begins: everything but the counters is forgotten.
    pub(crate) fn restart(&mut self) {
        *self = Self { stats: self.stats, ..Self::new() };
    }

    /// Media time of the next sample.
    fn head(&self) -> Option<MediaTime> {
        let tail = self.tail?;
        Some(MediaTime::new(tail.saturating_sub(micros(self.fill())), ClockRate::MICRO))
    }

    fn excess(&self) -> Duration {
        self.fill().saturating_sub(self.target + self.packet / 2)
    }

    /// Leaves out silence of `step` samples at a time while there is too much to play. It is taken from what is played next, not from
    /// what has just come: so it helps at once, and the media time of what is heard stays true.
    fn skip_silence(&mut self, step: usize) {
        while step > 0
            && self.excess() > self.packet.max(MARGIN)
            && self.samples.len() > step
            && self.samples.iter().take(step).all(|s| s.abs() < SILENCE)
        {
            self.samples.drain(..step);
            self.stats.dropped += (step / CHANNELS) as u64;
        }
    }

    fn observe(&mut self, pts: MediaTime, duration: Duration, arrived: MonoTime) {
        self.packet = duration.min(LONGEST_TARGET);
        let late = i64::try_from(arrived.micros()).unwrap_or(i64::MAX).saturating_sub(pts.micros());
        let earliest = self.arrivals.iter().map(|burst| burst.first).min();
        if earliest.is_some_and(|earliest| late < earliest.saturating_sub(micros(BACKLOG))) {
            self.arrivals.clear();
        }
        match self.arrivals.back_mut() {
            // A stall is one event, however many packets it held up.
            Some(burst) if arrived.since(burst.at) < TOGETHER => burst.last = late,
            _ => self.arrivals.push_back(Arrival { at: arrived, first: late, last: late }),
        }
        while self.arrivals.len() > MAX_ARRIVALS
            || self.arrivals.front().is_some_and(|burst| arrived.since(burst.at) > WINDOW)
        {
            self.arrivals.pop_front();
        }
        let mut lates: Vec<i64> = self.arrivals.iter().map(|burst| burst.first).collect();
        lates.sort_unstable();
        // One burst in twenty may come later than the target allows; a single stall does not lengthen the buffer.
        let latest = lates.get(lates.len() * 95 / 100).or(lates.last()).copied().unwrap_or(0);
        // The fill that is steered is a mean, so what counts is how much later than the mean somebody comes.
        let count = i64::try_from(self.arrivals.len().max(1)).unwrap_or(i64::MAX);
        let mean = self.arrivals.iter().map(|burst| (burst.first / 2 + burst.last / 2) / count).sum::<i64>();
        let jitter = Duration::from_micros(u64::try_from(latest.saturating_sub(mean)).unwrap_or(0));
        self.target = (self.packet / 2 + MARGIN + jitter).min(LONGEST_TARGET);
        self.drift.set_target(self.target);
    }

    fn cut(&mut self) {
        let keep = time_to_frames(self.target + self.packet / 2);
        let drop = (self.samples.len() / CHANNELS).saturating_sub(keep.max(FADE));
        if drop < FADE {
            return;
        }
        // The first samples that stay are mixed with those that would have come, so that the seam is not heard.
        for n in 0..FADE * CHANNELS {
            let fade = (n / CHANNELS) as f32 / FADE as f32;
            let (old, at) = (self.samples.get(n).copied().unwrap_or(0.0), drop * CHANNELS + n);
            if let Some(new) = self.samples.get_mut(at) {
                *new = old * (1.0 - fade) + *new * fade;
            }
        }
        self.samples.drain(..drop * CHANNELS);
        self.stats.dropped += drop as u64;
        self.drift.restart();
    }

    /// Fades in after a break, and out where the buffer ran dry within this block.
    fn fade(&mut self, out: &mut [f32], filled: usize) {
        for frame in out.get_mut(..filled).unwrap_or_default().chunks_mut(CHANNELS) {
            if self.fade_in == 0 {
                break;
            }
            let gain = 1.0 - self.fade_in as f32 / FADE as f32;
            frame.iter_mut().for_each(|s| *s *= gain);
            self.fade_in -= 1;
        }
        if filled == out.len() {
            return;
        }
        self.stats.underruns += 1;
        self.playing = false;
        let frames = (filled / CHANNELS).min(FADE);
        let from = filled - frames * CHANNELS;
        for (n, frame) in out.get_mut(from..filled).unwrap_or_default().chunks_mut(CHANNELS).enumerate() {
            let gain = 1.0 - (n + 1) as f32 / frames as f32;
            frame.iter_mut().for_each(|s| *s *= gain);
        }
    }
}

fn frames_to_time(frames: usize) -> Duration {
    Duration::from_micros(frames as u64 * 1_000_000 / u64::from(RATE))
}

fn time_to_frames(time: Duration) -> usize {
    usize::try_from(time.as_micros() * u128::from(RATE) / 1_000_000).unwrap_or(usize::MAX)
}

fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Packets of 20 ms with sound of `level`, the n-th arriving at `arrive(n)` ms after its media time; the speaker asks every
    /// 10 ms. Answers, for each block, the delay from media time to playing in ms, where there was sound.
    fn run(seconds: u64, level: f32, arrive: impl Fn(u64) -> u64) -> (Vec<Option<i64>>, JitterBuffer) {
        let mut buffer = JitterBuffer::new();
        let packets = seconds * 50;
        // A connection keeps order: what is late holds up what follows.
        let mut latest = 0;
        let arrivals: Vec<(u64, u64)> = (0..packets)
            .map(|n| {
                latest = (n * 20 + arrive(n)).max(latest);
                (latest, n)
            })
            .collect();
        let (mut next, mut fraction, mut delays) = (0, 0.0, Vec::new());
        for ms in 0..seconds * 1000 {
            let now = MonoTime::from_micros(1_000_000 + ms * 1000);
            while let Some((_, n)) = arrivals.get(next).filter(|(at, _)| *at <= ms) {
                fraction += 960.0 * buffer.relative(now);
                let frames = fraction as usize;
                fraction -= frames as f64;
                let pts = MediaTime::new(i64::try_from(n * 20).unwrap(), ClockRate::MILLI);
                buffer.push(pts, Duration::from_millis(20), &vec![level; frames * 2], now);
                next += 1;
            }
            if ms % 10 == 0 {
                let mut out = [0.0; 960];
                delays.push(buffer.render(&mut out).map(|pts| ms as i64 - pts.millis()));
            }
        }
        (delays, buffer)
    }

    #[test]
    fn a_steady_network_costs_little() {
        let (delays, buffer) = run(20, 0.5, |_| 0);
        let late = delays[100..].iter().flatten().max().unwrap();
        assert!(*late <= 45, "{late} ms");
        assert_eq!(buffer.stats().underruns, 0);
    }

    #[test]
    fn jitter_is_absorbed() {
        let (delays, buffer) = run(30, 0.5, |n| n * 7919 % 60);
        assert!(buffer.stats().underruns <= 3, "{:?}", buffer.stats());
        let late = delays[1500..].iter().flatten().max().unwrap();
        assert!((50..130).contains(late), "{late} ms, target {:?}", buffer.target());
    }

    #[test]
    fn drains_after_a_stall() {
        // Packets of one second arrive together at its end; everything before and after is on time.
        let stall = |n: u64| if (500..550).contains(&n) { (550 - n) * 20 } else { 0 };
        for (level, seconds) in [(0.5, 60), (0.0, 14)] {
            let (delays, buffer) = run(seconds, level, stall);
            let end = delays.iter().rev().flatten().next().unwrap();
            assert!(*end <= 60, "level {level}: still {end} ms behind, {:?}", buffer.stats());
            assert!(buffer.stats().underruns <= 3, "{:?}", buffer.stats());
        }
    }

    /// A phone that starts sends what has piled up meanwhile: here a second of sound within a quarter of one.
    #[test]
    fn a_backlog_at_the_beginning_is_not_jitter() {
        let backlog = |n: u64| 1000_u64.saturating_sub(n * 16) / 50 * 50;
        for level in [0.5, 0.0] {
            let (delays, buffer) = run(6, level, backlog);
            let late = delays[150..].iter().flatten().max().unwrap();
            assert!(*late <= 60, "level {level}: still {late} ms behind, {:?}", buffer.stats());
            assert!(buffer.target() < Duration::from_millis(40), "{:?}", buffer.target());
        }
    }

    /// The media time that is answered is that of the sample that is given, whatever was left out on the way.
    #[test]
    fn what_is_heard_is_what_is_said() {
        let mut buffer = JitterBuffer::new();
        let (mut next, mut wrong) = (0_u64, 0);
        for ms in (0..4_000_u64).step_by(10) {
            let now = MonoTime::from_micros(1_000_000 + ms * 1000);
            // The second second comes at its end.
            while next * 20 <= ms && !(1_000..2_000).contains(&ms) {
                // Every tenth packet is loud by its own number, the others are silence.
                let level = if next.is_multiple_of(10) { 0.1 + next as f32 / 1000.0 } else { 0.0 };
                let pts = MediaTime::new(i64::try_from(next * 20).unwrap(), ClockRate::MILLI);
                buffer.push(pts, Duration::from_millis(20), &vec![level; 1920], now);
                next += 1;
            }
            let mut out = [0.0; 960];
            let heard = buffer.render(&mut out);
            let loud = out.iter().rposition(|s| *s > 0.09);
            if let (Some(heard), Some(at)) = (heard, loud.filter(|at| *at > 2 * FADE * CHANNELS)) {
                let said = ((f64::from(out[at]) - 0.1) * 1000.0).round() * 20.0;
                let since = heard.micros() as f64 / 1000.0 + (at / CHANNELS) as f64 / 48.0 - said;
                wrong += usize::from(!(-1.0..21.0).contains(&since));
            }
        }
        assert_eq!(wrong, 0);
        assert!(buffer.stats().dropped > 24_000, "{:?}", buffer.stats());
    }

    #[test]
    fn lost_sound_becomes_silence_and_time_goes_on() {
        let mut buffer = JitterBuffer::new();
        let packet = vec![0.5; 1920];
        for n in [0, 20, 40, 100, 120] {
            let at = MonoTime::from_micros(1_000_000 + n * 1000);
            buffer.push(MediaTime::new(n as i64, ClockRate::MILLI), Duration::from_millis(20), &packet, at);
        }
        assert_eq!(buffer.stats().filled, 1920);
        assert_eq!(buffer.fill(), Duration::from_millis(140));
        let mut out = vec![0.0; 140 * 96];
        assert_eq!(buffer.render(&mut out).unwrap().millis(), 0);
        assert!(out[61 * 96..99 * 96].iter().all(|s| *s == 0.0) && out[101 * 96] != 0.0);
    }

    #[test]
    fn breaks_fade() {
        let mut buffer = JitterBuffer::new();
        buffer.push(
            MediaTime::new(0, ClockRate::MILLI),
            Duration::from_millis(60),
            &vec![1.0; 60 * 96],
            MonoTime::default(),
        );
        let mut out = vec![0.0; 80 * 96];
        buffer.render(&mut out);
        let steps = out.windows(3).map(|w| (w[2] - w[0]).abs()).fold(0.0, f32::max);
        assert!(steps < 0.01, "a step of {steps}");
        assert_eq!(buffer.stats().underruns, 1);
    }

    proptest! {
        /// Whatever times come: bounded memory, no panic, and blocks are filled or left alone.
        #[test]
        fn bounded(packets in prop::collection::vec((any::<i32>(), 0_u64..50_000, 0_u16..3000), 0..200)) {
            let (mut buffer, mut now) = (JitterBuffer::new(), MonoTime::default());
            for (pts, step, frames) in packets {
                now = now + Duration::from_micros(step);
                let samples = vec![0.1; usize::from(frames) * 2];
                let duration = frames_to_time(usize::from(frames));
                buffer.relative(now);
                buffer.push(MediaTime::new(i64::from(pts), ClockRate::MILLI), duration, &samples, now);
                prop_assert!(buffer.fill() < Duration::from_secs(2));
            }
        }
    }
}
