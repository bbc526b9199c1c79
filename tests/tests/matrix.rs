//! The support matrix: every kind of stream to every kind of listener, all at once, as the README's table says.
//!
//! The table is here; a row that holds has been played by each of its listeners, judged by clock and beeps. What a browser plays is judged without
//! the distance between sound and picture, which it does not tell.

use anyhow::{Context, Result};
use e2e::matrix::Cell::{As, AsIs, Asked, Told};
use e2e::matrix::{Codec, Row, Source, readme_has, table};
use e2e::patient::OBS;
use e2e::program::output_dir;

const H264: Codec = Codec::picture("H.264", "H264", "h264", "H264");
const WITHOUT_B: Codec = Codec { said: "H.264 without B-frames", ..H264 };
const HEVC: Codec = Codec::picture("HEVC", "H265", "hevc", "H265");
const AV1: Codec = Codec::picture("AV1", "AV1", "av1", "AV1");
const VP9: Codec = Codec::picture("VP9", "VP9", "vp9", "VP9");
const VP8: Codec = Codec::picture("VP8", "VP8", "vp8", "VP8");
const MJPEG: Codec = Codec::picture("MJPEG", "M-JPEG", "mjpeg", "JPEG");
const AAC: Codec = Codec::sound("AAC", "MPEG-4 Audio", "aac", "");
const OPUS: Codec = Codec::sound("Opus", "Opus", "opus", "opus");
const MU_LAW: Codec = Codec::sound("G.711", "G711", "pcm_mulaw", "PCMU");
const MP3: Codec = Codec::sound("MP3", "MPEG-1/2 Audio", "mp3", "");

const X265: &[&str] =
    &["-c:v", "libx265", "-preset", "ultrafast", "-profile:v", "main", "-x265-params", "log-level=error:bframes=0"];
const LIBVPX: &[&str] =
    &["-c:v", "libvpx", "-deadline", "realtime", "-cpu-used", "8", "-tune", "psnr", "-profile:v", "0"];
const JPEG: &[&str] =
    &["-c:v", "mjpeg", "-huffman", "default", "-profile:v", "-99", "-pix_fmt", "yuvj420p", "-q:v", "3", "-b:v", "0"];
/// The beeps in front, nothing behind.
const SURROUND: &[&str] = &["-af", "pan=5.1|FL=0.5*c0|FR=0.5*c0|FC=0.5*c0|LFE=0*c0|BL=0*c0|BR=0*c0", "-b:a", "256k"];
const G711: &[&str] = &["-c:a", "pcm_mulaw", "-ar", "8000"];

/// A picture beside AAC.
const fn picture(name: &'static str, codec: Codec, source: Source, cells: [e2e::matrix::Cell; 7]) -> Row {
    Row { name, codec, beside: AAC, source, cells, reordered: false }
}

/// Sound beside H.264.
const fn sound(name: &'static str, codec: Codec, source: Source, cells: [e2e::matrix::Cell; 7]) -> Row {
    Row { name, codec, beside: H264, source, cells, reordered: false }
}

const ROWS: &[Row] = &[
    picture("H.264", H264, Source::Rtmp(&[]), [AsIs; 7]),
    Row {
        reordered: true,
        ..picture("H.264 with B-frames", H264, Source::Rtmp(OBS), [AsIs, AsIs, As(WITHOUT_B), AsIs, AsIs, AsIs, AsIs])
    },
    picture("HEVC", HEVC, Source::Rtsp(X265), [Asked(&Told), AsIs, Told, AsIs, AsIs, AsIs, AsIs]),
    picture(
        "AV1",
        AV1,
        Source::Enhanced("libsvtav1", "aac"),
        [Asked(&Told), AsIs, Asked(&Told), Told, AsIs, AsIs, Told],
    ),
    picture(
        "VP9",
        VP9,
        Source::Enhanced("libvpx-vp9", "aac"),
        [Asked(&Told), AsIs, Asked(&Told), Told, AsIs, AsIs, Told],
    ),
    picture("VP8", VP8, Source::Rtsp(LIBVPX), [Told, Told, AsIs, Told, Told, AsIs, Told]),
    picture("MJPEG", MJPEG, Source::Rtsp(JPEG), [As(H264), As(H264), As(H264), As(H264), As(H264), AsIs, As(H264)]),
    sound("AAC", AAC, Source::Srt(&["-ac", "2"]), [AsIs, AsIs, As(OPUS), AsIs, AsIs, AsIs, AsIs]),
    sound("HE-AAC", AAC, Source::Recorded("he_aac.mp4"), [AsIs, AsIs, As(OPUS), AsIs, AsIs, AsIs, AsIs]),
    sound("AAC 5.1", AAC, Source::Rtmp(SURROUND), [AsIs, AsIs, As(OPUS), AsIs, AsIs, AsIs, AsIs]),
    sound(
        "Opus",
        OPUS,
        Source::Rtsp(&["-c:a", "libopus", "-ac", "2"]),
        [Asked(&As(AAC)), As(AAC), AsIs, As(AAC), Asked(&As(AAC)), AsIs, As(AAC)],
    ),
    sound("G.711", MU_LAW, Source::Rtsp(G711), [As(AAC), As(AAC), AsIs, As(AAC), As(AAC), AsIs, As(AAC)]),
    sound(
        "MP3",
        MP3,
        Source::Rtmp(&["-c:a", "libmp3lame"]),
        [As(AAC), As(AAC), As(OPUS), As(AAC), As(AAC), AsIs, AsIs],
    ),
];

fn holds(name: &str) -> Result<String> {
    ROWS.iter().find(|row| row.name == name).context("no such row")?.holds()
}

#[test]
fn the_readme_has_this_table() -> Result<()> {
    let table = table(ROWS);
    println!("{table}");
    std::fs::write(output_dir("matrix")?.join("matrix.md"), &table)?;
    readme_has(&table)
}

#[test]
fn h264() -> Result<()> {
    println!("{}", holds("H.264")?);
    Ok(())
}

#[test]
fn h264_with_b_frames() -> Result<()> {
    println!("{}", holds("H.264 with B-frames")?);
    Ok(())
}

#[test]
fn hevc() -> Result<()> {
    println!("{}", holds("HEVC")?);
    Ok(())
}

#[test]
fn av1() -> Result<()> {
    println!("{}", holds("AV1")?);
    Ok(())
}

#[test]
fn vp9() -> Result<()> {
    println!("{}", holds("VP9")?);
    Ok(())
}

#[test]
fn vp8() -> Result<()> {
    println!("{}", holds("VP8")?);
    Ok(())
}

#[test]
fn mjpeg() -> Result<()> {
    println!("{}", holds("MJPEG")?);
    Ok(())
}

#[test]
fn aac() -> Result<()> {
    println!("{}", holds("AAC")?);
    Ok(())
}

#[test]
fn he_aac() -> Result<()> {
    println!("{}", holds("HE-AAC")?);
    Ok(())
}

#[test]
fn aac_5_1() -> Result<()> {
    println!("{}", holds("AAC 5.1")?);
    Ok(())
}

#[test]
fn opus() -> Result<()> {
    println!("{}", holds("Opus")?);
    Ok(())
}

#[test]
fn g711() -> Result<()> {
    println!("{}", holds("G.711")?);
    Ok(())
}

#[test]
fn mp3() -> Result<()> {
    println!("{}", holds("MP3")?);
    Ok(())
}
