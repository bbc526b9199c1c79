//! RTSP with ffmpeg and GStreamer on both sides: what is pulled shows the right picture and says the right tone.
#![allow(clippy::unwrap_used)] // A failed unwrap is a failed test.

use anyhow::{Context, Result, ensure};
use e2e::content::{Content, LIP_SYNC, judge, whole};
use e2e::ffmpeg::{ffmpeg, pull, pull_rtsp};
use e2e::http::request;
use e2e::patient::{Patient, Phone};
use e2e::program::{Program, output_dir};
use e2e::relay::{EVERYTHING, Relay};
use e2e::wait::wait_for;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Command;
use std::time::{Duration, Instant};

/// In step once the tracks have settled: through GStreamer they come up to 60 ms apart at first, and one beep later they do not.
fn settles(content: &Content) -> Result<()> {
    content.in_sync(4, 0.100)?;
    let offsets = content.offsets();
    ensure!(offsets.iter().skip(1).all(|offset| offset.abs() <= LIP_SYNC), "out of step: {offsets:?}");
    Ok(())
}

/// Pushed over `transport`, pulled by RTSP over either and by RTMP.
fn pushed_and_pulled(transport: &str) -> Result<()> {
    let dir = output_dir(&format!("rtsp_pushed_and_pulled_by_{transport}"))?;
    let relay = Relay::start(&dir, EVERYTHING)?;
    let url = relay.rtsp("camera")?;
    let _patient = Patient::push_rtsp("patient", &dir, &url, transport, &Phone::default(), &[])?;
    relay.path_ready("camera")?;
    let (tcp, udp, flv) = (dir.join("tcp.mkv"), dir.join("udp.mkv"), dir.join("rtmp.flv"));
    let mut readers = [
        pull_rtsp("tcp", &dir, &url, "tcp", 5.0, &tcp)?,
        pull_rtsp("udp", &dir, &url, "udp", 5.0, &udp)?,
        pull("rtmp", &dir, &relay.rtmp("camera")?, 5.0, &flv)?,
    ];
    let sessions = wait_for("three sessions in the lists", Duration::from_secs(15), || {
        let sessions = relay.list("rtspsessions")?;
        let all = sessions.len() == 3 && relay.list("rtspconns")?.len() == 3;
        Ok(all.then_some(sessions))
    })?;
    let of = |state: &str| sessions.iter().filter(|s| s["state"] == state).collect::<Vec<_>>();
    assert_eq!(of("publish")[0]["transport"], transport.to_uppercase());
    let mut transports: Vec<_> = of("read").iter().map(|s| s["transport"].as_str().unwrap_or_default()).collect();
    transports.sort_unstable();
    assert_eq!(transports, ["TCP", "UDP"]);
    for reader in &mut readers {
        reader.succeed(Duration::from_secs(40))?;
    }
    for file in [&tcp, &udp, &flv] {
        whole(file, ("h264", "aac"), 3)?;
    }
    relay.stop()
}

#[test]
fn by_tcp() -> Result<()> {
    pushed_and_pulled("tcp")
}

#[test]
fn by_udp() -> Result<()> {
    pushed_and_pulled("udp")
}

#[test]
fn the_reader_comes_first() -> Result<()> {
    let dir = output_dir("rtsp_the_reader_comes_first")?;
    let relay = Relay::start(&dir, EVERYTHING)?;
    let file = dir.join("early.mkv");
    let mut reader = pull_rtsp("early", &dir, &relay.rtsp("patientStream")?, "tcp", 5.0, &file)?;
    wait_for("the early reader", Duration::from_secs(10), || Ok(relay.list("rtspconns")?.pop()))?;
    // By RTMP, with sound of the phone's other rate.
    let phone = Phone { rate: 16_000, ..Phone::default() };
    let _patient = Patient::push("patient", &dir, &relay.rtmp("patientStream")?, &phone)?;
    reader.succeed(Duration::from_secs(40))?;
    whole(&file, ("h264", "aac"), 3)?;
    relay.stop()
}

#[test]
fn opus_as_it_is_and_as_aac() -> Result<()> {
    let dir = output_dir("rtsp_opus_as_it_is_and_as_aac")?;
    let relay = Relay::start(&dir, EVERYTHING)?;
    let url = relay.rtsp("patientStream")?;
    let opus = ["-c:a", "libopus", "-ac", "2"];
    let _patient = Patient::push_rtsp("patient", &dir, &url, "tcp", &Phone::default(), &opus)?;
    relay.path_ready("patientStream")?;
    let (own, aac, flv) = (dir.join("own.mkv"), dir.join("aac.mkv"), dir.join("rtmp.flv"));
    let mut readers = [
        pull_rtsp("own", &dir, &url, "tcp", 5.0, &own)?,
        pull_rtsp("aac", &dir, &relay.rtsp("patientStream_aac")?, "udp", 5.0, &aac)?,
        pull("rtmp", &dir, &relay.rtmp("patientStream")?, 5.0, &flv)?,
    ];
    for reader in &mut readers {
        reader.succeed(Duration::from_secs(40))?;
    }
    whole(&own, ("h264", "opus"), 3)?;
    whole(&aac, ("h264", "aac"), 3)?;
    whole(&flv, ("h264", "aac"), 3)?;
    relay.stop()
}

#[test]
fn b_pictures() -> Result<()> {
    let dir = output_dir("rtsp_b_pictures")?;
    let relay = Relay::start(&dir, EVERYTHING)?;
    let url = relay.rtsp("obs")?;
    let coding = ["-tune", "fastdecode", "-profile:v", "main", "-bf", "3", "-x264-params", "b-pyramid=normal"];
    let _patient = Patient::push_rtsp("patient", &dir, &url, "tcp", &Phone::default(), &coding)?;
    relay.path_ready("obs")?;
    let (own, flv) = (dir.join("own.mkv"), dir.join("rtmp.flv"));
    // RTP says no decode times, and ffmpeg has none for the first pictures: it shows them, but cannot copy them.
    let mut decodes = ffmpeg();
    decodes.args(["-rtsp_transport", "tcp", "-i", &url, "-t", "5", "-copyts", "-fps_mode", "passthrough"]);
    decodes.args(["-c:v", "libx264", "-preset", "ultrafast", "-tune", "zerolatency", "-qp", "18", "-c:a", "copy"]);
    let mut readers =
        [Program::start("own", &dir, decodes.arg(&own))?, pull("rtmp", &dir, &relay.rtmp("obs")?, 5.0, &flv)?];
    for reader in &mut readers {
        reader.succeed(Duration::from_secs(40))?;
    }
    for file in [&own, &flv] {
        whole(file, ("h264", "aac"), 3)?;
    }
    assert_ne!(Content::read(&flv)?.field("video", "has_b_frames"), 0);
    relay.stop()
}

/// What turns the patient's picture into H.265.
const H265: &[&str] =
    &["-c:v", "libx265", "-preset", "ultrafast", "-profile:v", "main", "-x265-params", "log-level=error:bframes=0"];

/// H.265, its parameter sets in the description, over either transport.
fn h265(transport: &str) -> Result<()> {
    let dir = output_dir(&format!("rtsp_h265_by_{transport}"))?;
    let relay = Relay::start(&dir, EVERYTHING)?;
    let url = relay.rtsp("camera")?;
    let phone = Phone { size: (320, 240), ..Phone::default() };
    let _patient = Patient::push_rtsp("patient", &dir, &url, transport, &phone, H265)?;
    relay.path_ready("camera")?;
    let (tcp, udp) = (dir.join("tcp.mkv"), dir.join("udp.mkv"));
    let mut readers =
        [pull_rtsp("tcp", &dir, &url, "tcp", 5.0, &tcp)?, pull_rtsp("udp", &dir, &url, "udp", 5.0, &udp)?];
    for reader in &mut readers {
        reader.succeed(Duration::from_secs(40))?;
    }
    for file in [&tcp, &udp] {
        whole(file, ("hevc", "aac"), 3)?;
    }
    relay.stop()
}

#[test]
fn h265_by_tcp() -> Result<()> {
    h265("tcp")
}

#[test]
fn h265_by_udp() -> Result<()> {
    h265("udp")
}

/// GStreamer pulls H.265 and pushes it on; ffmpeg looks at that.
#[test]
fn h265_through_gstreamer() -> Result<()> {
    let dir = output_dir("rtsp_h265_through_gstreamer")?;
    let relay = Relay::start(&dir, EVERYTHING)?;
    let phone = Phone { size: (320, 240), ..Phone::default() };
    let _patient = Patient::push_rtsp("patient", &dir, &relay.rtsp("first")?, "tcp", &phone, H265)?;
    relay.path_ready("first")?;
    let mut command = Command::new("gst-launch-1.0");
    command.args(["rtspsrc", "name=source", "protocols=tcp", &format!("location={}", relay.rtsp("first")?)]);
    command.args(["rtspclientsink", "name=sink", "protocols=tcp", &format!("location={}", relay.rtsp("second")?)]);
    command.args(["source.", "!", "application/x-rtp,media=video", "!", "rtph265depay", "!", "h265parse"]);
    command.args(["!", "queue", "!", "sink."]);
    let _gstreamer = Program::start("gstreamer", &dir, &mut command)?;
    relay.path_ready("second")?;
    let file = dir.join("second.mkv");
    pull_rtsp("second", &dir, &relay.rtsp("second")?, "tcp", 5.0, &file)?.succeed(Duration::from_secs(40))?;
    let content = Content::read(&file)?;
    assert_eq!(content.codecs().0, "hevc");
    content.clock_runs(1)?;
    ensure!(content.readable() > 0.99, "{} clocks are readable", content.readable());
    relay.stop()
}

/// GStreamer pulls one path and pushes it to another as it is; ffmpeg looks at that.
fn through_gstreamer(transport: &str) -> Result<()> {
    let dir = output_dir(&format!("rtsp_through_gstreamer_by_{transport}"))?;
    let relay = Relay::start(&dir, EVERYTHING)?;
    let _patient = Patient::push("patient", &dir, &relay.rtmp("first")?, &Phone::default())?;
    relay.path_ready("first")?;
    let source = format!("location={}", relay.rtsp("first")?);
    let sink = format!("location={}", relay.rtsp("second")?);
    let protocols = format!("protocols={transport}");
    let mut command = Command::new("gst-launch-1.0");
    // By the times in the packets, not by how they arrive: the first beeps were nearer to their pictures so.
    command.args(["rtspsrc", "name=source", &source, &protocols, "latency=200", "buffer-mode=none"]);
    command.args(["rtspclientsink", "name=sink", &sink, &protocols]);
    command.args(["source.", "!", "application/x-rtp,media=video", "!", "rtph264depay", "!", "h264parse"]);
    command.args(["!", "queue", "!", "sink."]);
    command.args(["source.", "!", "application/x-rtp,media=audio", "!", "rtpmp4gdepay", "!", "aacparse"]);
    command.args(["!", "queue", "!", "sink."]);
    let _gstreamer = Program::start("gstreamer", &dir, &mut command)?;
    relay.path_ready("second")?;
    // Its tracks move by some 50 ms until both clocks of the source are known, here or there.
    wait_for("two reports of each track", Duration::from_secs(40), || {
        let settled = |s: &serde_json::Value| s["path"] == "second" && s["inboundRTCPPackets"].as_u64() >= Some(4);
        Ok(relay.list("rtspsessions")?.into_iter().find(|s| s["state"] == "publish" && settled(s)))
    })?;
    let (rtsp, flv) = (dir.join("second.mkv"), dir.join("second.flv"));
    let mut readers = [
        pull_rtsp("rtsp", &dir, &relay.rtsp("second")?, "tcp", 5.0, &rtsp)?,
        pull("rtmp", &dir, &relay.rtmp("second")?, 5.0, &flv)?,
    ];
    for reader in &mut readers {
        reader.succeed(Duration::from_secs(40))?;
    }
    judge(&rtsp, ("h264", "aac"), settles)?;
    judge(&flv, ("h264", "aac"), settles)?;
    relay.stop()
}

#[test]
fn through_gstreamer_by_tcp() -> Result<()> {
    through_gstreamer("tcp")
}

#[test]
fn through_gstreamer_by_udp() -> Result<()> {
    through_gstreamer("udp")
}

/// The URL with credentials in front of its host.
fn with_user(url: &str, user: &str) -> String {
    url.replacen("rtsp://", &format!("rtsp://{user}@"), 1)
}

#[test]
fn credentials() -> Result<()> {
    let dir = output_dir("rtsp_credentials")?;
    let users = "  camera:\n    publishUser: cam\n    publishPass: push me\n    readUser: eye\n    readPass: see\n";
    for methods in ["[digest]", "[basic]"] {
        let config = EVERYTHING.replace("paths: {all_others: }\n", "");
        let relay = Relay::start(&dir, &format!("{config}rtspAuthMethods: {methods}\npaths:\n{users}"))?;
        let url = relay.rtsp("camera")?;
        let mut wrong = Patient::push_rtsp("wrong", &dir, &with_user(&url, "cam:see"), "tcp", &Phone::default(), &[])?;
        ensure!(!wrong.program.wait(Duration::from_secs(20))?.success(), "a wrong password publishes nothing");
        ensure!(wrong.program.errors().contains("401"), "{}", wrong.program.errors());
        drop(wrong);
        let right = with_user(&url, "cam:push%20me");
        let _patient = Patient::push_rtsp("patient", &dir, &right, "tcp", &Phone::default(), &[])?;
        relay.path_ready("camera")?;
        let file = dir.join("seen.mkv");
        let mut stranger = pull_rtsp("stranger", &dir, &url, "tcp", 3.0, &dir.join("none.mkv"))?;
        ensure!(!stranger.wait(Duration::from_secs(20))?.success(), "nobody reads without a password");
        pull_rtsp("reader", &dir, &with_user(&url, "eye:see"), "tcp", 3.0, &file)?.succeed(Duration::from_secs(30))?;
        whole(&file, ("h264", "aac"), 1)?;
        relay.stop()?;
    }
    Ok(())
}

#[test]
fn a_publisher_comes_back_and_a_newer_one_takes_over() -> Result<()> {
    let dir = output_dir("rtsp_a_publisher_comes_back")?;
    let relay = Relay::start(&dir, EVERYTHING)?;
    let url = relay.rtsp("camera")?;
    let push = |name: &str, stream: u8| {
        Patient::push_rtsp(name, &dir, &url, "tcp", &Phone { stream, ..Phone::default() }, &[])
    };
    let mut first = push("first", 1)?;
    relay.path_ready("camera")?;
    let file = dir.join("all.mkv");
    let mut reader = pull_rtsp("reader", &dir, &url, "tcp", 12.0, &file)?;
    relay.path_until("camera", |p| p["outboundBytes"].as_u64() > Some(200_000))?;
    first.program.kill()?;
    relay.path_until("camera", |p| p["ready"] == false)?;
    drop(first);
    let mut second = push("second", 2)?;
    let ready = relay.path_ready("camera")?;
    let sent = ready["outboundBytes"].as_u64().unwrap_or(0);
    relay.path_until("camera", |p| p["outboundBytes"].as_u64() > Some(sent + 200_000))?;
    let _third = push("third", 3)?;
    second.program.wait(Duration::from_secs(20))?;
    reader.succeed(Duration::from_secs(60))?;
    let content = Content::read(&file)?;
    content.dts_rises()?;
    content.in_sync(3, LIP_SYNC)?;
    let streams: Vec<u8> = content.pictures.iter().filter_map(|(_, c)| c.map(|c| c.stream)).collect();
    ensure!([1, 2, 3].iter().all(|n| streams.contains(n)), "one reader saw all three publishers: {streams:?}");
    relay.stop()
}

#[test]
fn a_reader_that_stops_reading() -> Result<()> {
    let dir = output_dir("rtsp_a_reader_that_stops_reading")?;
    let relay = Relay::start(&dir, EVERYTHING)?;
    let url = relay.rtsp("camera")?;
    // Large pictures, so that ten seconds do not fit into the sockets.
    let phone = Phone { size: (1280, 720), ..Phone::default() };
    let _patient = Patient::push("patient", &dir, &relay.rtmp("camera")?, &phone)?;
    relay.path_ready("camera")?;
    let (slow, quick) = (dir.join("slow.mkv"), dir.join("quick.mkv"));
    let mut stalled = pull_rtsp("slow", &dir, &url, "tcp", 18.0, &slow)?;
    let mut other = pull_rtsp("quick", &dir, &url, "tcp", 12.0, &quick)?;
    wait_for("two readers", Duration::from_secs(15), || {
        Ok((relay.list("rtspsessions")?.iter().filter(|s| s["state"] == "read").count() == 2).then_some(()))
    })?;
    stalled.signal("STOP")?;
    // The stall is measured by the other reader, who must not notice it.
    other.succeed(Duration::from_secs(40))?;
    stalled.signal("CONT")?;
    stalled.succeed(Duration::from_secs(60))?;
    whole(&quick, ("h264", "aac"), 8)?;
    let content = Content::read(&slow)?;
    content.dts_rises()?;
    content.in_sync(3, LIP_SYNC)?;
    ensure!(content.readable() > 0.99, "no half GOP: {} of the pictures are whole", content.readable());
    relay.stop()
}

/// Sends `bytes` and answers all that comes before the relay closes, or nothing more comes.
fn exchange(address: &str, bytes: &[u8]) -> Result<String> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(Duration::from_secs(20)))?;
    stream.write_all(bytes)?;
    let mut answer = Vec::new();
    // Closed by the relay, politely or not.
    let _closed = stream.read_to_end(&mut answer);
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

#[test]
fn foreign_bytes() -> Result<()> {
    let dir = output_dir("rtsp_foreign_bytes")?;
    let relay = Relay::start(&dir, EVERYTHING)?;
    let address = relay.address("rtsp")?;
    let _patient = Patient::push("patient", &dir, &relay.rtmp("camera")?, &Phone::default())?;
    relay.path_ready("camera")?;
    let long = [&b"OPTIONS * RTSP/1.0\r\nCSeq: 1\r\nX: "[..], &[b'a'; 20_000]].concat();
    for (what, bytes) in [
        ("another protocol", &b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"[..]),
        ("TLS", b"\x16\x03\x01\x02\x00\x01\x00\x01\xFC\x03\x03"),
        ("a head without an end", &long),
        ("a body of a gigabyte", b"ANNOUNCE rtsp://h/a RTSP/1.0\r\nCSeq: 1\r\nContent-Length: 1000000000\r\n\r\n"),
        ("a description that is none", b"ANNOUNCE rtsp://h/a RTSP/1.0\r\nCSeq: 1\r\nContent-Length: 2\r\n\r\nno"),
        ("frames of nobody", b"$\x00\x00\x04abcd$\x09\x00\x00"),
    ] {
        let begun = Instant::now();
        let answer = exchange(&address, bytes)?;
        ensure!(begun.elapsed() < Duration::from_secs(15), "{what}: the connection is ended");
        ensure!(answer.is_empty() || answer.starts_with("RTSP/1.0 400 "), "{what}: {answer}");
    }
    let file = dir.join("after.mkv");
    pull_rtsp("reader", &dir, &relay.rtsp("camera")?, "tcp", 3.0, &file)?.succeed(Duration::from_secs(30))?;
    whole(&file, ("h264", "aac"), 1)?;
    relay.stop()
}

#[test]
fn a_session_is_thrown_out() -> Result<()> {
    let dir = output_dir("rtsp_a_session_is_thrown_out")?;
    let relay = Relay::start(&dir, EVERYTHING)?;
    let url = relay.rtsp("camera")?;
    let mut patient = Patient::push_rtsp("patient", &dir, &url, "tcp", &Phone::default(), &[])?;
    let path = relay.path_ready("camera")?;
    assert_eq!(path["source"]["type"], "rtspSession");
    let id = path["source"]["id"].as_str().context("no id")?;
    let api = relay.address("api")?;
    assert_eq!(request("POST", &api, "/v3/rtspsessions/kick/nobody")?.0, 404);
    assert_eq!(request("GET", &api, &format!("/v3/rtspsessions/get/{id}"))?.0, 200);
    let metrics = request("GET", &relay.address("metrics")?, "/metrics")?.1;
    ensure!(metrics.contains(&format!("rtsp_sessions{{id=\"{id}\",path=\"camera\"")), "{metrics}");
    assert_eq!(request("POST", &api, &format!("/v3/rtspsessions/kick/{id}"))?.0, 200);
    patient.program.wait(Duration::from_secs(20))?;
    relay.path_until("camera", |p| p["ready"] == false)?;
    relay.stop()
}
