//! The WHEP client (draft-ietf-wish-whep): a server's stream into a path.
//!
//! Belongs here: one session's life, from the offer to `DELETE`, and why it ended. Not here: trying again (`source`, the engine's
//! link), packets into access units and the path (`crate::webrtc::arrival`).

use super::connection::Way;
use super::exchange::{Exchanged, exchange};
use super::inbound::{Received, Source};
use super::{ClientState, ClientStatus, WhipError, WhipTarget};
use crate::clock::Clock;
use crate::webrtc::arrival::Arrival;
use crate::webrtc::ingest::Ingest;
use hub::{Hub, PathName, PublishError, PublisherInfo, PublisherState};
use media::MediaKind;
use parking_lot::Mutex;
use proto::whip::{SessionText, take_offer};
use std::convert::Infallible;
use std::sync::Arc;
use std::time::{Duration, Instant};
use thiserror::Error;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// Packets waiting to be sorted: one large key picture in one burst. Those beyond are asked for again.
const INBOX: usize = 1024;
/// A server that sends nothing for this long is gone.
const SILENCE: Duration = Duration::from_secs(10);
/// One that has nothing to send yet holds us longer.
const PATIENCE: Duration = Duration::from_secs(35);
/// How often the round trip is looked up.
const LOOK: Duration = Duration::from_secs(1);

/// Why a pull ended.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum WhepError {
    /// There was no connection, or it broke.
    #[error("WHEP: {0}")]
    Client(#[from] WhipError),
    /// The server has nothing that can be carried.
    #[error("WHEP: the server's answer has nothing that can be carried: {0}")]
    Nothing(String),
    /// It was to bring sound and did not.
    #[error("WHEP: the stream brings no sound")]
    NoSound,
    /// Nothing comes.
    #[error("WHEP: nothing came for {0:?}")]
    Silent(Duration),
    /// The path cannot be had here.
    #[error(transparent)]
    Publish(#[from] PublishError),
    /// Another publisher took over.
    #[error("the stream has ended")]
    Ended,
    /// The client broke off; what it read is to blame.
    #[error("the client broke off")]
    Panicked,
}

/// What a pull has to bring to be of use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wish {
    /// Anything.
    Anything,
    /// Sound: within this of the first picture, and anything at all within `patience`.
    Sound {
        /// From the first packet.
        within: Duration,
        /// From the connection to the first packet.
        patience: Duration,
    },
}

/// Sessions that are being ended at their servers, and those that are not over yet. A clone is another handle to the same.
#[derive(Debug, Clone, Default)]
pub struct Farewells(Arc<Mutex<JoinSet<()>>>);

impl Farewells {
    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let mut tasks = self.0.lock();
        while tasks.try_join_next().is_some() {}
        tasks.spawn(task);
    }

    /// Completes when every session is over; each takes three seconds at most once its pull was dropped.
    pub async fn ended(&self) {
        let mut tasks = std::mem::take(&mut *self.0.lock());
        while tasks.join_next().await.is_some() {}
    }
}

/// Pulls `target` into `path` until something ends it; `status` gets what is known of the connection. Dropping the future ends the
/// session, of which the server is told on a task of `farewells`.
///
/// # Errors
/// Always ends with the reason.
pub async fn pull(
    target: &WhipTarget,
    wish: Wish,
    hub: &Hub,
    path: &PathName,
    clock: Clock,
    status: &watch::Sender<ClientStatus>,
    farewells: &Farewells,
) -> Result<Infallible, WhepError> {
    let (stop, (say, ended)) = (CancellationToken::new(), oneshot::channel());
    let pull = Pull { target: target.clone(), wish, hub: hub.clone(), path: path.clone(), clock };
    let (told, status) = (stop.clone(), status.clone());
    farewells.spawn(async move {
        let end = pull.run(&told, &status).await;
        status.send_replace(ClientStatus::default());
        // Nobody waits for the end of one that was dropped.
        drop(say.send(end));
    });
    let _stops = stop.drop_guard();
    match ended.await {
        Ok(Err(error)) => Err(error),
        Ok(Ok(())) => Err(WhepError::Ended),
        Err(_) => Err(WhepError::Panicked),
    }
}

struct Pull {
    target: WhipTarget,
    wish: Wish,
    hub: Hub,
    path: PathName,
    clock: Clock,
}

impl Pull {
    /// `Ok` once `stop` was cancelled.
    async fn run(self, stop: &CancellationToken, status: &watch::Sender<ClientStatus>) -> Result<(), WhepError> {
        let (sender, inbox) = mpsc::channel(INBOX);
        let Some(open) = exchange(&self.target, &Way::Receive(sender), stop).await? else { return Ok(()) };
        let end = self.receive(&open, inbox, stop, status).await;
        open.leave().await;
        end
    }

    async fn receive(
        &self,
        open: &Exchanged,
        mut inbox: mpsc::Receiver<Received>,
        stop: &CancellationToken,
        status: &watch::Sender<ClientStatus>,
    ) -> Result<(), WhepError> {
        let nothing = |error: &dyn std::fmt::Display| WhepError::Nothing(error.to_string());
        let answer = SessionText::parse(&open.answer).map_err(|e| nothing(&e))?;
        let taken = take_offer(&answer).map_err(|e| nothing(&e))?;
        if self.wish != Wish::Anything && taken.audio.is_none() {
            return Err(WhepError::NoSound);
        }
        let info = PublisherInfo { kind: "webRTCSource", id: self.target.to_string(), answers_keyframes: true };
        let ingest = Ingest::new(taken.video.first().map(|picture| picture.codec), taken.audio.is_some());
        let mut arrival = Arrival::new(ingest, self.hub.clone(), self.path.clone(), info);
        let mut life = Life { begun: Instant::now(), first: None, heard: None, sounds: false, video: None };
        arrival.connected(life.begun);
        let (mut watched, mut look) = (open.status.clone(), tokio::time::interval(LOOK));
        loop {
            let (now, arrived) = (Instant::now(), self.clock.now());
            let held = self.wish != Wish::Anything && !life.sounds;
            arrival.advance(held, now, arrived)?;
            if arrival.state().is_some_and(|state| state != PublisherState::Live) {
                return Err(WhepError::Ended);
            }
            if let Some(video) = life.video.as_ref().filter(|_| arrival.wants_keyframe(now)) {
                video.request_keyframe().await;
                arrival.asked(now);
            }
            let (limit, error) = life.limit(self.wish);
            if limit <= now {
                return Err(error);
            }
            let deadline = arrival.deadline(now, arrived).map_or(limit, |at| at.min(limit));
            tokio::select! {
                () = stop.cancelled() => return Ok(()),
                received = inbox.recv() => {
                    let arrived = self.clock.now();
                    let mut next = received;
                    if next.is_none() {
                        return Err(WhipError::Lost.into());
                    }
                    // Whatever else is waiting, in one go: one wake-up for a burst.
                    while let Some(received) = next {
                        life.take(received, &mut arrival, arrived);
                        next = inbox.try_recv().ok();
                    }
                }
                changed = watched.changed() => {
                    if changed.is_err() || watched.borrow_and_update().state == ClientState::Failed {
                        return Err(WhipError::Lost.into());
                    }
                }
                _ = look.tick() => {
                    let (counts, round_trip) = (arrival.stats(), open.connection.round_trip().await);
                    let state = watched.borrow().state;
                    let (packets, bytes) = (counts.packets, counts.bytes);
                    status.send_replace(ClientStatus { state, round_trip, packets, bytes, loss: None });
                }
                () = arrival.changed() => {}
                () = tokio::time::sleep_until(deadline.into()) => {}
            }
        }
    }
}

/// What changes while a session runs.
struct Life {
    begun: Instant,
    first: Option<Instant>,
    heard: Option<Instant>,
    /// Sound has come.
    sounds: bool,
    /// Who sends the picture.
    video: Option<Source>,
}

impl Life {
    fn take(&mut self, received: Received, arrival: &mut Arrival, arrived: media::MonoTime) {
        match received {
            Received::Track(MediaKind::Video, source) => self.video = Some(source),
            Received::Track(MediaKind::Audio, _) => {}
            Received::Rtp(kind, packet) => {
                let now = Instant::now();
                self.heard = Some(now);
                self.first.get_or_insert(now);
                self.sounds |= kind == MediaKind::Audio;
                arrival.packet(kind, packet, arrived);
            }
            Received::Report { kind, ntp, timestamp } => arrival.sender_report(kind, ntp, timestamp),
        }
    }

    /// Until when something has to come, and what it means if it does not.
    fn limit(&self, wish: Wish) -> (Instant, WhepError) {
        match (wish, self.first, self.heard) {
            (Wish::Sound { patience, .. }, None, _) => (self.begun + patience, WhepError::Silent(patience)),
            (Wish::Sound { within, .. }, Some(first), _) if !self.sounds => (first + within, WhepError::NoSound),
            (_, _, Some(heard)) => (heard + SILENCE, WhepError::Silent(SILENCE)),
            _ => (self.begun + PATIENCE, WhepError::Silent(PATIENCE)),
        }
    }
}
