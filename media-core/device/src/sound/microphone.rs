//! The microphone.

use super::alsa_quiet::quietly;
use super::host::{self, Direction};
use super::line::{Kind, Line};
use super::stop::{Backoff, Stop};
use crate::{AudioEvent, AudioSource, DeviceError, MonoClock};
use cpal::traits::{DeviceTrait, StreamTrait};
use cpal::{Data, FromSample, Sample, SampleFormat, SizedSample};
use media::{MonoTime, Pcm};
use parking_lot::Mutex;
use rtrb::{Consumer, Producer, RingBuffer};
use std::mem::discriminant;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{RecvTimeoutError, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Sound between callback and thread: half a second, beyond which a machine is too slow for a conversation anyway.
const RING_MILLIS: u32 = 500;
/// Callbacks whose times may wait at once; more than the ring holds blocks.
const STAMPS: usize = 512;
/// A microphone that says nothing for this long hangs or is gone.
const SILENT: Duration = Duration::from_secs(3);
/// Opening a stream may take this long.
const OPEN: Duration = Duration::from_secs(5);
/// Finding the device and opening it may take this long in all; a driver that takes longer hangs, and its thread is left behind.
const ANSWER: Duration = Duration::from_secs(8);
/// Blocks a second.
const BLOCKS: u32 = 100;
/// Older than this a capture time is a clock's mistake.
const MAX_AGE: Duration = Duration::from_secs(1);

/// A microphone, watched and reopened.
pub struct Microphone {
    id: Option<String>,
    run: Option<(Arc<Stop>, JoinHandle<()>)>,
}

impl Microphone {
    /// The microphone with this [`crate::DeviceInfo::id`], or the system's choice; not opened yet.
    pub const fn new(id: Option<String>) -> Self {
        Self { id, run: None }
    }
}

impl AudioSource for Microphone {
    fn name(&self) -> &str {
        self.id.as_deref().unwrap_or("microphone")
    }

    fn start(&mut self, deliver: Box<dyn FnMut(AudioEvent) + Send>) -> Result<(), DeviceError> {
        self.stop();
        let stop = Arc::new(Stop::default());
        let (answer, opened) = sync_channel(1);
        let (id, shared) = (self.id.clone(), Arc::clone(&stop));
        let thread = std::thread::Builder::new()
            .name("microphone".into())
            .spawn(move || run(id.as_deref(), &shared, deliver, &answer))
            .map_err(|e| DeviceError::Other(e.to_string()))?;
        let outcome = match opened.recv_timeout(ANSWER) {
            Ok(outcome) => outcome,
            Err(RecvTimeoutError::Disconnected) => Err(DeviceError::Other("the microphone's thread ended".into())),
            Err(RecvTimeoutError::Timeout) => {
                // Nobody can end it; should the driver ever answer, it closes the device and ends by itself.
                stop.stop();
                return Err(DeviceError::Hung("it does not answer to opening".into()));
            }
        };
        self.run = Some((stop, thread));
        if outcome.is_err() {
            self.stop();
        }
        outcome
    }

    fn stop(&mut self) {
        let Some((stop, thread)) = self.run.take() else { return };
        stop.stop();
        if thread.join().is_err() {
            tracing::error!("the microphone's thread panicked");
        }
    }
}

impl Drop for Microphone {
    fn drop(&mut self) {
        self.stop();
    }
}

fn run(
    id: Option<&str>,
    stop: &Arc<Stop>,
    mut deliver: Box<dyn FnMut(AudioEvent) + Send>,
    answer: &SyncSender<Result<(), DeviceError>>,
) {
    stop.adopt();
    // `lost` is what was said last about its absence.
    let (mut answered, mut lost, mut backoff) = (false, None, Backoff::new());
    loop {
        match quietly(|| Session::open(id, stop)) {
            Ok(mut session) => {
                if !std::mem::replace(&mut answered, true) && answer.send(Ok(())).is_err() {
                    // Too late: it was taken for hung.
                    return;
                }
                let mut heard = false;
                let end = session.listen(stop, &mut |pcm| {
                    heard = true;
                    if lost.take().is_some() {
                        deliver(AudioEvent::Restored);
                    }
                    deliver(AudioEvent::Sound(pcm));
                });
                let Err(error) = end else { return };
                tracing::warn!("microphone: {error}");
                if heard {
                    backoff = Backoff::new();
                }
                lost = Some(discriminant(&error));
                deliver(AudioEvent::Lost(error));
                // Only now: closing a stream asks a sound server that may hang.
                drop(session);
            }
            Err(error) if !answered => {
                drop(answer.send(Err(error)));
                return;
            }
            // One that was unplugged may come back with another program.
            Err(error) if lost.replace(discriminant(&error)) != Some(discriminant(&error)) => {
                tracing::warn!("microphone: {error}");
                deliver(AudioEvent::Lost(error));
            }
            Err(error) => tracing::debug!("microphone still unavailable: {error}"),
        }
        if stop.pause(backoff.next()) {
            return;
        }
    }
}

/// What a callback knew of time.
struct Report {
    /// Frames up to and with its own.
    end: u64,
    now: MonoTime,
    /// How long ago its last frame met the microphone, as the system says.
    age: Duration,
}

/// What the callback and the thread share besides the ring.
#[derive(Default)]
struct Shared {
    failed: Mutex<Option<DeviceError>>,
    overruns: AtomicU64,
}

/// An open stream.
struct Session {
    // Dropped first: no callback after that.
    _stream: cpal::Stream,
    samples: Consumer<f32>,
    reports: Consumer<Report>,
    shared: Arc<Shared>,
    rate: u32,
    channels: u8,
}

impl Session {
    fn open(id: Option<&str>, stop: &Arc<Stop>) -> Result<Self, DeviceError> {
        let chosen = host::choose(id, Direction::Input, |_| 1000 / BLOCKS)?;
        let (rate, from) = (chosen.config.sample_rate, usize::from(chosen.config.channels));
        let channels = from.clamp(1, 2);
        let ring = (rate / 1000 * RING_MILLIS) as usize * channels;
        let (samples_in, samples) = RingBuffer::new(ring);
        let (reports_in, reports) = RingBuffer::new(STAMPS);
        let shared = Arc::new(Shared::default());
        let block = (rate / BLOCKS) as usize * channels;
        let mut input = Input { samples: samples_in, reports: reports_in, position: 0, rate, from, channels };
        let (woken, counted) = (Arc::clone(stop), Arc::clone(&shared));
        let callback = move |data: &Data, info: &cpal::InputCallbackInfo| {
            let stamp = info.timestamp();
            let age = stamp.callback.checked_duration_since(stamp.capture).unwrap_or_default().min(MAX_AGE);
            if !input.take(data, MonoClock::now(), age) {
                counted.overruns.fetch_add(1, Ordering::Relaxed);
            }
            // PulseAudio may call a thousand times a second with a few samples each.
            if input.waiting() >= block {
                woken.wake();
            }
        };
        let (woken, told) = (Arc::clone(stop), Arc::clone(&shared));
        let failure = move |error: cpal::Error| {
            if host::is_fatal(&error) {
                told.failed.lock().get_or_insert_with(|| DeviceError::Lost(error.to_string()));
                woken.wake();
            }
        };
        let stream = chosen
            .device
            .build_input_stream_raw(chosen.config, chosen.format, callback, failure, Some(OPEN))
            .map_err(|e| DeviceError::from(&e))?;
        stream.play().map_err(|e| DeviceError::from(&e))?;
        tracing::info!("microphone {} at {rate} Hz, {channels} channels, {:?}", chosen.name, chosen.format);
        let channels = u8::try_from(channels).unwrap_or(2);
        Ok(Self { _stream: stream, samples, reports, shared, rate, channels })
    }

    /// Delivers blocks until stopped (`Ok`) or lost (`Err`).
    fn listen(&mut self, stop: &Stop, deliver: &mut dyn FnMut(Pcm)) -> Result<(), DeviceError> {
        let block = (self.rate / BLOCKS) as usize * usize::from(self.channels);
        let mut line = Line::new(Kind::Capture, self.rate);
        let (mut position, mut last) = (0_u64, Instant::now());
        while !stop.is_stopped() {
            if let Some(error) = self.shared.failed.lock().take() {
                return Err(error);
            }
            while let Ok(Report { end, now, age }) = self.reports.pop() {
                line.report(end, now, age);
            }
            while let Ok(chunk) = self.samples.read_chunk(block) {
                let (first, second) = chunk.as_slices();
                let samples = [first, second].concat();
                chunk.commit_all();
                last = Instant::now();
                let captured = line.at(position).unwrap_or_else(MonoClock::now);
                position += (block / usize::from(self.channels)) as u64;
                deliver(Pcm { rate: self.rate, channels: self.channels, samples, captured });
                if stop.is_stopped() {
                    return Ok(());
                }
            }
            if last.elapsed() > SILENT {
                return Err(DeviceError::Hung("it stopped delivering sound".into()));
            }
            stop.park_until(last + SILENT + Duration::from_millis(1));
        }
        let overruns = self.shared.overruns.load(Ordering::Relaxed);
        if overruns > 0 {
            tracing::info!("microphone: {overruns} blocks came faster than they were taken");
        }
        Ok(())
    }
}

/// The callback's side: no lock, no allocation.
struct Input {
    samples: Producer<f32>,
    reports: Producer<Report>,
    position: u64,
    rate: u32,
    from: usize,
    channels: usize,
}

impl Input {
    /// False where there was no room, and the block is left out.
    fn take(&mut self, data: &Data, now: MonoTime, age: Duration) -> bool {
        match data.sample_format() {
            SampleFormat::F32 => self.copy::<f32>(data, now, age),
            SampleFormat::F64 => self.copy::<f64>(data, now, age),
            SampleFormat::I16 => self.copy::<i16>(data, now, age),
            SampleFormat::I24 => self.copy::<cpal::I24>(data, now, age),
            SampleFormat::I32 => self.copy::<i32>(data, now, age),
            SampleFormat::U8 => self.copy::<u8>(data, now, age),
            SampleFormat::U16 => self.copy::<u16>(data, now, age),
            _ => false,
        }
    }

    fn copy<T: SizedSample>(&mut self, data: &Data, now: MonoTime, age: Duration) -> bool
    where
        f32: FromSample<T>,
    {
        let Some(input) = data.as_slice::<T>() else { return false };
        let frames = input.len() / self.from;
        let Ok(mut chunk) = self.samples.write_chunk(frames * self.channels) else { return false };
        let (first, second) = chunk.as_mut_slices();
        // The first two channels of more; microphones with more are arrays whose first is the best.
        let source = input.chunks_exact(self.from).flat_map(|frame| frame.iter().take(self.channels));
        for (to, sample) in first.iter_mut().chain(second).zip(source) {
            *to = f32::from_sample(*sample);
        }
        chunk.commit_all();
        self.position += frames as u64;
        let own = Duration::from_micros(frames as u64 * 1_000_000 / u64::from(self.rate));
        let report = Report { end: self.position, now, age: age.saturating_sub(own) };
        // A full queue of times only means that a later one serves.
        self.reports.push(report).unwrap_or(());
        true
    }

    /// Samples that wait for the thread.
    fn waiting(&self) -> usize {
        self.samples.buffer().capacity() - self.samples.slots()
    }
}
