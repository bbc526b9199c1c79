//! Players that people have on their desks: Firefox and VLC, seen and heard by clock and beeps.
#![allow(clippy::unwrap_used)] // A failed unwrap is a failed test.

use anyhow::{Context, Result, ensure};
use e2e::content::{Content, LIP_SYNC};
use e2e::firefox::Firefox;
use e2e::patient::{Patient, Phone};
use e2e::program::output_dir;
use e2e::pulse::Pulse;
use e2e::relay::{EVERYTHING, Relay};
use e2e::{hls_js, vlc};
use serde_json::Value;
use std::time::Duration;

/// The patient's card, its clock running, and the tone.
fn seen_and_heard(report: &Value) -> Result<()> {
    let number = |name: &str| report[name].as_f64().unwrap_or(f64::NAN);
    ensure!(report["stream"] == 7 && report["falls"] == 0, "{report}");
    ensure!(number("unread") <= number("cards") / 10.0, "the clock is read: {report}");
    ensure!(number("span") >= number("cards") - 1.0 && number("cards") >= 20.0, "the clock runs: {report}");
    ensure!((number("tone") - 1000.0).abs() < 15.0, "the beep is heard: {report}");
    Ok(())
}

#[test]
fn firefox_plays_hls() -> Result<()> {
    let dir = output_dir("players_firefox_plays_hls")?;
    let (relay, speaker) = (Relay::start(&dir, EVERYTHING)?, Pulse::start(&dir)?);
    let phone = Phone { size: (320, 240), ..Phone::default() };
    let _patient = Patient::push("patient", &dir, &relay.rtmp("cam")?, &phone)?;
    relay.path_ready("cam")?;
    for variant in ["ll", "fmp4", "ts"] {
        let page = hls_js::page(&dir, &relay.hls(&format!("cam/stream.m3u8?variant={variant}"))?, 10)?;
        let firefox = Firefox::open(&format!("firefox-{variant}"), &dir, &format!("{page}&judge"), &speaker)?;
        let report = firefox.said("HLS", "report").with_context(|| firefox.errors())?;
        println!("Firefox, {variant}: {report}");
        ensure!(report["errors"] == serde_json::json!([]), "no error: {report}");
        seen_and_heard(&report)?;
    }
    relay.stop()
}

/// Debian's VLC has no RTSP: its library for that is left out.
#[test]
fn vlc_plays() -> Result<()> {
    let dir = output_dir("players_vlc_plays")?;
    let relay = Relay::start(&dir, EVERYTHING)?;
    let phone = Phone { size: (320, 240), ..Phone::default() };
    let _patient = Patient::push("patient", &dir, &relay.rtmp("cam")?, &phone)?;
    relay.path_ready("cam")?;
    let urls = [
        ("rtmp", relay.rtmp("cam")?),
        ("flv", relay.hls("cam.flv")?),
        ("ll", relay.hls("cam/index.m3u8")?),
        ("fmp4", relay.hls("cam/stream.m3u8?variant=fmp4")?),
        ("ts", relay.hls("cam/stream.m3u8?variant=ts")?),
        ("srt", relay.srt("read:cam")?),
    ];
    let mut players = Vec::new();
    for (name, url) in &urls {
        players.push(vlc::record(&format!("vlc-{name}"), &dir, url, 8)?);
    }
    for (player, _) in &mut players {
        player.succeed(Duration::from_secs(60))?;
    }
    for ((name, _), (_, file)) in urls.iter().zip(&players) {
        let content = Content::read(file)?;
        // Its own times, which it writes anew, are its own business.
        assert_eq!(content.codecs(), ("h264", "aac"), "{name}");
        // By SRT a busy machine may be too late for some, by that protocol's rules.
        content.clock_runs(if *name == "srt" { 31 } else { 1 }).with_context(|| (*name).to_owned())?;
        ensure!(content.readable() > 0.9, "{name}: {} clocks are readable", content.readable());
        // What comes live in a transport stream VLC sets by its own clock, which follows when packets arrive. The times themselves are
        // judged where nobody writes them anew (`srt.rs`, `matrix.rs`).
        let limit = if *name == "srt" { 2.5 * LIP_SYNC } else { LIP_SYNC };
        content.in_sync(3, limit).with_context(|| (*name).to_owned())?;
    }
    relay.stop()
}
