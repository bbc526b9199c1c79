//! Units of a path to payloads, for readers and pushes alike.
//!
//! Belongs here: which tracks a transport stream gets, where payloads end. Not here: packets (`container::mpegts`).

use super::link::PAYLOAD;
use super::session::{Session, SessionError, Turn};
use crate::listen::{ListenError, Listener, Listening, Sound};
use bytes::Bytes;
use container::mpegts::{Muxer, carries};
use hub::{Ended, Item, PathName, ReadError, ReaderInfo, Start};
use media::{AccessUnit, ClockRate, Codec, MediaTime, Track, TrackSet};
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;
use tracing::warn;

/// A reader this far behind loses whole GOPs until it is near live again, as by RTMP.
const PATIENCE: Duration = Duration::from_millis(1500);
/// Sound may begin so much before the picture it was interleaved with.
const BEFORE: Duration = Duration::from_millis(500);

/// The sound that a transport stream carries and its players know.
pub(crate) const SOUND: Sound = Sound::AacOrMpegAudio;

/// Why sending ended.
#[derive(Debug)]
pub(super) enum End {
    /// The peer said goodbye.
    Closed,
    /// The path has ended.
    Ended(Ended),
}

/// Listens to `path` in codecs that a transport stream carries and players of it know.
pub(super) async fn open(listening: &Listening, path: &PathName, info: ReaderInfo) -> Result<Listener, ListenError> {
    let listener = listening.open(path, SOUND, info, Start::Soonest).await?;
    Ok(fit(listener))
}

/// Sets what a transport stream carries besides.
pub(super) fn fit(listener: Listener) -> Listener {
    let pictures = [Codec::H265, Codec::Av1, Codec::Vp9].into_iter().filter(|codec| carries(*codec));
    listener.with_patience(PATIENCE).with_pictures(pictures)
}

/// One reader's transport stream.
#[derive(Debug, Default)]
pub(super) struct Egress {
    tracks: Vec<Track>,
    muxer: Option<Muxer>,
    packets: Vec<u8>,
    payloads: VecDeque<Bytes>,
}

impl Egress {
    /// Takes the next item; its payloads are to be fetched before the next.
    pub(super) fn push(&mut self, item: &Item) {
        match item {
            Item::Tracks(tracks) => self.announce(tracks),
            Item::Unit(unit, _) => self.unit(unit),
        }
    }

    /// The next payload, of [`PAYLOAD`] bytes at most.
    pub(super) fn payload(&mut self) -> Option<Bytes> {
        self.payloads.pop_front()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.payloads.is_empty()
    }

    fn announce(&mut self, tracks: &Arc<TrackSet>) {
        self.tracks = tracks.iter().filter(|track| carries(track.codec())).cloned().collect();
        self.retrack();
    }

    /// The muxer goes on with the tracks as they are now; one that has not begun begins with the next unit.
    fn retrack(&mut self) {
        let tracks: TrackSet = self.tracks.iter().cloned().collect();
        if let Some(muxer) = &mut self.muxer {
            muxer.flush(&mut self.packets);
            if let Err(error) = muxer.replace_tracks(&tracks) {
                warn!(%error, "MPEG-TS");
                self.muxer = None;
            }
        }
    }

    fn unit(&mut self, unit: &AccessUnit) {
        let Some(track) = self.tracks.iter_mut().find(|track| track.id == unit.track) else { return };
        if self.muxer.as_ref().is_some_and(|muxer| !muxer.fits(unit)) {
            track.params = Arc::clone(&unit.params);
            self.retrack();
        }
        if self.muxer.is_none() {
            let origin = unit.dts.minus(MediaTime::from_duration(BEFORE, ClockRate::VIDEO));
            self.muxer = Muxer::new(&self.tracks.iter().cloned().collect(), origin).ok();
        }
        let Some(muxer) = &mut self.muxer else { return };
        if let Err(error) = muxer.write(unit, &mut self.packets) {
            warn!(%error, "MPEG-TS");
        }
        // What a unit leaves is not kept for the next: that would be late by a picture.
        let packets = Bytes::from(std::mem::take(&mut self.packets));
        let payloads = (0..packets.len()).step_by(PAYLOAD);
        self.payloads.extend(payloads.map(|at| packets.slice(at..packets.len().min(at + PAYLOAD))));
    }
}

/// Sends what `listener` brings until either side ends it; `sent` is told bytes.
pub(super) async fn run(
    session: &mut Session,
    listener: &mut Listener,
    mut sent: impl FnMut(usize),
) -> Result<End, SessionError> {
    let mut egress = Egress::default();
    loop {
        while !egress.is_empty() && session.has_room() {
            if let Some(payload) = egress.payload() {
                sent(payload.len());
                session.push(payload)?;
            }
        }
        tokio::select! {
            turn = session.turn() => if let Turn::Closed = turn? {
                return Ok(End::Closed);
            },
            // What a slow peer has not taken yet stays in the hub, which then decides what it loses.
            item = listener.next(), if egress.is_empty() => match item {
                Ok(item) => egress.push(&item),
                Err(ReadError::Lagged(lagged)) => warn!(missed = lagged.missed, "reader fell behind"),
                Err(ReadError::Ended(ended)) => return Ok(End::Ended(ended)),
            },
        }
    }
}
