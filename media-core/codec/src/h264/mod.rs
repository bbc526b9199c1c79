//! H.264 through OpenH264: constrained baseline out, anything up to High in.
//!
//! Not here: parameter sets and NAL framing (`media`), hardware encoders.

#[cfg(test)]
pub(crate) mod b_pictures;
mod decoder;
mod display;
mod encoder;
mod sps;

pub use decoder::{DecodedPicture, H264Decoder};
pub(crate) use display::DisplayOrder;
pub use encoder::{EncoderConfig, H264Encoder, Matrix};

/// The Annex B bytes of one unit, as a seed for the fuzzers.
#[cfg(test)]
pub(crate) fn unit_for_fuzz(unit: &media::VideoUnit) -> Vec<u8> {
    decoder::tests::unit_of(unit, 0).annex_b()
}
