//! H.264 through OpenH264: constrained baseline out, anything up to High in.
//!
//! Not here: parameter sets and NAL framing (`media`), hardware encoders.

mod decoder;
mod encoder;

pub use decoder::{DecodedPicture, H264Decoder};
pub use encoder::{EncoderConfig, H264Encoder};

/// The Annex B bytes of one unit, as a seed for the fuzzers.
#[cfg(test)]
pub(crate) fn unit_for_fuzz(unit: &media::VideoUnit) -> Vec<u8> {
    decoder::tests::unit_of(unit, 0).annex_b()
}
