//! The multivariant playlist (RFC 8216bis §4.4.6).

use super::{Carried, MEDIA, Variant};

/// What `EXT-X-STREAM-INF` says of the picture.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct VideoTraits {
    /// Pixels.
    pub width: u32,
    /// Pixels.
    pub height: u32,
    /// Pictures a second, where known.
    pub frame_rate: Option<f64>,
}

/// What a multivariant playlist says; one rendition, picture and sound together.
#[derive(Debug, Clone, PartialEq)]
pub struct Multivariant {
    /// RFC 6381 names, picture first.
    pub codecs: Vec<String>,
    /// The picture, where there is one.
    pub video: Option<VideoTraits>,
    /// Bits a second of the heaviest segment.
    pub peak: u64,
    /// Bits a second over all segments.
    pub average: u64,
}

impl Multivariant {
    /// The playlist, leading to the media playlist of `variant`, which is named where it is not what `MEDIA` is by itself.
    pub fn text(&self, variant: Option<Variant>, carried: &Carried) -> String {
        // Required, and never zero: some players divide by it.
        let mut out = format!(
            "#EXTM3U\n#EXT-X-VERSION:9\n#EXT-X-STREAM-INF:BANDWIDTH={},AVERAGE-BANDWIDTH={},CODECS=\"{}\"",
            self.peak.max(1),
            self.average.max(1),
            self.codecs.join(",")
        );
        if let Some(video) = self.video {
            out.push_str(&format!(",RESOLUTION={}x{}", video.width, video.height));
            if let Some(rate) = video.frame_rate.filter(|r| r.is_finite() && *r > 0.0) {
                out.push_str(&format!(",FRAME-RATE={rate:.3}"));
            }
        }
        let variant = variant.map_or_else(String::new, |variant| format!("variant={}", variant.name()));
        let query: Vec<&str> = [variant.as_str(), carried.as_str()].into_iter().filter(|q| !q.is_empty()).collect();
        let mark = if query.is_empty() { "" } else { "?" };
        out.push_str(&format!("\n{MEDIA}{mark}{}\n", query.join("&")));
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text() {
        let playlist = Multivariant {
            codecs: vec!["avc1.42c01e".into(), "mp4a.40.2".into()],
            video: Some(VideoTraits { width: 640, height: 480, frame_rate: Some(30.0) }),
            peak: 900_000,
            average: 800_000,
        };
        let carried = super::super::Directives::parse("token=x&a=b").unwrap().carried;
        assert_eq!(
            playlist.text(Some(Variant::Fmp4), &carried),
            "#EXTM3U\n#EXT-X-VERSION:9\n#EXT-X-STREAM-INF:BANDWIDTH=900000,AVERAGE-BANDWIDTH=800000,\
             CODECS=\"avc1.42c01e,mp4a.40.2\",RESOLUTION=640x480,FRAME-RATE=30.000\nstream.m3u8?variant=fmp4&token=x\n"
        );
        let sound = Multivariant { codecs: vec!["opus".into()], video: None, peak: 0, average: 0 };
        assert!(sound.text(None, &Carried::default()).ends_with("CODECS=\"opus\"\nstream.m3u8\n"));
    }
}
