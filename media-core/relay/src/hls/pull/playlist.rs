//! What a playlist of others says, as far as pulling needs it (RFC 8216, and what newer drafts add to segments).
//!
//! Not here: tags and attributes (`quick-m3u8`), addresses (`super`), playlists of our own (`proto::hls`).

use quick_m3u8::config::ParsingOptionsBuilder;
use quick_m3u8::tag::KnownTag;
use quick_m3u8::tag::hls::{EnumeratedString, MediaType, Method, Tag};
use quick_m3u8::{HlsLine, Reader};
use std::time::Duration;
use thiserror::Error;

/// Segments of one playlist at most: a day of two seconds each. What is live has a dozen.
const MAX_SEGMENTS: usize = 43_200;
/// Variants and renditions at most.
const MAX_RENDITIONS: usize = 256;
/// No segment is longer; the tag's number may be anything.
const MAX_TARGET: u64 = 600;

/// What is wrong with a playlist.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum PlaylistError {
    /// Not a playlist, or not one line of it.
    #[error("not a playlist: {0}")]
    Syntax(String),
    /// More than any server lists.
    #[error("too many {0}")]
    TooMany(&'static str),
    /// Segments that take a key.
    #[error("encrypted segments are not read")]
    Encrypted,
    /// It lists nothing.
    #[error("there is nothing in it")]
    Empty,
}

/// One playlist.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Playlist {
    Multivariant(Choice),
    Media(MediaPlaylist),
}

/// What is pulled of a multivariant playlist: the variant with the highest bandwidth, and the sound that belongs to it where that is
/// apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Choice {
    pub(super) variant: String,
    pub(super) audio: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct MediaPlaylist {
    pub(super) target: Duration,
    /// Number of the first segment.
    pub(super) sequence: u64,
    pub(super) segments: Vec<Segment>,
    /// Nothing will be added.
    pub(super) ended: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Segment {
    pub(super) place: Place,
    /// What initialises it; MPEG-TS has none.
    pub(super) map: Option<Place>,
    /// Its times do not go on from the one before.
    pub(super) discontinuity: bool,
    /// It is missing at the server.
    pub(super) gap: bool,
}

/// An address, and which of its bytes: offset and length.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) uri: String,
    pub(super) range: Option<(u64, u64)>,
}

struct Variant {
    bandwidth: u64,
    audio: Option<String>,
    uri: String,
}

struct Rendition {
    group: String,
    default: bool,
    uri: Option<String>,
}

#[derive(Default)]
struct Reading {
    media: MediaPlaylist,
    variants: Vec<Variant>,
    renditions: Vec<Rendition>,
    /// What the next address is: a variant of this bandwidth and audio group.
    variant: Option<(u64, Option<String>)>,
    map: Option<Place>,
    range: Option<(u64, Option<u64>)>,
    discontinuity: bool,
    gap: bool,
}

impl Playlist {
    /// Reads `text`.
    ///
    /// # Errors
    /// [`PlaylistError`].
    pub(super) fn parse(text: &[u8]) -> Result<Self, PlaylistError> {
        let text = text.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(text);
        if !text.starts_with(b"#EXTM3U") {
            return Err(PlaylistError::Syntax("it does not begin with #EXTM3U".into()));
        }
        let options = ParsingOptionsBuilder::new().with_parsing_for_all_tags().build();
        let mut reader = Reader::from_bytes(text, options);
        let mut reading = Reading::default();
        while let Some(line) = reader.read_line().map_err(|error| PlaylistError::Syntax(error.error.to_string()))? {
            match line {
                HlsLine::KnownTag(KnownTag::Hls(tag)) => reading.tag(&tag)?,
                HlsLine::Uri(uri) => reading.uri(uri.trim())?,
                _ => {}
            }
        }
        reading.finish()
    }
}

impl Reading {
    fn tag(&mut self, tag: &Tag<'_>) -> Result<(), PlaylistError> {
        match tag {
            Tag::Targetduration(target) => {
                self.media.target = Duration::from_secs(target.target_duration().min(MAX_TARGET));
            }
            Tag::MediaSequence(sequence) => self.media.sequence = sequence.media_sequence(),
            Tag::Endlist(_) => self.media.ended = true,
            Tag::Discontinuity(_) => self.discontinuity = true,
            Tag::Gap(_) => self.gap = true,
            Tag::Key(key) if key.method() != EnumeratedString::Known(Method::None) => {
                return Err(PlaylistError::Encrypted);
            }
            Tag::Map(map) => {
                let range = map.byterange().map(|range| (range.offset, range.length));
                self.map = Some(Place { uri: map.uri().to_owned(), range });
            }
            Tag::Byterange(range) => self.range = Some((range.length(), range.offset())),
            Tag::StreamInf(variant) => {
                self.variant = Some((variant.bandwidth(), variant.audio().map(str::to_owned)));
            }
            Tag::Media(media) if media.media_type() == EnumeratedString::Known(MediaType::Audio) => {
                if self.renditions.len() >= MAX_RENDITIONS {
                    return Err(PlaylistError::TooMany("renditions"));
                }
                let (group, default) = (media.group_id().to_owned(), media.default());
                self.renditions.push(Rendition { group, default, uri: media.uri().map(str::to_owned) });
            }
            _ => {}
        }
        Ok(())
    }

    fn uri(&mut self, uri: &str) -> Result<(), PlaylistError> {
        let uri = uri.to_owned();
        if let Some((bandwidth, audio)) = self.variant.take() {
            if self.variants.len() >= MAX_RENDITIONS {
                return Err(PlaylistError::TooMany("variants"));
            }
            self.variants.push(Variant { bandwidth, audio, uri });
            return Ok(());
        }
        if self.media.segments.len() >= MAX_SEGMENTS {
            return Err(PlaylistError::TooMany("segments"));
        }
        // Without an offset it begins where the one before ended, in the same file (§4.3.2.2).
        let range = self.range.take().map(|(length, offset)| {
            let before = self.media.segments.last().filter(|last| last.place.uri == uri);
            let end = before.and_then(|last| last.place.range).map_or(0, |(at, length)| at.saturating_add(length));
            (offset.unwrap_or(end), length)
        });
        self.media.segments.push(Segment {
            place: Place { uri, range },
            map: self.map.clone(),
            discontinuity: std::mem::take(&mut self.discontinuity),
            gap: std::mem::take(&mut self.gap),
        });
        Ok(())
    }

    fn finish(self) -> Result<Playlist, PlaylistError> {
        let Some(best) = self.variants.into_iter().max_by_key(|variant| variant.bandwidth) else {
            // A live playlist may be empty when its first segment is not there yet.
            return if self.media.target.is_zero() {
                Err(PlaylistError::Empty)
            } else {
                Ok(Playlist::Media(self.media))
            };
        };
        let mut group: Vec<_> = self.renditions.into_iter().filter(|r| Some(&r.group) == best.audio.as_ref()).collect();
        // The default first, else the first; one without an address is inside the variant.
        group.sort_by_key(|rendition| !rendition.default);
        let audio = group.into_iter().next().and_then(|rendition| rendition.uri).filter(|uri| *uri != best.uri);
        Ok(Playlist::Multivariant(Choice { variant: best.uri, audio }))
    }
}

/// For the fuzzer.
pub(crate) fn fuzz(data: &[u8]) {
    if let Ok(Playlist::Media(media)) = Playlist::parse(data) {
        assert!(media.segments.len() <= MAX_SEGMENTS && media.target <= Duration::from_secs(MAX_TARGET));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn media(text: &str) -> MediaPlaylist {
        match Playlist::parse(text.as_bytes()) {
            Ok(Playlist::Media(media)) => media,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn what_ffmpeg_writes() {
        let got = media(
            "#EXTM3U\n#EXT-X-VERSION:7\n#EXT-X-TARGETDURATION:2\n#EXT-X-MEDIA-SEQUENCE:41\n#EXT-X-MAP:URI=\"init.mp4\"\n\
             #EXTINF:2.000000,\ncam41.m4s\n#EXT-X-DISCONTINUITY\n#EXTINF:2.000000,\ncam42.m4s\n",
        );
        assert_eq!((got.target, got.sequence, got.ended), (Duration::from_secs(2), 41, false));
        let map = Some(Place { uri: "init.mp4".into(), range: None });
        let [first, second] = &got.segments[..] else { panic!("{got:?}") };
        assert_eq!((&first.place.uri[..], &first.map, first.discontinuity), ("cam41.m4s", &map, false));
        assert_eq!((&second.place.uri[..], &second.map, second.discontinuity), ("cam42.m4s", &map, true));
    }

    #[test]
    fn ranges_follow_each_other() {
        let got = media(
            "#EXTM3U\r\n#EXT-X-TARGETDURATION:2\r\n#EXT-X-BYTERANGE:100@50\r\n#EXTINF:2,\r\na.ts\r\n#EXT-X-BYTERANGE:30\r\n\
             #EXTINF:2,\r\na.ts\r\n#EXT-X-BYTERANGE:7\r\n#EXTINF:2,\r\nb.ts\r\n#EXT-X-ENDLIST\r\n",
        );
        let ranges: Vec<_> = got.segments.iter().map(|segment| segment.place.range).collect();
        assert_eq!((ranges, got.ended), (vec![Some((50, 100)), Some((150, 30)), Some((0, 7))], true));
    }

    #[test]
    fn the_best_variant_and_its_sound() {
        let check = |lines: &str, variant: &str, audio: Option<&str>| {
            let got = Playlist::parse(format!("#EXTM3U\n{lines}").as_bytes());
            let want = Choice { variant: variant.into(), audio: audio.map(Into::into) };
            assert_eq!(got, Ok(Playlist::Multivariant(want)), "{lines}");
        };
        let low = "#EXT-X-STREAM-INF:BANDWIDTH=100000\nlow.m3u8\n";
        let high = "#EXT-X-STREAM-INF:BANDWIDTH=900000,AUDIO=\"a\",CODECS=\"avc1.42c01e,mp4a.40.2\"\nhigh.m3u8\n";
        let sound = |name: &str, rest: &str| format!("#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"a\",NAME=\"{name}\"{rest}\n");
        check(low, "low.m3u8", None);
        check(&format!("{low}{high}"), "high.m3u8", None);
        let two = sound("x", ",URI=\"x.m3u8\"") + &sound("y", ",DEFAULT=YES,URI=\"y.m3u8\"");
        check(&format!("{two}{high}{low}"), "high.m3u8", Some("y.m3u8"));
        check(&format!("{}{high}", sound("x", ",DEFAULT=YES")), "high.m3u8", None);
    }

    #[test]
    fn refuses() {
        let check = |text: &str, want: PlaylistError| assert_eq!(Playlist::parse(text.as_bytes()), Err(want), "{text}");
        check("<html>", PlaylistError::Syntax("it does not begin with #EXTM3U".into()));
        check("#EXTM3U\n", PlaylistError::Empty);
        let key = "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXT-X-KEY:METHOD=AES-128,URI=\"k\"\n#EXTINF:2,\na.ts\n";
        check(key, PlaylistError::Encrypted);
        let many = "#EXTM3U\n#EXT-X-TARGETDURATION:2\n".to_owned() + &"a\n".repeat(MAX_SEGMENTS + 1);
        check(&many, PlaylistError::TooMany("segments"));
    }
}
