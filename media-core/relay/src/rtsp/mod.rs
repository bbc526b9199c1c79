//! RTSP: publishers, readers, and the client that pulls, with media in the connection or by UDP.
//!
//! Belongs here: the server's sockets and tasks, the pair of UDP ports, payloads that readers share. Not here: the protocol's state,
//! descriptions, packets (`proto::rtsp`, `proto::rtp`), what a path keeps (`hub`).

mod access;
mod connection;
mod payloads;
mod pull;
mod pull_secure;
mod reading;
mod registry;
mod server;
mod udp;

pub(crate) use payloads::Payloads;
pub use proto::rtsp::AuthMethods;
pub use pull::{PullError, PullTransport, RtspUrl, RtspUrlError, pull};
pub use pull_secure::pull_secure;
pub(crate) use reading::{Reading, Sent, known_tracks};
pub(crate) use registry::RtspLists;
pub use registry::{RtspConn, RtspSession, SessionStats, SessionTransport};
pub use server::RtspConfig;
pub(crate) use server::RtspServer;
pub(crate) use udp::{UdpPair, bind_pair};

/// The pictures that RTSP carries besides H.264.
pub(crate) const PICTURES: [media::Codec; 5] =
    [media::Codec::H265, media::Codec::Vp8, media::Codec::Vp9, media::Codec::Av1, media::Codec::Mjpeg];
