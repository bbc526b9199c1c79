//! Pictures made for those who cannot play the path's own, seen by strangers.
#![allow(clippy::unwrap_used)] // A failed unwrap is a failed test.

use anyhow::{Result, ensure};
use e2e::browser::{Browser, judge_says, python};
use e2e::content::Content;
use e2e::patient::{OBS, Patient, Phone};
use e2e::program::{Program, output_dir};
use e2e::relay::{EVERYTHING, Relay};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// Sound and picture may be this far apart: what a viewer does not notice (ITU-R BT.1359).
const LIP_SYNC: f64 = 0.045;

fn support(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("support").join(file)
}

fn aiortc(relay: &Relay, dir: &Path, path: &str, file: &Path, seconds: u32) -> Result<Program> {
    let endpoint = format!("http://{}/{path}/whep", relay.address("webrtc")?);
    let mut command = Command::new(python());
    command.arg(support("whep_client.py")).arg(endpoint).arg(file).args(["--seconds", &seconds.to_string()]);
    Program::start("aiortc", dir, &mut command)
}

/// B-frames over WebRTC: no picture goes back, no session ends, lips and voice stay together; RTMP gets the original meanwhile.
#[test]
fn b_frames_play_over_webrtc() -> Result<()> {
    let dir = output_dir("renditions_b_frames")?;
    let relay = Relay::start(&dir, EVERYTHING)?;
    let phone = Phone { gop: 60, ..Phone::default() };
    let _obs = Patient::push_as("obs", &dir, &relay.rtmp("obs")?, &phone, OBS)?;
    relay.path_ready("obs")?;
    let (played, pulled) = (dir.join("played.mkv"), dir.join("pulled.mkv"));
    let mut player = aiortc(&relay, &dir, "obs", &played, 8)?;
    let mut reader = e2e::ffmpeg::pull("rtmp", &dir, &relay.rtmp("obs")?, 6.0, &pulled)?;
    player.succeed(Duration::from_secs(60))?;
    reader.succeed(Duration::from_secs(60))?;
    let recorded = judge_says(&dir.join("aiortc.out"), "recorded", Duration::from_secs(1))?;
    assert_eq!(recorded["rising"], serde_json::json!({ "video": true, "audio": true }), "{recorded}");
    let content = Content::read(&played)?;
    ensure!(content.readable() > 0.95, "{} of the clocks are readable", content.readable());
    content.clock_runs(3)?;
    content.in_sync(4, LIP_SYNC)?;
    let original = Content::read(&pulled)?;
    let b_frames = original.field("video", "has_b_frames").as_u64();
    ensure!(b_frames >= Some(1), "the original has B-frames: {b_frames:?}");
    // It ends in decode order, where a picture that others are shown before has come first.
    original.clock_runs(4)?;
    original.in_sync(3, LIP_SYNC)?;
    relay.stop()
}

/// A browser judges the same, and the name of the rendition stands for it.
#[test]
fn a_browser_plays_b_frames() -> Result<()> {
    let dir = output_dir("renditions_browser")?;
    let relay = Relay::start(&dir, EVERYTHING)?;
    let _obs = Patient::push_as("obs", &dir, &relay.rtmp("obs")?, &Phone { gop: 60, ..Phone::default() }, OBS)?;
    relay.path_ready("obs")?;
    let endpoint = format!("http://{}/obs/whep", relay.address("webrtc")?);
    let browser = Browser::open("chromium", &dir, &support("whep_player.html"), &format!("endpoint={endpoint}"))?;
    browser.said("created")?;
    let report: serde_json::Value = serde_json::from_str(&browser.said("report")?)?;
    println!("chromium: {report}");
    let number = |name: &str| report[name].as_f64().unwrap_or(f64::NAN);
    assert_eq!((&report["stream"], &report["falls"]), (&7.into(), &0.into()), "{report}");
    ensure!(number("unread") < 8.0 && number("span") >= 149.0, "the clock is read and runs: {report}");
    ensure!((number("tone") - 1000.0).abs() < 15.0, "the beep is heard: {report}");
    let file = dir.join("named.mkv");
    e2e::ffmpeg::pull("named", &dir, &relay.rtmp("obs_h264")?, 4.0, &file)?.succeed(Duration::from_secs(40))?;
    let named = Content::read(&file)?;
    assert_eq!((named.codecs(), named.field("video", "has_b_frames")), (("h264", "aac"), &0.into()));
    named.clock_runs(2)?;
    named.in_sync(2, LIP_SYNC)?;
    relay.stop()
}
