//! The timeline between a decoder and an encoder: sound with times in, whole encoder frames with exact times out.
//!
//! Everything here is 48 kHz stereo. The first sample of a stretch is anchored at its unit's time; from there samples are counted,
//! so that what comes out is exact whatever millisecond rounding the units' own times have. Where they disagree by more than
//! rounding, silence is put in or samples are left out; where they jump, the stretch is ended and a new one begins.

use super::TranscodeStats;
use media::{ClockRate, MediaTime, MonoTime};
use std::time::Duration;

/// Frames (samples per channel) by which counted and given time may differ: 10 ms, above the rounding of FLV (1 ms), of 90 kHz
/// clocks and of senders that stamp by arrival, below what lips show.
const TOLERANCE: i64 = 480;
/// A gap up to one second is filled so that listeners hear one stretch; beyond that it is a break.
const MAX_FILL: i64 = 48_000;
/// An overlap up to one second is trimmed; a timeline that falls further back started anew.
const MAX_TRIM: i64 = 48_000;
/// The clock of everything that comes out.
pub(super) const CLOCK: ClockRate = ClockRate::AUDIO_48K;

/// What must happen before the sound of a unit is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// It follows what came before.
    Continue,
    /// So many frames are missing.
    Fill(usize),
    /// So many of its first frames were there already.
    Trim(usize),
    /// It belongs to another stretch: flush, then [`Timeline::anchor`].
    Break,
    /// It is the first.
    Start,
}

/// One encoder frame's worth of sound.
#[derive(Debug, Clone, Copy)]
pub(super) struct Stamp {
    pub(super) pts: MediaTime,
    pub(super) captured: Option<MonoTime>,
}

#[derive(Debug)]
pub(super) struct Timeline {
    /// Frames per encoder frame.
    block: usize,
    /// Encoder delay in frames.
    delay: i64,
    /// Interleaved stereo that waits for its block.
    pending: Vec<f32>,
    /// Time of the first sample of the stretch, `None` before the first unit.
    anchor: Option<i64>,
    /// Frames taken since the anchor.
    taken: i64,
    /// Encoder frames made since the anchor.
    made: i64,
    /// Capture time of the sample at a time, the latest known.
    captured: Option<(i64, MonoTime)>,
    /// The end of what was last given out.
    end: Option<i64>,
    pub(super) stats: TranscodeStats,
}

impl Timeline {
    pub(super) fn new(block: usize, delay: u32) -> Self {
        Self {
            block,
            delay: i64::from(delay),
            pending: Vec::new(),
            anchor: None,
            taken: 0,
            made: 0,
            captured: None,
            end: None,
            stats: TranscodeStats::default(),
        }
    }

    /// How a unit at `pts` (frames at 48 kHz) relates to what was taken.
    pub(super) fn step(&mut self, pts: i64) -> Step {
        let Some(anchor) = self.anchor else { return Step::Start };
        let difference = pts.saturating_sub(anchor.saturating_add(self.taken));
        match difference {
            d if d.saturating_abs() <= TOLERANCE => Step::Continue,
            d if (0..=MAX_FILL).contains(&d) => {
                self.stats.filled += d.unsigned_abs();
                Step::Fill(usize::try_from(d).unwrap_or(0))
            }
            d if (-MAX_TRIM..0).contains(&d) => Step::Trim(usize::try_from(-d).unwrap_or(0)),
            _ => Step::Break,
        }
    }

    /// Begins a stretch at `pts`. What was pending must have been flushed.
    pub(super) fn anchor(&mut self, pts: i64) {
        if self.anchor.is_some() {
            self.stats.breaks += 1;
        }
        // Only a timeline that fell back may go on before what was given out.
        self.end = self.end.filter(|end| pts.saturating_add(MAX_TRIM) > *end);
        self.anchor = Some(pts);
        (self.taken, self.made) = (0, 0);
        self.captured = None;
        self.pending.clear();
    }

    /// Remembers when the sample at `pts` met the microphone.
    pub(super) fn captured(&mut self, pts: i64, at: Option<MonoTime>) {
        if let Some(at) = at {
            self.captured = Some((pts, at));
        }
    }

    /// Takes interleaved stereo that belongs at the end of the stretch.
    pub(super) fn take(&mut self, pcm: &[f32]) {
        self.taken = self.taken.saturating_add(i64::try_from(pcm.len() / 2).unwrap_or(0));
        self.pending.extend_from_slice(pcm);
    }

    /// The next whole block, and the time of the frame that encoding it will answer; no time where that frame holds nothing but
    /// what was before the stretch, or something already given out.
    pub(super) fn block(&mut self, into: &mut Vec<f32>) -> Option<Option<Stamp>> {
        let samples = self.block * 2;
        if self.pending.len() < samples {
            return None;
        }
        into.clear();
        into.extend(self.pending.drain(..samples));
        let block = i64::try_from(self.block).unwrap_or(0);
        let offset = self.made * block - self.delay;
        self.made += 1;
        let anchor = self.anchor?;
        let pts = anchor.saturating_add(offset);
        // A frame that ends before the anchor is all priming. One that lies across it holds real sound from the anchor on.
        let priming = offset + block <= 0;
        let repeated = self.end.is_some_and(|end| pts < end);
        if priming || repeated {
            return Some(None);
        }
        self.end = Some(pts.saturating_add(block));
        self.stats.units_out += 1;
        let captured = self.captured.map(|(at, mono)| {
            let micros = MediaTime::new(pts.saturating_sub(at), CLOCK).micros();
            let span = Duration::from_micros(micros.unsigned_abs());
            if micros < 0 { mono - span } else { mono + span }
        });
        Some(Some(Stamp { pts: MediaTime::new(pts, CLOCK), captured }))
    }

    /// Appends the silence that pushes everything taken out of an encoder of this delay.
    pub(super) fn flush(&mut self) {
        if self.anchor.is_none() {
            return;
        }
        let waiting = self.pending.len() / 2;
        let delay = usize::try_from(self.delay).unwrap_or(0);
        let frames = (waiting + delay).div_ceil(self.block) * self.block;
        self.pending.resize(frames * 2, 0.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps() {
        let mut t = Timeline::new(1024, 2048);
        assert_eq!(t.step(5), Step::Start);
        t.anchor(1_000_000);
        t.take(&[0.0; 1920]);
        let check = |t: &mut Timeline, pts: i64, want: Step| assert_eq!(t.step(1_000_960 + pts), want, "{pts}");
        check(&mut t, 0, Step::Continue);
        check(&mut t, -480, Step::Continue);
        check(&mut t, 481, Step::Fill(481));
        check(&mut t, 48_000, Step::Fill(48_000));
        check(&mut t, 48_001, Step::Break);
        check(&mut t, -481, Step::Trim(481));
        check(&mut t, -48_001, Step::Break);
        assert_eq!(t.step(i64::MIN), Step::Break);
        assert_eq!(t.step(i64::MAX), Step::Break);
        assert_eq!(t.stats.filled, 48_481);
    }

    #[test]
    fn frames_are_stamped_without_the_delay_and_never_twice() {
        let mut t = Timeline::new(1024, 2048);
        let mut buffer = Vec::new();
        let mut all = |t: &mut Timeline| -> Vec<i64> {
            std::iter::from_fn(|| t.block(&mut buffer)).flatten().map(|s| s.pts.ticks()).collect()
        };
        t.anchor(10_000);
        t.captured(10_000, Some(MonoTime::from_micros(1_000_000)));
        t.take(&vec![0.0; 5 * 2048 + 200]);
        assert_eq!(all(&mut t), [10_000, 11_024, 12_048]);
        t.flush();
        // 5220 frames were taken: the last holds the rest and silence.
        assert_eq!(all(&mut t), [13_072, 14_096, 15_120]);
        t.anchor(70_000);
        t.take(&vec![0.0; 3 * 2048]);
        assert_eq!(all(&mut t), [70_000]);
        // Back a little: what was given out is not given out again. Back a lot: a new time begins.
        t.anchor(69_000);
        t.take(&vec![0.0; 5 * 2048]);
        assert_eq!(all(&mut t), [71_048]);
        t.anchor(0);
        t.take(&vec![0.0; 3 * 2048]);
        assert_eq!(all(&mut t), [0]);
    }
}
