//! VP8 in RTP (RFC 7741): a frame in pieces, each behind a payload descriptor.
//!
//! Picture numbers and temporal layers are read over, and none are written: payloads are shared by readers, and the sequence numbers say
//! what is missing. Not here: what a frame says of itself (`media`), where pictures begin and end (`gather`).

use super::cut::cut_frame;
use super::gather::{Depayloader, Gathered, Packing};
use bytes::Bytes;
use media::Vp8Entrance;

/// Bits of the descriptor's first byte (§4.2).
const EXTENDED: u8 = 0x80;
const START: u8 = 0x10;
const PARTITION: u8 = 0x07;
/// Bits of the extension.
const PICTURE_ID: u8 = 0x80;
const LAYER_ZERO: u8 = 0x40;
const LAYER_OR_KEY: u8 = 0x30;
/// The picture number has fifteen bits.
const LONG: u8 = 0x80;

/// RFC 7741.
#[derive(Debug)]
pub struct Vp8Packing;

/// Gathers VP8's packets into frames.
pub type Vp8Depayloader = Depayloader<Vp8Packing>;

/// Is it the first of its frame, and where does the frame's piece begin?
fn descriptor(payload: &[u8]) -> Option<(bool, usize)> {
    let first = *payload.first()?;
    let mut length = 1;
    if first & EXTENDED != 0 {
        let fields = *payload.get(1)?;
        length += 1;
        if fields & PICTURE_ID != 0 {
            length += 1 + usize::from(payload.get(length)? & LONG != 0);
        }
        length += usize::from(fields & LAYER_ZERO != 0) + usize::from(fields & LAYER_OR_KEY != 0);
    }
    Some((first & START != 0 && first & PARTITION == 0, length))
}

impl Packing for Vp8Packing {
    fn take(gathered: &mut Gathered, payload: &Bytes) -> Option<()> {
        let (starts, length) = descriptor(payload)?;
        let piece = payload.get(length..).filter(|piece| !piece.is_empty())?;
        match starts {
            true if gathered.is_empty() => gathered.open(&[], piece),
            // Another frame with the same time, or one whose beginning is missing.
            true => return None,
            false => gathered.append(piece)?,
        }
        Some(())
    }

    fn finish(gathered: &mut Gathered) -> Option<()> {
        match gathered.close() {
            Some(frame) => gathered.keep(frame),
            None => Some(()),
        }
    }

    fn begins(part: &[u8]) -> bool {
        Vp8Entrance::starts(part)
    }
}

/// The payloads of one frame, of at most `max` bytes each; the last one gets the marker.
pub(super) fn payload_vp8(frame: &[u8], max: usize) -> Vec<Bytes> {
    cut_frame(frame, max, 1, |first, _| vec![if first { START } else { 0 }])
}

#[cfg(test)]
mod tests {
    use super::super::gather::Depayloaded;
    use super::*;
    use proptest::prelude::*;

    /// The beginnings of a key picture and of another.
    const KEY: &[u8] = &[0x50, 0x2A, 0, 0x9D, 1, 0x2A, 0x40, 1, 0xF0, 0];
    const DELTA: &[u8] = &[0xD1, 1, 0];

    fn drain(d: &mut Vp8Depayloader) -> Vec<Depayloaded> {
        std::iter::from_fn(|| d.poll()).collect()
    }

    #[test]
    fn descriptors() {
        let check = |payloads: &[&[u8]], want: Option<&'static [u8]>| {
            let mut d = Vp8Depayloader::from_the_beginning();
            for (i, p) in payloads.iter().enumerate() {
                d.push(7, i + 1 == payloads.len(), &Bytes::copy_from_slice(p), false);
            }
            let want = want.map_or(Depayloaded::Lost { timestamp: 7 }, |frame| Depayloaded::Unit {
                timestamp: 7,
                parts: vec![Bytes::from_static(frame)],
            });
            assert_eq!(drain(&mut d), [want], "{payloads:02x?}");
        };
        check(&[&[0x10, 1, 2], &[0x00, 3]], Some(&[1, 2, 3]));
        // Short and long picture numbers, layers, as libwebrtc writes them; a second partition begins.
        check(&[&[0x90, 0x80, 5, 1], &[0x81, 0x80, 5, 2], &[0x92, 0x80, 5, 3]], Some(&[1, 2, 3]));
        check(&[&[0x90, 0xE0, 0x80, 1, 9, 0x20, 1]], Some(&[1]));
        check(&[&[0x90, 0x00, 1]], Some(&[1]));
        for broken in [&[0x10][..], &[0x90], &[0x90, 0x80], &[0x90, 0x80, 0x80], &[0x00, 1], &[0x11, 1]] {
            check(&[broken], None);
        }
        check(&[&[0x10, 1], &[0x10, 2]], None);
    }

    #[test]
    fn after_a_gap_only_a_key_picture_is_taken() {
        let mut d = Vp8Depayloader::new();
        let of = |frame: &[u8]| payload_vp8(frame, 100).remove(0);
        for (timestamp, frame, gap) in
            [(1, DELTA, false), (2, KEY, false), (3, DELTA, false), (5, DELTA, true), (7, KEY, true)]
        {
            d.push(timestamp, true, &of(frame), gap);
        }
        let unit =
            |timestamp, frame: &'static [u8]| Depayloaded::Unit { timestamp, parts: vec![Bytes::from_static(frame)] };
        let lost = Depayloaded::Lost { timestamp: 5 };
        let first = Depayloaded::Lost { timestamp: 1 };
        assert_eq!(drain(&mut d), [first, unit(2, KEY), unit(3, DELTA), lost, unit(7, KEY)]);
    }

    proptest! {
        /// Without loss everything comes back; with loss, whatever comes back is exactly what was sent.
        #[test]
        fn never_a_wrong_frame(
            frames in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..400), 1..12), max in 16_usize..150,
            drops in prop::collection::vec(prop::bool::weighted(0.15), 300), lossy: bool, markers: bool,
        ) {
            let mut d = Vp8Depayloader::from_the_beginning();
            let (mut gap, mut drops, mut got) = (false, drops.into_iter().cycle(), Vec::new());
            for (timestamp, frame) in (0_u32..).zip(&frames) {
                let payloads = payload_vp8(frame, max);
                let last = payloads.len() - 1;
                for (i, payload) in payloads.iter().enumerate() {
                    prop_assert!(payload.len() <= max);
                    if lossy && drops.next() == Some(true) {
                        gap = true;
                        continue;
                    }
                    d.push(timestamp, markers && i == last, payload, std::mem::take(&mut gap));
                }
                got.extend(drain(&mut d));
            }
            d.push(u32::MAX, true, &Bytes::from_static(&[0x10, 1]), gap);
            got.extend(drain(&mut d));
            let mut whole = 0;
            for g in got {
                if let Depayloaded::Unit { timestamp, parts } = g && timestamp != u32::MAX {
                    prop_assert_eq!(&parts[..], &[Bytes::from(frames[timestamp as usize].clone())]);
                    whole += 1;
                }
            }
            prop_assert!(lossy || whole == frames.len(), "{} of {}", whole, frames.len());
        }
    }
}
