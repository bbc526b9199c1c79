//! The relay: tokio shells round the hub, and the program `visavis-relay`.
//!
//! Belongs here: sockets, tasks, timers, HTTP routes, who may do what, transcoding on demand. Not here: protocol text and state
//! (`proto`), tags and boxes (`container`), what a path keeps (`hub`), devices and windows (`device`, `engine`).
//!
//! Reading order is the data's way: an ingest server writes to the hub ([`rtmp`], [`rtsp`], [`srt`], [`webrtc`]), or a [`source`] is
//! fetched into it, [`listen`] finds what a listener can play, [`transcode`] makes it where it is missing, an egress server sends it
//! ([`rtmp`], [`rtsp`], [`srt`], [`flv`], [`hls`]).
#![forbid(unsafe_code)]

pub mod access;
mod api;
mod backoff;
mod clock;
pub mod config;
pub mod flv;
#[doc(hidden)]
pub mod fuzz;
#[cfg(test)]
#[path = "../../fuzz/replay.rs"]
mod fuzz_replay;
pub mod hls;
mod http;
pub mod listen;
mod metrics;
pub mod mjpeg;
pub mod mpegts;
mod ports;
pub mod push;
mod relay;
pub mod rtmp;
pub mod rtsp;
pub mod source;
pub mod srt;
pub mod tls;
mod transcode;
mod udp;
pub mod webrtc;

pub use backoff::Backoff;
pub use clock::Clock;
pub use ports::PortTaken;
pub use relay::{Bound, Relay, RelayConfig, StartError};
