//! RTP (RFC 3550) and the payload formats carried here: H.264 (RFC 6184) and Opus (RFC 7587).
//!
//! Belongs here: packets, reordering, (de)payloaders, RTCP, and how the RTP clocks of several tracks meet on one timeline.
//! RTP packet types 24–28 are known here. Not here: NAL numbers (`media`), SDP (`whip::sdp`, `rtsp`), sockets, encryption and
//! retransmission (`relay::webrtc`).

#[doc(hidden)]
pub mod fuzz;
mod h264;
mod opus;
mod packet;
mod reorder;
pub mod rtcp;
mod timeline;

pub use h264::{H264Depayloaded, H264Depayloader, H264Payloader, h264_unit_nals};
pub use opus::{OpusDepayloadError, depayload_opus};
pub use packet::{Header, Packet, RtpError};
pub use reorder::{Ordered, ReorderBuffer, ReorderStats};
pub use timeline::{SyncTimeline, TrackHandle};
