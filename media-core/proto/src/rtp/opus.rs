//! Opus in RTP (RFC 7587): one packet is one payload, so the payloader is the identity. Not here: the codec (`codec`).

use bytes::Bytes;
use media::opus_packet_samples;
use thiserror::Error;

/// A payload that is no Opus packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("RTP payload of {0} bytes is no Opus packet")]
pub struct OpusDepayloadError(pub usize);

/// The Opus packet in `payload` and its length in samples at 48 kHz.
///
/// # Errors
/// [`OpusDepayloadError`] for an empty payload or an impossible table of contents (RFC 6716 §3.1).
pub fn depayload_opus(payload: &Bytes) -> Result<(Bytes, u32), OpusDepayloadError> {
    let samples = opus_packet_samples(payload).map_err(|_| OpusDepayloadError(payload.len()))?;
    Ok((payload.clone(), samples))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets() {
        assert_eq!(depayload_opus(&Bytes::from_static(&[0xFC, 1])), Ok((Bytes::from_static(&[0xFC, 1]), 960)));
        assert_eq!(depayload_opus(&Bytes::new()), Err(OpusDepayloadError(0)));
    }
}
