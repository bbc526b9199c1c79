//! Media time: ticks with their clock rate, and the one rescale of the workspace.
//!
//! Belongs here: ticks, rates, rescaling, unwrapping of counters that wrap. Not here: monotonic time (`monotonic`),
//! repairing a publisher's timeline (`hub`).

use std::cmp::Ordering;
use std::fmt;
use std::num::NonZeroU32;
use std::time::Duration;

/// Ticks per second of a track's clock.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ClockRate(NonZeroU32);

impl ClockRate {
    /// 1 kHz: FLV and RTMP (Adobe FLV v10.1 §E.4.1).
    pub const MILLI: Self = Self::new_const(1_000);
    /// 90 kHz: video in RTP and MPEG-TS (RFC 6184 §8.2.1).
    pub const VIDEO: Self = Self::new_const(90_000);
    /// 48 kHz: Opus, whatever rate it codes internally (RFC 7587 §4.1), and AAC as we make it.
    pub const AUDIO_48K: Self = Self::new_const(48_000);
    /// 8 kHz: telephones (RFC 3551 §4.5.14).
    pub const TELEPHONE: Self = Self::new_const(8_000);
    /// 1 MHz: monotonic capture time.
    pub const MICRO: Self = Self::new_const(1_000_000);

    const fn new_const(hz: u32) -> Self {
        match NonZeroU32::new(hz) {
            Some(hz) => Self(hz),
            None => panic!("a clock rate is not zero"),
        }
    }

    /// A rate of `hz` ticks per second; `None` for zero.
    pub const fn new(hz: u32) -> Option<Self> {
        match NonZeroU32::new(hz) {
            Some(hz) => Some(Self(hz)),
            None => None,
        }
    }

    /// Ticks per second.
    pub const fn hz(self) -> u32 {
        self.0.get()
    }
}

impl fmt::Debug for ClockRate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} Hz", self.0)
    }
}

/// An instant or a span on a track's own clock. Two times compare by the seconds they stand for, at whatever rates.
#[derive(Clone, Copy)]
pub struct MediaTime {
    ticks: i64,
    rate: ClockRate,
}

impl MediaTime {
    /// `ticks` at `rate`.
    pub const fn new(ticks: i64, rate: ClockRate) -> Self {
        Self { ticks, rate }
    }

    /// `duration` on the clock `rate`, rounded down.
    pub fn from_duration(duration: Duration, rate: ClockRate) -> Self {
        let micros = i64::try_from(duration.as_micros()).unwrap_or(i64::MAX);
        Self::new(micros, ClockRate::MICRO).rescale(rate)
    }

    /// Ticks of [`Self::rate`].
    pub const fn ticks(self) -> i64 {
        self.ticks
    }

    /// The clock the ticks belong to.
    pub const fn rate(self) -> ClockRate {
        self.rate
    }

    /// The same instant on another clock, rounded down (towards minus infinity), saturating at the range of `i64`.
    ///
    /// Rounding down keeps order: `a <= b` implies `a.rescale(r) <= b.rescale(r)`.
    pub fn rescale(self, rate: ClockRate) -> Self {
        if rate == self.rate {
            return self;
        }
        let wide = (i128::from(self.ticks) * i128::from(rate.hz())).div_euclid(i128::from(self.rate.hz()));
        Self { ticks: saturate(wide), rate }
    }

    /// Whole microseconds, rounded down.
    pub fn micros(self) -> i64 {
        self.rescale(ClockRate::MICRO).ticks
    }

    /// Whole milliseconds, rounded down: what RTMP and FLV write.
    pub fn millis(self) -> i64 {
        self.rescale(ClockRate::MILLI).ticks
    }

    /// Seconds, for display and logs.
    pub fn seconds(self) -> f64 {
        self.ticks as f64 / f64::from(self.rate.hz())
    }

    /// As a duration; negative spans become zero.
    pub fn to_duration(self) -> Duration {
        Duration::from_micros(u64::try_from(self.micros()).unwrap_or(0))
    }

    /// `self + other` on the clock of `self`; `other` is rescaled first. Saturates.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self { ticks: self.ticks.saturating_add(other.rescale(self.rate).ticks), rate: self.rate }
    }

    /// `self - other` on the clock of `self`; `other` is rescaled first. Saturates.
    #[must_use]
    pub fn minus(self, other: Self) -> Self {
        Self { ticks: self.ticks.saturating_sub(other.rescale(self.rate).ticks), rate: self.rate }
    }
}

fn saturate(wide: i128) -> i64 {
    i64::try_from(wide).unwrap_or(if wide < 0 { i64::MIN } else { i64::MAX })
}

impl PartialEq for MediaTime {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for MediaTime {}

impl PartialOrd for MediaTime {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for MediaTime {
    fn cmp(&self, other: &Self) -> Ordering {
        let left = i128::from(self.ticks) * i128::from(other.rate.hz());
        let right = i128::from(other.ticks) * i128::from(self.rate.hz());
        left.cmp(&right)
    }
}

impl fmt::Debug for MediaTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.6}s ({}/{})", self.seconds(), self.ticks, self.rate.hz())
    }
}

/// Turns a counter of `BITS` bits that wraps (RTP: 32, RTMP: 32, MPEG-TS: 33) into ticks that do not.
///
/// Each value is taken as the nearest to the one before, forwards or backwards, as RFC 3550 §A.1 does for sequence numbers.
#[derive(Debug, Clone, Default)]
pub struct Unwrapper<const BITS: u32> {
    last: Option<i64>,
}

impl<const BITS: u32> Unwrapper<BITS> {
    /// An unwrapper whose first value is taken as it is.
    pub const fn new() -> Self {
        Self { last: None }
    }

    /// The unwrapped form of `raw`; bits above `BITS` are ignored.
    pub fn unwrap(&mut self, raw: u64) -> i64 {
        const { assert!(BITS >= 8 && BITS <= 48, "counters of 8 to 48 bits") };
        let span = 1_i64 << BITS;
        let raw = i64::try_from(raw & ((1_u64 << BITS) - 1)).unwrap_or(0);
        let value = match self.last {
            None => raw,
            Some(last) => {
                let step = (raw - last.rem_euclid(span)).rem_euclid(span);
                let step = if step > span / 2 { step - span } else { step };
                last.saturating_add(step)
            }
        };
        self.last = Some(value);
        value
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn unwraps_forwards_and_backwards() {
        let mut u = Unwrapper::<32>::new();
        let values = [0xFFFF_FFF0_u64, 0x10, 0xFFFF_FFF8, 0x20].map(|v| u.unwrap(v));
        assert_eq!(values, [0xFFFF_FFF0, 0x1_0000_0010, 0xFFFF_FFF8, 0x1_0000_0020]);
    }

    #[test]
    fn compares_across_rates() {
        assert_eq!(MediaTime::new(1_000, ClockRate::MILLI), MediaTime::new(90_000, ClockRate::VIDEO));
        assert!(MediaTime::new(1, ClockRate::VIDEO) > MediaTime::new(0, ClockRate::MILLI));
    }

    proptest! {
        #[test]
        fn rescale_keeps_order(a in any::<i64>(), b in any::<i64>(), from in 1_u32.., to in 1_u32..) {
            let (from, to) = (ClockRate::new(from).unwrap(), ClockRate::new(to).unwrap());
            let (low, high) = (MediaTime::new(a.min(b), from), MediaTime::new(a.max(b), from));
            prop_assert!(low.rescale(to).ticks() <= high.rescale(to).ticks());
        }

        #[test]
        fn unwrapped_values_end_in_their_raw_bits(values in prop::collection::vec(any::<u32>(), 1..50)) {
            let mut u = Unwrapper::<32>::new();
            for v in values {
                prop_assert_eq!(u.unwrap(u64::from(v)).rem_euclid(1 << 32), i64::from(v));
            }
        }
    }
}
