//! MPEG transport streams with more than H.264 and AAC in them, by SRT, UDP and HLS: programs of others write and read them.
#![allow(clippy::unwrap_used)] // A failed unwrap is a failed test.

use anyhow::{Context, Result, ensure};
use e2e::content::{Content, LIP_SYNC};
use e2e::ffmpeg::pull;
use e2e::http::get;
use e2e::patient::{Patient, Phone};
use e2e::program::{Program, output_dir};
use e2e::relay::{EVERYTHING, Relay};
use serde_json::json;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

const PHONE: Phone = Phone { size: (320, 240), rate: 48_000, sound: "aac", recorded: None, gop: 30, stream: 7 };

/// H.265 with B-frames, so that decoding and showing are two orders.
const H265: &[&str] = &[
    "-c:v",
    "libx265",
    "-preset",
    "ultrafast",
    "-profile:v",
    "main",
    "-x265-params",
    "log-level=error:bframes=2:b-adapt=0:rc-lookahead=3",
];

/// The right picture and sound, in step; what is read ends in the middle of a group of pictures, in decode order.
fn judge(file: &Path, codecs: (&str, &str)) -> Result<()> {
    let check = || -> Result<()> {
        let content = Content::read(file)?;
        ensure!(content.codecs() == codecs, "{:?}", content.codecs());
        content.dts_rises()?;
        content.clock_runs(3)?;
        content.in_sync(3, LIP_SYNC)?;
        ensure!(content.readable() > 0.97, "{} clocks are readable", content.readable());
        Ok(())
    };
    check().with_context(|| file.display().to_string())
}

/// ffmpeg sends H.265 by SRT; ffmpeg reads it by SRT and by HLS, and what `srt-live-transmit` sent on by SRT again.
#[test]
fn h265_by_srt_and_hls() -> Result<()> {
    let dir = output_dir("mpegts_h265_by_srt_and_hls")?;
    let relay = Relay::start(&dir, EVERYTHING)?;
    let _patient = Patient::push_srt("patient", &dir, &relay.srt("publish:first")?, &PHONE, H265)?;
    assert_eq!(relay.path_ready("first")?["tracks"], json!(["H265", "MPEG-4 Audio"]));
    let (from, to) = (relay.srt("read:first")?, relay.srt("publish:second")?);
    let mut transmit = Command::new("srt-live-transmit");
    let _transmits = Program::start("transmit", &dir, transmit.args(["-autoreconnect", "no", &from, &to]))?;
    relay.path_ready("second")?;
    let files = ["srt.mkv", "hls.mkv", "again.mkv"].map(|name| dir.join(name));
    let mut readers = [
        pull("srt", &dir, &relay.srt("read:first")?, 5.0, &files[0])?,
        pull("hls", &dir, &relay.hls("first/stream.m3u8?variant=ts")?, 5.0, &files[1])?,
        pull("again", &dir, &relay.srt("read:second")?, 5.0, &files[2])?,
    ];
    for reader in &mut readers {
        reader.succeed(Duration::from_secs(40))?;
    }
    for file in &files {
        judge(file, ("hevc", "aac"))?;
    }
    let playlist = get(&relay.address("hls")?, "/first/index.m3u8?variant=ts")?;
    ensure!(playlist.contains("CODECS=\"hvc1."), "{playlist}");
    relay.stop()
}

/// ffmpeg sends H.265 by UDP; another relay fetches that as segments.
#[test]
fn h265_by_udp_and_fetched_as_hls() -> Result<()> {
    let dir = output_dir("mpegts_h265_by_udp")?;
    let port = std::net::UdpSocket::bind("127.0.0.1:0")?.local_addr()?.port();
    let paths = format!("paths: {{cam: {{source: \"udp+mpegts://127.0.0.1:{port}?source=127.0.0.1\"}}}}\n");
    let relay = Relay::start(&dir, &EVERYTHING.replace("paths: {all_others: }\n", &paths))?;
    let to = format!("udp://127.0.0.1:{port}?pkt_size=1316");
    let options = [H265, &["-f", "mpegts", &to]].concat();
    let _patient = Patient::send_as("patient", &dir, &PHONE, &options)?;
    assert_eq!(relay.path_ready("cam")?["tracks"], json!(["H265", "MPEG-4 Audio"]));
    let beyond = dir.join("beyond");
    std::fs::create_dir_all(&beyond)?;
    let paths = format!("paths: {{cam: {{source: \"{}\"}}}}\n", relay.hls("cam/stream.m3u8?variant=ts")?);
    let second = Relay::start(&beyond, &EVERYTHING.replace("paths: {all_others: }\n", &paths))?;
    assert_eq!(second.path_ready("cam")?["tracks"], json!(["H265", "MPEG-4 Audio"]));
    let file = dir.join("fetched.mkv");
    pull("reader", &dir, &second.srt("read:cam")?, 5.0, &file)?.succeed(Duration::from_secs(40))?;
    judge(&file, ("hevc", "aac"))?;
    second.stop()?;
    relay.stop()
}

/// MP3 goes by SRT as it is, and comes out of it as it is; by RTMP and HLS it is AAC.
#[test]
fn mp3_as_it_is_and_as_aac() -> Result<()> {
    let dir = output_dir("mpegts_mp3")?;
    let relay = Relay::start(&dir, EVERYTHING)?;
    let phone = Phone { sound: "libmp3lame", ..PHONE };
    let _patient = Patient::push_srt("patient", &dir, &relay.srt("publish:mp3")?, &phone, &[])?;
    assert_eq!(relay.path_ready("mp3")?["tracks"], json!(["H264", "MPEG-1/2 Audio"]));
    let readers = [
        ("srt.mkv", relay.srt("read:mp3")?, "mp3"),
        ("rtmp.flv", relay.rtmp("mp3")?, "aac"),
        ("hls.mkv", relay.hls("mp3/stream.m3u8?variant=ts")?, "aac"),
    ];
    let mut running = Vec::new();
    for (name, url, _) in &readers {
        running.push(pull(name, &dir, url, 5.0, &dir.join(name))?);
    }
    for reader in &mut running {
        reader.succeed(Duration::from_secs(40))?;
    }
    for (name, _, sound) in &readers {
        judge(&dir.join(name), ("h264", sound))?;
    }
    relay.stop()
}
