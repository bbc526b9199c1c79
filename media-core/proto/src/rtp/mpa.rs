//! MPEG audio, MP3 included, in RTP (RFC 2250 §3.5). Not here: what a frame's header says (`media`).

use bytes::{BufMut, Bytes, BytesMut};
use media::{MpegAudioHeader, MpegAudioParams};
use thiserror::Error;

/// Why a payload is no MPEG audio.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum MpaError {
    /// It ends inside its header.
    #[error("MPEG audio payload ends inside its header")]
    Short,
    /// Where a frame should begin there is none.
    #[error("no MPEG audio frame at byte {0} of the payload")]
    Frame(usize),
    /// A fragment that continues nothing, or leaves a hole.
    #[error("a fragment at byte {0} of a frame without what is before it")]
    Fragment(usize),
}

/// Bytes in front of the frames: sixteen bits of zero, then where in its frame the payload begins.
const HEADER: usize = 4;

/// The payloads of one frame, each of at most `max` bytes.
pub fn payload_mpa(frame: &[u8], max: usize) -> Vec<Bytes> {
    let step = max.saturating_sub(HEADER).max(1);
    let piece = |(offset, part): (usize, &[u8])| {
        let mut out = BytesMut::with_capacity(HEADER + part.len());
        out.put_u16(0);
        // A frame has 4608 bytes at most.
        out.put_u16(u16::try_from(offset).unwrap_or(u16::MAX));
        out.put_slice(part);
        out.freeze()
    };
    (0..).step_by(step).zip(frame.chunks(step)).map(piece).collect()
}

/// Gathers frames from packets in order.
#[derive(Debug, Clone, Default)]
pub struct MpaDepayloader {
    /// The frame being gathered, its length, and its time.
    open: Option<(u32, usize, BytesMut)>,
}

impl MpaDepayloader {
    /// A depayloader that has seen nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes the next packet in sequence and answers its whole frames with what they say of themselves: the first one's time is the
    /// packet's, each further one follows by a frame. `gap`: packets before it are missing.
    ///
    /// # Errors
    /// [`MpaError`]; what was being gathered is dropped.
    pub fn push(
        &mut self,
        timestamp: u32,
        payload: &Bytes,
        gap: bool,
    ) -> Result<Vec<(MpegAudioParams, Bytes)>, MpaError> {
        let open = self.open.take().filter(|(t, ..)| !gap && *t == timestamp);
        let offset = payload.get(2..HEADER).ok_or(MpaError::Short)?;
        let offset = offset.iter().fold(0, |n, b| n << 8 | usize::from(*b));
        let mut rest = payload.slice(HEADER..);
        if offset > 0 {
            let (timestamp, length, mut frame) =
                open.filter(|(.., frame)| frame.len() == offset).ok_or(MpaError::Fragment(offset))?;
            frame.extend_from_slice(&rest);
            if frame.len() < length {
                self.open = Some((timestamp, length, frame));
                return Ok(Vec::new());
            }
            let header = MpegAudioHeader::parse(&frame).map_err(|_| MpaError::Frame(0))?;
            frame.truncate(length);
            return Ok(vec![(header.params, frame.freeze())]);
        }
        let mut frames = Vec::new();
        while !rest.is_empty() {
            let at = payload.len() - rest.len();
            let header = MpegAudioHeader::parse(&rest).map_err(|_| MpaError::Frame(at))?;
            if header.bytes > rest.len() {
                if frames.is_empty() {
                    self.open = Some((timestamp, header.bytes, BytesMut::from(&rest[..])));
                }
                break;
            }
            frames.push((header.params, rest.split_to(header.bytes)));
        }
        Ok(frames)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 128 kbit/s at 48 kHz, layer III: 384 bytes.
    fn frame() -> Vec<u8> {
        let mut frame = vec![0xFF, 0xFB, 0x94, 0xC4];
        frame.resize(384, 7);
        frame
    }

    #[test]
    fn there_and_back() {
        for max in [100, 388, 1400] {
            let mut d = MpaDepayloader::new();
            let payloads = payload_mpa(&frame(), max);
            let got: Vec<_> = payloads.iter().flat_map(|p| d.push(5, p, false).unwrap()).collect();
            let [(params, bytes)] = &got[..] else { panic!("{got:?}") };
            assert_eq!((&bytes[..], params.rate.hz()), (&frame()[..], 48_000));
        }
        let two = Bytes::from([&[0, 0, 0, 0][..], &frame(), &frame()].concat());
        assert_eq!(MpaDepayloader::new().push(0, &two, false).unwrap().len(), 2);
    }

    #[test]
    fn refuses() {
        let mut d = MpaDepayloader::new();
        assert_eq!(d.push(0, &Bytes::from_static(&[0, 0, 0]), false), Err(MpaError::Short));
        assert_eq!(d.push(0, &Bytes::from_static(&[0, 0, 0, 0, 1, 2, 3, 4]), false), Err(MpaError::Frame(4)));
        let payloads = payload_mpa(&frame(), 100);
        assert_eq!(d.push(0, &payloads[0], false), Ok(vec![]));
        assert_eq!(d.push(0, &payloads[2], true), Err(MpaError::Fragment(192)));
        assert_eq!(d.push(0, &payloads[3], false), Err(MpaError::Fragment(288)));
    }
}
