//! Tags of a publisher to units of a path, from server connections and pulls alike.
//!
//! Belongs here: when the tracks are known well enough to be announced. Not here: what a tag says (`container::flv`).
//!
//! Readers that start before both tracks are known would start without sound, and some phones then stay silent. So units are
//! held until both tracks were seen, or what came shows that there is only one.

use container::flv::{Demuxer, Event, FlvError, Metadata, TagKind};
use hub::{Publisher, SkippedTrack};
use media::{AccessUnit, MonoTime, Track, TrackSet};
use proto::rtmp::{Kind, Media};
use std::time::Duration;
use tracing::warn;

/// How long a second track is waited for: WeChat sends its sound header some 300 ms after the picture's.
const GATHER: Duration = Duration::from_secs(1);

/// As much media as is held meanwhile; a publisher in a hurry shows by it that no other track is coming.
const HELD: usize = 128;

/// One publisher's way into the hub.
#[derive(Debug)]
pub(crate) struct Ingest {
    demuxer: Demuxer,
    tracks: Vec<Track>,
    gathering: Option<Gathering>,
}

#[derive(Debug)]
struct Gathering {
    held: Vec<AccessUnit>,
    since: Option<MonoTime>,
    /// Tracks that the metadata speaks of; 2 until it says otherwise.
    expected: usize,
}

impl Ingest {
    pub(crate) fn new() -> Self {
        let gathering = Gathering { held: Vec::new(), since: None, expected: 2 };
        Self { demuxer: Demuxer::new(), tracks: Vec::new(), gathering: Some(gathering) }
    }

    /// Takes one message and writes what came of it.
    pub(crate) fn push(&mut self, media: &Media, publisher: &Publisher, now: MonoTime) -> Result<(), FlvError> {
        let kind = match media.kind {
            Kind::Audio => TagKind::Audio,
            Kind::Video => TagKind::Video,
            Kind::Data => TagKind::Script,
        };
        for event in self.demuxer.push(kind, media.timestamp, &media.body)? {
            match event {
                Event::Track(track) => self.track(track, publisher),
                Event::Unit(unit) => self.unit(unit, publisher, now),
                Event::Metadata(metadata) => self.metadata(&metadata),
                Event::Skipped(codec) => {
                    warn!(codec, "a track is not carried");
                    publisher.set_skipped_tracks(self.skipped());
                }
            }
        }
        if self.gathered(now) {
            self.release(publisher, now);
        }
        Ok(())
    }

    fn track(&mut self, track: Track, publisher: &Publisher) {
        match self.tracks.iter_mut().find(|t| t.id == track.id) {
            Some(known) => *known = track,
            None => self.tracks.push(track),
        }
        if self.gathering.is_none() {
            publisher.set_tracks(self.track_set());
        }
    }

    fn unit(&mut self, unit: AccessUnit, publisher: &Publisher, now: MonoTime) {
        match &mut self.gathering {
            Some(gathering) => {
                gathering.since.get_or_insert(now);
                gathering.held.push(unit);
            }
            None => publisher.write(unit, now),
        }
    }

    fn metadata(&mut self, metadata: &Metadata) {
        if let Some(gathering) = &mut self.gathering {
            let video = metadata.video_codec.is_some_and(|codec| codec != 0);
            let audio = metadata.audio_codec.is_some_and(|codec| codec != 0);
            // Metadata that names neither is no promise.
            gathering.expected = match (video, audio) {
                (true, false) | (false, true) => 1,
                _ => 2,
            };
        }
    }

    fn gathered(&self, now: MonoTime) -> bool {
        self.gathering.as_ref().is_some_and(|gathering| {
            let late = gathering.since.is_some_and(|since| now.since(since) >= GATHER);
            !gathering.held.is_empty()
                && (self.tracks.len() >= gathering.expected || late || gathering.held.len() >= HELD)
        })
    }

    fn release(&mut self, publisher: &Publisher, now: MonoTime) {
        if let Some(gathering) = self.gathering.take() {
            publisher.set_tracks(self.track_set());
            gathering.held.into_iter().for_each(|unit| publisher.write(unit, now));
        }
    }

    fn skipped(&self) -> Vec<SkippedTrack> {
        let told = |codec: &String| SkippedTrack { codec: codec.clone(), reason: "this codec is not carried".into() };
        self.demuxer.skipped_tracks().iter().map(told).collect()
    }

    fn track_set(&self) -> TrackSet {
        self.tracks.iter().cloned().collect()
    }
}
