//! H.265 in RTP (RFC 7798): single NAL units, aggregation packets, fragmentation units; decoding order is that of the packets.
//!
//! Belongs here: packet types 48–50. Not here: what a NAL unit means (`media`), where pictures begin and end (`gather`).

use super::cut::{NalCutting, NalPayloader};
use super::gather::{Depayloader, Gathered, Packing};
use super::nals::NalPacking;
use bytes::Bytes;
use media::H265NalKind;

const AP: u8 = 48;
const FU: u8 = 49;
/// Bits of the first byte of a NAL header: forbidden, type, and the high bit of the layer.
const FORBIDDEN: u8 = 0x80;
const LAYER: u8 = 0x01;
/// Of an FU header.
const FU_START: u8 = 0x80;
const FU_END: u8 = 0x40;
const FU_TYPE: u8 = 0x3F;
/// Bytes of a NAL header, and of a payload header.
const HEADER: usize = 2;

/// RFC 7798 without decoding order numbers, which take `sprop-max-don-diff`.
#[derive(Debug)]
pub struct H265Packing;

/// Gathers H.265's packets into access units.
pub type H265Depayloader = Depayloader<H265Packing>;

/// Cuts H.265 into RTP payloads.
pub type H265Payloader = NalPayloader<H265Packing>;

const fn kind(first: u8) -> u8 {
    first >> 1 & FU_TYPE
}

impl Packing for H265Packing {
    fn take(gathered: &mut Gathered, payload: &Bytes) -> Option<()> {
        let &[first, second] = payload.first_chunk::<HEADER>()?;
        if first & FORBIDDEN != 0 {
            return None;
        }
        match kind(first) {
            FU => {
                let fu = *payload.get(HEADER)?;
                if fu & FU_TYPE >= AP {
                    return None;
                }
                let header = [first & LAYER | (fu & FU_TYPE) << 1, second];
                gathered.fragment::<Self>(fu, &header, payload.get(HEADER + 1..)?)
            }
            _ if gathered.is_in_fragment() => None,
            ..AP => gathered.nal::<Self>(payload),
            AP => gathered.aggregate::<Self>(payload.slice(HEADER..)),
            // PACI packets carry extensions that nobody negotiates.
            _ => None,
        }
    }

    fn begins(nal: &[u8]) -> bool {
        matches!(H265NalKind::of(nal), H265NalKind::Delimiter | H265NalKind::Vps | H265NalKind::Sps)
    }
}

impl NalPacking for H265Packing {
    fn is_nal(first: u8) -> bool {
        kind(first) < AP
    }
}

impl NalCutting for H265Packing {
    const HEADER: usize = HEADER;

    fn carries(nal: &[u8]) -> bool {
        nal.first().is_some_and(|first| Self::is_nal(*first))
    }

    fn group(nals: &[&[u8]]) -> Vec<u8> {
        // The lowest layer and the lowest temporal number of all (§4.4.2).
        let headers = nals.iter().filter_map(|nal| nal.first_chunk::<HEADER>());
        let forbidden = headers.clone().fold(0, |f, h| f | h[0] & FORBIDDEN);
        let layer = headers.clone().map(|h| u16::from_be_bytes(*h) >> 3 & 0x3F).min().unwrap_or(0);
        let temporal = headers.map(|h| h[1] & 7).min().unwrap_or(1);
        let [high, low] = (layer << 3).to_be_bytes();
        vec![forbidden | AP << 1 | high, low | temporal]
    }

    fn fragment(header: &[u8], start: bool, end: bool) -> Vec<u8> {
        let [first, second] = header.first_chunk().copied().unwrap_or_default();
        let flags = if start { FU_START } else { 0 } | if end { FU_END } else { 0 };
        vec![first & (FORBIDDEN | LAYER) | FU << 1, second, flags | kind(first)]
    }
}

#[cfg(test)]
mod tests {
    use super::super::gather::Depayloaded;
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn packet_types() {
        let check = |payloads: &[&'static [u8]], want: Option<&[&'static [u8]]>| {
            let mut d = H265Depayloader::new();
            for (i, p) in payloads.iter().enumerate() {
                d.push(7, i + 1 == payloads.len(), &Bytes::from_static(p), false);
            }
            let got: Vec<_> = std::iter::from_fn(|| d.poll()).collect();
            let want = want.map_or(Depayloaded::Lost { timestamp: 7 }, |nals| Depayloaded::Unit {
                timestamp: 7,
                parts: nals.iter().map(|nal| Bytes::from_static(nal)).collect(),
            });
            assert_eq!(got, [want], "{payloads:02x?}");
        };
        // A video parameter set (32), an IDR slice (19).
        let (vps, idr): (&[u8], &[u8]) = (&[0x40, 1, 9], &[0x26, 1, 8]);
        check(&[vps, idr], Some(&[vps, idr]));
        check(&[&[0x60, 1, 0, 3, 0x40, 1, 9, 0, 3, 0x26, 1, 8]], Some(&[vps, idr]));
        let whole: &[u8] = &[0x26, 1, 1, 2, 3];
        check(&[vps, &[0x62, 1, 0x93, 1], &[0x62, 1, 0x13, 2], &[0x62, 1, 0x53, 3]], Some(&[vps, whole]));
        check(&[idr], None);
        check(&[vps, &[0x62, 1, 0x13, 1]], None);
        check(&[vps, &[0x62, 1, 0x93, 1]], None);
        check(&[vps, &[0x62, 1, 0xB0, 1]], None);
        check(&[vps, &[0x60, 1, 0, 9, 1]], None);
        check(&[vps, &[0x64, 1, 0]], None);
        check(&[vps, &[0xA6, 1]], None);
        check(&[vps, &[0x26]], None);
    }

    proptest! {
        /// No NAL unit holds a start code.
        #[test]
        fn everything_comes_back(
            bodies in prop::collection::vec((0_u8..48, 0_u8..64, 1_u8..8, prop::collection::vec(1..=u8::MAX, 0..200)), 0..8),
            max in 16_usize..150,
        ) {
            let nal = |(kind, layer, temporal, body): &(u8, u8, u8, Vec<u8>)| {
                [&[kind << 1 | layer >> 5, (layer & 31) << 3 | temporal][..], body].concat()
            };
            let mut nals = vec![vec![0x40, 1, 1]];
            nals.extend(bodies.iter().map(nal));
            let payloads = H265Payloader::new(max).payload(nals.iter().map(Vec::as_slice));
            prop_assert!(payloads.iter().all(|p| p.len() <= max));
            let mut d = H265Depayloader::new();
            for (i, payload) in payloads.iter().enumerate() {
                d.push(7, i + 1 == payloads.len(), payload, false);
            }
            let nals: Vec<Bytes> = nals.into_iter().map(Bytes::from).collect();
            let got: Vec<_> = std::iter::from_fn(|| d.poll()).collect();
            prop_assert_eq!(got, [Depayloaded::Unit { timestamp: 7, parts: nals }]);
        }
    }
}
