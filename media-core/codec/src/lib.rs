//! Encoders, decoders, resampling and scaling: raw pictures and sound on one side, access units on the other.
//!
//! Belongs here: every foreign codec library and the `unsafe` that calls it (in `h264::encoder` and `aac::fdk` alone), the
//! sound and picture transcoders, clock-drift control, levels.
//! Not here: cameras, microphones and speakers (`device`), network and threads (`relay`, `engine`), what headers and
//! parameter sets say (`media`).

mod aac;
mod audio;
mod convert;
mod drift;
mod error;
#[doc(hidden)]
pub mod fuzz;
#[cfg(test)]
#[path = "../../fuzz/replay.rs"]
mod fuzz_replay;
mod h264;
mod jpeg;
mod level;
mod opus;
mod picture;
mod resample;
mod scale;
mod sound_decoder;

#[cfg(feature = "fdk")]
pub use aac::FdkAacEncoder;
pub use aac::{AacDecoder, AacEncoder, AacEncoderConfig, aac_encoder};
pub use audio::{SoundTranscoder, TranscodeConfig, TranscodeStats};
pub use convert::{f32_to_i16, i16_to_f32, mix_into, remix};
pub use drift::DriftControl;
pub use error::CodecError;
pub use h264::{DecodedPicture, EncoderConfig, H264Decoder, H264Encoder, Matrix};
pub use jpeg::decode_jpeg;
pub use level::{Level, LevelMeter};
pub use opus::{OpusDecoder, OpusEncoder, OpusEncoderConfig, OpusUse};
pub use picture::{PictureStats, PictureTranscoder};
pub use resample::Resampler;
pub use scale::{Fit, scale};
pub use sound_decoder::SoundDecoder;
