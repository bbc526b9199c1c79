//! Motion JPEG: what a JPEG says of itself before its scan (ITU-T T.81 annex B), and the entrance of such a track.
//!
//! Belongs here: markers, the tables that everybody means who sends none (K.3), JPEG headers written anew. Not here: packets of RFC 2435
//! (`proto::rtp`), the parts of an HTTP answer (`relay`), decoding (`codec`).

use crate::CodecParams;
use crate::unit::UnitKind;
use crate::video::VideoUnit;
use bytes::Bytes;
use std::sync::Arc;
use thiserror::Error;

/// Why bytes are no JPEG.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum JpegError {
    /// They do not begin as one.
    #[error("no JPEG")]
    NoJpeg,
    /// They end before the scan.
    #[error("a JPEG that ends before its scan")]
    Short,
    /// A frame of a kind that nobody sends, or of an impossible size.
    #[error("a JPEG of a kind or size that is not carried")]
    Frame,
}

/// Markers, behind their 0xFF.
mod marker {
    pub(super) const SOF0: u8 = 0xC0;
    pub(super) const SOF2: u8 = 0xC2;
    pub(super) const DHT: u8 = 0xC4;
    pub(super) const SOI: u8 = 0xD8;
    pub(super) const EOI: u8 = 0xD9;
    pub(super) const SOS: u8 = 0xDA;
    pub(super) const DQT: u8 = 0xDB;
    pub(super) const DRI: u8 = 0xDD;
}

/// The largest side taken: 4K. What is decoded from a few bytes needs memory by its size.
const MAX_SIDE: u16 = 4096;
/// Tables of lengths and symbols, as in a DHT segment: luma DC, luma AC, chroma DC, chroma AC (K.3.3).
const HUFFMAN: [&[u8]; 4] = [
    b"\x00\0\x01\x05\x01\x01\x01\x01\x01\x01\0\0\0\0\0\0\0\0\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0A\x0B",
    b"\x10\0\x02\x01\x03\x03\x02\x04\x03\x05\x05\x04\x04\0\0\x01\x7D\
      \x01\x02\x03\x00\x04\x11\x05\x12\x21\x31\x41\x06\x13\x51\x61\x07\x22\x71\x14\x32\x81\x91\xA1\x08\x23\x42\xB1\xC1\x15\x52\xD1\xF0\
      \x24\x33\x62\x72\x82\x09\x0A\x16\x17\x18\x19\x1A\x25\x26\x27\x28\x29\x2A\x34\x35\x36\x37\x38\x39\x3A\x43\x44\x45\x46\x47\x48\x49\
      \x4A\x53\x54\x55\x56\x57\x58\x59\x5A\x63\x64\x65\x66\x67\x68\x69\x6A\x73\x74\x75\x76\x77\x78\x79\x7A\x83\x84\x85\x86\x87\x88\x89\
      \x8A\x92\x93\x94\x95\x96\x97\x98\x99\x9A\xA2\xA3\xA4\xA5\xA6\xA7\xA8\xA9\xAA\xB2\xB3\xB4\xB5\xB6\xB7\xB8\xB9\xBA\xC2\xC3\xC4\xC5\
      \xC6\xC7\xC8\xC9\xCA\xD2\xD3\xD4\xD5\xD6\xD7\xD8\xD9\xDA\xE1\xE2\xE3\xE4\xE5\xE6\xE7\xE8\xE9\xEA\xF1\xF2\xF3\xF4\xF5\xF6\xF7\xF8\
      \xF9\xFA",
    b"\x01\0\x03\x01\x01\x01\x01\x01\x01\x01\x01\x01\0\0\0\0\0\0\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0A\x0B",
    b"\x11\0\x02\x01\x02\x04\x04\x03\x04\x07\x05\x04\x04\0\x01\x02\x77\
      \x00\x01\x02\x03\x11\x04\x05\x21\x31\x06\x12\x41\x51\x07\x61\x71\x13\x22\x32\x81\x08\x14\x42\x91\xA1\xB1\xC1\x09\x23\x33\x52\xF0\
      \x15\x62\x72\xD1\x0A\x16\x24\x34\xE1\x25\xF1\x17\x18\x19\x1A\x26\x27\x28\x29\x2A\x35\x36\x37\x38\x39\x3A\x43\x44\x45\x46\x47\x48\
      \x49\x4A\x53\x54\x55\x56\x57\x58\x59\x5A\x63\x64\x65\x66\x67\x68\x69\x6A\x73\x74\x75\x76\x77\x78\x79\x7A\x82\x83\x84\x85\x86\x87\
      \x88\x89\x8A\x92\x93\x94\x95\x96\x97\x98\x99\x9A\xA2\xA3\xA4\xA5\xA6\xA7\xA8\xA9\xAA\xB2\xB3\xB4\xB5\xB6\xB7\xB8\xB9\xBA\xC2\xC3\
      \xC4\xC5\xC6\xC7\xC8\xC9\xCA\xD2\xD3\xD4\xD5\xD6\xD7\xD8\xD9\xDA\xE2\xE3\xE4\xE5\xE6\xE7\xE8\xE9\xEA\xF2\xF3\xF4\xF5\xF6\xF7\xF8\
      \xF9\xFA",
];

/// How colour is sampled, of the two ways that have a name in RTP (RFC 2435 §4.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JpegSampling {
    /// 4:2:2, luma two blocks wide.
    Yuv422,
    /// 4:2:0, luma two blocks wide and high.
    Yuv420,
}

/// What a JPEG says before its scan, as far as RTP can say it, too: baseline, Y'CbCr, eight bits, the Huffman tables of K.3.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct JpegHead {
    /// Width in pixels.
    pub width: u16,
    /// Height in pixels.
    pub height: u16,
    /// How colour is sampled.
    pub sampling: JpegSampling,
    /// Blocks between restart markers; 0 without.
    pub restart: u16,
    /// Quantisation of luma and of chroma, in zigzag order.
    pub tables: [[u8; 64]; 2],
}

/// A JPEG's size, and what of it the scan needs.
#[derive(Debug, Clone)]
pub struct Jpeg<'a> {
    /// Width in pixels.
    pub width: u16,
    /// Height in pixels.
    pub height: u16,
    /// The rest, of one that RTP can carry.
    pub head: Option<JpegHead>,
    /// The entropy-coded data, without the end's marker.
    pub scan: &'a [u8],
}

impl<'a> Jpeg<'a> {
    /// Reads what stands before the scan.
    ///
    /// # Errors
    /// [`JpegError`].
    pub fn parse(bytes: &'a [u8]) -> Result<Self, JpegError> {
        let mut rest = bytes.strip_prefix(&[0xFF, marker::SOI]).ok_or(JpegError::NoJpeg)?;
        let mut found = Found::default();
        loop {
            let (&[0xFF, kind], behind) = rest.split_first_chunk::<2>().ok_or(JpegError::Short)? else {
                return Err(JpegError::NoJpeg);
            };
            if kind == 0xFF {
                // Any number of them may stand before a marker (B.1.1.2).
                rest = rest.get(1..).unwrap_or_default();
                continue;
            }
            let length = behind.first_chunk::<2>().map_or(0, |field| usize::from(u16::from_be_bytes(*field)));
            let (segment, behind) = behind.split_at_checked(length.max(2)).ok_or(JpegError::Short)?;
            let body = segment.get(2..).unwrap_or_default();
            match kind {
                marker::SOF0..=marker::SOF2 => found.frame(kind, body)?,
                marker::DQT => found.quantisation(body),
                marker::DHT => found.huffman(body),
                marker::DRI => found.restart = body.first_chunk::<2>().map_or(0, |field| u16::from_be_bytes(*field)),
                marker::SOS => {
                    found.one_scan = body.first() == Some(&3);
                    return found.finish(behind);
                }
                _ => {}
            }
            rest = behind;
        }
    }
}

/// What was met on the way to the scan.
#[derive(Debug)]
struct Found<'a> {
    size: Option<(u16, u16)>,
    sampling: Option<JpegSampling>,
    /// Which tables luma and chroma are quantised by.
    quantised_by: [u8; 2],
    quantisation: [Option<&'a [u8; 64]>; 4],
    restart: u16,
    ordinary_tables: bool,
    one_scan: bool,
}

impl Default for Found<'_> {
    fn default() -> Self {
        Self {
            size: None,
            sampling: None,
            quantised_by: [0, 1],
            quantisation: [None; 4],
            restart: 0,
            // None at all are these, too (cameras, and MJPEG in AVI).
            ordinary_tables: true,
            one_scan: false,
        }
    }
}

impl<'a> Found<'a> {
    /// B.2.2.
    fn frame(&mut self, kind: u8, body: &[u8]) -> Result<(), JpegError> {
        let (&[depth, a, b, c, d, count], rest) = body.split_first_chunk::<6>().ok_or(JpegError::Short)?;
        let (height, width) = (u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d]));
        let sides = 2..=MAX_SIDE;
        if depth != 8 || !matches!(count, 1 | 3) || !sides.contains(&width) || !sides.contains(&height) {
            return Err(JpegError::Frame);
        }
        self.size = Some((width, height));
        self.sampling = match (kind, rest.as_chunks::<3>().0) {
            (marker::SOF0, [[_, luma, first], [_, 0x11, second], [_, 0x11, third]]) if second == third => {
                self.quantised_by = [*first, *second];
                match luma {
                    0x21 => Some(JpegSampling::Yuv422),
                    0x22 => Some(JpegSampling::Yuv420),
                    _ => None,
                }
            }
            _ => None,
        };
        Ok(())
    }

    /// B.2.4.1; of more than eight bits they are not for baseline.
    fn quantisation(&mut self, mut body: &'a [u8]) {
        while let Some((&which @ 0..4, rest)) = body.split_first() {
            let Some((table, rest)) = rest.split_first_chunk::<64>() else { return };
            if let Some(place) = self.quantisation.get_mut(usize::from(which)) {
                *place = Some(table);
            }
            body = rest;
        }
    }

    /// B.2.4.2: are they the usual ones?
    fn huffman(&mut self, mut body: &[u8]) {
        while !body.is_empty() {
            let usual = HUFFMAN.iter().find_map(|table| body.strip_prefix(*table));
            self.ordinary_tables &= usual.is_some();
            let Some(rest) = usual else { return };
            body = rest;
        }
    }

    fn finish(self, scan: &'a [u8]) -> Result<Jpeg<'a>, JpegError> {
        let (width, height) = self.size.ok_or(JpegError::Frame)?;
        let table = |which: u8| self.quantisation.get(usize::from(which)).copied().flatten().copied();
        let [luma, chroma] = self.quantised_by.map(table);
        let fits = self.ordinary_tables && self.one_scan;
        let head = self.sampling.zip(luma.zip(chroma)).filter(|_| fits).map(|(sampling, (luma, chroma))| JpegHead {
            width,
            height,
            sampling,
            restart: self.restart,
            tables: [luma, chroma],
        });
        let end = scan.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
        let scan = scan.get(..end).unwrap_or_default();
        Ok(Jpeg { width, height, head, scan: scan.strip_suffix(&[0xFF, marker::EOI]).unwrap_or(scan) })
    }
}

impl JpegHead {
    /// Everything of the JPEG before its scan, Huffman tables included.
    pub fn write(&self) -> Vec<u8> {
        let mut out = vec![0xFF, marker::SOI];
        let mut segment = |kind: u8, bodies: &[&[u8]]| {
            let length: usize = 2 + bodies.iter().map(|body| body.len()).sum::<usize>();
            out.extend_from_slice(&[0xFF, kind]);
            out.extend_from_slice(&u16::try_from(length).unwrap_or(u16::MAX).to_be_bytes());
            bodies.iter().for_each(|body| out.extend_from_slice(body));
        };
        let [luma, chroma] = &self.tables;
        segment(marker::DQT, &[&[0], luma, &[1], chroma]);
        if self.restart > 0 {
            segment(marker::DRI, &[&self.restart.to_be_bytes()]);
        }
        let factors = match self.sampling {
            JpegSampling::Yuv422 => 0x21,
            JpegSampling::Yuv420 => 0x22,
        };
        let components = [3, 1, factors, 0, 2, 0x11, 1, 3, 0x11, 1];
        segment(marker::SOF0, &[&[8], &self.height.to_be_bytes(), &self.width.to_be_bytes(), &components]);
        segment(marker::DHT, &HUFFMAN);
        segment(marker::SOS, &[&[3, 1, 0, 2, 0x11, 3, 0x11, 0, 63, 0]]);
        out
    }

    /// The marker behind the scan.
    pub const END: [u8; 2] = [0xFF, marker::EOI];
}

/// What a Motion JPEG track shows: every picture says the rest itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MjpegParams {
    width: u16,
    height: u16,
    packs: bool,
}

impl MjpegParams {
    /// Width in pixels.
    pub const fn width(&self) -> u32 {
        self.width as u32
    }

    /// Height in pixels.
    pub const fn height(&self) -> u32 {
        self.height as u32
    }

    /// Are its pictures such that RTP can carry them (RFC 2435)?
    pub const fn packs(&self) -> bool {
        self.packs
    }
}

/// The largest side that RTP has a number for, in blocks of eight (RFC 2435 §3.1.5).
const MAX_PACKED_SIDE: u16 = 255 * 8;

/// The entrance of a Motion JPEG track.
#[derive(Debug, Clone, Default)]
pub struct MjpegEntrance {
    params: Option<Arc<CodecParams>>,
}

impl MjpegEntrance {
    /// An entrance that has seen nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// What is known now; `None` before the first picture.
    pub fn params(&self) -> Option<Arc<CodecParams>> {
        self.params.clone()
    }

    /// Takes one JPEG. Each needs no other.
    ///
    /// # Errors
    /// [`JpegError`] for what is none. Whether its scan is whole shows when it is decoded.
    pub fn unit(&mut self, jpeg: &Bytes) -> Result<VideoUnit, JpegError> {
        let Jpeg { width, height, head, .. } = Jpeg::parse(jpeg)?;
        let packs = head.is_some() && width <= MAX_PACKED_SIDE && height <= MAX_PACKED_SIDE;
        let params = CodecParams::Mjpeg(MjpegParams { width, height, packs });
        let known = self.params.take().filter(|known| **known == params);
        let params = self.params.insert(known.unwrap_or_else(|| Arc::new(params)));
        Ok(VideoUnit { kind: UnitKind::Key, params: Arc::clone(params), payload: jpeg.clone() })
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) const HEAD: JpegHead =
        JpegHead { width: 320, height: 240, sampling: JpegSampling::Yuv422, restart: 0, tables: [[3; 64], [9; 64]] };

    pub(crate) fn jpeg(head: &JpegHead) -> Vec<u8> {
        [&head.write()[..], &[1, 2, 0xFF, 0, 3], &JpegHead::END].concat()
    }

    #[test]
    fn what_is_written_is_read() {
        for head in [HEAD, JpegHead { restart: 40, sampling: JpegSampling::Yuv420, ..HEAD }] {
            let bytes = jpeg(&head);
            for padding in [&[][..], &[0; 9]] {
                let padded = [&bytes[..], padding].concat();
                let read = Jpeg::parse(&padded).unwrap();
                assert_eq!((read.width, read.height, read.head), (320, 240, Some(head)));
                assert_eq!(read.scan, [1, 2, 0xFF, 0, 3]);
            }
            for cut in 0..bytes.len() - 7 {
                assert!(Jpeg::parse(&bytes[..cut]).is_err(), "cut at {cut}");
            }
        }
    }

    #[test]
    fn what_rtp_has_no_words_for() {
        let bytes = jpeg(&HEAD);
        let packs = |bytes: &[u8]| Jpeg::parse(bytes).unwrap().head.is_some();
        let frame = bytes.windows(2).position(|pair| pair == [0xFF, marker::SOF0]).unwrap();
        let tables = bytes.windows(2).position(|pair| pair == [0xFF, marker::DHT]).unwrap();
        let with = |at: usize, value: u8| {
            let mut changed = bytes.clone();
            changed[at] = value;
            changed
        };
        assert!(packs(&bytes));
        assert!(!packs(&with(frame + 1, marker::SOF2)), "progressive");
        assert!(!packs(&with(frame + 11, 0x11)), "4:4:4");
        assert!(!packs(&with(tables + 30, 7)), "another Huffman table");
        assert_eq!(Jpeg::parse(&with(frame + 9, 4)).unwrap_err(), JpegError::Frame, "four colours");
        // None at all means the usual ones.
        let scan = bytes.windows(2).position(|pair| pair == [0xFF, marker::SOS]).unwrap();
        assert!(packs(&[&bytes[..tables], &bytes[scan..]].concat()));
        let mut entrance = MjpegEntrance::new();
        let mut unit = |bytes: &[u8]| entrance.unit(&Bytes::copy_from_slice(bytes)).unwrap();
        let (first, second) = (unit(&bytes), unit(&bytes));
        assert!(Arc::ptr_eq(&first.params, &second.params) && first.kind == UnitKind::Key);
        let wide = JpegHead { width: 2048, ..HEAD };
        let CodecParams::Mjpeg(wide) = *unit(&jpeg(&wide)).params else { panic!("MJPEG") };
        assert!(!wide.packs() && wide.width() == 2048);
    }
}
