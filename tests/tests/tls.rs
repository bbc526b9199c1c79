//! RTMPS and RTSPS with ffmpeg and GStreamer on both sides, whose TLS is GnuTLS's; HTTPS with ffmpeg and curl.
#![allow(clippy::unwrap_used)] // A failed unwrap is a failed test.

use anyhow::{Context, Result, ensure};
use e2e::content::{Content, LIP_SYNC, judge, whole};
use e2e::ffmpeg::{ffmpeg, pull, pull_rtsp};
use e2e::http::request;
use e2e::patient::{Patient, Phone};
use e2e::program::{Program, output_dir};
use e2e::relay::{EVERYTHING, Relay};
use e2e::tls::Certificate;
use e2e::wait::wait_for;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

fn start(dir: &Path, encryption: &str) -> Result<(Relay, Certificate)> {
    let certificate = Certificate::make(dir, "server")?;
    let (rtmp, rtsp) = (certificate.config("rtmp", encryption), certificate.config("rtsp", encryption));
    Ok((Relay::start(dir, &format!("{EVERYTHING}{rtmp}{rtsp}"))?, certificate))
}

#[test]
fn rtmps_in_and_out() -> Result<()> {
    let dir = output_dir("tls_rtmps_in_and_out")?;
    let (relay, _) = start(&dir, "optional")?;
    let url = format!("rtmps://{}/patientStream", relay.address("rtmps")?);
    let _patient = Patient::push("patient", &dir, &url, &Phone::default())?;
    let path = relay.path_ready("patientStream")?;
    assert_eq!(path["source"]["type"], "rtmpsConn");
    let (secret, clear) = (dir.join("tls.flv"), dir.join("clear.flv"));
    let pull_tls = |name: &str, file: &Path| {
        let mut command = ffmpeg();
        command.args(["-i", &url, "-t", "5", "-c", "copy"]);
        Program::start(name, &dir, command.arg(file))
    };
    let mut readers = [pull_tls("tls", &secret)?, pull("clear", &dir, &relay.rtmp("patientStream")?, 5.0, &clear)?];
    for reader in &mut readers {
        reader.succeed(Duration::from_secs(40))?;
    }
    for file in [&secret, &clear] {
        whole(file, ("h264", "aac"), 3)?;
    }
    let conns = relay.list("rtmpsconns")?;
    let id = conns.iter().find(|c| c["state"] == "publish").and_then(|c| c["id"].as_str()).context("no publisher")?;
    let metrics = request("GET", &relay.address("metrics")?, "/metrics")?.1;
    ensure!(metrics.contains(&format!("rtmps_conns{{id=\"{id}\",path=\"patientStream\"")), "{metrics}");
    assert_eq!(request("POST", &relay.address("api")?, &format!("/v3/rtmpsconns/kick/{id}"))?.0, 200);
    relay.path_until("patientStream", |p| p["ready"] == false)?;
    relay.stop()
}

#[test]
fn rtsps_in_and_out() -> Result<()> {
    let dir = output_dir("tls_rtsps_in_and_out")?;
    let (relay, _) = start(&dir, "strict")?;
    ensure!(relay.address("rtsp").is_err() && relay.address("rtmp").is_err(), "nothing is served in the clear");
    let url = format!("rtsps://{}/camera", relay.address("rtsps")?);
    let _patient = Patient::push_rtsp("patient", &dir, &url, "tcp", &Phone::default(), &[])?;
    let path = relay.path_ready("camera")?;
    assert_eq!(path["source"]["type"], "rtspsSession");
    let file = dir.join("camera.mkv");
    pull_rtsp("reader", &dir, &url, "tcp", 5.0, &file)?.succeed(Duration::from_secs(40))?;
    whole(&file, ("h264", "aac"), 3)?;
    let sessions = relay.list("rtspssessions")?;
    ensure!(sessions.iter().any(|s| s["state"] == "publish" && s["transport"] == "TCP"), "{sessions:?}");
    relay.stop()
}

/// GStreamer pulls one path and pushes it to another as it is, both in TLS; ffmpeg looks at that.
#[test]
fn rtsps_through_gstreamer() -> Result<()> {
    let dir = output_dir("tls_rtsps_through_gstreamer")?;
    let (relay, _) = start(&dir, "optional")?;
    let _patient = Patient::push("patient", &dir, &relay.rtmp("first")?, &Phone::default())?;
    relay.path_ready("first")?;
    let place = |path: &str| Ok::<_, anyhow::Error>(format!("location=rtsps://{}/{path}", relay.address("rtsps")?));
    let mut command = Command::new("gst-launch-1.0");
    command.args([
        "rtspsrc",
        "name=source",
        &place("first")?,
        "tls-validation-flags=0",
        "protocols=tcp",
        "latency=200",
    ]);
    command.args([
        "buffer-mode=none",
        "rtspclientsink",
        "name=sink",
        &place("second")?,
        "tls-validation-flags=0",
        "protocols=tcp",
    ]);
    command.args(["source.", "!", "application/x-rtp,media=video", "!", "rtph264depay", "!", "h264parse"]);
    command.args(["!", "queue", "!", "sink."]);
    command.args(["source.", "!", "application/x-rtp,media=audio", "!", "rtpmp4gdepay", "!", "aacparse"]);
    command.args(["!", "queue", "!", "sink."]);
    let _gstreamer = Program::start("gstreamer", &dir, &mut command)?;
    relay.path_ready("second")?;
    // Its tracks move by some 50 ms until both clocks of the source are known, here or there.
    wait_for("two reports of each track", Duration::from_secs(40), || {
        let settled = |s: &serde_json::Value| s["path"] == "second" && s["inboundRTCPPackets"].as_u64() >= Some(4);
        Ok(relay.list("rtspssessions")?.into_iter().find(|s| s["state"] == "publish" && settled(s)))
    })?;
    let file = dir.join("second.mkv");
    pull_rtsp("reader", &dir, &relay.rtsp("second")?, "tcp", 5.0, &file)?.succeed(Duration::from_secs(40))?;
    judge(&file, ("h264", "aac"), |content: &Content| {
        content.in_sync(4, 0.100)?;
        let offsets = content.offsets();
        ensure!(offsets.iter().skip(1).all(|offset| offset.abs() <= LIP_SYNC), "out of step: {offsets:?}");
        Ok(())
    })?;
    relay.stop()
}

/// HLS and the pages of WebRTC; ffmpeg plays, curl asks, each knowing the certificate or not.
#[test]
fn https() -> Result<()> {
    let dir = output_dir("tls_https")?;
    let certificate = Certificate::make(&dir, "server")?;
    let (cert, key) = (certificate.cert.display(), certificate.key.display());
    let tls = |server: &str| format!("{server}Encryption: yes\n{server}ServerCert: {cert}\n{server}ServerKey: {key}\n");
    let relay = Relay::start(&dir, &format!("{EVERYTHING}{}{}", tls("hls"), tls("webrtc")))?;
    let _patient = Patient::push("patient", &dir, &relay.rtmp("live")?, &Phone::default())?;
    relay.path_ready("live")?;
    // Somebody who says nothing is not waited for.
    let _silent = TcpStream::connect(relay.address("hls")?)?;
    let (hls, flv) = (dir.join("hls.mkv"), dir.join("http.flv"));
    let at = |server: &str, path: &str| Ok::<_, anyhow::Error>(format!("https://{}/{path}", relay.address(server)?));
    let mut readers = Vec::new();
    for (name, path, file) in [("hls", "live/stream.m3u8?variant=fmp4", &hls), ("flv", "live.flv", &flv)] {
        let mut command = ffmpeg();
        command.args(["-i", &at("hls", path)?, "-t", "5", "-c", "copy"]);
        readers.push(Program::start(name, &dir, command.arg(file))?);
    }
    for reader in &mut readers {
        reader.succeed(Duration::from_secs(40))?;
    }
    whole(&hls, ("h264", "aac"), 3)?;
    whole(&flv, ("h264", "aac"), 3)?;
    let curl = |url: &str, trust: Option<&Path>| -> Result<String> {
        let mut command = Command::new("curl");
        command.args(["-sS", "--max-time", "10"]);
        if let Some(cert) = trust {
            command.arg("--cacert").arg(cert);
        }
        Ok(String::from_utf8(command.arg(url).output()?.stdout)?)
    };
    let page = at("webrtc", "live/")?;
    ensure!(curl(&page, Some(&certificate.cert))?.contains("<html"), "the player's page");
    ensure!(curl(&page, None)?.is_empty(), "curl believes no certificate that signed itself");
    relay.stop()
}

#[test]
fn foreign_bytes_and_silence() -> Result<()> {
    let dir = output_dir("tls_foreign_bytes_and_silence")?;
    let (relay, _) = start(&dir, "optional")?;
    for server in ["rtmps", "rtsps"] {
        let address = relay.address(server)?;
        // One that says nothing is let go too, and holds up nobody meanwhile.
        let mut silent = TcpStream::connect(&address)?;
        silent.set_read_timeout(Some(Duration::from_secs(20)))?;
        let mut plain = TcpStream::connect(&address)?;
        plain.set_read_timeout(Some(Duration::from_secs(20)))?;
        let begun = Instant::now();
        plain.write_all(b"OPTIONS * RTSP/1.0\r\nCSeq: 1\r\n\r\n")?;
        let mut answer = Vec::new();
        // Closed by the relay, politely or not.
        let _closed = plain.read_to_end(&mut answer);
        ensure!(begun.elapsed() < Duration::from_secs(5), "what is no TLS is ended");
        ensure!(!answer.starts_with(b"RTSP"), "nothing is said in the clear");
        let _closed = silent.read_to_end(&mut answer);
        ensure!(begun.elapsed() < Duration::from_secs(15), "a silent client is ended");
    }
    relay.stop()
}

#[test]
fn a_certificate_that_is_not_there_is_named() -> Result<()> {
    let dir = output_dir("tls_a_certificate_that_is_not_there")?;
    let config = format!("{EVERYTHING}rtspEncryption: optional\nrtspServerCert: nowhere.crt\n");
    let error = Relay::start(&dir, &config).map(|_| ()).unwrap_err();
    ensure!(format!("{error:#}").contains("rtspServerCert: nowhere.crt: No such file"), "{error:#}");
    Ok(())
}
