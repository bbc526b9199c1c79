//! Containers: bytes to access units and back.
//!
//! Belongs here: FLV (files, HTTP-FLV, and the message bodies that RTMP shares with it), fragmented MP4 (HLS, recordings) and
//! MPEG-TS (HLS, UDP, SRT).
//! Not here: sockets and files (`relay`), RTMP chunks and commands (`proto::rtmp`), playlists (`proto::hls`), what NAL
//! units, AudioSpecificConfig and OpusHead say (`media`).
#![forbid(unsafe_code)]

mod entrance;
pub mod flv;
pub mod fmp4;
#[doc(hidden)]
pub mod fuzz;
#[cfg(test)]
#[path = "../../fuzz/replay.rs"]
mod fuzz_replay;
pub mod mpegts;
#[cfg(test)]
mod testing;

pub use entrance::VideoError;
