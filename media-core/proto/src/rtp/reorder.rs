//! The reorder buffer: packets in any order in, packets in sequence out, with a note where some are missing.
//!
//! Belongs here: how long to wait for a missing packet. Not here: asking for it again (`relay::webrtc`), playing out at an
//! even pace (the player does that).

use media::{MonoTime, Unwrapper};
use std::collections::BTreeMap;
use std::time::Duration;

/// A packet in its turn.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ordered<T> {
    /// What was pushed.
    pub item: T,
    /// Packets before it are missing for good.
    pub gap: bool,
}

/// What happened so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ReorderStats {
    /// Packets given up.
    pub lost: u64,
    /// Packets that came twice or after they were given up.
    pub late: u64,
    /// How often the sequence started anew.
    pub restarts: u64,
}

/// A step of the sequence number beyond these is a restarted sender, not loss (RFC 3550 §A.1).
const MAX_DROPOUT: i64 = 3000;
const MAX_MISORDER: i64 = 3000;
/// Most packets held while one is missing: 20 Mbit/s for 250 ms at 1200 bytes. Beyond it the missing one is given up.
const MAX_HELD: usize = 1024;

/// Puts packets of one source back in order.
#[derive(Debug)]
pub struct ReorderBuffer<T> {
    wait: Duration,
    sequence: Unwrapper<16>,
    /// The next number to hand out.
    next: Option<i64>,
    held: BTreeMap<i64, (MonoTime, T)>,
    /// A number after which the sender would have restarted.
    suspect: Option<u16>,
    gap: bool,
    stats: ReorderStats,
}

impl<T> ReorderBuffer<T> {
    /// Waits up to `wait` for a missing packet, counted from the arrival of the first packet behind it.
    pub const fn new(wait: Duration) -> Self {
        Self {
            wait,
            sequence: Unwrapper::new(),
            next: None,
            held: BTreeMap::new(),
            suspect: None,
            gap: false,
            stats: ReorderStats { lost: 0, late: 0, restarts: 0 },
        }
    }

    /// Takes a packet with its raw sequence number.
    pub fn push(&mut self, sequence: u16, item: T, now: MonoTime) {
        let mut probe = self.sequence.clone();
        let number = probe.unwrap(u64::from(sequence));
        let Some(next) = self.next else {
            self.start(sequence, item, now);
            return;
        };
        let step = number - next;
        if !(-MAX_MISORDER..=MAX_DROPOUT).contains(&step) {
            // Two in a row from the new place: the sender restarted. One alone is noise.
            if self.suspect == Some(sequence) {
                self.stats.restarts += 1;
                self.held.clear();
                self.gap = true;
                self.start(sequence, item, now);
            } else {
                self.suspect = Some(sequence.wrapping_add(1));
            }
            return;
        }
        self.suspect = None;
        if step < 0 || self.held.contains_key(&number) {
            self.stats.late += 1;
            return;
        }
        // Late packets were turned away above, so they cannot pull the unwrapper back.
        self.sequence = probe;
        self.held.insert(number, (now, item));
    }

    fn start(&mut self, sequence: u16, item: T, now: MonoTime) {
        self.sequence = Unwrapper::new();
        let number = self.sequence.unwrap(u64::from(sequence));
        self.suspect = None;
        self.next = Some(number);
        self.held.insert(number, (now, item));
    }

    /// The next packet whose turn it is at `now`; call until `None`.
    pub fn pop(&mut self, now: MonoTime) -> Option<Ordered<T>> {
        let next = self.next?;
        let (&number, &(arrived, _)) = self.held.first_key_value()?;
        if number != next && now.since(arrived) < self.wait && self.held.len() < MAX_HELD {
            return None;
        }
        let (_, (_, item)) = self.held.pop_first()?;
        if number != next {
            self.stats.lost = self.stats.lost.saturating_add_signed(number - next);
            self.gap = true;
        }
        self.next = Some(number + 1);
        Some(Ordered { item, gap: std::mem::take(&mut self.gap) })
    }

    /// When [`Self::pop`] would give up waiting; `None` while nothing is missing.
    pub fn deadline(&self) -> Option<MonoTime> {
        let (&number, &(arrived, _)) = self.held.first_key_value()?;
        Some(if Some(number) == self.next { arrived } else { arrived + self.wait })
    }

    /// Counts since the beginning.
    pub const fn stats(&self) -> ReorderStats {
        self.stats
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at(ms: u64) -> MonoTime {
        MonoTime::from_micros(ms * 1000)
    }

    fn drain(buffer: &mut ReorderBuffer<u16>, now: MonoTime) -> Vec<(u16, bool)> {
        std::iter::from_fn(|| buffer.pop(now)).map(|o| (o.item, o.gap)).collect()
    }

    #[test]
    fn waits_then_gives_up() {
        let mut b = ReorderBuffer::new(Duration::from_millis(100));
        b.push(65535, 65535, at(0));
        b.push(1, 1, at(10));
        assert_eq!(drain(&mut b, at(10)), [(65535, false)]);
        assert_eq!(b.deadline(), Some(at(110)));
        assert_eq!(drain(&mut b, at(109)), []);
        assert_eq!(drain(&mut b, at(110)), [(1, true)]);
        b.push(0, 0, at(111));
        assert_eq!((drain(&mut b, at(200)), b.stats()), (vec![], ReorderStats { lost: 1, late: 1, restarts: 0 }));
    }

    #[test]
    fn a_retransmission_fills_the_hole() {
        let mut b = ReorderBuffer::new(Duration::from_millis(100));
        [10, 12, 13].into_iter().for_each(|n| b.push(n, n, at(0)));
        assert_eq!(drain(&mut b, at(0)), [(10, false)]);
        b.push(11, 11, at(50));
        assert_eq!(drain(&mut b, at(50)), [(11, false), (12, false), (13, false)]);
    }

    #[test]
    fn a_restarted_sender_is_followed() {
        let mut b = ReorderBuffer::new(Duration::from_millis(100));
        b.push(10, 10, at(0));
        drain(&mut b, at(0));
        b.push(30_000, 30_000, at(1));
        assert_eq!(drain(&mut b, at(1)), []);
        b.push(11, 11, at(2));
        assert_eq!(drain(&mut b, at(2)), [(11, false)]);
        b.push(40_000, 40_000, at(3));
        b.push(40_001, 40_001, at(3));
        assert_eq!(drain(&mut b, at(3)), [(40_001, true)]);
        assert_eq!(b.stats().restarts, 1);
    }

    proptest! {
        /// Whatever the order and loss: out come rising numbers, and a gap is told exactly where one is missing.
        #[test]
        fn rising_and_honest(first: u16, keep in prop::collection::vec(any::<bool>(), 1..200), swap in 1_usize..8) {
            let mut sent: Vec<u16> = (0_u16..).zip(&keep).filter(|(i, k)| **k || *i == 0).map(|(i, _)| i).collect();
            for pair in sent[1..].chunks_mut(swap) {
                pair.reverse();
            }
            let mut b = ReorderBuffer::new(Duration::from_millis(100));
            let mut got = Vec::new();
            for (i, &n) in sent.iter().enumerate() {
                b.push(first.wrapping_add(n), n, at(i as u64));
                got.extend(drain(&mut b, at(i as u64)));
            }
            got.extend(drain(&mut b, at(100_000)));
            prop_assert_eq!(got.len(), sent.len());
            for pair in got.windows(2) {
                prop_assert!(pair[0].0 < pair[1].0);
                prop_assert_eq!(pair[1].1, pair[0].0 + 1 != pair[1].0);
            }
        }
    }
}
