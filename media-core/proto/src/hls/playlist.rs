//! The media playlist's text (RFC 8216bis §4.4.3–4.4.5).
//!
//! Not here: what is listed (`window`).

use super::directives::{Carried, Skip, Variant};
use super::names::{Packaging, Resource};
use super::text::{date, seconds};
use super::window::{PART_SEGMENTS, Part, Seam, Segment, Window};

impl Window {
    /// The media playlist, with `carried` behind every URI.
    pub fn playlist(&self, variant: Variant, skip: Skip, carried: &Carried) -> String {
        let query = if carried.as_str().is_empty() { String::new() } else { format!("?{}", carried.as_str()) };
        let mut out = Text {
            out: String::with_capacity(8 << 10),
            window: self,
            query,
            init: None,
            packaging: variant.packaging(),
        };
        match variant {
            Variant::LowLatency => out.low_latency(skip),
            // What each needs: 7 for maps in ordinary playlists, 3 for durations that are no whole seconds (§8).
            Variant::Fmp4 => out.whole_segments(7),
            Variant::MpegTs => out.whole_segments(3),
        }
        out.out
    }

    /// How many of the oldest listed segments a delta update leaves out: those that end before the Skip Boundary.
    fn skippable(&self) -> u64 {
        let boundary = self.can_skip_until();
        let mut behind = self.open.duration;
        let kept = self.listed().rev().take_while(|segment| {
            let recent = behind < boundary;
            behind = behind.saturating_add(segment.duration);
            recent
        });
        (self.listed().count() - kept.count()) as u64
    }

    /// §4.4.3.8: at least six target durations.
    const fn can_skip_until(&self) -> u64 {
        self.target() * 6
    }
}

struct Text<'a> {
    out: String,
    window: &'a Window,
    query: String,
    /// The init segment that holds at this line.
    init: Option<u64>,
    packaging: Packaging,
}

impl Text<'_> {
    fn line(&mut self, line: std::fmt::Arguments<'_>) {
        self.out.push_str(&line.to_string());
        self.out.push('\n');
    }

    fn uri(&self, resource: Resource) -> String {
        format!("{resource}{}", self.query)
    }

    fn head(&mut self, version: u8) {
        let window = self.window;
        self.line(format_args!("#EXTM3U\n#EXT-X-VERSION:{version}\n#EXT-X-TARGETDURATION:{}", window.target));
    }

    fn sequence(&mut self) {
        let window = self.window;
        let first = window.listed().next().map_or(window.open.msn, |s| s.msn);
        self.line(format_args!("#EXT-X-MEDIA-SEQUENCE:{first}"));
        self.line(format_args!("#EXT-X-DISCONTINUITY-SEQUENCE:{}", window.discontinuity_sequence));
    }

    fn low_latency(&mut self, skip: Skip) {
        let window = self.window;
        self.head(9);
        let (part_target, skip_until) = (window.part_target, window.can_skip_until());
        self.line(format_args!(
            "#EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES,PART-HOLD-BACK={},CAN-SKIP-UNTIL={}",
            // Three part targets: as near to live as §4.4.3.8 recommends.
            seconds(part_target * 3),
            seconds(skip_until),
        ));
        self.line(format_args!("#EXT-X-PART-INF:PART-TARGET={}", seconds(part_target)));
        self.sequence();
        let skipped = match skip {
            Skip::Yes => window.skippable(),
            Skip::No => 0,
        };
        if skipped > 0 {
            self.line(format_args!("#EXT-X-SKIP:SKIPPED-SEGMENTS={skipped}"));
        }
        let count = window.listed().count();
        for (index, segment) in window.listed().enumerate() {
            if (index as u64) < skipped {
                // The client remembers what held there.
                self.init = Some(segment.init);
                continue;
            }
            self.segment_head(segment);
            if index + PART_SEGMENTS >= count {
                self.parts(&segment.parts);
            }
            self.segment_end(segment);
        }
        if window.ended {
            self.line(format_args!("#EXT-X-ENDLIST"));
            return;
        }
        if !window.open.parts.is_empty() {
            self.segment_head(&window.open);
            self.parts(&window.open.parts);
        }
        let next = self.uri(Resource::Part { seed: window.config.seed, number: window.next_part });
        self.line(format_args!("#EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"{next}\""));
    }

    fn whole_segments(&mut self, version: u8) {
        let window = self.window;
        self.head(version);
        self.sequence();
        for segment in window.listed() {
            self.segment_head(segment);
            self.segment_end(segment);
        }
        if window.ended {
            self.line(format_args!("#EXT-X-ENDLIST"));
        }
    }

    fn segment_head(&mut self, segment: &Segment) {
        if segment.seam == Seam::Breaks {
            self.line(format_args!("#EXT-X-DISCONTINUITY"));
        }
        if self.packaging == Packaging::Fmp4 && self.init != Some(segment.init) {
            self.init = Some(segment.init);
            let map = self.uri(Resource::Init { seed: self.window.config.seed, number: segment.init });
            self.line(format_args!("#EXT-X-MAP:URI=\"{map}\""));
        }
        self.line(format_args!("#EXT-X-PROGRAM-DATE-TIME:{}", date(segment.date)));
    }

    fn parts(&mut self, parts: &[Part]) {
        for part in parts {
            let uri = self.uri(Resource::Part { seed: self.window.config.seed, number: part.number });
            let independent = if part.independent { ",INDEPENDENT=YES" } else { "" };
            self.line(format_args!("#EXT-X-PART:DURATION={},URI=\"{uri}\"{independent}", seconds(part.duration)));
        }
    }

    fn segment_end(&mut self, segment: &Segment) {
        let uri =
            self.uri(Resource::Segment { seed: self.window.config.seed, msn: segment.msn, packaging: self.packaging });
        self.line(format_args!("#EXTINF:{},\n{uri}", seconds(segment.duration)));
    }
}
