//! One reader's life: a path in, datagrams out, until it goes or the path ends.
//!
//! Belongs here: the loop and its timers. Not here: the WebRTC stack ([`Transport`]), packets ([`Egress`]), HTTP (`http`).

use super::egress::Egress;
use super::link::{End, HANDSHAKE, Link, SILENCE};
use super::registry::SessionState;
use super::transport::{Event, Transport};
use crate::clock::Clock;
use crate::listen::{ListenError, Listener, Listening, Takes};
use hub::{Item, PathName, ReadError, ReaderInfo, Start};
use std::pin::Pin;
use std::time::{Duration, Instant};

/// Packets sent in one go. The rest of a large picture, or of the GOP a reader joins, follows after [`PACE`]: a receiver's socket
/// holds some hundred packets. Together that is 150 Mbit/s.
const BURST: usize = 32;
/// The pause between bursts.
const PACE: Duration = Duration::from_millis(2);
/// How soon a way that was full is looked at again.
const FULL: Duration = Duration::from_millis(20);
/// Nothing is read from the path while this much waits; the hub then decides what is lost.
const MAX_WAITING: usize = 4096;
/// How far behind pictures may be before whole GOPs are passed over.
const PATIENCE: Duration = Duration::from_millis(1500);
/// A reader's wishes for a key frame are passed on this often at most; each makes a large picture for everybody.
const KEYFRAME_INTERVAL: Duration = Duration::from_millis(500);

/// What this kind of reader is called in the API.
pub(crate) const KIND: &str = "webRTCSession";

type Opening = Pin<Box<dyn Future<Output = Result<Listener, ListenError>> + Send>>;

/// What a reader plays.
enum Source {
    /// ICE and DTLS are not through.
    NotYet,
    /// Held until somebody publishes.
    Opening(Opening),
    Playing(Box<Listener>),
}

pub(crate) struct Reading<T> {
    pub(crate) link: Link<T>,
    pub(crate) egress: Egress,
    pub(crate) listening: Listening,
    /// What it can play of what was offered.
    pub(crate) takes: Takes,
    pub(crate) path: PathName,
    pub(crate) clock: Clock,
}

/// What changes while a session runs.
struct Life {
    started: Instant,
    heard: Instant,
    connected: bool,
    source: Source,
    /// The next burst, where packets wait.
    burst: Instant,
    keyframe_asked: Option<Instant>,
    discarded: u64,
}

/// Why the loop woke.
enum Wake {
    Link(Option<super::registry::Command>),
    Opened(Result<Listener, ListenError>),
    Item(Result<Item, ReadError>),
    Time,
    Stop,
}

impl<T: Transport> Reading<T> {
    /// Runs to the end.
    pub(crate) async fn run(mut self) -> End {
        let now = Instant::now();
        let mut life = Life {
            started: now,
            heard: now,
            connected: false,
            source: Source::NotYet,
            burst: now,
            keyframe_asked: None,
            discarded: 0,
        };
        let end = loop {
            let now = Instant::now();
            if let Some(end) = self.step(&mut life, now) {
                break end;
            }
            let deadline = self.deadline(&life, now);
            let room = self.egress.waiting() < self.most_waiting();
            let wake = tokio::select! {
                () = self.link.stop.cancelled() => Wake::Stop,
                command = self.link.inbox.recv() => Wake::Link(command),
                wake = life.source.wake(room) => wake,
                () = tokio::time::sleep_until(deadline.into()) => Wake::Time,
            };
            let end = match wake {
                Wake::Stop => Some(End::ServerGone),
                Wake::Time => None,
                Wake::Link(command) => {
                    life.heard = Instant::now();
                    self.link.command(command)
                }
                Wake::Opened(Ok(listener)) => {
                    life.source = Source::Playing(Box::new(listener.with_patience(PATIENCE)));
                    None
                }
                Wake::Opened(Err(error)) => {
                    tracing::info!(path = %self.path, %error, "nothing to play");
                    Some(End::NoPublisher)
                }
                Wake::Item(item) => self.items(&mut life, item),
            };
            if let Some(end) = end {
                break end;
            }
        };
        self.link.transport.close();
        self.link.transmit();
        end
    }

    /// Lets the stack work and sends what waits.
    fn step(&mut self, life: &mut Life, now: Instant) -> Option<End> {
        let link = &mut self.link;
        if link.transport.deadline().is_some_and(|d| d <= now) {
            link.transport.tick(now);
        }
        while let Some(event) = link.transport.event() {
            match event {
                Event::Connected if !life.connected => {
                    life.connected = true;
                    link.info.lock().state = SessionState::Connected;
                    let (listening, path, takes) = (self.listening.clone(), self.path.clone(), self.takes.clone());
                    let info = ReaderInfo { kind: KIND, id: link.info.lock().id.clone() };
                    let open = async move { listening.open(&path, takes, info, Start::Soonest).await };
                    life.source = Source::Opening(Box::pin(open));
                }
                Event::Connected => {}
                Event::Failed => return Some(End::Failed),
                Event::KeyframeWanted => {
                    let due = life.keyframe_asked.is_none_or(|at| now.duration_since(at) >= KEYFRAME_INTERVAL);
                    if let (Source::Playing(listener), true) = (&life.source, due) {
                        life.keyframe_asked = Some(now);
                        listener.request_keyframe();
                    }
                }
                // A reader sends nothing that is kept.
                Event::Rtp(..) | Event::SenderReport { .. } => {}
            }
        }
        if life.connected && self.egress.waiting() > 0 && now >= life.burst && link.is_full() {
            life.burst = now + FULL;
        }
        if life.connected && self.egress.waiting() > 0 && now >= life.burst {
            let sent = self.egress.send(&mut link.transport, BURST, now, self.clock.now());
            life.burst = now + PACE;
            let mut info = link.info.lock();
            info.outbound_packets += sent.packets;
            info.outbound_bytes += sent.bytes;
            info.outbound_discarded = life.discarded;
        }
        link.transmit();
        if now.duration_since(life.heard) >= SILENCE {
            return Some(End::Silent);
        }
        (!life.connected && now.duration_since(life.started) >= HANDSHAKE).then_some(End::Handshake)
    }

    /// The item that woke us and all that there are behind it.
    fn items(&mut self, life: &mut Life, first: Result<Item, ReadError>) -> Option<End> {
        let most = self.most_waiting();
        let Source::Playing(listener) = &mut life.source else { return None };
        let now = self.clock.now();
        let mut next = first.map(Some);
        loop {
            match next {
                Ok(Some(item)) => self.egress.take(&item, now),
                Ok(None) => return None,
                Err(ReadError::Lagged(lagged)) => {
                    life.discarded = life.discarded.saturating_add(lagged.missed);
                    tracing::warn!(path = %self.path, missed = lagged.missed, "WebRTC reader fell behind");
                }
                Err(ReadError::Ended(ended)) => {
                    tracing::debug!(%ended, "path ended");
                    return Some(End::Closed);
                }
            }
            if self.egress.waiting() >= most {
                return None;
            }
            next = listener.try_next();
        }
    }

    /// A peer whose way is full is given what is live when there is room again, not what waited.
    fn most_waiting(&self) -> usize {
        if self.link.is_full() { BURST } else { MAX_WAITING }
    }

    fn deadline(&mut self, life: &Life, now: Instant) -> Instant {
        let mut at = life.heard + SILENCE;
        if !life.connected {
            at = at.min(life.started + HANDSHAKE);
        }
        if life.connected && self.egress.waiting() > 0 {
            at = at.min(life.burst.max(now));
        }
        self.link.transport.deadline().map_or(at, |transport| at.min(transport))
    }
}

impl Source {
    async fn wake(&mut self, room: bool) -> Wake {
        match self {
            Self::Opening(opening) => Wake::Opened(opening.await),
            Self::Playing(listener) if room => Wake::Item(listener.next().await),
            Self::NotYet | Self::Playing(_) => std::future::pending().await,
        }
    }
}
