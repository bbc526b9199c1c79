//! One publisher's life: datagrams in, access units into the hub, until it goes or falls silent.
//!
//! Belongs here: the loop and its timers. Not here: the WebRTC stack ([`Transport`]), the path ([`Arrival`]), HTTP (`http`).

use super::arrival::Arrival;
use super::link::{End, HANDSHAKE, Link, SILENCE};
use super::registry::SessionState;
use super::transport::{Event, Transport};
use crate::clock::Clock;
use hub::PublisherState;
use std::time::Instant;

pub(crate) struct Session<T> {
    pub(crate) link: Link<T>,
    pub(crate) arrival: Arrival,
    pub(crate) clock: Clock,
}

/// What changes while a session runs.
struct Life {
    started: Instant,
    heard: Instant,
    end: Option<End>,
}

impl<T: Transport> Session<T> {
    /// Runs to the end.
    pub(crate) async fn run(mut self) -> End {
        let now = Instant::now();
        let mut life = Life { started: now, heard: now, end: None };
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
            tokio::select! {
                () = self.link.stop.cancelled() => life.end = Some(End::ServerGone),
                command = self.link.inbox.recv() => {
                    life.heard = Instant::now();
                    life.end = self.link.command(command);
                }
                () = tokio::time::sleep_until(deadline.into()) => {}
                () = self.arrival.changed() => {}
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
                    self.arrival.connected(now);
                    self.link.info.lock().state = SessionState::Connected;
                }
                Event::Failed => life.end = life.end.or(Some(End::Failed)),
                Event::Rtp(kind, packet) => self.arrival.packet(kind, packet, arrived),
                Event::SenderReport { kind, ntp, timestamp } => self.arrival.sender_report(kind, ntp, timestamp),
                // Nothing is sent to a publisher, so it has nothing to ask for.
                Event::KeyframeWanted => {}
            }
        }
        if let Err(error) = self.arrival.advance(false, now, arrived) {
            tracing::warn!(path = %self.link.info.lock().path, %error, "publisher refused");
            life.end = Some(End::TooManyPaths);
        }
        // Before its first packet there is nobody to ask; the wish must not count then, or the next one waits.
        if self.arrival.wants_keyframe(now) && self.link.transport.request_keyframe(now) {
            self.arrival.asked(now);
        }
        self.link.transmit();
        let stats = self.arrival.stats();
        let mut info = self.link.info.lock();
        (info.inbound_bytes, info.inbound_packets, info.lost_packets) = (stats.bytes, stats.packets, stats.lost);
        info.damaged_pictures = stats.damaged_units;
    }

    fn mind_the_clock(&self, life: &mut Life, now: Instant) {
        let end = match self.arrival.state() {
            Some(PublisherState::Replaced) => Some(End::Replaced),
            Some(PublisherState::Closed) => Some(End::Closed),
            _ if now.duration_since(life.heard) >= SILENCE => Some(End::Silent),
            _ if !self.arrival.is_connected() && now.duration_since(life.started) >= HANDSHAKE => Some(End::Handshake),
            _ => None,
        };
        life.end = life.end.or(end);
    }

    fn deadline(&mut self, life: &Life, now: Instant) -> Instant {
        let mut at = life.heard + SILENCE;
        if !self.arrival.is_connected() {
            at = at.min(life.started + HANDSHAKE);
        }
        let media = self.arrival.deadline(now, self.clock.now());
        [media, self.link.transport.deadline()].into_iter().flatten().fold(at, Instant::min)
    }
}
