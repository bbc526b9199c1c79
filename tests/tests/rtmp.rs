//! RTMP and HTTP-FLV with ffmpeg on both sides: what is pulled shows the right picture and says the right tone.
#![allow(clippy::unwrap_used)] // A failed unwrap is a failed test.

use anyhow::{Result, ensure};
use e2e::content::Content;
use e2e::ffmpeg::{ffmpeg, picture_sizes, pull};
use e2e::http::request;
use e2e::patient::{Patient, Phone, turned};
use e2e::program::{Program, output_dir};
use e2e::relay::{EVERYTHING, Relay};
use e2e::wait::wait_for;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

/// Sound and picture may be this far apart: what a viewer does not notice (ITU-R BT.1359).
const LIP_SYNC: f64 = 0.045;

#[test]
fn pushed_and_pulled() -> Result<()> {
    let dir = output_dir("rtmp_pushed_and_pulled")?;
    let relay = Relay::start(&dir, EVERYTHING)?;
    // The reader comes first and is held.
    let early = dir.join("early.flv");
    let mut first = pull("early", &dir, &relay.rtmp("patientStream")?, 5.0, &early)?;
    wait_for("the early reader", Duration::from_secs(10), || {
        Ok(relay.list("rtmpconns")?.into_iter().find(|c| c["state"] == "read"))
    })?;
    let _patient = Patient::push("patient", &dir, &relay.rtmp("patientStream")?, &Phone::default())?;
    relay.path_ready("patientStream")?;
    let flv = dir.join("http.flv");
    let mut second = pull("http", &dir, &relay.hls("patientStream.flv")?, 5.0, &flv)?;
    first.succeed(Duration::from_secs(30))?;
    second.succeed(Duration::from_secs(30))?;
    for file in [&early, &flv] {
        let content = Content::read(file)?;
        assert_eq!(content.codecs(), ("h264", "aac"), "{}", file.display());
        content.dts_rises()?;
        content.clock_runs(1)?;
        content.in_sync(3, LIP_SYNC)?;
        ensure!(content.readable() > 0.99, "{} clocks are readable", content.readable());
        assert!(content.pictures.iter().flat_map(|(_, c)| c).all(|c| c.stream == 7), "it is the patient's card");
        assert_eq!(content.pictures[0].0, 0.0, "time begins at 0");
    }
    relay.stop()
}

#[test]
fn telephone_sound_and_mp3_are_heard_as_aac() -> Result<()> {
    let dir = output_dir("rtmp_telephone_sound_and_mp3")?;
    let relay = Relay::start(&dir, EVERYTHING)?;
    for (sound, rate, label) in
        [("pcm_alaw", 8_000, "G711"), ("pcm_mulaw", 8_000, "G711"), ("libmp3lame", 44_100, "MPEG-1/2 Audio")]
    {
        let url = relay.rtmp(sound)?;
        let _patient = Patient::push(sound, &dir, &url, &Phone { sound, rate, ..Phone::default() })?;
        relay.path_until(sound, |p| p["tracks"] == serde_json::json!(["H264", label]))?;
        let file = dir.join(format!("{sound}.flv"));
        pull("reader", &dir, &url, 4.0, &file)?.succeed(Duration::from_secs(30))?;
        let content = Content::read(&file)?;
        assert_eq!(content.codecs(), ("h264", "aac"), "{sound}");
        content.dts_rises()?;
        content.clock_runs(1)?;
        content.in_sync(2, LIP_SYNC)?;
    }
    relay.stop()
}

/// A phone that is turned while it publishes, and whose microphone is allowed late: the sound is announced and silent for three seconds.
#[test]
fn a_phone_turns_and_speaks_late() -> Result<()> {
    let dir = output_dir("rtmp_a_phone_turns_and_speaks_late")?;
    let both = turned(&dir, |tag| tag.is_sound_frame())?;

    let relay = Relay::start(&dir, EVERYTHING)?;
    let url = relay.rtmp("patientStream")?;
    let file = dir.join("pulled.flv");
    let mut reader = pull("reader", &dir, &url, 8.0, &file)?;
    wait_for("the early reader", Duration::from_secs(10), || {
        Ok(relay.list("rtmpconns")?.into_iter().find(|c| c["state"] == "read"))
    })?;
    let mut push = ffmpeg();
    push.args(["-re", "-i"]).arg(&both).args(["-c", "copy", "-f", "flv", &url]);
    let _phone = Program::start("phone", &dir, &mut push)?;
    reader.succeed(Duration::from_secs(40))?;
    let content = Content::read(&file)?;
    content.dts_rises()?;
    content.in_sync(2, LIP_SYNC)?;
    ensure!(content.readable() > 0.99, "{} clocks are readable", content.readable());
    let streams: Vec<u8> = content.pictures.iter().filter_map(|(_, clock)| clock.map(|c| c.stream)).collect();
    ensure!(streams.first() == Some(&1) && streams.last() == Some(&2), "it is seen before and after: {streams:?}");
    assert_eq!(picture_sizes(&file)?, ["640,360", "360,640"]);
    relay.stop()
}

#[test]
fn every_form_of_url() -> Result<()> {
    let dir = output_dir("rtmp_every_form_of_url")?;
    let relay = Relay::start(&dir, EVERYTHING)?;
    for (n, (url, path)) in
        [("one?token=a", "one"), ("app/key?token=a", "app/key"), ("a/b/c/d", "a/b/c/d")].into_iter().enumerate()
    {
        let patient = Patient::push(&format!("patient{n}"), &dir, &relay.rtmp(url)?, &Phone::default())?;
        relay.path_ready(path)?;
        drop(patient);
    }
    relay.stop()
}

#[test]
fn a_publisher_comes_back() -> Result<()> {
    let dir = output_dir("rtmp_a_publisher_comes_back")?;
    let relay = Relay::start(&dir, EVERYTHING)?;
    let url = relay.rtmp("patientStream")?;
    let mut first = Patient::push("first", &dir, &url, &Phone { stream: 1, ..Phone::default() })?;
    relay.path_ready("patientStream")?;
    let file = dir.join("both.flv");
    let mut reader = pull("reader", &dir, &url, 9.0, &file)?;
    relay.path_until("patientStream", |p| p["outboundBytes"].as_u64() > Some(200_000))?;
    first.program.kill()?;
    relay.path_until("patientStream", |p| p["ready"] == false)?;
    drop(first);
    let _second = Patient::push("second", &dir, &url, &Phone { stream: 2, ..Phone::default() })?;
    reader.succeed(Duration::from_secs(40))?;
    let content = Content::read(&file)?;
    content.dts_rises()?;
    content.in_sync(3, LIP_SYNC)?;
    let streams: Vec<u8> = content.pictures.iter().filter_map(|(_, c)| c.map(|c| c.stream)).collect();
    ensure!(streams.contains(&1) && streams.contains(&2), "one reader saw both publishers: {streams:?}");
    relay.stop()
}

#[test]
fn the_newer_publisher_takes_over() -> Result<()> {
    let dir = output_dir("rtmp_the_newer_publisher_takes_over")?;
    let relay = Relay::start(&dir, EVERYTHING)?;
    let url = relay.rtmp("patientStream")?;
    let mut first = Patient::push("first", &dir, &url, &Phone { stream: 1, ..Phone::default() })?;
    relay.path_ready("patientStream")?;
    let _second = Patient::push("second", &dir, &url, &Phone { stream: 2, ..Phone::default() })?;
    first.program.wait(Duration::from_secs(20))?;
    let file = dir.join("after.flv");
    pull("reader", &dir, &url, 3.0, &file)?.succeed(Duration::from_secs(30))?;
    let content = Content::read(&file)?;
    assert!(content.pictures.iter().filter_map(|(_, c)| *c).all(|c| c.stream == 2), "the newer one is seen");
    relay.stop()
}

#[test]
fn a_reader_that_stops_reading() -> Result<()> {
    let dir = output_dir("rtmp_a_reader_that_stops_reading")?;
    let relay = Relay::start(&dir, EVERYTHING)?;
    let url = relay.rtmp("patientStream")?;
    // Large pictures, so that ten seconds do not fit into the sockets.
    let phone = Phone { size: (1280, 720), ..Phone::default() };
    let _patient = Patient::push("patient", &dir, &url, &phone)?;
    relay.path_ready("patientStream")?;
    let (slow, quick) = (dir.join("slow.flv"), dir.join("quick.flv"));
    let mut stalled = pull("slow", &dir, &url, 18.0, &slow)?;
    let mut other = pull("quick", &dir, &url, 12.0, &quick)?;
    relay.path_until("patientStream", |p| p["readers"].as_array().is_some_and(|r| r.len() == 2))?;
    stalled.signal("STOP")?;
    // The stall is measured by the other reader, who must not notice it.
    other.succeed(Duration::from_secs(40))?;
    stalled.signal("CONT")?;
    stalled.succeed(Duration::from_secs(60))?;
    let content = Content::read(&quick)?;
    content.clock_runs(1)?;
    content.in_sync(8, LIP_SYNC)?;
    let content = Content::read(&slow)?;
    content.dts_rises()?;
    content.in_sync(3, LIP_SYNC)?;
    ensure!(content.readable() > 0.99, "no half GOP: {} of the pictures are whole", content.readable());
    relay.stop()
}

#[test]
fn a_port_that_is_taken() -> Result<()> {
    let dir = output_dir("rtmp_a_port_that_is_taken")?;
    let relay = Relay::start(&dir, EVERYTHING)?;
    let taken = relay.address("rtmp")?;
    let config = format!("rtmpAddress: {taken}\nrtsp: no\nsrt: no\nhls: no\nwebrtc: no\n");
    let second = dir.join("second");
    std::fs::create_dir_all(&second)?;
    let error = Relay::start(&second, &config).unwrap_err().to_string();
    let port = taken.rsplit(':').next().unwrap();
    ensure!(error.contains(&format!("visavis-relay is using port {port} (rtmpAddress)")), "{error}");
    ensure!(error.contains("is free"), "{error}");
    relay.stop()
}

#[test]
fn foreign_bytes() -> Result<()> {
    let dir = output_dir("rtmp_foreign_bytes")?;
    let relay = Relay::start(&dir, EVERYTHING)?;
    let url = relay.rtmp("patientStream")?;
    let _patient = Patient::push("patient", &dir, &url, &Phone::default())?;
    relay.path_ready("patientStream")?;
    let mut handshake = vec![3_u8];
    handshake.extend(std::iter::repeat_n(0, 1536 * 2));
    let with = |bytes: &[u8]| [&handshake[..], bytes].concat();
    let amf = [&[3, 0, 0, 0, 0, 0, 6, 20, 0, 0, 0, 0][..], &[2, 0xFF, 0xFF, 1, 2, 3]].concat();
    for (what, bytes) in [
        ("a handshake of another version", b"GET / HTTP/1.1\r\n\r\n".to_vec()),
        ("a chunk that continues nothing", with(&[0xC3, 1, 2, 3])),
        ("a message of 16 MiB and one byte", with(&[3, 0, 0, 0, 0xFF, 0xFF, 0xFF, 20, 0, 0, 0, 0, 2, 0, 0])),
        ("a broken command", with(&amf)),
    ] {
        let begun = Instant::now();
        let mut stream = TcpStream::connect(relay.address("rtmp")?)?;
        stream.set_read_timeout(Some(Duration::from_secs(20)))?;
        stream.write_all(&bytes)?;
        let mut answer = Vec::new();
        // Closed by the relay, politely or not.
        let _closed = stream.read_to_end(&mut answer);
        ensure!(begun.elapsed() < Duration::from_secs(15), "{what}: the connection is ended");
    }
    let file = dir.join("after.flv");
    pull("reader", &dir, &url, 3.0, &file)?.succeed(Duration::from_secs(30))?;
    Content::read(&file)?.in_sync(1, LIP_SYNC)?;
    relay.stop()
}

#[test]
fn head_tells_the_truth() -> Result<()> {
    let dir = output_dir("rtmp_head_tells_the_truth")?;
    let relay = Relay::start(&dir, EVERYTHING)?;
    let http = relay.address("hls")?;
    assert_eq!(request("HEAD", &http, "/patientStream.flv")?.0, 404);
    let _patient = Patient::push("patient", &dir, &relay.rtmp("patientStream")?, &Phone::default())?;
    relay.path_ready("patientStream")?;
    assert_eq!(request("HEAD", &http, "/patientStream.flv")?.0, 200);
    relay.stop()
}
