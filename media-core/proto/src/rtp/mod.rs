//! RTP (RFC 3550) and the payload formats carried here: H.264 (RFC 6184), H.265 (RFC 7798), VP8 (RFC 7741),
//! VP9 (RFC 9628), AV1, JPEG (RFC 2435), AAC (RFC 3640, RFC 6416), MPEG audio
//! (RFC 2250) and Opus (RFC 7587).
//!
//! Belongs here: packets, reordering, (de)payloaders, RTCP, and how the RTP clocks of several tracks meet on one timeline.
//! RTP packet types 24–28 and 48–50 are known here. Not here: NAL numbers (`media`), SDP (`whip::sdp`, `rtsp`), sockets, encryption and
//! retransmission (`relay::webrtc`).

mod aac;
mod av1;
#[cfg(test)]
mod cameras;
mod cut;
mod decode_order;
#[doc(hidden)]
pub mod fuzz;
mod gather;
mod h264;
mod h265;
mod jpeg;
mod latm;
mod mpa;
mod nals;
mod opus;
mod packet;
mod pictures;
mod reception;
mod reorder;
pub mod rtcp;
mod timeline;
mod vp8;
mod vp9;

pub use aac::{AacDepayloadError, AacDepayloader, AacLayout, AacPayloader};
pub use av1::Av1Depayloader;
pub use cut::{NalCutting, NalPayloader};
pub use decode_order::DecodeOrder;
pub use gather::{Depayloaded, Depayloader, Gathered, Packing};
pub use h264::{H264Depayloader, H264Packing, H264Payloader};
pub use h265::{H265Depayloader, H265Packing, H265Payloader};
pub use jpeg::JpegDepayloader;
pub use latm::{LatmDepayloader, LatmError, latm_config};
pub use mpa::{MpaDepayloader, MpaError, payload_mpa};
pub use nals::NalPacking;
pub use opus::{OpusDepayloadError, depayload_opus};
pub use packet::{Header, Packet, RtpError};
pub use pictures::{Damaged, PictureDepayloader, payload_picture};
pub use reception::Reception;
pub use reorder::{Ordered, ReorderBuffer, ReorderStats};
pub use timeline::{SyncTimeline, TrackHandle};
pub use vp8::Vp8Depayloader;
pub use vp9::Vp9Depayloader;
