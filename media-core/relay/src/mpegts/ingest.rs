//! A transport stream's units to a path. Not here: bytes' way here, what is in a packet (`container::mpegts`).

use container::mpegts::{Demuxer, Event};
use hub::{Publisher, SkippedTrack};
use media::MonoTime;
use tracing::warn;

/// One publisher's way into the hub.
#[derive(Debug, Default)]
pub(crate) struct Ingest {
    demuxer: Demuxer,
    skipped: Vec<SkippedTrack>,
}

impl Ingest {
    /// Takes the next bytes and writes what came of them.
    pub(crate) fn push(&mut self, bytes: &[u8], publisher: &Publisher, now: MonoTime) {
        for event in self.demuxer.push(bytes) {
            match event {
                Event::Tracks(tracks) => publisher.set_tracks(tracks),
                Event::Unit(unit) => publisher.write(unit, now),
                Event::Skipped(codec) => self.skip(codec, publisher),
            }
        }
    }

    /// The hub bounds how many are kept; a program that names the same again is told once.
    fn skip(&mut self, codec: String, publisher: &Publisher) {
        if self.skipped.iter().all(|track| track.codec != codec) && self.skipped.len() < usize::from(u8::MAX) {
            warn!(codec, "a track is not carried");
            self.skipped.push(SkippedTrack { codec, reason: "this codec is not carried".into() });
            publisher.set_skipped_tracks(self.skipped.clone());
        }
    }
}
