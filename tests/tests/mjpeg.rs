//! Motion JPEG: cameras that code every picture by itself, by HTTP as an ESP32-CAM answers and by RTSP. RTSP gives it as it is, everybody else
//! sees it as H.264.
#![allow(clippy::unwrap_used)] // A failed unwrap is a failed test.

use anyhow::{Context, Result, ensure};
use e2e::browser::Browser;
use e2e::content::{Content, whole};
use e2e::ffmpeg::{pull, pull_rtsp};
use e2e::patient::{Patient, Phone};
use e2e::program::{Program, output_dir};
use e2e::relay::{EVERYTHING, Relay};
use serde_json::json;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

const PHONE: Phone = Phone { size: (320, 240), rate: 48_000, sound: "aac", recorded: None, gop: 30, stream: 7 };

/// As cameras code it: baseline, the usual Huffman tables.
const MJPEG: &[&str] =
    &["-c:v", "mjpeg", "-huffman", "default", "-profile:v", "-99", "-pix_fmt", "yuvj420p", "-q:v", "4"];

/// The right pictures, whole and in order.
fn seen(file: &Path, codec: &str) -> Result<Content> {
    let check = || -> Result<Content> {
        let content = Content::read(file)?;
        ensure!(content.codecs().0 == codec, "{:?}", content.codecs());
        content.clock_runs(3)?;
        ensure!(content.readable() > 0.97, "{} clocks are readable", content.readable());
        ensure!(content.pictures.len() > 60, "{} pictures", content.pictures.len());
        Ok(content)
    };
    check().with_context(|| file.display().to_string())
}

/// ffmpeg answers by HTTP as cameras do; ffmpeg looks at what comes out by every other protocol.
#[test]
fn by_http_for_everybody() -> Result<()> {
    let dir = output_dir("mjpeg_by_http")?;
    let port = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
    let url = format!("http://127.0.0.1:{port}/stream");
    let answer = ["-map", "0:v", "-f", "mpjpeg", "-boundary_tag", "frame", "-listen", "1", "-content_type"];
    let options = [MJPEG, &answer, &["multipart/x-mixed-replace;boundary=frame", &url]].concat();
    let _camera = Patient::send_as("camera", &dir, &PHONE, &options)?;
    let paths = format!("paths: {{cam: {{source: \"{url}\"}}, all_others: }}\n");
    let relay = Relay::start(&dir, &EVERYTHING.replace("paths: {all_others: }\n", &paths))?;
    let path = relay.path_ready("cam")?;
    assert_eq!((&path["source"]["type"], &path["tracks"]), (&"mjpegSource".into(), &json!(["M-JPEG"])));
    let readers = [
        ("rtmp.flv", relay.rtmp("cam")?),
        ("hls.mkv", relay.hls("cam/index.m3u8")?),
        ("srt.mkv", relay.srt("read:cam")?),
        ("named.flv", relay.rtmp("cam_h264")?),
    ];
    let mut running = Vec::new();
    for (name, url) in &readers {
        running.push(pull(name, &dir, url, 4.0, &dir.join(name))?);
    }
    for reader in &mut running {
        reader.succeed(Duration::from_secs(40))?;
    }
    for (name, _) in &readers {
        seen(&dir.join(name), "h264")?;
    }
    relay.stop()
}

/// ffmpeg pushes it by RTSP; what ffmpeg reads by RTSP is what was pushed, and Chromium plays it.
#[test]
fn by_rtsp_as_it_is_and_in_a_browser() -> Result<()> {
    let dir = output_dir("mjpeg_by_rtsp")?;
    let relay = Relay::start(&dir, EVERYTHING)?;
    let _camera = Patient::push_rtsp("camera", &dir, &relay.rtsp("cam")?, "tcp", &PHONE, MJPEG)?;
    assert_eq!(relay.path_ready("cam")?["tracks"], json!(["M-JPEG", "MPEG-4 Audio"]));
    let (own, udp, srt) = (dir.join("own.mkv"), dir.join("udp.mkv"), dir.join("srt.mkv"));
    let mut readers = [
        pull_rtsp("own", &dir, &relay.rtsp("cam")?, "tcp", 5.0, &own)?,
        pull_rtsp("udp", &dir, &relay.rtsp("cam")?, "udp", 5.0, &udp)?,
        pull("srt", &dir, &relay.srt("read:cam")?, 5.0, &srt)?,
    ];
    for reader in &mut readers {
        reader.succeed(Duration::from_secs(40))?;
    }
    whole(&own, ("mjpeg", "aac"), 3)?;
    whole(&udp, ("mjpeg", "aac"), 3)?;
    seen(&srt, "h264")?.in_sync(3, e2e::content::LIP_SYNC)?;
    let endpoint = format!("http://{}/cam/whep", relay.address("webrtc")?);
    let player = Path::new(env!("CARGO_MANIFEST_DIR")).join("support/whep_player.html");
    let browser = Browser::open("chromium", &dir, &player, &format!("endpoint={endpoint}&cards=90"))?;
    let report: serde_json::Value = serde_json::from_str(&browser.said("report")?)?;
    println!("chromium: {report}");
    let number = |name: &str| report[name].as_f64().unwrap_or(f64::NAN);
    assert_eq!((&report["stream"], &report["falls"]), (&7.into(), &0.into()), "{report}");
    ensure!(number("unread") < 8.0 && number("span") >= 89.0, "the clock is read and runs: {report}");
    ensure!((number("tone") - 1000.0).abs() < 15.0, "the beep is heard: {report}");
    relay.stop()
}

/// GStreamer reads it, codes it anew and pushes that; ffmpeg looks at what comes out.
#[test]
fn through_gstreamer() -> Result<()> {
    let dir = output_dir("mjpeg_through_gstreamer")?;
    let relay = Relay::start(&dir, EVERYTHING)?;
    let _camera = Patient::push_rtsp("camera", &dir, &relay.rtsp("first")?, "tcp", &PHONE, MJPEG)?;
    relay.path_ready("first")?;
    let mut command = Command::new("gst-launch-1.0");
    command.args(["rtspsrc", "name=source", "protocols=tcp", &format!("location={}", relay.rtsp("first")?)]);
    command.args(["rtspclientsink", "name=sink", "protocols=tcp", &format!("location={}", relay.rtsp("second")?)]);
    command.args(["source.", "!", "application/x-rtp,media=video", "!", "rtpjpegdepay", "!", "jpegdec"]);
    command.args(["!", "jpegenc", "!", "queue", "!", "sink."]);
    let _gstreamer = Program::start("gstreamer", &dir, &mut command)?;
    assert_eq!(relay.path_ready("second")?["tracks"], json!(["M-JPEG"]));
    let file = dir.join("second.mkv");
    pull_rtsp("second", &dir, &relay.rtsp("second")?, "tcp", 4.0, &file)?.succeed(Duration::from_secs(40))?;
    seen(&file, "mjpeg")?;
    relay.stop()
}
