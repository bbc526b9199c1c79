//! AAC: encoding behind a trait (FDK in the default feature `fdk`), decoding through Symphonia (LC) and FDK (HE, surround).
//!
//! Not here: AudioSpecificConfig and ADTS (`media`).

mod decoder;
mod encoder;
#[cfg(feature = "fdk")]
mod fdk;

pub use decoder::AacDecoder;
pub use encoder::{AacEncoder, AacEncoderConfig, aac_encoder};
#[cfg(feature = "fdk")]
pub use fdk::FdkAacEncoder;
