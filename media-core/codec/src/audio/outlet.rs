//! The exit: blocks of 48 kHz stereo to units of the codec that was asked for.
//!
//! Belongs here: the encoders a transcoder can end in. Not here: times (`timeline`), the encoders themselves (`aac`, `opus`).

use super::TranscodeConfig;
use crate::aac::{AacEncoder, AacEncoderConfig, aac_encoder};
use crate::{CodecError, OpusEncoder, OpusEncoderConfig};
use bytes::Bytes;
use media::{AacParams, Codec, CodecParams};

/// An encoder, 48 kHz stereo in.
pub(super) enum Outlet {
    Aac(Box<dyn AacEncoder>),
    Opus(OpusEncoder),
}

impl Outlet {
    /// An encoder to `codec`.
    pub(super) fn new(codec: Codec, config: TranscodeConfig) -> Result<Self, CodecError> {
        let bitrate = config.bitrate;
        match codec {
            Codec::Aac => aac_encoder(AacEncoderConfig { bitrate, ..AacEncoderConfig::default() }).map(Self::Aac),
            Codec::Opus => {
                OpusEncoder::new(OpusEncoderConfig { bitrate, ..OpusEncoderConfig::default() }).map(Self::Opus)
            }
            _ => Err(CodecError::WrongCodec),
        }
    }

    /// What its units decode with.
    pub(super) fn params(&self) -> CodecParams {
        match self {
            Self::Aac(encoder) => CodecParams::Aac(encoder.params().clone()),
            Self::Opus(encoder) => CodecParams::Opus(encoder.params()),
        }
    }

    /// Samples per channel of one unit.
    pub(super) const fn frame(&self) -> usize {
        match self {
            Self::Aac(_) => AacParams::FRAME as usize,
            Self::Opus(_) => OpusEncoder::FRAME,
        }
    }

    /// Samples per channel by which a unit's sound trails its block.
    pub(super) fn delay(&self) -> u32 {
        match self {
            Self::Aac(encoder) => encoder.delay(),
            Self::Opus(encoder) => encoder.delay(),
        }
    }

    /// The unit of one block of [`Self::frame`] frames.
    pub(super) fn encode(&mut self, block: &[f32]) -> Result<Bytes, CodecError> {
        match self {
            Self::Aac(encoder) => encoder.encode(block),
            Self::Opus(encoder) => encoder.encode(block),
        }
    }
}
