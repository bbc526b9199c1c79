//! Opus (RFC 6716) through libopus, always 48 kHz stereo.
//!
//! Not here: packet durations and OpusHead (`media`), jitter buffers (`engine`).

mod decoder;
mod encoder;

pub use decoder::OpusDecoder;
pub use encoder::{OpusEncoder, OpusEncoderConfig, OpusUse};

use crate::CodecError;

/// The one rate used here; the library resamples internally where it codes less bandwidth.
pub(crate) const RATE: u32 = 48_000;

pub(crate) fn native(what: &'static str) -> impl Fn(opus::Error) -> CodecError {
    move |e| CodecError::Native { what, code: e.code() as i64 }
}
