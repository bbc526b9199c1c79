//! HLS in its three forms read by programs none of us wrote: ffmpeg, GStreamer, hls.js in Chromium, and nginx as a cache.
#![allow(clippy::unwrap_used)] // A failed unwrap is a failed test.

use anyhow::{Context, Result, ensure};
use e2e::browser::Browser;
use e2e::content::Content;
use e2e::ffmpeg::pull;
use e2e::hls_js::Player;
use e2e::http::{get, request};
use e2e::nginx::Nginx;
use e2e::patient::{Patient, Phone};
use e2e::program::{Program, output_dir};
use e2e::relay::{EVERYTHING, Relay};
use e2e::wait::wait_for;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

/// Sound and picture may be this far apart: what a viewer does not notice (ITU-R BT.1359).
const LIP_SYNC: f64 = 0.045;

#[test]
fn ffmpeg_pulls() -> Result<()> {
    let dir = output_dir("hls_ffmpeg_pulls")?;
    let relay = Relay::start(&dir, EVERYTHING)?;
    let _patient = Patient::push("patient", &dir, &relay.rtmp("patientStream")?, &Phone::default())?;
    relay.path_ready("patientStream")?;
    let file = dir.join("pulled.mkv");
    let mut puller = pull("puller", &dir, &relay.hls("patientStream/index.m3u8")?, 6.0, &file)?;
    puller.succeed(Duration::from_secs(40))?;
    let content = Content::read(&file)?;
    assert_eq!(content.codecs(), ("h264", "aac"));
    content.dts_rises()?;
    content.clock_runs(1)?;
    content.in_sync(3, LIP_SYNC)?;
    ensure!(content.readable() > 0.99, "{} clocks are readable", content.readable());
    relay.stop()
}

/// Clock, tone and their distance, of what somebody read.
fn judge(file: &Path, beeps: usize) -> Result<Content> {
    let content = Content::read(file)?;
    assert_eq!(content.codecs(), ("h264", "aac"));
    content.dts_rises()?;
    content.clock_runs(1)?;
    content.in_sync(beeps, LIP_SYNC)?;
    ensure!(content.readable() > 0.99, "{} clocks are readable", content.readable());
    Ok(content)
}

#[test]
fn whole_segments_are_pulled() -> Result<()> {
    let dir = output_dir("hls_whole_segments")?;
    let relay = Relay::start(&dir, EVERYTHING)?;
    let _patient = Patient::push("patient", &dir, &relay.rtmp("patientStream")?, &Phone::default())?;
    relay.path_ready("patientStream")?;
    // All forms at once.
    let mut pulls = Vec::new();
    for variant in ["ts", "fmp4", "ll"] {
        let file = dir.join(format!("{variant}.mkv"));
        let url = relay.hls(&format!("patientStream/stream.m3u8?variant={variant}"))?;
        pulls.push((pull(variant, &dir, &url, 6.0, &file)?, file));
    }
    for (program, file) in &mut pulls {
        program.succeed(Duration::from_secs(40))?;
        let content = judge(file, 3).with_context(|| file.display().to_string())?;
        println!("{}: sound minus picture {:?}", file.display(), content.offsets());
    }
    relay.stop()
}

#[test]
fn gstreamer_plays() -> Result<()> {
    let dir = output_dir("hls_gstreamer")?;
    let relay = Relay::start(&dir, EVERYTHING)?;
    let _patient = Patient::push("patient", &dir, &relay.rtmp("patientStream")?, &Phone::default())?;
    relay.path_ready("patientStream")?;
    for variant in ["ts", "fmp4"] {
        let file = dir.join(format!("{variant}.mkv"));
        let _old = std::fs::remove_file(&file);
        let url = relay.hls(&format!("patientStream/index.m3u8?variant={variant}"))?;
        let mut command = Command::new("gst-launch-1.0");
        command.args(["souphttpsrc", &format!("location={url}"), "!", "hlsdemux", "!", "parsebin", "name=p"]);
        command.args([
            "p.",
            "!",
            "video/x-h264",
            "!",
            "queue",
            "!",
            "h264parse",
            "!",
            "matroskamux",
            "streamable=true",
            "name=m",
            "!",
        ]);
        command.args(["filesink", &format!("location={}", file.display())]);
        command.args(["p.", "!", "audio/mpeg", "!", "queue", "!", "aacparse", "!", "m."]);
        let mut player = Program::start(&format!("gst-{variant}"), &dir, &mut command)?;
        // Six seconds at about 1 Mbps.
        wait_for("GStreamer's recording", Duration::from_secs(30), || {
            Ok(std::fs::metadata(&file).ok().filter(|m| m.len() > 600_000))
        })?;
        // Its HLS source hears no wish to end; what is written until now needs no ending.
        player.kill()?;
        let content = judge(&file, 2).with_context(|| file.display().to_string())?;
        println!("{variant}: sound minus picture {:?}", content.offsets());
    }
    relay.stop()
}

/// nginx knows nothing of us: it goes by names and `Cache-Control` alone.
#[test]
fn nginx_caches() -> Result<()> {
    let dir = output_dir("hls_nginx")?;
    let relay = Relay::start(&dir, EVERYTHING)?;
    let _patient = Patient::push("patient", &dir, &relay.rtmp("patientStream")?, &Phone::default())?;
    relay.path_ready("patientStream")?;
    let nginx = Nginx::cache(&dir, &relay.address("hls")?)?;
    let mut pulls = Vec::new();
    for (name, variant) in [("one", "fmp4"), ("two", "fmp4"), ("three", "ts"), ("four", "ts")] {
        let file = dir.join(format!("{name}.mkv"));
        let url = format!("http://{}/patientStream/stream.m3u8?variant={variant}", nginx.address);
        pulls.push((pull(name, &dir, &url, 6.0, &file)?, file));
    }
    for (program, file) in &mut pulls {
        program.succeed(Duration::from_secs(40))?;
        judge(file, 3).with_context(|| file.display().to_string())?;
    }
    let answers = nginx.answers()?;
    for ending in [".mp4", ".ts"] {
        let count = |status: &str| answers.iter().filter(|(s, uri)| s == status && uri.ends_with(ending)).count();
        println!("{ending}: {} hits, {} misses", count("HIT"), count("MISS"));
        ensure!(count("HIT") >= 4, "segments come from the cache: {answers:?}");
        let mut missed: Vec<_> =
            answers.iter().filter(|(s, uri)| s == "MISS" && uri.ends_with(ending)).map(|(_, uri)| uri).collect();
        let all = missed.len();
        missed.sort_unstable();
        missed.dedup();
        assert_eq!(missed.len(), all, "the origin gives each segment once: {answers:?}");
    }
    ensure!(answers.iter().any(|(s, uri)| s == "HIT" && uri.ends_with("m3u8")), "playlists too: {answers:?}");
    relay.stop()
}

#[test]
fn head_is_true_and_names_are_for_ever() -> Result<()> {
    let dir = output_dir("hls_head")?;
    let relay = Relay::start(&dir, EVERYTHING)?;
    let address = relay.address("hls")?;
    let head = |path: &str| request("HEAD", &address, path).map(|(status, _)| status);
    assert_eq!(head("/patientStream/index.m3u8")?, 404, "nobody publishes");
    let _patient = Patient::push("patient", &dir, &relay.rtmp("patientStream")?, &Phone::default())?;
    relay.path_ready("patientStream")?;
    assert_eq!(head("/patientStream/index.m3u8")?, 200);
    assert_eq!(head("/elsewhere/index.m3u8")?, 404);
    let index = get(&address, "/patientStream/index.m3u8?token=t")?;
    ensure!(index.contains("mp4a.40.2") && index.ends_with("stream.m3u8?token=t\n"), "{index}");
    let playlist = get(&address, "/patientStream/stream.m3u8")?;
    let whole = ["ts", "fmp4"].map(|v| get(&address, &format!("/patientStream/stream.m3u8?variant={v}&token=t")));
    for playlist in [Ok(playlist)].into_iter().chain(whole) {
        for file in playlist?.lines().filter(|line| !line.starts_with('#')) {
            assert_eq!(head(&format!("/patientStream/{file}"))?, 200, "{file}");
        }
    }
    relay.stop()
}

/// WebRTC's Opus becomes AAC, and its jittery times become parts.
#[test]
fn a_browser_is_read() -> Result<()> {
    let dir = output_dir("hls_a_browser_is_read")?;
    let relay = Relay::start(&dir, EVERYTHING)?;
    let endpoint = format!("http://{}/doctorStream/whip", relay.address("webrtc")?);
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("support/whip_publisher.html");
    let browser = Browser::open("publisher", &dir, &page, &format!("endpoint={endpoint}"))?;
    browser.said("created")?;
    relay.path_ready("doctorStream")?;
    let file = dir.join("pulled.mkv");
    let mut puller = pull("puller", &dir, &relay.hls("doctorStream/index.m3u8")?, 6.0, &file)?;
    let old = dir.join("ts.mkv");
    let mut old_player = pull("ts", &dir, &relay.hls("doctorStream/index.m3u8?variant=ts")?, 4.0, &old)?;
    puller.succeed(Duration::from_secs(40))?;
    old_player.succeed(Duration::from_secs(40))?;
    let old = Content::read(&old)?;
    assert_eq!(old.codecs(), ("h264", "aac"));
    old.dts_rises()?;
    ensure!(old.readable() > 0.9 && old.bursts.len() >= 2, "{} {:?}", old.readable(), old.bursts);
    let content = Content::read(&file)?;
    assert_eq!(content.codecs(), ("h264", "aac"));
    content.dts_rises()?;
    ensure!(content.readable() > 0.9, "{} of the clocks are readable", content.readable());
    ensure!(content.bursts.len() >= 3, "beeps are heard: {:?}", content.bursts);
    let player = Player::open(&dir, &relay.hls("doctorStream/index.m3u8")?, 12)?;
    let report = player.said("report", Duration::from_secs(40))?;
    println!("hls.js: {report}");
    ensure!(report["parts"].as_f64() > Some(15.0), "it plays parts: {report}");
    std::fs::write(dir.join("stream.m3u8"), get(&relay.address("hls")?, "/doctorStream/stream.m3u8")?)?;
    relay.stop()
}

#[test]
fn hls_js_plays() -> Result<()> {
    let dir = output_dir("hls_js_plays")?;
    let relay = Relay::start(&dir, EVERYTHING)?;
    let _patient = Patient::push("patient", &dir, &relay.rtmp("patientStream")?, &Phone::default())?;
    relay.path_ready("patientStream")?;
    let player = Player::open(&dir, &relay.hls("patientStream/index.m3u8")?, 16)?;
    let report = player.said("report", Duration::from_secs(40))?;
    println!("hls.js: {report}");
    let number = |name: &str| report[name].as_f64().with_context(|| format!("{name}: {report}"));
    ensure!(report["errors"] == serde_json::json!([]), "no error: {report}");
    ensure!(number("parts")? >= 25.0 && number("segments")? == 0.0, "it plays parts: {report}");
    ensure!(number("frames")? >= 100.0, "it shows pictures: {report}");
    // hls.js begins a second behind and closes in slowly.
    ensure!(number("latency")? < 2.5, "near live: {report}");
    relay.stop()
}

#[test]
fn hls_js_plays_whole_segments() -> Result<()> {
    let dir = output_dir("hls_js_whole_segments")?;
    let relay = Relay::start(&dir, EVERYTHING)?;
    let _patient = Patient::push("patient", &dir, &relay.rtmp("patientStream")?, &Phone::default())?;
    relay.path_ready("patientStream")?;
    for variant in ["ts", "fmp4"] {
        let player = Player::open(&dir, &relay.hls(&format!("patientStream/index.m3u8?variant={variant}"))?, 16)?;
        let report = player.said("report", Duration::from_secs(40))?;
        println!("hls.js, {variant}: {report}");
        let number = |name: &str| report[name].as_f64().with_context(|| format!("{name}: {report}"));
        ensure!(report["errors"] == serde_json::json!([]), "no error: {report}");
        ensure!(number("parts")? == 0.0 && number("segments")? >= 6.0, "it plays segments: {report}");
        ensure!(number("frames")? >= 100.0 && number("time")? >= 5.0, "it shows pictures: {report}");
    }
    relay.stop()
}

#[test]
fn hls_js_joins_a_long_gop() -> Result<()> {
    let dir = output_dir("hls_js_long_gop")?;
    let relay = Relay::start(&dir, EVERYTHING)?;
    let phone = Phone { gop: 600, ..Phone::default() };
    let _patient = Patient::push("patient", &dir, &relay.rtmp("patientStream")?, &phone)?;
    relay.path_until("patientStream", |p| p["inboundBytes"].as_u64() > Some(400_000))?;
    let player = Player::open(&dir, &relay.hls("patientStream/index.m3u8")?, 6)?;
    // Half the GOP is still to come.
    let first = player.said("first", Duration::from_secs(8))?;
    println!("first picture after {first} ms");
    relay.stop()
}
