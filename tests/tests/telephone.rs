//! G.711 over WebRTC: as it is for browsers, which all decode it, and for everybody else as what they play.
#![allow(clippy::unwrap_used)] // A failed unwrap is a failed test.

use anyhow::{Result, ensure};
use e2e::browser::{Browser, judge_says, python};
use e2e::content::{Content, LIP_SYNC};
use e2e::ffmpeg::{pull, pull_rtsp};
use e2e::patient::{Patient, Phone};
use e2e::program::{Program, output_dir};
use e2e::relay::{EVERYTHING, Relay};
use serde_json::json;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

/// A camera with G.711 by RTSP: Chromium hears it as it is, and as Opus what another camera says as MP3; RTMP hears AAC.
#[test]
fn as_it_is_in_a_browser() -> Result<()> {
    let dir = output_dir("telephone_in_a_browser")?;
    let relay = Relay::start(&dir, EVERYTHING)?;
    let phone = |sound, rate| Phone { size: (320, 240), rate, sound, ..Phone::default() };
    let cameras = [
        ("alaw", "pcm_alaw", 8000, "audio/PCMA"),
        ("mulaw", "pcm_mulaw", 8000, "audio/PCMU"),
        ("mp3", "libmp3lame", 48_000, "audio/opus"),
    ];
    for (path, sound, rate, heard) in cameras {
        let url = relay.rtsp(path)?;
        let _camera = Patient::push_rtsp(path, &dir, &url, "tcp", &phone(sound, rate), &["-ac", "1"])?;
        let label = if rate == 8000 { "G711" } else { "MPEG-1/2 Audio" };
        assert_eq!(relay.path_ready(path)?["tracks"], json!(["H264", label]));
        let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("support/whep_player.html");
        let endpoint = format!("http://{}/{path}/whep", relay.address("webrtc")?);
        let browser = Browser::open("chromium", &dir, &page, &format!("endpoint={endpoint}&cards=60"))?;
        let report: serde_json::Value = serde_json::from_str(&browser.said("report")?)?;
        println!("{path}: {report}");
        let number = |name: &str| report[name].as_f64().unwrap_or(f64::NAN);
        assert_eq!((report["audio"].as_str(), &report["stream"]), (Some(heard), &json!(7)), "{report}");
        ensure!((number("tone") - 1000.0).abs() < 15.0, "the beep is heard: {report}");
        ensure!(number("concealed") < number("samples") / 5.0, "sound comes without holes: {report}");
        if path == "alaw" {
            let file = dir.join("rtmp.flv");
            pull("rtmp", &dir, &relay.rtmp(path)?, 4.0, &file)?.succeed(Duration::from_secs(40))?;
            let content = Content::read(&file)?;
            assert_eq!(content.codecs(), ("h264", "aac"));
            content.in_sync(2, LIP_SYNC)?;
        }
    }
    relay.stop()
}

/// aiortc offers G.711 alone: RTSP gives it as it came, RTMP as AAC.
#[test]
fn from_a_publisher_that_has_nothing_else() -> Result<()> {
    let dir = output_dir("telephone_from_a_publisher")?;
    let relay = Relay::start(&dir, EVERYTHING)?;
    let client = Path::new(env!("CARGO_MANIFEST_DIR")).join("support/whip_client.py");
    let mut command = Command::new(python());
    command.arg(client).arg(format!("http://{}/cam/whip", relay.address("webrtc")?));
    let _publisher = Program::start("aiortc", &dir, command.args(["--sound", "audio/PCMU"]))?;
    let created = judge_says(&dir.join("aiortc.out"), "created", Duration::from_secs(30))?;
    ensure!(created["answer"].as_str().is_some_and(|answer| answer.contains(" PCMU/8000")), "{created}");
    assert_eq!(relay.path_ready("cam")?["tracks"], json!(["H264", "G711"]));
    let (own, flv) = (dir.join("own.mkv"), dir.join("rtmp.flv"));
    let mut readers = [
        pull_rtsp("own", &dir, &relay.rtsp("cam")?, "tcp", 5.0, &own)?,
        pull("rtmp", &dir, &relay.rtmp("cam")?, 5.0, &flv)?,
    ];
    for reader in &mut readers {
        reader.succeed(Duration::from_secs(40))?;
    }
    for (file, sound) in [(&own, "pcm_mulaw"), (&flv, "aac")] {
        let content = Content::read(file)?;
        assert_eq!(content.codecs(), ("h264", sound), "{}", file.display());
        ensure!(content.readable() > 0.9, "{} of the clocks are readable", content.readable());
        let good = content.bursts.iter().filter(|burst| (burst.frequency - 1000.0).abs() < 15.0).count();
        ensure!(good >= 3, "beeps are heard: {:?}", content.bursts);
    }
    relay.stop()
}
