//! One publisher's life: datagrams in, access units into the hub, until it goes or falls silent.
//!
//! Belongs here: the loop and its timers. Not here: the WebRTC stack ([`Transport`]), media ([`Ingest`]), HTTP (`http`).

use super::ingest::Ingest;
use super::link::{End, HANDSHAKE, Link, SILENCE};
use super::registry::SessionState;
use super::transport::{Event, Transport};
use crate::clock::Clock;
use hub::{Hub, PathName, Publisher, PublisherInfo, PublisherState};
use media::{AccessUnit, MonoTime};
use std::time::{Duration, Instant};

/// How long the path waits for the picture's parameter sets before it opens with sound alone.
const GATHER: Duration = Duration::from_secs(2);
/// Units held meanwhile: two seconds of 60 pictures and 100 sound packets.
const MAX_GATHERED: usize = 320;
/// Encoders take a moment for a key frame; asking more often only makes more of them.
const KEYFRAME_INTERVAL: Duration = Duration::from_millis(500);

pub(crate) struct Session<T> {
    pub(crate) link: Link<T>,
    pub(crate) ingest: Ingest,
    pub(crate) hub: Hub,
    pub(crate) path: PathName,
    pub(crate) clock: Clock,
}

/// What changes while a session runs.
struct Life {
    started: Instant,
    heard: Instant,
    connected: Option<Instant>,
    publisher: Option<Publisher>,
    gathered: Vec<AccessUnit>,
    /// Tracks announced so far.
    tracks: usize,
    keyframe_asked: Option<Instant>,
    end: Option<End>,
}

impl<T: Transport> Session<T> {
    /// Runs to the end.
    pub(crate) async fn run(mut self) -> End {
        let now = Instant::now();
        let mut life = Life {
            started: now,
            heard: now,
            connected: None,
            publisher: None,
            gathered: Vec::new(),
            tracks: 0,
            keyframe_asked: None,
            end: None,
        };
        loop {
            let now = Instant::now();
            self.drain(&mut life, now);
            self.mind_the_clock(&mut life, now);
            if let Some(end) = life.end {
                self.link.transport.close();
                self.link.transmit();
                return end;
            }
            let deadline = self.deadline(&life, now);
            let changed = async {
                match &life.publisher {
                    Some(publisher) => publisher.changed().await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = self.link.stop.cancelled() => life.end = Some(End::ServerGone),
                command = self.link.inbox.recv() => {
                    life.heard = Instant::now();
                    life.end = self.link.command(command);
                }
                () = tokio::time::sleep_until(deadline.into()) => {}
                () = changed => {}
            }
        }
    }

    fn drain(&mut self, life: &mut Life, now: Instant) {
        if self.link.transport.deadline().is_some_and(|d| d <= now) {
            self.link.transport.tick(now);
        }
        let arrived = self.clock.now();
        while let Some(event) = self.link.transport.event() {
            match event {
                Event::Connected => {
                    life.connected.get_or_insert(now);
                    self.link.info.lock().state = SessionState::Connected;
                }
                Event::Failed => life.end = life.end.or(Some(End::Failed)),
                Event::Rtp(kind, packet) => self.ingest.packet(kind, packet, arrived),
                Event::SenderReport { kind, ntp, timestamp } => self.ingest.sender_report(kind, ntp, timestamp),
                // Nothing is sent to a publisher, so it has nothing to ask for.
                Event::KeyframeWanted => {}
            }
        }
        self.ingest.advance(arrived);
        while let Some(unit) = self.ingest.poll() {
            self.write(life, unit, arrived);
        }
        self.announce(life, now, arrived);
        self.ask_for_keyframe(life, now);
        self.link.transmit();
        let stats = self.ingest.stats();
        let mut info = self.link.info.lock();
        (info.inbound_bytes, info.inbound_packets, info.lost_packets) = (stats.bytes, stats.packets, stats.lost);
        info.damaged_pictures = stats.damaged_units;
    }

    fn write(&mut self, life: &mut Life, unit: AccessUnit, now: MonoTime) {
        match &life.publisher {
            Some(publisher) => publisher.write(unit, now),
            None if life.gathered.len() < MAX_GATHERED => life.gathered.push(unit),
            None => {}
        }
    }

    /// Opens the path as soon as every track is known, or with those that are after [`GATHER`]; later tracks are added.
    fn announce(&mut self, life: &mut Life, now: Instant, arrived: MonoTime) {
        let Some(connected) = life.connected else { return };
        if life.publisher.is_none() {
            let (tracks, all) = self.ingest.tracks();
            let sounds = life.gathered.is_empty();
            if sounds || (!all && now.duration_since(connected) < GATHER) {
                return;
            }
            life.tracks = tracks.len();
            let id = self.link.info.lock().id.clone();
            let info = PublisherInfo { kind: "webRTCSession", id, answers_keyframes: true };
            match self.hub.publish(&self.path, info, tracks, arrived) {
                Ok(publisher) => {
                    life.gathered.drain(..).for_each(|unit| publisher.write(unit, arrived));
                    life.publisher = Some(publisher);
                }
                Err(error) => {
                    tracing::warn!(path = %self.path, %error, "publisher refused");
                    life.end = Some(End::TooManyPaths);
                }
            }
        } else if let Some(publisher) = &life.publisher
            && life.tracks < 2
        {
            let (tracks, _) = self.ingest.tracks();
            if tracks.len() > life.tracks {
                life.tracks = tracks.len();
                publisher.set_tracks(tracks);
            }
        }
    }

    fn ask_for_keyframe(&mut self, life: &mut Life, now: Instant) {
        let Some(_connected) = life.connected else { return };
        let readers_want = life.publisher.as_ref().is_some_and(|p| p.feedback().keyframe);
        let due = life.keyframe_asked.is_none_or(|at| now.duration_since(at) >= KEYFRAME_INTERVAL);
        if due && (readers_want || self.ingest.needs_key()) {
            // Before its first packet there is nobody to ask; the wish must not count then, or the next one waits.
            if self.link.transport.request_keyframe(now) {
                life.keyframe_asked = Some(now);
            }
        }
    }

    fn mind_the_clock(&self, life: &mut Life, now: Instant) {
        let state = life.publisher.as_ref().map(Publisher::state);
        let end = match state {
            Some(PublisherState::Replaced) => Some(End::Replaced),
            Some(PublisherState::Closed) => Some(End::Closed),
            _ if now.duration_since(life.heard) >= SILENCE => Some(End::Silent),
            _ if life.connected.is_none() && now.duration_since(life.started) >= HANDSHAKE => Some(End::Handshake),
            _ => None,
        };
        life.end = life.end.or(end);
    }

    fn deadline(&mut self, life: &Life, now: Instant) -> Instant {
        let mut at = life.heard + SILENCE;
        if life.connected.is_none() {
            at = at.min(life.started + HANDSHAKE);
        }
        if let (Some(connected), None) = (life.connected, &life.publisher) {
            let gather = connected + GATHER;
            at = if gather > now { at.min(gather) } else { at };
        }
        if self.ingest.needs_key()
            && let Some(asked) = life.keyframe_asked
        {
            at = at.min((asked + KEYFRAME_INTERVAL).max(now + KEYFRAME_INTERVAL / 10));
        }
        if let Some(media) = self.ingest.deadline() {
            at = at.min(now + media.since(self.clock.now()));
        }
        self.link.transport.deadline().map_or(at, |transport| at.min(transport))
    }
}
