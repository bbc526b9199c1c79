//! Microphone and speaker through cpal.
//!
//! Belongs here: opening, format conversion, the rings between the system's callbacks and our threads, timestamps, reopening.
//! Not here: resampling, echo cancellation (`codec`), jitter buffers (`engine`).

pub(crate) mod alsa_quiet;
pub(crate) mod host;
mod line;
mod microphone;
mod output;
mod speaker;
mod stop;

pub use microphone::Microphone;
pub use speaker::Speaker;
