//! From camera and microphone to the path of the visit.
//!
//! Camera pictures become the own picture beside the patient's and, in a visit, access units; sound becomes the meter's level and,
//! in a visit, Opus packets. Each device has a keeper (`keeper`, `source`) that opens, replaces and takes it back; each track has a thread
//! of its own (`video`, `audio`), so that a device that hangs stops nothing but itself. Both tracks count their time from one
//! zero, the start of the visit.
//!
//! Belongs here: that composition. Not here: encoding itself (`codec`), opening itself (`device`), what a visit is
//! (`consultation`).

mod audio;
mod keeper;
mod sound_track;
mod source;
mod speaker;
mod video;

use crate::player::{SoundBuffer, Windows};
use crate::settings::Settings;
use device::synthetic::{Pattern, SyntheticConfig};
use hub::Publisher;
use media::{ClockRate, MediaTime, MonoTime, TrackId};
use parking_lot::Mutex;
use std::sync::Arc;
use tokio::sync::Notify;

pub(crate) use audio::AudioPipeline;
pub(crate) use source::{Hardware, Plugged};
pub(crate) use speaker::SpeakerPipeline;
pub(crate) use video::VideoPipeline;

/// The picture's place in the doctor's stream.
pub(crate) const VIDEO: TrackId = TrackId(0);
/// The sound's place in the doctor's stream.
pub(crate) const AUDIO: TrackId = TrackId(1);

/// What stands in for camera and microphone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Synthetic {
    /// Nothing: real devices, and the test card where there are none.
    #[default]
    No,
    /// Test card and beep, whatever devices there are.
    TestCard,
    /// The clock card and beep, for programs that measure.
    Clock,
}

impl Synthetic {
    const fn pattern(self) -> Pattern {
        match self {
            Self::No | Self::TestCard => Pattern::TestCard,
            Self::Clock => Pattern::Clock,
        }
    }
}

/// A device at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DeviceState {
    /// It works.
    Open {
        /// For people.
        name: String,
    },
    /// Test card or beep, because that was asked for.
    Synthetic,
    /// Released, because that was asked for.
    Off,
    /// There is none: test card or beep stand in.
    Missing,
    /// Another program has it.
    Busy {
        /// For people.
        name: String,
    },
    /// The system refuses access.
    Denied,
    /// It was there and went away.
    Lost {
        /// For people.
        name: String,
    },
    /// It is there and does not answer.
    Hung {
        /// For people.
        name: String,
    },
    /// It is there and gives nothing that can be used.
    Failed {
        /// For people.
        name: String,
    },
}

impl DeviceState {
    /// The device's name, where the state speaks of one device.
    pub(crate) const fn name_mut(&mut self) -> Option<&mut String> {
        match self {
            Self::Open { name }
            | Self::Busy { name }
            | Self::Lost { name }
            | Self::Hung { name }
            | Self::Failed { name } => Some(name),
            Self::Synthetic | Self::Off | Self::Missing | Self::Denied => None,
        }
    }

    /// Is it neither in use nor given up by choice?
    pub(crate) const fn is_wrong(&self) -> bool {
        !matches!(self, Self::Open { .. } | Self::Synthetic | Self::Off)
    }
}

/// What is wanted of the devices.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Wanted {
    pub(crate) camera: Option<String>,
    pub(crate) microphone: Option<String>,
    pub(crate) speaker: Option<String>,
    pub(crate) width: u32,
    pub(crate) height: u32,
    pub(crate) fps: u32,
    pub(crate) bitrate: u32,
}

impl From<&Settings> for Wanted {
    fn from(settings: &Settings) -> Self {
        Self {
            camera: settings.camera.clone(),
            microphone: settings.microphone.clone(),
            speaker: settings.speaker.clone(),
            width: settings.width,
            height: settings.height,
            fps: settings.fps,
            bitrate: settings.bitrate_kbps.saturating_mul(1000),
        }
    }
}

/// The visit's path, while there is one.
#[derive(Debug, Clone)]
pub(crate) struct OnAir {
    pub(crate) publisher: Arc<Publisher>,
    /// Media time zero of both tracks.
    pub(crate) zero: MonoTime,
}

impl OnAir {
    /// The media time of what was captured at `captured`; `None` for what is older than the visit.
    pub(crate) fn time(&self, captured: MonoTime, clock: ClockRate) -> Option<MediaTime> {
        (captured >= self.zero).then(|| MediaTime::from_duration(captured.since(self.zero), clock))
    }
}

/// Where both tracks go: nowhere outside a visit. A clone is another handle to the same.
#[derive(Debug, Clone, Default)]
pub(crate) struct Outlet(Arc<Mutex<Option<OnAir>>>);

impl Outlet {
    pub(crate) fn open(&self, on_air: OnAir) {
        *self.0.lock() = Some(on_air);
    }

    pub(crate) fn close(&self) {
        *self.0.lock() = None;
    }

    pub(crate) fn on_air(&self) -> Option<OnAir> {
        self.0.lock().clone()
    }
}

/// All devices at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceStates {
    /// The camera.
    pub camera: DeviceState,
    /// The microphone.
    pub microphone: DeviceState,
    /// The speaker.
    pub speaker: DeviceState,
}

/// Where devices report to: the newest state of each, and a bell.
#[derive(Debug, Clone)]
pub(crate) struct Reports {
    states: Arc<Mutex<DeviceStates>>,
    bell: Arc<Notify>,
}

impl Reports {
    pub(crate) fn new(bell: Arc<Notify>) -> Self {
        let off = || DeviceState::Off;
        Self { states: Arc::new(Mutex::new(DeviceStates { camera: off(), microphone: off(), speaker: off() })), bell }
    }

    pub(crate) fn states(&self) -> DeviceStates {
        self.states.lock().clone()
    }

    pub(crate) fn update(&self, change: impl FnOnce(&mut DeviceStates)) {
        change(&mut self.states.lock());
        self.bell.notify_one();
    }
}

/// Camera, microphone and speaker with their threads.
pub(crate) struct Pipeline {
    pub(crate) video: VideoPipeline,
    pub(crate) audio: AudioPipeline,
    pub(crate) speaker: SpeakerPipeline,
    pub(crate) outlet: Outlet,
    pub(crate) reports: Reports,
    synthetic: Synthetic,
    origin: MonoTime,
}

impl Pipeline {
    /// Starts every thread and opens the devices.
    ///
    /// # Errors
    /// What the system says where no thread can be started.
    pub(crate) fn start(
        hardware: Arc<dyn Hardware>,
        wanted: &Wanted,
        synthetic: Synthetic,
        windows: &Windows,
        sound: &SoundBuffer,
        bell: Arc<Notify>,
    ) -> std::io::Result<Self> {
        let (reports, outlet) = (Reports::new(bell), Outlet::default());
        let video = VideoPipeline::start(Arc::clone(&hardware), outlet.clone(), windows.clone(), reports.clone())?;
        let audio = AudioPipeline::start(Arc::clone(&hardware), outlet.clone(), windows.clone(), reports.clone())?;
        let speaker = SpeakerPipeline::start(hardware, sound.clone(), reports.clone())?;
        let origin = device::MonoClock::now();
        let pipeline = Self { video, audio, speaker, outlet, reports, synthetic, origin };
        pipeline.apply(wanted);
        Ok(pipeline)
    }

    /// Changes what is wanted; devices that stay the same are left alone.
    pub(crate) fn apply(&self, wanted: &Wanted) {
        // Picture and sound of the twins begin at the same moment, however often they are opened again.
        let twin = SyntheticConfig {
            origin: self.origin,
            ..SyntheticConfig::new(self.synthetic.pattern(), wanted.width, wanted.height, wanted.fps)
        };
        let by_choice = self.synthetic != Synthetic::No;
        self.video.want(wanted, twin, by_choice);
        self.audio.want(wanted.microphone.clone(), twin, by_choice);
        self.speaker.want(wanted.speaker.clone());
    }

    /// Looks for devices again now.
    pub(crate) fn probe(&self) {
        self.video.probe();
        self.audio.probe();
        self.speaker.probe();
    }
}
