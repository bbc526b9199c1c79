//! The picture's way: camera, own picture, encoder, path.
//!
//! Belongs here: the thread `video-encode`, what is encoded when (pictures, or the still card where there are none), key pictures
//! and bitrate on demand. Not here: sound (`audio`), when a device is opened (`keeper`).

use super::source::{Hardware, KeptSource, Kind, Switched};
use super::{AUDIO, DeviceState, DeviceStates, OnAir, Outlet, Reports, VIDEO, Wanted};
use crate::player::Windows;
use codec::{EncoderConfig, Fit, H264Encoder, scale};
use device::synthetic::{SyntheticCamera, SyntheticConfig, still_card};
use device::{CameraConfig, LatestReceiver, LatestSender, MonoClock, VideoSource, latest};
use media::{AccessUnit, ClockRate, CodecParams, MonoTime, OpusParams, Picture, Track, TrackSet, UnitKind, VideoUnit};
use parking_lot::Mutex;
use std::sync::Arc;
use std::time::Duration;

/// The own picture beside the patient's: small enough to be sent as it is and to cost nothing.
const OWN: (u32, u32) = (320, 240);
/// The own picture alone on the home screen, or in the patient's place: sharp there, and still sent as it is.
const OWN_LARGE: (u32, u32) = (640, 480);
/// A camera slower than this is no camera; then the still card says that somebody is there.
const PATIENCE: Duration = Duration::from_millis(700);
/// Two still cards a second: a listener that joins waits at most half a second, and it costs nothing.
const CARD_EVERY: Duration = Duration::from_millis(500);
/// A key picture a second, whatever the rate is: a new listener, and HLS' segments, count on it.
const KEY_EVERY: Duration = Duration::from_secs(1);
/// A wish for a lower bitrate holds this long after it was last heard.
const BITRATE_HOLDS: Duration = Duration::from_secs(5);

/// What is wanted of the camera.
#[derive(Debug, Clone, PartialEq)]
struct WantCamera {
    camera: CameraConfig,
    twin: SyntheticConfig,
    by_choice: bool,
}

#[derive(Debug)]
struct Control {
    config: EncoderConfig,
    off: bool,
    /// The own picture is shown as a mirror: only what a real camera sees.
    mirrored: bool,
    wait_ms: Option<f32>,
    encode_ms: Option<f32>,
    stop: bool,
}

/// Camera, encoder and their threads.
pub(crate) struct VideoPipeline {
    camera: Switched<WantCamera>,
    control: Arc<Mutex<Control>>,
}

impl VideoPipeline {
    /// Starts the threads; no camera is opened yet.
    ///
    /// # Errors
    /// What the system says where no thread can be started.
    pub(crate) fn start(
        hardware: Arc<dyn Hardware>,
        outlet: Outlet,
        windows: Windows,
        reports: Reports,
    ) -> std::io::Result<Self> {
        let (sender, receiver) = latest();
        let config = EncoderConfig::new(640, 480, 30, 1_200_000);
        let control = Arc::new(Mutex::new(Control {
            config,
            off: false,
            mirrored: false,
            wait_ms: None,
            encode_ms: None,
            stop: false,
        }));
        let kind = CameraKind { hardware, pictures: Arc::new(sender), control: Arc::clone(&control) };
        let camera = Switched::start("camera", KeptSource::new(kind, reports))?;
        let encode = Encode {
            control: Arc::clone(&control),
            outlet,
            windows,
            running: None,
            last_picture: None,
            last_card: None,
        };
        std::thread::Builder::new().name("video-encode".into()).spawn(move || encode.run(&receiver))?;
        Ok(Self { camera, control })
    }

    /// Changes camera, size, rate or bitrate.
    pub(crate) fn want(&self, wanted: &Wanted, twin: SyntheticConfig, by_choice: bool) {
        let camera =
            CameraConfig { id: wanted.camera.clone(), width: wanted.width, height: wanted.height, fps: wanted.fps };
        let want = WantCamera { camera, twin, by_choice };
        let mut control = self.control.lock();
        // Key pictures go by time; the encoder's own count is only a backstop for rates that were promised and not kept.
        control.config = EncoderConfig {
            gop: wanted.fps.saturating_mul(4),
            ..EncoderConfig::new(wanted.width, wanted.height, wanted.fps, wanted.bitrate)
        };
        drop(control);
        self.camera.want(want);
    }

    /// Releases the camera, or takes it again.
    pub(crate) fn set_off(&self, off: bool) {
        self.control.lock().off = off;
        self.camera.release(off);
    }

    /// Looks for the camera now.
    pub(crate) fn probe(&self) {
        self.camera.probe();
    }

    /// From a picture's capture until its encoding begins, in milliseconds.
    pub(crate) fn wait_ms(&self) -> Option<f32> {
        self.control.lock().wait_ms
    }

    /// What encoding a picture takes, in milliseconds.
    pub(crate) fn encode_ms(&self) -> Option<f32> {
        self.control.lock().encode_ms
    }
}

impl Drop for VideoPipeline {
    fn drop(&mut self) {
        self.control.lock().stop = true;
    }
}

struct CameraKind {
    hardware: Arc<dyn Hardware>,
    pictures: Arc<LatestSender>,
    control: Arc<Mutex<Control>>,
}

impl Kind for CameraKind {
    type Want = WantCamera;
    type Source = Box<dyn VideoSource>;

    fn real(&self, want: &WantCamera) -> Self::Source {
        self.hardware.camera(&want.camera)
    }

    fn twin(&self, want: &WantCamera) -> Self::Source {
        Box::new(SyntheticCamera::new(want.twin))
    }

    fn wants_twin(want: &WantCamera) -> bool {
        want.by_choice
    }

    fn sink(&self) -> Box<dyn FnMut(Picture) + Send> {
        let pictures = Arc::clone(&self.pictures);
        Box::new(move |picture| pictures.send(picture))
    }

    fn runs(&self, real: bool) {
        self.control.lock().mirrored = real;
    }

    fn state(states: &mut DeviceStates) -> &mut DeviceState {
        &mut states.camera
    }
}

/// The encoder of one visit.
struct Running {
    on_air: OnAir,
    encoder: H264Encoder,
    last_key: Option<MonoTime>,
    params: Option<Arc<CodecParams>>,
    bitrate_wished: Option<MonoTime>,
}

struct Encode {
    control: Arc<Mutex<Control>>,
    outlet: Outlet,
    windows: Windows,
    running: Option<Running>,
    last_picture: Option<MonoTime>,
    last_card: Option<MonoTime>,
}

impl Encode {
    fn run(mut self, pictures: &LatestReceiver) {
        loop {
            let picture = pictures.recv(CARD_EVERY / 4);
            let (config, off, mirrored) = {
                let control = self.control.lock();
                if control.stop {
                    return;
                }
                (control.config, control.off, control.mirrored)
            };
            let now = MonoClock::now();
            match picture.filter(|_| !off) {
                Some(picture) => {
                    self.last_picture = Some(now);
                    self.take(&picture, mirrored, config, now);
                }
                None => self.card(config, off, now),
            }
        }
    }

    /// The still card, where there is nothing else to show and its time has come.
    fn card(&mut self, config: EncoderConfig, off: bool, now: MonoTime) {
        let waiting = self.last_picture.is_none_or(|last| now.since(last) >= PATIENCE);
        let due = self.last_card.is_none_or(|last| now.since(last) >= CARD_EVERY);
        if (off || waiting) && due {
            self.last_card = Some(now);
            self.take(&still_card(config.width, config.height, now), false, config, now);
        }
    }

    fn take(&mut self, picture: &Picture, mirrored: bool, config: EncoderConfig, now: MonoTime) {
        // The visit first: the own picture is only for the eye that can wait a millisecond.
        self.encode(picture, config, now);
        if self.windows.any() {
            let (width, height) = if self.windows.own_height() > OWN.1 { OWN_LARGE } else { OWN };
            match scale(picture, width, height, Fit::Inside) {
                Ok(small) => self.windows.show_own(small, mirrored),
                Err(error) => tracing::warn!(%error, "the own picture"),
            }
        }
    }

    fn encode(&mut self, picture: &Picture, config: EncoderConfig, now: MonoTime) {
        let Some(on_air) = self.outlet.on_air() else {
            self.running = None;
            return;
        };
        let other = |r: &Running| !Arc::ptr_eq(&r.on_air.publisher, &on_air.publisher);
        if self.running.as_ref().is_none_or(other) {
            match H264Encoder::new(config) {
                Ok(encoder) => {
                    self.running =
                        Some(Running { on_air, encoder, last_key: None, params: None, bitrate_wished: None });
                }
                Err(error) => {
                    tracing::error!(%error, "no encoder");
                    return;
                }
            }
        }
        let Some(running) = &mut self.running else { return };
        match running.encode(picture, config, now) {
            Ok(()) => {
                let (waited, took) = (now.since(picture.captured()), MonoClock::now().since(now));
                let mut control = self.control.lock();
                mean(&mut control.wait_ms, waited);
                mean(&mut control.encode_ms, took);
            }
            Err(error) => tracing::warn!(%error, "a picture was not encoded"),
        }
    }
}

impl Running {
    fn encode(&mut self, picture: &Picture, config: EncoderConfig, now: MonoTime) -> Result<(), codec::CodecError> {
        let Some(time) = self.on_air.time(picture.captured(), ClockRate::VIDEO) else { return Ok(()) };
        // Cameras give the size nearest to what was asked; listeners get what was asked.
        let fitted = scale(picture, config.width, config.height, Fit::Bars)?;
        self.follow_bitrate(config, now)?;
        let wished = self.on_air.publisher.feedback().keyframe;
        let due = self.last_key.is_none_or(|last| now.since(last) + Duration::from_millis(10) >= KEY_EVERY);
        let Some(VideoUnit { kind, params, payload }) = self.encoder.encode(&fitted, wished || due)? else {
            return Ok(());
        };
        if kind == UnitKind::Key {
            self.last_key = Some(now);
        }
        if self.params.as_ref().is_none_or(|known| !Arc::ptr_eq(known, &params)) {
            self.on_air.publisher.set_tracks(tracks(&params));
            self.params = Some(Arc::clone(&params));
        }
        let unit = AccessUnit {
            track: VIDEO,
            dts: time,
            pts: time,
            duration: None,
            kind,
            captured: Some(picture.captured()),
            params,
            payload,
        };
        self.on_air.publisher.write(unit, MonoClock::now());
        Ok(())
    }

    /// The settings' bitrate, or what a listener's network can carry, whichever is lower.
    fn follow_bitrate(&mut self, config: EncoderConfig, now: MonoTime) -> Result<(), codec::CodecError> {
        let wish = self.on_air.publisher.feedback().bitrate;
        let wanted = match (wish, self.bitrate_wished) {
            (Some(wish), _) => {
                self.bitrate_wished = Some(now);
                wish.min(config.bitrate)
            }
            (None, Some(last)) if now.since(last) < BITRATE_HOLDS => self.encoder.config().bitrate.min(config.bitrate),
            (None, _) => {
                self.bitrate_wished = None;
                config.bitrate
            }
        };
        if wanted != self.encoder.config().bitrate { self.encoder.set_bitrate(wanted) } else { Ok(()) }
    }
}

/// A running mean in milliseconds that settles within a second of pictures.
fn mean(value: &mut Option<f32>, newest: Duration) {
    let newest = newest.as_secs_f32() * 1000.0;
    *value = Some(value.map_or(newest, |old| old + (newest - old) * 0.1));
}

fn tracks(video: &Arc<CodecParams>) -> TrackSet {
    TrackSet::new([
        Track { id: VIDEO, clock: ClockRate::VIDEO, params: Arc::clone(video) },
        Track { id: AUDIO, clock: ClockRate::AUDIO_48K, params: Arc::new(CodecParams::Opus(OpusParams::WEBRTC)) },
    ])
}
