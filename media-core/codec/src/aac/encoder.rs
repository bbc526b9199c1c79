//! What an AAC-LC encoder here promises, and which one this build has.

use crate::CodecError;
use bytes::Bytes;
use media::AacParams;

/// What to encode.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AacEncoderConfig {
    /// Samples per second.
    pub rate: u32,
    /// 1 or 2.
    pub channels: u8,
    /// Bits per second.
    pub bitrate: u32,
}

impl Default for AacEncoderConfig {
    /// 48 kHz stereo at 128 kbit/s.
    fn default() -> Self {
        Self { rate: 48_000, channels: 2, bitrate: 128_000 }
    }
}

/// An AAC-LC encoder: one frame of 1024 samples per channel in, one raw frame out, from the very first.
pub trait AacEncoder: Send {
    /// What a decoder must know; valid before the first frame.
    fn params(&self) -> &AacParams;

    /// Samples per channel by which decoded sound trails: the frame that answers input `n` holds the input that began this
    /// many samples before input `n` did.
    fn delay(&self) -> u32;

    /// Encodes exactly 1024 interleaved frames to one raw AAC frame.
    ///
    /// # Errors
    /// [`CodecError::Config`] for another length, [`CodecError::Native`] where the library refuses.
    fn encode(&mut self, pcm: &[f32]) -> Result<Bytes, CodecError>;
}

/// The AAC encoder of this build.
///
/// # Errors
/// [`CodecError::Unsupported`] in a build without one, [`CodecError`] where the configuration is refused.
pub fn aac_encoder(config: AacEncoderConfig) -> Result<Box<dyn AacEncoder>, CodecError> {
    #[cfg(feature = "fdk")]
    return Ok(Box::new(super::FdkAacEncoder::new(config)?));
    #[cfg(not(feature = "fdk"))]
    Err(CodecError::Unsupported(format!("this build has no AAC encoder ({config:?})")))
}
