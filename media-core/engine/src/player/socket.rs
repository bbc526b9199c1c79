//! The loopback WebSocket between this program and its own window.
//!
//! It answers nobody but the window: bound to 127.0.0.1 on a port of the system's choice, a token of 256 bits in the query,
//! compared in constant time, and an `Origin` that only the window's own pages have.
//!
//! Belongs here: accepting, checking, sending and receiving. Not here: the messages' layout (`wire`), what is sent
//! (`windows`, `feed`).

use super::feed::Outgoing;
use super::windows::{OwnPicture, Window, Windows};
use super::wire::{self, FromWindow, MAX_TEXT};
use axum::Router;
use axum::extract::ws::{Message, WebSocket, WebSocketUpgrade};
use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::serve::ListenerExt;
use bytes::Bytes;
use codec::H264Decoder;
use device::MonoClock;
use media::MonoTime;
use serde::Deserialize;
use std::collections::VecDeque;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// Pages of the packaged window: as Linux and macOS name it, and as Windows does.
const ORIGINS: [&str; 2] = ["tauri://localhost", "http://tauri.localhost"];
/// Twenty times a second: the eye sees no step, the wire carries 400 bytes a second.
const METER_EVERY: Duration = Duration::from_millis(50);
/// Units whose pictures may be outstanding: a second of the fastest camera.
const MAX_SENT: usize = 64;

/// The socket, listening until it is dropped.
#[derive(Debug)]
pub(crate) struct PlayerSocket {
    address: SocketAddr,
    token: String,
    stop: CancellationToken,
}

#[derive(Clone)]
struct Door {
    windows: Windows,
    token: Arc<str>,
    stop: CancellationToken,
}

#[derive(Deserialize)]
struct Credentials {
    #[serde(default)]
    token: String,
}

impl PlayerSocket {
    /// Binds and begins to answer. Must be called within the engine's runtime.
    ///
    /// # Errors
    /// What the system says where not even loopback can be bound.
    pub(crate) fn open(windows: Windows) -> std::io::Result<Self> {
        let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        listener.set_nonblocking(true)?;
        let listener = TcpListener::from_std(listener)?;
        let address = listener.local_addr()?;
        let token = crate::token::random();
        let stop = CancellationToken::new();
        let door = Door { windows, token: token.as_str().into(), stop: stop.clone() };
        let router = Router::new().route("/player", get(accept)).with_state(door);
        // Every message is a picture somebody waits for: Nagle would hold its last segment back.
        let listener = listener.tap_io(|stream| {
            if let Err(error) = stream.set_nodelay(true) {
                tracing::debug!(%error, "TCP_NODELAY");
            }
        });
        let stopped = stop.clone();
        tokio::spawn(async move {
            let serve = axum::serve(listener, router).with_graceful_shutdown(stopped.cancelled_owned());
            if let Err(error) = serve.await {
                tracing::error!(%error, "the player socket has ended");
            }
        });
        Ok(Self { address, token, stop })
    }

    /// `ws://127.0.0.1:PORT/player?token=…`.
    pub(crate) fn url(&self) -> String {
        format!("ws://{}/player?token={}", self.address, self.token)
    }
}

impl Drop for PlayerSocket {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

async fn accept(
    State(door): State<Door>,
    Query(credentials): Query<Credentials>,
    headers: HeaderMap,
    upgrade: WebSocketUpgrade,
) -> Response {
    let origin = headers.get(header::ORIGIN).and_then(|o| o.to_str().ok());
    if !origin.is_some_and(|o| ORIGINS.contains(&o)) {
        tracing::warn!(?origin, "the player socket was knocked at from elsewhere");
        return StatusCode::FORBIDDEN.into_response();
    }
    if !crate::token::equal(&credentials.token, &door.token) {
        return StatusCode::UNAUTHORIZED.into_response();
    }
    let Some(window) = door.windows.open() else {
        return StatusCode::SERVICE_UNAVAILABLE.into_response();
    };
    upgrade.max_message_size(MAX_TEXT).max_frame_size(MAX_TEXT).on_upgrade(async move |socket| {
        let mut connection = Connection {
            socket,
            windows: door.windows.clone(),
            window: Arc::clone(&window),
            decoder: None,
            sent: VecDeque::new(),
        };
        tokio::select! {
            () = door.stop.cancelled() => {}
            end = connection.run() => tracing::debug!(?end, "the window's socket has closed"),
        }
        door.windows.close(&window);
    })
}

struct Connection {
    socket: WebSocket,
    windows: Windows,
    window: Arc<Window>,
    /// Present where the window cannot decode by itself.
    decoder: Option<H264Decoder>,
    /// Units the window has not spoken of yet, and when they were sent.
    sent: VecDeque<(u32, MonoTime)>,
}

impl Connection {
    async fn run(&mut self) -> Result<(), axum::Error> {
        let mut own = self.windows.own();
        own.mark_changed();
        let mut meter = tokio::time::interval(METER_EVERY);
        meter.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
        loop {
            let window = Arc::clone(&self.window);
            let next = window.queue.lock().pop();
            if let Some(unit) = next {
                self.send_unit(unit).await?;
                continue;
            }
            tokio::select! {
                biased;
                () = window.wake.notified() => {}
                message = self.socket.recv() => match message {
                    Some(message) => self.take(message?),
                    None => return Ok(()),
                },
                changed = own.changed() => {
                    if changed.is_ok() { self.send_own(&mut own).await? }
                }
                _ = meter.tick() => {
                    let levels = self.windows.levels();
                    self.send(wire::meter(&levels)).await?;
                }
            }
        }
    }

    async fn send_unit(&mut self, unit: Outgoing) -> Result<(), axum::Error> {
        let waited = MonoClock::now().since(unit.queued);
        let message = match &mut self.decoder {
            None => Some(wire::unit(&unit.unit, unit.sequence, unit.discontinuity)),
            // A few milliseconds of work; the runtime moves its other tasks to another thread meanwhile.
            Some(decoder) => tokio::task::block_in_place(|| decode(decoder, &unit, &self.windows)),
        };
        if let Some(message) = message {
            let now = MonoClock::now();
            self.send(message).await?;
            self.windows.sent(waited);
            if self.sent.len() >= MAX_SENT {
                self.sent.pop_front();
            }
            self.sent.push_back((unit.sequence, now));
        }
        Ok(())
    }

    async fn send_own(&mut self, own: &mut watch::Receiver<Option<OwnPicture>>) -> Result<(), axum::Error> {
        let latest = own.borrow_and_update().clone();
        match latest {
            Some(own) => self.send(wire::own_picture(&own.picture, own.sequence, own.mirrored)).await,
            None => Ok(()),
        }
    }

    async fn send(&mut self, message: Bytes) -> Result<(), axum::Error> {
        self.socket.send(Message::Binary(message)).await
    }

    fn take(&mut self, message: Message) {
        let Message::Text(text) = message else { return };
        match FromWindow::parse(&text) {
            Some(FromWindow::SelfTest { ok }) => self.take_self_test(ok),
            Some(FromWindow::Shown { sequence, decode_ms, display_ms }) => {
                tracing::trace!(sequence, decode_ms, display_ms, "shown");
                let sent = self.sent.iter().position(|(known, _)| *known == sequence);
                // What was sent before it was painted over, or is older than a break.
                let at = sent.and_then(|n| self.sent.drain(..=n).next_back());
                self.windows.shown(at.map(|(_, at)| MonoClock::now().since(at)), decode_ms, display_ms);
            }
            Some(FromWindow::NeedKey) => {
                self.windows.want_key();
                self.window.queue.lock().restart();
            }
            Some(FromWindow::OwnHeight { pixels }) => self.windows.draw_own(pixels),
            None => tracing::debug!("a message of the window that means nothing"),
        }
    }

    fn take_self_test(&mut self, decodes: bool) {
        if !decodes && self.decoder.is_none() {
            tracing::info!("the window cannot decode H.264; pictures are decoded here");
            match H264Decoder::new() {
                Ok(decoder) => self.decoder = Some(decoder),
                Err(error) => tracing::error!(%error, "no decoder here either"),
            }
            self.window.queue.lock().restart();
        }
        self.windows.begin(&self.window);
    }
}

fn decode(decoder: &mut H264Decoder, unit: &Outgoing, windows: &Windows) -> Option<Bytes> {
    if unit.discontinuity {
        decoder.expect_key();
    }
    match decoder.decode(&unit.unit) {
        Ok(decoded) => decoded.map(|d| wire::remote_picture(&d.picture, unit.sequence, d.pts)),
        Err(error) => {
            tracing::debug!(%error, "a unit of the patient's picture");
            windows.want_key();
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use codec::{EncoderConfig, H264Encoder};
    use futures_util::{SinkExt, StreamExt};
    use media::{AccessUnit, ClockRate, MediaTime, Picture, TrackId};
    use tokio_tungstenite::connect_async;
    use tokio_tungstenite::tungstenite::client::IntoClientRequest;
    use tokio_tungstenite::tungstenite::{self, Message as ClientMessage};

    async fn connect(
        url: &str,
        origin: Option<&str>,
    ) -> Result<
        tokio_tungstenite::WebSocketStream<tokio_tungstenite::MaybeTlsStream<tokio::net::TcpStream>>,
        tungstenite::Error,
    > {
        let mut request = url.into_client_request().unwrap();
        if let Some(origin) = origin {
            request.headers_mut().insert("Origin", origin.parse().unwrap());
        }
        connect_async(request).await.map(|(socket, _)| socket)
    }

    #[tokio::test]
    async fn who_is_let_in() {
        let socket = PlayerSocket::open(Windows::new()).unwrap();
        let url = socket.url();
        let wrong = format!("{}x", url);
        let check = async |url: &str, origin: Option<&str>, want: Option<u16>| {
            let got = match connect(url, origin).await {
                Ok(_) => None,
                Err(tungstenite::Error::Http(response)) => Some(response.status().as_u16()),
                Err(other) => panic!("{other}"),
            };
            assert_eq!(got, want, "{url} {origin:?}");
        };
        check(&url, Some("tauri://localhost"), None).await;
        check(&url, Some("http://tauri.localhost"), None).await;
        check(&url, Some("http://evil.example"), Some(403)).await;
        check(&url, None, Some(403)).await;
        check(&wrong, Some("tauri://localhost"), Some(401)).await;
        check(url.split('?').next().unwrap(), Some("tauri://localhost"), Some(401)).await;
    }

    fn units(count: u32) -> Vec<AccessUnit> {
        let mut encoder = H264Encoder::new(EncoderConfig::new(64, 48, 30, 200_000)).unwrap();
        (0..count)
            .map(|n| {
                let picture = Picture::new(64, 48, vec![n as u8; 64 * 48 * 3 / 2], MonoTime::default()).unwrap();
                let unit = encoder.encode(&picture, false).unwrap().unwrap();
                let time = MediaTime::new(i64::from(n) * 3000, ClockRate::VIDEO);
                AccessUnit {
                    track: TrackId(0),
                    dts: time,
                    pts: time,
                    duration: None,
                    kind: unit.kind,
                    captured: None,
                    params: unit.params,
                    payload: unit.payload,
                }
            })
            .collect()
    }

    /// Kinds, and sequences where there are any, of the first messages that satisfy `want`.
    async fn receive(decodes: bool, want_kind: u8, count: usize) -> Vec<Vec<u8>> {
        let windows = Windows::new();
        let socket = PlayerSocket::open(windows.clone()).unwrap();
        let mut client = connect(&socket.url(), Some("tauri://localhost")).await.unwrap();
        windows.show_own(Picture::new(4, 2, vec![1; 12], MonoTime::default()).unwrap(), true);
        for unit in units(5) {
            windows.send_unit(unit, MonoTime::default());
        }
        let text = format!(r#"{{"type":"selfTest","ok":{decodes}}}"#);
        client.send(ClientMessage::text(text)).await.unwrap();
        let mut got = Vec::new();
        while got.len() < count {
            if let ClientMessage::Binary(bytes) = client.next().await.unwrap().unwrap()
                && bytes[0] == want_kind
            {
                got.push(bytes.to_vec());
            }
        }
        got
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn units_for_a_window_that_decodes() {
        let got = receive(true, 1, 5).await;
        let heads: Vec<(u8, u8)> = got.iter().map(|m| (m[1], m[8])).collect();
        assert_eq!(heads, [(3, 0), (0, 1), (0, 2), (0, 3), (0, 4)]);
        assert_eq!((&got[0][2..6], &got[0][24..29]), (&[64, 0, 48, 0][..], &[0, 0, 0, 1, 0x67][..]));
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn pictures_for_a_window_that_does_not() {
        let got = receive(false, 3, 5).await;
        assert!(got.iter().all(|m| m.len() == 24 + 64 * 48 * 3 / 2));
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn own_picture_and_levels() {
        assert_eq!(receive(true, 2, 1).await[0][1], 1);
        assert_eq!(receive(true, 4, 2).await[0].len(), 20);
    }
}
