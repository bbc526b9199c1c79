//! Packets to access units.
//!
//! Belongs here: finding packets, tables, PES, one timeline. Not here: what is in a PES (`elementary`).

use super::elementary::Elementary;
use super::packet::{NULL_PID, PACKET, Packet, SYNC};
use super::psi::{self, Entry, Sections};
use super::{CLOCK_BITS, SECOND, pes, stream_type};
use bytes::Bytes;
use media::{AccessUnit, ClockRate, CodecParams, MediaTime, Track, TrackId, TrackSet, Unwrapper};
use std::sync::Arc;

/// A PES at most: a key picture of 8K at the highest rates has a few megabytes.
const MAX_PES: usize = 8 << 20;
/// Streams that are read of one program. Broadcasters send a dozen languages; more is hostile.
const MAX_STREAMS: usize = 16;
/// Units are held so long (90 kHz) until every stream has shown what it decodes with.
const ANNOUNCE_WAIT: i64 = 3 * SECOND;
/// And so many, and so many bytes: three seconds of the fastest.
const MAX_HELD: usize = 2048;
const MAX_HELD_BYTES: usize = 32 << 20;

/// What the demuxer has found.
#[derive(Debug, Clone)]
pub enum Event {
    /// These are the tracks, from the next unit on.
    Tracks(TrackSet),
    /// A unit of one of them.
    Unit(AccessUnit),
    /// A stream that is not read, by name.
    Skipped(String),
}

/// What went wrong, in numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Damage {
    /// Times that packets were not where they should be.
    pub resyncs: u64,
    /// Times that a stream's counter jumped: packets are missing.
    pub gaps: u64,
    /// Packets that were marked broken, scrambled, or made no sense.
    pub packets: u64,
    /// PES and frames that could not be read or had no time.
    pub units: u64,
}

/// Reads a transport stream, wherever it begins and in whatever pieces it comes. Of several programs the first is read.
///
/// Units come out when every stream has shown its parameters, or after three seconds of the stream's time; tracks whose parameters
/// show later are announced then. All times tick at 90 kHz, unwrapped; the first is what the stream says.
#[derive(Debug, Default)]
pub struct Demuxer {
    buffer: Vec<u8>,
    synced: bool,
    programs: Sections,
    map_pid: Option<u16>,
    map: Sections,
    entries: Vec<Entry>,
    streams: Vec<Stream>,
    clock: Unwrapper<CLOCK_BITS>,
    held: Vec<AccessUnit>,
    held_bytes: usize,
    announced: bool,
    damage: Damage,
    events: Vec<Event>,
}

#[derive(Debug)]
struct Stream {
    pid: u16,
    track: TrackId,
    elementary: Elementary,
    counter: Option<u8>,
    /// The PES in the making; `None` until one begins.
    pes: Option<Vec<u8>>,
    params: Option<Arc<CodecParams>>,
}

impl Demuxer {
    /// A demuxer that has seen nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes the next bytes.
    pub fn push(&mut self, bytes: &[u8]) -> Vec<Event> {
        if self.buffer.is_empty() {
            let taken = self.consume(bytes);
            self.buffer.extend_from_slice(bytes.get(taken..).unwrap_or_default());
        } else {
            let mut joined = std::mem::take(&mut self.buffer);
            joined.extend_from_slice(bytes);
            let taken = self.consume(&joined);
            joined.drain(..taken);
            self.buffer = joined;
        }
        std::mem::take(&mut self.events)
    }

    /// The stream is over: what had no end yet has one now.
    pub fn end(mut self) -> Vec<Event> {
        let rest = std::mem::take(&mut self.buffer);
        // Too short to be followed by another: taken at its word.
        if let (Some(packet), true) = (rest.first_chunk::<PACKET>(), rest.first() == Some(&SYNC)) {
            self.packet(packet);
        }
        for index in 0..self.streams.len() {
            self.finish_pes(index);
        }
        self.announce();
        std::mem::take(&mut self.events)
    }

    /// What went wrong so far.
    pub const fn damage(&self) -> Damage {
        self.damage
    }

    /// Takes whole packets, and answers how many bytes they were. Less than two packets stay.
    fn consume(&mut self, bytes: &[u8]) -> usize {
        let mut at = 0;
        while let Some(rest) = bytes.get(at..).filter(|rest| rest.len() >= PACKET) {
            if rest.first() == Some(&SYNC) {
                // A sync byte may be chance: out of step, the next packet's must be there too.
                match rest.get(PACKET) {
                    None if !self.synced => break,
                    Some(&next) if !self.synced && next != SYNC => {}
                    _ => {
                        self.synced = true;
                        if let Some(packet) = rest.first_chunk::<PACKET>() {
                            self.packet(packet);
                        }
                        at += PACKET;
                        continue;
                    }
                }
            } else if self.synced {
                self.synced = false;
                self.damage.resyncs += 1;
            }
            let next = rest.iter().skip(1).position(|&byte| byte == SYNC);
            at += next.map_or(rest.len(), |next| next + 1);
        }
        at
    }

    fn packet(&mut self, bytes: &[u8; PACKET]) {
        let Some(packet) = Packet::parse(bytes).filter(|packet| !packet.unusable) else {
            self.damage.packets += 1;
            return;
        };
        if packet.pid == 0 {
            if let Some(payload) = packet.payload {
                let mut found = None;
                self.programs.push(packet.starts, payload, |section| found = psi::parse_pat(section).or(found));
                if found.is_some() && found != self.map_pid {
                    self.map_pid = found;
                    self.map.reset();
                }
            }
        } else if Some(packet.pid) == self.map_pid {
            if let Some(payload) = packet.payload {
                let mut found = None;
                self.map.push(packet.starts, payload, |section| found = psi::parse_pmt(section));
                if let Some(map) = found.filter(|map| map.entries != self.entries) {
                    self.remap(map.entries);
                }
            }
        } else if packet.pid != NULL_PID
            && let Some(index) = self.streams.iter().position(|stream| stream.pid == packet.pid)
        {
            self.stream_packet(index, packet);
        }
    }

    /// The program has these streams from now on; those that stay go on.
    fn remap(&mut self, entries: Vec<Entry>) {
        for index in 0..self.streams.len() {
            self.finish_pes(index);
        }
        let mut old = std::mem::take(&mut self.streams);
        let before = old.len();
        for entry in &entries {
            let same = self.entries.contains(entry);
            if let Some(at) = old.iter().position(|stream| same && stream.pid == entry.pid) {
                self.streams.push(old.swap_remove(at));
                continue;
            }
            let full = self.streams.len() >= MAX_STREAMS;
            match Elementary::new(entry).filter(|_| !full) {
                Some(elementary) => {
                    let taken = |id: u8| self.streams.iter().chain(&old).any(|stream| stream.track.0 == id);
                    let track = TrackId((0..=u8::MAX).find(|&id| !taken(id)).unwrap_or(u8::MAX));
                    let params = elementary.params();
                    self.streams.push(Stream { pid: entry.pid, track, elementary, counter: None, pes: None, params });
                }
                None => self.events.push(Event::Skipped(stream_type::name(entry.kind))),
            }
        }
        self.entries = entries;
        if self.announced && (before > 0 || !self.streams.is_empty()) {
            self.tell_tracks();
        }
    }

    fn stream_packet(&mut self, index: usize, packet: Packet<'_>) {
        let (Some(stream), Some(payload)) = (self.streams.get_mut(index), packet.payload) else { return };
        if let Some(last) = stream.counter.replace(packet.counter).filter(|_| !packet.discontinuity) {
            if last == packet.counter {
                // A packet may be sent twice (§2.4.3.3).
                return;
            }
            if (last + 1) & 0x0F != packet.counter {
                self.damage.gaps += 1;
                if stream.pes.take().is_some() {
                    self.damage.units += 1;
                }
                stream.elementary.lost();
            }
        }
        if packet.starts {
            self.finish_pes(index);
        }
        let Some(stream) = self.streams.get_mut(index) else { return };
        if packet.starts {
            stream.pes = Some(Vec::new());
        }
        let Some(pes) = &mut stream.pes else { return };
        pes.extend_from_slice(payload);
        if pes.len() > MAX_PES {
            self.damage.units += 1;
            stream.pes = None;
        } else if pes::total(pes).is_some_and(|total| pes.len() >= total) {
            // It says where it ends: nothing waits for the next one.
            self.finish_pes(index);
        }
    }

    fn finish_pes(&mut self, index: usize) {
        let Some(stream) = self.streams.get_mut(index) else { return };
        let Some(pes) = stream.pes.take().filter(|pes| !pes.is_empty()) else { return };
        let whole = pes::total(&pes).is_none_or(|total| pes.len() >= total);
        let Some(header) = pes::parse(&pes).filter(|_| whole) else {
            self.damage.units += 1;
            return;
        };
        let end = pes::total(&pes).map_or(pes.len(), |total| total.min(pes.len()));
        let times = header.pts.zip(header.dts).map(|(pts, dts)| {
            let dts_ticks = self.clock.unwrap(dts);
            // Pictures are shown at most a few seconds after decoding, and the difference may wrap.
            let ahead = pts.wrapping_sub(dts) & pes::CLOCK_MASK;
            let behind = dts.wrapping_sub(pts) & pes::CLOCK_MASK;
            let offset = if ahead <= behind { ahead as i64 } else { -(behind as i64) };
            (dts_ticks.saturating_add(offset), dts_ticks)
        });
        let pes = Bytes::from(pes);
        let payload = if header.payload <= end { pes.slice(header.payload..end) } else { Bytes::new() };
        let mut pieces = Vec::new();
        self.damage.units += stream.elementary.push(payload, times, &mut |piece| pieces.push(piece));
        let track = stream.track;
        for piece in pieces {
            self.learn(index, &piece.params);
            self.unit(AccessUnit {
                track,
                dts: MediaTime::new(piece.dts, ClockRate::VIDEO),
                pts: MediaTime::new(piece.pts, ClockRate::VIDEO),
                duration: None,
                kind: piece.kind,
                captured: None,
                params: piece.params,
                payload: piece.payload,
            });
        }
    }

    fn learn(&mut self, index: usize, params: &Arc<CodecParams>) {
        let Some(stream) = self.streams.get_mut(index) else { return };
        if stream.params.as_ref().is_some_and(|known| Arc::ptr_eq(known, params) || known == params) {
            return;
        }
        stream.params = Some(Arc::clone(params));
        if self.announced {
            self.tell_tracks();
        } else if self.streams.iter().all(|stream| stream.params.is_some()) {
            self.announce();
        }
    }

    fn unit(&mut self, unit: AccessUnit) {
        if self.announced {
            self.events.push(Event::Unit(unit));
            return;
        }
        let waited = self.held.first().map_or(0, |first| unit.dts.minus(first.dts).ticks());
        self.held_bytes = self.held_bytes.saturating_add(unit.payload.len());
        self.held.push(unit);
        if waited > ANNOUNCE_WAIT || self.held.len() >= MAX_HELD || self.held_bytes > MAX_HELD_BYTES {
            self.announce();
        }
    }

    /// Tells the tracks for the first time, and lets go what was held.
    fn announce(&mut self) {
        if self.announced || self.streams.iter().all(|stream| stream.params.is_none()) {
            return;
        }
        self.announced = true;
        self.tell_tracks();
        self.events.extend(self.held.drain(..).map(Event::Unit));
        self.held_bytes = 0;
    }

    fn tell_tracks(&mut self) {
        let track = |stream: &Stream| {
            let params = stream.params.clone()?;
            Some(Track { id: stream.track, clock: ClockRate::VIDEO, params })
        };
        self.events.push(Event::Tracks(self.streams.iter().filter_map(track).collect()));
    }
}
