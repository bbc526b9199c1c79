//! Names of what a path serves over HLS, and back from a URL to a resource.
//!
//! Segments, parts and init segments carry a seed that differs for every muxer, so that a cache never mixes two.

use std::fmt;

/// Tells one muxer's files from another's. 48 bits: two muxers of one path never meet in a cache by chance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Seed(u64);

impl Seed {
    /// A seed of the lower 48 bits of `random`.
    pub const fn new(random: u64) -> Self {
        Self(random & 0xFFFF_FFFF_FFFF)
    }
}

impl fmt::Display for Seed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:012x}", self.0)
    }
}

/// What segments are made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Packaging {
    /// Fragmented MP4.
    Fmp4,
    /// MPEG-TS.
    MpegTs,
}

impl Packaging {
    /// The ending of a segment's name.
    pub const fn extension(self) -> &'static str {
        match self {
            Self::Fmp4 => "mp4",
            Self::MpegTs => "ts",
        }
    }

    /// Content type of a segment (RFC 8216 §4).
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::Fmp4 => "video/mp4",
            Self::MpegTs => "video/mp2t",
        }
    }
}

/// What the last segment of a URL names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resource {
    /// Nothing behind the slash: the player page.
    Page,
    /// The multivariant playlist.
    Multivariant,
    /// The media playlist.
    Media,
    /// An init segment.
    Init {
        /// Whose.
        seed: Seed,
        /// Counts from 0.
        number: u64,
    },
    /// A media segment.
    Segment {
        /// Whose.
        seed: Seed,
        /// Its media sequence number.
        msn: u64,
        /// What it is made of.
        packaging: Packaging,
    },
    /// A partial segment.
    Part {
        /// Whose.
        seed: Seed,
        /// Counts through all segments, so that the next part's name does not depend on where a segment ends.
        number: u64,
    },
}

impl Resource {
    /// Reads a file name; `None` for what is no name of ours. Only the one spelling that [`fmt::Display`] writes is known.
    pub fn parse(file: &str) -> Option<Self> {
        match file {
            "" => return Some(Self::Page),
            super::MULTIVARIANT => return Some(Self::Multivariant),
            super::MEDIA => return Some(Self::Media),
            _ => {}
        }
        let (name, extension) = file.rsplit_once('.')?;
        let (seed, rest) = name.split_once('_')?;
        let seed = Seed::new(u64::from_str_radix(seed, 16).ok()?);
        let packaging = [Packaging::Fmp4, Packaging::MpegTs].into_iter().find(|p| p.extension() == extension)?;
        let number = |prefix: &str| rest.strip_prefix(prefix)?.parse().ok();
        let resource = if let Some(number) = number("init") {
            Self::Init { seed, number }
        } else if let Some(msn) = number("seg") {
            Self::Segment { seed, msn, packaging }
        } else {
            Self::Part { seed, number: number("part")? }
        };
        (resource.to_string() == file).then_some(resource)
    }
}

impl fmt::Display for Resource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Page => Ok(()),
            Self::Multivariant => f.write_str(super::MULTIVARIANT),
            Self::Media => f.write_str(super::MEDIA),
            Self::Init { seed, number } => write!(f, "{seed}_init{number}.mp4"),
            Self::Segment { seed, msn, packaging } => write!(f, "{seed}_seg{msn}.{}", packaging.extension()),
            Self::Part { seed, number } => write!(f, "{seed}_part{number}.mp4"),
        }
    }
}

/// Splits a URL's path into a path's name and a resource of it; `None` for what is neither file nor page of a path.
pub fn split_url(url_path: &str) -> Option<(&str, Resource)> {
    let (path, file) = url_path.strip_prefix('/')?.rsplit_once('/')?;
    Some((path, Resource::parse(file)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls() {
        let seed = Seed::new(0xAB_0000_0001);
        let check = |url: &str, want| assert_eq!(split_url(url), want, "{url}");
        check("/a/b/index.m3u8", Some(("a/b", Resource::Multivariant)));
        check("/a/stream.m3u8", Some(("a", Resource::Media)));
        check("/a/", Some(("a", Resource::Page)));
        check("/a/00ab00000001_part7.mp4", Some(("a", Resource::Part { seed, number: 7 })));
        let segment = |packaging| Resource::Segment { seed, msn: 7, packaging };
        check("/a/00ab00000001_seg7.mp4", Some(("a", segment(Packaging::Fmp4))));
        check("/a/00ab00000001_seg7.ts", Some(("a", segment(Packaging::MpegTs))));
        check("/a/00ab00000001_part7.ts", None);
        check("/a/00ab00000001_seg7.m4s", None);
        check("/a/00ab00000001_init0.mp4", Some(("a", Resource::Init { seed, number: 0 })));
        // One spelling each: what differs would be another entry in a cache.
        check("/a/00AB00000001_part7.mp4", None);
        check("/a/00ab00000001_part07.mp4", None);
        check("/a/00ab00000001_part+7.mp4", None);
        check("/a/other.ts", None);
        check("/a", None);
        check("", None);
    }
}
