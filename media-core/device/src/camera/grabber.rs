//! The camera itself, through nokhwa.

use super::convert::{PixelFormat, RawFrame, to_i420};
use super::supervised::{Grabber, Opener, Supervised, Timing};
use crate::{DeviceError, MonoClock, VideoEvent, VideoSource};
use media::{MonoTime, Picture};
use nokhwa::NokhwaError;
use nokhwa::utils::{CameraFormat, CameraIndex, FrameFormat, RequestedFormat, RequestedFormatType};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Cameras give a few broken pictures after they start and now and then one later; a second's worth in a row is a failure.
const MAX_BROKEN: u32 = 30;
/// A capture time further back than this is a clock's mistake.
const MAX_AGE: Duration = Duration::from_secs(1);
const FORMATS: [FrameFormat; 3] = [FrameFormat::NV12, FrameFormat::YUYV, FrameFormat::MJPEG];

/// Which camera, and what is wanted of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CameraConfig {
    /// As [`crate::DeviceInfo::id`] says; `None` takes the first.
    pub id: Option<String>,
    /// Wanted width; the camera's nearest is taken.
    pub width: u32,
    /// Wanted height.
    pub height: u32,
    /// Wanted pictures per second.
    pub fps: u32,
}

/// A camera, watched and reopened.
pub struct Camera {
    name: String,
    supervised: Supervised,
}

impl Camera {
    /// The camera of `config`, not opened yet.
    pub fn new(config: CameraConfig) -> Self {
        let name = config.id.clone().unwrap_or_else(|| "camera".into());
        let opener: Opener = Arc::new(move || Ok(Box::new(Open::new(&config)?) as Box<dyn Grabber>));
        Self { name, supervised: Supervised::new(opener, Timing::default()) }
    }
}

impl VideoSource for Camera {
    fn name(&self) -> &str {
        &self.name
    }

    fn start(&mut self, deliver: Box<dyn FnMut(VideoEvent) + Send>) -> Result<(), DeviceError> {
        self.supervised.start(deliver)
    }

    fn stop(&mut self) {
        self.supervised.stop();
    }
}

struct Open {
    camera: nokhwa::Camera,
}

fn native(error: &NokhwaError) -> DeviceError {
    DeviceError::from_message(error.to_string())
}

impl Open {
    fn new(config: &CameraConfig) -> Result<Self, DeviceError> {
        let index = match &config.id {
            None => CameraIndex::Index(0),
            Some(id) => id.parse().map_or_else(|_| CameraIndex::String(id.clone()), CameraIndex::Index),
        };
        let any = RequestedFormat::with_formats(RequestedFormatType::AbsoluteHighestFrameRate, &FORMATS);
        let mut camera = nokhwa::Camera::new(index, any).map_err(|e| native(&e))?;
        let offered = camera.compatible_camera_formats().unwrap_or_default();
        if let Some(best) = choose(&offered, config) {
            let exact = RequestedFormat::with_formats(RequestedFormatType::Exact(best), &FORMATS);
            if let Err(e) = camera.set_camera_requset(exact) {
                tracing::warn!("camera keeps {}: {e}", camera.camera_format());
            }
        }
        camera.open_stream().map_err(|e| native(&e))?;
        tracing::info!("camera {} at {}", camera.info().human_name(), camera.camera_format());
        Ok(Self { camera })
    }
}

impl Grabber for Open {
    fn grab(&mut self) -> Result<Picture, DeviceError> {
        let mut broken = 0;
        loop {
            let frame = self.camera.frame().map_err(|e| DeviceError::Lost(e.to_string()))?;
            let format = match frame.source_frame_format() {
                FrameFormat::YUYV => PixelFormat::Yuyv,
                FrameFormat::NV12 => PixelFormat::Nv12,
                FrameFormat::MJPEG => PixelFormat::Mjpeg,
                other => return Err(DeviceError::Format(format!("camera gives {other}"))),
            };
            let now = MonoClock::now();
            let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
            let raw = RawFrame {
                format,
                width: frame.resolution().width(),
                height: frame.resolution().height(),
                stride: None,
                bytes: frame.buffer(),
                captured: captured(now, wall, frame.capture_timestamp()),
            };
            match to_i420(&raw) {
                Ok(picture) => return Ok(picture),
                Err(error) if broken >= MAX_BROKEN => return Err(error),
                Err(error) => {
                    tracing::debug!("camera picture left out: {error}");
                    broken += 1;
                }
            }
        }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        if let Err(e) = self.camera.stop_stream() {
            tracing::warn!("camera does not stop: {e}");
        }
    }
}

/// The capture time on the monotonic clock; nokhwa gives it on the wall clock.
fn captured(now: MonoTime, wall: Duration, stamp: Option<Duration>) -> MonoTime {
    let age = stamp.and_then(|stamp| wall.checked_sub(stamp)).filter(|age| *age <= MAX_AGE);
    now - age.unwrap_or_default()
}

/// The offered format that serves `config` best: pictures no smaller than wanted if there are any, as many a second as wanted,
/// then the nearest size, then the format that costs least to convert.
fn choose(offered: &[CameraFormat], config: &CameraConfig) -> Option<CameraFormat> {
    let score = |format: &&CameraFormat| {
        let (width, height) = (format.width(), format.height());
        let smaller = width < config.width || height < config.height;
        // 29 is what NTSC rates look like in whole numbers.
        let slow = format.frame_rate() + 1 < config.fps;
        let distance = width.abs_diff(config.width) + height.abs_diff(config.height);
        let excess = format.frame_rate().abs_diff(config.fps);
        let cost = FORMATS.iter().position(|f| *f == format.format());
        (slow, smaller, distance, excess, cost)
    };
    offered.iter().filter(|f| FORMATS.contains(&f.format())).min_by_key(score).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chooses_what_serves_best() {
        let offered = [
            CameraFormat::new_from(640, 480, FrameFormat::YUYV, 30),
            CameraFormat::new_from(640, 480, FrameFormat::MJPEG, 30),
            CameraFormat::new_from(1280, 720, FrameFormat::YUYV, 10),
            CameraFormat::new_from(1280, 720, FrameFormat::MJPEG, 30),
            CameraFormat::new_from(1920, 1080, FrameFormat::MJPEG, 30),
            CameraFormat::new_from(1280, 720, FrameFormat::GRAY, 30),
        ];
        let check = |width, height, fps, want: (u32, FrameFormat, u32)| {
            let config = CameraConfig { id: None, width, height, fps };
            let got = choose(&offered, &config).unwrap();
            assert_eq!((got.width(), got.format(), got.frame_rate()), want, "{width}×{height}@{fps}");
        };
        check(640, 480, 30, (640, FrameFormat::YUYV, 30));
        check(640, 360, 25, (640, FrameFormat::YUYV, 30));
        check(1280, 720, 30, (1280, FrameFormat::MJPEG, 30));
        check(1280, 720, 10, (1280, FrameFormat::YUYV, 10));
        check(4096, 2160, 30, (1920, FrameFormat::MJPEG, 30));
        let config = CameraConfig { id: None, width: 1, height: 1, fps: 1 };
        assert_eq!(choose(&[], &config), None);
    }

    #[test]
    fn capture_times_are_monotonic_time() {
        let (now, wall) = (MonoTime::from_micros(9_000_000), Duration::from_secs(1_700_000_000));
        let check =
            |stamp: Option<Duration>, want: u64| assert_eq!(captured(now, wall, stamp).micros(), want, "{stamp:?}");
        check(None, 9_000_000);
        check(Some(wall.checked_sub(Duration::from_millis(40)).unwrap()), 8_960_000);
        check(Some(wall + Duration::from_millis(1)), 9_000_000);
        check(Some(Duration::ZERO), 9_000_000);
    }

    /// There is no camera on a build machine, and that is an answer, not a failure.
    #[test]
    fn a_camera_that_is_not_there() {
        let config = CameraConfig { id: Some("97".into()), width: 640, height: 480, fps: 30 };
        let mut camera = Camera::new(config);
        let outcome = camera.start(Box::new(|_| {}));
        assert!(outcome.is_err(), "{outcome:?}");
    }
}
