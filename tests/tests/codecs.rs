//! H.265, AV1 and VP9 through the relay: FFmpeg 8 publishes by Enhanced RTMP, everybody who can plays, the others are told.
#![allow(clippy::unwrap_used)] // A failed unwrap is a failed test.

use anyhow::{Context, Result, ensure};
use e2e::browser::judge_says;
use e2e::content::Content;
use e2e::enhanced_rtmp::{pull, recode};
use e2e::hls_js::Player;
use e2e::http::get;
use e2e::patient::{Patient, Phone};
use e2e::program::{Program, output_dir};
use e2e::relay::{EVERYTHING, Relay};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Sound and picture may be this far apart: what a viewer does not notice (ITU-R BT.1359).
const LIP_SYNC: f64 = 0.045;

/// Every FourCC a player of today names.
const ALL: &str = "hvc1,av01,vp09";

/// The clock and the beeps in another codec on the path `stream`.
struct Stage {
    relay: Relay,
    dir: PathBuf,
    _phone: Patient,
    _recoder: Program,
}

impl Stage {
    fn open(test: &str, video: &str, audio: &str) -> Result<Self> {
        let dir = output_dir(test)?;
        let relay = Relay::start(&dir, EVERYTHING)?;
        let phone = Phone { size: (320, 240), ..Phone::default() };
        let phone = Patient::push("phone", &dir, &relay.rtmp("raw")?, &phone)?;
        relay.path_ready("raw")?;
        let recoder = recode(&dir, &relay.rtmp("raw")?, &relay.rtmp("stream")?, video, audio)?;
        relay.path_ready("stream")?;
        Ok(Self { relay, dir, _phone: phone, _recoder: recoder })
    }

    /// Pulls with FFmpeg 8 as a client that names `four_ccs`, and judges what came: these codecs, times that rise.
    fn pulled(&self, name: &str, url: &str, four_ccs: &str, codecs: (&str, &str)) -> Result<()> {
        let file = self.dir.join(format!("{name}.mkv"));
        pull(name, &self.dir, url, 5, &file, four_ccs)?.succeed(Duration::from_secs(40))?;
        let told = judge_says(&self.dir.join(format!("{name}.out")), "pulled", Duration::from_secs(1))?;
        assert_eq!((told["video"].as_str(), told["audio"].as_str()), (Some(codecs.0), Some(codecs.1)));
        judge(&Content::read(&file)?)
    }

    /// Waits until the API names these tracks, in whichever order the publisher announced them.
    fn has_tracks(&self, picture: &str, sound: &str) -> Result<()> {
        let both = [serde_json::json!([picture, sound]), serde_json::json!([sound, picture])];
        self.relay.path_until("stream", |path| both.contains(&path["tracks"])).map(drop)
    }

    /// The codec names of the CODECS attribute.
    fn playlist_codecs(&self) -> Result<String> {
        let index = get(&self.relay.address("hls")?, "/stream/index.m3u8")?;
        let (_, rest) = index.split_once("CODECS=\"").context("no CODECS")?;
        Ok(rest.split('"').next().unwrap_or_default().to_owned())
    }
}

/// The right picture, the right sound, in step, with times that rise.
fn judge(content: &Content) -> Result<()> {
    content.dts_rises()?;
    // The encoder of the test may drop a picture on a busy machine; the relay drops none of what it was given.
    content.clock_runs(3)?;
    content.in_sync(3, LIP_SYNC)?;
    ensure!(content.readable() > 0.99, "{} clocks are readable", content.readable());
    Ok(())
}

fn ffmpeg_pull(name: &str, dir: &Path, url: &str, file: &Path) -> Result<()> {
    e2e::ffmpeg::pull(name, dir, url, 5.0, file)?.succeed(Duration::from_secs(40))
}

#[test]
fn h265_everywhere_it_can_go() -> Result<()> {
    let stage = Stage::open("codecs_h265", "libx265", "aac")?;
    stage.has_tracks("H265", "MPEG-4 Audio")?;
    stage.pulled("enhanced", &stage.relay.rtmp("stream")?, ALL, ("hevc", "aac"))?;
    // FFmpeg 5.1 knows no FourCC in FLV, but H.265 in MP4.
    let file = stage.dir.join("hls.mkv");
    ffmpeg_pull("hls", &stage.dir, &stage.relay.hls("stream/index.m3u8")?, &file)?;
    let content = Content::read(&file)?;
    assert_eq!(content.codecs(), ("hevc", "aac"));
    judge(&content)?;
    let codecs = stage.playlist_codecs()?;
    ensure!(codecs.starts_with("hvc1.1.6.L"), "{codecs}");
    stage.pulled("http", &stage.relay.hls("stream.flv")?, "", ("hevc", "aac"))?;
    stage.relay.stop()
}

#[test]
fn a_player_of_old_gets_the_sound_and_the_api_says_why() -> Result<()> {
    let stage = Stage::open("codecs_old_player", "libx265", "aac")?;
    let file = stage.dir.join("old.mkv");
    let mut player = e2e::ffmpeg::pull("old", &stage.dir, &stage.relay.rtmp("stream")?, 6.0, &file)?;
    let path = stage.relay.path_until("stream", |p| p["skippedTracks"].as_array().is_some_and(|t| !t.is_empty()))?;
    let skipped = &path["skippedTracks"][0];
    assert_eq!((&skipped["codec"], &skipped["reader"]["type"]), (&"H265".into(), &"rtmpConn".into()), "{skipped}");
    ensure!(skipped["reason"].as_str().is_some_and(|r| r.ends_with("takes no other picture than H264")), "{skipped}");
    player.succeed(Duration::from_secs(40))?;
    let probe = e2e::ffmpeg::probe(&file)?;
    let streams = probe["streams"].as_array().context("no streams")?;
    assert_eq!(streams.iter().map(|s| s["codec_name"].as_str()).collect::<Vec<_>>(), [Some("aac")]);
    let packets = probe["packets"].as_array().context("no packets")?;
    ensure!(packets.len() > 200, "{} packets of sound", packets.len());
    stage.relay.stop()
}

#[test]
fn av1_with_aac() -> Result<()> {
    let stage = Stage::open("codecs_av1", "libsvtav1", "aac")?;
    stage.has_tracks("AV1", "MPEG-4 Audio")?;
    stage.pulled("enhanced", &stage.relay.rtmp("stream")?, ALL, ("av1", "aac"))?;
    let player = Player::open(&stage.dir, &stage.relay.hls("stream/index.m3u8")?, 10)?;
    let report = player.said("report", Duration::from_secs(40))?;
    println!("hls.js: {report}");
    ensure!(report["errors"] == serde_json::json!([]), "no error: {report}");
    ensure!(report["frames"].as_f64() > Some(60.0), "it shows pictures: {report}");
    let codecs = stage.playlist_codecs()?;
    ensure!(codecs.starts_with("av01.0."), "{codecs}");
    stage.relay.stop()
}

#[test]
fn vp9_with_opus() -> Result<()> {
    let stage = Stage::open("codecs_vp9", "libvpx-vp9", "libopus")?;
    stage.has_tracks("VP9", "Opus")?;
    // Who names Opus gets it as it is; who does not gets AAC.
    stage.pulled("opus", &stage.relay.rtmp("stream")?, "vp09,Opus", ("vp9", "opus"))?;
    stage.pulled("aac", &stage.relay.rtmp("stream")?, "vp09", ("vp9", "aac"))?;
    let player = Player::open(&stage.dir, &stage.relay.hls("stream/index.m3u8")?, 10)?;
    let report = player.said("report", Duration::from_secs(40))?;
    println!("hls.js: {report}");
    ensure!(report["errors"] == serde_json::json!([]), "no error: {report}");
    ensure!(report["frames"].as_f64() > Some(60.0), "it shows pictures: {report}");
    let codecs = stage.playlist_codecs()?;
    ensure!(codecs.starts_with("vp09.00."), "{codecs}");
    stage.relay.stop()
}
