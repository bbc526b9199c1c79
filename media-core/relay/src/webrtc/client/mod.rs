//! The WHIP client: publishes H.264 and Opus to a server (RFC 9725).
//!
//! Belongs here: the HTTP exchange ([`signalling`]), the WebRTC connection ([`connection`]), what is sent and what comes back
//! of it ([`WhipClient`]). Not here: trying again (whoever owns the destination), encoding, payload formats (`proto::rtp`).

mod connection;
#[doc(hidden)]
pub mod fuzz;
mod outbound;
mod signalling;
#[cfg(test)]
mod tests;

use crate::listen::Feed;
use connection::Connection;
use hub::{Item, ReadError};
use media::{AccessUnit, Codec, MediaKind, TrackSet};
use outbound::Outbound;
use proto::whip::IceServer;
use signalling::Signalling;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};
use thiserror::Error;
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;

/// Where to publish, and with what rights.
#[derive(Clone, PartialEq, Eq)]
pub struct WhipTarget {
    /// The endpoint, such as `http://192.0.2.7:8889/doctorStream/whip`.
    pub url: String,
    /// What is shown to the server.
    pub auth: WhipAuth,
    /// ICE servers besides those the server names in `Link` headers.
    pub ice_servers: Vec<IceServer>,
}

/// Credentials of a [`WhipTarget`].
#[derive(Clone, PartialEq, Eq)]
pub enum WhipAuth {
    /// None.
    None,
    /// A token (RFC 6750).
    Bearer(String),
    /// User and password (RFC 7617).
    Basic {
        /// User name, without a colon.
        user: String,
        /// Password.
        password: String,
    },
}

/// Says where to, never with what.
impl std::fmt::Debug for WhipTarget {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.url.split('?').next().unwrap_or(""))
    }
}

/// Why publishing failed.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum WhipError {
    /// Nobody accepts connections at the address, or it cannot be reached or resolved.
    #[error("the server cannot be reached: {detail}")]
    Refused {
        /// In the system's words.
        detail: String,
    },
    /// An answer did not come in time, or ICE did not find a way through in time.
    #[error("the server does not answer in time ({0})")]
    Timeout(&'static str),
    /// `401` or `403`.
    #[error("the server refuses the credentials")]
    Unauthorized,
    /// `404`: no such path, or no WHIP there.
    #[error("the server knows no such stream")]
    NotFound,
    /// The server answered, but not as RFC 9725 says, or with what cannot be done.
    #[error("the server's answer cannot be used: {detail}")]
    Protocol {
        /// What is wrong with it.
        detail: String,
    },
    /// Once connected, the connection broke.
    #[error("the connection to the server broke")]
    Lost,
}

/// How far the connection is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ClientState {
    /// HTTP, then ICE and DTLS.
    #[default]
    Connecting,
    /// Media flows.
    Connected,
    /// ICE hears nothing at the moment; it may come back by itself.
    Interrupted,
    /// It will not come back.
    Failed,
}

/// What is known of the way to the server.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct ClientStatus {
    /// How far the connection is.
    pub state: ClientState,
    /// Round trip, from the last receiver report (RFC 3550 §6.4.1).
    pub round_trip: Option<Duration>,
    /// Part of the packets lost since the report before the last, 0 to 1; the worse of the tracks.
    pub loss: Option<f32>,
    /// RTP packets sent.
    pub packets: u64,
    /// RTP payload bytes sent.
    pub bytes: u64,
}

/// Which kinds of track are offered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Offered {
    /// H.264.
    pub video: bool,
    /// Opus.
    pub audio: bool,
}

impl Offered {
    /// What of `tracks` WebRTC carries: H.264 and Opus, the first of each.
    pub fn of(tracks: &TrackSet) -> Self {
        let has = |codec| tracks.iter().any(|t| t.codec() == codec);
        Self { video: has(Codec::H264), audio: has(Codec::Opus) }
    }
}

/// From the answer to the end of the DTLS handshake.
const CONNECT: Duration = Duration::from_secs(10);
/// What a publisher that was told to stop still does for the server's sake: waiting for an answer that names the session it has
/// to end, and ending it. A server that is slower finds out by the silence.
const FAREWELL: Duration = Duration::from_secs(3);

/// A connection that publishes.
pub struct WhipClient {
    connection: Connection,
    signalling: Signalling,
    outbound: Outbound,
    status: watch::Receiver<ClientStatus>,
    keyframe: Arc<Notify>,
}

impl WhipClient {
    /// Asks the server for its ICE servers, offers the tracks, and waits until media can flow.
    ///
    /// # Errors
    /// [`WhipError`]; a session that the server had opened is ended with `DELETE` first.
    pub async fn connect(target: &WhipTarget, offered: Offered) -> Result<Self, WhipError> {
        // Nobody cancels this token.
        let never = CancellationToken::new();
        Self::connect_until(target, offered, &never).await?.ok_or(WhipError::Lost)
    }

    /// As [`Self::connect`]; `None` once `stop` was cancelled and no session is left at the server. An offer that is on its way
    /// then is waited for, because only its answer names the session.
    async fn connect_until(
        target: &WhipTarget,
        offered: Offered,
        stop: &CancellationToken,
    ) -> Result<Option<Self>, WhipError> {
        if !offered.video && !offered.audio {
            return Err(WhipError::Protocol { detail: "there is neither H.264 nor Opus to send".into() });
        }
        let mut signalling = Signalling::new(target)?;
        let mut ice_servers = target.ice_servers.clone();
        let named = tokio::select! {
            biased;
            () = stop.cancelled() => return Ok(None),
            named = signalling.options() => named?,
        };
        for server in named {
            if !ice_servers.contains(&server) {
                ice_servers.push(server);
            }
        }
        // Some servers name their ICE servers only with the answer, when gathering is over: then once more, with them.
        for attempt in 0..2 {
            let (status, keyframe) = (watch::Sender::new(ClientStatus::default()), Arc::new(Notify::new()));
            let receiver = status.subscribe();
            let connection = Connection::build(target, offered, &ice_servers, status, Arc::clone(&keyframe)).await?;
            let offer = connection.offer().await?;
            if stop.is_cancelled() {
                connection.close().await;
                return Ok(None);
            }
            let posted = match signalling.post(&offer).await {
                Ok(posted) => posted,
                Err(error) => {
                    connection.close().await;
                    return Err(error);
                }
            };
            let new: Vec<_> = posted.ice_servers.iter().filter(|s| !ice_servers.contains(s)).cloned().collect();
            if attempt == 0 && !new.is_empty() {
                signalling.delete().await;
                connection.close().await;
                ice_servers.extend(new);
                continue;
            }
            let finished = tokio::select! {
                biased;
                () = stop.cancelled() => None,
                finished = Self::finish(&connection, &mut signalling, &posted.answer, receiver.clone()) => Some(finished),
            };
            let error = match finished {
                Some(Ok(outbound)) => {
                    return Ok(Some(Self { connection, signalling, outbound, status: receiver, keyframe }));
                }
                Some(Err(error)) => Some(error),
                None => None,
            };
            signalling.delete().await;
            connection.close().await;
            return error.map_or(Ok(None), Err);
        }
        Err(WhipError::Protocol { detail: "other ICE servers with every answer".into() })
    }

    async fn finish(
        connection: &Connection,
        signalling: &mut Signalling,
        answer: &str,
        mut status: watch::Receiver<ClientStatus>,
    ) -> Result<Outbound, WhipError> {
        connection.accept(answer).await?;
        let deadline = tokio::time::Instant::now() + CONNECT;
        loop {
            let state = status.borrow_and_update().state;
            match state {
                ClientState::Connected => return connection.outbound().await,
                ClientState::Failed => return Err(WhipError::Timeout("ICE")),
                ClientState::Connecting | ClientState::Interrupted => {}
            }
            tokio::select! {
                changed = status.changed() => changed.map_err(|_| WhipError::Lost)?,
                fragment = connection.trickle() => signalling.patch(&fragment).await,
                () = tokio::time::sleep_until(deadline) => return Err(WhipError::Timeout("ICE")),
            }
        }
    }

    /// Sends one access unit; those of tracks that were not offered are left out. Waits only as long as the connection's own
    /// queue is full.
    ///
    /// # Errors
    /// [`WhipError::Lost`] once the connection has failed.
    pub async fn write(&mut self, unit: &AccessUnit) -> Result<(), WhipError> {
        if self.status.borrow().state == ClientState::Failed {
            return Err(WhipError::Lost);
        }
        self.outbound.write(unit, Instant::now(), &self.connection).await
    }

    /// State, round trip and loss; changes about once a second.
    pub fn status(&self) -> watch::Receiver<ClientStatus> {
        self.status.clone()
    }

    /// Completes when the server asks for a key frame (PLI or FIR).
    pub async fn keyframe_wanted(&self) {
        self.keyframe.notified().await;
    }

    /// Ends the session with `DELETE` and closes the connection.
    pub async fn close(self) {
        self.signalling.delete().await;
        self.connection.close().await;
    }

    /// Publishes what `reader` gives until it ends; key frame requests go to the path's publisher, `status` gets what is
    /// known. Units that the reader lost by falling behind are simply not sent.
    ///
    /// # Errors
    /// [`WhipError`], also where the path's tracks change so that another offer is needed; `Ok` when the reader ends or `stop`
    /// completes. A session the server had opened by then, or was about to open, is ended with `DELETE`, within three seconds.
    /// Dropping the future instead leaves the session to the server's patience.
    pub async fn publish(
        target: &WhipTarget,
        reader: &mut impl Feed,
        status: &watch::Sender<ClientStatus>,
        stop: impl Future<Output = ()>,
    ) -> Result<(), WhipError> {
        tokio::pin!(stop);
        let mut tracks = loop {
            tokio::select! {
                () = &mut stop => return Ok(()),
                item = reader.next() => match item {
                    Ok(Item::Tracks(tracks)) => break tracks,
                    Ok(Item::Unit(..)) | Err(ReadError::Lagged(_)) => {}
                    Err(ReadError::Ended(_)) => return Ok(()),
                },
            }
        };
        status.send_replace(ClientStatus::default());
        let offered = Offered::of(&tracks);
        let told = CancellationToken::new();
        let connecting = Self::connect_until(target, offered, &told);
        tokio::pin!(connecting);
        // What passes meanwhile is old when the connection stands, and nobody wants to see it then.
        let connected = loop {
            tokio::select! {
                () = &mut stop => break None,
                client = &mut connecting => break client?,
                item = reader.next() => match item {
                    Ok(Item::Tracks(newer)) => tracks = newer,
                    Ok(Item::Unit(..)) | Err(ReadError::Lagged(_)) => {}
                    Err(ReadError::Ended(_)) => break None,
                },
            }
        };
        let Some(mut client) = connected else {
            told.cancel();
            match tokio::time::timeout(FAREWELL, connecting).await {
                // It connected at the same moment.
                Ok(Ok(Some(client))) => client.close().await,
                Ok(Ok(None)) => {}
                Ok(Err(error)) => tracing::debug!(%error, "stopped while connecting"),
                Err(_) => tracing::info!(
                    "the server does not answer in time; it may keep a session until it notices the silence"
                ),
            }
            return Ok(());
        };
        let end = client.forward(reader, status, &tracks, stop).await;
        client.close().await;
        end
    }

    /// Sends what `reader` gives from now on, pictures from the next key picture.
    async fn forward(
        &mut self,
        reader: &mut impl Feed,
        status: &watch::Sender<ClientStatus>,
        tracks: &TrackSet,
        mut stop: Pin<&mut impl Future<Output = ()>>,
    ) -> Result<(), WhipError> {
        let changed = || WhipError::Protocol { detail: "the tracks changed".into() };
        if Offered::of(tracks) != self.outbound.offered() {
            return Err(changed());
        }
        let mut watched = self.status();
        let mut needs_key = true;
        reader.request_keyframe();
        loop {
            tokio::select! {
                () = &mut stop => return Ok(()),
                item = reader.next() => match item {
                    Ok(Item::Unit(unit, _)) => {
                        needs_key &= !unit.is_key();
                        if !(needs_key && unit.is_video()) {
                            self.write(&unit).await?;
                        }
                    }
                    Ok(Item::Tracks(tracks)) if Offered::of(&tracks) != self.outbound.offered() => return Err(changed()),
                    Ok(Item::Tracks(_)) | Err(ReadError::Lagged(_)) => {}
                    Err(ReadError::Ended(_)) => return Ok(()),
                },
                () = self.keyframe.notified() => reader.request_keyframe(),
                changed = watched.changed() => {
                    let now = *watched.borrow_and_update();
                    status.send_replace(now);
                    if changed.is_err() || now.state == ClientState::Failed {
                        return Err(WhipError::Lost);
                    }
                }
            }
        }
    }
}

/// Both kinds, video first, as they stand in the offer.
const KINDS: [MediaKind; 2] = [MediaKind::Video, MediaKind::Audio];
