//! H.265 in RTP (RFC 7798): single NAL units, aggregation packets, fragmentation units; decoding order is that of the packets.
//!
//! Belongs here: packet types 48–50. Not here: what a NAL unit means (`media`), where access units begin (`nals`).

use super::nals::{Gathered, NalDepayloader, NalPacking};
use bytes::Bytes;
use media::H265NalKind;

const AP: u8 = 48;
const FU: u8 = 49;
/// Bits of the first byte of a NAL header: forbidden, type, and the high bit of the layer.
const FORBIDDEN: u8 = 0x80;
const LAYER: u8 = 0x01;
/// Of an FU header.
const FU_TYPE: u8 = 0x3F;
/// Bytes of a NAL header, and of a payload header.
const HEADER: usize = 2;

/// RFC 7798 without decoding order numbers, which take `sprop-max-don-diff`.
#[derive(Debug)]
pub struct H265Packing;

/// Gathers H.265's packets into access units.
pub type H265Depayloader = NalDepayloader<H265Packing>;

const fn kind(first: u8) -> u8 {
    first >> 1 & FU_TYPE
}

impl NalPacking for H265Packing {
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

    fn is_nal(first: u8) -> bool {
        kind(first) < AP
    }
}

#[cfg(test)]
mod tests {
    use super::super::nals::Depayloaded;
    use super::*;

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
                nals: nals.iter().map(|nal| Bytes::from_static(nal)).collect(),
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
}
