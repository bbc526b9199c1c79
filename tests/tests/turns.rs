//! A picture that changes its size in the middle of a stream, as a phone's does when it is turned, at every listener.

use anyhow::{Result, ensure};
use e2e::browser::Browser;
use e2e::content::Content;
use e2e::ffmpeg::{ffmpeg, picture_sizes, pull, pull_rtsp};
use e2e::hls_js::Player;
use e2e::patient::turned;
use e2e::program::{Program, output_dir};
use e2e::relay::{EVERYTHING, Relay};
use serde_json::{Value, json};
use std::path::Path;
use std::time::Duration;

/// Both ways of holding the phone.
const SIZES: [&str; 2] = ["640,360", "360,640"];

/// Sends the turned phone's stream to `camera`.
fn phone(dir: &Path, relay: &Relay) -> Result<Program> {
    let both = turned(dir, |_| false)?;
    let mut push = ffmpeg();
    push.args(["-re", "-i"]).arg(&both).args(["-c", "copy", "-f", "flv", &relay.rtmp("camera")?]);
    Program::start("phone", dir, &mut push)
}

/// Readers that were there before take the stream down as it comes; what they have is seen by ffmpeg, in both sizes.
#[test]
fn readers_go_on() -> Result<()> {
    let dir = output_dir("turns_readers_go_on")?;
    let relay = Relay::start(&dir, EVERYTHING)?;
    let file = |name: &str| dir.join(name);
    let mut readers = vec![
        (pull("flv", &dir, &relay.hls("camera.flv")?, 8.0, &file("http.flv"))?, file("http.flv")),
        (pull("srt", &dir, &relay.srt("read:camera")?, 8.0, &file("srt.ts"))?, file("srt.ts")),
        (pull_rtsp("rtsp", &dir, &relay.rtsp("camera")?, "tcp", 8.0, &file("rtsp.ts"))?, file("rtsp.ts")),
    ];
    let _phone = phone(&dir, &relay)?;
    relay.path_ready("camera")?;
    let ts = relay.hls("camera/index.m3u8?variant=ts")?;
    readers.push((pull("hls", &dir, &ts, 6.5, &file("hls.ts"))?, file("hls.ts")));
    for (reader, file) in &mut readers {
        reader.succeed(Duration::from_secs(40))?;
        let content = Content::read(file)?;
        let name = file.display();
        content.dts_rises()?;
        ensure!(content.readable() > 0.99, "{name}: {} clocks are readable", content.readable());
        let mut streams: Vec<u8> = content.pictures.iter().filter_map(|(_, c)| c.map(|c| c.stream)).collect();
        streams.dedup();
        ensure!(streams == [1, 2], "{name}: it is seen before and after: {streams:?}");
        ensure!(picture_sizes(file)? == SIZES, "{name}: {:?}", picture_sizes(file)?);
    }
    relay.stop()
}

/// Browsers turn their picture: by WebRTC, and by LL-HLS, where a new initialisation segment says so.
#[test]
fn browsers_go_on() -> Result<()> {
    let dir = output_dir("turns_browsers_go_on")?;
    let relay = Relay::start(&dir, EVERYTHING)?;
    let _phone = phone(&dir, &relay)?;
    relay.path_ready("camera")?;
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("support/whep_player.html");
    let query = format!("endpoint=http://{}/camera/whep&cards=60&sizes=2", relay.address("webrtc")?);
    let (by_hls, by_whep) = (dir.join("hls"), dir.join("whep"));
    std::fs::create_dir_all(&by_hls)?;
    std::fs::create_dir_all(&by_whep)?;
    let player = Player::open(&by_hls, &(relay.hls("camera/index.m3u8")? + "&sizes=2"), 2)?;
    let browser = Browser::open("chromium", &by_whep, &page, &query)?;
    let seen: Value = serde_json::from_str(&browser.said("report")?)?;
    ensure!(seen["streams"] == json!([1, 2]) && seen["sizes"] == json!(SIZES), "{seen}");
    // The second part counts its pictures anew.
    ensure!(seen["falls"] == 1 && seen["unread"].as_u64() <= Some(1), "{seen}");
    let played = player.said("report", Duration::from_secs(30))?;
    ensure!(played["sizes"] == json!(SIZES), "{played}");
    relay.stop()
}
