//! A whole consultation on this computer, as the shell drives it: synthetic camera and microphone, the embedded relay on
//! loopback, and the relay's own RTMP client in the part of a listener.

#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test, in its helpers too")]

use codec::{AacDecoder, H264Decoder};
use device::MonoClock;
use device::synthetic::read_clock;
use engine::settings::{InvalidSetting, Ports, Server, ServerPorts, Settings};
use engine::{
    CommandError, DeviceState, Engine, EngineConfig, Notice, Phase, PictureState, Profile, Snapshot, Synthetic,
};
use hub::{Hub, Item, Limits, PathName, PublisherInfo, ReadError, ReaderInfo, Start};
use media::{AccessUnit, CodecParams, TrackSet};
use relay::rtmp::RtmpUrl;
use relay::{Clock, Relay, RelayConfig};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::process::{Command, Stdio};
use std::time::Duration;

/// What takes longer than this does not come any more, however busy the machine is.
const PATIENCE: Duration = Duration::from_secs(30);

fn free_ports() -> Ports {
    let tcp: Vec<TcpListener> = (0..3).map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect();
    let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
    let port = |n: usize| tcp[n].local_addr().unwrap().port();
    Ports { rtmp: port(0), hls: port(1), webrtc_http: port(2), webrtc_udp: udp.local_addr().unwrap().port() }
}

fn elsewhere(address: String) -> Server {
    Server::Address { address, user: String::new(), ports: ServerPorts::default() }
}

struct Bench {
    engine: Engine,
    _folder: tempfile::TempDir,
}

fn bench(change: impl FnOnce(&mut Settings)) -> Bench {
    // As the shell does first of all; a second test finds it done.
    rustls::crypto::ring::default_provider().install_default().ok();
    let folder = tempfile::tempdir().unwrap();
    let mut settings = Settings {
        network: Some("127.0.0.1".into()),
        ports: free_ports(),
        width: 320,
        height: 240,
        ..Settings::default()
    };
    change(&mut settings);
    settings.save(folder.path()).unwrap();
    let profile = Profile::open(folder.path()).unwrap();
    let engine = Engine::start(EngineConfig { profile, synthetic: Synthetic::Clock, keychain: false }).unwrap();
    Bench { engine, _folder: folder }
}

async fn until(engine: &Engine, what: &str, good: impl Fn(&Snapshot) -> bool) -> Snapshot {
    let mut watch = engine.watch();
    let found = tokio::time::timeout(PATIENCE, watch.wait_for(|s| good(s))).await;
    match found {
        Ok(Ok(snapshot)) => snapshot.clone(),
        other => panic!("{what}: {:?}", other.map(|r| r.map(|s| s.phase.clone()))),
    }
}

/// Pulls `url` until `enough` says so of the units so far.
async fn pull(url: &str, enough: impl Fn(&[AccessUnit]) -> bool) -> Vec<AccessUnit> {
    let (url, hub, path) =
        (RtmpUrl::parse(url).unwrap(), Hub::new(Limits::default()), PathName::parse("pulled").unwrap());
    let info = ReaderInfo { kind: "test", id: "test".into() };
    let mut reader = hub.read(&path, info, Start::Soonest, MonoClock::now()).unwrap();
    let mut units = Vec::new();
    let reading = async {
        while !enough(&units) {
            match reader.next().await {
                Ok(Item::Unit(unit, _)) => units.push(unit),
                Ok(Item::Tracks(_)) | Err(ReadError::Lagged(_)) => {}
                Err(ReadError::Ended(ended)) => panic!("{ended}"),
            }
        }
    };
    tokio::select! {
        ended = relay::rtmp::pull(&url, relay::tls::Trust::System, &hub, &path, Clock::new(MonoClock::now)) => panic!("{:?}", ended.err()),
        done = tokio::time::timeout(PATIENCE, reading) => done.expect("units in time"),
    }
    units
}

fn seconds_of_sound(units: &[AccessUnit]) -> f64 {
    let mut sound = units.iter().filter(|u| !u.is_video()).map(|u| u.pts.seconds());
    let first = sound.next().unwrap_or(0.0);
    sound.next_back().unwrap_or(first) - first
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_doctor_is_seen_and_every_port_is_free_afterwards() {
    let Bench { engine, _folder } = bench(|_| {});
    assert_eq!(engine.snapshot().phase, Phase::Ready);
    engine.start_consultation().await.unwrap();
    let snapshot = until(&engine, "waiting", |s| s.phase == Phase::Waiting).await;
    let urls = snapshot.patient.unwrap();
    let token = snapshot.token.unwrap();
    assert!(urls.play_rtmp.ends_with(&format!("doctorStream_aac?token={token}")));
    let units = pull(&urls.play_rtmp, |units| seconds_of_sound(units) > 1.2).await;
    let mut decoder = H264Decoder::new().unwrap();
    let mut frames: Vec<u32> = Vec::new();
    for unit in units.iter().filter(|u| u.is_video()) {
        if let Some(picture) = decoder.decode(unit).unwrap() {
            frames.push(read_clock(&picture.picture).expect("the clock card").frame);
        }
    }
    assert!(frames.len() > 20 && frames.windows(2).all(|w| w[1] > w[0]), "{frames:?}");
    let rising = |video: bool| {
        let dts: Vec<_> = units.iter().filter(|u| u.is_video() == video).map(|u| u.dts).collect();
        dts.len() > 20 && dts.windows(2).all(|w| w[0] < w[1])
    };
    assert!(rising(true) && rising(false));
    engine.end_consultation().await.unwrap();
    let snapshot = engine.snapshot();
    assert_eq!((snapshot.phase, snapshot.patient), (Phase::Ready, None));
    let Ports { rtmp, hls, webrtc_http, webrtc_udp } = snapshot.settings.ports;
    for port in [rtmp, hls, webrtc_http] {
        assert!(TcpStream::connect(("127.0.0.1", port)).is_err(), "port {port} is still open");
    }
    UdpSocket::bind(("127.0.0.1", webrtc_udp)).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_patient_comes_and_goes() {
    let doctor = bench(|_| {});
    doctor.engine.start_consultation().await.unwrap();
    let urls = until(&doctor.engine, "waiting", |s| s.phase == Phase::Waiting).await.patient.unwrap();
    let mut patient = Command::new("ffmpeg")
        .args(["-loglevel", "error", "-re", "-f", "lavfi", "-i", "testsrc2=size=320x240:rate=15"])
        .args(["-f", "lavfi", "-i", "sine=frequency=1000:sample_rate=16000"])
        .args(["-c:v", "libx264", "-preset", "ultrafast", "-tune", "zerolatency", "-g", "15", "-pix_fmt", "yuv420p"])
        .args(["-c:a", "aac", "-f", "flv", &urls.push_rtmp])
        .stdin(Stdio::null())
        .spawn()
        .unwrap();
    let snapshot = until(&doctor.engine, "the patient", |s| {
        s.phase == Phase::Live && s.remote.picture == PictureState::Live && s.remote.sound
    })
    .await;
    // The patient's ffmpeg answers pings, so the way to it is known.
    until(&doctor.engine, "the way to the patient", |s| s.delay.incoming.network.is_some()).await;
    assert_eq!((snapshot.remote.width, snapshot.remote.height), (320, 240));
    patient.kill().unwrap();
    patient.wait().unwrap();
    until(&doctor.engine, "the patient's end", |s| s.remote.picture == PictureState::Frozen && !s.remote.sound).await;
    // Without its token nobody is let in.
    let bare = RtmpUrl::parse(urls.play_rtmp.split('?').next().unwrap()).unwrap();
    let (hub, path) = (Hub::new(Limits::default()), PathName::parse("x").unwrap());
    let refused = relay::rtmp::pull(&bare, relay::tls::Trust::System, &hub, &path, Clock::new(MonoClock::now)).await;
    assert!(
        matches!(refused, Err(relay::rtmp::PullError::Refused { .. } | relay::rtmp::PullError::Ended)),
        "{refused:?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn muted_is_silent_and_the_stream_goes_on() {
    let Bench { engine, _folder } = bench(|_| {});
    engine.set_muted(true).await.unwrap();
    engine.set_camera_off(true).await.unwrap();
    engine.start_consultation().await.unwrap();
    let snapshot = until(&engine, "camera off", |s| s.states.camera == DeviceState::Off && s.patient.is_some()).await;
    assert!(snapshot.muted && snapshot.camera_off);
    let url = snapshot.patient.unwrap().play_rtmp;
    let units = pull(&url, |units| seconds_of_sound(units) > 1.5).await;
    let mut sound = Vec::new();
    let mut decoder = None;
    for unit in units.iter().filter(|u| !u.is_video()) {
        let CodecParams::Aac(params) = &*unit.params else { panic!("{:?}", unit.params) };
        let decoder = decoder.get_or_insert_with(|| AacDecoder::new(params).unwrap());
        decoder.decode(&unit.payload, &mut sound).unwrap();
    }
    assert!(sound.len() > 48_000 && sound.iter().all(|s| s.abs() < 0.01));
    let mut pictures = H264Decoder::new().unwrap();
    let cards: Vec<_> = units.iter().filter(|u| u.is_video()).filter_map(|u| pictures.decode(u).unwrap()).collect();
    assert!(!cards.is_empty() && cards.iter().all(|c| read_clock(&c.picture).is_none()), "a card, not the camera");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_port_that_is_taken_is_named_and_cured() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let Bench { engine, _folder } = bench(|s| s.ports.hls = port);
    let error = engine.start_consultation().await.unwrap_err();
    let CommandError::PortTaken { setting, port: named, free, .. } = error else { panic!("{error}") };
    assert_eq!((setting.as_str(), named), ("hls", port));
    let snapshot = engine.snapshot();
    assert_eq!(snapshot.phase, Phase::Ready);
    assert!(matches!(snapshot.notices.first(), Some(Notice::PortTaken { .. })));
    assert!(TcpStream::connect(("127.0.0.1", snapshot.settings.ports.rtmp)).is_err(), "nothing stays bound");
    engine.use_port(setting, free.unwrap()).await.unwrap();
    let snapshot = until(&engine, "waiting", |s| s.phase == Phase::Waiting).await;
    assert_eq!(snapshot.settings.ports.hls, free.unwrap());
    engine.shut_down().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn impossible_settings_change_nothing() {
    let Bench { engine, _folder } = bench(|_| {});
    let before = engine.snapshot().settings;
    let wrong = Settings { fps: 0, ..before.clone() };
    let error = engine.update_settings(wrong, None).await.unwrap_err();
    assert_eq!(error, CommandError::InvalidSetting(InvalidSetting("fps")));
    assert_eq!(engine.snapshot().settings, before);
    let right = Settings { fps: 15, ..before };
    engine.update_settings(right.clone(), None).await.unwrap();
    assert_eq!(Settings::load(_folder.path()).unwrap(), right);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_refuses_is_said_at_once_and_tried_again() {
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let Bench { engine, _folder } = bench(|s| s.server = elsewhere(closed.to_string()));
    let began = std::time::Instant::now();
    engine.start_consultation().await.unwrap();
    until(&engine, "reconnecting", |s| matches!(s.phase, Phase::Reconnecting { .. })).await;
    assert!(began.elapsed() < Duration::from_secs(5));
    engine.retry_now().await.unwrap();
    until(&engine, "the second failure", |s| matches!(s.phase, Phase::Reconnecting { attempt: 2.., .. })).await;
    engine.end_consultation().await.unwrap();
    assert_eq!(engine.snapshot().phase, Phase::Ready);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_elsewhere_gets_the_doctor() {
    let local = |port| Some(SocketAddr::from(([127, 0, 0, 1], port)));
    let udp = free_ports().webrtc_udp;
    let webrtc = relay::webrtc::WebRtcConfig {
        local_udp_address: SocketAddr::from(([127, 0, 0, 1], udp)),
        ..relay::webrtc::WebRtcConfig::default()
    };
    let config = RelayConfig {
        webrtc: local(0).map(|http| (http, webrtc)),
        clock: Clock::new(MonoClock::now),
        ..RelayConfig::default()
    };
    let server = Relay::start(config).await.unwrap();
    let address = server.bound().webrtc.unwrap().to_string();
    let Bench { engine, _folder } = bench(|s| s.server = elsewhere(address));
    engine.start_consultation().await.unwrap();
    until(&engine, "connected", |s| s.phase == Phase::Waiting).await;
    let doctor = PathName::parse("doctorStream").unwrap();
    let info = ReaderInfo { kind: "test", id: "test".into() };
    let mut reader = server.hub().read(&doctor, info, Start::Soonest, MonoClock::now()).unwrap();
    let mut decoder = H264Decoder::new().unwrap();
    let mut sound = 0;
    let content = async {
        let mut last = None;
        let mut pictures = 0;
        while pictures < 15 || sound < 15 {
            let Ok(Item::Unit(unit, _)) = reader.next().await else { continue };
            if !unit.is_video() {
                sound += 1;
            } else if let Ok(Some(picture)) = decoder.decode(&unit) {
                let frame = read_clock(&picture.picture).expect("the clock card").frame;
                assert!(last.is_none_or(|l| frame > l));
                last = Some(frame);
                pictures += 1;
            }
        }
    };
    tokio::time::timeout(PATIENCE, content).await.expect("the doctor arrives");
    assert_eq!(engine.snapshot().remote.picture, PictureState::None);
    engine.end_consultation().await.unwrap();
    let info = PublisherInfo { kind: "test", id: "after".into(), answers_keyframes: false };
    drop(server.hub().publish(&doctor, info, TrackSet::default(), MonoClock::now()).unwrap());
    server.stop().await;
}

/// Reads one request's head and body; its method and path.
async fn request(stream: &mut tokio::net::TcpStream) -> Option<(String, String)> {
    use tokio::io::AsyncReadExt;
    let (mut bytes, mut part) = (Vec::new(), [0; 4096]);
    loop {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let head = head.to_ascii_lowercase();
            let length = head.lines().find_map(|l| l.strip_prefix("content-length:")).map_or("0", str::trim);
            if body.len() >= length.parse().unwrap() {
                let mut words = head.split(' ');
                return Some((words.next()?.to_uppercase(), words.next()?.to_owned()));
            }
        }
        let length = stream.read(&mut part).await.ok().filter(|n| *n > 0)?;
        bytes.extend_from_slice(&part[..length]);
    }
}

async fn reply(mut stream: tokio::net::TcpStream, head: &str) {
    use tokio::io::AsyncWriteExt;
    let text = format!("HTTP/1.1 {head}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    stream.write_all(text.as_bytes()).await.unwrap();
    stream.shutdown().await.ok();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_end_waits_for_no_server_and_the_server_is_told_all_the_same() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let Bench { engine, _folder } = bench(|s| s.server = elsewhere(address));
    engine.start_consultation().await.unwrap();
    let next = async || {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            match request(&mut stream).await {
                // The patient is asked for as well, and is not here.
                Some((_, path)) if path.ends_with("/whep") => reply(stream, "404 Not Found").await,
                Some((method, _)) => return (method, stream),
                None => {}
            }
        }
    };
    let meeting = async {
        // The offer is held back until the visit has ended for the doctor.
        let held = loop {
            match next().await {
                (method, stream) if method == "POST" => break stream,
                (_, stream) => reply(stream, "204 No Content").await,
            }
        };
        engine.end_consultation().await.unwrap();
        assert_eq!(engine.snapshot().phase, Phase::Ready);
        // Only now does the server name the session it has opened.
        reply(held, "201 Created\r\nLocation: /session/1\r\nContent-Type: application/sdp").await;
        let (method, stream) = next().await;
        assert_eq!(method, "DELETE");
        reply(stream, "200 OK").await;
    };
    tokio::time::timeout(PATIENCE, meeting).await.expect("the session is ended");
    engine.shut_down().await.unwrap();
}
