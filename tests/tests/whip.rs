//! WHIP from strangers: a browser and aiortc publish, RTMP and HTTP-FLV listeners get H.264 and AAC.
#![allow(clippy::unwrap_used)] // A failed unwrap is a failed test.

use anyhow::{Result, ensure};
use e2e::browser::{Browser, judge_says, python};
use e2e::content::Content;
use e2e::ffmpeg::pull;
use e2e::http::request;
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

#[test]
fn a_browser_publishes() -> Result<()> {
    let dir = output_dir("whip_a_browser_publishes")?;
    let relay = Relay::start(&dir, EVERYTHING)?;
    let endpoint = format!("http://{}/doctorStream/whip", relay.address("webrtc")?);
    let browser = Browser::open("chromium", &dir, &support("whip_publisher.html"), &format!("endpoint={endpoint}"))?;
    let offered: Vec<String> = serde_json::from_str(&browser.said("offer")?)?;
    assert_eq!(offered.first().map(String::as_str), Some("VP8"), "VP8 is offered first: {offered:?}");
    browser.said("created")?;
    let path = relay.path_ready("doctorStream")?;
    assert_eq!(path["tracks"], serde_json::json!(["H264", "Opus"]), "{path}");

    let (rtmp, named) = (dir.join("rtmp.flv"), dir.join("aac.flv"));
    let mut first = pull("rtmp", &dir, &relay.rtmp("doctorStream")?, 5.0, &rtmp)?;
    let mut second = pull("aac", &dir, &relay.hls("doctorStream_aac.flv")?, 5.0, &named)?;
    first.succeed(Duration::from_secs(30))?;
    second.succeed(Duration::from_secs(30))?;
    for file in [&rtmp, &named] {
        let content = Content::read(file)?;
        assert_eq!(content.codecs(), ("h264", "aac"), "{}", file.display());
        content.dts_rises()?;
        ensure!(content.readable() > 0.9, "{} of the clocks are readable", content.readable());
        assert!(content.pictures.iter().flat_map(|(_, c)| c).all(|c| c.stream == 9), "it is the camera's card");
        ensure!(content.bursts.len() >= 3, "beeps are heard: {:?}", content.bursts);
    }
    drop(browser);
    relay.path_until("doctorStream", |p| p["ready"] == false)?;
    relay.stop()
}

#[test]
fn another_stack_publishes() -> Result<()> {
    let dir = output_dir("whip_another_stack_publishes")?;
    let relay = Relay::start(&dir, EVERYTHING)?;
    let endpoint = format!("http://{}/doctorStream/whip", relay.address("webrtc")?);
    let mut command = Command::new(python());
    command.arg(support("whip_client.py")).arg(&endpoint).args(["--seconds", "14", "--stream", "8"]);
    let mut aiortc = Program::start("aiortc", &dir, &mut command)?;
    let created = judge_says(&dir.join("aiortc.out"), "created", Duration::from_secs(30))?;
    let answer = created["answer"].as_str().unwrap_or("");
    ensure!(answer.contains(" H264/90000") && !answer.contains("VP8"), "H.264 is taken: {answer}");
    relay.path_ready("doctorStream")?;

    let rtmp = dir.join("rtmp.flv");
    pull("rtmp", &dir, &relay.rtmp("doctorStream")?, 9.0, &rtmp)?.succeed(Duration::from_secs(30))?;
    let content = Content::read(&rtmp)?;
    assert_eq!(content.codecs(), ("h264", "aac"));
    content.dts_rises()?;
    ensure!(content.readable() > 0.9, "{} of the clocks are readable", content.readable());
    assert!(content.pictures.iter().flat_map(|(_, c)| c).all(|c| c.stream == 8), "it is aiortc's card");
    // aiortc stamps a report when it gets round to sending it, so on a busy machine the first ones mislead.
    let offsets = content.offsets();
    let settled = offsets.len().checked_sub(3).and_then(|from| offsets.get(from..)).unwrap_or(&[]);
    ensure!(offsets.len() >= 6 && settled.iter().all(|o| o.abs() <= LIP_SYNC), "sound and picture: {offsets:?}");

    aiortc.succeed(Duration::from_secs(30))?;
    let deleted = judge_says(&dir.join("aiortc.out"), "deleted", Duration::from_secs(1))?;
    assert_eq!(deleted["status"], 200, "DELETE ends the session");
    relay.path_until("doctorStream", |p| p["ready"] == false)?;
    relay.stop()
}

#[test]
fn what_is_refused() -> Result<()> {
    let dir = output_dir("whip_what_is_refused")?;
    let relay = Relay::start(&dir, EVERYTHING)?;
    let address = relay.address("webrtc")?;
    let check = |method: &str, path: &str, want: u16| -> Result<()> {
        let (status, body) = request(method, &address, path)?;
        assert_eq!(status, want, "{method} {path}: {body}");
        Ok(())
    };
    check("GET", "/cam/whip", 405)?;
    check("OPTIONS", "/cam/whip", 204)?;
    check("POST", "/cam/whip", 415)?;
    check("DELETE", "/cam/whip/nobody", 404)?;
    check("POST", "/cam/../whip", 400)?;
    relay.stop()
}
