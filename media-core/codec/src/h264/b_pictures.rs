//! B pictures of x264, judged by ffmpeg: the right pictures, in the order they are shown in, each with its own time.

use super::{DecodedPicture, DisplayOrder, H264Decoder};
use crate::scale::tests::psnr;
use media::{AccessUnit, AnnexB, ClockRate, CodecParams, H264Entrance, MediaTime, MonoTime, Picture, TrackId};
use std::path::Path;
use std::process::Command;

const SIZE: (u32, u32) = (320, 240);

/// Decoding is exact (H.264 clause 8), but in OpenH264 a few blocks in direct mode are not, in whichever profile: a luma step here and
/// there, 41 dB at worst where other pictures refer to them for seconds. Another picture of this moving card has less than 30.
const ALIKE: f64 = 38.0;

/// What x264 makes of a moving card, as units with the times an MP4 file gives them, and what ffmpeg decodes from it.
pub(crate) struct Clip {
    pub(crate) units: Vec<AccessUnit>,
    pub(crate) pictures: Vec<Picture>,
}

fn run(program: &str, arguments: &[&str], file: &Path, rest: &[&str]) -> Vec<u8> {
    let output = Command::new(program).args(["-v", "error"]).args(arguments).arg(file).args(rest).output();
    let output = output.unwrap_or_else(|e| panic!("{program} must be installed for this test: {e}"));
    assert!(output.status.success(), "{program}: {}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

impl Clip {
    /// `count` pictures by libx264 with these options.
    pub(crate) fn x264(name: &str, count: u32, options: &str) -> Self {
        let file = std::env::temp_dir().join(format!("codec-b-{name}-{}.mp4", std::process::id()));
        let source = format!("testsrc2=size={}x{}:rate=30", SIZE.0, SIZE.1);
        let mut make = vec!["-y", "-f", "lavfi", "-i", &source, "-pix_fmt", "yuv420p", "-c:v", "libx264"];
        make.extend(options.split_whitespace());
        let frames = count.to_string();
        make.extend(["-frames:v", &frames]);
        run("ffmpeg", &make, &file, &[]);
        let probe = ["-select_streams", "v:0", "-show_entries", "packet=pts,dts", "-of", "csv=p=0"];
        let times = String::from_utf8(run("ffprobe", &probe, &file, &[])).unwrap();
        let raw = ["-c", "copy", "-bsf:v", "h264_mp4toannexb,h264_metadata=aud=insert", "-f", "h264", "pipe:1"];
        let stream = run("ffmpeg", &["-i"], &file, &raw);
        let decoded = run("ffmpeg", &["-i"], &file, &["-vsync", "passthrough", "-f", "rawvideo", "pipe:1"]);
        std::fs::remove_file(&file).unwrap();
        let bytes = Picture::bytes_of(SIZE.0, SIZE.1).unwrap();
        let picture = |data: &[u8]| Picture::new(SIZE.0, SIZE.1, data.to_vec(), MonoTime::default()).unwrap();
        let clip = Self { units: units(&stream, &times), pictures: decoded.chunks(bytes).map(picture).collect() };
        assert_eq!((clip.units.len(), clip.pictures.len()), (count as usize, count as usize));
        clip
    }

    /// Presentation times in the order of presentation.
    pub(crate) fn times(&self) -> Vec<MediaTime> {
        let mut times: Vec<_> = self.units.iter().map(|unit| unit.pts).collect();
        times.sort();
        times
    }
}

/// One unit per delimiter, with the times of ffprobe's lines.
fn units(stream: &[u8], times: &str) -> Vec<AccessUnit> {
    let (mut entrance, mut pictures, mut nals) = (H264Entrance::new(), Vec::new(), Vec::new());
    for nal in AnnexB::new(stream) {
        if nal[0] & 31 == 9 && !nals.is_empty() {
            pictures.extend(entrance.unit(std::mem::take(&mut nals).into_iter()).unwrap());
        }
        nals.push(nal);
    }
    pictures.extend(entrance.unit(nals.into_iter()).unwrap());
    // MP4 by ffmpeg counts 15 360ths of a second at this rate.
    let time = |text: &str| MediaTime::new(text.parse::<i64>().unwrap() * 90_000 / 15_360, ClockRate::VIDEO);
    let times = times.lines().map(|line| line.trim_end_matches(',').split_once(',').unwrap());
    pictures
        .into_iter()
        .zip(times)
        .map(|(unit, (pts, dts))| AccessUnit {
            track: TrackId(0),
            dts: time(dts),
            pts: time(pts),
            duration: None,
            kind: unit.kind,
            captured: None,
            params: unit.params,
            payload: unit.payload,
        })
        .collect()
}

/// Everything that comes out, with nothing left in the decoder.
fn decode(units: &[AccessUnit]) -> Vec<DecodedPicture> {
    let (mut decoder, mut order, mut out) = (H264Decoder::new().unwrap(), DisplayOrder::default(), Vec::new());
    for (n, unit) in units.iter().enumerate() {
        let picture = decoder.decode_at_once(unit).unwrap().unwrap_or_else(|| panic!("unit {n} gave no picture"));
        assert_eq!(picture.pts, unit.pts);
        order.unit(unit);
        order.push(picture);
        out.extend(std::iter::from_fn(|| order.pop()));
    }
    assert_eq!(order.late(), 0);
    out
}

#[test]
fn b_pyramid_comes_out_as_it_is_shown() {
    for (name, options) in [
        ("pyramid", "-profile:v main -bf 3 -x264-params b-pyramid=normal:keyint=60"),
        ("high", "-profile:v high -preset medium -bf 3 -refs 4 -x264-params b-pyramid=normal:keyint=250:b-adapt=0"),
        ("open", "-profile:v high -bf 5 -x264-params b-pyramid=strict:open-gop=1:keyint=30"),
        ("flat", "-profile:v main -bf 2 -x264-params b-pyramid=none"),
        ("none", "-profile:v high -bf 0"),
        ("slices", "-profile:v high -bf 3 -x264-params slices=4:b-pyramid=normal"),
    ] {
        let clip = Clip::x264(name, 180, options);
        let reordered = clip.units.windows(2).any(|pair| pair[1].pts < pair[0].pts);
        let CodecParams::H264(params) = &*clip.units[0].params else { panic!("H.264") };
        assert_eq!((reordered, params.reorder() > 0), (name != "none", name != "none"), "{name}");
        let shown = decode(&clip.units);
        // What waits at the end waits for the next unit.
        assert!(shown.len() + params.reorder() as usize >= 180, "{name}: {}", shown.len());
        for (n, (ours, (theirs, pts))) in shown.iter().zip(clip.pictures.iter().zip(clip.times())).enumerate() {
            assert_eq!(ours.pts, pts, "{name}: picture {n}");
            let likeness = psnr(&ours.picture, theirs);
            assert!(likeness > ALIKE, "{name}: picture {n} is another one ({likeness:.0} dB)");
        }
    }
}

/// The decoder that a player uses gives the same, one picture a unit.
#[test]
fn one_picture_a_unit() {
    let clip = Clip::x264("player", 90, "-profile:v main -bf 3 -x264-params b-pyramid=normal");
    let mut decoder = H264Decoder::new().unwrap();
    let shown: Vec<_> = clip.units.iter().filter_map(|unit| decoder.decode(unit).unwrap()).map(|d| d.pts).collect();
    assert!(shown.len() >= 87, "{}", shown.len());
    assert_eq!(shown, clip.times()[..shown.len()]);
}

/// Where a key picture is lost, nothing comes until the next, and nothing goes back.
#[test]
fn order_holds_after_a_loss() {
    let clip = Clip::x264("loss", 180, "-profile:v main -bf 3 -x264-params b-pyramid=normal:keyint=30:scenecut=0");
    let mut decoder = H264Decoder::new().unwrap();
    let mut shown = Vec::new();
    for (n, unit) in clip.units.iter().enumerate() {
        if n == 65 {
            decoder.expect_key();
        }
        if let Ok(Some(picture)) = decoder.decode(unit) {
            shown.push(picture.pts);
        }
    }
    assert!(shown.len() > 140 && shown.len() < 175, "{}", shown.len());
    assert!(shown.windows(2).all(|pair| pair[0] < pair[1]), "{shown:?}");
}
