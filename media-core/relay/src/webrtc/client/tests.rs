//! A publisher that is told to stop before it is connected: the session it was given, or is about to be given, is ended.
//!
//! Belongs here: that farewell, against this project's own server with its media out of reach. Not here: connections that come
//! about (`webrtc::tests`), what HTTP answers mean (`signalling`).

use super::{ClientStatus, WhipAuth, WhipClient, WhipError, WhipTarget};
use crate::access::{AccessRequest, Authorizer, Verdict};
use crate::clock::Clock;
use crate::listen::Listening;
use crate::tls::Trust;
use crate::webrtc::{WebRtcConfig, WebRtcState, serve};
use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::Request;
use axum::http::Method;
use axum::response::Response;
use hub::{Hub, Limits, PathName, PublisherInfo, Reader, ReaderInfo, Start};
use media::{ClockRate, CodecParams, OpusParams, Track, TrackId, TrackSet};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Notify, mpsc, watch};
use tokio::task::JoinHandle;

/// What takes longer than this does not come any more, however busy the machine is.
const PATIENCE: Duration = Duration::from_secs(30);

#[derive(Debug)]
struct Anybody;

impl Authorizer for Anybody {
    fn authorize<'a>(&'a self, _request: &'a AccessRequest) -> Verdict<'a> {
        Box::pin(async { Ok(()) })
    }
}

/// How the server behaves.
#[derive(Clone, Copy, PartialEq)]
enum Manner {
    /// Answers; its media port is not reachable.
    Answers,
    /// As before, but only once it is let.
    HoldsTheAnswer,
    /// Does not answer `DELETE`.
    IgnoresTheFarewell,
}

/// A server, what it was asked and answered, and its leash.
struct Server {
    url: String,
    /// The method of every request as it comes, and `answered` once the offer is.
    heard: mpsc::UnboundedReceiver<String>,
    let_go: Arc<Notify>,
    state: WebRtcState,
    task: JoinHandle<()>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Server {
    async fn start(manner: Manner) -> Self {
        // Another test may have been first.
        drop(rustls::crypto::ring::default_provider().install_default());
        let config = WebRtcConfig { local_udp_address: "127.0.0.1:0".parse().unwrap(), ..WebRtcConfig::default() };
        let (hub, clock) = (Hub::new(Limits::default()), Clock::process());
        let listening = Listening::new(hub.clone(), clock, 128_000, Duration::from_secs(30));
        let state = WebRtcState::start(config, hub, listening, Arc::new(Anybody), clock, None).unwrap();
        let (say, heard) = mpsc::unbounded_channel();
        let (let_go, serving, port) = (Arc::new(Notify::new()), state.clone(), state.udp_port());
        let leash = Arc::clone(&let_go);
        let handler = move |request: Request| {
            let (state, say, leash) = (serving.clone(), say.clone(), Arc::clone(&leash));
            async move {
                let method = request.method().clone();
                say.send(method.to_string()).unwrap();
                if method == Method::DELETE && manner == Manner::IgnoresTheFarewell {
                    std::future::pending::<()>().await;
                }
                let response = out_of_reach(serve(&state, request).await.unwrap(), port).await;
                if method == Method::POST {
                    if manner == Manner::HoldsTheAnswer {
                        leash.notified().await;
                    }
                    say.send("answered".into()).unwrap();
                }
                response
            }
        };
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/cam/whip", listener.local_addr().unwrap());
        let task = tokio::spawn(async move { axum::serve(listener, Router::new().fallback(handler)).await.unwrap() });
        Self { url, heard, let_go, state, task }
    }

    async fn hears(&mut self, what: &str) {
        let hearing = async { while self.heard.recv().await.unwrap() != what {} };
        assert!(tokio::time::timeout(PATIENCE, hearing).await.is_ok(), "the server does not hear {what}");
    }
}

/// The answer with a port in its candidates where nobody is (RFC 863 discards what comes there).
async fn out_of_reach(response: Response, port: u16) -> Response {
    let (mut parts, body) = response.into_parts();
    let text = String::from_utf8(to_bytes(body, 1 << 20).await.unwrap().into()).unwrap();
    parts.headers.remove(axum::http::header::CONTENT_LENGTH);
    Response::from_parts(parts, Body::from(text.replace(&format!(" {port} typ host"), " 9 typ host")))
}

/// A publisher of one Opus track, and what stops it.
fn publish(server: &Server) -> (Arc<Notify>, JoinHandle<Result<(), WhipError>>) {
    let target =
        WhipTarget { url: server.url.clone(), auth: WhipAuth::None, trust: Trust::System, ice_servers: vec![] };
    let stop = Arc::new(Notify::new());
    let stopped = Arc::clone(&stop);
    let task = tokio::spawn(async move {
        let (hub, path, clock) = (Hub::new(Limits::default()), PathName::parse("cam").unwrap(), Clock::process());
        let params = Arc::new(CodecParams::Opus(OpusParams::WEBRTC));
        let tracks = TrackSet::new([Track { id: TrackId(0), clock: ClockRate::AUDIO_48K, params }]);
        let info = PublisherInfo { kind: "test", id: "1".into(), answers_keyframes: false };
        let _publisher = hub.publish(&path, info, tracks, clock.now()).unwrap();
        let info = ReaderInfo { kind: "test", id: "1".into() };
        let mut reader: Reader = hub.read(&path, info, Start::Soonest, clock.now()).unwrap();
        let status = watch::Sender::new(ClientStatus::default());
        WhipClient::publish(&target, &mut reader, &status, stopped.notified()).await
    });
    (stop, task)
}

#[tokio::test]
async fn a_session_that_never_connects_is_ended() {
    let mut server = Server::start(Manner::Answers).await;
    let (stop, publishing) = publish(&server);
    server.hears("answered").await;
    stop.notify_one();
    server.hears("DELETE").await;
    assert_eq!(publishing.await.unwrap(), Ok(()));
    assert!(server.state.sessions().is_empty(), "nothing is left at the server");
}

#[tokio::test]
async fn an_answer_on_its_way_is_waited_for() {
    let mut server = Server::start(Manner::HoldsTheAnswer).await;
    let (stop, publishing) = publish(&server);
    server.hears("POST").await;
    stop.notify_one();
    server.let_go.notify_one();
    server.hears("DELETE").await;
    assert_eq!(publishing.await.unwrap(), Ok(()));
    assert!(server.state.sessions().is_empty(), "nothing is left at the server");
}

#[tokio::test]
async fn a_server_without_manners_is_not_waited_for() {
    for manner in [Manner::HoldsTheAnswer, Manner::IgnoresTheFarewell] {
        let mut server = Server::start(manner).await;
        let (stop, publishing) = publish(&server);
        server.hears(if manner == Manner::HoldsTheAnswer { "POST" } else { "answered" }).await;
        stop.notify_one();
        let ended = tokio::time::timeout(PATIENCE, publishing).await;
        assert_eq!(ended.expect("it ends by itself").unwrap(), Ok(()));
    }
}
