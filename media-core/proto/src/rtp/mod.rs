//! RTP (RFC 3550) and the payload formats carried here: H.264 (RFC 6184), H.265 (RFC 7798, from senders), AAC (RFC 3640, RFC 6416), MPEG audio
//! (RFC 2250) and Opus (RFC 7587).
//!
//! Belongs here: packets, reordering, (de)payloaders, RTCP, and how the RTP clocks of several tracks meet on one timeline.
//! RTP packet types 24–28 and 48–50 are known here. Not here: NAL numbers (`media`), SDP (`whip::sdp`, `rtsp`), sockets, encryption and
//! retransmission (`relay::webrtc`).

mod aac;
#[cfg(test)]
mod cameras;
mod cut;
mod decode_order;
#[doc(hidden)]
pub mod fuzz;
mod h264;
mod h265;
mod latm;
mod mpa;
mod nals;
mod opus;
mod packet;
mod reception;
mod reorder;
pub mod rtcp;
mod timeline;

pub use aac::{AacDepayloadError, AacDepayloader, AacLayout, AacPayloader};
pub use cut::{NalCutting, NalPayloader, unit_nals};
pub use decode_order::DecodeOrder;
pub use h264::{H264Depayloader, H264Packing, H264Payloader};
pub use h265::{H265Depayloader, H265Packing, H265Payloader};
pub use latm::{LatmDepayloader, LatmError, latm_config};
pub use mpa::{MpaDepayloader, MpaError, payload_mpa};
pub use nals::{Depayloaded, Gathered, NalDepayloader, NalPacking};
pub use opus::{OpusDepayloadError, depayload_opus};
pub use packet::{Header, Packet, RtpError};
pub use reception::Reception;
pub use reorder::{Ordered, ReorderBuffer, ReorderStats};
pub use timeline::{SyncTimeline, TrackHandle};
