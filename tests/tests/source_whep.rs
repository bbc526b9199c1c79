//! Sources by WHEP: from another stack, and from a relay that was pushed to by RTMP; always and on demand.
#![allow(clippy::unwrap_used)] // A failed unwrap is a failed test.

use anyhow::{Result, ensure};
use e2e::content::{Content, LIP_SYNC, judge};
use e2e::ffmpeg::{pull, pull_rtsp};
use e2e::patient::{Patient, Phone};
use e2e::program::output_dir;
use e2e::relay::{EVERYTHING, Relay};
use e2e::tls::Certificate;
use e2e::whep_server::WhepServer;
use std::time::Duration;

/// Whatever this answers to with the other stack, its pictures are the card of stream 8.
const STREAM: u8 = 8;

/// Read from its very beginning: its tracks are brought together by the server's reports, one a second, and by then the pictures slide into step.
fn in_step(content: &Content) -> Result<()> {
    let offsets = content.offsets();
    ensure!(offsets.len() >= 4, "the beeps are heard: {offsets:?}");
    ensure!(offsets.iter().rev().take(3).all(|offset| offset.abs() <= LIP_SYNC), "in step: {offsets:?}");
    Ok(())
}

#[test]
fn from_another_stack() -> Result<()> {
    let dir = output_dir("source_whep_from_another_stack")?;
    let server = WhepServer::start(&dir, &["--bearer", "s3cret-token"])?;
    let source = format!("source: \"whep://{}/cam/whep\", whepBearerToken: s3cret-token", server.address);
    let relay = Relay::start(&dir, &EVERYTHING.replace("{all_others: }", &format!("{{cam: {{{source}}}}}")))?;
    let path = relay.path_ready("cam")?;
    assert_eq!(path["source"]["type"], "webRTCSource");
    assert_eq!(path["tracks"], serde_json::json!(["H264", "Opus"]), "{path}");
    let offer = server.says("offer", Duration::from_secs(1))?;
    assert_eq!(offer["directions"], serde_json::json!(["recvonly", "recvonly"]));

    let (own, flv) = (dir.join("own.mkv"), dir.join("rtmp.flv"));
    let mut readers = [
        pull_rtsp("own", &dir, &relay.rtsp("cam")?, "tcp", 6.0, &own)?,
        pull("rtmp", &dir, &relay.rtmp("cam")?, 6.0, &flv)?,
    ];
    for reader in &mut readers {
        reader.succeed(Duration::from_secs(40))?;
    }
    for (file, codec) in [(&own, "opus"), (&flv, "aac")] {
        let content = Content::read(file)?;
        assert_eq!(content.codecs(), ("h264", codec), "{}", file.display());
        content.dts_rises()?;
        ensure!(content.readable() > 0.95, "{} of the clocks are readable", content.readable());
        assert!(content.pictures.iter().flat_map(|(_, c)| c).all(|c| c.stream == STREAM), "it is that server's card");
        in_step(&content)?;
    }
    relay.stop()?;
    server.says("delete", Duration::from_secs(5))?;
    Ok(())
}

#[test]
fn from_another_relay_always_and_on_demand() -> Result<()> {
    let dir = output_dir("source_whep_from_another_relay_always_and_on_demand")?;
    let (far, near) = (dir.join("far"), dir.join("near"));
    for folder in [&far, &near] {
        std::fs::create_dir_all(folder)?;
    }
    let certificate = Certificate::make(&far, "server")?;
    let paths = "{cam: {readUser: reader, readPass: hunter2}}";
    let origin = Relay::start(&far, &(certificate.webrtc() + &EVERYTHING.replace("{all_others: }", paths)))?;
    let at = format!("wheps://reader:hunter2@{}/cam/whep", origin.address("webrtc")?);
    let keys = format!("source: \"{at}\", sourceFingerprint: \"{}\"", certificate.fingerprint);
    let paths = format!(
        "{{always: {{{keys}}}, wanted: {{{keys}, sourceOnDemand: yes, sourceOnDemandCloseAfter: 1s}}, \
         unknown: {{source: \"{at}\"}}}}"
    );
    // The source is there before the stream is.
    let relay = Relay::start(&near, &EVERYTHING.replace("{all_others: }", &paths))?;
    let _patient = Patient::push("patient", &dir, &origin.rtmp("cam")?, &Phone::default())?;
    let path = relay.path_ready("always")?;
    assert_eq!(
        (&path["source"]["type"], &path["tracks"]),
        (&"webRTCSource".into(), &serde_json::json!(["H264", "Opus"]))
    );
    let sessions = || Ok::<_, anyhow::Error>(origin.list("webrtcsessions")?.len());
    assert_eq!(sessions()?, 1, "nobody wants the other yet");

    // The pictures of the GOP that a reader joins in are a tenth of a millisecond apart, which Matroska cannot say.
    let (a, b) = (dir.join("always.flv"), dir.join("wanted.nut"));
    let mut readers = [
        pull("always", &dir, &relay.rtmp("always")?, 7.0, &a)?,
        pull_rtsp("wanted", &dir, &relay.rtsp("wanted")?, "tcp", 7.0, &b)?,
    ];
    relay.path_ready("wanted")?;
    assert_eq!(sessions()?, 2);
    for reader in &mut readers {
        reader.succeed(Duration::from_secs(40))?;
    }
    judge(&a, ("h264", "aac"), in_step)?;
    judge(&b, ("h264", "opus"), in_step)?;
    relay.path_until("wanted", |path| path["ready"] == false)?;
    e2e::wait::wait_for("the end of the session", Duration::from_secs(5), || Ok((sessions()? == 1).then_some(())))?;
    let log = std::fs::read_to_string(near.join("relay.err"))?;
    ensure!(log.contains("invalid peer certificate"), "{log}");
    ensure!(!log.contains("hunter2"), "the log has the password");
    relay.stop()?;
    assert_eq!(sessions()?, 0, "the server was told");
    origin.stop()
}
