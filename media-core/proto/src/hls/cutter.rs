//! Where a stream is cut into parts and segments.
//!
//! Belongs here: the decision, from the times of the leading track (the picture, else the sound). Not here: the boxes that are
//! cut (`container::fmp4`), what is listed (`window`).
//!
//! A part is cut as soon as another picture would not fit any more, not when that picture comes: its first picture would
//! otherwise be one interval later at the player. The Part Target Duration follows the picture rate: at 24 a second, 200 ms
//! would hold four pictures, 83 % of the target where 85 % is the least (RFC 8216bis §4.4.4.9); five at 209 ms are announced.

/// What to do before a unit is added.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cut {
    /// Nothing.
    No,
    /// What was gathered is a part.
    Part,
    /// What was gathered is a part, and the last of its segment.
    Segment,
}

/// Decides where to cut. All times in microseconds.
#[derive(Debug, Clone)]
pub struct Cutter {
    part: u64,
    segment: u64,
    /// Part Target Duration; fixed with the first part.
    target: Option<u64>,
    /// How far apart units are, smoothed.
    interval: Option<u64>,
    last_dts: Option<i64>,
    /// How far intervals have strayed from the smoothed one.
    jitter: u64,
}

/// Least room above a whole number of intervals: timestamps of whole milliseconds stray so much.
const LEAST_SLACK: u64 = 2_000;
/// A step this long is a pause, not an interval.
const PAUSE: u64 = 1_000_000;

impl Cutter {
    /// Parts of about `part` µs, segments of at least `segment` µs.
    pub fn new(part: u64, segment: u64) -> Self {
        let part = part.max(1_000);
        Self { part, segment: segment.max(part), target: None, interval: None, last_dts: None, jitter: 0 }
    }

    /// Part Target Duration in µs.
    pub fn target(&self) -> u64 {
        self.target.unwrap_or(self.part)
    }

    /// How far apart units of the leading track are, µs; `None` before the second.
    pub const fn interval(&self) -> Option<u64> {
        self.interval
    }

    /// Asks before a unit of the leading track is added. `pending`: how long the units gathered for the next part last;
    /// `segment`: how long the segment's parts last already.
    pub fn before(&mut self, key: bool, dts: i64, pending: u64, segment: u64) -> Cut {
        let step = self.step(dts);
        // A key frame every second whose timestamps are whole milliseconds comes after 999 ms as well.
        let early = self.interval.unwrap_or(0) / 2;
        let length = segment.saturating_add(pending);
        if key && length > 0 && length.saturating_add(early) >= self.segment {
            return Cut::Segment;
        }
        match step {
            Some(step) if pending > 0 && self.target.is_some_and(|t| pending.saturating_add(step) > t) => Cut::Part,
            _ => Cut::No,
        }
    }

    /// Asks after a unit of the leading track was added, with which the part lasts `pending`; true if it is complete.
    pub fn is_full(&mut self, pending: u64) -> bool {
        let interval = self.interval.unwrap_or(pending).max(1);
        let another = pending.saturating_add(interval);
        if self.target.is_none() && another > self.part + LEAST_SLACK && pending >= least(self.part) {
            self.target = Some(self.choose_target(pending, interval));
        }
        self.target.is_some_and(|target| another > target && pending >= least(target))
    }

    /// Forgets where units were: the stream breaks here.
    pub const fn restart(&mut self) {
        self.last_dts = None;
    }

    fn step(&mut self, dts: i64) -> Option<u64> {
        let step = self.last_dts.map(|last| u64::try_from(dts.saturating_sub(last)).unwrap_or(0));
        self.last_dts = Some(dts);
        let step = step.filter(|&step| step < PAUSE)?;
        let smooth = self.interval.map_or(step, |before| (before * 7 + step) / 8);
        if self.interval.is_some() {
            self.jitter = (self.jitter * 7 + step.abs_diff(smooth)) / 8;
        }
        self.interval = Some(smooth);
        Some(step)
    }

    /// The first part decides: a whole number of intervals, and room for what timestamps stray.
    fn choose_target(&self, pending: u64, interval: u64) -> u64 {
        let whole = (pending + interval / 2) / interval * interval;
        let slack = (2 * self.jitter).clamp(LEAST_SLACK, (self.part / 20).max(LEAST_SLACK));
        (whole.max(pending.saturating_sub(slack)) + slack).div_ceil(1_000) * 1_000
    }
}

/// The shortest part that is not a segment's last: 85 % of the target.
pub(super) const fn least(target: u64) -> u64 {
    target / 100 * 85
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Cuts a stream of `dts` (µs), a key picture every `gop`; parts as (duration, ends a segment).
    fn cut(dts: &[i64], gop: usize) -> (Vec<(u64, bool)>, u64) {
        let mut cutter = Cutter::new(200_000, 1_000_000);
        let (mut parts, mut start, mut end, mut segment) = (Vec::new(), 0, 0, 0);
        let mut guess = 0;
        let close = |start: &mut i64, end: i64, segment: &mut u64, last: bool, parts: &mut Vec<(u64, bool)>| {
            let length = u64::try_from(end - *start).unwrap();
            if length > 0 {
                parts.push((length, last));
            } else if let (true, Some(part)) = (last, parts.last_mut()) {
                part.1 = true;
            }
            *start = end;
            *segment = if last { 0 } else { *segment + length };
        };
        for (index, &at) in dts.iter().enumerate() {
            let pending = u64::try_from(end - start).unwrap();
            match cutter.before(index % gop == 0, at, pending, segment) {
                Cut::No => {}
                Cut::Part => close(&mut start, end, &mut segment, false, &mut parts),
                Cut::Segment => close(&mut start, end, &mut segment, true, &mut parts),
            }
            if index > 0 {
                guess = at - dts[index - 1];
            }
            end = end.max(at + guess);
            if cutter.is_full(u64::try_from(end - start).unwrap()) {
                close(&mut start, end, &mut segment, false, &mut parts);
            }
        }
        (parts, cutter.target())
    }

    fn steady(rate: f64, count: usize) -> Vec<i64> {
        // Whole milliseconds, as RTMP has them.
        (0..count).map(|i| (i as f64 * 1000.0 / rate).round() as i64 * 1000).collect()
    }

    #[test]
    fn every_usual_rate_fits() {
        for rate in [10.0_f64, 12.0, 12.5, 15.0, 20.0, 23.976, 24.0, 25.0, 29.97, 30.0, 48.0, 50.0, 59.94, 60.0] {
            let gop = rate.round() as usize;
            let (parts, target) = cut(&steady(rate, gop * 8), gop);
            for &(length, last) in &parts {
                assert!(length <= target, "{rate}/s: {length} above {target}");
                assert!(last || length >= least(target), "{rate}/s: {length} below 85 % of {target}");
            }
            assert!(parts.iter().filter(|p| p.1).count() >= 5, "{rate}/s: segments end at key pictures");
            assert!((170_000..300_000).contains(&target), "{rate}/s: {target}");
        }
    }

    #[test]
    fn thirty_a_second_is_six_a_part() {
        let (parts, target) = cut(&steady(30.0, 240), 30);
        assert_eq!(target, 202_000, "{parts:?}");
        assert!(parts.iter().skip(1).all(|p| (199_000..=201_000).contains(&p.0)), "{parts:?}");
    }

    proptest! {
        #[test]
        fn no_part_exceeds_the_target(steps in prop::collection::vec(5_000_i64..100_000, 50..200), gop in 5_usize..60) {
            let dts: Vec<i64> = steps.iter().scan(0, |at, step| { *at += step; Some(*at) }).collect();
            let (parts, target) = cut(&dts, gop);
            // The end of a part's last picture is guessed from the one before.
            prop_assert!(parts.iter().skip(1).all(|p| p.0 <= target + 100_000));
        }
    }
}
