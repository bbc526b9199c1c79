//! Client and server of this folder against each other: whole access units, in step, through loss. And what HTTP answers.

use super::client::{Offered, WhipAuth, WhipClient, WhipError, WhipTarget};
use super::{SessionState, WebRtcConfig, WebRtcState, serve};
use crate::access::{AccessRequest, Authorizer, Refusal, Verdict};
use crate::clock::Clock;
use crate::listen::Listening;
use crate::tls::Trust;
use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::Request;
use axum::http::{Method, StatusCode, header};
use axum::response::Response;
use bytes::Bytes;
use hub::{Hub, Item, Limits, PathName, ReadError, Reader, ReaderInfo, Start};
use media::{
    AccessUnit, ClockRate, CodecParams, H264Params, MediaTime, OpusParams, TrackId, UnitKind, append_length_prefixed,
};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::UdpSocket;
use tokio::task::JoinHandle;

const SPS: &[u8] = &[
    0x67, 0x42, 0xC0, 0x1E, 0xDA, 0x02, 0x80, 0xF6, 0x84, 0x00, 0x00, 0x03, 0x00, 0x04, 0x00, 0x00, 0x03, 0x00, 0xF2,
    0x3C, 0x58, 0xBA, 0x80,
];
const PPS: &[u8] = &[0x68, 0xCE, 0x0F, 0x2C, 0x80];

/// Takes whoever shows `secret`.
#[derive(Debug)]
struct Token;

impl Authorizer for Token {
    fn authorize<'a>(&'a self, request: &'a AccessRequest) -> Verdict<'a> {
        let shown = request.bearer.as_deref().or(request.param("token"));
        let answer = match (request.path.as_str(), shown) {
            ("closed", _) => Err(Refusal::NoSuchPath),
            (_, Some("secret")) => Ok(()),
            _ => Err(Refusal::Unauthorized),
        };
        Box::pin(async move { answer })
    }
}

struct Server {
    hub: Hub,
    clock: Clock,
    state: WebRtcState,
    url: String,
    tasks: Vec<JoinHandle<()>>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

impl Server {
    /// A server on loopback; with `loss`, its media port is behind a network that loses so much each way.
    async fn start(loss: Option<f64>) -> Self {
        drop(rustls::crypto::ring::default_provider().install_default());
        let (hub, clock) = (Hub::new(Limits::default()), Clock::process());
        let config = WebRtcConfig { local_udp_address: "127.0.0.1:0".parse().unwrap(), ..WebRtcConfig::default() };
        let listening = Listening::new(hub.clone(), clock, 128_000, Duration::from_secs(30));
        let state = WebRtcState::start(config, hub.clone(), listening, Arc::new(Token), clock, None).unwrap();
        let mut tasks = Vec::new();
        let port = state.udp_port();
        let shown = match loss {
            Some(loss) => {
                let (shown, task) = lossy(SocketAddr::from(([127, 0, 0, 1], port)), loss).await;
                tasks.push(task);
                shown
            }
            None => port,
        };
        let serving = state.clone();
        let handler = move |request: Request| {
            let state = serving.clone();
            async move { readdressed(serve(&state, request).await.unwrap(), port, shown).await }
        };
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/cam/whip", listener.local_addr().unwrap());
        tasks.push(tokio::spawn(async move { axum::serve(listener, Router::new().fallback(handler)).await.unwrap() }));
        Self { hub, clock, state, url, tasks }
    }

    fn target(&self, token: &str) -> WhipTarget {
        WhipTarget {
            url: self.url.clone(),
            auth: WhipAuth::Bearer(token.into()),
            trust: Trust::System,
            ice_servers: vec![],
        }
    }

    fn read(&self) -> Reader {
        let info = ReaderInfo { kind: "test", id: "1".into() };
        self.hub.read(&PathName::parse("cam").unwrap(), info, Start::LastKey, self.clock.now()).unwrap()
    }
}

/// The answer with another port in its candidates.
async fn readdressed(response: Response, from: u16, to: u16) -> Response {
    let (mut parts, body) = response.into_parts();
    let body = to_bytes(body, 1 << 20).await.unwrap();
    let text = String::from_utf8(body.into()).unwrap();
    parts.headers.remove(header::CONTENT_LENGTH);
    Response::from_parts(parts, Body::from(text.replace(&format!(" {from} typ host"), &format!(" {to} typ host"))))
}

/// A network in front of `server`, seeded, so that every run loses alike.
async fn lossy(server: SocketAddr, loss: f64) -> (u16, JoinHandle<()>) {
    let front = Arc::new(UdpSocket::bind("127.0.0.1:0").await.unwrap());
    let port = front.local_addr().unwrap().port();
    let task = tokio::spawn(async move {
        let mut random = StdRng::seed_from_u64(7);
        let mut backs: HashMap<SocketAddr, Arc<UdpSocket>> = HashMap::new();
        let mut buffer = [0; 2048];
        loop {
            let Ok((length, from)) = front.recv_from(&mut buffer).await else { continue };
            let back = match backs.get(&from) {
                Some(back) => Arc::clone(back),
                None => {
                    let back = Arc::new(UdpSocket::bind("127.0.0.1:0").await.unwrap());
                    back.connect(server).await.unwrap();
                    backs.insert(from, Arc::clone(&back));
                    let (returning, front, seed) = (Arc::clone(&back), Arc::clone(&front), random.random());
                    tokio::spawn(async move {
                        let mut random = StdRng::seed_from_u64(seed);
                        let mut buffer = [0; 2048];
                        while let Ok(length) = returning.recv(&mut buffer).await {
                            // Handshakes get through, so that the test is about media.
                            if buffer[0] < 128 || !random.random_bool(loss) {
                                front.send_to(&buffer[..length], from).await.unwrap();
                            }
                        }
                    });
                    back
                }
            };
            if buffer[0] < 128 || !random.random_bool(loss) {
                back.send(&buffer[..length]).await.unwrap();
            }
        }
    });
    (port, task)
}

/// A picture every 40 ms and sound every 20 ms, each with its number in its payload; sound goes out `late` behind its time.
struct Source {
    random: StdRng,
    video: Arc<CodecParams>,
    audio: Arc<CodecParams>,
    keyframe: bool,
}

impl Source {
    fn new() -> Self {
        let params = H264Params::new(Bytes::from_static(SPS), vec![Bytes::from_static(PPS)]).unwrap();
        let audio = Arc::new(CodecParams::Opus(OpusParams::WEBRTC));
        Self { random: StdRng::seed_from_u64(1), video: Arc::new(CodecParams::H264(params)), audio, keyframe: true }
    }

    fn picture(&mut self, number: u32) -> AccessUnit {
        let key = std::mem::take(&mut self.keyframe) || number.is_multiple_of(50);
        let size = if key { 20_000 } else { self.random.random_range(200..6000) };
        let mut payload = Vec::new();
        let half = |random: &mut StdRng| {
            let mut nal = vec![if key { 0x65 } else { 0x41 }, 0x80];
            nal.extend_from_slice(&number.to_be_bytes());
            nal.extend((0..size / 2).map(|_| random.random_range(4..=255_u8)));
            nal
        };
        for _ in 0..2 {
            append_length_prefixed(&mut payload, &half(&mut self.random));
        }
        let dts = MediaTime::new(i64::from(number) * 3600, ClockRate::VIDEO);
        AccessUnit {
            track: TrackId(0),
            dts,
            pts: dts,
            duration: None,
            kind: if key { UnitKind::Key } else { UnitKind::Delta },
            captured: None,
            params: Arc::clone(&self.video),
            payload: payload.into(),
        }
    }

    fn sound(&self, number: u32) -> AccessUnit {
        let dts = MediaTime::new(i64::from(number) * 960, ClockRate::AUDIO_48K);
        let mut payload = vec![0xFC];
        payload.extend_from_slice(&number.to_be_bytes());
        AccessUnit {
            track: TrackId(1),
            dts,
            pts: dts,
            duration: None,
            kind: UnitKind::Audio,
            captured: None,
            params: Arc::clone(&self.audio),
            payload: payload.into(),
        }
    }
}

/// What a run brought: how many pictures and sounds of those sent, and each one's time at the reader less its time at the
/// source.
#[derive(Debug, Default)]
struct Outcome {
    pictures: usize,
    sounds: usize,
    video_offset: i64,
    audio_offset: i64,
}

const PICTURES: u32 = 150;
/// Sound reaches the wire this many pictures' time after the pictures of the same instant.
const SOUND_LATE: u32 = 2;

/// Publishes [`PICTURES`] in real time and checks what the path's reader gets, unit by unit.
async fn run(server: &Server) -> Outcome {
    let mut client = WhipClient::connect(&server.target("secret"), Offered { video: true, audio: true }).await.unwrap();
    let mut reader = server.read();
    let (mut source, mut sent) = (Source::new(), HashMap::new());
    let mut outcome = Outcome::default();
    let mut ticker = tokio::time::interval(Duration::from_millis(40));
    let mut number = 0;
    let mut patience = 20;
    let mut last = [i64::MIN; 2];
    loop {
        tokio::select! {
            _ = ticker.tick() => {
                if number < PICTURES {
                    let picture = source.picture(number);
                    let sounds = number.checked_sub(SOUND_LATE).map(|n| [2 * n, 2 * n + 1]);
                    let units = std::iter::once(picture).chain(sounds.into_iter().flatten().map(|n| source.sound(n)));
                    for unit in units {
                        client.write(&unit).await.unwrap();
                        sent.insert(unit.payload.clone(), unit);
                    }
                } else if patience == 0 {
                    break;
                } else {
                    patience -= 1;
                }
                number += 1;
            }
            () = client.keyframe_wanted() => source.keyframe = true,
            item = reader.next() => {
                let unit = match item {
                    Ok(Item::Unit(unit, _)) => unit,
                    Ok(Item::Tracks(tracks)) => {
                        assert_eq!(tracks.len(), 2, "both tracks at once: {tracks:?}");
                        continue;
                    }
                    Err(ReadError::Lagged(lagged)) => panic!("{lagged}"),
                    Err(ReadError::Ended(ended)) => panic!("{ended}"),
                };
                let original = sent.get(&unit.payload).unwrap_or_else(|| panic!("a unit that was never sent: {unit:?}"));
                assert_eq!(original.kind, unit.kind);
                let track = usize::from(!unit.is_video());
                assert!(unit.dts.micros() > last[track], "times rise");
                last[track] = unit.dts.micros();
                let offset = unit.dts.micros() - original.dts.micros();
                if unit.is_video() {
                    (outcome.pictures, outcome.video_offset) = (outcome.pictures + 1, offset);
                } else {
                    (outcome.sounds, outcome.audio_offset) = (outcome.sounds + 1, offset);
                }
            }
        }
    }
    let status = *client.status().borrow();
    assert!(status.round_trip.is_some_and(|t| t < Duration::from_millis(500)), "{status:?}");
    let session = server.state.sessions().pop().unwrap();
    assert_eq!(session.state, SessionState::Connected);
    client.close().await;
    outcome
}

#[tokio::test(flavor = "multi_thread")]
async fn whole_and_in_step() {
    let server = Server::start(None).await;
    let outcome = run(&server).await;
    assert_eq!(outcome.pictures, PICTURES as usize, "{outcome:?}");
    assert_eq!(outcome.sounds, 2 * (PICTURES - SOUND_LATE) as usize, "{outcome:?}");
    // On the wire sound was 80 ms late; sender reports put it where it belongs.
    assert!((outcome.video_offset - outcome.audio_offset).abs() < 2000, "{outcome:?}");
    assert!(server.state.sessions().is_empty(), "DELETE ended the session");
}

#[tokio::test(flavor = "multi_thread")]
async fn five_percent_loss() {
    let server = Server::start(Some(0.05)).await;
    let outcome = run(&server).await;
    // Each picture is several packets; without retransmission three of four GOPs would break.
    assert!(outcome.pictures >= PICTURES as usize * 9 / 10, "{outcome:?}");
    assert!(outcome.sounds >= PICTURES as usize * 2 * 85 / 100, "{outcome:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_newer_publisher_takes_over() {
    let server = Server::start(None).await;
    let offered = Offered { video: false, audio: true };
    let mut reader = server.read();
    let source = Source::new();
    let mut first = WhipClient::connect(&server.target("secret"), offered).await.unwrap();
    first.write(&source.sound(0)).await.unwrap();
    assert!(matches!(reader.next().await, Ok(Item::Tracks(_))));
    let mut second = WhipClient::connect(&server.target("secret"), offered).await.unwrap();
    second.write(&source.sound(1)).await.unwrap();
    let path = PathName::parse("cam").unwrap();
    let newer = async {
        loop {
            let id = server.hub.path(&path).and_then(|p| p.publisher).map(|(info, _)| info.id);
            if server.state.sessions().len() == 1 && id == server.state.sessions().first().map(|s| s.id.clone()) {
                break;
            }
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), newer).await.expect("the first session ends, the second publishes");
    second.close().await;
    first.close().await;
}

#[tokio::test]
async fn wrong_token() {
    let server = Server::start(None).await;
    let refused = WhipClient::connect(&server.target("guess"), Offered { video: true, audio: true }).await;
    assert_eq!(refused.err(), Some(WhipError::Unauthorized));
}

const OFFER: &str = "v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\na=group:BUNDLE 0\r\na=fingerprint:sha-256 \
    2F:2E:A3:76:91:87:8E:61:F5:11:74:FF:71:A8:33:2C:BD:20:55:C8:F1:49:AB:1B:A0:4F:CE:33:7C:F2:90:45\r\n\
    m=video 9 UDP/TLS/RTP/SAVPF 96 102\r\nc=IN IP4 0.0.0.0\r\na=mid:0\r\na=sendonly\r\na=rtcp-mux\r\na=setup:actpass\r\n\
    a=ice-ufrag:abcd\r\na=ice-pwd:abcdefghijklmnopqrstuvwx\r\na=rtpmap:96 VP8/90000\r\na=rtpmap:102 H264/90000\r\n\
    a=fmtp:102 packetization-mode=1;profile-level-id=42e01f\r\n";

async fn ask(state: &WebRtcState, method: Method, path: &str, headers: &[(&str, &str)], body: &str) -> Response {
    let mut request = Request::builder().method(method).uri(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    serve(state, request.body(Body::from(body.to_owned())).unwrap()).await.unwrap()
}

#[tokio::test]
async fn http() {
    let server = Server::start(None).await;
    let state = &server.state;
    let sdp = ("content-type", "application/sdp");
    let fragment = ("content-type", "application/trickle-ice-sdpfrag");
    let auth = ("authorization", "Bearer secret");
    let check = async |method: Method, path: &str, headers: &[(&str, &str)], body: &str, want: u16| {
        let got = ask(state, method.clone(), path, headers, body).await;
        assert_eq!(got.status().as_u16(), want, "{method} {path} {headers:?}");
        assert_eq!(got.headers()[header::ACCESS_CONTROL_ALLOW_ORIGIN], "*");
        got
    };
    check(Method::POST, "/cam/whip", &[sdp], OFFER, 401).await;
    check(Method::POST, "/cam/whip?token=secret", &[], OFFER, 415).await;
    check(Method::POST, "/cam/whip", &[sdp, auth], "nonsense", 400).await;
    check(Method::POST, "/cam/../whip", &[sdp, auth], OFFER, 400).await;
    check(Method::POST, "/closed/whip", &[sdp, auth], OFFER, 404).await;
    check(Method::POST, "/cam/whip", &[sdp, auth], &OFFER.replace("H264", "VP7").replace("VP8", "VP7"), 406).await;
    check(Method::POST, "/cam/whip", &[sdp, auth], &"x".repeat(300 << 10), 413).await;
    check(Method::GET, "/cam/whip", &[], "", 405).await;
    check(Method::OPTIONS, "/cam/whip", &[("origin", "http://a")], "", 204).await;
    check(Method::DELETE, "/cam/whip/none", &[], "", 404).await;
    check(Method::PATCH, "/cam/whip/none", &[fragment], "", 404).await;

    let created = check(Method::POST, "/cam/whip", &[sdp, auth], OFFER, 201).await;
    let text = |name| created.headers().get(name).unwrap().to_str().unwrap().to_owned();
    let (location, tag) = (text(header::LOCATION), text(header::ETAG));
    let session = format!("/cam/{location}");
    let trickle = "a=ice-ufrag:abcd\r\na=ice-pwd:abcdefghijklmnopqrstuvwx\r\nm=video 9 UDP/TLS/RTP/SAVPF 0\r\na=mid:0\r\n\
                   a=candidate:1 1 udp 2130706431 192.0.2.9 4000 typ host\r\n";
    let restart = trickle.replace("abcd\r", "wxyz\r");
    check(Method::GET, &session, &[], "", 405).await;
    check(Method::PATCH, &session, &[sdp], trickle, 415).await;
    check(Method::PATCH, &session, &[fragment], "nonsense", 400).await;
    check(Method::PATCH, &session, &[fragment], trickle, 204).await;
    check(Method::PATCH, &session, &[fragment, ("if-match", &tag)], trickle, 204).await;
    check(Method::PATCH, &session, &[fragment, ("if-match", "\"other\"")], trickle, 412).await;
    check(Method::PATCH, &session, &[fragment], &restart, 428).await;
    let restarted = check(Method::PATCH, &session, &[fragment, ("if-match", "*")], &restart, 200).await;
    assert_ne!(restarted.headers()[header::ETAG], *tag, "a new ICE session has a new tag");
    check(Method::PATCH, &session, &[fragment, ("if-match", &tag)], &restart, 412).await;
    check(Method::DELETE, &format!("/other/{location}"), &[], "", 404).await;
    check(Method::DELETE, &session, &[], "", 200).await;

    let body = to_bytes(created.into_body(), 1 << 20).await.unwrap();
    let answer = String::from_utf8(body.into()).unwrap();
    assert!(answer.contains("m=video 9 UDP/TLS/RTP/SAVPF 102\r\n") && !answer.contains("VP8"), "{answer}");
    assert!(answer.contains("a=ice-lite") && answer.contains("a=setup:passive"), "{answer}");
    assert_eq!(StatusCode::CREATED, 201);
}
