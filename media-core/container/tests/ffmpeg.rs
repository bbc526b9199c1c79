//! ffmpeg as judge: what it wrote is read, what we write it reads without complaint.
//!
//! ffmpeg and ffprobe with libx264 and libopus must be installed; a machine without them fails here.
#![expect(clippy::unwrap_used, reason = "the helpers of a test: a failed unwrap is a failed test")]

use bytes::Bytes;
use container::flv::{self, Event, FileReader, Muxer, Signalling, Tag};
use container::fmp4::{self, FragmentWriter};
use container::mpegts;
use media::{AccessUnit, Codec, MediaKind, MediaTime, TrackSet, UnitKind};
use std::collections::BTreeMap;
use std::process::Command;

const PICTURES: usize = 50;

/// A folder with clips of two seconds: 160×120 at 25 pictures a second, GOP of one second, and a tone.
struct Clips(tempfile::TempDir);

impl Clips {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    /// Encodes `name` with these codec options; the format follows from the name.
    fn encode(&self, name: &str, options: &str) -> Bytes {
        self.encode_by("libx264 -preset ultrafast -sc_threshold 0", name, options)
    }

    /// The same by another encoder of the picture.
    fn encode_by(&self, video: &str, name: &str, options: &str) -> Bytes {
        let sources = "-f lavfi -i testsrc2=size=160x120:rate=25:duration=2 -f lavfi -i sine=frequency=440:duration=2";
        self.run("ffmpeg", &format!("-y {sources} -c:v {video} -pix_fmt yuv420p -g 25 {options} {name}"));
        self.read(name)
    }

    fn read(&self, name: &str) -> Bytes {
        std::fs::read(self.0.path().join(name)).unwrap().into()
    }

    fn write(&self, name: &str, bytes: &[u8]) {
        std::fs::write(self.0.path().join(name), bytes).unwrap();
    }

    /// Runs a program in the folder and gives its output; anything it complains of fails the test.
    fn run(&self, program: &str, arguments: &str) -> String {
        let output = Command::new(program)
            .current_dir(self.0.path())
            .args(["-v", "warning"])
            .args(arguments.split_whitespace())
            .output()
            .unwrap_or_else(|e| panic!("{program} must be installed for this test: {e}"));
        let complaints = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && complaints.is_empty(), "{program} {arguments}: {complaints}");
        String::from_utf8(output.stdout).unwrap()
    }

    fn probe(&self, name: &str, entries: &str) -> Vec<Facts> {
        let out = self.run("ffprobe", &format!("-show_entries {entries} -of compact=p=0 {name}"));
        let facts =
            |line: &str| line.split('|').filter_map(|f| f.split_once('=')).map(|(k, v)| (k.into(), v.into())).collect();
        out.lines().filter(|line| !line.is_empty()).map(facts).collect()
    }

    /// The file holds these codecs, decodes without complaint to every picture, and its times are those of `units`.
    fn judge(&self, name: &str, codecs: &[&str], units: &[AccessUnit]) {
        self.judge_from(0.0, name, codecs, units);
    }

    /// As [`Self::judge`], of a file in which the first unit has the time `start` in seconds.
    fn judge_from(&self, start: f64, name: &str, codecs: &[&str], units: &[AccessUnit]) {
        let streams = self.probe(name, "stream=codec_name");
        // Of a transport stream ffprobe says it twice: by program, and by stream.
        for streams in streams.chunks(codecs.len()) {
            assert_eq!(streams.iter().map(|s| s["codec_name"].as_str()).collect::<Vec<_>>(), codecs);
        }
        let packets = self.probe(name, "packet=codec_type,pts_time,dts_time,flags");
        let base = units[0].dts;
        for kind in ["video", "audio"] {
            let packets: Vec<_> = packets.iter().filter(|p| p["codec_type"] == kind).collect();
            let units: Vec<_> = units.iter().filter(|u| u.is_video() == (kind == "video")).collect();
            assert_eq!(packets.len(), units.len(), "{kind} packets in {name}");
            let dts: Vec<_> = packets.iter().map(|p| number(p, "dts_time")).collect();
            assert!(dts.is_sorted_by(|a, b| a < b), "{kind} dts rises in {name}: {dts:?}");
            for (packet, unit) in packets.iter().zip(&units) {
                let (want, got) = (start + unit.pts.minus(base).seconds(), number(packet, "pts_time"));
                assert!((got - want).abs() < 0.002, "{kind} at {want} s is at {got} s in {name}");
                assert_eq!(packet["flags"].starts_with('K'), unit.kind != UnitKind::Delta, "{packet:?}");
            }
        }
        // Decodes every frame; `-xerror` ends at the first error.
        self.run("ffmpeg", &format!("-xerror -i {name} -f null -"));
        let frames = self.probe(name, "frame=media_type");
        let pictures = units.iter().filter(|unit| unit.is_video()).count();
        assert_eq!(
            frames.iter().filter(|f| f["media_type"] == "video").count(),
            pictures,
            "pictures decoded from {name}"
        );
    }
}

/// One packet or stream of ffprobe's, by field name.
type Facts = BTreeMap<String, String>;

fn number(facts: &Facts, name: &str) -> f64 {
    facts.get(name).and_then(|value| value.parse().ok()).unwrap_or_else(|| panic!("{name} in {facts:?}"))
}

/// Every unit of an FLV file, and its tracks as they were announced.
fn demux_flv(file: &Bytes) -> (TrackSet, Vec<AccessUnit>) {
    let (mut reader, mut demuxer) = (FileReader::new(), flv::Demuxer::new());
    let (mut tracks, mut units) = (Vec::new(), Vec::new());
    for piece in file.chunks(1000) {
        reader.push(piece);
        while let Some(Tag { kind, timestamp, body }) = reader.next_tag().unwrap() {
            for event in demuxer.push(kind, timestamp, &body).unwrap() {
                match event {
                    Event::Track(track) => tracks.push(track),
                    Event::Unit(unit) => units.push(unit),
                    Event::Metadata(data) => assert_eq!((data.width, data.frame_rate), (Some(160), Some(25.0))),
                    Event::Skipped(name) => panic!("{name} was skipped"),
                }
            }
        }
    }
    assert_eq!(demuxer.dropped(), 0);
    (TrackSet::new(tracks), units)
}

fn mux_flv(tracks: &TrackSet, units: &[AccessUnit]) -> Vec<u8> {
    let mut muxer = Muxer::new(Signalling::Legacy);
    let mut out = flv::file_header(true, true).to_vec();
    muxer.announce(tracks).iter().for_each(|message| message.write_tag(&mut out));
    for unit in units {
        muxer.write(unit).for_each(|message| message.write_tag(&mut out));
    }
    muxer.end().iter().for_each(|message| message.write_tag(&mut out));
    out
}

/// Parts of 200 ms and at key pictures, one behind the other.
fn mux_fmp4(tracks: &TrackSet, units: &[AccessUnit]) -> Vec<u8> {
    let mut writer = FragmentWriter::new(tracks, units[0].dts).unwrap();
    let mut out = writer.init().to_vec();
    let (mut total, mut independent) = (0.0, 0);
    let mut cut = |writer: &mut FragmentWriter| {
        if let Some(fragment) = writer.cut().unwrap() {
            assert!(fragment.duration.seconds() <= 0.25, "{fragment:?}");
            total += fragment.duration.seconds();
            independent += usize::from(fragment.independent);
            out.extend_from_slice(&fragment.bytes);
        }
    };
    for unit in units {
        if unit.is_key() || writer.pending_duration().seconds() >= 0.2 {
            cut(&mut writer);
        }
        writer.push(unit).unwrap();
    }
    cut(&mut writer);
    assert!((total - 2.0).abs() < 0.1, "the parts run {total} s");
    if tracks.first(MediaKind::Video).is_some() {
        assert_eq!(independent, 2, "one part a GOP starts with a key picture");
    }
    out
}

fn check_clip(options: &str) {
    let clips = Clips::new();
    let source = clips.encode("source.flv", &format!("{options} -c:a aac -ar 44100 -ac 1"));
    let (tracks, units) = demux_flv(&source);
    assert_eq!(tracks.iter().map(media::Track::codec).collect::<Vec<_>>(), [Codec::H264, Codec::Aac]);
    assert_eq!(units.iter().filter(|unit| unit.is_video()).count(), PICTURES);
    assert_eq!(units.iter().filter(|unit| unit.is_key()).count(), 2);

    let flv = mux_flv(&tracks, &units);
    clips.write("ours.flv", &flv);
    clips.judge("ours.flv", &["h264", "aac"], &units);
    let (tracks_again, units_again) = demux_flv(&flv.into());
    assert_eq!(tracks_again, tracks);
    assert_same(&units_again, &units);

    let fmp4: Bytes = mux_fmp4(&tracks, &units).into();
    clips.write("ours.mp4", &fmp4);
    clips.judge("ours.mp4", &["h264", "aac"], &units);
    let (_, units_again) = fmp4::read(&fmp4).unwrap();
    assert_same(&units_again, &units);

    // ffmpeg's own fragments hold the same.
    for flags in ["frag_keyframe+empty_moov+default_base_moof", "frag_keyframe+empty_moov"] {
        clips.run("ffmpeg", &format!("-y -i source.flv -c copy -movflags {flags} theirs.mp4"));
        let (_, theirs) = fmp4::read(&clips.read("theirs.mp4")).unwrap();
        assert_same_payloads(&theirs, &units);
    }
}

fn by_kind(units: &[AccessUnit]) -> impl Iterator<Item = &AccessUnit> {
    units.iter().filter(|u| u.is_video()).chain(units.iter().filter(|u| !u.is_video()))
}

fn assert_same_payloads(got: &[AccessUnit], want: &[AccessUnit]) {
    assert_eq!(got.len(), want.len());
    for (got, want) in by_kind(got).zip(by_kind(want)) {
        assert_eq!((got.kind, &got.payload), (want.kind, &want.payload), "{got:?} {want:?}");
        assert_eq!(got.params, want.params);
    }
}

fn assert_same(got: &[AccessUnit], want: &[AccessUnit]) {
    assert_same_payloads(got, want);
    let base = want[0].dts;
    for (got, want) in by_kind(got).zip(by_kind(want)) {
        let off: MediaTime = got.pts.minus(want.pts.minus(base));
        assert!(off.seconds().abs() < 0.002, "{got:?} {want:?}");
    }
}

#[test]
fn baseline() {
    check_clip("-profile:v baseline");
}

#[test]
fn b_pictures() {
    check_clip("-profile:v main -bf 2 -b_strategy 0");
}

#[test]
fn opus_in_fmp4() {
    let clips = Clips::new();
    let flags = "-movflags frag_keyframe+empty_moov+default_base_moof -strict -2";
    let theirs =
        clips.encode("theirs.mp4", &format!("-profile:v baseline -c:a libopus -b:a 64k -ac 2 -ar 48000 {flags}"));
    let (tracks, mut units) = fmp4::read(&theirs).unwrap();
    assert_eq!(tracks.iter().map(media::Track::codec).collect::<Vec<_>>(), [Codec::H264, Codec::Opus]);
    assert_eq!(units.iter().filter(|unit| unit.is_video()).count(), PICTURES);
    units.sort_by_key(|unit| unit.dts);
    let ours: Bytes = mux_fmp4(&tracks, &units).into();
    clips.write("ours.mp4", &ours);
    clips.judge("ours.mp4", &["h264", "opus"], &units);
    assert_same(&fmp4::read(&ours).unwrap().1, &units);
}

#[test]
fn h265_in_mpegts() {
    let clips = Clips::new();
    let x265 = "libx265 -x265-params log-level=none:bframes=3:keyint=25:min-keyint=25:no-open-gop=1:scenecut=0";
    let theirs = clips.encode_by(x265, "theirs.ts", "-c:a aac -ar 44100 -ac 1");
    let (tracks, units) = demux_ts(&theirs);
    assert_eq!(tracks.iter().map(media::Track::codec).collect::<Vec<_>>(), [Codec::H265, Codec::Aac]);
    assert_eq!(units.iter().filter(|unit| unit.is_video()).count(), PICTURES);
    assert_eq!(units.iter().filter(|unit| unit.is_key()).count(), 2);
    assert!(units.iter().any(|unit| unit.is_video() && unit.pts != unit.dts), "shown in another order");

    let mut muxer = mpegts::Muxer::new(&tracks, units[0].dts).unwrap();
    let mut ours = Vec::new();
    units.iter().for_each(|unit| muxer.write(unit, &mut ours).unwrap());
    clips.write("ours.ts", &ours);
    // A second is where our streams begin.
    clips.judge_from(1.0, "ours.ts", &["hevc", "aac"], &units);
    assert_same_payloads(&demux_ts(&ours.into()).1, &units);
}

/// Every unit of a transport stream in decode order, and its tracks.
fn demux_ts(file: &Bytes) -> (TrackSet, Vec<AccessUnit>) {
    let mut demuxer = mpegts::Demuxer::new();
    let mut events = demuxer.push(file);
    assert_eq!(demuxer.damage(), mpegts::Damage::default());
    events.extend(demuxer.end());
    let (mut tracks, mut units) = (TrackSet::default(), Vec::new());
    for event in events {
        match event {
            mpegts::Event::Tracks(set) => tracks = set,
            mpegts::Event::Unit(unit) => units.push(unit),
            mpegts::Event::Skipped(name) => panic!("{name} was skipped"),
        }
    }
    units.sort_by_key(|unit| unit.dts);
    (tracks, units)
}
