//! The camera: opened through nokhwa, watched, reopened, converted to I420.
//!
//! Belongs here: formats of cameras, the watchdog. Not here: scaling, encoding (`codec`).

mod convert;
mod grabber;
mod supervised;

pub use convert::{PixelFormat, RawFrame, to_i420};
pub use grabber::{Camera, CameraConfig};
