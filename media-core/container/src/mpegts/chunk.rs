//! Chunks of a transport stream that follow each other: what an HLS segment is put together from.
//!
//! Not here: where to cut (`proto::hls`), packets (`mux`).

use super::packet::PACKET;
use super::{Muxer, TsError};
use bytes::Bytes;
use media::{AccessUnit, ClockRate, MediaKind, MediaTime, TrackId, TrackSet, UnitKind};
use std::time::Duration;

/// Packets of some units, one after another.
#[derive(Debug, Clone)]
pub struct Chunk {
    /// Whole packets.
    pub bytes: Bytes,
    /// Where its leading track (the picture, else the first track) begins, counted from the writer's origin.
    pub start: MediaTime,
    /// How long its leading track runs in it.
    pub duration: MediaTime,
    /// Does it begin with a key picture? True for sound alone.
    pub independent: bool,
}

/// Gathers units and cuts them into chunks, as `fmp4::FragmentWriter` does into fragments.
#[derive(Debug)]
pub struct ChunkWriter {
    muxer: Muxer,
    lead: TrackId,
    origin: MediaTime,
    pending: Vec<u8>,
    /// Decode times of the leading track's first and last pending unit, µs from the origin.
    span: Option<(i64, i64)>,
    independent: bool,
    /// From one unit of the leading track to the next, lately, µs.
    interval: i64,
    last: Option<i64>,
}

/// Sound that shares a PES. Longer costs delay, shorter packets: 94 bytes a frame are lost in filling.
const GATHER: Duration = Duration::from_millis(100);
/// A rate of which nothing is known: 30 a second.
const USUAL_INTERVAL: i64 = 33_333;

impl ChunkWriter {
    /// A writer for `tracks`; what is older than `origin` is moved there.
    ///
    /// # Errors
    /// As [`Muxer::new`].
    pub fn new(tracks: &TrackSet, origin: MediaTime) -> Result<Self, TsError> {
        Ok(Self {
            muxer: Muxer::new(tracks, origin)?.with_gather(GATHER),
            lead: lead(tracks),
            origin,
            pending: Vec::new(),
            span: None,
            independent: false,
            interval: USUAL_INTERVAL,
            last: None,
        })
    }

    /// Goes on with other tracks or parameters. Cut first: what was pushed and not cut is lost.
    ///
    /// # Errors
    /// As [`Muxer::new`]; nothing has changed then.
    pub fn replace_tracks(&mut self, tracks: &TrackSet) -> Result<(), TsError> {
        self.muxer.replace_tracks(tracks)?;
        self.lead = lead(tracks);
        self.pending.clear();
        self.span = None;
        Ok(())
    }

    /// Does `unit` belong to the tables?
    pub fn fits(&self, unit: &AccessUnit) -> bool {
        self.muxer.fits(unit)
    }

    /// A segment begins with what is pending, or else with the next unit: tables stand in front of it.
    pub fn begin_segment(&mut self) {
        if self.pending.is_empty() {
            return self.muxer.repeat_tables();
        }
        // Counters go on in the order of packets: tables that are among them already are brought to the front.
        let (mut front, mut rest) = (Vec::new(), Vec::with_capacity(self.pending.len() + 2 * PACKET));
        for packet in self.pending.as_chunks::<PACKET>().0 {
            let to = if Muxer::is_table(packet) { &mut front } else { &mut rest };
            to.extend_from_slice(packet);
        }
        if front.is_empty() {
            self.muxer.write_tables(&mut front);
        }
        front.append(&mut rest);
        self.pending = front;
    }

    /// Adds `unit` to the chunk in the making.
    ///
    /// # Errors
    /// As [`Muxer::write`].
    pub fn push(&mut self, unit: &AccessUnit) -> Result<(), TsError> {
        let first = self.span.is_none() && self.pending.is_empty();
        self.muxer.write(unit, &mut self.pending)?;
        if first {
            self.independent = unit.kind != UnitKind::Delta && unit.track == self.lead;
        }
        if unit.track == self.lead {
            let at = unit.dts.minus(self.origin).micros();
            let step = self.last.replace(at).map_or(0, |last| at.saturating_sub(last));
            if step > 0 {
                // A new rate is believed within a few pictures, and a gap is not mistaken for one.
                self.interval = step.min(self.interval.saturating_mul(2));
            }
            self.span = Some((self.span.map_or(at, |(from, _)| from), at));
        }
        Ok(())
    }

    /// Bytes of the chunk in the making.
    pub const fn pending_bytes(&self) -> usize {
        self.pending.len()
    }

    /// How long its leading track runs in it.
    pub fn pending_duration(&self) -> MediaTime {
        let micros = self.span.map_or(0, |(from, last)| last.saturating_sub(from).max(0).saturating_add(self.interval));
        MediaTime::new(micros, ClockRate::MICRO)
    }

    /// What was gathered, sound that was held included; `None` if there is nothing.
    pub fn cut(&mut self) -> Option<Chunk> {
        self.muxer.flush(&mut self.pending);
        if self.pending.is_empty() {
            return None;
        }
        let duration = self.pending_duration();
        let start = self.span.take().map_or_else(|| self.last.unwrap_or(0), |(from, _)| from);
        let start = MediaTime::new(start, ClockRate::MICRO);
        // The next chunk is about as large as this one.
        let next = Vec::with_capacity(self.pending.len());
        let bytes = std::mem::replace(&mut self.pending, next).into();
        Some(Chunk { bytes, start, duration, independent: self.independent })
    }
}

fn lead(tracks: &TrackSet) -> TrackId {
    tracks.first(MediaKind::Video).or_else(|| tracks.iter().next()).map_or(TrackId(0), |track| track.id)
}
