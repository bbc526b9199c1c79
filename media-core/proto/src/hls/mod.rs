//! HLS as text and numbers: playlists, their names, their delivery directives (RFC 8216bis, draft-pantos-hls-rfc8216bis-18).
//!
//! Belongs here: what a playlist says, which segments and parts it lists, where a stream is cut into them, what a request may
//! ask for. Not here: MP4 boxes (`container::fmp4`), who fills the window and who waits on it (`relay::hls`).

mod cutter;
mod directives;
#[doc(hidden)]
pub mod fuzz;
mod multivariant;
mod names;
mod playlist;
#[cfg(test)]
mod tests;
mod text;
mod window;

pub use cutter::{Cut, Cutter};
pub use directives::{Block, Carried, DirectiveError, Directives, Skip, Variant};
pub use multivariant::{Multivariant, VideoTraits};
pub use names::{Packaging, Resource, Seed, split_url};
pub use window::{Availability, PartLookup, Seam, SegmentView, Window, WindowConfig};

/// The multivariant playlist of a path, as MediaMTX calls it.
pub const MULTIVARIANT: &str = "index.m3u8";
/// The media playlist of a path.
pub const MEDIA: &str = "stream.m3u8";
/// Content type of playlists (RFC 8216 §4).
pub const PLAYLIST_TYPE: &str = "application/vnd.apple.mpegurl";
