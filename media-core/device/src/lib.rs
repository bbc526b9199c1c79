//! Camera, microphone and speaker, and their synthetic twins.
//!
//! Belongs here: finding, opening, watching and releasing devices, each on its own named thread; conversion of what cameras give
//! to I420; the monotonic clock; test card, clock card and beep with their readers.
//! Not here: encoding, resampling, scaling (`codec`); jitter buffers, what to do when a device is lost (`engine`); network.
#![forbid(unsafe_code)]

mod camera;
mod clock;
mod devices;
mod error;
#[doc(hidden)]
pub mod fuzz;
#[cfg(test)]
#[path = "../../fuzz/replay.rs"]
mod fuzz_replay;
mod latest;
mod sound;
mod source;
pub mod synthetic;

pub use camera::{Camera, CameraConfig, PixelFormat, RawFrame, to_i420};
pub use clock::MonoClock;
pub use devices::{DeviceInfo, Devices};
pub use error::DeviceError;
pub use latest::{LatestReceiver, LatestSender, latest};
pub use sound::{Microphone, Speaker};
pub use source::{
    AudioEvent, AudioFormat, AudioSink, AudioSource, Playout, Render, SinkEvent, VideoEvent, VideoSource,
};
