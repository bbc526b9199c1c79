//! What a receiver reports of one source (RFC 3550 §6.4.1, §A.3, §A.8). Not here: putting packets in order (`reorder`).

use super::Header;
use super::rtcp::{NtpTime, ReportBlock};
use media::{ClockRate, MonoTime, Unwrapper};

/// Counts of one source.
#[derive(Debug, Clone)]
pub struct Reception {
    rate: ClockRate,
    source: u32,
    sequence: Unwrapper<16>,
    first: Option<i64>,
    highest: i64,
    received: i64,
    /// Expected and received up to the report before.
    reported: (i64, i64),
    /// Difference of transit times, averaged, in sixteenths of a tick.
    jitter: i64,
    transit: Option<i64>,
    report: Option<(NtpTime, MonoTime)>,
}

impl Reception {
    /// For a source whose timestamps tick at `rate`.
    pub const fn new(rate: ClockRate) -> Self {
        Self {
            rate,
            source: 0,
            sequence: Unwrapper::new(),
            first: None,
            highest: 0,
            received: 0,
            reported: (0, 0),
            jitter: 0,
            transit: None,
            report: None,
        }
    }

    /// A packet that arrived. Another source than before begins anew.
    pub fn packet(&mut self, header: &Header, now: MonoTime) {
        if self.first.is_some() && self.source != header.ssrc {
            *self = Self::new(self.rate);
        }
        self.source = header.ssrc;
        let number = self.sequence.unwrap(u64::from(header.sequence));
        self.first.get_or_insert(number);
        self.highest = self.highest.max(number);
        self.received += 1;
        let arrival = i64::try_from(now.micros()).unwrap_or(i64::MAX);
        let arrival = media::MediaTime::new(arrival, ClockRate::MICRO).rescale(self.rate).ticks();
        let transit = arrival.wrapping_sub(i64::from(header.timestamp));
        if let Some(before) = self.transit.replace(transit) {
            // Only the low bits count: timestamps wrap. A leap is no jitter but a clock that was set.
            let step = i64::from((transit.wrapping_sub(before) as i32).unsigned_abs());
            if step < i64::from(self.rate.hz()) {
                self.jitter += step - ((self.jitter + 8) >> 4);
            }
        }
    }

    /// A sender report that arrived.
    pub const fn sender_report(&mut self, ntp: NtpTime, now: MonoTime) {
        self.report = Some((ntp, now));
    }

    /// Packets received.
    pub const fn received(&self) -> u64 {
        self.received.unsigned_abs()
    }

    /// Packets missing so far.
    pub fn lost(&self) -> u64 {
        u64::try_from(self.expected() - self.received).unwrap_or(0)
    }

    /// Jitter in ticks.
    pub fn jitter(&self) -> u32 {
        u32::try_from(self.jitter >> 4).unwrap_or(u32::MAX)
    }

    fn expected(&self) -> i64 {
        self.first.map_or(0, |first| self.highest - first + 1)
    }

    /// The block for the next report; `None` before the first packet.
    pub fn report(&mut self, now: MonoTime) -> Option<ReportBlock> {
        self.first?;
        let (expected, received) = (self.expected() - self.reported.0, self.received - self.reported.1);
        self.reported = (self.expected(), self.received);
        let lost = (expected - received).max(0);
        let fraction = if expected > 0 { (lost << 8) / expected } else { 0 };
        let delay = |at| u32::try_from(now.since(at).as_micros() * 65_536 / 1_000_000).unwrap_or(u32::MAX);
        Some(ReportBlock {
            ssrc: self.source,
            fraction_lost: u8::try_from(fraction).unwrap_or(u8::MAX),
            lost: i32::try_from((self.expected() - self.received).clamp(-0x80_0000, 0x7F_FFFF)).unwrap_or(0),
            // The low 32 bits on purpose: cycles above the sequence number.
            highest: self.highest as u32,
            jitter: self.jitter(),
            last_report: self.report.map_or(0, |(ntp, _)| ntp.middle()),
            delay: self.report.map_or(0, |(_, at)| delay(at)),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> MonoTime {
        MonoTime::from_micros(ms * 1000)
    }

    #[test]
    fn loss_jitter_and_delay() {
        let mut r = Reception::new(ClockRate::VIDEO);
        assert_eq!(r.report(at(0)), None);
        for (n, ms) in [(65_534_u16, 0_u64), (65_535, 40), (1, 130), (2, 160)] {
            let place = u64::from(n.wrapping_sub(65_534));
            let header =
                Header { sequence: n, timestamp: u32::try_from(place * 3600).unwrap(), ssrc: 9, ..Header::default() };
            r.packet(&header, at(ms));
        }
        r.sender_report(NtpTime(0x1234_5678_9ABC_DEF0), at(160));
        let report = r.report(at(660)).unwrap();
        assert_eq!((report.ssrc, report.lost, report.fraction_lost, report.highest), (9, 1, 51, 0x1_0002));
        assert_eq!((report.last_report, report.delay), (0x5678_9ABC, 32_768));
        assert!((50..150).contains(&report.jitter), "10 ms twice, a sixteenth each: {report:?}");
        assert_eq!(r.report(at(700)).unwrap().fraction_lost, 0, "since the report before");
    }
}
