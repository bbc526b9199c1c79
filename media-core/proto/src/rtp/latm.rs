//! AAC in RTP as LATM (RFC 6416 §6, `MP4A-LATM`), with its configuration in the session description. Not here: `mpeg4-generic` (`aac`).

use super::aac::MAX_FRAME;
use bytes::{Bytes, BytesMut};
use media::{AacParams, Bits};
use thiserror::Error;

/// Why a configuration or a payload is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum LatmError {
    /// A `StreamMuxConfig` (ISO/IEC 14496-3 §1.7.3) of more than one program, layer or frame, or of a later version.
    #[error("a LATM configuration that is not one AAC stream")]
    Config,
    /// A length that reaches past the end.
    #[error("LATM payload ends inside a frame")]
    Short,
    /// More than fits any frame.
    #[error("a LATM element of more than {MAX_ELEMENT} bytes")]
    Long,
}

/// Largest element gathered from several packets: eight frames.
const MAX_ELEMENT: usize = 8 * MAX_FRAME;

/// The stream that `config` (of `a=fmtp`, decoded from its hexadecimal form) announces.
///
/// # Errors
/// [`LatmError::Config`].
pub fn latm_config(config: &[u8]) -> Result<AacParams, LatmError> {
    let mut bits = Bits::new(config);
    // audioMuxVersion 0, all streams of the same framing, one frame each, one program, one layer.
    let fields = [(1, 0), (1, 1), (6, 0), (4, 0), (3, 0)];
    if fields.into_iter().any(|(width, want)| bits.take(width) != Some(want)) {
        return Err(LatmError::Config);
    }
    // The AudioSpecificConfig stands here, not on a byte's border.
    let mut shifted = Vec::with_capacity(config.len());
    while let Some(byte) = bits.take(8) {
        shifted.push(u8::try_from(byte).unwrap_or(0));
    }
    shifted.extend((1..8).rev().find_map(|left| {
        let rest = bits.clone().take(left)?;
        u8::try_from(rest << (8 - left)).ok()
    }));
    let params = AacParams::parse(shifted.into()).map_err(|_| LatmError::Config)?;
    // What follows it is no part of it; LC is written anew without.
    match params.object() {
        media::AacObject::Lc => AacParams::lc(params.rate().hz(), params.channels()).map_err(|_| LatmError::Config),
        media::AacObject::He | media::AacObject::HeV2 => Ok(params),
    }
}

/// Gathers frames from packets in order.
#[derive(Debug, Clone, Default)]
pub struct LatmDepayloader {
    open: Option<(u32, BytesMut)>,
    /// The beginning of what is open was not seen.
    headless: bool,
}

impl LatmDepayloader {
    /// A depayloader that has seen nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes the next packet in sequence and answers its whole frames, as
    /// [`AacDepayloader::push`](super::AacDepayloader::push) does.
    ///
    /// # Errors
    /// [`LatmError`]; what was being gathered is dropped.
    pub fn push(&mut self, timestamp: u32, marker: bool, payload: &Bytes, gap: bool) -> Result<Vec<Bytes>, LatmError> {
        if gap {
            self.open = None;
            self.headless = true;
        }
        if self.open.as_ref().is_some_and(|(t, _)| *t != timestamp) {
            self.open = None;
        }
        if marker && self.open.is_none() {
            // After a hole a packet with the marker may be the end of something; a whole element tells by its lengths.
            let tolerant = std::mem::take(&mut self.headless);
            return frames(payload).or_else(|e| if tolerant { Ok(Vec::new()) } else { Err(e) });
        }
        let (_, element) = self.open.get_or_insert_with(|| (timestamp, BytesMut::new()));
        if element.len() + payload.len() > MAX_ELEMENT {
            self.open = None;
            return Err(LatmError::Long);
        }
        element.extend_from_slice(payload);
        if !marker {
            return Ok(Vec::new());
        }
        let whole = self.open.take().map(|(_, element)| element.freeze()).unwrap_or_default();
        let tolerant = std::mem::take(&mut self.headless);
        frames(&whole).or_else(|e| if tolerant { Ok(Vec::new()) } else { Err(e) })
    }
}

/// Each frame behind its length: bytes of 255 and one that is less, added up.
fn frames(element: &Bytes) -> Result<Vec<Bytes>, LatmError> {
    let mut rest = element.clone();
    let mut out = Vec::new();
    while !rest.is_empty() {
        let full = rest.iter().take_while(|b| **b == 255).count();
        let last = *rest.get(full).ok_or(LatmError::Short)?;
        let length = 255 * full + usize::from(last);
        let end = full + 1 + length;
        if rest.len() < end {
            return Err(LatmError::Short);
        }
        let frame = rest.split_to(end).slice(full + 1..);
        if !frame.is_empty() {
            out.push(frame);
        }
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn configurations() {
        // As GStreamer's rtpmp4apay and FFmpeg write 48 kHz stereo LC.
        for config in [[0x40, 0x00, 0x23, 0x20, 0x3F, 0xC0].as_slice(), &[0x40, 0x00, 0x23, 0x20]] {
            let params = latm_config(config).unwrap();
            assert_eq!((params.rate().hz(), params.channels(), &params.config()[..]), (48_000, 2, &[0x11, 0x90][..]));
        }
        assert_eq!(latm_config(&[0xC0, 0, 0]), Err(LatmError::Config));
        assert_eq!(latm_config(&[]), Err(LatmError::Config));
    }

    #[test]
    fn frames_whole_and_in_pieces() {
        let mut d = LatmDepayloader::new();
        let mut long = vec![255, 45];
        long.extend(std::iter::repeat_n(7, 300));
        let long = Bytes::from(long);
        assert_eq!(d.push(0, true, &long, false), Ok(vec![long.slice(2..)]));
        assert_eq!(d.push(1, false, &long.slice(..100), false), Ok(vec![]));
        assert_eq!(d.push(1, true, &long.slice(100..), false), Ok(vec![long.slice(2..)]));
        assert_eq!(d.push(2, true, &Bytes::from_static(&[1, 9, 2, 8, 8]), false).unwrap().len(), 2);
        assert_eq!(d.push(3, true, &Bytes::from_static(&[5, 9]), false), Err(LatmError::Short));
        assert_eq!(d.push(4, true, &Bytes::from_static(&[5, 9]), true), Ok(vec![]));
    }
}
