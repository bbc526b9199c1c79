//! RTCP (RFC 3550 §6, feedback RFC 4585 and RFC 5104): what is read and written here is what somebody acts on.
//!
//! Not here: when to send (`relay`).

use bytes::{BufMut, Bytes, BytesMut};
use thiserror::Error;

/// Why bytes are no compound packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum RtcpError {
    /// A packet ends inside its header or body; the byte where it starts.
    #[error("RTCP packet at byte {0} ends early")]
    Short(usize),
    /// A version other than 2.
    #[error("RTCP version {0}")]
    Version(u8),
}

/// NTP time as senders stamp it: 32 bits of seconds since 1900, 32 bits of fraction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct NtpTime(pub u64);

impl NtpTime {
    /// Seconds from 1900 to 1970.
    const UNIX: u64 = 2_208_988_800;

    /// Microseconds since 1900, rounded down.
    pub const fn micros(self) -> i64 {
        let seconds = self.0 >> 32;
        let fraction = self.0 & 0xFFFF_FFFF;
        // Fits: 2^32 s are 4.3e15 µs.
        (seconds * 1_000_000 + ((fraction * 1_000_000) >> 32)) as i64
    }

    /// From microseconds since 1970.
    pub const fn from_unix_micros(micros: u64) -> Self {
        let seconds = (micros / 1_000_000 + Self::UNIX) & 0xFFFF_FFFF;
        let fraction = ((micros % 1_000_000) << 32) / 1_000_000;
        Self(seconds << 32 | fraction)
    }

    /// The middle 32 bits, as report blocks echo them.
    pub const fn middle(self) -> u32 {
        (self.0 >> 16) as u32
    }
}

/// What one receiver says of one source (RFC 3550 §6.4.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ReportBlock {
    /// The source it is about.
    pub ssrc: u32,
    /// Lost since the last report, in 1/256.
    pub fraction_lost: u8,
    /// Lost in all; duplicates can make it negative. 24 bits, signed.
    pub lost: i32,
    /// Highest sequence number, with its cycles above.
    pub highest: u32,
    /// Jitter in ticks.
    pub jitter: u32,
    /// Middle bits of the last sender report's NTP time; zero: none yet.
    pub last_report: u32,
    /// Since that report, in 1/65536 s.
    pub delay: u32,
}

/// One RTCP packet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rtcp {
    /// RFC 3550 §6.4.1.
    SenderReport {
        /// Who sends.
        ssrc: u32,
        /// Wall clock of the instant that `timestamp` stands for.
        ntp: NtpTime,
        /// The same instant on the track's clock.
        timestamp: u32,
        /// Packets sent.
        packets: u32,
        /// Payload bytes sent.
        octets: u32,
        /// What it hears of others.
        reports: Vec<ReportBlock>,
    },
    /// RFC 3550 §6.4.2.
    ReceiverReport {
        /// Who reports.
        ssrc: u32,
        /// What it hears.
        reports: Vec<ReportBlock>,
    },
    /// Canonical name (RFC 3550 §6.5.1) of one source; other items are read over.
    Cname {
        /// Whose.
        ssrc: u32,
        /// The name.
        name: String,
    },
    /// The sources leave (RFC 3550 §6.6).
    Bye(Vec<u32>),
    /// Somebody needs a key frame: picture loss indication (RFC 4585 §6.3.1) or full intra request (RFC 5104 §4.3.1).
    KeyframeRequest {
        /// Who asks.
        sender: u32,
        /// Of which source.
        media: u32,
    },
    /// Sequence numbers asked for again (RFC 4585 §6.2.1).
    Nack {
        /// Who asks.
        sender: u32,
        /// Of which source.
        media: u32,
        /// Which packets.
        sequences: Vec<u16>,
    },
    /// Something else, by its packet type and count field.
    Other {
        /// 192–223.
        kind: u8,
        /// Count or format.
        count: u8,
    },
}

const SR: u8 = 200;
const RR: u8 = 201;
const SDES: u8 = 202;
const BYE: u8 = 203;
const RTPFB: u8 = 205;
const PSFB: u8 = 206;

impl Rtcp {
    /// Reads a compound packet.
    ///
    /// # Errors
    /// [`RtcpError`] where a length does not fit; then nothing of the compound is used.
    pub fn parse_compound(bytes: &[u8]) -> Result<Vec<Self>, RtcpError> {
        let mut out = Vec::new();
        let mut at = 0;
        while at < bytes.len() {
            let short = RtcpError::Short(at);
            let head = bytes.get(at..at + 4).ok_or(short)?;
            let &[first, kind, l0, l1] = <&[u8; 4]>::try_from(head).map_err(|_| short)?;
            if first >> 6 != 2 {
                return Err(RtcpError::Version(first >> 6));
            }
            let end = at + 4 + 4 * usize::from(u16::from_be_bytes([l0, l1]));
            let mut body = bytes.get(at + 4..end).ok_or(short)?;
            if first & 0x20 != 0 {
                let padding = usize::from(body.last().copied().unwrap_or(0));
                body = body.len().checked_sub(padding).and_then(|n| body.get(..n)).ok_or(short)?;
            }
            out.push(Self::parse_one(kind, first & 0x1F, body).ok_or(short)?);
            at = end;
        }
        Ok(out)
    }

    fn parse_one(kind: u8, count: u8, body: &[u8]) -> Option<Self> {
        let mut r = Reader(body);
        Some(match (kind, count) {
            (SR, _) => Self::SenderReport {
                ssrc: r.u32()?,
                ntp: NtpTime(u64::from(r.u32()?) << 32 | u64::from(r.u32()?)),
                timestamp: r.u32()?,
                packets: r.u32()?,
                octets: r.u32()?,
                reports: r.reports(count)?,
            },
            (RR, _) => Self::ReceiverReport { ssrc: r.u32()?, reports: r.reports(count)? },
            (SDES, 1..) => {
                let ssrc = r.u32()?;
                let mut name = String::new();
                loop {
                    match r.u8() {
                        None | Some(0) => break,
                        Some(item) => {
                            let length = usize::from(r.u8()?);
                            let text = r.take(length)?;
                            if item == 1 {
                                name = String::from_utf8_lossy(text).into_owned();
                            }
                        }
                    }
                }
                Self::Cname { ssrc, name }
            }
            (BYE, _) => Self::Bye((0..count).map(|_| r.u32()).collect::<Option<_>>()?),
            (PSFB, 1) => Self::KeyframeRequest { sender: r.u32()?, media: r.u32()? },
            (PSFB, 4) => {
                let sender = r.u32()?;
                let _media_unused = r.u32()?;
                Self::KeyframeRequest { sender, media: r.u32()? }
            }
            (RTPFB, 1) => {
                let (sender, media) = (r.u32()?, r.u32()?);
                let mut sequences = Vec::new();
                while !r.0.is_empty() {
                    let (first, mask) = (r.u16()?, r.u16()?);
                    sequences.push(first);
                    sequences.extend((0..16).filter(|bit| mask >> bit & 1 == 1).map(|bit| first.wrapping_add(bit + 1)));
                }
                Self::Nack { sender, media, sequences }
            }
            _ => Self::Other { kind, count },
        })
    }

    /// Appends the packet to a compound. `Other` is not written.
    pub fn write(&self, out: &mut BytesMut) {
        let mut body = BytesMut::new();
        let (kind, count) = match self {
            Self::SenderReport { ssrc, ntp, timestamp, packets, octets, reports } => {
                body.put_u32(*ssrc);
                body.put_u64(ntp.0);
                for value in [*timestamp, *packets, *octets] {
                    body.put_u32(value);
                }
                (SR, put_reports(&mut body, reports))
            }
            Self::ReceiverReport { ssrc, reports } => {
                body.put_u32(*ssrc);
                (RR, put_reports(&mut body, reports))
            }
            Self::Cname { ssrc, name } => {
                body.put_u32(*ssrc);
                let name = name.as_bytes();
                let name = name.get(..255).unwrap_or(name);
                body.put_u8(1);
                body.put_u8(u8::try_from(name.len()).unwrap_or(u8::MAX));
                body.put_slice(name);
                // At least one zero ends the list; then up to the next word.
                body.put_bytes(0, 4 - body.len() % 4);
                (SDES, 1)
            }
            Self::Bye(sources) => {
                let sources = sources.get(..31).unwrap_or(sources);
                sources.iter().for_each(|&s| body.put_u32(s));
                (BYE, sources.len())
            }
            Self::KeyframeRequest { sender, media } => {
                body.put_u32(*sender);
                body.put_u32(*media);
                (PSFB, 1)
            }
            Self::Nack { sender, media, sequences } => {
                body.put_u32(*sender);
                body.put_u32(*media);
                for &sequence in sequences {
                    body.put_u16(sequence);
                    body.put_u16(0);
                }
                (RTPFB, 1)
            }
            Self::Other { .. } => return,
        };
        out.put_u8(0x80 | u8::try_from(count & 0x1F).unwrap_or(0));
        out.put_u8(kind);
        out.put_u16(u16::try_from(body.len() / 4).unwrap_or(u16::MAX));
        out.put_slice(&body);
    }

    /// Several packets as one compound.
    pub fn compound(packets: &[Self]) -> Bytes {
        let mut out = BytesMut::new();
        packets.iter().for_each(|p| p.write(&mut out));
        out.freeze()
    }
}

/// The count field holds 31.
fn put_reports(body: &mut BytesMut, reports: &[ReportBlock]) -> usize {
    let reports = reports.get(..31).unwrap_or(reports);
    for r in reports {
        body.put_u32(r.ssrc);
        body.put_u8(r.fraction_lost);
        body.put_int(i64::from(r.lost.clamp(-0x80_0000, 0x7F_FFFF)), 3);
        for value in [r.highest, r.jitter, r.last_report, r.delay] {
            body.put_u32(value);
        }
    }
    reports.len()
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (head, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(head)
    }

    fn u8(&mut self) -> Option<u8> {
        self.take(1)?.first().copied()
    }

    fn u16(&mut self) -> Option<u16> {
        Some(u16::from_be_bytes(self.take(2)?.try_into().ok()?))
    }

    fn u32(&mut self) -> Option<u32> {
        Some(u32::from_be_bytes(self.take(4)?.try_into().ok()?))
    }

    fn reports(&mut self, count: u8) -> Option<Vec<ReportBlock>> {
        (0..count).map(|_| self.report()).collect()
    }

    fn report(&mut self) -> Option<ReportBlock> {
        let ssrc = self.u32()?;
        let packed = self.u32()?;
        Some(ReportBlock {
            ssrc,
            fraction_lost: (packed >> 24) as u8,
            // Sign-extends 24 bits.
            lost: ((packed << 8) as i32) >> 8,
            highest: self.u32()?,
            jitter: self.u32()?,
            last_report: self.u32()?,
            delay: self.u32()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn ntp() {
        let t = NtpTime::from_unix_micros(1_500_000);
        assert_eq!(t.micros(), 2_208_988_801_500_000 - 1_000_000 + 1_000_000);
        assert_eq!(NtpTime(0x0001_0002_0003_0004).middle(), 0x0002_0003);
    }

    #[test]
    fn refuses() {
        let check = |bytes: &[u8], want| assert_eq!(Rtcp::parse_compound(bytes), Err(want));
        check(&[0x80, 200, 0, 9], RtcpError::Short(0));
        check(&[0x81, 203, 0, 0], RtcpError::Short(0));
        check(&[0x40, 203, 0, 0], RtcpError::Version(1));
        check(&[0x80, 203, 0, 0, 1], RtcpError::Short(4));
    }

    #[test]
    fn nack_masks() {
        let bytes = [0x81, 205, 0, 3, 0, 0, 0, 1, 0, 0, 0, 2, 0xFF, 0xFF, 0, 5];
        let want = Rtcp::Nack { sender: 1, media: 2, sequences: vec![65535, 0, 2] };
        assert_eq!(Rtcp::parse_compound(&bytes), Ok(vec![want]));
    }

    fn report() -> impl Strategy<Value = ReportBlock> {
        (any::<[u32; 5]>(), any::<u8>(), -0x80_0000_i32..0x80_0000).prop_map(|(v, fraction_lost, lost)| ReportBlock {
            ssrc: v[0],
            fraction_lost,
            lost,
            highest: v[1],
            jitter: v[2],
            last_report: v[3],
            delay: v[4],
        })
    }

    fn any_rtcp() -> impl Strategy<Value = Rtcp> {
        let reports = || prop::collection::vec(report(), 0..5);
        prop_oneof![
            (any::<[u32; 4]>(), any::<u64>(), reports()).prop_map(|(v, ntp, reports)| Rtcp::SenderReport {
                ssrc: v[0],
                ntp: NtpTime(ntp),
                timestamp: v[1],
                packets: v[2],
                octets: v[3],
                reports,
            }),
            (any::<u32>(), reports()).prop_map(|(ssrc, reports)| Rtcp::ReceiverReport { ssrc, reports }),
            (any::<u32>(), "[a-z]{0,20}").prop_map(|(ssrc, name)| Rtcp::Cname { ssrc, name }),
            prop::collection::vec(any::<u32>(), 0..5).prop_map(Rtcp::Bye),
            any::<[u32; 2]>().prop_map(|v| Rtcp::KeyframeRequest { sender: v[0], media: v[1] }),
            (any::<[u32; 2]>(), prop::collection::vec(any::<u16>(), 0..5)).prop_map(|(v, sequences)| Rtcp::Nack {
                sender: v[0],
                media: v[1],
                sequences
            }),
        ]
    }

    proptest! {
        #[test]
        fn round_trips(packets in prop::collection::vec(any_rtcp(), 1..6)) {
            prop_assert_eq!(Rtcp::parse_compound(&Rtcp::compound(&packets)), Ok(packets));
        }
    }
}
