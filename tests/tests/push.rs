//! Paths pushed to other servers: nginx with its RTMP module, ffmpeg as an RTSP server, and another relay. What arrives there is read
//! back by ffmpeg.
#![allow(clippy::unwrap_used)] // A failed unwrap is a failed test.

use anyhow::{Context, Result, ensure};
use device::synthetic::find_bursts;
use e2e::content::{Content, LIP_SYNC, judge, whole};
use e2e::enhanced_rtmp;
use e2e::ffmpeg::{ffmpeg, probe, pull, pull_rtsp};
use e2e::http::request;
use e2e::nginx::{Nginx, free_address};
use e2e::patient::{Patient, Phone};
use e2e::program::{Program, output_dir};
use e2e::relay::{EVERYTHING, Relay};
use e2e::stubborn::{Manner, Stubborn};
use e2e::tls::Certificate;
use e2e::wait::wait_for;
use e2e::whip_server::WhipServer;
use serde_json::{Value, json};
use std::path::Path;
use std::time::Duration;

/// A relay that pushes `live` to these destinations, one YAML item each.
fn pushing(dir: &Path, destinations: &[String]) -> Result<Relay> {
    let items: String = destinations.iter().map(|to| format!("      - {to}\n")).collect();
    let config = EVERYTHING.replace("paths: {all_others: }\n", "");
    Relay::start(dir, &format!("{config}paths:\n  all_others:\n  live:\n    push:\n{items}"))
}

/// Waits until the push to a destination that begins so satisfies `condition`.
fn push_until(relay: &Relay, destination: &str, condition: impl Fn(&Value) -> bool) -> Result<Value> {
    wait_for(&format!("the push to {destination}"), Duration::from_secs(30), || {
        let pushes = relay.list("pushes")?;
        let is = |p: &&Value| p["destination"].as_str().is_some_and(|to| to.starts_with(destination)) && condition(p);
        Ok(pushes.iter().find(is).cloned())
    })
}

#[test]
fn to_nginx_and_to_a_relay() -> Result<()> {
    let dir = output_dir("push_to_nginx_and_to_a_relay")?;
    let far = dir.join("far");
    std::fs::create_dir_all(&far)?;
    let (address, status) = (free_address()?, free_address()?);
    let _nginx = Nginx::rtmp(&dir, &address, &status)?;
    let other = Relay::start(&far, EVERYTHING)?;
    let relay = pushing(&dir, &[format!("rtmp://{address}/live/secretkey"), other.rtmp("copy?token=hush")?])?;
    ensure!(relay.list("pushes")?.iter().all(|p| p["state"] == "waiting"), "nobody publishes yet");
    // Opus, which no server of RTMP takes: it is pushed as AAC.
    let url = relay.rtsp("live")?;
    let opus = ["-c:a", "libopus", "-ac", "2"];
    let patient = Patient::push_rtsp("patient", &dir, &url, "tcp", &Phone::default(), &opus)?;
    push_until(&relay, &format!("rtmp://{address}"), |p| p["state"] == "running")?;
    other.path_ready("copy")?;
    let (nginx, copy) = (dir.join("nginx.flv"), dir.join("copy.flv"));
    let mut readers = [
        pull("nginx-reader", &dir, &format!("rtmp://{address}/live/secretkey"), 5.0, &nginx)?,
        pull("copy-reader", &dir, &other.rtmp("copy")?, 5.0, &copy)?,
    ];
    for reader in &mut readers {
        reader.succeed(Duration::from_secs(40))?;
    }
    for file in [&nginx, &copy] {
        whole(file, ("h264", "aac"), 3)?;
    }
    let (list, metrics) = (
        request("GET", &relay.address("api")?, "/v3/pushes/list")?.1,
        request("GET", &relay.address("metrics")?, "/metrics")?.1,
    );
    ensure!(metrics.contains("pushes{id=") && metrics.contains("state=\"running\"} 1"), "{metrics}");
    ensure!(!(list + &metrics).contains("secretkey"), "keys are not shown");
    let log = std::fs::read_to_string(dir.join("relay.err"))?;
    ensure!(!log.contains("secretkey") && !log.contains("hush"), "keys are not logged");
    // It ends with the path, and the servers are told.
    drop(patient);
    push_until(&relay, &format!("rtmp://{address}"), |p| p["state"] == "waiting")?;
    other.path_until("copy", |p| p["ready"] == false)?;
    relay.stop()?;
    other.stop()
}

#[test]
fn a_dead_destination_disturbs_nobody_and_is_found_again() -> Result<()> {
    let dir = output_dir("push_a_dead_destination")?;
    let far = dir.join("far");
    std::fs::create_dir_all(&far)?;
    let other = Relay::start(&far, EVERYTHING)?;
    let (nowhere, silent) = (free_address()?, Stubborn::start(Manner::Silent)?);
    let dead = [format!("rtmp://{nowhere}/live/late"), format!("rtmp://{}/live/silent", silent.address())];
    let relay = pushing(&dir, &[dead[0].clone(), dead[1].clone(), other.rtmp("copy")?])?;
    let _patient = Patient::push("patient", &dir, &relay.rtmp("live")?, &Phone::default())?;
    other.path_ready("copy")?;
    let failed = push_until(&relay, &format!("rtmp://{nowhere}"), |p| p["failures"].as_u64() >= Some(2))?;
    ensure!(failed["error"].as_str().is_some_and(|e| e.contains("refused")) || failed["state"] != "failed", "{failed}");
    let file = dir.join("copy.flv");
    pull("reader", &dir, &other.rtmp("copy")?, 6.0, &file)?.succeed(Duration::from_secs(40))?;
    whole(&file, ("h264", "aac"), 4)?;
    // The server comes up: nobody needs to do anything. It goes down and comes back: the same.
    for name in ["first", "second"] {
        let place = dir.join(name);
        std::fs::create_dir_all(&place)?;
        let nginx = Nginx::rtmp(&place, &nowhere, &free_address()?)?;
        push_until(&relay, &format!("rtmp://{nowhere}"), |p| p["state"] == "running")?;
        let file = place.join("late.flv");
        pull("late", &place, &dead[0], 4.0, &file)?.succeed(Duration::from_secs(40))?;
        let content = Content::read(&file)?;
        content.dts_rises()?;
        content.clock_runs(1)?;
        content.in_sync(2, LIP_SYNC)?;
        drop(nginx);
        push_until(&relay, &format!("rtmp://{nowhere}"), |p| p["state"] != "running")?;
    }
    let steady = push_until(&relay, &other.rtmp("copy")?, |p| p["state"] == "running")?;
    assert_eq!(steady["failures"], 0, "{steady}");
    relay.stop()?;
    other.stop()
}

/// Times begin anew with every connection, whatever the path's are by then; `kick` makes one at once.
#[test]
fn thrown_out_it_comes_back() -> Result<()> {
    let dir = output_dir("push_thrown_out_it_comes_back")?;
    let far = dir.join("far");
    std::fs::create_dir_all(&far)?;
    let other = Relay::start(&far, EVERYTHING)?;
    let relay = pushing(&dir, &[other.rtmp("copy")?])?;
    let _patient = Patient::push("patient", &dir, &relay.rtmp("live")?, &Phone::default())?;
    let first = other.path_ready("copy")?["source"]["id"].clone();
    let api = relay.address("api")?;
    let id = relay.list("pushes")?[0]["id"].as_str().context("no id")?.to_owned();
    assert_eq!(request("GET", &api, &format!("/v3/pushes/get/{id}"))?.0, 200);
    assert_eq!(request("POST", &api, "/v3/pushes/kick/nobody")?.0, 404);
    assert_eq!(request("POST", &api, &format!("/v3/pushes/kick/{id}"))?.0, 200);
    let second =
        other.path_until("copy", |p| p["ready"] == true && p["source"]["id"] != first)?["source"]["id"].clone();
    // The server's side may throw it out too.
    let id = second.as_str().context("no id")?;
    assert_eq!(request("POST", &other.address("api")?, &format!("/v3/rtmpconns/kick/{id}"))?.0, 200);
    other.path_until("copy", |p| p["ready"] == true && p["source"]["id"] != second)?;
    let file = dir.join("copy.flv");
    pull("reader", &dir, &other.rtmp("copy")?, 4.0, &file)?.succeed(Duration::from_secs(40))?;
    whole(&file, ("h264", "aac"), 2)?;
    relay.stop()?;
    other.stop()
}

#[test]
fn in_tls_to_a_server_that_signed_its_own_certificate() -> Result<()> {
    let dir = output_dir("push_in_tls")?;
    let far = dir.join("far");
    std::fs::create_dir_all(&far)?;
    let certificate = Certificate::make(&far, "server")?;
    let other = Relay::start(&far, &format!("{EVERYTHING}{}", certificate.config("rtmp", "strict")))?;
    let address = other.address("rtmps")?;
    let pinned = format!("{{url: \"rtmps://{address}/pinned\", fingerprint: \"{}\"}}", certificate.fingerprint);
    let relay = pushing(&dir, &[pinned, format!("rtmps://{address}/trusting")])?;
    let _patient = Patient::push("patient", &dir, &relay.rtmp("live")?, &Phone::default())?;
    other.path_ready("pinned")?;
    let file = dir.join("pinned.flv");
    pull("reader", &dir, &other.hls("pinned.flv")?, 5.0, &file)?.succeed(Duration::from_secs(40))?;
    whole(&file, ("h264", "aac"), 3)?;
    let refused = push_until(&relay, &format!("rtmps://{address}/trusting"), |p| p["state"] == "failed")?;
    ensure!(refused["error"].as_str().is_some_and(|e| e.contains("certificate")), "{refused}");
    ensure!(other.paths()?.iter().all(|p| p["name"] != "trusting"), "nothing is told to a stranger");
    relay.stop()?;
    other.stop()
}

/// To ffmpeg as a server, which takes what RECORD brings.
#[test]
fn by_rtsp_to_ffmpeg() -> Result<()> {
    let dir = output_dir("push_by_rtsp_to_ffmpeg")?;
    let (address, file) = (free_address()?, dir.join("recorded.mkv"));
    let url = format!("rtsp://{address}/studio");
    let mut command = ffmpeg();
    command.args(["-rtsp_flags", "listen", "-i", &url, "-t", "6", "-copyts", "-c", "copy"]);
    let mut server = Program::start("server", &dir, command.arg(&file))?;
    let relay = pushing(&dir, std::slice::from_ref(&url))?;
    let _patient = Patient::push("patient", &dir, &relay.rtmp("live")?, &Phone::default())?;
    push_until(&relay, &url, |p| p["state"] == "running" && p["outboundBytes"].as_u64() > Some(100_000))?;
    let path = relay.path_ready("live")?;
    ensure!(path["readers"].as_array().is_some_and(|all| all.iter().any(|r| r["type"] == "rtspPush")), "{path}");
    server.succeed(Duration::from_secs(40))?;
    whole(&file, ("h264", "aac"), 4)?;
    // ffmpeg is gone, and that is noticed.
    push_until(&relay, &url, |p| p["state"] == "failed")?;
    relay.stop()
}

/// Other pictures than H.264 go by RTSP as they are.
fn by_rtsp_as_it_is(codec: &str, coding: &[&str]) -> Result<()> {
    let dir = output_dir(&format!("push_by_rtsp_{codec}"))?;
    let (address, file) = (free_address()?, dir.join("recorded.mkv"));
    let url = format!("rtsp://{address}/studio");
    let mut command = ffmpeg();
    command.args(["-rtsp_flags", "listen", "-i", &url, "-t", "4", "-copyts", "-c", "copy"]);
    let mut server = Program::start("server", &dir, command.arg(&file))?;
    let relay = pushing(&dir, std::slice::from_ref(&url))?;
    let phone = Phone { size: (320, 240), ..Phone::default() };
    let _patient = Patient::push_rtsp("patient", &dir, &relay.rtsp("live")?, "tcp", &phone, coding)?;
    let path = relay.path_ready("live")?;
    assert_eq!(path["skippedTracks"], json!([]), "{path}");
    server.succeed(Duration::from_secs(40))?;
    whole(&file, (codec, "aac"), 2)?;
    relay.stop()
}

#[test]
fn h265_by_rtsp_to_ffmpeg() -> Result<()> {
    let main = ["-c:v", "libx265", "-preset", "ultrafast", "-profile:v", "main"];
    by_rtsp_as_it_is("hevc", &[&main[..], &["-x265-params", "log-level=error:bframes=0"]].concat())
}

#[test]
fn vp8_by_rtsp_to_ffmpeg() -> Result<()> {
    let live =
        ["-c:v", "libvpx", "-deadline", "realtime", "-cpu-used", "8", "-lag-in-frames", "0", "-auto-alt-ref", "0"];
    by_rtsp_as_it_is("vp8", &[&live[..], &["-tune", "psnr", "-profile:v", "0", "-b:v", "1M"]].concat())
}

/// To libsrt, which decrypts it and writes what it got.
#[test]
fn by_srt_with_a_passphrase() -> Result<()> {
    let dir = output_dir("push_by_srt_with_a_passphrase")?;
    let server = format!("srt://{}", free_address()?);
    let wrong = format!("{server}?streamid=publish:studio&passphrase=wrong-wrong");
    let right = format!("{server}?streamid=publish:studio&passphrase=right-right&pbkeylen=32");
    let relay = pushing(&dir, std::slice::from_ref(&wrong))?;
    let file = dir.join("received.ts");
    let mut command = ffmpeg();
    let listening = format!("{server}?mode=listener&passphrase=right-right");
    command.args(["-i", &listening, "-t", "6", "-c", "copy"]);
    let mut listener = Program::start("listener", &dir, command.arg(&file))?;
    let _patient = Patient::push("patient", &dir, &relay.rtmp("live")?, &Phone::default())?;
    let refused = push_until(&relay, &server, |p| p["error"].as_str().is_some_and(|e| e.contains("wrong passphrase")))?;
    ensure!(!refused.to_string().contains("wrong-wrong"), "{refused}");
    relay.stop()?;
    let relay = pushing(&dir, std::slice::from_ref(&right))?;
    let _again = Patient::push("again", &dir, &relay.rtmp("live")?, &Phone::default())?;
    push_until(&relay, &server, |p| p["state"] == "running" && p["outboundBytes"].as_u64() > Some(100_000))?;
    let path = relay.path_ready("live")?;
    ensure!(path["readers"].as_array().is_some_and(|all| all.iter().any(|r| r["type"] == "srtPush")), "{path}");
    listener.succeed(Duration::from_secs(40))?;
    whole(&file, ("h264", "aac"), 3)?;
    // ffmpeg is gone, and that is noticed.
    push_until(&relay, &server, |p| p["state"] == "failed")?;
    relay.stop()
}

/// To another relay, in TLS and with a password; Opus goes as it is.
#[test]
fn by_rtsps_with_a_password() -> Result<()> {
    let dir = output_dir("push_by_rtsps_with_a_password")?;
    let far = dir.join("far");
    std::fs::create_dir_all(&far)?;
    let certificate = Certificate::make(&far, "server")?;
    let everything = EVERYTHING.replace("paths: {all_others: }\n", "");
    for methods in ["digest", "basic"] {
        let config = format!(
            "{everything}{}rtspAuthMethods: [{methods}]\npaths:\n  copy:\n    publishUser: cam\n    publishPass: push me\n",
            certificate.config("rtsp", "optional")
        );
        let other = Relay::start(&far, &config)?;
        let address = other.address("rtsps")?;
        let to = |user: &str, path: &str| {
            let fingerprint = &certificate.fingerprint;
            format!("{{url: \"rtsps://{user}@{address}/{path}\", fingerprint: \"{fingerprint}\"}}")
        };
        let relay = pushing(&dir, &[to("cam:push%20me", "copy"), to("cam:hush", "copy?wrong")])?;
        let opus = ["-c:a", "libopus", "-ac", "2"];
        let url = relay.rtsp("live")?;
        let _patient = Patient::push_rtsp("patient", &dir, &url, "tcp", &Phone::default(), &opus)?;
        let path = other.path_ready("copy")?;
        assert_eq!((&path["source"]["type"], &path["tracks"]), (&"rtspsSession".into(), &json!(["H264", "Opus"])));
        let file = dir.join(format!("{methods}.mkv"));
        pull_rtsp("reader", &dir, &other.rtsp("copy")?, "tcp", 5.0, &file)?.succeed(Duration::from_secs(40))?;
        whole(&file, ("h264", "opus"), 3)?;
        let refused = push_until(&relay, &format!("rtsps://{address}/copy"), |p| p["state"] == "failed")?;
        assert_eq!(refused["error"], "the server refused: 401 Unauthorized");
        let log = std::fs::read_to_string(dir.join("relay.err"))?;
        ensure!(
            !log.contains("hush") && !log.contains("push%20me") && !log.contains("push me"),
            "no password is logged"
        );
        relay.stop()?;
        other.stop()?;
    }
    Ok(())
}

/// To aiortc, and in TLS to another relay; the patient's AAC becomes Opus.
#[test]
fn by_whip() -> Result<()> {
    let dir = output_dir("push_by_whip")?;
    let far = dir.join("far");
    std::fs::create_dir_all(&far)?;
    let stranger = WhipServer::start(&dir, &["--bearer", "s3cret-token"])?;
    let certificate = Certificate::make(&far, "server")?;
    let other = Relay::start(&far, &(certificate.webrtc() + EVERYTHING))?;
    let to = [
        format!("{{url: \"whip://{}/hidden/whip\", token: s3cret-token}}", stranger.address),
        format!(
            "{{url: \"whips://{}/copy/whip\", fingerprint: \"{}\"}}",
            other.address("webrtc")?,
            certificate.fingerprint
        ),
    ];
    let relay = pushing(&dir, &to)?;
    let patient = Patient::push("patient", &dir, &relay.rtmp("live")?, &Phone::default())?;
    let offer = stranger.says("offer", Duration::from_secs(20))?;
    assert_eq!((&offer["path"], &offer["authorization"]), (&"/hidden/whip".into(), &"Bearer".into()));
    let copy = other.path_ready("copy")?;
    assert_eq!(copy["tracks"], json!(["H264", "Opus"]));
    let file = dir.join("copy.flv");
    pull("reader", &dir, &other.rtmp("copy")?, 5.0, &file)?.succeed(Duration::from_secs(40))?;
    whole(&file, ("h264", "aac"), 3)?;
    let (clocks, sound) = wait_for("four seconds of sound at aiortc", Duration::from_secs(20), || {
        let (clocks, sound) = stranger.recorded((640, 360))?;
        Ok((sound.len() > 48_000 * 4 && clocks.len() > 100).then_some((clocks, sound)))
    })?;
    let read = clocks.iter().flatten().filter(|clock| clock.stream == 7).count();
    ensure!(read * 100 > clocks.len() * 98, "{read} of {} clocks are readable", clocks.len());
    let bursts = find_bursts(&sound, 1, 48_000);
    let beeps: Vec<_> = bursts.iter().filter(|b| b.start > 0.3 && b.length > 0.05).collect();
    ensure!(beeps.len() >= 3 && beeps.iter().all(|b| (b.frequency - 1000.0).abs() < 15.0), "{bursts:?}");
    push_until(&relay, &format!("http://{}", stranger.address), |p| {
        p["state"] == "running" && p["outboundBytes"].as_u64() > Some(100_000)
    })?;
    let log = std::fs::read_to_string(dir.join("relay.err"))?;
    ensure!(!log.contains("s3cret-token"), "the token is not logged");
    // The relay stops: both servers are told, and do not have to find out.
    relay.stop()?;
    stranger.says("delete", Duration::from_secs(10))?;
    other.path_until("copy", |p| p["ready"] == false)?;
    drop(patient);
    other.stop()
}

/// A server that takes nothing for a while gets whole GOPs afterwards, and the other one notices nothing.
#[test]
fn a_slow_destination_loses_whole_gops() -> Result<()> {
    let dir = output_dir("push_a_slow_destination")?;
    let (slow, quick) = (free_address()?, free_address()?);
    let place = |name: &str| dir.join(format!("{name}.mkv"));
    let server = |name: &str, address: &str, seconds: &str| {
        let mut command = ffmpeg();
        command.args(["-rtsp_flags", "listen", "-i", &format!("rtsp://{address}/x"), "-t", seconds]);
        Program::start(name, &dir, command.args(["-copyts", "-c", "copy"]).arg(place(name)))
    };
    let (mut stalled, mut other) = (server("slow", &slow, "24")?, server("quick", &quick, "14")?);
    let relay = pushing(&dir, &[format!("rtsp://{slow}/x"), format!("rtsp://{quick}/x")])?;
    // Large pictures, so that some seconds do not fit into the sockets.
    let phone = Phone { size: (1280, 720), ..Phone::default() };
    let _patient = Patient::push("patient", &dir, &relay.rtmp("live")?, &phone)?;
    for address in [&slow, &quick] {
        push_until(&relay, &format!("rtsp://{address}"), |p| p["outboundBytes"].as_u64() > Some(50_000))?;
    }
    stalled.signal("STOP")?;
    // The stall is measured by the other server: shorter than what a push takes for the end.
    let sent = |address: &str| {
        let push = push_until(&relay, &format!("rtsp://{address}"), |_| true)?;
        Ok::<_, anyhow::Error>(push["outboundBytes"].as_u64().unwrap_or(0))
    };
    let before = sent(&quick)?;
    push_until(&relay, &format!("rtsp://{quick}"), |p| p["outboundBytes"].as_u64() > Some(before + 1_200_000))?;
    let push = push_until(&relay, &format!("rtsp://{slow}"), |_| true)?;
    assert_eq!((&push["state"], &push["failures"]), (&"running".into(), &0.into()), "{push}");
    stalled.signal("CONT")?;
    other.succeed(Duration::from_secs(40))?;
    stalled.succeed(Duration::from_secs(60))?;
    whole(&place("quick"), ("h264", "aac"), 9)?;
    let content = Content::read(&place("slow"))?;
    content.dts_rises()?;
    content.in_sync(3, LIP_SYNC)?;
    ensure!(content.clock_runs(1).is_err(), "the stall was long enough for something to be lost");
    ensure!(content.readable() > 0.99, "no half GOP: {} of the pictures are whole", content.readable());
    relay.stop()
}

/// H.265 goes where the server says that it takes it; where it does not, the sound goes alone, and the API says so.
#[test]
fn h265_where_the_server_takes_it() -> Result<()> {
    let dir = output_dir("push_h265")?;
    let far = dir.join("far");
    std::fs::create_dir_all(&far)?;
    let (address, status) = (free_address()?, free_address()?);
    let _nginx = Nginx::rtmp(&dir, &address, &status)?;
    let other = Relay::start(&far, EVERYTHING)?;
    let relay = pushing(&dir, &[other.rtmp("copy")?, format!("rtmp://{address}/live/key")])?;
    let phone = Phone { size: (320, 240), ..Phone::default() };
    let _patient = Patient::push("patient", &dir, &relay.rtmp("raw")?, &phone)?;
    relay.path_ready("raw")?;
    let _recoder = enhanced_rtmp::recode(&dir, &relay.rtmp("raw")?, &relay.rtmp("live")?, "libx265", "aac")?;
    let both = [json!(["H265", "MPEG-4 Audio"]), json!(["MPEG-4 Audio", "H265"])];
    other.path_until("copy", |p| both.contains(&p["tracks"]))?;
    let file = dir.join("copy.mkv");
    let mut reader = enhanced_rtmp::pull("reader", &dir, &other.rtmp("copy")?, 5, &file, "hvc1")?;
    reader.succeed(Duration::from_secs(40))?;
    let content = Content::read(&file)?;
    content.clock_runs(1)?;
    content.in_sync(3, LIP_SYNC)?;
    let path = relay.path_until("live", |p| p["skippedTracks"].as_array().is_some_and(|all| all.len() == 1))?;
    assert_eq!(
        (&path["skippedTracks"][0]["codec"], &path["skippedTracks"][0]["reader"]["type"]),
        (&"H265".into(), &"rtmpPush".into())
    );
    let sound = dir.join("sound.flv");
    pull("sound", &dir, &format!("rtmp://{address}/live/key"), 3.0, &sound)?.succeed(Duration::from_secs(40))?;
    ensure!(probe(&sound)?["streams"].as_array().is_some_and(|all| all.iter().all(|s| s["codec_name"] == "aac")));
    relay.stop()?;
    other.stop()
}

/// WebRTC shows pictures as they come, so those with B-frames go out in the order of their showing.
#[test]
fn b_pictures_by_whip() -> Result<()> {
    let dir = output_dir("push_b_pictures_by_whip")?;
    let far = dir.join("far");
    std::fs::create_dir_all(&far)?;
    let other = Relay::start(&far, EVERYTHING)?;
    let relay = pushing(&dir, &[format!("http://{}/copy/whip", other.address("webrtc")?)])?;
    let coding = ["-tune", "fastdecode", "-profile:v", "main", "-bf", "3", "-x264-params", "b-pyramid=normal"];
    let url = relay.rtsp("live")?;
    let _patient = Patient::push_rtsp("patient", &dir, &url, "tcp", &Phone::default(), &coding)?;
    other.path_ready("copy")?;
    let file = dir.join("copy.flv");
    pull("reader", &dir, &other.rtmp("copy")?, 9.0, &file)?.succeed(Duration::from_secs(40))?;
    // The rendition begins with a GOP of the past and makes it up; its pictures come into step with the sound meanwhile.
    judge(&file, ("h264", "aac"), |content| {
        let offsets = content.offsets();
        ensure!(offsets.len() >= 7 && offsets.iter().skip(4).all(|o| o.abs() <= LIP_SYNC), "out of step: {offsets:?}");
        Ok(())
    })?;
    assert_eq!(Content::read(&file)?.field("video", "has_b_frames"), 0);
    relay.stop()?;
    other.stop()
}
