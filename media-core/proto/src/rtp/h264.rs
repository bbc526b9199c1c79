//! H.264 in RTP (RFC 6184, non-interleaved mode): single NAL units, STAP-A, FU-A.
//!
//! Belongs here: packet types 24–28. Not here: what a NAL unit means (`media`), where pictures begin and end (`gather`).

use super::cut::{NalCutting, NalPayloader};
use super::gather::{Depayloader, Gathered, Packing};
use super::nals::NalPacking;
use bytes::Bytes;
use media::NalKind;

const STAP_A: u8 = 24;
const FU_A: u8 = 28;
/// Bits of a NAL header: forbidden, reference importance, type.
const FORBIDDEN: u8 = 0x80;
const NRI: u8 = 0x60;
const TYPE: u8 = 0x1F;
/// Bits of an FU header.
const FU_START: u8 = 0x80;
const FU_END: u8 = 0x40;

/// Cuts H.264 into RTP payloads.
pub type H264Payloader = NalPayloader<H264Packing>;

/// RFC 6184, non-interleaved mode.
#[derive(Debug)]
pub struct H264Packing;

/// Gathers H.264's packets into access units.
pub type H264Depayloader = Depayloader<H264Packing>;

impl Packing for H264Packing {
    fn take(gathered: &mut Gathered, payload: &Bytes) -> Option<()> {
        let header = *payload.first()?;
        if header & FORBIDDEN != 0 {
            return None;
        }
        match header & TYPE {
            FU_A => {
                let fu = *payload.get(1)?;
                if !Self::is_nal(fu) {
                    return None;
                }
                gathered.fragment::<Self>(fu, &[header & NRI | fu & TYPE], payload.get(2..)?)
            }
            _ if gathered.is_in_fragment() => None,
            1..STAP_A => gathered.nal::<Self>(payload),
            STAP_A => gathered.aggregate::<Self>(payload.slice(1..)),
            // STAP-B, MTAP, FU-B belong to the interleaved mode, which is never negotiated.
            _ => None,
        }
    }

    fn begins(nal: &[u8]) -> bool {
        matches!(NalKind::of(nal), NalKind::Delimiter | NalKind::Sps)
    }
}

impl NalPacking for H264Packing {
    fn is_nal(first: u8) -> bool {
        (1..STAP_A).contains(&(first & TYPE))
    }
}

impl NalCutting for H264Packing {
    const HEADER: usize = 1;

    fn carries(nal: &[u8]) -> bool {
        nal.first().is_some_and(|first| Self::is_nal(*first))
    }

    fn group(nals: &[&[u8]]) -> Vec<u8> {
        // RFC 6184 §5.7.1.
        let headers = nals.iter().filter_map(|n| n.first()).copied();
        let forbidden = headers.clone().fold(0, |f, h| f | h & FORBIDDEN);
        let importance = headers.map(|h| h & NRI).max().unwrap_or(0);
        vec![forbidden | importance | STAP_A]
    }

    fn fragment(header: &[u8], start: bool, end: bool) -> Vec<u8> {
        let header = header.first().copied().unwrap_or_default();
        let flags = if start { FU_START } else { 0 } | if end { FU_END } else { 0 };
        vec![header & (FORBIDDEN | NRI) | FU_A, flags | header & TYPE]
    }
}

#[cfg(test)]
mod tests {
    use super::super::gather::Depayloaded;
    use super::*;
    use proptest::prelude::*;

    fn drain(d: &mut H264Depayloader) -> Vec<Depayloaded> {
        std::iter::from_fn(|| d.poll()).collect()
    }

    fn unit(timestamp: u32, nals: &[&'static [u8]]) -> Depayloaded {
        Depayloaded::Unit { timestamp, parts: nals.iter().map(|n| Bytes::from_static(n)).collect() }
    }

    #[test]
    fn packet_types() {
        let check = |payloads: &[&'static [u8]], want: Depayloaded| {
            let mut d = H264Depayloader::new();
            for (i, p) in payloads.iter().enumerate() {
                d.push(7, i + 1 == payloads.len(), &Bytes::from_static(p), false);
            }
            assert_eq!(drain(&mut d), [want], "{payloads:02x?}");
        };
        let lost = || Depayloaded::Lost { timestamp: 7 };
        check(&[&[0x67, 1], &[0x65, 2]], unit(7, &[&[0x67, 1], &[0x65, 2]]));
        check(&[&[0x78, 0, 2, 0x67, 1, 0, 1, 0x68]], unit(7, &[&[0x67, 1], &[0x68]]));
        check(&[&[0x67], &[0x7C, 0x85, 1], &[0x7C, 0x05, 2], &[0x7C, 0x45, 3]], unit(7, &[&[0x67], &[0x65, 1, 2, 3]]));
        // Its beginning was not seen.
        check(&[&[0x65, 2]], lost());
        check(&[&[0x67], &[0x7C, 0x05, 2]], lost());
        check(&[&[0x67], &[0x7C, 0x85, 2]], lost());
        check(&[&[0x67], &[0x7C, 0x85, 2], &[0x41, 2]], lost());
        check(&[&[0x67], &[0x78, 0, 9, 1]], lost());
        check(&[&[0x67], &[0x78, 0, 0]], lost());
        check(&[&[0x67], &[0x79, 0, 1, 1]], lost());
        check(&[&[0x67], &[0xE5]], lost());
    }

    #[test]
    fn a_missing_marker_is_mended_by_the_timestamp() {
        let mut d = H264Depayloader::new();
        d.push(1, false, &Bytes::from_static(&[0x67]), false);
        d.push(2, true, &Bytes::from_static(&[0x41]), false);
        assert_eq!(drain(&mut d), [unit(1, &[&[0x67]]), unit(2, &[&[0x41]])]);
    }

    #[test]
    fn after_a_gap_a_key_picture_is_known_whole() {
        let mut d = H264Depayloader::new();
        d.push(1, true, &Bytes::from_static(&[0x67]), false);
        d.push(3, true, &Bytes::from_static(&[0x41]), true);
        d.push(4, true, &Bytes::from_static(&[0x67]), true);
        assert_eq!(drain(&mut d), [unit(1, &[&[0x67]]), Depayloaded::Lost { timestamp: 3 }, unit(4, &[&[0x67]])]);
    }

    /// A slice, or for the first of a unit perhaps a sequence parameter set. No NAL unit holds a start code.
    fn nal(first: bool) -> impl Strategy<Value = Vec<u8>> {
        let header = if first {
            prop::sample::select(vec![0x67_u8, 0x41])
        } else {
            prop::sample::select(vec![0x41, 0x65, 0x06])
        };
        (header, prop::collection::vec(1..=u8::MAX, 0..120)).prop_map(|(h, mut body)| {
            body.insert(0, h);
            body
        })
    }

    fn units() -> impl Strategy<Value = Vec<Vec<Vec<u8>>>> {
        let one = (nal(true), prop::collection::vec(nal(false), 0..6)).prop_map(|(first, mut rest)| {
            rest.insert(0, first);
            rest
        });
        prop::collection::vec(one, 1..12)
    }

    proptest! {
        /// Without loss everything comes back; with loss, whatever comes back is exactly what was sent.
        #[test]
        fn never_a_wrong_unit(
            units in units(), max in 16_usize..200,
            drops in prop::collection::vec(prop::bool::weighted(0.15), 600), lossy: bool, markers: bool,
        ) {
            let payloader = H264Payloader::new(max);
            let mut d = H264Depayloader::new();
            let (mut gap, mut drops) = (false, drops.into_iter().cycle());
            let mut got = Vec::new();
            // A first unit that starts nowhere in particular cannot be known whole; begin with one that can.
            let start: Vec<Vec<u8>> = vec![vec![0x67, 1]];
            let units: Vec<_> = std::iter::once(start).chain(units).collect();
            for (timestamp, unit) in (0_u32..).zip(&units) {
                let payloads = payloader.payload(unit.iter().map(Vec::as_slice));
                let last = payloads.len() - 1;
                for (i, payload) in payloads.iter().enumerate() {
                    prop_assert!(payload.len() <= max);
                    if lossy && drops.next() == Some(true) {
                        gap = true;
                        continue;
                    }
                    d.push(timestamp, markers && i == last, payload, std::mem::take(&mut gap));
                    got.extend(drain(&mut d));
                }
            }
            d.push(u32::MAX, true, &Bytes::from_static(&[0x67]), gap);
            got.extend(drain(&mut d));
            let mut whole = 0;
            for g in got {
                if let Depayloaded::Unit { timestamp, parts } = g
                    && timestamp != u32::MAX
                {
                    let sent = &units[timestamp as usize];
                    prop_assert_eq!(parts.iter().map(|n| n.to_vec()).collect::<Vec<_>>(), sent.clone());
                    whole += 1;
                }
            }
            prop_assert!(lossy || whole == units.len(), "{} of {}", whole, units.len());
        }
    }
}
