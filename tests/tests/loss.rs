//! WebRTC through a bad network: what a browser sees and hears when packets are lost and come late, and what the relay makes of a browser's.

use anyhow::{Result, ensure};
use e2e::browser::Browser;
use e2e::content::Content;
use e2e::ffmpeg::pull;
use e2e::impair::{Impairment, Network};
use e2e::patient::{Patient, Phone};
use e2e::program::output_dir;
use e2e::relay::{EVERYTHING, Relay};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::time::Duration;

fn support(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("support").join(file)
}

/// A mobile network: tens of milliseconds, and packets that overtake each other.
fn mobile(loss: f64) -> Impairment {
    Impairment { loss, delay: Duration::from_millis(20), jitter: Duration::from_millis(15) }
}

/// A browser plays through a network that loses `loss` of a hundred packets, each way.
fn watched(loss: f64) -> Result<Value> {
    let dir = output_dir(&format!("loss_watched_{loss}"))?;
    let relay = Relay::start(&dir, EVERYTHING)?;
    let _patient = Patient::push("patient", &dir, &relay.rtmp("cam")?, &Phone { gop: 60, ..Phone::default() })?;
    relay.path_ready("cam")?;
    let network = Network::before(relay.webrtc_udp()?, 7)?;
    let endpoint = format!("http://{}/cam/whep", relay.address("webrtc")?);
    let query = format!("endpoint={endpoint}&via={}&cards=240", network.address());
    let browser = Browser::open("chromium", &dir, &support("whep_player.html"), &query)?;
    browser.said("created")?;
    relay.path_until("cam", |path| path["readers"].as_array().is_some_and(|readers| !readers.is_empty()))?;
    network.set(mobile(loss));
    let report: Value = serde_json::from_str(&browser.said("report")?)?;
    let (passed, lost) = network.counts();
    std::fs::write(dir.join("report.json"), format!("{report}\n{passed} passed, {lost} lost\n"))?;
    ensure!(lost as f64 > passed as f64 * loss / 200.0, "the network loses: {lost} of {passed}");
    relay.stop()?;
    Ok(report)
}

/// What holds at `loss` of a hundred: pictures come, all of them and in order, and stand still for no more than a `frozen` share of the time;
/// of the sound no more than a `concealed` share is made up.
fn bearable(loss: f64, frozen: f64, concealed: f64) -> Result<()> {
    let report = watched(loss)?;
    let number = |name: &str| report[name].as_f64().unwrap_or(f64::NAN);
    ensure!(number("falls") == 0.0, "no picture goes back: {report}");
    ensure!(number("nacks") > 0.0 && number("again") > 0.0, "what is lost is asked for and sent again: {report}");
    // Pictures that came whole, before the decoder: a busy machine's browser skips some, which is not the network's doing.
    ensure!(number("received") > number("span") * 0.97, "pictures are missing: {report}");
    ensure!(number("frozen") < number("span") / 30.0 * frozen, "the picture stands still: {report}");
    ensure!(number("concealed") < number("samples") * concealed, "sound with holes: {report}");
    ensure!((number("tone") - 1000.0).abs() < 15.0, "the beep is heard: {report}");
    Ok(())
}

#[test]
fn one_of_a_hundred() -> Result<()> {
    bearable(1.0, 0.1, 0.03)
}

#[test]
fn five_of_a_hundred() -> Result<()> {
    bearable(5.0, 0.2, 0.08)
}

#[test]
fn ten_of_a_hundred() -> Result<()> {
    bearable(10.0, 0.4, 0.15)
}

#[test]
fn a_browser_publishes_through_it() -> Result<()> {
    let dir = output_dir("loss_a_browser_publishes")?;
    let relay = Relay::start(&dir, EVERYTHING)?;
    let network = Network::before(relay.webrtc_udp()?, 7)?;
    let endpoint = format!("http://{}/cam/whip", relay.address("webrtc")?);
    let query = format!("endpoint={endpoint}&via={}", network.address());
    let browser = Browser::open("chromium", &dir, &support("whip_publisher.html"), &query)?;
    browser.said("created")?;
    relay.path_ready("cam")?;
    network.set(mobile(5.0));
    let file = dir.join("reader.flv");
    pull("reader", &dir, &relay.rtmp("cam")?, 8.0, &file)?.succeed(Duration::from_secs(40))?;
    let content = Content::read(&file)?;
    assert_eq!(content.codecs(), ("h264", "aac"));
    ensure!(content.readable() > 0.9, "{} of the clocks are readable", content.readable());
    ensure!(content.bursts.len() >= 6, "the beeps of eight seconds are heard: {:?}", content.bursts);
    relay.stop()
}
