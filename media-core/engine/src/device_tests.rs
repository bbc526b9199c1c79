//! Devices that are missing, busy, denied, hung, broken or unplugged: what the state says, that the visit goes on, and that they
//! are taken back.
//!
//! Belongs here: the whole engine with scripted devices and a hub instead of a relay. Not here: when a device is opened
//! (`pipeline::keeper`), the words (the window).

#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test, in its helpers too")]

use crate::pipeline::{DeviceState, Hardware, Synthetic};
use crate::relays::{Later, RelayError, RelayOrder, Relays, RoundTrips, RunningRelay};
use crate::settings::Settings;
use crate::{Engine, EngineConfig, Notice, Phase, Profile, Snapshot};
use codec::H264Decoder;
use device::synthetic::{Pattern, SyntheticCamera, SyntheticConfig, SyntheticMicrophone, SyntheticSpeaker, read_clock};
use device::{AudioEvent, AudioSink, AudioSource, CameraConfig, DeviceError, MonoClock, VideoEvent, VideoSource};
use hub::{Hub, Item, Limits, PathName, ReadError, Reader, ReaderInfo, Start};
use parking_lot::Mutex;
use std::sync::Arc;
use std::time::Duration;

/// What takes longer than this does not come any more, however busy the machine is.
const PATIENCE: Duration = Duration::from_secs(30);

type Deliver<E> = Arc<Mutex<Box<dyn FnMut(E) + Send>>>;

/// One device's fate: why it does not open, and who is told when it is lost while it runs.
struct Fate<E> {
    fails: Mutex<Option<DeviceError>>,
    running: Mutex<Option<Deliver<E>>>,
}

impl<E> Default for Fate<E> {
    fn default() -> Self {
        Self { fails: Mutex::default(), running: Mutex::default() }
    }
}

impl<E: 'static> Fate<E> {
    /// Opens, or fails as told; the closure goes to the source and, shared, to the test.
    fn open(&self, deliver: Box<dyn FnMut(E) + Send>) -> Result<Box<dyn FnMut(E) + Send>, DeviceError>
    where
        E: Send,
    {
        if let Some(error) = self.fails.lock().clone() {
            return Err(error);
        }
        let shared: Deliver<E> = Arc::new(Mutex::new(deliver));
        *self.running.lock() = Some(Arc::clone(&shared));
        Ok(Box::new(move |event| (*shared.lock())(event)))
    }

    fn says(&self, event: E) {
        let running = self.running.lock().clone().unwrap();
        (*running.lock())(event);
    }
}

#[derive(Default)]
struct Scripted {
    camera: Arc<Fate<VideoEvent>>,
    microphone: Arc<Fate<AudioEvent>>,
}

impl Hardware for Scripted {
    fn camera(&self, config: &CameraConfig) -> Box<dyn VideoSource> {
        let clock = SyntheticConfig::new(Pattern::Clock, config.width, config.height, config.fps);
        Box::new(FakeCamera { fate: Arc::clone(&self.camera), twin: SyntheticCamera::new(clock) })
    }

    fn microphone(&self, _id: Option<&str>) -> Box<dyn AudioSource> {
        let clock = SyntheticConfig::new(Pattern::Clock, 320, 240, 30);
        Box::new(FakeMicrophone { fate: Arc::clone(&self.microphone), twin: SyntheticMicrophone::new(&clock) })
    }

    fn speaker(&self, _id: Option<&str>) -> Box<dyn AudioSink> {
        Box::new(SyntheticSpeaker::new())
    }
}

struct FakeCamera {
    fate: Arc<Fate<VideoEvent>>,
    twin: SyntheticCamera,
}

impl VideoSource for FakeCamera {
    fn name(&self) -> &'static str {
        "0"
    }

    fn start(&mut self, deliver: Box<dyn FnMut(VideoEvent) + Send>) -> Result<(), DeviceError> {
        self.twin.start(self.fate.open(deliver)?)
    }

    fn stop(&mut self) {
        self.twin.stop();
    }
}

struct FakeMicrophone {
    fate: Arc<Fate<AudioEvent>>,
    twin: SyntheticMicrophone,
}

impl AudioSource for FakeMicrophone {
    fn name(&self) -> &'static str {
        "alsa:hw"
    }

    fn start(&mut self, deliver: Box<dyn FnMut(AudioEvent) + Send>) -> Result<(), DeviceError> {
        self.twin.start(self.fate.open(deliver)?)
    }

    fn stop(&mut self) {
        self.twin.stop();
    }
}

/// A hub, and no ports.
struct OnlyHub(Hub);

impl Relays for OnlyHub {
    fn start(&self, _order: RelayOrder) -> Later<Result<Box<dyn RunningRelay>, RelayError>> {
        let hub = self.0.clone();
        Box::pin(async move { Ok(Box::new(Self(hub)) as Box<dyn RunningRelay>) })
    }
}

impl RunningRelay for OnlyHub {
    fn hub(&self) -> Hub {
        self.0.clone()
    }

    fn round_trips(&self) -> RoundTrips {
        RoundTrips::default()
    }

    fn stop(self: Box<Self>) -> Later<()> {
        Box::pin(async {})
    }
}

struct Bench {
    engine: Engine,
    camera: Arc<Fate<VideoEvent>>,
    microphone: Arc<Fate<AudioEvent>>,
    hub: Hub,
    _folder: tempfile::TempDir,
}

impl Bench {
    fn new(camera: Option<DeviceError>, microphone: Option<DeviceError>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        Settings { width: 320, height: 240, ..Settings::default() }.save(folder.path()).unwrap();
        let hardware = Scripted::default();
        *hardware.camera.fails.lock() = camera;
        *hardware.microphone.fails.lock() = microphone;
        let (camera, microphone) = (Arc::clone(&hardware.camera), Arc::clone(&hardware.microphone));
        let hub = Hub::new(Limits::default());
        let profile = Profile::open(folder.path()).unwrap();
        let config = EngineConfig { profile, synthetic: Synthetic::No, keychain: false };
        let engine = Engine::start_with(config, Arc::new(OnlyHub(hub.clone())), Arc::new(hardware)).unwrap();
        Self { engine, camera, microphone, hub, _folder: folder }
    }

    async fn until(&self, what: &str, good: impl Fn(&Snapshot) -> bool) {
        let mut watch = self.engine.watch();
        let found = tokio::time::timeout(PATIENCE, watch.wait_for(|s| good(s))).await.is_ok();
        assert!(found, "{what}: {:?}", self.engine.snapshot().states);
    }

    async fn says(&self, camera: &DeviceState, microphone: &DeviceState) {
        let good = |s: &Snapshot| s.states.camera == *camera && s.states.microphone == *microphone;
        self.until(&format!("{camera:?} and {microphone:?}"), good).await;
        let notices = self.engine.snapshot().notices;
        assert_eq!(notices.contains(&Notice::Camera(camera.clone())), camera.is_wrong(), "{notices:?}");
        assert_eq!(notices.contains(&Notice::Microphone(microphone.clone())), microphone.is_wrong(), "{notices:?}");
    }

    /// The doctor's stream as a listener gets it.
    fn listen(&self) -> Reader {
        let info = ReaderInfo { kind: "test", id: "test".into() };
        let doctor = PathName::parse("doctorStream").unwrap();
        self.hub.read(&doctor, info, Start::Soonest, MonoClock::now()).unwrap()
    }
}

/// Reads until a picture is, or is not, the camera's, and half a second of sound has come along.
async fn flows(reader: &mut Reader, camera: bool) {
    let mut decoder = H264Decoder::new().unwrap();
    let (mut seen, mut sound, mut keyed) = (false, 0, false);
    let reading = async {
        while !seen || sound < 25 {
            match reader.next().await {
                Ok(Item::Unit(unit, _)) if unit.is_video() => {
                    keyed |= unit.is_key();
                    if let Some(picture) = keyed.then(|| decoder.decode(&unit).unwrap()).flatten() {
                        seen |= read_clock(&picture.picture).is_some() == camera;
                    }
                }
                Ok(Item::Unit(..)) => sound += 1,
                Ok(Item::Tracks(_)) | Err(ReadError::Lagged(_)) => {}
                Err(ReadError::Ended(ended)) => panic!("{ended}"),
            }
        }
    };
    let done = tokio::time::timeout(PATIENCE, reading).await.is_ok();
    assert!(done, "a picture ({seen}) and sound ({sound}) in time");
}

fn text() -> String {
    "in the system's words".into()
}

fn name() -> String {
    // The system's list knows nothing of scripted devices.
    String::new()
}

/// Camera and microphone do not open; the visit goes on, and takes them back.
async fn from_the_start(error: DeviceError, state: DeviceState) {
    let bench = Bench::new(Some(error.clone()), Some(error));
    bench.says(&state, &state).await;
    bench.engine.start_consultation().await.unwrap();
    assert_eq!(bench.engine.snapshot().phase, Phase::Waiting);
    let mut reader = bench.listen();
    flows(&mut reader, false).await;
    bench.says(&state, &state).await;
    *bench.camera.fails.lock() = None;
    *bench.microphone.fails.lock() = None;
    bench.engine.refresh_devices().await.unwrap();
    bench.says(&DeviceState::Open { name: name() }, &DeviceState::Open { name: name() }).await;
    flows(&mut reader, true).await;
    bench.engine.shut_down().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn missing() {
    from_the_start(DeviceError::Missing(text()), DeviceState::Missing).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn busy() {
    from_the_start(DeviceError::Busy(text()), DeviceState::Busy { name: name() }).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn denied() {
    from_the_start(DeviceError::Denied(text()), DeviceState::Denied).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hung() {
    from_the_start(DeviceError::Hung(text()), DeviceState::Hung { name: name() }).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn broken() {
    from_the_start(DeviceError::Format(text()), DeviceState::Failed { name: name() }).await;
}

/// In a visit the camera goes, then the microphone, each for its own reason, and each comes back.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unplugged_or_hung_in_a_visit() {
    let bench = Bench::new(None, None);
    let open = || DeviceState::Open { name: name() };
    bench.says(&open(), &open()).await;
    bench.engine.start_consultation().await.unwrap();
    let mut reader = bench.listen();
    flows(&mut reader, true).await;
    // A device that is gone is missing when it is looked for.
    bench.camera.says(VideoEvent::Lost(DeviceError::Missing(text())));
    bench.says(&DeviceState::Lost { name: name() }, &open()).await;
    bench.camera.says(VideoEvent::Lost(DeviceError::Busy(text())));
    bench.says(&DeviceState::Busy { name: name() }, &open()).await;
    bench.camera.says(VideoEvent::Restored);
    bench.microphone.says(AudioEvent::Lost(DeviceError::Hung(text())));
    bench.says(&open(), &DeviceState::Hung { name: name() }).await;
    flows(&mut reader, true).await;
    bench.microphone.says(AudioEvent::Restored);
    bench.says(&open(), &open()).await;
    bench.engine.shut_down().await.unwrap();
}
