//! The ring: the newest units of a path, all tracks in write order.
//!
//! Belongs here: what is kept and where a reader may start. Not here: waiting (`path`), who reads (`reader`).
//!
//! Kept are at least the units since the newest key frame, within [`RingLimits::bytes`]; beyond that, whatever is younger
//! than [`RingLimits::span`]. A GOP that outgrows the bytes is cut at its front, and then there is no start point until the
//! next key frame.

use media::{AccessUnit, MonoTime, TrackSet};
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

/// How much a path keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RingLimits {
    /// Most bytes of payload. 32 MiB: ten seconds of a 25 Mbit/s camera; a path costs its reader-independent maximum once.
    pub bytes: usize,
    /// Span kept beyond the newest GOP, so that a reader may be this late before it loses units.
    pub span: Duration,
}

impl Default for RingLimits {
    fn default() -> Self {
        Self { bytes: 32 << 20, span: Duration::from_secs(4) }
    }
}

/// One unit, with what was true when it was written.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) unit: AccessUnit,
    pub(crate) tracks: Arc<TrackSet>,
    pub(crate) arrived: MonoTime,
    /// Which of the path's publishers wrote it.
    pub(crate) generation: u64,
}

#[derive(Debug)]
pub(crate) struct Ring {
    entries: VecDeque<Entry>,
    /// Number of the first entry; numbers rise for the life of the path.
    first: u64,
    bytes: usize,
    /// Number of the newest key frame, as long as it is kept.
    last_key: Option<u64>,
    limits: RingLimits,
}

impl Ring {
    pub(crate) const fn new(limits: RingLimits) -> Self {
        Self { entries: VecDeque::new(), first: 0, bytes: 0, last_key: None, limits }
    }

    /// Amortised O(1).
    pub(crate) fn push(&mut self, entry: Entry) {
        if entry.unit.is_key() {
            self.last_key = Some(self.end());
        }
        self.bytes = self.bytes.saturating_add(entry.unit.payload.len());
        self.entries.push_back(entry);
        self.prune();
    }

    fn prune(&mut self) {
        while let (Some(front), Some(back)) = (self.entries.front(), self.entries.back()) {
            let too_big = self.bytes > self.limits.bytes && self.entries.len() > 1;
            let in_newest_gop = self.last_key.is_some_and(|key| self.first >= key);
            let old = back.arrived.since(front.arrived) > self.limits.span;
            if !too_big && (in_newest_gop || !old) {
                return;
            }
            if self.last_key == Some(self.first) {
                self.last_key = None;
            }
            self.bytes = self.bytes.saturating_sub(front.unit.payload.len());
            self.entries.pop_front();
            self.first += 1;
        }
    }

    pub(crate) const fn first(&self) -> u64 {
        self.first
    }

    /// The number the next unit will get.
    pub(crate) fn end(&self) -> u64 {
        self.first + self.entries.len() as u64
    }

    pub(crate) fn get(&self, number: u64) -> Option<&Entry> {
        self.entries.get(usize::try_from(number.checked_sub(self.first)?).ok()?)
    }

    pub(crate) const fn last_key(&self) -> Option<u64> {
        self.last_key
    }

    pub(crate) fn newest(&self) -> Option<&Entry> {
        self.entries.back()
    }

    /// The newest GOP is no start any more: its publisher has gone.
    pub(crate) const fn forget_start(&mut self) {
        self.last_key = None;
    }

    pub(crate) const fn bytes(&self) -> usize {
        self.bytes
    }

    /// Forgets everything; numbers go on.
    pub(crate) fn clear(&mut self) {
        self.first = self.end();
        self.entries.clear();
        self.bytes = 0;
        self.last_key = None;
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use bytes::Bytes;
    use media::{ClockRate, CodecParams, MediaTime, OpusParams, TrackId, UnitKind};

    pub(crate) fn unit(track: u8, kind: UnitKind, dts_ms: i64, size: usize) -> AccessUnit {
        let dts = MediaTime::new(dts_ms, ClockRate::MILLI);
        AccessUnit {
            track: TrackId(track),
            dts,
            pts: dts,
            duration: None,
            kind,
            captured: None,
            params: Arc::new(CodecParams::Opus(OpusParams::WEBRTC)),
            payload: Bytes::from(vec![0; size]),
        }
    }

    fn push(ring: &mut Ring, kind: UnitKind, at_ms: u64, size: usize) {
        let unit = unit(0, kind, i64::try_from(at_ms).unwrap(), size);
        ring.push(Entry { unit, tracks: Arc::default(), arrived: MonoTime::from_micros(at_ms * 1000), generation: 1 });
    }

    fn ring(bytes: usize, span_ms: u64) -> Ring {
        Ring::new(RingLimits { bytes, span: Duration::from_millis(span_ms) })
    }

    #[test]
    fn keeps_the_newest_gop_whatever_its_age() {
        let mut r = ring(1 << 20, 100);
        push(&mut r, UnitKind::Key, 0, 1);
        (1..50).for_each(|i| push(&mut r, UnitKind::Delta, i * 40, 1));
        assert_eq!((r.first(), r.last_key()), (0, Some(0)));
        push(&mut r, UnitKind::Key, 2000, 1);
        assert_eq!(r.last_key(), Some(50));
        assert!(r.first() >= 47, "older GOPs go by age, {}", r.first());
    }

    #[test]
    fn cuts_an_oversize_gop_and_offers_no_start() {
        let mut r = ring(100, 10_000);
        push(&mut r, UnitKind::Key, 0, 60);
        push(&mut r, UnitKind::Delta, 40, 60);
        assert_eq!((r.first(), r.last_key(), r.bytes()), (1, None, 60));
        push(&mut r, UnitKind::Key, 80, 10);
        assert_eq!(r.last_key(), Some(2));
    }

    #[test]
    fn sound_alone_goes_by_age() {
        let mut r = ring(1 << 20, 100);
        (0..50).for_each(|i| push(&mut r, UnitKind::Audio, i * 20, 1));
        assert_eq!(r.end() - r.first(), 6);
    }
}
