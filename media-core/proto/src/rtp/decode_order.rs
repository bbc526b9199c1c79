//! Decode times for pictures whose RTP timestamps say only when they are shown. Not here: how many pictures a stream reorders (`media`).

use media::{ClockRate, MediaTime};

/// Pictures are at most this many places out of order (ITU-T H.264 §A.3.1: MaxDpbFrames).
const MAX_DEPTH: usize = 16;

/// Before enough pictures were seen, decode times step by this: less than a frame at any rate, so that they rise.
const WARM_STEP: MediaTime = MediaTime::new(1, ClockRate::MILLI);

/// Gives each picture of a track, in decode order, the time by which it is decoded: with `n` pictures out of place at most, that is
/// the time of the picture shown `n` places before it. Nothing is held back for it.
#[derive(Debug, Clone, Default)]
pub struct DecodeOrder {
    /// Presentation times that no picture was given as its decode time yet, rising.
    waiting: Vec<MediaTime>,
    last: Option<MediaTime>,
}

impl DecodeOrder {
    /// For a track that begins.
    pub const fn new() -> Self {
        Self { waiting: Vec::new(), last: None }
    }

    /// The decode time of the next picture, shown at `pts`, of a stream that reorders up to `depth` pictures.
    pub fn dts(&mut self, pts: MediaTime, depth: u32) -> MediaTime {
        let depth = usize::try_from(depth).unwrap_or(MAX_DEPTH).min(MAX_DEPTH);
        let at = self.waiting.partition_point(|t| *t <= pts);
        self.waiting.insert(at, pts);
        let first = self.waiting.first().copied().unwrap_or(pts);
        let missing = (depth + 1).saturating_sub(self.waiting.len());
        let mut dts =
            first.minus(MediaTime::new(WARM_STEP.ticks() * i64::try_from(missing).unwrap_or(0), WARM_STEP.rate()));
        while self.waiting.len() > depth {
            self.waiting.remove(0);
        }
        // A stream that reorders more than it says still gets times that rise.
        if let Some(last) = self.last.filter(|last| dts <= *last) {
            dts = last.plus(MediaTime::new(1, last.rate()));
        }
        self.last = Some(dts);
        dts
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn run(times: &[i64], depth: u32) -> Vec<i64> {
        let mut order = DecodeOrder::new();
        times.iter().map(|t| order.dts(MediaTime::new(*t, ClockRate::MILLI), depth).ticks()).collect()
    }

    #[test]
    fn streams() {
        assert_eq!(run(&[0, 40, 80], 0), [0, 40, 80]);
        // I P B b b P B b b, as x264 codes a pyramid of three.
        let shown = [0, 160, 80, 40, 120, 320, 240, 200, 280];
        assert_eq!(run(&shown, 2), [-2, -1, 0, 40, 80, 120, 160, 200, 240]);
        // More out of order than announced.
        assert_eq!(run(&[0, 160, 80, 40], 1), [-1, 0, 80, 81]);
    }

    proptest! {
        #[test]
        fn never_later_than_shown_and_rising(groups in prop::collection::vec(1_i64..4, 1..20)) {
            let mut shown = vec![0];
            for b in groups {
                let start = shown.iter().max().copied().unwrap_or(0);
                shown.push(start + 40 * (b + 1));
                shown.extend((1..=b).map(|i| start + 40 * i));
            }
            let dts = run(&shown, 1);
            for (d, p) in dts.iter().zip(&shown) {
                prop_assert!(d <= p);
            }
            prop_assert!(dts.windows(2).all(|w| w[0] < w[1]));
        }
    }
}
