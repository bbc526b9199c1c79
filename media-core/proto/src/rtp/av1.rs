//! AV1 in RTP (RTP Payload Format For AV1 1.0): open bitstream units without sizes, one behind the other, over the borders of packets.
//!
//! Not here: what a unit is (`media`), where temporal units begin and end (`gather`); the dependency descriptor, which is negotiated
//! as a header extension and not needed by anybody who takes every packet.

use super::gather::{Depayloader, Gathered, Packing};
use bytes::{BufMut, Bytes, BytesMut};
use media::Av1Entrance;

/// Bits of the aggregation header (§4.4): the first element goes on from the packet before, the last goes on in the next; how many
/// elements there are, 0 where each has its length; a coded video sequence begins.
const CONTINUES: u8 = 0x80;
const CONTINUED: u8 = 0x40;
const SEQUENCE: u8 = 0x08;
/// Smallest payload that still makes progress.
const MIN: usize = 16;
/// Bytes of a length that fits in any packet.
const MAX_LENGTH: usize = 3;

/// The AV1 format.
#[derive(Debug)]
pub struct Av1Packing;

/// Gathers AV1's packets into the units of temporal units.
pub type Av1Depayloader = Depayloader<Av1Packing>;

/// A length (§4.3) and how many bytes it takes.
fn leb128(bytes: &[u8]) -> Option<(usize, usize)> {
    let mut value = 0;
    for (index, byte) in bytes.iter().take(MAX_LENGTH).enumerate() {
        value |= usize::from(byte & 0x7F) << (7 * index);
        if byte & 0x80 == 0 {
            return Some((value, index + 1));
        }
    }
    None
}

impl Packing for Av1Packing {
    fn take(gathered: &mut Gathered, payload: &Bytes) -> Option<()> {
        let (&header, mut rest) = payload.split_first()?;
        let (mut continues, continued) = (header & CONTINUES != 0, header & CONTINUED != 0);
        let count = usize::from(header >> 4 & 3);
        if continues != gathered.is_in_fragment() || (continues && header & SEQUENCE != 0) || rest.is_empty() {
            return None;
        }
        let mut number = 0;
        while !rest.is_empty() {
            number += 1;
            let length = if number == count {
                rest.len()
            } else {
                let (length, bytes) = leb128(rest)?;
                rest = rest.get(bytes..)?;
                length
            };
            let (element, behind) = rest.split_at_checked(length)?;
            rest = behind;
            if continues {
                gathered.append(element)?;
            } else {
                gathered.open(&[], element);
            }
            continues = false;
            if !(rest.is_empty() && continued) {
                let unit = gathered.close()?;
                if !unit.is_empty() {
                    gathered.keep(unit)?;
                }
            }
        }
        (count == 0 || number == count).then_some(())
    }

    fn begins(part: &[u8]) -> bool {
        Av1Entrance::starts(part)
    }
}

/// As many elements can be counted; the last then needs no length.
const COUNTED: usize = 3;

/// One payload that is being filled.
struct Filling<'a> {
    header: u8,
    elements: Vec<&'a [u8]>,
    /// Bytes of the elements, each with its length in front.
    size: usize,
}

impl<'a> Filling<'a> {
    const fn new(header: u8) -> Self {
        Self { header, elements: Vec::new(), size: 0 }
    }

    fn put(&mut self, element: &'a [u8]) {
        self.size += MAX_LENGTH + element.len();
        self.elements.push(element);
    }

    fn end(self) -> Bytes {
        let counted = self.elements.len() <= COUNTED;
        let count = if counted { u8::try_from(self.elements.len()).unwrap_or(0) } else { 0 };
        let mut out = BytesMut::with_capacity(1 + self.size);
        out.put_u8(self.header | count << 4);
        for (number, element) in (1..).zip(&self.elements) {
            if !counted || number < self.elements.len() {
                put_leb128(&mut out, element.len());
            }
            out.put_slice(element);
        }
        out.freeze()
    }
}

fn put_leb128(out: &mut BytesMut, mut value: usize) {
    loop {
        let low = u8::try_from(value & 0x7F).unwrap_or(0);
        value >>= 7;
        out.put_u8(if value > 0 { low | 0x80 } else { low });
        if value == 0 {
            return;
        }
    }
}

/// The payloads of one temporal unit, given as units without sizes, of at most `max` bytes each; the last one gets the marker.
/// `starts`: decoding can start there.
pub(super) fn payload_av1(obus: &[Vec<u8>], starts: bool, max: usize) -> Vec<Bytes> {
    // The header, and a length in front of each element.
    let room = |filling: &Filling<'_>| max.max(MIN).saturating_sub(1 + filling.size + MAX_LENGTH);
    let mut out = Vec::new();
    let mut filling = Filling::new(if starts { SEQUENCE } else { 0 });
    let obus: Vec<&[u8]> = obus.iter().map(Vec::as_slice).filter(|obu| !obu.is_empty()).collect();
    for (number, obu) in obus.iter().enumerate() {
        let (mut rest, mut begun) = (*obu, false);
        let is_last = number + 1 == obus.len();
        loop {
            if room(&filling) == 0 {
                out.push(std::mem::replace(&mut filling, Filling::new(if begun { CONTINUES } else { 0 })).end());
                continue;
            }
            // Receivers (libwebrtc) take a packet that continues nothing for the first of a picture: where a unit would end with its
            // packet, and another follows, its last byte goes into the next.
            let most = room(&filling);
            let fits = rest.len() <= most && (is_last || rest.len() + MAX_LENGTH < most || rest.len() < 2);
            if fits {
                filling.put(rest);
                break;
            }
            let (piece, behind) = rest.split_at(most.min(rest.len() - 1).max(1));
            filling.put(piece);
            filling.header |= CONTINUED;
            (rest, begun) = (behind, true);
            out.push(std::mem::replace(&mut filling, Filling::new(CONTINUES)).end());
        }
    }
    if !filling.elements.is_empty() {
        out.push(filling.end());
    }
    out
}

#[cfg(test)]
mod tests {
    use super::super::gather::Depayloaded;
    use super::*;
    use proptest::prelude::*;

    fn drain(d: &mut Av1Depayloader) -> Vec<Depayloaded> {
        std::iter::from_fn(|| d.poll()).collect()
    }

    #[test]
    fn aggregation_headers() {
        let check = |payloads: &[&[u8]], want: Option<&[&'static [u8]]>| {
            let mut d = Av1Depayloader::from_the_beginning();
            for (i, p) in payloads.iter().enumerate() {
                d.push(7, i + 1 == payloads.len(), &Bytes::copy_from_slice(p), false);
            }
            let want = want.map_or(Depayloaded::Lost { timestamp: 7 }, |obus| Depayloaded::Unit {
                timestamp: 7,
                parts: obus.iter().map(|obu| Bytes::from_static(obu)).collect(),
            });
            assert_eq!(drain(&mut d), [want], "{payloads:02x?}");
        };
        // One, two and three elements of which the last has no length; each with one.
        check(&[&[0x18, 0x08, 1]], Some(&[&[0x08, 1]]));
        check(&[&[0x28, 2, 0x08, 1, 0x30, 2]], Some(&[&[0x08, 1], &[0x30, 2]]));
        check(&[&[0x38, 1, 0x10, 2, 0x08, 1, 0x30]], Some(&[&[0x10], &[0x08, 1], &[0x30]]));
        check(&[&[0x08, 2, 0x08, 1, 1, 0x30]], Some(&[&[0x08, 1], &[0x30]]));
        // Over two and three packets, with another behind it.
        check(&[&[0x58, 0x08, 1], &[0xD0, 2], &[0xA0, 1, 3, 0x30]], Some(&[&[0x08, 1, 2, 3], &[0x30]]));
        for broken in [
            &[0x18][..],
            &[0x98, 1],
            &[0x90, 1],
            &[0x20, 3, 1],
            &[0x00, 3, 1],
            &[0x30, 1, 1],
            &[0x00, 0x80, 0x80, 0x80, 0],
        ] {
            check(&[broken], None);
        }
        check(&[&[0x58, 0x08, 1]], None);
        check(&[&[0x58, 0x08, 1], &[0x10, 2]], None);
    }

    #[test]
    fn no_unit_ends_where_its_packet_does_and_another_begins() {
        for size in 1..200 {
            let obus = [vec![0x08; 12], vec![0x30; size], vec![0x30; 90]];
            let payloads = payload_av1(&obus, true, 64);
            assert!(payloads.iter().skip(1).all(|payload| payload[0] & CONTINUES != 0), "{size}: {payloads:02x?}");
        }
    }

    proptest! {
        /// What was sent comes back, unless a packet of it is missing; then nothing of it does.
        #[test]
        fn never_a_wrong_unit(
            units in prop::collection::vec(prop::collection::vec(prop::collection::vec(any::<u8>(), 1..300), 1..6), 1..10),
            max in 16_usize..150, drops in prop::collection::vec(prop::bool::weighted(0.15), 300), lossy: bool,
        ) {
            let mut d = Av1Depayloader::from_the_beginning();
            let (mut gap, mut drops, mut whole) = (false, drops.into_iter().cycle(), 0);
            for (timestamp, unit) in (0_u32..).zip(&units) {
                let payloads = payload_av1(unit, timestamp == 0, max);
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
                        let sent: Vec<Bytes> = units[timestamp as usize].iter().cloned().map(Bytes::from).collect();
                        prop_assert_eq!(parts, sent);
                        whole += 1;
                    }
                }
            }
            prop_assert!(lossy || whole == units.len(), "{} of {}", whole, units.len());
        }
    }
}
