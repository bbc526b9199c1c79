//! VP8, VP9 and AV1 through WebRTC and RTSP: a browser, aiortc, ffmpeg and GStreamer on both sides; who cannot play them hears.
#![allow(clippy::unwrap_used)] // A failed unwrap is a failed test.

use anyhow::{Context, Result, ensure};
use e2e::browser::{Browser, judge_says, python};
use e2e::content::{Content, whole};
use e2e::enhanced_rtmp::{pull as pull_newest, recode};
use e2e::ffmpeg::{ffmpeg, probe, pull};
use e2e::patient::{Patient, Phone};
use e2e::program::{Program, output_dir};
use e2e::relay::{EVERYTHING, Relay};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// The card in front of a browser's camera.
const CAMERA: u8 = 9;
/// Sound and picture may be this far apart: what a viewer does not notice (ITU-R BT.1359).
const LIP_SYNC: f64 = 0.045;

fn support(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("support").join(file)
}

/// Chromium, publishing `path` in this codec alone.
fn browser_publishes(relay: &Relay, dir: &Path, path: &str, codec: &str) -> Result<Browser> {
    let query = format!("endpoint=http://{}/{path}/whip&codec={codec}", relay.address("webrtc")?);
    let browser = Browser::open("publisher", dir, &support("whip_publisher.html"), &query)?;
    browser.said("created")?;
    Ok(browser)
}

/// Chromium plays `path` and reads two seconds of clocks of the card `stream`.
fn browser_plays(relay: &Relay, dir: &Path, path: &str, codec: &str, stream: u8) -> Result<()> {
    let query = format!("endpoint=http://{}/{path}/whep&cards=60", relay.address("webrtc")?);
    // A profile of its own: the publisher may be a browser, too.
    let dir = dir.join("player");
    std::fs::create_dir_all(&dir)?;
    let browser = Browser::open("player", &dir, &support("whep_player.html"), &query)?;
    let report: serde_json::Value = serde_json::from_str(&browser.said("report")?)?;
    assert_eq!(report["stream"], stream, "{report}");
    assert_eq!(report["video"].as_str(), Some(format!("video/{codec}").as_str()), "{report}");
    let number = |name: &str| report[name].as_f64().unwrap_or(f64::NAN);
    ensure!(number("unread") < 8.0, "the clock is read: {report}");
    // A browser's camera is a file of four seconds in a loop.
    let runs = number("falls") == 0.0 && number("span") >= 59.0;
    ensure!(runs || stream == CAMERA && number("falls") == 1.0, "the clock runs: {report}");
    ensure!((number("tone") - 1000.0).abs() < 15.0, "the beep is heard: {report}");
    Ok(())
}

/// Waits until the API says that a reader of this kind does not get this track.
fn is_told(relay: &Relay, path: &str, codec: &str, reader: &str) -> Result<()> {
    let told = |skipped: &serde_json::Value| {
        skipped["codec"] == codec
            && skipped["reader"]["type"] == reader
            && skipped["reason"].as_str().is_some_and(|reason| reason.contains("takes no other picture than"))
    };
    relay.path_until(path, |p| p["skippedTracks"].as_array().is_some_and(|all| all.iter().any(told))).map(drop)
}

/// From one browser to another and, as it is, to a player by RTSP.
fn from_browser_to_browser(codec: &str, ffmpeg: &str) -> Result<()> {
    let dir = output_dir(&format!("pictures_browsers_{codec}"))?;
    let relay = Relay::start(&dir, EVERYTHING)?;
    let _browser = browser_publishes(&relay, &dir, "doctorStream", codec)?;
    let path = relay.path_ready("doctorStream")?;
    assert_eq!(path["tracks"], serde_json::json!([codec, "Opus"]), "{path}");
    browser_plays(&relay, &dir, "doctorStream", codec, CAMERA)?;
    let file = dir.join("rtsp.mkv");
    // FFmpeg 5.1 knows no AV1 in RTP.
    if codec == "AV1" {
        pull_newest("rtsp", &dir, &relay.rtsp("doctorStream")?, 4, &file, "")?.succeed(Duration::from_secs(40))?;
        let told = judge_says(&dir.join("rtsp.out"), "pulled", Duration::from_secs(1))?;
        assert_eq!((&told["video"], &told["audio"]), (&ffmpeg.into(), &"opus".into()));
    } else {
        pull_vpx("rtsp", &dir, &relay.rtsp("doctorStream")?, "tcp", &file)?.succeed(Duration::from_secs(40))?;
        assert_eq!(Content::read(&file)?.codecs(), (ffmpeg, "opus"));
    }
    let content = Content::read(&file)?;
    ensure!(content.readable() > 0.9, "{} of the clocks are readable", content.readable());
    assert!(content.pictures.iter().flat_map(|(_, c)| c).all(|c| c.stream == CAMERA), "it is the camera's card");
    ensure!(content.bursts.len() >= 2, "beeps are heard: {:?}", content.bursts);
    relay.stop()
}

#[test]
fn vp8_from_browser_to_browser() -> Result<()> {
    from_browser_to_browser("VP8", "vp8")
}

#[test]
fn vp9_from_browser_to_browser() -> Result<()> {
    from_browser_to_browser("VP9", "vp9")
}

#[test]
fn av1_from_browser_to_browser() -> Result<()> {
    from_browser_to_browser("AV1", "av1")
}

#[test]
fn vp8_from_one_stack_to_another() -> Result<()> {
    let dir = output_dir("pictures_vp8_aiortc")?;
    let relay = Relay::start(&dir, EVERYTHING)?;
    let file = dir.join("played.mkv");
    // The reader comes first: what it will get is not known yet.
    let mut command = Command::new(python());
    command.arg(support("whep_client.py")).arg(format!("http://{}/cam/whep", relay.address("webrtc")?)).arg(&file);
    let mut player = Program::start("player", &dir, command.args(["--seconds", "6"]))?;
    let created = judge_says(&dir.join("player.out"), "created", Duration::from_secs(30))?;
    let answer = created["answer"].as_str().unwrap_or("");
    ensure!(answer.contains(" H264/90000") && answer.contains(" VP8/90000"), "either may come: {answer}");
    let mut command = Command::new(python());
    command.arg(support("whip_client.py")).arg(format!("http://{}/cam/whip", relay.address("webrtc")?));
    let _publisher = Program::start("publisher", &dir, command.args(["--stream", "8", "--codec", "video/VP8"]))?;
    let path = relay.path_ready("cam")?;
    assert_eq!(path["tracks"], serde_json::json!(["VP8", "Opus"]), "{path}");
    player.succeed(Duration::from_secs(60))?;
    let recorded = judge_says(&dir.join("player.out"), "recorded", Duration::from_secs(1))?;
    assert_eq!(recorded["rising"], serde_json::json!({ "video": true, "audio": true }), "{recorded}");
    let content = Content::read(&file)?;
    ensure!(content.readable() > 0.9, "{} of the clocks are readable", content.readable());
    content.clock_runs(3)?;
    assert!(content.pictures.iter().flat_map(|(_, c)| c).all(|c| c.stream == 8), "it is aiortc's card");
    ensure!(content.bursts.len() >= 3, "beeps are heard: {:?}", content.bursts);
    relay.stop()
}

/// What turns the patient's picture into VP8 or VP9, live.
fn vpx(encoder: &str) -> Vec<&str> {
    let coding = ["-c:v", encoder, "-deadline", "realtime", "-cpu-used", "8", "-lag-in-frames", "0", "-b:v", "1M"];
    [&coding[..], &["-auto-alt-ref", "0", "-tune", "psnr", "-profile:v", "0", "-strict", "experimental"]].concat()
}

/// Pulls four seconds by RTSP, as they come. FFmpeg 5.1 does not say which pictures of VP9 are key, and copies none without being told to.
fn pull_vpx(name: &str, dir: &Path, url: &str, transport: &str, file: &Path) -> Result<Program> {
    let mut command = ffmpeg();
    command.args(["-rtsp_transport", transport, "-timeout", "30000000", "-i", url, "-t", "4"]);
    Program::start(name, dir, command.args(["-copyts", "-copyinkf", "-c", "copy"]).arg(file))
}

/// Pushed by RTSP, pulled by RTSP over either transport, played by a browser; by RTMP and in HLS there is sound, and it is told.
fn by_rtsp(encoder: &str, codec: &str, ffmpeg: &str, untold: &[(&str, &str)]) -> Result<()> {
    let dir = output_dir(&format!("pictures_rtsp_{ffmpeg}"))?;
    let relay = Relay::start(&dir, EVERYTHING)?;
    let url = relay.rtsp("camera")?;
    let phone = Phone { size: (320, 240), ..Phone::default() };
    let _patient = Patient::push_rtsp("patient", &dir, &url, "tcp", &phone, &vpx(encoder))?;
    relay.path_ready("camera")?;
    let (tcp, udp) = (dir.join("tcp.mkv"), dir.join("udp.mkv"));
    let mut readers = [pull_vpx("tcp", &dir, &url, "tcp", &tcp)?, pull_vpx("udp", &dir, &url, "udp", &udp)?];
    for reader in &mut readers {
        reader.succeed(Duration::from_secs(40))?;
    }
    for file in [&tcp, &udp] {
        whole(file, (ffmpeg, "aac"), 2)?;
    }
    browser_plays(&relay, &dir, "camera", codec, 7)?;
    for (name, kind) in untold {
        let (url, file) = match *name {
            "rtmp" => (relay.rtmp("camera")?, dir.join("rtmp.mkv")),
            "srt" => (relay.srt("read:camera")?, dir.join("srt.mkv")),
            _ => (relay.hls("camera/index.m3u8")?, dir.join("hls.mkv")),
        };
        let mut player = pull(name, &dir, &url, 3.0, &file)?;
        is_told(&relay, "camera", codec, kind)?;
        player.succeed(Duration::from_secs(40))?;
        let probe = probe(&file)?;
        let streams = probe["streams"].as_array().context("no streams")?;
        assert_eq!(streams.iter().map(|s| s["codec_name"].as_str()).collect::<Vec<_>>(), [Some("aac")], "{name}");
        ensure!(probe["packets"].as_array().is_some_and(|packets| packets.len() > 100), "{name}: it is heard");
    }
    relay.stop()
}

#[test]
fn vp8_by_rtsp() -> Result<()> {
    by_rtsp("libvpx", "VP8", "vp8", &[("rtmp", "rtmpConn"), ("hls", "hlsMuxer"), ("srt", "srtConn")])
}

#[test]
fn vp9_by_rtsp() -> Result<()> {
    by_rtsp("libvpx-vp9", "VP9", "vp9", &[("srt", "srtConn")])
}

/// GStreamer pulls one path and pushes it to another as it is; ffmpeg looks at that.
fn through_gstreamer(encoder: &str, depayloader: &str, ffmpeg: &str) -> Result<()> {
    let dir = output_dir(&format!("pictures_gstreamer_{ffmpeg}"))?;
    let relay = Relay::start(&dir, EVERYTHING)?;
    let phone = Phone { size: (320, 240), ..Phone::default() };
    let _patient = Patient::push_rtsp("patient", &dir, &relay.rtsp("first")?, "tcp", &phone, &vpx(encoder))?;
    relay.path_ready("first")?;
    let mut command = Command::new("gst-launch-1.0");
    command.args(["rtspsrc", "name=source", "protocols=tcp", &format!("location={}", relay.rtsp("first")?)]);
    command.args(["rtspclientsink", "name=sink", "protocols=tcp", &format!("location={}", relay.rtsp("second")?)]);
    command.args(["source.", "!", "application/x-rtp,media=video", "!", depayloader, "!", "queue", "!", "sink."]);
    let _gstreamer = Program::start("gstreamer", &dir, &mut command)?;
    relay.path_ready("second")?;
    let file = dir.join("second.mkv");
    pull_vpx("second", &dir, &relay.rtsp("second")?, "tcp", &file)?.succeed(Duration::from_secs(40))?;
    let content = Content::read(&file)?;
    assert_eq!(content.codecs().0, ffmpeg);
    content.clock_runs(1)?;
    ensure!(content.readable() > 0.99, "{} clocks are readable", content.readable());
    relay.stop()
}

#[test]
fn vp8_through_gstreamer() -> Result<()> {
    through_gstreamer("libvpx", "rtpvp8depay", "vp8")
}

#[test]
fn vp9_through_gstreamer() -> Result<()> {
    through_gstreamer("libvpx-vp9", "rtpvp9depay", "vp9")
}

/// FFmpeg 8 publishes by Enhanced RTMP; a browser plays it.
fn from_rtmp_to_browser(encoder: &str, codec: &str) -> Result<()> {
    let dir = output_dir(&format!("pictures_rtmp_{codec}"))?;
    let relay = Relay::start(&dir, EVERYTHING)?;
    let phone = Phone { size: (320, 240), ..Phone::default() };
    let _phone = Patient::push("phone", &dir, &relay.rtmp("raw")?, &phone)?;
    relay.path_ready("raw")?;
    let _recoder = recode(&dir, &relay.rtmp("raw")?, &relay.rtmp("stream")?, encoder, "aac")?;
    relay.path_ready("stream")?;
    browser_plays(&relay, &dir, "stream", codec, 7)?;
    relay.stop()
}

#[test]
fn vp9_from_rtmp_to_a_browser() -> Result<()> {
    from_rtmp_to_browser("libvpx-vp9", "VP9")
}

#[test]
fn av1_from_rtmp_to_a_browser() -> Result<()> {
    from_rtmp_to_browser("libsvtav1", "AV1")
}

/// FFmpeg 8 pushes AV1 by RTSP and pulls it so.
#[test]
fn av1_by_rtsp() -> Result<()> {
    let dir = output_dir("pictures_rtsp_av1")?;
    let relay = Relay::start(&dir, EVERYTHING)?;
    let phone = Phone { size: (320, 240), ..Phone::default() };
    let _phone = Patient::push("phone", &dir, &relay.rtmp("raw")?, &phone)?;
    relay.path_ready("raw")?;
    let _recoder = recode(&dir, &relay.rtmp("raw")?, &relay.rtsp("stream")?, "libsvtav1", "aac")?;
    relay.path_ready("stream")?;
    let file = dir.join("pulled.mkv");
    pull_newest("pulled", &dir, &relay.rtsp("stream")?, 4, &file, "")?.succeed(Duration::from_secs(40))?;
    let told = judge_says(&dir.join("pulled.out"), "pulled", Duration::from_secs(1))?;
    assert_eq!((&told["video"], &told["audio"]), (&"av1".into(), &"aac".into()));
    let content = Content::read(&file)?;
    content.clock_runs(3)?;
    content.in_sync(2, LIP_SYNC)?;
    ensure!(content.readable() > 0.99, "{} clocks are readable", content.readable());
    relay.stop()
}

/// A page that decodes H.264 alone hears a path of VP8, and the API says what it does not see.
#[test]
fn a_browser_without_the_codec_hears() -> Result<()> {
    let dir = output_dir("pictures_without_the_codec")?;
    let relay = Relay::start(&dir, EVERYTHING)?;
    let phone = Phone { size: (320, 240), ..Phone::default() };
    let coding = [&vpx("libvpx")[..], &["-c:a", "libopus"]].concat();
    let _patient = Patient::push_rtsp("patient", &dir, &relay.rtsp("cam")?, "tcp", &phone, &coding)?;
    relay.path_ready("cam")?;
    let query = format!("endpoint=http://{}/cam/whep&codec=H264&cards=0&sizes=0", relay.address("webrtc")?);
    let browser = Browser::open("player", &dir, &support("whep_player.html"), &query)?;
    let report: serde_json::Value = serde_json::from_str(&browser.said("report")?)?;
    ensure!(report["tone"].as_f64().is_some_and(|tone| (tone - 1000.0).abs() < 15.0), "the beep is heard: {report}");
    assert_eq!(report["cards"], 0, "{report}");
    is_told(&relay, "cam", "VP8", "webRTCSession")?;
    relay.stop()
}
