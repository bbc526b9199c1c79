//! One media playlist: its segments in order, and their units at their pace.
//!
//! Not here: which playlists (`super`), how they are written (`playlist`).

use super::playlist::{MediaPlaylist, Place, Playlist, Segment};
use super::{PullError, Server};
use crate::clock::Clock;
use bytes::Bytes;
use container::{fmp4, mpegts};
use hub::{Publisher, PublisherState, SkippedTrack};
use media::{AccessUnit, MediaTime, Track, TrackId, TrackSet};
use parking_lot::Mutex;
use reqwest::Url;
use std::convert::Infallible;
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;
use tracing::warn;

/// Live segments that are begun with: a server keeps three behind the newest end (RFC 8216 §6.3.3).
const BEHIND: usize = 3;
/// Segments that are fetched and wait for their time.
const AHEAD: usize = 2;
/// A playlist without a new segment for so many target durations is not written any more.
const STALLED: u32 = 5;
/// Less is no stall: some servers round their target durations down.
const STALLED_AT_LEAST: Duration = Duration::from_secs(10);
/// Ids of one rendition's tracks.
const TRACKS: u8 = 16;
/// Units further from their time than this belong to another clock: the stream was cut, or stood still.
const STEP: Duration = Duration::from_secs(30);
/// Units that come this late have no time to wait for any more: what follows goes by theirs.
const LATE: Duration = Duration::from_secs(2);

/// Where the renditions meet: the path.
pub(super) struct Output {
    publisher: Publisher,
    clock: Clock,
    tracks: Mutex<Vec<Option<TrackSet>>>,
    skipped: Mutex<Vec<SkippedTrack>>,
    /// All renditions have told their tracks.
    complete: watch::Sender<bool>,
}

impl Output {
    pub(super) fn new(publisher: Publisher, clock: Clock, renditions: usize) -> Self {
        let tracks = Mutex::new(vec![None; renditions]);
        Self { publisher, clock, tracks, skipped: Mutex::default(), complete: watch::Sender::new(false) }
    }

    fn set_tracks(&self, rendition: usize, tracks: TrackSet) {
        let mut all = self.tracks.lock();
        if let Some(slot) = all.get_mut(rendition) {
            *slot = Some(tracks);
        }
        if all.iter().all(Option::is_some) {
            self.publisher.set_tracks(all.iter().flatten().flat_map(TrackSet::iter).cloned().collect());
            self.complete.send_replace(true);
        }
    }

    fn skip(&self, codec: String) {
        let mut skipped = self.skipped.lock();
        if skipped.iter().all(|track| track.codec != codec) && skipped.len() < usize::from(TRACKS) {
            warn!(codec, "a track is not carried");
            skipped.push(SkippedTrack { codec, reason: "this codec is not carried".into() });
            self.publisher.set_skipped_tracks(skipped.clone());
        }
    }
}

/// When the times of units are, for all renditions.
#[derive(Default)]
pub(super) struct Pace(Option<(Instant, MediaTime)>);

impl Pace {
    /// When a unit of this time is due.
    fn due(&mut self, dts: MediaTime, now: Instant) -> Instant {
        if let Some((began, first)) = self.0 {
            let offset = dts.minus(first);
            let due = if offset.micros() >= 0 { began + offset.to_duration() } else { began };
            let early = due.saturating_duration_since(now);
            if early <= STEP && now.saturating_duration_since(due) <= LATE {
                return due;
            }
        }
        self.0 = Some((now, dts));
        now
    }
}

enum Piece {
    Tracks(TrackSet),
    Skipped(String),
    Unit(AccessUnit),
}

/// Pulls one media playlist until it ends.
pub(super) async fn run(
    index: usize,
    server: &Server,
    url: Url,
    known: Option<MediaPlaylist>,
    output: &Output,
    pace: &Mutex<Pace>,
) -> Result<Infallible, PullError> {
    let (fetched, segments) = mpsc::channel(AHEAD);
    tokio::select! {
        // A playlist that came to its end is played to its end.
        ended = play(index, segments, output, pace) => ended,
        Err(error) = fetch(server, url, known, fetched) => Err(error),
    }
}

/// Fetches segment after segment.
async fn fetch(
    server: &Server,
    url: Url,
    mut known: Option<MediaPlaylist>,
    out: mpsc::Sender<Vec<Piece>>,
) -> Result<(), PullError> {
    let (mut next, mut reader, mut map) = (None::<u64>, Reader::None, None::<Place>);
    let mut base = url.clone();
    let mut grew = Instant::now();
    loop {
        let asked = Instant::now();
        let playlist = match known.take() {
            Some(playlist) => playlist,
            None => match server.playlist(&url).await? {
                (Playlist::Media(playlist), at) => {
                    base = at;
                    playlist
                }
                (Playlist::Multivariant(_), _) => return Err(PullError::Nested),
            },
        };
        let end = playlist.sequence.saturating_add(playlist.segments.len() as u64);
        let behind = if playlist.ended { playlist.segments.len() } else { BEHIND };
        let begin = end.saturating_sub(behind as u64);
        // A playlist that was begun anew counts from below; one that is far ahead has lost what is missed.
        let from = next.filter(|next| *next <= end).unwrap_or(begin).max(playlist.sequence);
        let lost = next.is_some_and(|next| next != from);
        let skip = usize::try_from(from.saturating_sub(playlist.sequence)).unwrap_or(usize::MAX);
        let mut fresh = false;
        for (n, segment) in playlist.segments.iter().skip(skip).enumerate() {
            if segment.gap {
                continue;
            }
            let mut pieces = Vec::new();
            if map != segment.map || segment.discontinuity || (lost && n == 0) {
                pieces = reader.end();
                map.clone_from(&segment.map);
            }
            read(server, &base, &mut reader, segment, &mut pieces).await?;
            fresh = true;
            if out.send(pieces).await.is_err() {
                return Err(PullError::Ended);
            }
        }
        next = Some(end);
        if playlist.ended {
            // Nobody listens where the stream has ended otherwise.
            let _sent = out.send(reader.end()).await;
            return Ok(());
        }
        if fresh {
            grew = Instant::now();
        }
        let stalled = (playlist.target * STALLED).max(STALLED_AT_LEAST);
        if grew.elapsed() > stalled {
            return Err(PullError::Stalled(stalled));
        }
        // §6.3.4: not before a target duration, or half of one where nothing was new.
        let pause = if fresh { playlist.target } else { playlist.target / 2 };
        tokio::time::sleep_until(asked + pause.max(Duration::from_millis(100))).await;
    }
}

/// What reads the segments.
enum Reader {
    None,
    Ts(Box<mpegts::Demuxer>),
    Fmp4(Box<fmp4::Demuxer>),
}

impl Reader {
    /// What is left when no more comes.
    fn end(&mut self) -> Vec<Piece> {
        match std::mem::replace(self, Self::None) {
            Self::Ts(demuxer) => demuxer.end().into_iter().map(Piece::from).collect(),
            Self::Fmp4(_) | Self::None => Vec::new(),
        }
    }
}

impl From<mpegts::Event> for Piece {
    fn from(event: mpegts::Event) -> Self {
        match event {
            mpegts::Event::Tracks(tracks) => Self::Tracks(tracks),
            mpegts::Event::Unit(unit) => Self::Unit(unit),
            mpegts::Event::Skipped(codec) => Self::Skipped(codec),
        }
    }
}

/// Every packet of a transport stream begins so.
const TS_SYNC: u8 = 0x47;

async fn read(
    server: &Server,
    base: &Url,
    reader: &mut Reader,
    segment: &Segment,
    pieces: &mut Vec<Piece>,
) -> Result<(), PullError> {
    if matches!(reader, Reader::None) {
        *reader = match &segment.map {
            Some(map) => {
                let demuxer = fmp4::Demuxer::new(&server.segment(base, map).await?)?;
                pieces.push(Piece::Tracks(demuxer.tracks()));
                pieces.extend(demuxer.skipped_tracks().iter().cloned().map(Piece::Skipped));
                Reader::Fmp4(Box::new(demuxer))
            }
            None => Reader::Ts(Box::new(mpegts::Demuxer::new())),
        };
    }
    let bytes: Bytes = server.segment(base, &segment.place).await?;
    match reader {
        Reader::Ts(demuxer) => {
            if bytes.first() != Some(&TS_SYNC) {
                return Err(PullError::Segment);
            }
            pieces.extend(demuxer.push(&bytes).into_iter().map(Piece::from));
        }
        Reader::Fmp4(demuxer) => {
            let mut units = demuxer.fragments(&bytes)?;
            // Writers that make one fragment a track put them one behind the other.
            units.sort_by_key(|unit| unit.dts);
            pieces.extend(units.into_iter().map(Piece::Unit));
        }
        Reader::None => {}
    }
    Ok(())
}

/// Writes units when they are due.
async fn play(
    index: usize,
    mut segments: mpsc::Receiver<Vec<Piece>>,
    output: &Output,
    pace: &Mutex<Pace>,
) -> Result<Infallible, PullError> {
    let shift = u8::try_from(index).unwrap_or_default().saturating_mul(TRACKS);
    let id = |id: TrackId| TrackId(shift.saturating_add(id.0.min(TRACKS - 1)));
    while let Some(pieces) = segments.recv().await {
        for piece in pieces {
            match piece {
                Piece::Tracks(tracks) => {
                    let own = |track: &Track| Track { id: id(track.id), ..track.clone() };
                    output.set_tracks(index, tracks.iter().map(own).collect());
                }
                Piece::Skipped(codec) => output.skip(codec),
                Piece::Unit(unit) => {
                    let mut complete = output.complete.subscribe();
                    complete.wait_for(|complete| *complete).await.map_err(|_closed| PullError::Ended)?;
                    let due = pace.lock().due(unit.dts, Instant::now());
                    tokio::time::sleep_until(due).await;
                    if output.publisher.state() != PublisherState::Live {
                        return Err(PullError::Ended);
                    }
                    output.publisher.write(AccessUnit { track: id(unit.track), ..unit }, output.clock.now());
                }
            }
        }
    }
    Err(PullError::Ended)
}
