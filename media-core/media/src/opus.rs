//! Opus: the identification header (RFC 7845 §5.1) and packet durations (RFC 6716 §3.1).
//!
//! Not here: encoding and decoding (`codec`).

use thiserror::Error;

/// What Opus headers can get wrong.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum OpusError {
    /// A packet without a byte, or with an impossible frame count.
    #[error("broken Opus packet")]
    Packet,
    /// Not an identification header, or of an unknown major version.
    #[error("broken OpusHead")]
    Head,
}

/// What an Opus track decodes with. Its clock is always 48 kHz.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OpusParams {
    /// 1 or 2 (mapping family 0).
    pub channels: u8,
    /// Samples at 48 kHz to drop at the start.
    pub pre_skip: u16,
}

impl OpusParams {
    /// Stereo without pre-skip: what WebRTC always is (RFC 7587 §7).
    pub const WEBRTC: Self = Self { channels: 2, pre_skip: 0 };

    /// Reads `OpusHead`; mapping families other than 0 are refused.
    ///
    /// # Errors
    /// [`OpusError::Head`].
    pub fn from_head(head: &[u8]) -> Result<Self, OpusError> {
        let head: &[u8; 19] = head.get(..19).and_then(|h| h.try_into().ok()).ok_or(OpusError::Head)?;
        if !head.starts_with(b"OpusHead") || head[8] & 0xF0 != 0 || !matches!(head[9], 1 | 2) || head[18] != 0 {
            return Err(OpusError::Head);
        }
        Ok(Self { channels: head[9], pre_skip: u16::from_le_bytes([head[10], head[11]]) })
    }

    /// Writes `OpusHead`, mapping family 0, no gain.
    pub fn head(&self) -> [u8; 19] {
        let mut out = *b"OpusHead\x01\0\0\0\x80\xBB\0\0\0\0\0";
        out[9] = self.channels;
        out[10..12].copy_from_slice(&self.pre_skip.to_le_bytes());
        out
    }
}

/// Samples at 48 kHz in `packet`, from its table-of-contents byte.
///
/// # Errors
/// [`OpusError::Packet`] where it is empty or longer than 120 ms, which RFC 6716 §3.2.5 forbids.
pub fn packet_samples(packet: &[u8]) -> Result<u32, OpusError> {
    let toc = *packet.first().ok_or(OpusError::Packet)?;
    let config = toc >> 3;
    let frame = match config {
        0..=11 => [480, 960, 1920, 2880][usize::from(config % 4)],
        12..=15 => [480, 960][usize::from(config % 2)],
        _ => [120, 240, 480, 960][usize::from(config % 4)],
    };
    let count = match toc & 3 {
        0 => 1,
        1 | 2 => 2,
        _ => u32::from(packet.get(1).ok_or(OpusError::Packet)? & 0x3F),
    };
    match frame * count {
        0 => Err(OpusError::Packet),
        samples if samples > 5760 => Err(OpusError::Packet),
        samples => Ok(samples),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        let check = |packet: &[u8], want| assert_eq!(packet_samples(packet), want, "{packet:02x?}");
        check(&[0xFC], Ok(960));
        check(&[0x78], Ok(960));
        check(&[0x18], Ok(2880));
        check(&[0xFD], Ok(1920));
        check(&[0xFF, 3], Ok(2880));
        check(&[0xFF, 0], Err(OpusError::Packet));
        check(&[0xFF, 63], Err(OpusError::Packet));
        check(&[], Err(OpusError::Packet));
    }

    #[test]
    fn head_round_trips() {
        let p = OpusParams { channels: 2, pre_skip: 312 };
        assert_eq!(OpusParams::from_head(&p.head()), Ok(p));
        assert_eq!(OpusParams::from_head(b"OpusTags"), Err(OpusError::Head));
    }
}
