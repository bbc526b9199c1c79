//! SRT with libsrt on the other side, in ffmpeg and in `srt-live-transmit`: what is read shows the right picture and says the right tone.
#![allow(clippy::unwrap_used)] // A failed unwrap is a failed test.

use anyhow::{Context, Result, ensure};
use e2e::content::whole;
use e2e::ffmpeg::pull;
use e2e::http::request;
use e2e::patient::{Patient, Phone};
use e2e::program::{Program, output_dir};
use e2e::relay::{EVERYTHING, Relay};
use e2e::wait::wait_for;
use std::net::{SocketAddr, UdpSocket};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

const READING: &str = "for-readers-only";
const PUBLISHING: &str = "0123456789";

/// `srt-live-transmit` from one URL to another.
fn transmit(name: &str, dir: &Path, from: &str, to: &str) -> Result<Program> {
    Program::start(name, dir, Command::new("srt-live-transmit").args(["-autoreconnect", "no", from, to]))
}

fn failed(mut program: Program, why: &str) -> Result<()> {
    ensure!(!program.wait(Duration::from_secs(20))?.success(), "{why}: {}", program.errors());
    Ok(())
}

#[test]
fn published_and_read() -> Result<()> {
    let dir = output_dir("srt_published_and_read")?;
    let relay = Relay::start(&dir, EVERYTHING)?;
    let url = relay.srt("publish:live/camera")?;
    let _patient = Patient::push_srt("patient", &dir, &url, &Phone::default(), &[])?;
    let path = relay.path_ready("live/camera")?;
    assert_eq!(
        (&path["source"]["type"], &path["tracks"]),
        (&"srtConn".into(), &serde_json::json!(["H264", "MPEG-4 Audio"]))
    );
    let (short, standard, flv) = (dir.join("short.mkv"), dir.join("standard.mkv"), dir.join("rtmp.flv"));
    let mut readers = [
        pull("short", &dir, &relay.srt("read:live/camera")?, 5.0, &short)?,
        pull("standard", &dir, &relay.srt("#!::m=request,r=live/camera")?, 5.0, &standard)?,
        pull("rtmp", &dir, &relay.rtmp("live/camera")?, 5.0, &flv)?,
    ];
    let conns = wait_for("three connections that run", Duration::from_secs(15), || {
        let conns = relay.list("srtconns")?;
        let runs = |state: &str, count: &str| {
            conns
                .iter()
                .filter(|c| c["state"] == state && c["path"] == "live/camera" && c[count].as_u64() > Some(50_000))
                .count()
        };
        Ok((runs("publish", "bytesReceived") == 1 && runs("read", "bytesSent") == 2).then_some(conns))
    })?;
    for conn in &conns {
        assert_eq!(
            (&conn["msReceiveTsbPdDelay"], &conn["packetsReceivedUndecrypt"]),
            (&120.into(), &0.into()),
            "{conn}"
        );
        ensure!(conn["msRTT"].as_f64() > Some(0.0), "{conn}");
    }
    let metrics = e2e::http::get(&relay.address("metrics")?, "/metrics")?;
    ensure!(metrics.contains("srt_conns{") && metrics.contains("srt_conns_bytes_received{"), "{metrics}");
    for reader in &mut readers {
        reader.succeed(Duration::from_secs(40))?;
    }
    for file in [&short, &standard, &flv] {
        whole(file, ("h264", "aac"), 3)?;
    }
    relay.stop()
}

#[test]
fn the_reader_comes_first() -> Result<()> {
    let dir = output_dir("srt_the_reader_comes_first")?;
    let relay = Relay::start(&dir, EVERYTHING)?;
    let file = dir.join("early.mkv");
    let mut reader = pull("early", &dir, &relay.srt("read:patientStream")?, 5.0, &file)?;
    wait_for("the early reader", Duration::from_secs(10), || Ok(relay.list("srtconns")?.pop()))?;
    let _patient = Patient::push("patient", &dir, &relay.rtmp("patientStream")?, &Phone::default())?;
    reader.succeed(Duration::from_secs(40))?;
    whole(&file, ("h264", "aac"), 3)?;
    relay.stop()
}

#[test]
fn opus_is_aac_for_readers() -> Result<()> {
    let dir = output_dir("srt_opus_is_aac_for_readers")?;
    let relay = Relay::start(&dir, EVERYTHING)?;
    let phone = Phone { sound: "libopus", ..Phone::default() };
    let _by_rtsp = Patient::push_rtsp("rtsp", &dir, &relay.rtsp("one")?, "tcp", &phone, &["-ac", "2"])?;
    let _by_srt = Patient::push_srt("srt", &dir, &relay.srt("publish:two")?, &phone, &["-ac", "2"])?;
    for path in ["one", "two"] {
        let tracks = &relay.path_ready(path)?["tracks"];
        assert_eq!(tracks, &serde_json::json!(["H264", "Opus"]), "{path}");
    }
    let (one, two) = (dir.join("one.mkv"), dir.join("two.mkv"));
    let mut readers = [
        pull("read_one", &dir, &relay.srt("read:one")?, 5.0, &one)?,
        pull("read_two", &dir, &relay.srt("read:two")?, 5.0, &two)?,
    ];
    for reader in &mut readers {
        reader.succeed(Duration::from_secs(40))?;
    }
    whole(&one, ("h264", "aac"), 3)?;
    whole(&two, ("h264", "aac"), 3)?;
    relay.stop()
}

#[test]
fn through_srt_live_transmit() -> Result<()> {
    let dir = output_dir("srt_through_srt_live_transmit")?;
    let relay = Relay::start(&dir, EVERYTHING)?;
    let _patient = Patient::push("patient", &dir, &relay.rtmp("first")?, &Phone::default())?;
    relay.path_ready("first")?;
    let _transmits = transmit("transmit", &dir, &relay.srt("read:first")?, &relay.srt("publish:second")?)?;
    relay.path_ready("second")?;
    let (srt, flv) = (dir.join("second.mkv"), dir.join("second.flv"));
    let mut readers = [
        pull("srt", &dir, &relay.srt("read:second")?, 5.0, &srt)?,
        pull("rtmp", &dir, &relay.rtmp("second")?, 5.0, &flv)?,
    ];
    for reader in &mut readers {
        reader.succeed(Duration::from_secs(40))?;
    }
    whole(&srt, ("h264", "aac"), 3)?;
    whole(&flv, ("h264", "aac"), 3)?;
    relay.stop()
}

#[test]
fn passphrases() -> Result<()> {
    let dir = output_dir("srt_passphrases")?;
    let paths = format!(
        "paths:\n  secret:\n    srtPublishPassphrase: '{PUBLISHING}'\n    srtReadPassphrase: {READING}\n  again:\n    \
         srtPublishPassphrase: {READING}\n"
    );
    let relay = Relay::start(&dir, &EVERYTHING.replace("paths: {all_others: }\n", &paths))?;
    let (publish, read) = (relay.srt("publish:secret")?, relay.srt("read:secret")?);
    let with = |url: &str, passphrase: &str| format!("{url}&passphrase={passphrase}");
    for (name, url) in [("wrong", with(&publish, READING)), ("clear", publish.clone())] {
        let mut patient = Patient::push_srt(name, &dir, &url, &Phone::default(), &[])?;
        ensure!(!patient.program.wait(Duration::from_secs(20))?.success(), "{name} publishes nothing");
    }
    // A key of another length than the readers'.
    let url = format!("{}&pbkeylen=32", with(&publish, PUBLISHING));
    let _patient = Patient::push_srt("patient", &dir, &url, &Phone::default(), &[])?;
    relay.path_ready("secret")?;
    for (name, url) in [("wrong_reader", with(&read, PUBLISHING)), ("clear_reader", read.clone())] {
        failed(pull(name, &dir, &url, 3.0, &dir.join("nothing.mkv"))?, "it reads nothing")?;
    }
    let file = dir.join("read.mkv");
    let mut reader = pull("reader", &dir, &with(&read, READING), 5.0, &file)?;
    // Decrypted by libsrt, and encrypted by it again.
    let _transmits = transmit("transmit", &dir, &with(&read, READING), &with(&relay.srt("publish:again")?, READING))?;
    relay.path_ready("again")?;
    let again = dir.join("again.flv");
    pull("again", &dir, &relay.rtmp("again")?, 5.0, &again)?.succeed(Duration::from_secs(40))?;
    reader.succeed(Duration::from_secs(40))?;
    whole(&file, ("h264", "aac"), 3)?;
    whole(&again, ("h264", "aac"), 3)?;
    let undecrypted = |c: &serde_json::Value| c["packetsReceivedUndecrypt"].as_u64();
    ensure!(relay.list("srtconns")?.iter().all(|conn| undecrypted(conn) == Some(0)), "all is decrypted");
    relay.stop()
}

#[test]
fn credentials_and_refusals() -> Result<()> {
    let dir = output_dir("srt_credentials_and_refusals")?;
    let users =
        "paths:\n  camera:\n    publishUser: cam\n    publishPass: push\n    readUser: eye\n    readPass: see\n";
    let relay = Relay::start(&dir, &EVERYTHING.replace("paths: {all_others: }\n", users))?;
    for (name, id) in [
        ("wrong", "publish:camera:cam:see"),
        ("nobody", "publish:camera"),
        ("elsewhere", "publish:garden:cam:push"),
        ("senseless", "camera"),
    ] {
        let mut patient = Patient::push_srt(name, &dir, &relay.srt(id)?, &Phone::default(), &[])?;
        ensure!(!patient.program.wait(Duration::from_secs(20))?.success(), "{id} publishes nothing");
    }
    ensure!(relay.list("srtconns")?.is_empty(), "nothing is left of them");
    let _patient = Patient::push_srt("patient", &dir, &relay.srt("publish:camera:cam:push")?, &Phone::default(), &[])?;
    relay.path_ready("camera")?;
    failed(pull("stranger", &dir, &relay.srt("read:camera")?, 3.0, &dir.join("none.mkv"))?, "it reads nothing")?;
    let file = dir.join("seen.mkv");
    pull("reader", &dir, &relay.srt("#!::r=camera,u=eye,s=see")?, 3.0, &file)?.succeed(Duration::from_secs(30))?;
    whole(&file, ("h264", "aac"), 1)?;
    relay.stop()
}

#[test]
fn kicked_stopped_and_the_port_is_free() -> Result<()> {
    let dir = output_dir("srt_kicked_stopped_and_the_port_is_free")?;
    let relay = Relay::start(&dir, EVERYTHING)?;
    let url = relay.srt("publish:camera")?;
    let mut first = Patient::push_srt("first", &dir, &url, &Phone::default(), &[])?;
    relay.path_ready("camera")?;
    let conn = relay.list("srtconns")?.pop().context("it is listed")?;
    let id = conn["id"].as_str().context("it has an id")?;
    let (api, get) = (relay.address("api")?, format!("/v3/srtconns/get/{id}"));
    ensure!(e2e::http::get(&api, &get)?.contains("\"publish\""), "one is as listed");
    assert_eq!(request("POST", &api, &format!("/v3/srtconns/kick/{id}"))?.0, 200);
    assert_eq!(request("POST", &api, "/v3/srtconns/kick/nobody")?.0, 404);
    first.program.wait(Duration::from_secs(10))?;
    wait_for("an empty list", Duration::from_secs(5), || Ok(relay.list("srtconns")?.is_empty().then_some(())))?;
    let mut second = Patient::push_srt("second", &dir, &url, &Phone::default(), &[])?;
    relay.path_until("camera", |p| p["source"]["id"].as_str().is_some_and(|now| now != id) && p["ready"] == true)?;
    let address: SocketAddr = relay.address("srt")?.parse()?;
    relay.stop()?;
    UdpSocket::bind(address).context("the port is free")?;
    second.program.wait(Duration::from_secs(5)).context("the publisher was told")?;
    Ok(())
}

#[test]
fn foreign_datagrams() -> Result<()> {
    let dir = output_dir("srt_foreign_datagrams")?;
    let relay = Relay::start(&dir, EVERYTHING)?;
    let _patient = Patient::push_srt("patient", &dir, &relay.srt("publish:camera")?, &Phone::default(), &[])?;
    relay.path_ready("camera")?;
    let file = dir.join("read.mkv");
    let mut reader = pull("reader", &dir, &relay.srt("read:camera")?, 5.0, &file)?;
    let stranger = UdpSocket::bind("127.0.0.1:0")?;
    stranger.connect(relay.address("srt")?)?;
    let mut seed = 0x2545_F491_u32;
    let mut random = || {
        seed ^= seed << 13;
        seed ^= seed >> 17;
        seed ^= seed << 5;
        seed
    };
    for round in 0..20_000_u32 {
        let length = random() as usize % 300;
        let mut datagram: Vec<u8> = std::iter::repeat_with(|| random() as u8).take(length).collect();
        // Handshakes, other control packets, and data, for asking and for whoever it may be.
        if let Some(head) = datagram.first_chunk_mut::<2>() {
            *head = if round % 4 == 0 { [0, 0] } else { [0x80, (round % 9) as u8] };
        }
        if let (Some(to), true) = (datagram.get_mut(12..16), round % 2 == 0) {
            to.fill(0);
        }
        if let (Some(version), true) = (datagram.get_mut(16..20), round % 3 == 0) {
            version.copy_from_slice(&[0, 0, 0, 4 + (round % 2) as u8]);
        }
        stranger.send(&datagram)?;
        if round % 100 == 0 {
            std::thread::yield_now();
        }
    }
    reader.succeed(Duration::from_secs(40))?;
    whole(&file, ("h264", "aac"), 3)?;
    ensure!(relay.list("srtconns")?.len() <= 2, "nobody was let in");
    relay.stop()
}
