//! WebRTC where no UDP gets through: a browser publishes and plays over one TCP port.
#![allow(clippy::unwrap_used)] // A failed unwrap is a failed test.

use anyhow::{Context, Result, ensure};
use e2e::browser::Browser;
use e2e::content::Content;
use e2e::ffmpeg::pull;
use e2e::patient::{Patient, Phone};
use e2e::program::output_dir;
use e2e::relay::{EVERYTHING, Relay};
use e2e::wait::wait_for;
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::time::Duration;

fn support(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("support").join(file)
}

fn relay(dir: &Path) -> Result<Relay> {
    Relay::start(dir, &format!("webrtcLocalTCPAddress: 127.0.0.1:0\n{EVERYTHING}"))
}

/// The one session of this kind, once it is connected.
fn session(relay: &Relay, state: &str) -> Result<Value> {
    wait_for(&format!("a session that is to {state}"), Duration::from_secs(20), || {
        let found = relay.list("webrtcsessions")?.into_iter().find(|s| s["state"] == state);
        Ok(found.filter(|s| s["peerConnectionEstablished"] == true))
    })
}

fn came_by_tcp(session: &Value) -> Result<()> {
    let remote = session["remoteCandidate"].as_str().context("no remote candidate")?;
    ensure!(remote.starts_with("host/tcp/127.0.0.1/"), "{session}");
    Ok(())
}

#[test]
fn a_browser_plays() -> Result<()> {
    let dir = output_dir("webrtc_tcp_a_browser_plays")?;
    let relay = relay(&dir)?;
    let _patient = Patient::push("patient", &dir, &relay.rtmp("cam")?, &Phone::default())?;
    relay.path_ready("cam")?;
    let endpoint = format!("http://{}/cam/whep", relay.address("webrtc")?);
    let query = format!("endpoint={endpoint}&tcp&cards=90");
    let browser = Browser::open("chromium", &dir, &support("whep_player.html"), &query)?;
    came_by_tcp(&session(&relay, "read")?)?;
    let report: Value = serde_json::from_str(&browser.said("report")?)?;
    let number = |name: &str| report[name].as_f64().unwrap_or(f64::NAN);
    assert_eq!((&report["stream"], &report["falls"], &report["lost"]), (&7.into(), &0.into(), &0.into()), "{report}");
    ensure!(number("unread") < 8.0 && number("span") >= 89.0, "the clock is read and runs: {report}");
    ensure!((number("tone") - 1000.0).abs() < 15.0, "the beep is heard: {report}");
    drop(browser);
    relay.stop()
}

#[test]
fn a_browser_publishes() -> Result<()> {
    let dir = output_dir("webrtc_tcp_a_browser_publishes")?;
    let relay = relay(&dir)?;
    let endpoint = format!("http://{}/doctorStream/whip", relay.address("webrtc")?);
    let query = format!("endpoint={endpoint}&tcp");
    let browser = Browser::open("chromium", &dir, &support("whip_publisher.html"), &query)?;
    relay.path_ready("doctorStream")?;
    came_by_tcp(&session(&relay, "publish")?)?;
    let file = dir.join("rtmp.flv");
    pull("rtmp", &dir, &relay.rtmp("doctorStream")?, 4.0, &file)?.succeed(Duration::from_secs(30))?;
    let content = Content::read(&file)?;
    assert_eq!(content.codecs(), ("h264", "aac"));
    content.dts_rises()?;
    ensure!(content.readable() > 0.9, "{} of the clocks are readable", content.readable());
    ensure!(content.bursts.len() >= 2, "beeps are heard: {:?}", content.bursts);
    drop(browser);
    relay.path_until("doctorStream", |p| p["ready"] == false)?;
    relay.stop()
}
