//! The sound's way: microphone, meter, encoder, path.
//!
//! Muted, the microphone stays open for the meter and silence is sent; released, there is silence and no meter.
//!
//! Belongs here: the thread `audio-encode`, what a microphone is to its keeper. Not here: the keeper (`keeper`, `source`), the
//! track's timeline (`sound_track`), pictures (`video`).

use super::sound_track::{Packet, SoundTrack};
use super::source::{Hardware, KeptSource, Kind, Switched};
use super::{AUDIO, DeviceState, DeviceStates, OnAir, Outlet, Reports};
use crate::player::Windows;
use codec::{Level, LevelMeter};
use device::synthetic::{SyntheticConfig, SyntheticMicrophone};
use device::{AudioSource, MonoClock};
use media::{AccessUnit, ClockRate, CodecParams, MediaTime, Pcm, UnitKind};
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
    microphone: Switched<WantMicrophone>,
    control: Arc<Control>,
}

impl AudioPipeline {
    /// Starts the threads; no microphone is opened yet.
    ///
    /// # Errors
    /// What the system says where no thread can be started.
    pub(crate) fn start(
        hardware: Arc<dyn Hardware>,
        outlet: Outlet,
        windows: Windows,
        reports: Reports,
    ) -> std::io::Result<Self> {
        let (blocks, inbox) = sync_channel(WAITING);
        let control = Arc::new(Control::default());
        let kept = KeptSource::new(MicrophoneKind { hardware, blocks }, reports.clone());
        let microphone = Switched::start("microphone", kept)?;
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
        Ok(Self { microphone, control })
    }

    /// Changes the microphone.
    pub(crate) fn want(&self, id: Option<String>, twin: SyntheticConfig, by_choice: bool) {
        self.microphone.want(WantMicrophone { id, twin, by_choice });
    }

    /// Sends silence, or sound again; with `release` the microphone is closed meanwhile.
    pub(crate) fn set_muted(&self, muted: bool, release: bool) {
        self.control.muted.store(muted, Ordering::Relaxed);
        let released = muted && release;
        self.control.released.store(released, Ordering::Relaxed);
        self.microphone.release(released);
    }

    /// Somebody speaks although the microphone is muted.
    pub(crate) fn muted_but_speaking(&self) -> bool {
        self.control.muted.load(Ordering::Relaxed) && self.control.speaking.load(Ordering::Relaxed)
    }

    /// Looks for the microphone now.
    pub(crate) fn probe(&self) {
        self.microphone.probe();
    }
}

impl Drop for AudioPipeline {
    fn drop(&mut self) {
        self.control.stop.store(true, Ordering::Relaxed);
    }
}

struct MicrophoneKind {
    hardware: Arc<dyn Hardware>,
    blocks: SyncSender<Pcm>,
}

impl Kind for MicrophoneKind {
    type Want = WantMicrophone;
    type Source = Box<dyn AudioSource>;

    fn real(&self, want: &WantMicrophone) -> Self::Source {
        self.hardware.microphone(want.id.as_deref())
    }

    fn twin(&self, want: &WantMicrophone) -> Self::Source {
        Box::new(SyntheticMicrophone::new(&want.twin))
    }

    fn wants_twin(want: &WantMicrophone) -> bool {
        want.by_choice
    }

    fn sink(&self) -> Box<dyn FnMut(Pcm) + Send> {
        let blocks = self.blocks.clone();
        Box::new(move |pcm| {
            if let Err(TrySendError::Full(_)) = blocks.try_send(pcm) {
                tracing::debug!("a block of sound was dropped: the encoder is late");
            }
        })
    }

    fn runs(&self, _real: bool) {}

    fn state(states: &mut DeviceStates) -> &mut DeviceState {
        &mut states.microphone
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
