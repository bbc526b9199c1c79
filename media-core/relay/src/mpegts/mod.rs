//! MPEG-TS into paths, whatever carries it.
//!
//! Belongs here: what a transport stream brings becomes a path's, and one carrier, plain UDP. Not here: packets and tables
//! (`container::mpegts`), segments (`hls`).

mod ingest;
mod udp;

pub(crate) use ingest::Ingest;
pub use udp::{PullError, UdpUrl, UdpUrlError, pull};
