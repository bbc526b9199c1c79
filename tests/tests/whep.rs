//! WHEP to strangers: a browser and aiortc play what a phone pushes by RTMP and what a browser publishes by WHIP.
#![allow(clippy::unwrap_used)] // A failed unwrap is a failed test.

use anyhow::{Result, ensure};
use e2e::browser::{Browser, judge_says, python};
use e2e::content::Content;
use e2e::http::request;
use e2e::patient::{Patient, Phone};
use e2e::program::{Program, output_dir};
use e2e::relay::{EVERYTHING, Relay};
use e2e::wait::wait_for;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// Sound and picture may be this far apart: what a viewer does not notice (ITU-R BT.1359).
const LIP_SYNC: f64 = 0.045;

fn support(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("support").join(file)
}

/// aiortc, playing `path` into `file`.
fn aiortc(relay: &Relay, dir: &Path, path: &str, file: &Path, seconds: u32) -> Result<Program> {
    let endpoint = format!("http://{}/{path}/whep", relay.address("webrtc")?);
    let mut command = Command::new(python());
    command.arg(support("whep_client.py")).arg(endpoint).arg(file).args(["--seconds", &seconds.to_string()]);
    Program::start("aiortc", dir, &mut command)
}

/// The one session of this kind that there is, by the API.
fn session(relay: &Relay, state: &str) -> Result<serde_json::Value> {
    wait_for(&format!("a session that is to {state}"), Duration::from_secs(20), || {
        let found = relay.list("webrtcsessions")?.into_iter().find(|s| s["state"] == state);
        Ok(found.filter(|s| s["peerConnectionEstablished"] == true))
    })
}

/// The reader comes first; its sound is AAC on the path and Opus for it.
#[test]
fn another_stack_plays_what_a_phone_pushes() -> Result<()> {
    let dir = output_dir("whep_another_stack")?;
    let relay = Relay::start(&dir, EVERYTHING)?;
    let file = dir.join("played.mkv");
    let mut player = aiortc(&relay, &dir, "patientStream", &file, 8)?;
    let created = judge_says(&dir.join("aiortc.out"), "created", Duration::from_secs(30))?;
    assert_eq!(created["status"], 201, "{created}");
    session(&relay, "read")?;
    let _patient = Patient::push("patient", &dir, &relay.rtmp("patientStream")?, &Phone::default())?;
    judge_says(&dir.join("aiortc.out"), "first", Duration::from_secs(30))?;
    let reading = session(&relay, "read")?;
    assert_eq!((&reading["path"], &reading["skippedTracks"]), (&"patientStream".into(), &serde_json::json!([])));
    player.succeed(Duration::from_secs(60))?;
    let says = |event: &str| judge_says(&dir.join("aiortc.out"), event, Duration::from_secs(1));
    assert_eq!((&says("deleted")?["status"], &says("again")?["status"]), (&200.into(), &404.into()));
    let recorded = says("recorded")?;
    assert_eq!(recorded["rising"], serde_json::json!({ "video": true, "audio": true }), "{recorded}");
    let content = Content::read(&file)?;
    ensure!(content.readable() > 0.95, "{} of the clocks are readable", content.readable());
    content.clock_runs(2)?;
    assert!(content.pictures.iter().flat_map(|(_, c)| c).all(|c| c.stream == 7), "it is the patient's card");
    content.in_sync(4, LIP_SYNC)?;
    relay.stop()
}

/// A browser publishes by WHIP, another stack plays; then another publisher takes the path over, and the reader plays on.
#[test]
fn a_browser_is_played_and_replaced() -> Result<()> {
    let dir = output_dir("whep_browser_replaced")?;
    let relay = Relay::start(&dir, EVERYTHING)?;
    let endpoint = format!("http://{}/doctorStream/whip", relay.address("webrtc")?);
    let browser = Browser::open("chromium", &dir, &support("whip_publisher.html"), &format!("endpoint={endpoint}"))?;
    browser.said("created")?;
    relay.path_ready("doctorStream")?;
    let file = dir.join("played.mkv");
    let mut player = aiortc(&relay, &dir, "doctorStream", &file, 12)?;
    judge_says(&dir.join("aiortc.out"), "first", Duration::from_secs(30))?;
    let _patient = Patient::push("patient", &dir, &relay.rtmp("doctorStream")?, &Phone::default())?;
    player.succeed(Duration::from_secs(60))?;
    let recorded = judge_says(&dir.join("aiortc.out"), "recorded", Duration::from_secs(1))?;
    assert_eq!(recorded["rising"], serde_json::json!({ "video": true, "audio": true }), "{recorded}");
    let content = Content::read(&file)?;
    let shown: Vec<u8> = content.pictures.iter().filter_map(|(_, clock)| clock.map(|c| c.stream)).collect();
    let turns: Vec<u8> = shown.chunk_by(|a, b| a == b).map(|same| same[0]).collect();
    assert_eq!(turns, [9, 7], "first the browser's card, then the phone's");
    ensure!(content.readable() > 0.9, "{} of the clocks are readable", content.readable());
    drop(browser);
    relay.stop()
}

/// Two seconds of GOP, so that a reader that had to wait for the next key frame would be seen.
#[test]
fn a_browser_plays_what_a_phone_pushes() -> Result<()> {
    let dir = output_dir("whep_browser_plays")?;
    let relay = Relay::start(&dir, EVERYTHING)?;
    let phone = Phone { gop: 60, ..Phone::default() };
    let _patient = Patient::push("patient", &dir, &relay.rtmp("patientStream")?, &phone)?;
    relay.path_ready("patientStream")?;
    let endpoint = format!("http://{}/patientStream/whep", relay.address("webrtc")?);
    let browser = Browser::open("chromium", &dir, &support("whep_player.html"), &format!("endpoint={endpoint}"))?;
    browser.said("created")?;
    let report: serde_json::Value = serde_json::from_str(&browser.said("report")?)?;
    let number = |name: &str| report[name].as_f64().unwrap_or(f64::NAN);
    assert_eq!((&report["stream"], &report["falls"]), (&7.into(), &0.into()), "{report}");
    ensure!(number("unread") < 8.0 && number("span") >= 149.0, "the clock is read and runs: {report}");
    ensure!((number("tone") - 1000.0).abs() < 15.0, "the beep is heard: {report}");
    ensure!(number("concealed") < number("samples") / 10.0, "sound comes without holes: {report}");
    let reading = session(&relay, "read")?;
    ensure!(reading["outboundRTPPackets"].as_u64() > Some(100), "{reading}");
    let id = reading["id"].as_str().unwrap_or("");
    let api = relay.address("api")?;
    assert_eq!(request("POST", &api, &format!("/v3/webrtcsessions/kick/{id}"))?.0, 200);
    wait_for("the session to end", Duration::from_secs(10), || {
        Ok(relay.list("webrtcsessions")?.is_empty().then_some(()))
    })?;
    relay.stop()
}

#[test]
fn a_browser_changes_its_network() -> Result<()> {
    let dir = output_dir("whep_a_browser_changes_its_network")?;
    let relay = Relay::start(&dir, EVERYTHING)?;
    let _patient = Patient::push("patient", &dir, &relay.rtmp("cam")?, &Phone::default())?;
    relay.path_ready("cam")?;
    let endpoint = format!("http://{}/cam/whep", relay.address("webrtc")?);
    let query = format!("endpoint={endpoint}&restart=30&cards=90");
    let browser = Browser::open("chromium", &dir, &support("whep_player.html"), &query)?;
    let restarted: serde_json::Value = serde_json::from_str(&browser.said("restarted")?)?;
    ensure!(restarted["before"] != restarted["after"] && restarted["tag"].is_string(), "{restarted}");
    let report: serde_json::Value = serde_json::from_str(&browser.said("report")?)?;
    assert_eq!(report["falls"], 0, "{report}");
    ensure!(report["span"].as_f64() >= Some(89.0), "pictures go on after it: {report}");
    assert_eq!(relay.list("webrtcsessions")?.len(), 1, "it is the same session");
    relay.stop()
}

#[test]
fn what_is_refused() -> Result<()> {
    let dir = output_dir("whep_what_is_refused")?;
    let relay = Relay::start(&dir, EVERYTHING)?;
    let address = relay.address("webrtc")?;
    let check = |method: &str, path: &str, want: u16| -> Result<()> {
        let (status, body) = request(method, &address, path)?;
        assert_eq!(status, want, "{method} {path}: {body}");
        Ok(())
    };
    check("GET", "/cam/whep", 405)?;
    check("OPTIONS", "/cam/whep", 204)?;
    check("POST", "/cam/whep", 415)?;
    check("DELETE", "/cam/whep/nobody", 404)?;
    check("PATCH", "/cam/whep/nobody", 404)?;
    check("POST", "/cam/../whep", 400)?;
    check("GET", "/cam/", 200)?;
    check("GET", "/cam/publish", 200)?;
    check("POST", "/cam/", 404)?;
    relay.stop()
}
