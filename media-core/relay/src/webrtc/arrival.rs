//! From a peer's packets to a published path: when it opens, with which tracks, and when a key frame is asked for.
//!
//! Belongs here: what a publisher who comes (WHIP) and a source that is fetched (WHEP) have in common. Not here: access units
//! ([`Ingest`]), connections (`session`, `client::whep`).

use super::ingest::{Ingest, IngestStats};
use hub::{Hub, PathName, PublishError, Publisher, PublisherInfo, PublisherState};
use media::{AccessUnit, MediaKind, MonoTime};
use proto::rtp::Packet;
use proto::rtp::rtcp::NtpTime;
use std::time::{Duration, Instant};

/// How long the path waits for the picture's parameter sets before it opens with sound alone.
const GATHER: Duration = Duration::from_secs(2);
/// Units held meanwhile: two seconds of 60 pictures and 100 sound packets.
const MAX_GATHERED: usize = 320;
/// Encoders take a moment for a key frame; asking more often only makes more of them.
const KEYFRAME_INTERVAL: Duration = Duration::from_millis(500);

/// One peer's stream on its way into a path.
pub(crate) struct Arrival {
    ingest: Ingest,
    hub: Hub,
    path: PathName,
    info: PublisherInfo,
    connected: Option<Instant>,
    publisher: Option<Publisher>,
    gathered: Vec<AccessUnit>,
    /// Tracks announced so far.
    tracks: usize,
    keyframe_asked: Option<Instant>,
}

impl Arrival {
    /// Into `path`, which is opened with the first units.
    pub(crate) const fn new(ingest: Ingest, hub: Hub, path: PathName, info: PublisherInfo) -> Self {
        Self {
            ingest,
            hub,
            path,
            info,
            connected: None,
            publisher: None,
            gathered: Vec::new(),
            tracks: 0,
            keyframe_asked: None,
        }
    }

    /// Media may flow from now on.
    pub(crate) fn connected(&mut self, now: Instant) {
        self.connected.get_or_insert(now);
    }

    /// May it?
    pub(crate) const fn is_connected(&self) -> bool {
        self.connected.is_some()
    }

    /// One packet, in whatever order.
    pub(crate) fn packet(&mut self, kind: MediaKind, packet: Packet, now: MonoTime) {
        self.ingest.packet(kind, packet, now);
    }

    /// The sender's clocks for one track.
    pub(crate) fn sender_report(&mut self, kind: MediaKind, ntp: NtpTime, timestamp: u32) {
        self.ingest.sender_report(kind, ntp, timestamp);
    }

    /// Writes what is ready; while `held`, the path is not opened. `now` and `arrived` are the same instant.
    ///
    /// # Errors
    /// Where the path cannot be had.
    pub(crate) fn advance(&mut self, held: bool, now: Instant, arrived: MonoTime) -> Result<(), PublishError> {
        self.ingest.advance(arrived);
        while let Some(unit) = self.ingest.poll() {
            match &self.publisher {
                Some(publisher) => publisher.write(unit, arrived),
                None if self.gathered.len() < MAX_GATHERED => self.gathered.push(unit),
                None => {}
            }
        }
        if held { Ok(()) } else { self.announce(now, arrived) }
    }

    /// Opens the path as soon as every track is known, or with those that are after [`GATHER`]; later tracks are added.
    fn announce(&mut self, now: Instant, arrived: MonoTime) -> Result<(), PublishError> {
        let Some(connected) = self.connected else { return Ok(()) };
        match &self.publisher {
            None => {
                let (tracks, all) = self.ingest.tracks();
                if self.gathered.is_empty() || (!all && now.duration_since(connected) < GATHER) {
                    return Ok(());
                }
                self.tracks = tracks.len();
                let publisher = self.hub.publish(&self.path, self.info.clone(), tracks, arrived)?;
                self.gathered.drain(..).for_each(|unit| publisher.write(unit, arrived));
                self.publisher = Some(publisher);
            }
            Some(publisher) if self.tracks < 2 => {
                let (tracks, _) = self.ingest.tracks();
                if tracks.len() > self.tracks {
                    self.tracks = tracks.len();
                    publisher.set_tracks(tracks);
                }
            }
            Some(_) => {}
        }
        Ok(())
    }

    /// Is it time to ask the peer for a key frame? Tell [`Self::asked`] once that is done.
    pub(crate) fn wants_keyframe(&self, now: Instant) -> bool {
        let readers_want = self.publisher.as_ref().is_some_and(|p| p.feedback().keyframe);
        let due = self.keyframe_asked.is_none_or(|at| now.duration_since(at) >= KEYFRAME_INTERVAL);
        self.is_connected() && due && (readers_want || self.ingest.needs_key())
    }

    /// A key frame was asked for.
    pub(crate) const fn asked(&mut self, now: Instant) {
        self.keyframe_asked = Some(now);
    }

    /// How the path stands to its publisher, once it has been opened.
    pub(crate) fn state(&self) -> Option<PublisherState> {
        self.publisher.as_ref().map(Publisher::state)
    }

    /// Completes when readers wish for something or another publisher takes over.
    pub(crate) async fn changed(&self) {
        match &self.publisher {
            Some(publisher) => publisher.changed().await,
            None => std::future::pending().await,
        }
    }

    /// When to call [`Self::advance`] though nothing came; `arrived` is `now` on the hub's clock.
    pub(crate) fn deadline(&self, now: Instant, arrived: MonoTime) -> Option<Instant> {
        let gather = self.connected.filter(|_| self.publisher.is_none()).map(|at| at + GATHER).filter(|at| *at > now);
        let again = self.keyframe_asked.filter(|_| self.ingest.needs_key());
        let again = again.map(|at| (at + KEYFRAME_INTERVAL).max(now + KEYFRAME_INTERVAL / 10));
        let media = self.ingest.deadline().map(|at| now + at.since(arrived));
        [gather, again, media].into_iter().flatten().min()
    }

    /// Counts so far.
    pub(crate) fn stats(&self) -> IngestStats {
        self.ingest.stats()
    }
}
