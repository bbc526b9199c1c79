//! RTMP over sockets: the server, and the client that pulls.
//!
//! Belongs here: connections, their timeouts and their bounds. Not here: chunks and commands (`proto::rtmp`), tags
//! (`container::flv`), finding what a player can play (`listen`).

mod client;
mod connection;
mod egress;
mod fanout;
mod ingest;
mod output;
mod server;
mod serving;

pub use client::{PullError, pull};
pub(crate) use egress::{BY_FOUR_CC, Egress, PATIENCE, pictures};
pub(crate) use fanout::Fanout;
pub use proto::rtmp::RtmpUrl;
pub use server::{ConnState, RtmpConn};
pub(crate) use server::{RtmpConns, RtmpServer};
