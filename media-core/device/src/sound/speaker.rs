//! The speaker.

use super::alsa_quiet::quietly;
use super::host::{self, Direction};
use super::line::{Kind, Line};
use super::output::{Asker, BLOCKS, CHANNELS, Counters, Output, Prompt, Report, Supply};
use super::stop::{Backoff, Stop};
use crate::{AudioFormat, AudioSink, DeviceError, MonoClock, Playout, Render, SinkEvent};
use cpal::Data;
use cpal::traits::{DeviceTrait, StreamTrait};
use parking_lot::Mutex;
use rtrb::{Consumer, Producer, RingBuffer};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Blocks kept ready before a sound card asks, at first: one on its way, one for the scheduler.
const READY: usize = 2;
/// Every underrun adds a block, up to this many.
const MOST_READY: usize = 10;
/// Milliseconds per callback of a sound card: short enough for a conversation.
const CARD_WIDTH: u32 = 10;
/// Milliseconds per callback of a sound server at first. It holds two of them, which is what a thread without privileges may be
/// late while the machine decodes and paints; a stream cannot be made wider once it plays, and opening another is heard.
const SERVER_WIDTH: u32 = 20;
/// The widest, for machines so busy that their sound server runs dry all the same.
const WIDEST: u32 = 40;
/// Seconds of silence that a sound server put in on its own since the last look; the second time, callbacks are made wider.
const SLIP: f64 = 0.010;
/// How often that is looked at.
const SLIP_EVERY: Duration = Duration::from_secs(1);
/// A speaker that asks for nothing for this long hangs or is gone.
const SILENT: Duration = Duration::from_secs(3);
/// Opening a stream may take this long.
const OPEN: Duration = Duration::from_secs(5);
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
    counters: Arc<Counters>,
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
        let counters = &self.state.counters;
        Playout {
            rendered: counters.rendered.load(Ordering::Relaxed),
            latency: Duration::from_micros(counters.latency_micros.load(Ordering::Relaxed)),
            underruns: counters.underruns.load(Ordering::Relaxed),
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
    render: Render,
    mut events: Box<dyn FnMut(SinkEvent) + Send>,
    answer: &SyncSender<Result<(), DeviceError>>,
) {
    stop.adopt();
    // One session at a time asks it.
    let render = Arc::new(Mutex::new(render));
    let (mut answered, mut lost, mut backoff, mut width) = (false, false, Backoff::new(), None);
    loop {
        match quietly(|| Session::open(id, stop, state, width, &render)) {
            Ok(mut session) => {
                if !std::mem::replace(&mut answered, true) {
                    drop(answer.send(Ok(())));
                }
                if std::mem::take(&mut lost) {
                    events(SinkEvent::Restored);
                }
                let end = session.play(stop, state);
                if session.asked {
                    backoff = Backoff::new();
                }
                let wider = session.width * 2;
                drop(session);
                match end {
                    Ok(End::Stopped) => return,
                    Ok(End::Starved) => {
                        width = Some(wider);
                        tracing::info!("the sound server runs dry: {wider} ms at a time from here on");
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

/// What a sound card plays next, made ahead of it.
struct Ahead {
    samples: Producer<f32>,
    asker: Asker,
    /// Blocks kept ready.
    ready: usize,
    /// Frames rendered since the device was opened.
    written: u64,
}

/// An open stream.
struct Session {
    // Dropped first: no callback after that.
    stream: cpal::Stream,
    /// Where the callback does not render itself.
    ahead: Option<Ahead>,
    reports: Consumer<Report>,
    failed: Arc<Mutex<Option<DeviceError>>>,
    rate: u32,
    /// Milliseconds per callback.
    width: u32,
    asked: bool,
}

impl Session {
    /// Opens the device to be called back every `width` milliseconds, where that is known already.
    fn open(
        id: Option<&str>,
        stop: &Arc<Stop>,
        state: &Arc<State>,
        width: Option<u32>,
        render: &Arc<Mutex<Render>>,
    ) -> Result<Self, DeviceError> {
        let choice = |served| width.unwrap_or(if served { SERVER_WIDTH } else { CARD_WIDTH });
        let chosen = host::choose(id, Direction::Output, choice)?;
        let width = choice(chosen.served);
        let rate = chosen.config.sample_rate;
        let asker = Asker::new(render, &state.counters, rate);
        let (ahead, supply) = if chosen.served {
            (None, Supply::Now(Box::new(Prompt::new(asker, rate))))
        } else {
            // Room for what is kept ready and for one large callback.
            let (samples, taken) = RingBuffer::new(MOST_READY * 2 * asker.frames() * CHANNELS);
            // A callback's worth and one for the scheduler.
            let ready = READY.max((width * BLOCKS / 1000) as usize + 1);
            (Some(Ahead { samples, asker, ready, written: 0 }), Supply::Ahead(taken))
        };
        let (reports_in, reports) = RingBuffer::new(STAMPS);
        let mut output = Output::new(supply, reports_in, &state.counters, chosen.config.channels);
        let woken = Arc::clone(stop);
        let callback = move |data: &mut Data, info: &cpal::OutputCallbackInfo| {
            output.fill(data, info);
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
        // Known before the first callback, which may come as soon as the stream is open.
        *state.format.lock() = Some(AudioFormat { rate, channels: CHANNELS as u8 });
        let stream = chosen
            .device
            .build_output_stream_raw(chosen.config, chosen.format, callback, failure, Some(OPEN))
            .map_err(|e| DeviceError::from(&e))?;
        tracing::info!("speaker {} at {rate} Hz, {:?}, {width} ms at a time", chosen.name, chosen.format);
        Ok(Self { stream, ahead, reports, failed, rate, width, asked: false })
    }

    /// Lets the device play until stopped or starved (`Ok`) or lost (`Err`).
    fn play(&mut self, stop: &Stop, state: &State) -> Result<End, DeviceError> {
        let mut line = Line::new(Kind::Playout, self.rate);
        let mut silent_before = 0;
        let mut last = Instant::now();
        let (mut looked, mut before, mut slips) = (Instant::now(), None, 0);
        let mut underruns = state.counters.underruns.load(Ordering::Relaxed);
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
            if let Some(ahead) = &mut self.ahead {
                let missed = state.counters.underruns.load(Ordering::Relaxed);
                if missed > underruns {
                    underruns = missed;
                    ahead.ready = (ahead.ready + 1).min(MOST_READY);
                }
                ahead.fill(&line, silent_before);
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

impl Ahead {
    /// Renders until enough is ready.
    fn fill(&mut self, line: &Line, silent_before: u64) {
        let (capacity, frames) = (self.samples.buffer().capacity(), self.asker.frames());
        while capacity - self.samples.slots() < self.ready * frames * CHANNELS {
            let now = MonoClock::now();
            // Before the device says more, sound is as far away as what is kept ready.
            let ahead = Duration::from_millis(10 * self.ready as u64);
            let at = line.at(self.written + silent_before).unwrap_or(now + ahead).max(now);
            let block = self.asker.ask(at, now);
            let Ok(mut chunk) = self.samples.write_chunk(block.len()) else { break };
            let (first, second) = chunk.as_mut_slices();
            for (to, sample) in first.iter_mut().chain(second).zip(block) {
                *to = *sample;
            }
            chunk.commit_all();
            self.written += frames as u64;
        }
    }
}
