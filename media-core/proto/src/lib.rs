//! proto
#[cfg(test)]
#[path = "../../fuzz/replay.rs"]
mod fuzz_replay;
pub mod hls;
pub mod multipart;
mod output;
pub mod rtmp;
pub mod rtp;
pub mod rtsp;
pub mod whip;

/// Entry points for the fuzzers.
#[doc(hidden)]
pub mod fuzz {
    pub use crate::hls::fuzz::*;
    pub use crate::multipart::fuzz::*;
    pub use crate::rtmp::fuzz::*;
    pub use crate::rtp::fuzz::*;
    pub use crate::rtsp::fuzz::*;
    pub use crate::whip::fuzz::*;
}
