//! The speaker.

use super::host::{self, Direction};
use super::line::{Kind, Line};
use super::stop::{Backoff, Stop};
use crate::{AudioFormat, AudioSink, DeviceError, MonoClock, Playout, Render, SinkEvent};
use cpal::traits::{DeviceTrait, StreamTrait};
use cpal::{Data, FromSample, SampleFormat, SizedSample};
use media::MonoTime;
use parking_lot::Mutex;
use rtrb::{Consumer, Producer, RingBuffer};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Renderers always make stereo; the device's channels are made from it.
const CHANNELS: usize = 2;
/// Blocks a second.
const BLOCKS: u32 = 100;
/// Blocks kept ready before the device asks, at first: one on its way, one for the scheduler.
const READY: usize = 2;
/// Every underrun adds a block, up to this many.
const MOST_READY: usize = 10;
/// Milliseconds per callback at first: short enough for a conversation.
const FIRST_WIDTH: u32 = 10;
/// The widest, for machines so busy that their sound server runs dry.
const WIDEST: u32 = 40;
/// Seconds of silence that a sound server put in on its own since the last look; the second time, callbacks are made wider.
const SLIP: f64 = 0.010;
/// How often that is looked at.
const SLIP_EVERY: Duration = Duration::from_secs(1);
/// A speaker that asks for nothing for this long hangs or is gone.
const SILENT: Duration = Duration::from_secs(3);
/// Opening a stream may take this long.
const OPEN: Duration = Duration::from_secs(5);
/// Further ahead than this a playout time is a clock's mistake.
const MAX_AHEAD: Duration = Duration::from_secs(2);
/// Callbacks whose times may wait at once.
const STAMPS: usize = 512;

/// A speaker, watched and reopened.
pub struct Speaker {
    id: Option<String>,
    state: Arc<State>,
    run: Option<(Arc<Stop>, JoinHandle<()>)>,
}

/// What the owner may ask while it plays.
#[derive(Default)]
struct State {
    format: Mutex<Option<AudioFormat>>,
    rendered: AtomicU64,
    latency_micros: AtomicU64,
    underruns: AtomicU64,
}

impl Speaker {
    /// The speaker with this [`crate::DeviceInfo::id`], or the system's choice; not opened yet.
    pub fn new(id: Option<String>) -> Self {
        Self { id, state: Arc::default(), run: None }
    }
}

impl AudioSink for Speaker {
    fn name(&self) -> &str {
        self.id.as_deref().unwrap_or("speaker")
    }

    fn format(&self) -> AudioFormat {
        self.state.format.lock().unwrap_or(AudioFormat { rate: 48_000, channels: CHANNELS as u8 })
    }

    fn start(&mut self, render: Render, events: Box<dyn FnMut(SinkEvent) + Send>) -> Result<(), DeviceError> {
        self.stop();
        let stop = Arc::new(Stop::default());
        let (answer, opened) = sync_channel(1);
        let (id, shared, state) = (self.id.clone(), Arc::clone(&stop), Arc::clone(&self.state));
        let thread = std::thread::Builder::new()
            .name("speaker".into())
            .spawn(move || run(id.as_deref(), &shared, &state, render, events, &answer))
            .map_err(|e| DeviceError::Other(e.to_string()))?;
        let outcome = opened.recv().unwrap_or_else(|_| Err(DeviceError::Other("the speaker's thread ended".into())));
        self.run = Some((stop, thread));
        if outcome.is_err() {
            self.stop();
        }
        outcome
    }

    fn playout(&self) -> Playout {
        Playout {
            rendered: self.state.rendered.load(Ordering::Relaxed),
            latency: Duration::from_micros(self.state.latency_micros.load(Ordering::Relaxed)),
            underruns: self.state.underruns.load(Ordering::Relaxed),
        }
    }

    fn stop(&mut self) {
        let Some((stop, thread)) = self.run.take() else { return };
        stop.stop();
        if thread.join().is_err() {
            tracing::error!("the speaker's thread panicked");
        }
    }
}

impl Drop for Speaker {
    fn drop(&mut self) {
        self.stop();
    }
}

fn run(
    id: Option<&str>,
    stop: &Arc<Stop>,
    state: &Arc<State>,
    mut render: Render,
    mut events: Box<dyn FnMut(SinkEvent) + Send>,
    answer: &SyncSender<Result<(), DeviceError>>,
) {
    stop.adopt();
    let (mut answered, mut lost, mut backoff, mut width) = (false, false, Backoff::new(), FIRST_WIDTH);
    loop {
        match Session::open(id, stop, state, width) {
            Ok(mut session) => {
                if !std::mem::replace(&mut answered, true) {
                    drop(answer.send(Ok(())));
                }
                if std::mem::take(&mut lost) {
                    events(SinkEvent::Restored);
                }
                let end = session.play(stop, state, &mut render);
                if session.asked {
                    backoff = Backoff::new();
                }
                drop(session);
                match end {
                    Ok(End::Stopped) => return,
                    Ok(End::Starved) => {
                        width *= 2;
                        tracing::info!("the sound server runs dry: {width} ms at a time from here on");
                        continue;
                    }
                    Err(error) => {
                        tracing::warn!("speaker: {error}");
                        lost = true;
                        events(SinkEvent::Lost(error));
                    }
                }
            }
            Err(error) if !answered => {
                drop(answer.send(Err(error)));
                return;
            }
            Err(error) => tracing::debug!("speaker still unavailable: {error}"),
        }
        if stop.pause(backoff.next()) {
            return;
        }
    }
}

/// Why playing ended without an error.
enum End {
    Stopped,
    /// The device runs dry although nothing was late here.
    Starved,
}

/// What a callback knew of time.
struct Report {
    /// The first frame it asked for, counted from the opening of the device.
    start: u64,
    /// How many frames of silence the device had got before that.
    silent: u64,
    now: MonoTime,
    /// How soon the frame will be heard, as the system says.
    ahead: Duration,
}

/// An open stream.
struct Session {
    // Dropped first: no callback after that.
    stream: cpal::Stream,
    samples: Producer<f32>,
    reports: Consumer<Report>,
    failed: Arc<Mutex<Option<DeviceError>>>,
    rate: u32,
    /// Milliseconds per callback.
    width: u32,
    asked: bool,
}

impl Session {
    fn open(id: Option<&str>, stop: &Arc<Stop>, state: &Arc<State>, width: u32) -> Result<Self, DeviceError> {
        let chosen = host::choose(id, Direction::Output, width)?;
        let rate = chosen.config.sample_rate;
        let block = (rate / BLOCKS) as usize;
        // Room for what is kept ready and for one large callback.
        let (samples, samples_out) = RingBuffer::new((MOST_READY * 2) * block * CHANNELS);
        let (reports_in, reports) = RingBuffer::new(STAMPS);
        let mut output = Output {
            samples: samples_out,
            reports: reports_in,
            position: 0,
            silent: 0,
            channels: usize::from(chosen.config.channels).max(1),
            started: false,
        };
        let (woken, counted) = (Arc::clone(stop), Arc::clone(state));
        let callback = move |data: &mut Data, info: &cpal::OutputCallbackInfo| {
            let stamp = info.timestamp();
            let ahead = stamp.playback.checked_duration_since(stamp.callback).unwrap_or_default().min(MAX_AHEAD);
            let missing = output.fill(data, MonoClock::now(), ahead);
            counted.underruns.fetch_add(missing, Ordering::Relaxed);
            woken.wake();
        };
        let failed: Arc<Mutex<Option<DeviceError>>> = Arc::default();
        let (woken, told) = (Arc::clone(stop), Arc::clone(&failed));
        let failure = move |error: cpal::Error| {
            if host::is_fatal(&error) {
                told.lock().get_or_insert_with(|| DeviceError::Lost(error.to_string()));
                woken.wake();
            }
        };
        let stream = chosen
            .device
            .build_output_stream_raw(chosen.config, chosen.format, callback, failure, Some(OPEN))
            .map_err(|e| DeviceError::from(&e))?;
        *state.format.lock() = Some(AudioFormat { rate, channels: CHANNELS as u8 });
        tracing::info!("speaker {} at {rate} Hz, {:?}", chosen.name, chosen.format);
        Ok(Self { stream, samples, reports, failed, rate, width, asked: false })
    }

    /// Asks for sound until stopped or starved (`Ok`) or lost (`Err`).
    fn play(&mut self, stop: &Stop, state: &State, render: &mut Render) -> Result<End, DeviceError> {
        let block = (self.rate / BLOCKS) as usize;
        let mut buffer = vec![0.0; block * CHANNELS];
        let mut line = Line::new(Kind::Playout, self.rate);
        let mut silent_before = 0;
        let (mut written, mut last) = (0_u64, Instant::now());
        // A callback's worth and one for the scheduler.
        let mut ready = READY.max((self.width * BLOCKS / 1000) as usize + 1);
        let (mut looked, mut before, mut slips) = (Instant::now(), None, 0);
        let mut underruns = state.underruns.load(Ordering::Relaxed);
        let mut playing = false;
        while !stop.is_stopped() {
            if let Some(error) = self.failed.lock().take() {
                return Err(error);
            }
            while let Ok(Report { start, silent, now, ahead }) = self.reports.pop() {
                line.report(start, now, ahead);
                silent_before = silent;
                last = Instant::now();
                self.asked = true;
            }
            if looked.elapsed() >= SLIP_EVERY {
                let prompt = line.prompt();
                slips += u32::from(before.zip(prompt).is_some_and(|(before, now)| now - before > SLIP));
                (looked, before) = (Instant::now(), prompt);
                if slips >= 2 && self.width < WIDEST {
                    return Ok(End::Starved);
                }
            }
            let missed = state.underruns.load(Ordering::Relaxed);
            if missed > underruns {
                underruns = missed;
                ready = (ready + 1).min(MOST_READY);
            }
            let capacity = self.samples.buffer().capacity();
            while capacity - self.samples.slots() < ready * buffer.len() {
                let now = MonoClock::now();
                // Before the device says more, sound is as far away as what is kept ready.
                let ahead = Duration::from_millis(10 * ready as u64);
                let at = line.at(written + silent_before).unwrap_or(now + ahead).max(now);
                buffer.fill(0.0);
                render(&mut buffer, at);
                let Ok(mut chunk) = self.samples.write_chunk(buffer.len()) else { break };
                let (first, second) = chunk.as_mut_slices();
                for (to, sample) in first.iter_mut().chain(second).zip(&buffer) {
                    *to = *sample;
                }
                chunk.commit_all();
                written += block as u64;
                state.rendered.fetch_add(block as u64, Ordering::Relaxed);
                let latency = u64::try_from(at.since(now).as_micros()).unwrap_or(0);
                state.latency_micros.store(latency, Ordering::Relaxed);
            }
            if !playing {
                self.stream.play().map_err(|e| DeviceError::from(&e))?;
                (playing, last) = (true, Instant::now());
            }
            if last.elapsed() > SILENT {
                return Err(DeviceError::Lost("it stopped asking for sound".into()));
            }
            stop.park_until(last + SILENT + Duration::from_millis(1));
        }
        Ok(End::Stopped)
    }
}

/// The callback's side: no lock, no allocation.
struct Output {
    samples: Consumer<f32>,
    reports: Producer<Report>,
    /// Frames taken from the ring.
    position: u64,
    /// Frames of silence the device got besides.
    silent: u64,
    channels: usize,
    started: bool,
}

impl Output {
    /// Fills the device's buffer, with silence where the ring is empty; answers how many frames of silence.
    fn fill(&mut self, data: &mut Data, now: MonoTime, ahead: Duration) -> u64 {
        match data.sample_format() {
            SampleFormat::F32 => self.copy::<f32>(data, now, ahead),
            SampleFormat::F64 => self.copy::<f64>(data, now, ahead),
            SampleFormat::I16 => self.copy::<i16>(data, now, ahead),
            SampleFormat::I24 => self.copy::<cpal::I24>(data, now, ahead),
            SampleFormat::I32 => self.copy::<i32>(data, now, ahead),
            SampleFormat::U8 => self.copy::<u8>(data, now, ahead),
            SampleFormat::U16 => self.copy::<u16>(data, now, ahead),
            _ => 0,
        }
    }

    fn copy<T: SizedSample + FromSample<f32>>(&mut self, data: &mut Data, now: MonoTime, ahead: Duration) -> u64 {
        let channels = self.channels;
        let Some(out) = data.as_slice_mut::<T>() else { return 0 };
        let frames = out.len() / channels;
        let available = (self.samples.slots() / CHANNELS).min(frames);
        let report = Report { start: self.position + self.silent, silent: self.silent, now, ahead };
        // A full queue of times only means that a later one serves.
        self.reports.push(report).unwrap_or(());
        let Ok(chunk) = self.samples.read_chunk(available * CHANNELS) else { return 0 };
        let (first, second) = chunk.as_slices();
        let mut samples = first.iter().chain(second).copied();
        for frame in out.chunks_exact_mut(channels) {
            let (left, right) = (samples.next().unwrap_or(0.0), samples.next().unwrap_or(0.0));
            match frame {
                [mono] => *mono = T::from_sample(0.5 * (left + right)),
                [l, r, rest @ ..] => {
                    (*l, *r) = (T::from_sample(left), T::from_sample(right));
                    rest.fill(T::EQUILIBRIUM);
                }
                [] => {}
            }
        }
        chunk.commit_all();
        self.position += available as u64;
        let missing = (frames - available) as u64;
        self.silent += missing;
        self.started |= available > 0;
        if self.started { missing } else { 0 }
    }
}
