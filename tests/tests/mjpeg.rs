//! Motion JPEG: cameras that code every picture by itself, by HTTP as an ESP32-CAM answers; everybody sees them as H.264.
#![allow(clippy::unwrap_used)] // A failed unwrap is a failed test.

use anyhow::{Context, Result, ensure};
use e2e::content::Content;
use e2e::ffmpeg::pull;
use e2e::patient::{Patient, Phone};
use e2e::program::output_dir;
use e2e::relay::{EVERYTHING, Relay};
use serde_json::json;
use std::path::Path;
use std::time::Duration;

const PHONE: Phone = Phone { size: (320, 240), rate: 48_000, sound: "aac", recorded: None, gop: 30, stream: 7 };

/// As cameras code it: baseline, the usual Huffman tables.
const MJPEG: &[&str] =
    &["-c:v", "mjpeg", "-huffman", "default", "-profile:v", "-99", "-pix_fmt", "yuvj420p", "-q:v", "4"];

/// The right pictures, whole and in order.
fn seen(file: &Path, codec: &str) -> Result<Content> {
    let check = || -> Result<Content> {
        let content = Content::read(file)?;
        ensure!(content.codecs().0 == codec, "{:?}", content.codecs());
        content.clock_runs(3)?;
        ensure!(content.readable() > 0.97, "{} clocks are readable", content.readable());
        ensure!(content.pictures.len() > 60, "{} pictures", content.pictures.len());
        Ok(content)
    };
    check().with_context(|| file.display().to_string())
}

/// ffmpeg answers by HTTP as cameras do; ffmpeg looks at what comes out by every other protocol.
#[test]
fn by_http_for_everybody() -> Result<()> {
    let dir = output_dir("mjpeg_by_http")?;
    let port = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
    let url = format!("http://127.0.0.1:{port}/stream");
    let answer = ["-map", "0:v", "-f", "mpjpeg", "-boundary_tag", "frame", "-listen", "1", "-content_type"];
    let options = [MJPEG, &answer, &["multipart/x-mixed-replace;boundary=frame", &url]].concat();
    let _camera = Patient::send_as("camera", &dir, &PHONE, &options)?;
    let paths = format!("paths: {{cam: {{source: \"{url}\"}}, all_others: }}\n");
    let relay = Relay::start(&dir, &EVERYTHING.replace("paths: {all_others: }\n", &paths))?;
    let path = relay.path_ready("cam")?;
    assert_eq!((&path["source"]["type"], &path["tracks"]), (&"mjpegSource".into(), &json!(["M-JPEG"])));
    let readers = [
        ("rtmp.flv", relay.rtmp("cam")?),
        ("hls.mkv", relay.hls("cam/index.m3u8")?),
        ("srt.mkv", relay.srt("read:cam")?),
        ("named.flv", relay.rtmp("cam_h264")?),
    ];
    let mut running = Vec::new();
    for (name, url) in &readers {
        running.push(pull(name, &dir, url, 4.0, &dir.join(name))?);
    }
    for reader in &mut running {
        reader.succeed(Duration::from_secs(40))?;
    }
    for (name, _) in &readers {
        seen(&dir.join(name), "h264")?;
    }
    relay.stop()
}
