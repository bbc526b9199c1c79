//! What one window still has to be sent, and what is dropped when it cannot keep up.
//!
//! The patient's access units go out in order, every one; a window more than half a second behind jumps to the newest key unit,
//! never to anything between two. Own pictures and levels: the latest wins.
//!
//! Belongs here: that queue, told units and asked for the next. Not here: bytes (`wire`), the connection (`socket`), lip sync
//! (`sync`).

use media::{AccessUnit, MonoTime};
use std::collections::VecDeque;
use std::time::Duration;

/// Further behind than this a conversation suffers more from the delay than from a jump.
const MAX_BEHIND: Duration = Duration::from_millis(500);
/// What a window that does not read at all may cost.
const MAX_BYTES: usize = 8 << 20;
/// Units of one GOP kept for a window that (re)opens: ten seconds at 60 pictures a second.
const MAX_GOP: usize = 600;

/// One unit for the window.
#[derive(Debug, Clone)]
pub(crate) struct Outgoing {
    pub(crate) unit: AccessUnit,
    /// Rises by one with every unit of the patient's picture.
    pub(crate) sequence: u32,
    /// The decoder starts anew here.
    pub(crate) discontinuity: bool,
    /// When the unit was handed to the window's queue.
    pub(crate) queued: MonoTime,
}

/// The queue of one window.
#[derive(Debug, Default)]
pub(crate) struct WindowQueue {
    units: VecDeque<Outgoing>,
    bytes: usize,
    /// Units are passed over until a key unit.
    need_key: bool,
    /// The next unit that goes out is marked.
    mark: bool,
    dropped: u64,
}

impl WindowQueue {
    /// An empty queue whose first unit will be a key unit.
    pub(crate) fn new() -> Self {
        Self { need_key: true, mark: true, ..Self::default() }
    }

    /// Takes a unit. Answers whether the sender should be asked for a key unit.
    pub(crate) fn push(&mut self, mut unit: Outgoing) -> bool {
        if self.need_key && !unit.unit.is_key() {
            self.dropped += 1;
            return false;
        }
        unit.discontinuity |= std::mem::take(&mut self.mark) | self.need_key;
        self.need_key = false;
        let now = unit.queued;
        self.bytes += unit.unit.payload.len();
        self.units.push_back(unit);
        self.catch_up(now)
    }

    /// The next unit to send.
    pub(crate) fn pop(&mut self) -> Option<Outgoing> {
        let unit = self.units.pop_front()?;
        self.bytes = self.bytes.saturating_sub(unit.unit.payload.len());
        Some(unit)
    }

    /// The stream breaks here: what waits is of no use any more.
    pub(crate) fn restart(&mut self) {
        self.dropped += self.units.len() as u64;
        self.units.clear();
        self.bytes = 0;
        self.need_key = true;
        self.mark = true;
    }

    /// Units that were never sent.
    #[cfg(test)]
    pub(crate) const fn dropped(&self) -> u64 {
        self.dropped
    }

    fn catch_up(&mut self, now: MonoTime) -> bool {
        let behind = self.units.front().is_some_and(|oldest| now.since(oldest.queued) > MAX_BEHIND);
        if behind && let Some(key) = self.units.iter().rposition(|u| u.unit.is_key()).filter(|key| *key > 0) {
            for _ in 0..key {
                self.pop();
            }
            self.dropped += key as u64;
            if let Some(first) = self.units.front_mut() {
                first.discontinuity = true;
            }
        }
        if self.bytes > MAX_BYTES {
            self.restart();
            return true;
        }
        false
    }
}

/// The units since the newest key unit, for a window that opens in the middle.
#[derive(Debug, Default)]
pub(crate) struct LastGop {
    units: Vec<Outgoing>,
}

impl LastGop {
    /// Takes the unit that goes to the windows.
    pub(crate) fn push(&mut self, unit: &Outgoing) {
        if unit.unit.is_key() {
            self.units.clear();
        } else if self.units.is_empty() || self.units.len() >= MAX_GOP {
            // Without its key unit, or beyond all measure, it starts nothing.
            self.units.clear();
            return;
        }
        self.units.push(unit.clone());
    }

    /// Forgets it.
    pub(crate) fn clear(&mut self) {
        self.units.clear();
    }

    /// From the key unit on.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Outgoing> {
        self.units.iter()
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use bytes::Bytes;
    use media::{ClockRate, CodecParams, MediaTime, OpusParams, TrackId, UnitKind};
    use proptest::prelude::*;
    use std::sync::Arc;

    pub(crate) fn outgoing(sequence: u32, key: bool, at_ms: u64, size: usize) -> Outgoing {
        let time = MediaTime::new(i64::try_from(at_ms).unwrap(), ClockRate::MILLI);
        let unit = AccessUnit {
            track: TrackId(0),
            dts: time,
            pts: time,
            duration: None,
            kind: if key { UnitKind::Key } else { UnitKind::Delta },
            captured: None,
            params: Arc::new(CodecParams::Opus(OpusParams::WEBRTC)),
            payload: Bytes::from(vec![0; size]),
        };
        Outgoing { unit, sequence, discontinuity: false, queued: MonoTime::from_micros(at_ms * 1000) }
    }

    fn drain(queue: &mut WindowQueue) -> Vec<(u32, bool)> {
        std::iter::from_fn(|| queue.pop()).map(|u| (u.sequence, u.discontinuity)).collect()
    }

    #[test]
    fn starts_with_a_key_and_keeps_order() {
        let mut queue = WindowQueue::new();
        for (n, key) in [(0, false), (1, true), (2, false), (3, true)] {
            queue.push(outgoing(n, key, u64::from(n) * 33, 10));
        }
        assert_eq!(drain(&mut queue), [(1, true), (2, false), (3, false)]);
        assert_eq!(queue.dropped(), 1);
    }

    #[test]
    fn half_a_second_behind_jumps_to_the_newest_key() {
        let mut queue = WindowQueue::new();
        for n in 0..20 {
            queue.push(outgoing(n, n % 6 == 0, u64::from(n) * 33, 10));
        }
        let got = drain(&mut queue);
        assert_eq!(got.first(), Some(&(12, true)));
        assert_eq!(got.len(), 8);
    }

    #[test]
    fn without_a_later_key_nothing_is_cut() {
        let mut queue = WindowQueue::new();
        for n in 0..60 {
            queue.push(outgoing(n, n == 0, u64::from(n) * 33, 10));
        }
        assert_eq!(drain(&mut queue).len(), 60);
    }

    #[test]
    fn a_window_that_does_not_read_costs_a_bounded_amount() {
        let mut queue = WindowQueue::new();
        let asked = (0..30).filter(|n| queue.push(outgoing(*n, *n == 0, 0, 1 << 20))).count();
        assert_eq!(asked, 1, "a key unit is asked for once; what cannot be used is dropped");
        assert!(drain(&mut queue).is_empty());
    }

    #[test]
    fn last_gop_is_whole_or_nothing() {
        let mut gop = LastGop::default();
        for n in 0..MAX_GOP as u32 + 3 {
            gop.push(&outgoing(n, n == 2, 0, 1));
            let first = gop.iter().next().map(|u| u.sequence);
            assert!(first.is_none() || first == Some(2));
        }
        assert_eq!(gop.iter().count(), 0);
    }

    proptest! {
        /// Whatever comes and goes: a unit is preceded by the one before it, or is a marked key unit.
        #[test]
        fn never_half_a_gop(keys in prop::collection::vec((any::<bool>(), 0_u8..5, 1_u64..200), 1..200)) {
            let (mut queue, mut last, mut at) = (WindowQueue::new(), None, 0);
            for (n, (key, pops, step)) in (0_u32..).zip(keys) {
                at += step;
                queue.push(outgoing(n, key, at, 1 << 18));
                for _ in 0..pops {
                    let Some(got) = queue.pop() else { break };
                    let follows = last.map(|l: u32| l + 1) == Some(got.sequence);
                    prop_assert!(follows || (got.unit.is_key() && got.discontinuity), "{} after {last:?}", got.sequence);
                    last = Some(got.sequence);
                }
            }
        }
    }
}
