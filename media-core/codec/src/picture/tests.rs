//! Pictures of x264 with B-frames, judged by what ffmpeg decodes from them.

use super::*;
use crate::h264::b_pictures::Clip;
use crate::scale::tests::psnr;

const TRACK: TrackId = TrackId(100);

fn transcode(transcoder: &mut PictureTranscoder, units: &[AccessUnit]) -> Vec<AccessUnit> {
    units.iter().flat_map(|unit| transcoder.push(unit, TRACK, true).unwrap()).collect()
}

#[test]
fn without_b_pictures_and_in_time() {
    let clip = Clip::x264("transcoded", 120, "-profile:v high -bf 3 -x264-params b-pyramid=normal");
    let mut transcoder = PictureTranscoder::new(&clip.units[0].params).unwrap();
    let announced = Arc::clone(transcoder.params());
    let CodecParams::H264(params) = &*announced else { panic!("H.264") };
    assert_eq!((params.width(), params.height(), params.reorder()), (320, 240, 0));
    let out = transcode(&mut transcoder, &clip.units);
    assert!(out.len() >= 117, "{}", out.len());
    assert!(out[0].is_key() && out.iter().all(|unit| Arc::ptr_eq(&unit.params, &announced)), "announced before");
    let keys: Vec<_> = out.iter().enumerate().filter(|(_, unit)| unit.is_key()).map(|(n, _)| n).collect();
    assert_eq!(keys, [0, 60], "every two seconds");
    let mut decoder = H264Decoder::new().unwrap();
    for (n, (unit, (theirs, pts))) in out.iter().zip(clip.pictures.iter().zip(clip.times())).enumerate() {
        assert_eq!((unit.dts, unit.pts, unit.track), (pts, pts, TRACK), "{n}");
        let picture = decoder.decode(unit).unwrap().expect("no delay").picture;
        let likeness = psnr(&picture, theirs);
        assert!(likeness > 30.0, "picture {n}: {likeness:.1} dB");
    }
}

#[test]
fn key_pictures_on_demand() {
    let clip = Clip::x264("demand", 60, "-bf 3");
    let mut transcoder = PictureTranscoder::new(&clip.units[0].params).unwrap();
    transcode(&mut transcoder, &clip.units[..30]);
    transcoder.request_keyframe();
    let out = transcode(&mut transcoder, &clip.units[30..]);
    assert!(out[0].is_key() && !out[1].is_key());
}

/// What is only decoded costs no encoding, and what follows is whole.
#[test]
fn catching_up() {
    let clip = Clip::x264("catching", 90, "-bf 3 -x264-params b-pyramid=normal");
    let mut transcoder = PictureTranscoder::new(&clip.units[0].params).unwrap();
    for unit in &clip.units[..60] {
        assert!(transcoder.push(unit, TRACK, false).unwrap().is_empty());
    }
    let out = transcode(&mut transcoder, &clip.units[60..]);
    assert!(out[0].is_key());
    let first = clip.times().iter().position(|pts| *pts == out[0].pts).unwrap();
    let picture = H264Decoder::new().unwrap().decode(&out[0]).unwrap().unwrap().picture;
    let likeness = psnr(&picture, &clip.pictures[first]);
    assert!(likeness > 30.0, "{likeness}");
    assert_eq!(transcoder.stats(), PictureStats { encoded: out.len() as u64, left_out: first as u64 });
}

/// A camera that is turned: the size changes at a key picture, and so do the parameters that are told.
#[test]
fn the_size_may_change() {
    let (wide, mut tall) =
        (Clip::x264("wide", 30, "-bf 3"), Clip::x264("tall", 30, "-bf 3 -vf scale=240:320 -s 240x320"));
    let shift = wide.units[29].dts.plus(MediaTime::new(9000, ClockRate::VIDEO));
    for unit in &mut tall.units {
        (unit.dts, unit.pts) = (unit.dts.plus(shift), unit.pts.plus(shift));
    }
    let mut transcoder = PictureTranscoder::new(&wide.units[0].params).unwrap();
    transcode(&mut transcoder, &wide.units);
    let out = transcode(&mut transcoder, &tall.units);
    let first = out.iter().position(|unit| unit.params.size() == Some((240, 320))).unwrap();
    assert!(first <= 3 && out[first].is_key(), "the rest of the old size, then a key picture");
    assert!(out[first..].iter().all(|unit| unit.params.size() == Some((240, 320))));
    assert_eq!(transcoder.params().size(), Some((240, 320)));
}

#[test]
fn the_bitrate_is_near_the_source() {
    for source in [250_000.0, 450_000.0] {
        let options = format!("-bf 3 -b:v {source} -maxrate {source} -bufsize {source}");
        let clip = Clip::x264(&format!("rate{source}"), 300, &options);
        let mut transcoder = PictureTranscoder::new(&clip.units[0].params).unwrap();
        let out = transcode(&mut transcoder, &clip.units);
        let times = clip.times();
        let missing: Vec<_> = times[..out.len()].iter().zip(&out).filter(|(want, unit)| **want != unit.pts).collect();
        assert!(out.len() >= 297 && missing.is_empty(), "a change of the bitrate costs no picture: {missing:?}");
        let bits = |units: &[AccessUnit]| units.iter().map(|u| u.payload.len()).sum::<usize>() as f64 * 8.0;
        // From when it is known.
        let (theirs, ours) = (bits(&clip.units[120..]), bits(&out[120..]));
        assert!((0.8..1.6).contains(&(ours / theirs)), "{ours} of {theirs}");
    }
}

#[test]
fn what_it_is_not_for() {
    let opus = CodecParams::Opus(media::OpusParams::WEBRTC);
    assert_eq!(PictureTranscoder::new(&opus).unwrap_err(), CodecError::WrongCodec);
}

/// Motion JPEG in each of its samplings; a picture that is cut off costs itself alone, and another size goes on.
#[test]
fn motion_jpeg() {
    use crate::jpeg::tests::ffmpeg;
    let pictures = |size: (u32, u32), format: &str| {
        let jpeg = ffmpeg(size.0, size.1, &["-pix_fmt", format, "-c:v", "mjpeg", "-q:v", "3", "-f", "mjpeg"]);
        let raw = ffmpeg(size.0, size.1, &["-pix_fmt", "yuv420p", "-f", "rawvideo"]);
        (bytes::Bytes::from(jpeg), Picture::new(size.0, size.1, raw, MonoTime::default()).unwrap())
    };
    let mut entrance = media::MjpegEntrance::new();
    let mut unit = |jpeg: bytes::Bytes, n: i64| {
        let picture = entrance.unit(&jpeg).unwrap();
        let at = MediaTime::new(n * 9000, ClockRate::VIDEO);
        let (kind, params, payload) = (picture.kind, picture.params, picture.payload);
        AccessUnit { track: TrackId(0), dts: at, pts: at, duration: None, kind, captured: None, params, payload }
    };
    let (jpeg, raw) = pictures((320, 240), "yuvj420p");
    let first = unit(jpeg.clone(), 0);
    let mut transcoder = PictureTranscoder::new(&first.params).unwrap();
    let mut decoder = H264Decoder::new().unwrap();
    let mut n = 0;
    let mut seen = |transcoder: &mut PictureTranscoder, unit: &AccessUnit, want: &Picture| {
        let out = transcoder.push(unit, TRACK, true).unwrap();
        assert_eq!((out.len(), out[0].pts), (1, unit.pts), "at once, at its own time");
        let likeness = psnr(&decoder.decode(&out[0]).unwrap().unwrap().picture, want);
        assert!(likeness > 27.0, "{likeness:.1} dB");
    };
    for format in ["yuvj420p", "yuvj422p", "yuvj444p"] {
        n += 1;
        seen(&mut transcoder, &unit(pictures((320, 240), format).0, n), &raw);
    }
    let cut = unit(jpeg.slice(..jpeg.len() / 2), 4);
    assert!(matches!(transcoder.push(&cut, TRACK, true), Err(CodecError::Damaged(_))));
    assert!(transcoder.push(&unit(jpeg.clone(), 5), TRACK, false).unwrap().is_empty());
    seen(&mut transcoder, &unit(jpeg, 6), &raw);
    let (jpeg, raw) = pictures((160, 120), "yuvj420p");
    seen(&mut transcoder, &unit(jpeg, 7), &raw);
    assert_eq!(transcoder.stats(), PictureStats { encoded: 5, left_out: 1 });
}
