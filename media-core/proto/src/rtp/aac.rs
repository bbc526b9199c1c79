//! AAC in RTP (RFC 3640, modes AAC-hbr and AAC-lbr). Not here: LATM (`latm`), what a frame decodes with (`media`).

use bytes::{BufMut, Bytes, BytesMut};
use media::Bits;
use thiserror::Error;

/// Bits of the fields of an AU header (RFC 3640 §3.2.1), as a session description gives them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AacLayout {
    /// `sizelength`.
    pub size: u8,
    /// `indexlength`, of a packet's first frame.
    pub index: u8,
    /// `indexdeltalength`, of the others.
    pub delta: u8,
}

impl AacLayout {
    /// Mode AAC-hbr (RFC 3640 §3.3.6): what everybody sends.
    pub const HIGH: Self = Self { size: 13, index: 3, delta: 3 };
    /// Mode AAC-lbr (RFC 3640 §3.3.5).
    pub const LOW: Self = Self { size: 6, index: 2, delta: 2 };
}

/// Why a payload is no AAC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum AacDepayloadError {
    /// It ends inside the part that is named.
    #[error("AAC payload ends inside its {0}")]
    Short(&'static str),
    /// A section of headers that no whole number of headers fills, or none.
    #[error("{0} bits of AU headers")]
    Headers(u16),
    /// Frames out of order, which costs latency and which nobody uses for live sound.
    #[error("interleaved AAC frames")]
    Interleaved,
    /// A fragment that continues nothing.
    #[error("a fragment without its beginning")]
    Fragment,
    /// A frame larger than any encoder makes.
    #[error("an AAC frame of more than {MAX_FRAME} bytes")]
    Long,
}

/// Largest frame: 768 bytes per channel (ISO/IEC 14496-3 §4.5.1.1), eight channels, rounded up.
pub(super) const MAX_FRAME: usize = 8192;

/// One frame per packet: aggregating would hold sound back.
#[derive(Debug, Clone, Copy)]
pub struct AacPayloader {
    max: usize,
}

impl AacPayloader {
    /// Payloads of at most `max` bytes (RTP header not included); values below 16 count as 16.
    pub const fn new(max: usize) -> Self {
        Self { max: if max < 16 { 16 } else { max } }
    }

    /// The payloads of one frame, in the layout [`AacLayout::HIGH`]; the last one gets the marker. Nothing for a frame that thirteen
    /// bits cannot tell the size of.
    pub fn payload(&self, frame: &[u8]) -> Vec<Bytes> {
        let Ok(size) = u16::try_from(frame.len()) else { return Vec::new() };
        if frame.is_empty() || frame.len() >= MAX_FRAME {
            return Vec::new();
        }
        let piece = |part: &[u8]| {
            let mut out = BytesMut::with_capacity(4 + part.len());
            // One header of 16 bits: the size of the whole frame, index 0.
            out.put_u16(16);
            out.put_u16(size << 3);
            out.put_slice(part);
            out.freeze()
        };
        frame.chunks(self.max - 4).map(piece).collect()
    }
}

/// Gathers frames from packets in order.
#[derive(Debug, Clone)]
pub struct AacDepayloader {
    layout: AacLayout,
    fragment: Option<(u32, usize, BytesMut)>,
}

impl AacDepayloader {
    /// For a track with these header fields.
    pub const fn new(layout: AacLayout) -> Self {
        Self { layout, fragment: None }
    }

    /// Takes the next packet in sequence and answers its whole frames: the first one's time is the packet's, each further one
    /// follows by a frame. `gap`: packets before it are missing.
    ///
    /// # Errors
    /// [`AacDepayloadError`]; what was being gathered is dropped.
    pub fn push(&mut self, timestamp: u32, payload: &Bytes, gap: bool) -> Result<Vec<Bytes>, AacDepayloadError> {
        if gap || self.fragment.as_ref().is_some_and(|(t, ..)| *t != timestamp) {
            self.fragment = None;
        }
        let fragment = self.fragment.take();
        let bits = payload.get(..2).ok_or(AacDepayloadError::Short("header length"))?;
        let bits = bits.iter().fold(0, |n, b| n << 8 | u16::from(*b));
        let start = 2 + usize::from(bits).div_ceil(8);
        let headers = payload.get(2..start).ok_or(AacDepayloadError::Short("AU headers"))?;
        let mut at = payload.slice(start..);
        let sizes = self.sizes(bits, headers)?;
        if let [size] = sizes[..]
            && (fragment.is_some() || size > at.len())
        {
            return self.continue_fragment(timestamp, size, fragment, &at);
        }
        let mut frames = Vec::with_capacity(sizes.len());
        for size in sizes {
            if at.len() < size {
                return Err(AacDepayloadError::Short("frame"));
            }
            let frame = at.split_to(size);
            if !frame.is_empty() {
                frames.push(frame);
            }
        }
        Ok(frames)
    }

    fn continue_fragment(
        &mut self,
        timestamp: u32,
        size: usize,
        fragment: Option<(u32, usize, BytesMut)>,
        part: &Bytes,
    ) -> Result<Vec<Bytes>, AacDepayloadError> {
        if size > MAX_FRAME {
            return Err(AacDepayloadError::Long);
        }
        let (_, wanted, mut frame) = fragment.unwrap_or_else(|| (timestamp, size, BytesMut::with_capacity(size)));
        if wanted != size {
            return Err(AacDepayloadError::Fragment);
        }
        frame.extend_from_slice(part);
        match frame.len().cmp(&size) {
            std::cmp::Ordering::Less => {
                self.fragment = Some((timestamp, size, frame));
                Ok(Vec::new())
            }
            std::cmp::Ordering::Equal => Ok(vec![frame.freeze()]),
            std::cmp::Ordering::Greater => Err(AacDepayloadError::Long),
        }
    }

    fn sizes(&self, bits: u16, headers: &[u8]) -> Result<Vec<usize>, AacDepayloadError> {
        let AacLayout { size, index, delta } = self.layout;
        let (first, other) = (u16::from(size) + u16::from(index), u16::from(size) + u16::from(delta));
        let rest = bits.checked_sub(first).filter(|_| first > 0).ok_or(AacDepayloadError::Headers(bits))?;
        if rest > 0 && (other == 0 || rest % other != 0) {
            return Err(AacDepayloadError::Headers(bits));
        }
        let count = 1 + rest.checked_div(other).unwrap_or(0);
        let mut reader = Bits::new(headers);
        let mut sizes = Vec::with_capacity(usize::from(count));
        for n in 0..count {
            let short = AacDepayloadError::Short("AU headers");
            let bytes = reader.take(u32::from(size)).ok_or(short)?;
            let skipped = reader.take(u32::from(if n == 0 { index } else { delta })).ok_or(short)?;
            if skipped != 0 {
                return Err(AacDepayloadError::Interleaved);
            }
            sizes.push(usize::try_from(bytes).unwrap_or(usize::MAX));
        }
        Ok(sizes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn several_frames_in_a_packet() {
        let mut d = AacDepayloader::new(AacLayout::HIGH);
        let payload = Bytes::from_static(&[0, 32, 0, 2 << 3, 0, 1 << 3, 1, 2, 3]);
        assert_eq!(d.push(0, &payload, false), Ok(vec![Bytes::from_static(&[1, 2]), Bytes::from_static(&[3])]));
        let mut d = AacDepayloader::new(AacLayout::LOW);
        let payload = Bytes::from_static(&[0, 8, 2 << 2, 1, 2]);
        assert_eq!(d.push(0, &payload, false), Ok(vec![Bytes::from_static(&[1, 2])]));
    }

    #[test]
    fn refuses() {
        let check = |payload: &'static [u8], want| {
            let mut d = AacDepayloader::new(AacLayout::HIGH);
            assert_eq!(d.push(0, &Bytes::from_static(payload), false), Err(want), "{payload:?}");
        };
        check(&[0], AacDepayloadError::Short("header length"));
        check(&[0, 16, 0], AacDepayloadError::Short("AU headers"));
        check(&[0, 0], AacDepayloadError::Headers(0));
        check(&[0, 17, 0, 0, 0], AacDepayloadError::Headers(17));
        check(&[0, 16, 0, 0x0B, 1], AacDepayloadError::Interleaved);
        check(&[0, 32, 0, 8, 0, 16, 1, 2], AacDepayloadError::Short("frame"));
    }

    proptest! {
        /// What was sent comes back, unless a packet of it is missing; then nothing of it does.
        #[test]
        fn never_a_wrong_frame(
            frames in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..400), 1..12), max in 16_usize..200,
            drops in prop::collection::vec(prop::bool::weighted(0.1), 500),
        ) {
            let payloader = AacPayloader::new(max);
            let mut d = AacDepayloader::new(AacLayout::HIGH);
            let (mut drops, mut gap) = (drops.into_iter().cycle(), false);
            for (timestamp, frame) in (0_u32..).step_by(1024).zip(&frames) {
                let (mut got, mut lost) = (Vec::new(), false);
                for payload in payloader.payload(frame) {
                    prop_assert!(payload.len() <= max);
                    if drops.next() == Some(true) {
                        (gap, lost) = (true, true);
                        continue;
                    }
                    got.extend(d.push(timestamp, &payload, std::mem::take(&mut gap)).unwrap_or_default());
                }
                match &got[..] {
                    [] => prop_assert!(lost),
                    [one] => prop_assert_eq!(&one[..], &frame[..]),
                    more => prop_assert!(false, "{} frames of one", more.len()),
                }
            }
        }
    }
}
