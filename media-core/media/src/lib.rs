//! The vocabulary every other crate speaks: access units, tracks, codec parameters, media time, pictures and sound.
//!
//! Belongs here: types that cross crate borders, and the bits of H.264, H.265, AV1, VP8, VP9, JPEG, AAC, Opus and MPEG audio that name
//! them
//! (NAL units, SPS, OBUs, AudioSpecificConfig, OpusHead, frame headers). This is the one place in the workspace that knows NAL
//! numbers.
//! Not here: IO, clocks, async (nowhere below `relay`, `device`); containers (`container`); RTP payloads (`proto`);
//! encoders and decoders (`codec`).
#![forbid(unsafe_code)]

mod aac;
pub mod amf0;
mod av1;
mod bits;
#[doc(hidden)]
pub mod fuzz;
#[cfg(test)]
#[path = "../../fuzz/replay.rs"]
mod fuzz_replay;
mod g711;
mod h264;
mod h265;
mod mjpeg;
mod monotonic;
mod mpeg_audio;
mod nal;
mod opus;
mod pcm;
mod picture;
mod time;
mod track;
mod unit;
mod video;
mod vp8;
mod vp9;

pub use aac::{AacError, AacObject, AacParams, Adts, AdtsFrames};
pub use av1::{Av1Entrance, Av1Error, Av1Params};
pub use bits::Bits;
pub use g711::{G711Law, G711Params};
pub use h264::{H264Entrance, H264Error, H264Params};
pub use h265::{H265Entrance, H265Error, H265NalKind, H265Params};
pub use mjpeg::{Jpeg, JpegError, JpegHead, JpegSampling, MjpegEntrance, MjpegParams};
pub use monotonic::MonoTime;
pub use mpeg_audio::{MpegAudioError, MpegAudioHeader, MpegAudioLayer, MpegAudioParams};
pub use nal::{AnnexB, LengthPrefixed, NalError, NalKind, append_annex_b, append_length_prefixed};
pub use opus::{OpusError, OpusParams, packet_samples as opus_packet_samples};
pub use pcm::Pcm;
pub use picture::{Picture, PictureError};
pub use time::{ClockRate, MediaTime, Unwrapper};
pub use track::{Codec, CodecParams, MediaKind, Track, TrackId, TrackSet};
pub use unit::{AccessUnit, UnitKind};
pub use video::{NalRole, VideoUnit};
pub use vp8::{Vp8Entrance, Vp8Error, Vp8Params};
pub use vp9::{Vp9Entrance, Vp9Error, Vp9Params};
