//! The sound's way: microphone, meter, encoder, path.
//!
//! Muted, the microphone stays open for the meter and silence is sent; released, there is silence and no meter.
//!
//! Belongs here: the thread `audio-encode` and the microphone's keeper. Not here: the track's timeline (`sound_track`), pictures
//! (`video`).

use super::keeper::{Keeper, Kept, state_of};
use super::sound_track::{Packet, SoundTrack};
use super::{AUDIO, DeviceState, OnAir, Outlet, Reports};
use crate::player::Windows;
use codec::{Level, LevelMeter};
use device::synthetic::{SyntheticConfig, SyntheticMicrophone};
use device::{AudioEvent, AudioSource, DeviceError, Microphone, MonoClock};
use media::{AccessUnit, ClockRate, CodecParams, MediaTime, Pcm, UnitKind};
use parking_lot::Mutex;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::time::Duration;

/// 10 ms blocks that may wait: a third of a second of a machine that is busy elsewhere.
const WAITING: usize = 32;
/// How long the thread waits for a block before it looks at the time.
const LOOK: Duration = Duration::from_millis(20);
/// Louder than this (−40 dB) over a window of the meter is somebody speaking.
const SPEAKING: f32 = 0.01;
/// So many windows in a row (of about half a second in all) are not a cough.
const SPEAKING_BLOCKS: u32 = 50;

#[derive(Debug, Clone, PartialEq)]
struct WantMicrophone {
    id: Option<String>,
    twin: SyntheticConfig,
    by_choice: bool,
}

#[derive(Debug, Default)]
struct Control {
    muted: AtomicBool,
    released: AtomicBool,
    speaking: AtomicBool,
    stop: AtomicBool,
}

/// Microphone, encoder and their threads.
pub(crate) struct AudioPipeline {
    keeper: Keeper<WantMicrophone>,
    control: Arc<Control>,
    want: Mutex<Option<WantMicrophone>>,
}

impl AudioPipeline {
    /// Starts the threads; no microphone is opened yet.
    ///
    /// # Errors
    /// What the system says where no thread can be started.
    pub(crate) fn start(outlet: Outlet, windows: Windows, reports: Reports) -> std::io::Result<Self> {
        let (blocks, inbox) = sync_channel(WAITING);
        let control = Arc::new(Control::default());
        let kept = KeptMicrophone { blocks, source: None, reports: reports.clone(), live: Arc::default() };
        let keeper = Keeper::start("microphone", kept)?;
        let encode = Encode {
            control: Arc::clone(&control),
            outlet,
            windows,
            reports,
            meter: None,
            running: None,
            packets: Vec::new(),
            loud: 0,
        };
        std::thread::Builder::new().name("audio-encode".into()).spawn(move || encode.run(&inbox))?;
        Ok(Self { keeper, control, want: Mutex::new(None) })
    }

    /// Changes the microphone.
    pub(crate) fn want(&self, id: Option<String>, twin: SyntheticConfig, by_choice: bool) {
        let want = WantMicrophone { id, twin, by_choice };
        *self.want.lock() = Some(want.clone());
        if !self.control.released.load(Ordering::Relaxed) {
            self.keeper.want(Some(want));
        }
    }

    /// Sends silence, or sound again; with `release` the microphone is closed meanwhile.
    pub(crate) fn set_muted(&self, muted: bool, release: bool) {
        self.control.muted.store(muted, Ordering::Relaxed);
        let released = muted && release;
        self.control.released.store(released, Ordering::Relaxed);
        let want = if released { None } else { self.want.lock().clone() };
        self.keeper.want(want);
    }

    /// Somebody speaks although the microphone is muted.
    pub(crate) fn muted_but_speaking(&self) -> bool {
        self.control.muted.load(Ordering::Relaxed) && self.control.speaking.load(Ordering::Relaxed)
    }

    /// Looks for the microphone now.
    pub(crate) fn probe(&self) {
        self.keeper.probe();
    }
}

impl Drop for AudioPipeline {
    fn drop(&mut self) {
        self.control.stop.store(true, Ordering::Relaxed);
    }
}

struct KeptMicrophone {
    blocks: SyncSender<Pcm>,
    source: Option<Box<dyn AudioSource>>,
    reports: Reports,
    live: Arc<AtomicBool>,
}

impl KeptMicrophone {
    fn start(&mut self, mut source: Box<dyn AudioSource>) -> Result<String, DeviceError> {
        let name = source.name().to_owned();
        let live = Arc::new(AtomicBool::new(true));
        let (blocks, reports) = (self.blocks.clone(), self.reports.clone());
        let (still_live, lost_name) = (Arc::clone(&live), name.clone());
        source.start(Box::new(move |event| {
            if !still_live.load(Ordering::Relaxed) {
                return;
            }
            match event {
                AudioEvent::Sound(pcm) => {
                    if let Err(TrySendError::Full(_)) = blocks.try_send(pcm) {
                        tracing::debug!("a block of sound was dropped: the encoder is late");
                    }
                }
                AudioEvent::Lost(error) => {
                    tracing::warn!(%error, "the microphone was lost");
                    let state = match state_of(&error) {
                        DeviceState::Missing | DeviceState::Lost { .. } => {
                            DeviceState::Lost { name: lost_name.clone() }
                        }
                        other => other,
                    };
                    reports.update(|s| s.microphone = state);
                }
                AudioEvent::Restored => {
                    reports.update(|s| s.microphone = DeviceState::Open { name: lost_name.clone() });
                }
            }
        }))?;
        self.close();
        self.live = live;
        self.source = Some(source);
        Ok(name)
    }
}

impl Kept for KeptMicrophone {
    type Want = WantMicrophone;

    fn open(&mut self, want: &WantMicrophone) -> Result<String, DeviceError> {
        self.start(Box::new(Microphone::new(want.id.clone())))
    }

    fn stand_in(&mut self, want: &WantMicrophone) -> bool {
        self.start(Box::new(SyntheticMicrophone::new(&want.twin))).is_ok()
    }

    fn wants_twin(want: &WantMicrophone) -> bool {
        want.by_choice
    }

    fn close(&mut self) {
        self.live.store(false, Ordering::Relaxed);
        if let Some(mut source) = self.source.take() {
            source.stop();
        }
    }

    fn report(&mut self, state: DeviceState) {
        self.reports.update(|s| s.microphone = state);
    }
}

struct Running {
    on_air: OnAir,
    track: SoundTrack,
    params: Arc<CodecParams>,
}

struct Encode {
    control: Arc<Control>,
    outlet: Outlet,
    windows: Windows,
    reports: Reports,
    meter: Option<(u32, u8, LevelMeter)>,
    running: Option<Running>,
    packets: Vec<Packet>,
    loud: u32,
}

impl Encode {
    fn run(mut self, inbox: &Receiver<Pcm>) {
        while !self.control.stop.load(Ordering::Relaxed) {
            let block = match inbox.recv_timeout(LOOK) {
                Ok(block) => Some(block),
                Err(RecvTimeoutError::Timeout) => None,
                Err(RecvTimeoutError::Disconnected) => {
                    std::thread::sleep(LOOK);
                    None
                }
            };
            let muted = self.control.muted.load(Ordering::Relaxed);
            self.measure(block.as_ref(), muted);
            if let Err(error) = self.encode(block.as_ref(), muted) {
                tracing::warn!(%error, "a block of sound was not encoded");
            }
        }
    }

    fn measure(&mut self, block: Option<&Pcm>, muted: bool) {
        let mut level = Level::default();
        if let Some(block) = block {
            let fits = |m: &&mut (u32, u8, LevelMeter)| m.0 == block.rate && m.1 == block.channels;
            if self.meter.as_mut().filter(fits).is_none() {
                self.meter = Some((block.rate, block.channels, LevelMeter::new(block.rate, block.channels)));
            }
            if let Some((_, _, meter)) = &mut self.meter {
                meter.push(&block.samples);
                level = meter.level();
            }
        } else if !self.control.released.load(Ordering::Relaxed) {
            // A pause of the thread is not a pause of the sound: the level stays until the next block.
            level = self.meter.as_ref().map_or(level, |(_, _, meter)| meter.level());
        }
        self.loud = if level.rms > SPEAKING { self.loud.saturating_add(1) } else { 0 };
        let speaking = self.loud > SPEAKING_BLOCKS;
        if self.control.speaking.swap(speaking, Ordering::Relaxed) != speaking && muted {
            self.reports.update(|_| {});
        }
        self.windows.update_levels(|levels| {
            levels.muted = muted;
            levels.mic = level;
        });
    }

    fn encode(&mut self, block: Option<&Pcm>, muted: bool) -> Result<(), codec::CodecError> {
        let Some(on_air) = self.outlet.on_air() else {
            self.running = None;
            return Ok(());
        };
        let other = |r: &Running| !Arc::ptr_eq(&r.on_air.publisher, &on_air.publisher);
        if self.running.as_ref().is_none_or(other) {
            let track = SoundTrack::new()?;
            let params = Arc::new(CodecParams::Opus(track.params()));
            self.running = Some(Running { on_air, track, params });
        }
        let Some(running) = &mut self.running else { return Ok(()) };
        self.packets.clear();
        if let Some(block) = block {
            running.track.push(block, muted, &mut self.packets)?;
        }
        use DeviceState::{Missing, Open, Synthetic};
        let expected = matches!(self.reports.states().microphone, Open { .. } | Synthetic | Missing);
        running.track.tick(MonoClock::now(), expected, &mut self.packets)?;
        for packet in self.packets.drain(..) {
            running.write(packet);
        }
        Ok(())
    }
}

impl Running {
    fn write(&self, packet: Packet) {
        let Some(time) = self.on_air.time(packet.captured, ClockRate::AUDIO_48K) else { return };
        let unit = AccessUnit {
            track: AUDIO,
            dts: time,
            pts: time,
            duration: Some(MediaTime::new(codec::OpusEncoder::FRAME as i64, ClockRate::AUDIO_48K)),
            kind: UnitKind::Audio,
            captured: Some(packet.captured),
            params: Arc::clone(&self.params),
            payload: packet.payload,
        };
        self.on_air.publisher.write(unit, MonoClock::now());
    }
}
