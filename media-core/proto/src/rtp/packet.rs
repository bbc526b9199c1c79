//! One RTP packet (RFC 3550 §5.1). Not here: what its payload means (`h264`, `opus`).

use bytes::{BufMut, Bytes, BytesMut};
use thiserror::Error;

/// Why bytes are no RTP packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum RtpError {
    /// It ends inside the part that is named.
    #[error("RTP packet ends inside its {0}")]
    Short(&'static str),
    /// A version other than 2.
    #[error("RTP version {0}")]
    Version(u8),
    /// More padding than payload, or padding of zero bytes.
    #[error("RTP padding of {0} bytes")]
    Padding(u8),
}

/// The fixed header; contributing sources and extensions are read over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Header {
    /// The profile's marker: for video the last packet of an access unit.
    pub marker: bool,
    /// 0–127.
    pub payload_type: u8,
    /// Sequence number, wraps.
    pub sequence: u16,
    /// On the track's clock, wraps.
    pub timestamp: u32,
    /// Synchronisation source.
    pub ssrc: u32,
}

/// One packet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Packet {
    /// The fixed header.
    pub header: Header,
    /// Without padding; may be empty.
    pub payload: Bytes,
}

impl Header {
    /// Bytes of the fixed header.
    pub const LEN: usize = 12;

    /// The header as bytes, to stand in front of a payload without padding.
    pub fn to_bytes(&self) -> [u8; Self::LEN] {
        let mut out = [0; Self::LEN];
        let mut rest = &mut out[..];
        rest.put_u8(0x80);
        rest.put_u8(u8::from(self.marker) << 7 | self.payload_type & 0x7F);
        rest.put_u16(self.sequence);
        rest.put_u32(self.timestamp);
        rest.put_u32(self.ssrc);
        out
    }
}

impl Packet {
    /// Reads one packet; the payload shares `bytes`.
    ///
    /// # Errors
    /// [`RtpError`] for what breaks RFC 3550 §5.1.
    pub fn parse(bytes: &Bytes) -> Result<Self, RtpError> {
        let fixed: &[u8; Header::LEN] =
            bytes.get(..Header::LEN).and_then(|b| b.try_into().ok()).ok_or(RtpError::Short("header"))?;
        let [first, second, s0, s1, t0, t1, t2, t3, c0, c1, c2, c3] = *fixed;
        if first >> 6 != 2 {
            return Err(RtpError::Version(first >> 6));
        }
        let mut start = Header::LEN + 4 * usize::from(first & 0x0F);
        if first & 0x10 != 0 {
            let words = bytes.get(start + 2..start + 4).ok_or(RtpError::Short("extension"))?;
            let words = words.iter().fold(0, |n, &b| (n << 8) | usize::from(b));
            start += 4 + 4 * words;
        }
        let mut end = bytes.len();
        if start > end {
            return Err(RtpError::Short("sources or extension"));
        }
        if first & 0x20 != 0 {
            let padding = bytes.last().copied().unwrap_or(0);
            end = match end.checked_sub(usize::from(padding)) {
                Some(end) if padding > 0 && end >= start => end,
                _ => return Err(RtpError::Padding(padding)),
            };
        }
        let header = Header {
            marker: second & 0x80 != 0,
            payload_type: second & 0x7F,
            sequence: u16::from_be_bytes([s0, s1]),
            timestamp: u32::from_be_bytes([t0, t1, t2, t3]),
            ssrc: u32::from_be_bytes([c0, c1, c2, c3]),
        };
        Ok(Self { header, payload: bytes.slice(start..end) })
    }

    /// The packet as bytes, without extensions and padding.
    pub fn to_bytes(&self) -> Bytes {
        let mut out = BytesMut::with_capacity(Header::LEN + self.payload.len());
        out.put_slice(&self.header.to_bytes());
        out.put_slice(&self.payload);
        out.freeze()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn reads_over_sources_extension_and_padding() {
        let mut bytes = vec![0xB1, 0xE0, 0, 7, 0, 0, 0, 9, 1, 2, 3, 4];
        bytes.extend_from_slice(&[9, 9, 9, 9]);
        bytes.extend_from_slice(&[0xBE, 0xDE, 0, 1, 5, 5, 5, 5]);
        bytes.extend_from_slice(&[42, 43, 0, 2]);
        let packet = Packet::parse(&bytes.into()).unwrap();
        assert_eq!((packet.header.marker, packet.header.payload_type, packet.header.sequence), (true, 96, 7));
        assert_eq!(&packet.payload[..], &[42, 43]);
    }

    #[test]
    fn refuses() {
        let check = |bytes: &[u8], want| assert_eq!(Packet::parse(&Bytes::copy_from_slice(bytes)), Err(want));
        check(&[0x80, 0], RtpError::Short("header"));
        check(&[0x40; 12], RtpError::Version(1));
        check(&[0x8F; 12], RtpError::Short("sources or extension"));
        check(&[0x90; 13], RtpError::Short("extension"));
        check(&[0xA0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 9], RtpError::Padding(9));
        check(&[0xA0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], RtpError::Padding(0));
    }

    proptest! {
        #[test]
        fn round_trips(
            marker: bool, payload_type in 0_u8..128, sequence: u16, timestamp: u32, ssrc: u32,
            payload in prop::collection::vec(any::<u8>(), 0..50),
        ) {
            let header = Header { marker, payload_type, sequence, timestamp, ssrc };
            let packet = Packet { header, payload: payload.into() };
            prop_assert_eq!(Packet::parse(&packet.to_bytes()), Ok(packet));
        }
    }
}
