//! WebRTC's client: publishes H.264 and Opus to a server by WHIP (RFC 9725), and takes them from one by WHEP.
//!
//! Belongs here: the HTTP exchange ([`signalling`]), the WebRTC connection ([`connection`]), what is sent and what comes back
//! of it ([`WhipClient`]), what is taken (`whep`). Not here: trying again (whoever owns the destination or the source), encoding,
//! payload formats (`proto::rtp`).

mod connection;
mod exchange;
#[doc(hidden)]
pub mod fuzz;
mod inbound;
mod outbound;
mod signalling;
mod target;
#[cfg(test)]
mod tests;
mod whep;

use crate::listen::Feed;
use connection::Way;
use exchange::{Exchanged, exchange};
use hub::{Item, ReadError};
use media::{AccessUnit, Codec, MediaKind, TrackSet};
use outbound::Outbound;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};
pub use target::{WhipAuth, WhipTarget};
use thiserror::Error;
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;
pub use whep::{Farewells, WhepError, Wish, pull};

/// Why there is no connection to a server, or no more.
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
    /// `404`: no such path, or no WHIP or WHEP there.
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
    /// Round trip: towards a server that is sent to from its last receiver report (RFC 3550 §6.4.1), else from ICE's checks.
    pub round_trip: Option<Duration>,
    /// Part of the packets lost since the report before the last, 0 to 1; the worse of the tracks.
    pub loss: Option<f32>,
    /// RTP packets sent or received.
    pub packets: u64,
    /// RTP payload bytes sent or received.
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

/// What a client that was told to stop still does for the server's sake: waiting for an answer that names the session it has
/// to end, and ending it. A server that is slower finds out by the silence.
const FAREWELL: Duration = Duration::from_secs(3);

/// A connection that publishes.
pub struct WhipClient {
    open: Exchanged,
    outbound: Outbound,
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
        let keyframe = Arc::new(Notify::new());
        let way = Way::Send { offered, keyframe: Arc::clone(&keyframe) };
        let Some(open) = exchange(target, &way, stop).await? else { return Ok(None) };
        match open.connection.outbound().await {
            Ok(outbound) => Ok(Some(Self { open, outbound, keyframe })),
            Err(error) => {
                open.leave().await;
                Err(error)
            }
        }
    }

    /// Sends one access unit; those of tracks that were not offered are left out. Waits only as long as the connection's own
    /// queue is full.
    ///
    /// # Errors
    /// [`WhipError::Lost`] once the connection has failed.
    pub async fn write(&mut self, unit: &AccessUnit) -> Result<(), WhipError> {
        if self.open.status.borrow().state == ClientState::Failed {
            return Err(WhipError::Lost);
        }
        self.outbound.write(unit, Instant::now(), &self.open.connection).await
    }

    /// State, round trip and loss; changes about once a second.
    pub fn status(&self) -> watch::Receiver<ClientStatus> {
        self.open.status.clone()
    }

    /// Completes when the server asks for a key frame (PLI or FIR).
    pub async fn keyframe_wanted(&self) {
        self.keyframe.notified().await;
    }

    /// Ends the session with `DELETE` and closes the connection.
    pub async fn close(self) {
        self.open.leave().await;
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
