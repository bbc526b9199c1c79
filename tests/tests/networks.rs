//! SRT and RTSP by UDP through networks that lose, delay and reorder: what is left of picture and sound on the other side.
//!
//! WebRTC has its own (`loss.rs`). What passes is judged by the clocks in the pictures and by the beeps, never by when it came.

use anyhow::{Result, ensure};
use e2e::content::Content;
use e2e::ffmpeg::{pull, pull_rtsp};
use e2e::impair::{Impairment, Network};
use e2e::patient::{Patient, Phone};
use e2e::program::output_dir;
use e2e::relay::{EVERYTHING, Relay};
use e2e::rtsp_way::RtspWay;
use std::path::Path;
use std::time::Duration;

/// Seconds that are read.
const SECONDS: f64 = 10.0;

/// A mobile network: tens of milliseconds, and packets that overtake each other.
fn mobile(loss: f64) -> Impairment {
    Impairment { loss, delay: Duration::from_millis(20), jitter: Duration::from_millis(15) }
}

/// What arrived.
struct Arrived {
    /// Of a hundred pictures, those that are missing between the first and the last.
    missing: f64,
    /// Of a hundred that came, those whose clock cannot be read.
    spoiled: f64,
    /// From one picture to the next, at most.
    gap: u32,
    /// Whole beeps.
    beeps: usize,
    /// The longest time between two packets of sound, in seconds.
    silence: f64,
}

impl Arrived {
    fn read(file: &Path) -> Result<Self> {
        let content = Content::read(file)?;
        let frames: Vec<u32> = content.pictures.iter().filter_map(|(_, clock)| clock.map(|c| c.frame)).collect();
        ensure!(frames.len() > 1 && frames.is_sorted(), "pictures come in order: {frames:?}");
        let span = f64::from(frames[frames.len() - 1] - frames[0]) + 1.0;
        let sound = content.field("audio", "index").clone();
        let times: Vec<f64> = content.probe["packets"]
            .as_array()
            .into_iter()
            .flatten()
            .filter(|packet| packet["stream_index"] == sound)
            .filter_map(|packet| packet["pts_time"].as_str()?.parse().ok())
            .collect();
        Ok(Self {
            missing: (1.0 - content.pictures.len() as f64 / span).max(0.0) * 100.0,
            spoiled: (1.0 - content.readable()) * 100.0,
            gap: frames.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap_or(0),
            beeps: content.bursts.iter().filter(|burst| (burst.frequency - 1000.0).abs() < 15.0).count(),
            silence: times.windows(2).map(|pair| pair[1] - pair[0]).fold(0.0, f64::max),
        })
    }
}

impl std::fmt::Display for Arrived {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { missing, spoiled, gap, beeps, silence } = self;
        write!(
            f,
            "{missing:.1} % of the pictures missing, at most {} in a row; {spoiled:.1} % spoiled; {beeps} beeps, sound pauses {:.0} ms at most",
            gap.saturating_sub(1),
            silence * 1e3
        )
    }
}

/// Checks that the network did lose what it should.
fn loses((passed, lost): (u64, u64), loss: f64) -> Result<()> {
    ensure!(lost as f64 > passed as f64 * loss / 200.0, "the network loses: {lost} of {passed}");
    Ok(())
}

/// A publisher and, on another path, a reader behind such networks; the other side of each is near. Both have time to ask again.
fn srt(loss: f64) -> Result<String> {
    let dir = output_dir(&format!("networks_srt_{loss}"))?;
    let relay = Relay::start(&dir, EVERYTHING)?;
    let network = |seed| -> Result<Network> {
        let network = Network::before(relay.address("srt")?.parse()?, seed)?;
        network.set(mobile(loss));
        Ok(network)
    };
    let (before, behind) = (network(11)?, network(13)?);
    let through = |network: &Network, id: &str| format!("srt://{}?streamid={id}&latency=1000000", network.address());
    let _far = Patient::push_srt("far", &dir, &through(&before, "publish:far"), &Phone::default(), &[])?;
    let _near = Patient::push("near", &dir, &relay.rtmp("near")?, &Phone::default())?;
    relay.path_ready("far")?;
    relay.path_ready("near")?;
    let (published, read) = (dir.join("published.mkv"), dir.join("read.mkv"));
    let mut readers = [
        pull("published", &dir, &relay.rtmp("far")?, SECONDS, &published)?,
        pull("read", &dir, &through(&behind, "read:near"), SECONDS, &read)?,
    ];
    for reader in &mut readers {
        reader.succeed(Duration::from_secs(60))?;
    }
    loses(before.counts(), loss)?;
    loses(behind.counts(), loss)?;
    let mut figures = String::new();
    for (name, file) in [("published", &published), ("read", &read)] {
        let arrived = Arrived::read(file)?;
        figures += &format!("SRT, {loss} %, {name}: {arrived}\n");
        ensure!(arrived.beeps >= 7 && arrived.silence < 0.5, "sound goes on: {figures}");
        // What was lost was asked for and came again in time; a busy machine may be late by itself.
        ensure!(arrived.missing < 5.0 && arrived.spoiled < 5.0, "pictures are missing: {figures}");
    }
    relay.stop()?;
    std::fs::write(dir.join("figures.txt"), &figures)?;
    Ok(figures)
}

#[test]
fn srt_with_one_of_a_hundred() -> Result<()> {
    println!("{}", srt(1.0)?);
    Ok(())
}

#[test]
fn srt_with_five_of_a_hundred() -> Result<()> {
    println!("{}", srt(5.0)?);
    Ok(())
}

#[test]
fn srt_with_ten_of_a_hundred() -> Result<()> {
    println!("{}", srt(10.0)?);
    Ok(())
}

/// RTP by UDP is sent once: what is lost stays lost. A lost packet costs at most the rest of its GOP, since the relay shows nothing that lacks its
/// reference; sound goes on.
fn rtsp(loss: f64) -> Result<String> {
    let dir = output_dir(&format!("networks_rtsp_{loss}"))?;
    let relay = Relay::start(&dir, EVERYTHING)?;
    let way = |seed| RtspWay::before(relay.address("rtsp")?.parse()?, relay.rtsp_udp()?, mobile(loss), seed);
    let (before, behind) = (way(17)?, way(19)?);
    let far = format!("rtsp://{}/far", before.address);
    let _far = Patient::push_rtsp("far", &dir, &far, "udp", &Phone::default(), &[])?;
    let _near = Patient::push("near", &dir, &relay.rtmp("near")?, &Phone::default())?;
    relay.path_ready("far")?;
    relay.path_ready("near")?;
    let (published, read) = (dir.join("published.mkv"), dir.join("read.mkv"));
    let near = format!("rtsp://{}/near", behind.address);
    let mut readers = [
        pull("published", &dir, &relay.rtmp("far")?, SECONDS, &published)?,
        pull_rtsp("read", &dir, &near, "udp", SECONDS, &read)?,
    ];
    for reader in &mut readers {
        reader.succeed(Duration::from_secs(60))?;
    }
    loses(before.counts(), loss)?;
    loses(behind.counts(), loss)?;
    let mut figures = String::new();
    for (name, file) in [("published", &published), ("read", &read)] {
        let arrived = Arrived::read(file)?;
        figures += &format!("RTSP by UDP, {loss} %, {name}: {arrived}\n");
        ensure!(arrived.beeps >= 7 && arrived.silence < 0.5, "sound goes on: {figures}");
        // The relay passes nothing on that lacks its reference; ffmpeg, which reads, does.
        ensure!(name == "read" || arrived.spoiled < 2.0, "what comes is whole: {figures}");
    }
    relay.stop()?;
    std::fs::write(dir.join("figures.txt"), &figures)?;
    Ok(figures)
}

#[test]
fn rtsp_by_udp_with_one_of_a_hundred() -> Result<()> {
    println!("{}", rtsp(1.0)?);
    Ok(())
}

#[test]
fn rtsp_by_udp_with_five_of_a_hundred() -> Result<()> {
    println!("{}", rtsp(5.0)?);
    Ok(())
}
