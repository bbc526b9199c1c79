//! The sliding window of a live playlist: which segments and parts there are, how they are numbered, what is kept.
//!
//! Belongs here: numbering, listing, keeping, what a blocked request waits for. Not here: the playlist's text (`playlist`),
//! where to cut (`cutter`).
//!
//! Media sequence numbers and part numbers only ever rise. A segment that has left the playlist is kept until a player that
//! read the playlist just before can have fetched it (RFC 8216bis §6.2.2).

use super::cutter::least;
use super::directives::Block;
use super::names::Seed;
use bytes::Bytes;
use std::collections::VecDeque;

/// What a window is made with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WindowConfig {
    /// Tells this muxer's files from another's.
    pub seed: Seed,
    /// Media sequence number of the first segment. Where it rises from muxer to muxer, as the time of day does, a player that
    /// lived through both sees numbers rise.
    pub first_msn: u64,
    /// The first discontinuity sequence number: another one for each muxer, so that a player does not take one's times for the
    /// other's, but a small one. hls.js keeps an array with so many entries.
    pub first_discontinuity: u64,
    /// Complete segments that are listed; at least 3.
    pub segments: usize,
    /// Least Target Duration, µs.
    pub segment_target: u64,
    /// Most bytes kept in all; the oldest segments go first, down to three.
    pub max_bytes: usize,
}

/// How a segment joins the one before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Seam {
    /// Time and parameters go on.
    Continues,
    /// `EXT-X-DISCONTINUITY`.
    Breaks,
}

/// Can a blocked request be answered?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Availability {
    /// The playlist has it.
    Ready,
    /// It comes; hold.
    Wait,
    /// So far ahead that the client is mistaken: `400` (§6.2.5.2).
    TooFar,
}

/// What became of a part that was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PartLookup {
    /// Here it is.
    Here(Bytes),
    /// The one that comes next; hold.
    Next,
    /// There is none of that number any more, or not yet.
    Missing,
}

#[derive(Debug, Clone)]
pub(super) struct Part {
    pub(super) number: u64,
    pub(super) duration: u64,
    pub(super) independent: bool,
    pub(super) bytes: Bytes,
}

#[derive(Debug, Clone)]
pub(super) struct Segment {
    pub(super) msn: u64,
    pub(super) init: u64,
    pub(super) seam: Seam,
    /// Wall clock of its start, µs since 1970.
    pub(super) date: u64,
    pub(super) parts: Vec<Part>,
    pub(super) duration: u64,
    pub(super) bytes: usize,
}

impl Segment {
    const fn new(msn: u64, init: u64, seam: Seam, date: u64) -> Self {
        Self { msn, init, seam, date, parts: Vec::new(), duration: 0, bytes: 0 }
    }
}

/// A segment as it is sent: its parts one after another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SegmentView {
    /// Number of its first part.
    pub first_part: u64,
    /// How many parts.
    pub parts: u64,
    /// Bytes of all.
    pub bytes: usize,
}

/// The window.
#[derive(Debug)]
pub struct Window {
    pub(super) config: WindowConfig,
    /// Complete segments, oldest first; the first [`Self::unlisted`] are kept but not listed.
    pub(super) segments: VecDeque<Segment>,
    pub(super) unlisted: usize,
    pub(super) open: Segment,
    /// Init segments by number, oldest first.
    inits: VecDeque<(u64, Bytes)>,
    pub(super) next_part: u64,
    pub(super) discontinuity_sequence: u64,
    pub(super) target: u64,
    pub(super) part_target: u64,
    pub(super) ended: bool,
    bytes: usize,
}

/// A playlist may not grow without bound where segments are much shorter than the longest one: an hour at ten seconds.
const MOST_LISTED: usize = 360;
/// Parts are listed for so many complete segments.
pub(super) const PART_SEGMENTS: usize = 3;

impl Window {
    /// An empty window whose first segment begins at `date` (µs since 1970) with `init`.
    pub fn new(config: WindowConfig, init: Bytes, part_target: u64, date: u64) -> Self {
        let config = WindowConfig { segments: config.segments.max(3), ..config };
        Self {
            config,
            segments: VecDeque::new(),
            unlisted: 0,
            open: Segment::new(config.first_msn, 0, Seam::Continues, date),
            inits: VecDeque::from([(0, init)]),
            next_part: 0,
            discontinuity_sequence: config.first_discontinuity,
            target: config.segment_target.div_ceil(1_000_000).max(1),
            part_target: part_target.max(1),
            ended: false,
            bytes: 0,
        }
    }

    /// Announces this Part Target Duration from now on, if it is longer than what was.
    pub fn raise_part_target(&mut self, target: u64) {
        self.part_target = self.part_target.max(target);
    }

    /// Adds a part of `duration` µs to the segment in the making.
    pub fn push_part(&mut self, bytes: Bytes, duration: u64, independent: bool) {
        self.bytes = self.bytes.saturating_add(bytes.len());
        let open = &mut self.open;
        open.bytes = open.bytes.saturating_add(bytes.len());
        open.duration = open.duration.saturating_add(duration);
        open.parts.push(Part { number: self.next_part, duration, independent, bytes });
        self.next_part += 1;
        // Both are promises that are kept as long as the source lets us: one picture that lasts longer than a part is one part.
        self.part_target = self.part_target.max(duration.div_ceil(1_000) * 1_000);
        self.target = self.target.max(self.open.duration.saturating_add(500_000) / 1_000_000);
        self.evict();
    }

    /// Completes the segment in the making, if it has parts, and begins the next at `date`. Where the init segment is another
    /// one from here on, it is given.
    pub fn begin_segment(&mut self, seam: Seam, init: Option<Bytes>, date: u64) {
        if let Some(init) = init {
            let number = self.inits.back().map_or(0, |(number, _)| number + 1);
            self.inits.push_back((number, init));
        }
        let init = self.inits.back().map_or(0, |(number, _)| *number);
        if self.open.parts.is_empty() {
            // What broke before anything was written breaks still.
            let seam = if self.open.seam == Seam::Breaks { Seam::Breaks } else { seam };
            self.open = Segment::new(self.open.msn, init, seam, date);
        } else {
            let next = Segment::new(self.open.msn.saturating_add(1), init, seam, date);
            self.segments.push_back(std::mem::replace(&mut self.open, next));
        }
        self.slide();
    }

    /// The stream is over: the segment in the making is complete, nothing follows.
    pub fn end(&mut self) {
        let date = self.open.date.saturating_add(self.open.duration);
        self.begin_segment(Seam::Continues, None, date);
        self.ended = true;
    }

    /// Has the stream ended?
    pub const fn is_ended(&self) -> bool {
        self.ended
    }

    /// Is there a playlist that a player accepts: a segment to list?
    pub fn is_presentable(&self) -> bool {
        !self.segments.is_empty()
    }

    /// Bytes of the segment in the making.
    pub const fn open_bytes(&self) -> usize {
        self.open.bytes
    }

    /// How long the segment in the making is, µs.
    pub const fn open_duration(&self) -> u64 {
        self.open.duration
    }

    /// When the next part begins, µs since 1970.
    pub const fn edge_date(&self) -> u64 {
        self.open.date.saturating_add(self.open.duration)
    }

    /// Bytes kept.
    pub const fn bytes(&self) -> usize {
        self.bytes
    }

    /// Part Target Duration, µs.
    pub const fn part_target(&self) -> u64 {
        self.part_target
    }

    /// Target Duration, µs.
    pub const fn target(&self) -> u64 {
        self.target * 1_000_000
    }

    /// Bits a second: of the heaviest listed segment, and over all.
    pub fn bitrates(&self) -> (u64, u64) {
        let rate = |bytes: usize, micros: u64| (bytes as u64).saturating_mul(8_000_000) / micros.max(1);
        let all = || self.segments.iter().filter(|s| s.duration >= 500_000);
        let open = (self.open.duration > 0).then_some(&self.open);
        let peak = all().map(|s| rate(s.bytes, s.duration)).max();
        let some = all().chain(if peak.is_none() { open } else { None });
        let (bytes, micros) = some.fold((0, 0), |(b, d), s| (b + s.bytes, d + s.duration));
        let average = rate(bytes, micros);
        (peak.unwrap_or(average), average)
    }

    /// Can a request that asks for `block` be answered now?
    pub fn check(&self, block: Block) -> Availability {
        let at = self.open.msn;
        if self.ended || block.msn < at.saturating_sub(1) {
            return Availability::Ready;
        }
        let made = self.open.parts.len() as u64;
        // §6.2.5.2: beyond the last segment by two, or beyond the last part by the Advance Part Limit.
        let limit = if self.part_target < 1_000_000 { 3_000_000 / self.part_target } else { 3 };
        match (block.msn.checked_sub(at), block.part) {
            (None, None) => Availability::Ready,
            (None, Some(part)) => {
                let complete = self.segments.back().map_or(0, |s| s.parts.len() as u64);
                // A part beyond a segment's last is the first of the next.
                if part < complete || made > 0 { Availability::Ready } else { Availability::Wait }
            }
            (Some(0), Some(part)) if part < made => Availability::Ready,
            (Some(0), Some(part)) if part > made.saturating_add(limit) => Availability::TooFar,
            (Some(1), Some(part)) if part > limit => Availability::TooFar,
            (Some(0 | 1), _) => Availability::Wait,
            (Some(_), _) => Availability::TooFar,
        }
    }

    /// The init segment of this number.
    pub fn init(&self, number: u64) -> Option<Bytes> {
        self.inits.iter().find(|(n, _)| *n == number).map(|(_, bytes)| bytes.clone())
    }

    /// A complete segment. Its parts are fetched one by one, so that a slow client holds one of them and not all.
    pub fn segment(&self, msn: u64) -> Option<SegmentView> {
        let segment = self.segments.iter().find(|s| s.msn == msn)?;
        let first_part = segment.parts.first()?.number;
        Some(SegmentView { first_part, parts: segment.parts.len() as u64, bytes: segment.bytes })
    }

    /// A part.
    pub fn part(&self, number: u64) -> PartLookup {
        if number == self.next_part && !self.ended {
            return PartLookup::Next;
        }
        let holds = |s: &&Segment| s.parts.first().is_some_and(|p| p.number <= number);
        let newest = std::iter::once(&self.open).chain(self.segments.iter().rev()).find(holds);
        match newest.and_then(|s| s.parts.iter().find(|p| p.number == number)) {
            Some(part) => PartLookup::Here(part.bytes.clone()),
            None => PartLookup::Missing,
        }
    }

    pub(super) fn listed(&self) -> impl DoubleEndedIterator<Item = &Segment> + Clone {
        self.segments.iter().skip(self.unlisted)
    }

    /// Is `duration` what a part that is not its segment's last should last?
    #[doc(hidden)]
    pub const fn is_regular(&self, duration: u64) -> bool {
        duration <= self.part_target && duration >= least(self.part_target)
    }

    fn slide(&mut self) {
        loop {
            let listed = self.segments.len() - self.unlisted;
            if listed <= self.config.segments {
                break;
            }
            // §6.2.2: what stays must last three target durations.
            let rest: u64 = self.listed().skip(1).map(|s| s.duration).sum();
            if rest < self.target() * 3 && listed <= MOST_LISTED {
                break;
            }
            self.unlist();
        }
        // Kept: as long as the playlist that listed it lasts.
        while self.unlisted > self.segments.len() - self.unlisted + 1 {
            self.drop_oldest();
        }
        self.evict();
    }

    fn unlist(&mut self) {
        if let Some(segment) = self.segments.get(self.unlisted) {
            self.discontinuity_sequence += u64::from(segment.seam == Seam::Breaks);
            self.unlisted += 1;
        }
    }

    fn drop_oldest(&mut self) {
        if let Some(segment) = self.segments.pop_front() {
            self.bytes = self.bytes.saturating_sub(segment.bytes);
            self.unlisted = self.unlisted.saturating_sub(1);
        }
        let oldest = self.segments.front().map_or(self.open.init, |s| s.init);
        self.inits.retain(|(number, _)| *number >= oldest);
    }

    fn evict(&mut self) {
        while self.bytes > self.config.max_bytes && self.segments.len() > 3 {
            if self.unlisted == 0 {
                self.unlist();
            }
            self.drop_oldest();
        }
    }
}
