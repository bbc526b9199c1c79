//! The callback's side of the speaker: from blocks to whatever samples the device takes.
//!
//! Two ways lead there. A sound card's callback is the system's and must never wait, so a thread of ours renders ahead of it into a
//! ring without locks. A sound server's callback is an ordinary thread that its requests wake, and the server itself holds what
//! bridges a late one: there the callback renders what it is asked for at that moment, and nothing is old when it leaves.
//!
//! Belongs here: those two, mixing to the device's channels, when a block will be heard. Not here: opening, watching and reopening
//! (`speaker`), the line through reported times itself (`line`).

use super::line::{Kind, Line};
use crate::{MonoClock, Render};
use cpal::{Data, FromSample, SampleFormat, SizedSample};
use media::MonoTime;
use parking_lot::Mutex;
use rtrb::{Consumer, Producer};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Renderers always make stereo; the device's channels are made from it.
pub(super) const CHANNELS: usize = 2;
/// Blocks a second.
pub(super) const BLOCKS: u32 = 100;
/// Further ahead than this a playout time is a clock's mistake.
const MAX_AHEAD: Duration = Duration::from_secs(2);

/// What the owner may ask while it plays.
#[derive(Debug, Default)]
pub(super) struct Counters {
    pub(super) rendered: AtomicU64,
    pub(super) latency_micros: AtomicU64,
    pub(super) underruns: AtomicU64,
}

/// What a callback knew of time.
#[derive(Debug, Clone, Copy)]
pub(super) struct Report {
    /// The first frame it asked for, counted from the opening of the device.
    pub(super) start: u64,
    /// How many frames of silence the device had got before that.
    pub(super) silent: u64,
    pub(super) now: MonoTime,
    /// How soon the frame will be heard, as the system says.
    pub(super) ahead: Duration,
}

/// Asks the owner for blocks.
pub(super) struct Asker {
    render: Arc<Mutex<Render>>,
    counters: Arc<Counters>,
    block: Vec<f32>,
}

impl Asker {
    pub(super) fn new(render: &Arc<Mutex<Render>>, counters: &Arc<Counters>, rate: u32) -> Self {
        let block = vec![0.0; (rate / BLOCKS) as usize * CHANNELS];
        Self { render: Arc::clone(render), counters: Arc::clone(counters), block }
    }

    /// Frames of a block.
    pub(super) const fn frames(&self) -> usize {
        self.block.len() / CHANNELS
    }

    /// The next block, which will be heard at `at`, asked for at `now`.
    pub(super) fn ask(&mut self, at: MonoTime, now: MonoTime) -> &[f32] {
        self.block.fill(0.0);
        // One session at a time asks, so nobody holds it.
        (self.render.lock())(&mut self.block, at);
        self.counters.rendered.fetch_add(self.frames() as u64, Ordering::Relaxed);
        let latency = u64::try_from(at.since(now).as_micros()).unwrap_or(0);
        self.counters.latency_micros.store(latency, Ordering::Relaxed);
        &self.block
    }
}

/// Where the callback's sound comes from.
pub(super) enum Supply {
    /// From the ring that the speaker's thread fills ahead of time: no lock, no allocation.
    Ahead(Consumer<f32>),
    /// From the renderer, now.
    Now(Box<Prompt>),
}

/// Renders what is asked for at that moment.
pub(super) struct Prompt {
    asker: Asker,
    line: Line,
    rate: u32,
    /// Of the newest block, what was not asked for yet.
    left: Vec<f32>,
}

impl Prompt {
    pub(super) fn new(asker: Asker, rate: u32) -> Self {
        Self { asker, line: Line::new(Kind::Playout, rate), rate, left: Vec::new() }
    }

    /// Makes `frames` frames be there, of which the first is the one `report` speaks of.
    fn prepare(&mut self, frames: usize, report: Report) {
        self.line.report(report.start, report.now, report.ahead);
        while self.left.len() < frames * CHANNELS {
            let position = report.start + (self.left.len() / CHANNELS) as u64;
            let own = Duration::from_micros((position - report.start) * 1_000_000 / u64::from(self.rate.max(1)));
            let at = self.line.at(position).unwrap_or(report.now + report.ahead + own).max(report.now);
            self.left.extend_from_slice(self.asker.ask(at, report.now));
        }
    }
}

/// Fills the device's buffers.
pub(super) struct Output {
    supply: Supply,
    reports: Producer<Report>,
    counters: Arc<Counters>,
    channels: usize,
    /// Frames taken from the supply.
    position: u64,
    /// Frames of silence the device got besides.
    silent: u64,
    started: bool,
}

impl Output {
    /// For a device of `channels` channels; what every call knew of time goes to `reports`.
    pub(super) fn new(supply: Supply, reports: Producer<Report>, counters: &Arc<Counters>, channels: u16) -> Self {
        let channels = usize::from(channels).max(1);
        Self { supply, reports, counters: Arc::clone(counters), channels, position: 0, silent: 0, started: false }
    }

    /// Fills the device's buffer, with silence where there is nothing.
    pub(super) fn fill(&mut self, data: &mut Data, info: &cpal::OutputCallbackInfo) {
        let stamp = info.timestamp();
        let ahead = stamp.playback.checked_duration_since(stamp.callback).unwrap_or_default().min(MAX_AHEAD);
        let report = Report { start: self.position + self.silent, silent: self.silent, now: MonoClock::now(), ahead };
        // A full queue of times only means that a later one serves.
        self.reports.push(report).unwrap_or(());
        match data.sample_format() {
            SampleFormat::F32 => self.copy::<f32>(data, report),
            SampleFormat::F64 => self.copy::<f64>(data, report),
            SampleFormat::I16 => self.copy::<i16>(data, report),
            SampleFormat::I24 => self.copy::<cpal::I24>(data, report),
            SampleFormat::I32 => self.copy::<i32>(data, report),
            SampleFormat::U8 => self.copy::<u8>(data, report),
            SampleFormat::U16 => self.copy::<u16>(data, report),
            _ => {}
        }
    }

    fn copy<T: SizedSample + FromSample<f32>>(&mut self, data: &mut Data, report: Report) {
        let Some(out) = data.as_slice_mut::<T>() else { return };
        let frames = out.len() / self.channels;
        let available = match &mut self.supply {
            Supply::Ahead(ring) => {
                let available = (ring.slots() / CHANNELS).min(frames);
                let Ok(chunk) = ring.read_chunk(available * CHANNELS) else { return };
                let (first, second) = chunk.as_slices();
                mix(out, self.channels, first.iter().chain(second).copied());
                chunk.commit_all();
                available
            }
            Supply::Now(prompt) => {
                prompt.prepare(frames, report);
                mix(out, self.channels, prompt.left.drain(..frames * CHANNELS));
                frames
            }
        };
        self.position += available as u64;
        let missing = (frames - available) as u64;
        self.silent += missing;
        self.started |= available > 0;
        if self.started {
            self.counters.underruns.fetch_add(missing, Ordering::Relaxed);
        }
    }
}

/// Stereo to as many channels as there are; silence where it ends.
fn mix<T: SizedSample + FromSample<f32>>(out: &mut [T], channels: usize, mut stereo: impl Iterator<Item = f32>) {
    for frame in out.chunks_exact_mut(channels) {
        let (left, right) = (stereo.next().unwrap_or(0.0), stereo.next().unwrap_or(0.0));
        match frame {
            [mono] => *mono = T::from_sample(0.5 * (left + right)),
            [l, r, rest @ ..] => {
                (*l, *r) = (T::from_sample(left), T::from_sample(right));
                rest.fill(T::EQUILIBRIUM);
            }
            [] => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stereo_becomes_what_the_device_has() {
        let stereo = [0.5, -0.25, 0.5, 0.5];
        let mixed = |channels: usize| {
            let mut out = vec![9.0_f32; channels * 3];
            mix(&mut out, channels, stereo.into_iter());
            out
        };
        assert_eq!(mixed(1), [0.125, 0.5, 0.0]);
        assert_eq!(mixed(2), [0.5, -0.25, 0.5, 0.5, 0.0, 0.0]);
        assert_eq!(mixed(3), [0.5, -0.25, 0.0, 0.5, 0.5, 0.0, 0.0, 0.0, 0.0]);
    }

    /// Requests of any size get every sample once, and each block is told when it will be heard: here 30 ms after it is asked for.
    #[test]
    fn a_prompt_supply_gives_what_is_asked_for() {
        let asked: Arc<Mutex<Vec<MonoTime>>> = Arc::default();
        let (times, mut n) = (Arc::clone(&asked), 0_u32);
        let render: Render = Box::new(move |block, at| {
            times.lock().push(at);
            for frame in block.chunks_exact_mut(2) {
                frame.fill(n as f32);
                n += 1;
            }
        });
        let counters = Arc::new(Counters::default());
        let mut prompt = Prompt::new(Asker::new(&Arc::new(Mutex::new(render)), &counters, 48_000), 48_000);
        let (mut heard, mut position) = (Vec::new(), 0_u64);
        for frames in [240, 1920, 480, 0, 1, 961] {
            let now = MonoTime::from_micros(5_000_000 + position * 1_000_000 / 48_000);
            let report = Report { start: position, silent: 0, now, ahead: Duration::from_millis(30) };
            prompt.prepare(frames, report);
            heard.extend(prompt.left.drain(..frames * 2).step_by(2));
            position += frames as u64;
        }
        assert!(heard.iter().zip(0_u32..).all(|(got, want)| *got as u32 == want), "every sample once, in order");
        let first = MonoTime::from_micros(5_030_000);
        for (at, block) in asked.lock().iter().zip(0_u32..) {
            let want = first + Duration::from_millis(10) * block;
            assert!(at.since(want).max(want.since(*at)) < Duration::from_millis(1), "block {block} at {at:?}");
        }
        assert_eq!(
            counters.rendered.load(Ordering::Relaxed),
            3840,
            "no more than the blocks that hold what was asked for"
        );
    }
}
