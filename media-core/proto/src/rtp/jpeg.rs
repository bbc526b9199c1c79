//! JPEG in RTP (RFC 2435): the scan in pieces; what stands before it is said in a few bytes and written anew by the receiver.
//!
//! Sides above 2040 pixels have no number there, and are refused. Not here: what a JPEG says of itself (`media`), where pictures begin
//! and end (`gather`).

use super::gather::{Depayloaded, Depayloader, Gathered, Packing};
use bytes::Bytes;
use media::{Jpeg, JpegHead, JpegSampling};
use std::collections::BTreeMap;

/// The main header (§3.1).
const HEADER: usize = 8;
/// Types 0 and 1, and the same with restart markers (§3.1.3).
const RESTARTS: u8 = 0x40;
/// From here on tables travel along (§3.1.4); the last one is for tables that change.
const OWN_TABLES: u8 = 128;
const CHANGING_TABLES: u8 = 255;
/// The first and last piece of a picture without knowledge of its intervals (§3.1.7).
const WHOLE_PICTURE: [u8; 2] = [0xFF, 0xFF];
/// Bytes of a quantisation table, and of two.
const TABLE: usize = 64;
const TABLES: u8 = 128;

/// Appendix A, for a quality of 50: luma and chroma, in zigzag order.
const USUAL: [[u8; TABLE]; 2] = [
    [
        16, 11, 12, 14, 12, 10, 16, 14, 13, 14, 18, 17, 16, 19, 24, 40, 26, 24, 22, 22, 24, 49, 35, 37, 29, 40, 58, 51,
        61, 60, 57, 51, 56, 55, 64, 72, 92, 78, 64, 68, 87, 69, 55, 56, 80, 109, 81, 87, 95, 98, 103, 104, 103, 62, 77,
        113, 121, 112, 100, 120, 92, 101, 103, 99,
    ],
    [
        17, 18, 18, 24, 21, 24, 47, 26, 26, 47, 99, 66, 56, 66, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99,
        99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99,
        99, 99, 99, 99, 99, 99, 99, 99,
    ],
];

/// RFC 2435.
#[derive(Debug)]
struct JpegPacking;

/// Gathers packets into whole JPEGs.
#[derive(Debug)]
pub struct JpegDepayloader {
    gathered: Depayloader<JpegPacking>,
    /// Tables that were sent once for good, by their number (§3.1.4): at most 127.
    tables: BTreeMap<u8, Bytes>,
}

/// A payload, taken apart.
struct Piece<'a> {
    offset: u32,
    kind: u8,
    quality: u8,
    width: u16,
    height: u16,
    restart: u16,
    /// Of the first piece: the tables that travel along, empty for those that are known.
    tables: Option<&'a [u8]>,
    /// Where they stand in the payload, behind their own header.
    tables_at: usize,
    scan: &'a [u8],
}

impl<'a> Piece<'a> {
    fn parse(payload: &'a [u8]) -> Option<Self> {
        let (&[_, high, middle, low, kind, quality, width, height], mut rest) =
            payload.split_first_chunk::<HEADER>()?;
        let offset = u32::from_be_bytes([0, high, middle, low]);
        let mut piece = Self {
            offset,
            kind,
            quality,
            width: u16::from(width) * 8,
            height: u16::from(height) * 8,
            restart: 0,
            tables: None,
            tables_at: 0,
            scan: &[],
        };
        if kind & RESTARTS != 0 {
            let (&[high, low, _, _], behind) = rest.split_first_chunk::<4>()?;
            piece.restart = u16::from_be_bytes([high, low]);
            rest = behind;
        }
        if offset == 0 && quality >= OWN_TABLES {
            let (&[_, precision, high, low], behind) = rest.split_first_chunk::<4>()?;
            // Tables of more than eight bits are not for baseline.
            let length = (precision == 0).then(|| usize::from(u16::from_be_bytes([high, low])))?;
            let (tables, behind) = behind.split_at_checked(length)?;
            piece.tables = Some(tables);
            piece.tables_at = payload.len() - behind.len() - length;
            rest = behind;
        }
        piece.scan = rest;
        Some(piece)
    }

    /// What stands before the scan, of a first piece whose tables are there.
    fn head(&self) -> Option<JpegHead> {
        let sampling = match self.kind & !RESTARTS {
            0 => JpegSampling::Yuv422,
            1 => JpegSampling::Yuv420,
            _ => return None,
        };
        let tables = match (self.tables, self.quality) {
            (Some(tables), _) => {
                let luma = *tables.first_chunk::<TABLE>()?;
                // One for both, as some senders have it.
                [luma, tables.get(TABLE..).and_then(|rest| rest.first_chunk()).copied().unwrap_or(luma)]
            }
            (None, quality @ 1..=99) => USUAL.map(|table| table.map(|value| scaled(value, quality))),
            (None, _) => return None,
        };
        let (width, height) = (self.width, self.height);
        (width > 0 && height > 0).then_some(JpegHead { width, height, sampling, restart: self.restart, tables })
    }
}

/// A value of [`USUAL`] at another quality (Appendix A).
fn scaled(value: u8, quality: u8) -> u8 {
    let quality = u32::from(quality);
    let factor = if quality < 50 { 5000 / quality } else { 200 - quality * 2 };
    u8::try_from(((u32::from(value) * factor + 50) / 100).clamp(1, 255)).unwrap_or(u8::MAX)
}

impl Packing for JpegPacking {
    fn take(gathered: &mut Gathered, payload: &Bytes) -> Option<()> {
        let piece = Piece::parse(payload)?;
        if piece.offset > 0 {
            return gathered.append(piece.scan);
        }
        if !gathered.is_empty() || piece.scan.is_empty() {
            return None;
        }
        gathered.open(&piece.head()?.write(), piece.scan);
        Some(())
    }

    fn finish(gathered: &mut Gathered) -> Option<()> {
        gathered.append(&JpegHead::END)?;
        let picture = gathered.close()?;
        gathered.keep(picture)
    }

    fn begins(_picture: &[u8]) -> bool {
        true
    }
}

impl JpegDepayloader {
    /// A depayloader that has seen nothing.
    pub fn new() -> Self {
        Self { gathered: Depayloader::new(), tables: BTreeMap::new() }
    }

    /// Takes the next packet in sequence. `gap`: packets before it are missing. Ask [`Self::poll`] afterwards.
    pub fn push(&mut self, timestamp: u32, marker: bool, payload: &Bytes, gap: bool) {
        let completed = self.complete(payload);
        self.gathered.push(timestamp, marker, completed.as_ref().unwrap_or(payload), gap);
    }

    /// What is finished, oldest first.
    pub fn poll(&mut self) -> Option<Depayloaded> {
        self.gathered.poll()
    }

    /// The payload with the tables that it refers to by their number, where it does.
    fn complete(&mut self, payload: &Bytes) -> Option<Bytes> {
        let piece = Piece::parse(payload)?;
        let (quality, tables) = (piece.quality, piece.tables?);
        if quality == CHANGING_TABLES {
            return None;
        }
        if !tables.is_empty() {
            self.tables.insert(quality, Bytes::copy_from_slice(tables));
            return None;
        }
        let known = self.tables.get(&quality)?;
        let (before, scan) = payload.split_at_checked(piece.tables_at)?;
        let mut completed = before.to_vec();
        let length = u16::try_from(known.len()).ok()?.to_be_bytes();
        completed.get_mut(piece.tables_at.checked_sub(2)?..)?.copy_from_slice(&length);
        completed.extend_from_slice(known);
        completed.extend_from_slice(scan);
        Some(completed.into())
    }
}

impl Default for JpegDepayloader {
    fn default() -> Self {
        Self::new()
    }
}

/// The payloads of one JPEG, of at most `max` bytes each; the last one gets the marker. None of one that RTP has no words for.
pub(super) fn payload_jpeg(jpeg: &[u8], max: usize) -> Vec<Bytes> {
    let Ok(Jpeg { head: Some(head), scan, .. }) = Jpeg::parse(jpeg) else { return Vec::new() };
    let blocks = |side: u16| u8::try_from(side.div_ceil(8)).ok();
    let (Some(width), Some(height)) = (blocks(head.width), blocks(head.height)) else { return Vec::new() };
    let sampling = match head.sampling {
        JpegSampling::Yuv422 => 0,
        JpegSampling::Yuv420 => 1,
    };
    let kind = sampling | if head.restart > 0 { RESTARTS } else { 0 };
    let mut rest = scan;
    let mut payloads = Vec::new();
    while !rest.is_empty() {
        let first = payloads.is_empty();
        let [_, high, middle, low] = u32::try_from(scan.len() - rest.len()).unwrap_or(u32::MAX).to_be_bytes();
        let mut payload = vec![0, high, middle, low, kind, CHANGING_TABLES, width, height];
        if head.restart > 0 {
            payload.extend_from_slice(&head.restart.to_be_bytes());
            payload.extend_from_slice(&WHOLE_PICTURE);
        }
        if first {
            payload.extend_from_slice(&[0, 0, 0, TABLES]);
            head.tables.iter().for_each(|table| payload.extend_from_slice(table));
        }
        let (piece, behind) = rest.split_at(rest.len().min(max.saturating_sub(payload.len()).max(1)));
        payload.extend_from_slice(piece);
        payloads.push(payload.into());
        rest = behind;
    }
    payloads
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const HEAD: JpegHead =
        JpegHead { width: 640, height: 360, sampling: JpegSampling::Yuv420, restart: 0, tables: [[3; 64], [9; 64]] };

    fn jpeg(head: &JpegHead, scan: &[u8]) -> Bytes {
        [&head.write()[..], scan, &JpegHead::END].concat().into()
    }

    fn gather(payloads: &[Bytes], gap: impl Fn(usize) -> bool) -> Vec<Option<Bytes>> {
        let mut depayloader = JpegDepayloader::new();
        let mut out = Vec::new();
        for (at, payload) in payloads.iter().enumerate() {
            depayloader.push(7, at + 1 == payloads.len(), payload, gap(at));
            while let Some(got) = depayloader.poll() {
                out.push(match got {
                    Depayloaded::Unit { parts, .. } => Some(parts.concat().into()),
                    Depayloaded::Lost { .. } => None,
                });
            }
        }
        out
    }

    proptest! {
        #[test]
        fn pictures_come_back(
            scan in prop::collection::vec(0_u8..0xFF, 1..5000),
            max in 160_usize..1500,
            restart in prop::sample::select(vec![0_u16, 40]),
            wide in any::<bool>(),
        ) {
            let sampling = if wide { JpegSampling::Yuv422 } else { JpegSampling::Yuv420 };
            let whole = jpeg(&JpegHead { restart, sampling, ..HEAD }, &scan);
            let payloads = payload_jpeg(&whole, max);
            prop_assert!(payloads.iter().all(|payload| payload.len() <= max));
            prop_assert_eq!(gather(&payloads, |_| false), [Some(whole)]);
            if payloads.len() > 1 {
                prop_assert_eq!(gather(&payloads, |at| at == 1), [None], "a hole in it");
                prop_assert_eq!(gather(&payloads[1..], |_| false), [None], "its beginning is missing");
            }
        }
    }

    #[test]
    fn tables_by_quality_and_by_number() {
        let payload = |quality: u8, tables: Option<&[u8]>| -> Bytes {
            let mut out = vec![0, 0, 0, 0, 1, quality, 80, 45];
            if let Some(tables) = tables {
                out.extend_from_slice(&[0, 0, 0, u8::try_from(tables.len()).unwrap()]);
                out.extend_from_slice(tables);
            }
            out.extend_from_slice(&[5, 6, 7]);
            out.into()
        };
        let tables_of = |got: Vec<Option<Bytes>>| {
            got.first()?.as_ref().map(|bytes| {
                let parsed = Jpeg::parse(bytes).unwrap();
                assert_eq!((parsed.scan, parsed.width, parsed.height), (&[5, 6, 7][..], 640, 360));
                parsed.head.unwrap().tables
            })
        };
        let alone = |quality, tables| tables_of(gather(&[payload(quality, tables)], |_| false));
        assert_eq!(alone(50, None), Some(USUAL));
        assert_eq!(alone(99, None).unwrap()[0][..3], [1, 1, 1], "never zero");
        assert_eq!(alone(1, None).unwrap()[1][20], 255);
        assert_eq!(alone(255, Some(&[4; 64])), Some([[4; 64]; 2]), "one for both");
        for (quality, tables) in [(0, None), (100, None), (255, Some(&[][..])), (200, Some(&[])), (255, Some(&[4; 63]))]
        {
            assert_eq!(alone(quality, tables), None, "{quality}");
        }
        // Sent once, and meant from then on.
        let mut depayloader = JpegDepayloader::new();
        for tables in [&[8; 128][..], &[]] {
            depayloader.push(1, true, &payload(130, Some(tables)), false);
            let Some(Depayloaded::Unit { parts, .. }) = depayloader.poll() else { panic!("a picture") };
            assert_eq!(Jpeg::parse(&parts[0]).unwrap().head.unwrap().tables, [[8; 64]; 2]);
        }
    }

    #[test]
    fn sizes_without_a_number_are_not_sent() {
        let scan = [1, 2, 3];
        assert_eq!(payload_jpeg(&jpeg(&HEAD, &scan), 1400).len(), 1);
        assert!(payload_jpeg(&jpeg(&JpegHead { width: 2048, ..HEAD }, &scan), 1400).is_empty());
        assert!(payload_jpeg(b"\xFF\xD8none", 1400).is_empty());
        // Nothing says more than eighths of a side.
        let cut = payload_jpeg(&jpeg(&JpegHead { height: 1082, width: 1920, ..HEAD }, &scan), 1400);
        assert_eq!(cut[0][6..8], [240, 136]);
    }
}
