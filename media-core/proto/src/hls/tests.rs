//! Playlists of random runs, read by a parser that none of us wrote.

use super::*;
use bytes::Bytes;
use proptest::prelude::*;
use quick_m3u8::config::ParsingOptionsBuilder;
use quick_m3u8::tag::KnownTag;
use quick_m3u8::tag::hls::Tag;
use quick_m3u8::{HlsLine, Reader};
use std::collections::BTreeMap;

#[derive(Debug, Clone, PartialEq, Default)]
struct Entry {
    uri: String,
    duration: f64,
    map: String,
    breaks: bool,
    parts: Vec<(String, f64, bool)>,
}

#[derive(Debug, Clone, Default)]
struct Parsed {
    target: u64,
    part_target: f64,
    part_hold_back: f64,
    can_skip_until: f64,
    msn: u64,
    discontinuity_sequence: u64,
    skipped: u64,
    segments: Vec<Entry>,
    open: Entry,
    hint: Option<String>,
    ended: bool,
}

fn parse(text: &str) -> Parsed {
    let options = ParsingOptionsBuilder::new().with_parsing_for_all_tags().build();
    let mut reader = Reader::from_str(text, options);
    let (mut out, mut entry, mut map) = (Parsed::default(), Entry::default(), String::new());
    while let Some(line) = reader.read_line().expect("every line is HLS") {
        match line {
            HlsLine::Uri(uri) => {
                entry.uri = uri.into_owned();
                entry.map.clone_from(&map);
                out.segments.push(std::mem::take(&mut entry));
            }
            HlsLine::KnownTag(KnownTag::Hls(tag)) => match tag {
                Tag::Targetduration(t) => out.target = t.target_duration(),
                Tag::PartInf(t) => out.part_target = t.part_target(),
                Tag::ServerControl(t) => {
                    assert!(t.can_block_reload());
                    out.part_hold_back = t.part_hold_back().unwrap();
                    out.can_skip_until = t.can_skip_until().unwrap();
                }
                Tag::MediaSequence(t) => out.msn = t.media_sequence(),
                Tag::DiscontinuitySequence(t) => out.discontinuity_sequence = t.discontinuity_sequence(),
                Tag::Skip(t) => out.skipped = t.skipped_segments(),
                Tag::Discontinuity(_) => entry.breaks = true,
                Tag::Map(t) => map = t.uri().to_owned(),
                Tag::Inf(t) => entry.duration = t.duration(),
                Tag::Part(t) => entry.parts.push((t.uri().to_owned(), t.duration(), t.independent())),
                Tag::PreloadHint(t) => out.hint = Some(t.uri().to_owned()),
                Tag::Endlist(_) => out.ended = true,
                Tag::M3u(_) | Tag::Version(_) | Tag::ProgramDateTime(_) => {}
                other => panic!("{other:?} is not written"),
            },
            HlsLine::Blank => {}
            other => panic!("{other:?} is no tag"),
        }
    }
    entry.map = map;
    out.open = entry;
    out
}

/// What a player knows after it applied a delta update to what it had.
fn apply(before: &Parsed, delta: &Parsed) -> Vec<Entry> {
    let skip = usize::try_from(delta.skipped).unwrap();
    let from = usize::try_from(delta.msn - before.msn).unwrap();
    let mut all: Vec<Entry> = before.segments.iter().skip(from).take(skip).cloned().collect();
    assert_eq!(all.len(), skip, "what was skipped was there");
    let map = all.last().map(|e| e.map.clone()).unwrap_or_default();
    all.extend(delta.segments.iter().cloned().map(|mut entry| {
        if entry.map.is_empty() {
            entry.map.clone_from(&map);
        }
        entry
    }));
    all
}

const PART: u64 = 202_000;

fn window(segments: usize) -> Window {
    let config = WindowConfig {
        seed: Seed::new(0xA1),
        first_msn: 1_795_180_501,
        first_discontinuity: 7,
        segments,
        segment_target: 1_000_000,
        max_bytes: 1 << 20,
    };
    Window::new(config, Bytes::from_static(b"init"), PART, 1_795_180_500_000_000)
}

#[derive(Debug, Clone)]
enum Step {
    Part(u64),
    Segment,
    Break,
    NewInit,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (1_000_u64..=PART).prop_map(Step::Part),
        1 => (PART..2_000_000).prop_map(Step::Part),
        4 => Just(Step::Segment),
        1 => Just(Step::Break),
        1 => Just(Step::NewInit),
    ]
}

fn play(window: &mut Window, step: &Step) {
    let date = window.edge_date();
    match step {
        Step::Part(duration) => window.push_part(Bytes::from_static(b"part"), *duration, window.open_duration() == 0),
        Step::Segment => window.begin_segment(Seam::Continues, None, date),
        Step::Break => window.begin_segment(Seam::Breaks, None, date + 5_000_000),
        Step::NewInit => window.begin_segment(Seam::Breaks, Some(Bytes::from_static(b"other")), date),
    }
}

/// What holds of every playlist.
fn check(now: &Parsed) {
    let close = |a: f64, b: f64| (a - b).abs() < 1e-5;
    assert!(now.part_hold_back + 1e-6 >= now.part_target * 3.0);
    assert!(now.can_skip_until >= now.target as f64 * 6.0);
    for entry in now.segments.iter().chain([&now.open]) {
        assert!(entry.duration.round() as u64 <= now.target, "{} above {}", entry.duration, now.target);
        assert!(entry.parts.iter().all(|p| p.1 <= now.part_target + 1e-9));
    }
    for entry in now.segments.iter().filter(|e| !e.parts.is_empty()) {
        assert!(close(entry.parts.iter().map(|p| p.1).sum(), entry.duration), "parts add up to their segment");
    }
    let numbers: Vec<u64> = now
        .segments
        .iter()
        .chain([&now.open])
        .flat_map(|e| e.parts.iter().map(|p| p.0.as_str()))
        .chain(now.hint.as_deref())
        .map(|uri| match Resource::parse(uri.split('?').next().unwrap()) {
            Some(Resource::Part { number, .. }) => number,
            other => panic!("{uri}: {other:?}"),
        })
        .collect();
    assert!(numbers.windows(2).all(|w| w[1] == w[0] + 1), "parts are numbered without a gap: {numbers:?}");
}

proptest! {
    #[test]
    fn every_playlist_of_a_run_is_valid(steps in prop::collection::vec(step(), 1..150), segments in 3_usize..9) {
        let mut window = window(segments);
        // What was ever said of a segment, and its discontinuity sequence number.
        let mut said: BTreeMap<u64, (String, f64, String, u64)> = BTreeMap::new();
        let mut before: Option<Parsed> = None;
        for step in &steps {
            play(&mut window, step);
            if !window.is_presentable() {
                continue;
            }
            let carried = Directives::parse("token=t").unwrap().carried;
            let now = parse(&window.playlist(Variant::LowLatency, Skip::No, &carried));
            check(&now);
            let mut period = now.discontinuity_sequence;
            for (msn, entry) in (now.msn..).zip(&now.segments) {
                prop_assert!(entry.uri.ends_with("?token=t") && entry.map.ends_with("?token=t"));
                period += u64::from(entry.breaks);
                let this = (entry.uri.clone(), entry.duration, entry.map.clone(), period);
                prop_assert_eq!(said.entry(msn).or_insert_with(|| this.clone()), &this, "a segment never changes");
                let view = window.segment(msn).expect("what is listed is there");
                let parts = (view.first_part..view.first_part + view.parts).map(|n| window.part(n));
                let bytes: usize = parts.map(|p| match p { PartLookup::Here(b) => b.len(), _ => 0 }).sum();
                prop_assert_eq!(bytes, view.bytes);
            }
            let delta = parse(&window.playlist(Variant::LowLatency, Skip::Yes, &carried));
            if let Some(before) = &before {
                prop_assert!(now.msn >= before.msn && now.discontinuity_sequence >= before.discontinuity_sequence);
                prop_assert!(now.part_target >= before.part_target && now.target >= before.target);
                let next = before.msn + before.segments.len() as u64;
                prop_assert!(now.msn + now.segments.len() as u64 - next <= 1, "one segment at a time");
                let applied = apply(before, &delta);
                let strip = |e: &Entry| (e.uri.clone(), e.duration, e.map.clone(), e.breaks);
                prop_assert_eq!(
                    applied.iter().map(strip).collect::<Vec<_>>(),
                    now.segments.iter().map(strip).collect::<Vec<_>>()
                );
            }
            let whole = parse(&window.playlist(Variant::Fmp4, Skip::No, &carried));
            let text = window.playlist(Variant::MpegTs, Skip::No, &carried);
            let transport = parse(&text);
            assert!(text.starts_with("#EXTM3U\n#EXT-X-VERSION:3\n") && !text.contains("EXT-X-MAP"));
            assert_eq!((transport.msn, transport.segments.len()), (whole.msn, whole.segments.len()));
            assert!(transport.segments.iter().all(|s| s.uri.contains(".ts")), "{text}");
            prop_assert_eq!(whole.segments.len(), now.segments.len());
            prop_assert!(whole.segments.iter().all(|e| e.parts.is_empty()) && whole.hint.is_none());
            before = Some(now);
        }
        window.end();
        if window.is_presentable() {
            let last = parse(&window.playlist(Variant::LowLatency, Skip::No, &Carried::default()));
            prop_assert!(last.ended && last.hint.is_none() && last.open.parts.is_empty());
        }
    }

    #[test]
    fn a_block_becomes_ready_and_stays_so(steps in prop::collection::vec(step(), 1..80), ahead in 0_u64..4, part in prop::option::of(0_u64..20)) {
        let mut window = window(4);
        let block = Block { msn: 1_795_180_501 + ahead, part };
        let mut was = window.check(block);
        for step in &steps {
            play(&mut window, step);
            let now = window.check(block);
            prop_assert!(was != Availability::Ready || now == Availability::Ready);
            prop_assert!(was != Availability::Wait || now != Availability::TooFar || part.is_some());
            was = now;
        }
    }
}

/// Ten regular segments of five parts, then two parts of the eleventh.
fn regular() -> Window {
    let mut window = window(7);
    for segment in 0..11 {
        if segment > 0 {
            let date = window.edge_date();
            window.begin_segment(Seam::Continues, None, date);
        }
        for part in 0..if segment == 10 { 2 } else { 5 } {
            window.push_part(Bytes::from(vec![0; 1000]), 200_000, part == 0);
        }
    }
    window
}

#[test]
fn text() {
    let got = regular().playlist(Variant::LowLatency, Skip::Yes, &Carried::default());
    let want = "#EXTM3U\n#EXT-X-VERSION:9\n#EXT-X-TARGETDURATION:1\n\
        #EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES,PART-HOLD-BACK=0.606000,CAN-SKIP-UNTIL=6.000000\n\
        #EXT-X-PART-INF:PART-TARGET=0.202000\n#EXT-X-MEDIA-SEQUENCE:1795180504\n\
        #EXT-X-DISCONTINUITY-SEQUENCE:7\n#EXT-X-SKIP:SKIPPED-SEGMENTS=1\n\
        #EXT-X-PROGRAM-DATE-TIME:2026-11-20T13:15:04.000Z\n#EXTINF:1.000000,\n0000000000a1_seg1795180505.mp4\n";
    assert!(got.starts_with(want), "{got}");
    let end = "#EXT-X-PROGRAM-DATE-TIME:2026-11-20T13:15:10.000Z\n\
        #EXT-X-PART:DURATION=0.200000,URI=\"0000000000a1_part50.mp4\",INDEPENDENT=YES\n\
        #EXT-X-PART:DURATION=0.200000,URI=\"0000000000a1_part51.mp4\"\n\
        #EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"0000000000a1_part52.mp4\"\n";
    assert!(got.ends_with(end), "{got}");
    assert_eq!(got.matches("#EXT-X-PART:").count(), 3 * 5 + 2);
}

#[test]
fn blocks() {
    let window = regular();
    let open = 1_795_180_511;
    let check = |msn: u64, part: Option<u64>, want| {
        assert_eq!(window.check(Block { msn, part }), want, "{msn} {part:?}");
    };
    check(0, None, Availability::Ready);
    check(open - 1, None, Availability::Ready);
    check(open - 1, Some(4), Availability::Ready);
    // Beyond a segment's last part is the first of the next.
    check(open - 1, Some(5), Availability::Ready);
    check(open, Some(1), Availability::Ready);
    check(open, Some(2), Availability::Wait);
    check(open, None, Availability::Wait);
    check(open, Some(2 + 15), Availability::TooFar);
    check(open + 1, None, Availability::Wait);
    check(open + 1, Some(0), Availability::Wait);
    check(open + 2, None, Availability::TooFar);
    check(u64::MAX, Some(u64::MAX), Availability::TooFar);
}

#[test]
fn a_segment_outlives_its_listing() {
    let window = regular();
    // Listed are 7 of 10; the three before are still there.
    assert!(window.segment(1_795_180_501).is_some());
    assert_eq!(window.part(52), PartLookup::Next);
    assert_eq!(window.part(53), PartLookup::Missing);
    assert!(matches!(window.part(0), PartLookup::Here(_)));
    let mut long = regular();
    for _ in 0..30 {
        let date = long.edge_date();
        long.begin_segment(Seam::Continues, None, date);
        long.push_part(Bytes::from(vec![0; 1000]), 1_000_000, true);
    }
    assert_eq!((long.segment(1_795_180_501), long.part(0)), (None, PartLookup::Missing));
}

#[test]
fn bytes_are_bounded() {
    let mut window = window(7);
    for _ in 0..40 {
        let date = window.edge_date();
        window.begin_segment(Seam::Continues, None, date);
        window.push_part(Bytes::from(vec![0; 300 << 10]), 1_000_000, true);
    }
    assert!(window.bytes() <= (1 << 20) + (900 << 10), "{}", window.bytes());
    check(&parse(&window.playlist(Variant::LowLatency, Skip::No, &Carried::default())));
}
