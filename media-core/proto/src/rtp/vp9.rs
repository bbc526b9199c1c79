//! VP9 in RTP (RFC 9628): a frame in pieces, each behind a payload descriptor.
//!
//! Of pictures in several spatial layers the lowest is taken, which needs none of the others; picture numbers, temporal layers and
//! references are read over, and none are written. Not here: what a frame says of itself (`media`), where pictures begin and end
//! (`gather`).

use super::cut::cut_frame;
use super::gather::{Depayloader, Gathered, Packing};
use bytes::{Buf, Bytes};
use media::{Vp9Entrance, Vp9Params};

/// Bits of the descriptor's first byte (§4.2).
const PICTURE_ID: u8 = 0x80;
const INTER: u8 = 0x40;
const LAYER: u8 = 0x20;
const FLEXIBLE: u8 = 0x10;
const BEGIN: u8 = 0x08;
const END: u8 = 0x04;
const STRUCTURE: u8 = 0x02;
/// The picture number has fifteen bits.
const LONG: u8 = 0x80;
/// Of a reference: another follows.
const MORE: u8 = 0x01;
/// Most references of a picture.
const MAX_REFERENCES: usize = 3;
/// Bits of the scalability structure: sizes, picture groups.
const SIZES: u8 = 0x10;
const GROUPS: u8 = 0x08;
/// Bytes of the longest descriptor that is written: with one layer's size.
const LONGEST: usize = 6;

/// RFC 9628, of one spatial layer.
#[derive(Debug)]
pub struct Vp9Packing;

/// Gathers VP9's packets into frames.
pub type Vp9Depayloader = Depayloader<Vp9Packing>;

/// What a descriptor says of its piece.
struct Descriptor {
    begins: bool,
    ends: bool,
    /// Of the lowest spatial layer?
    lowest: bool,
}

impl Descriptor {
    /// Takes the descriptor off `bytes`.
    fn take(bytes: &mut &[u8]) -> Option<Self> {
        let first = bytes.try_get_u8().ok()?;
        if first & PICTURE_ID != 0 && bytes.try_get_u8().ok()? & LONG != 0 {
            bytes.try_get_u8().ok()?;
        }
        let mut lowest = true;
        if first & LAYER != 0 {
            // Temporal layer, switching point, spatial layer, dependence between them.
            lowest = bytes.try_get_u8().ok()? >> 1 & 7 == 0;
            if first & FLEXIBLE == 0 {
                bytes.try_get_u8().ok()?;
            }
        }
        if first & (FLEXIBLE | INTER) == FLEXIBLE | INTER {
            let mut references = 1;
            while bytes.try_get_u8().ok()? & MORE != 0 {
                references += 1;
                if references > MAX_REFERENCES {
                    return None;
                }
            }
        }
        if first & STRUCTURE != 0 {
            structure(bytes)?;
        }
        Some(Self { begins: first & BEGIN != 0, ends: first & END != 0, lowest })
    }
}

/// Reads over a scalability structure (§4.2.1).
fn structure(bytes: &mut &[u8]) -> Option<()> {
    let head = bytes.try_get_u8().ok()?;
    if head & SIZES != 0 {
        let layers = usize::from(head >> 5) + 1;
        *bytes = bytes.get(4 * layers..)?;
    }
    if head & GROUPS != 0 {
        for _ in 0..bytes.try_get_u8().ok()? {
            let references = usize::from(bytes.try_get_u8().ok()? >> 2 & 3);
            *bytes = bytes.get(references..)?;
        }
    }
    Some(())
}

impl Packing for Vp9Packing {
    fn take(gathered: &mut Gathered, payload: &Bytes) -> Option<()> {
        let mut piece = &payload[..];
        let Descriptor { begins, ends, lowest } = Descriptor::take(&mut piece)?;
        if !lowest {
            return Some(());
        }
        if piece.is_empty() {
            return None;
        }
        match begins {
            true if gathered.is_empty() => gathered.open(&[], piece),
            // Another frame with the same time, or one that goes on.
            true => return None,
            false => gathered.append(piece)?,
        }
        if ends {
            let frame = gathered.close()?;
            gathered.keep(frame)?;
        }
        Some(())
    }

    fn begins(part: &[u8]) -> bool {
        Vp9Entrance::starts(part)
    }
}

/// The payloads of one frame or superframe, of at most `max` bytes each; the last one gets the marker. A key picture says its size in
/// front, by which receivers that do not look into it know it.
pub(super) fn payload_vp9(frame: &[u8], params: &Vp9Params, key: bool, max: usize) -> Vec<Bytes> {
    let size = |side: u32| u16::try_from(side).unwrap_or(u16::MAX).to_be_bytes();
    cut_frame(frame, max, LONGEST, |first, last| {
        let mut flags = if key { 0 } else { INTER };
        flags |= if first { BEGIN } else { 0 } | if last { END } else { 0 };
        if !(first && key) {
            return vec![flags];
        }
        [&[flags | STRUCTURE, SIZES][..], &size(params.width()), &size(params.height())].concat()
    })
}

#[cfg(test)]
mod tests {
    use super::super::gather::Depayloaded;
    use super::*;
    use proptest::prelude::*;

    fn params() -> Vp9Params {
        Vp9Params::from_vpcc(&[0, 20, 0x82, 2, 2, 2, 0, 0], 320, 240).unwrap()
    }

    fn drain(d: &mut Vp9Depayloader) -> Vec<Depayloaded> {
        std::iter::from_fn(|| d.poll()).collect()
    }

    #[test]
    fn descriptors() {
        let check = |payloads: &[&[u8]], want: Option<&'static [u8]>| {
            let mut d = Vp9Depayloader::from_the_beginning();
            for (i, p) in payloads.iter().enumerate() {
                d.push(7, i + 1 == payloads.len(), &Bytes::copy_from_slice(p), false);
            }
            let want = want.map_or(Depayloaded::Lost { timestamp: 7 }, |frame| Depayloaded::Unit {
                timestamp: 7,
                parts: vec![Bytes::from_static(frame)],
            });
            assert_eq!(drain(&mut d), [want], "{payloads:02x?}");
        };
        check(&[&[0x08, 1, 2], &[0x04, 3]], Some(&[1, 2, 3]));
        check(&[&[0x0C, 1]], Some(&[1]));
        // As libwebrtc writes a key picture: fifteen bits of number, layer 0, flexible, one layer's size and a group of one picture.
        check(&[&[0xBA, 0x80, 9, 0, 0x18, 1, 0x40, 0, 0xF0, 1, 0x04, 1, 7], &[0xB4, 0x80, 9, 0, 8]], Some(&[7, 8]));
        // And the next: one reference, or two. Not flexible: the number of the lowest temporal layer.
        check(&[&[0xFC, 0x80, 10, 0, 2, 7]], Some(&[7]));
        check(&[&[0xFC, 5, 0, 3, 4, 7]], Some(&[7]));
        check(&[&[0xEC, 5, 0x10, 3, 7]], Some(&[7]));
        // The second spatial layer is passed over.
        check(&[&[0xAC, 5, 0, 3, 7], &[0xEC, 5, 0x03, 3, 9]], Some(&[7]));
        let broken: &[&[u8]] = &[
            &[0x0C],
            &[0x8C],
            &[0x8C, 0x80],
            &[0x2C],
            &[0x2C, 0],
            &[0x5C],
            &[0x5C, 1, 1, 1, 1],
            &[0x0E],
            &[0x0E, 0x10, 1],
            &[0x0E, 0x08],
            &[0x0E, 0x08, 2, 0x0C, 1],
            &[0x04, 1],
            &[0x08, 1],
        ];
        broken.iter().for_each(|payload| check(&[payload], None));
        check(&[&[0x08, 1], &[0x0C, 2]], None);
        check(&[&[0x0C, 1], &[0x0C, 2]], None);
    }

    #[test]
    fn a_key_picture_says_its_size() {
        let payloads = payload_vp9(&[1, 2, 3, 4], &params(), true, 8);
        assert_eq!(payloads, [&[0x0A, 0x10, 1, 0x40, 0, 0xF0, 1, 2][..], &[0x04, 3, 4]]);
        assert_eq!(payload_vp9(&[1], &params(), false, 8), [&[0x4C, 1][..]]);
    }

    proptest! {
        /// What was sent comes back, unless a packet of it is missing; then nothing of it does.
        #[test]
        fn never_a_wrong_frame(
            frames in prop::collection::vec((any::<bool>(), prop::collection::vec(any::<u8>(), 1..400)), 1..12),
            max in 16_usize..150, drops in prop::collection::vec(prop::bool::weighted(0.15), 300), lossy: bool,
        ) {
            let mut d = Vp9Depayloader::from_the_beginning();
            let (mut gap, mut drops, mut whole) = (false, drops.into_iter().cycle(), 0);
            for (timestamp, (key, frame)) in (0_u32..).zip(&frames) {
                let payloads = payload_vp9(frame, &params(), *key, max);
                let last = payloads.len() - 1;
                for (i, payload) in payloads.iter().enumerate() {
                    prop_assert!(payload.len() <= max);
                    if lossy && drops.next() == Some(true) {
                        gap = true;
                        continue;
                    }
                    d.push(timestamp, i == last, payload, std::mem::take(&mut gap));
                }
                for got in drain(&mut d) {
                    if let Depayloaded::Unit { timestamp, parts } = got {
                        prop_assert_eq!(&parts[..], &[Bytes::from(frames[timestamp as usize].1.clone())]);
                        whole += 1;
                    }
                }
            }
            prop_assert!(lossy || whole == frames.len(), "{} of {}", whole, frames.len());
        }
    }
}
