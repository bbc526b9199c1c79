//! More listeners than one machine has room for: other servers fetch from here, as their users configure them. What they were given is judged
//! behind them, by clock and beeps.
//!
//! Elsewhere: a cache in front of HLS (`hls.rs`), pushing to others (`push.rs`), GStreamer by RTSP (`rtsp.rs`).
#![allow(clippy::unwrap_used)] // A failed unwrap is a failed test.

use anyhow::{Result, ensure};
use e2e::content::{LIP_SYNC, judge, whole};
use e2e::ffmpeg::{pull, pull_rtsp};
use e2e::nginx::{Nginx, free_address};
use e2e::patient::{Patient, Phone};
use e2e::program::{Program, output_dir};
use e2e::relay::{EVERYTHING, Relay};
use e2e::wait::wait_for;
use std::process::Command;
use std::time::Duration;

/// One fetches always, by RTMP, the other while somebody wants it, by RTSP; at the first relay each is one reader, however many listen.
#[test]
fn a_second_relay_pulls() -> Result<()> {
    let dir = output_dir("handover_a_second_relay_pulls")?;
    let edge = dir.join("edge");
    std::fs::create_dir_all(&edge)?;
    let origin = Relay::start(&dir, EVERYTHING)?;
    let _patient = Patient::push("patient", &dir, &origin.rtmp("cam")?, &Phone::default())?;
    origin.path_ready("cam")?;
    let (rtmp, rtsp) = (origin.rtmp("cam")?, origin.rtsp("cam")?);
    let paths = format!("{{by_rtmp: {{source: \"{rtmp}\"}}, by_rtsp: {{source: \"{rtsp}\", sourceOnDemand: yes}}}}");
    let second = Relay::start(&edge, &EVERYTHING.replace("{all_others: }", &paths))?;
    second.path_ready("by_rtmp")?;
    let place = |name: &str| dir.join(format!("{name}.mkv"));
    let mut readers = [
        pull("one", &dir, &second.rtmp("by_rtmp")?, 5.0, &place("one"))?,
        pull("two", &dir, &second.hls("by_rtmp/index.m3u8")?, 5.0, &place("two"))?,
        pull("three", &dir, &second.rtmp("by_rtsp")?, 5.0, &place("three"))?,
        pull_rtsp("four", &dir, &second.rtsp("by_rtsp")?, "tcp", 5.0, &place("four"))?,
    ];
    second.path_until("by_rtsp", |path| path["ready"] == true)?;
    let readers_there = origin.path_ready("cam")?["readers"].as_array().map_or(0, Vec::len);
    ensure!(readers_there == 2, "each source is one reader: {readers_there}");
    for reader in &mut readers {
        reader.succeed(Duration::from_secs(40))?;
    }
    for name in ["one", "two"] {
        whole(&place(name), ("h264", "aac"), 3)?;
    }
    // By RTSP both tracks' clocks are known after a moment.
    for name in ["three", "four"] {
        judge(&place(name), ("h264", "aac"), |content| {
            let offsets = content.offsets();
            ensure!(
                offsets.len() >= 3 && offsets.iter().skip(1).all(|o| o.abs() <= LIP_SYNC),
                "out of step: {offsets:?}"
            );
            Ok(())
        })?;
    }
    second.stop()?;
    origin.stop()
}

#[test]
fn nginx_rtmp_pulls() -> Result<()> {
    let dir = output_dir("handover_nginx_rtmp_pulls")?;
    let relay = Relay::start(&dir, EVERYTHING)?;
    let _patient = Patient::push("patient", &dir, &relay.rtmp("live/cam")?, &Phone::default())?;
    relay.path_ready("live/cam")?;
    let (address, status) = (free_address()?, free_address()?);
    let origin = format!("rtmp://{}/live", relay.address("rtmp")?);
    let _nginx = Nginx::rtmp_pulling(&dir, &address, &status, &origin)?;
    let url = format!("rtmp://{address}/live/cam");
    let (one, two) = (dir.join("one.flv"), dir.join("two.flv"));
    let mut readers = [pull("one", &dir, &url, 5.0, &one)?, pull("two", &dir, &url, 5.0, &two)?];
    let path = relay.path_until("live/cam", |path| path["readers"].as_array().is_some_and(|all| !all.is_empty()))?;
    assert_eq!(path["readers"].as_array().map(Vec::len), Some(1), "nginx is one reader: {path}");
    for reader in &mut readers {
        reader.succeed(Duration::from_secs(40))?;
    }
    whole(&one, ("h264", "aac"), 3)?;
    whole(&two, ("h264", "aac"), 3)?;
    relay.stop()
}

/// GStreamer fetches by RTMP and writes what it gets.
#[test]
fn gstreamer_pulls_by_rtmp() -> Result<()> {
    let dir = output_dir("handover_gstreamer_pulls_by_rtmp")?;
    let relay = Relay::start(&dir, EVERYTHING)?;
    let _patient = Patient::push("patient", &dir, &relay.rtmp("live/cam")?, &Phone::default())?;
    relay.path_ready("live/cam")?;
    let file = dir.join("fetched.mkv");
    let _old = std::fs::remove_file(&file);
    let mut command = Command::new("gst-launch-1.0");
    command.args(["rtmp2src", &format!("location={}", relay.rtmp("live/cam")?), "!", "flvdemux", "name=demux"]);
    command.args(["matroskamux", "streamable=true", "name=mux", "!", "filesink"]);
    command.arg(format!("location={}", file.display()));
    command.args(["demux.video", "!", "queue", "!", "h264parse", "!", "mux."]);
    command.args(["demux.audio", "!", "queue", "!", "aacparse", "!", "mux."]);
    let mut player = Program::start("gstreamer", &dir, &mut command)?;
    // Six seconds at about 1 Mbps.
    wait_for("GStreamer's recording", Duration::from_secs(30), || {
        Ok(std::fs::metadata(&file).ok().filter(|m| m.len() > 600_000))
    })?;
    // What is written until now needs no ending.
    player.kill()?;
    whole(&file, ("h264", "aac"), 3)?;
    relay.stop()
}
