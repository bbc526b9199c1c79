//! RTP (RFC 3550) and the payload formats carried here: H.264 (RFC 6184), AAC (RFC 3640, RFC 6416), MPEG audio
//! (RFC 2250) and Opus (RFC 7587).
//!
//! Belongs here: packets, reordering, (de)payloaders, RTCP, and how the RTP clocks of several tracks meet on one timeline.
//! RTP packet types 24–28 are known here. Not here: NAL numbers (`media`), SDP (`whip::sdp`, `rtsp`), sockets, encryption and
//! retransmission (`relay::webrtc`).

mod aac;
mod decode_order;
#[doc(hidden)]
pub mod fuzz;
mod h264;
mod latm;
mod mpa;
mod opus;
mod packet;
mod reception;
mod reorder;
pub mod rtcp;
mod timeline;

pub use aac::{AacDepayloadError, AacDepayloader, AacLayout, AacPayloader};
pub use decode_order::DecodeOrder;
pub use h264::{H264Depayloaded, H264Depayloader, H264Payloader, h264_unit_nals};
pub use latm::{LatmDepayloader, LatmError, latm_config};
pub use mpa::{MpaDepayloader, MpaError, payload_mpa};
pub use opus::{OpusDepayloadError, depayload_opus};
pub use packet::{Header, Packet, RtpError};
pub use reception::Reception;
pub use reorder::{Ordered, ReorderBuffer, ReorderStats};
pub use timeline::{SyncTimeline, TrackHandle};
