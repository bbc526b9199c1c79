//! Entry points for the fuzzers: RTP, its payload formats, RTCP.

use super::rtcp::Rtcp;
use super::{H264Depayloaded, H264Depayloader, H264Payloader, Packet, ReorderBuffer, depayload_opus};
use bytes::Bytes;
use media::{H264Entrance, MonoTime};
use std::time::Duration;

/// One RTP packet; what parses is written and read back the same.
pub fn fuzz_rtp_packet(data: &[u8]) {
    if let Ok(packet) = Packet::parse(&Bytes::copy_from_slice(data)) {
        assert_eq!(Packet::parse(&packet.to_bytes()), Ok(packet), "a packet reads back the same");
    }
}

/// A sequence of packets: each with a byte of flags (1: marker, 2: new timestamp, 4: loss before it, 8: through the reorder
/// buffer a place too late), a length byte and its payload.
pub fn fuzz_depayload_h264(data: &[u8]) {
    let data = Bytes::copy_from_slice(data);
    let (mut depayloader, mut entrance) = (H264Depayloader::new(), H264Entrance::new());
    let mut buffer = ReorderBuffer::new(Duration::from_millis(50));
    let (mut at, mut timestamp, mut sequence, mut now) = (0, 0_u32, 65_530_u16, 0_u64);
    while let (Some(&flags), Some(&length)) = (data.get(at), data.get(at + 1)) {
        let end = (at + 2 + usize::from(length)).min(data.len());
        let payload = data.slice((at + 2).min(end)..end);
        at = end;
        if flags & 2 != 0 {
            timestamp = timestamp.wrapping_add(3000);
        }
        sequence = sequence.wrapping_add(if flags & 4 != 0 { 2 } else { 1 });
        now += u64::from(flags >> 4) * 1000;
        let place = if flags & 8 != 0 { sequence.wrapping_sub(2) } else { sequence };
        let time = MonoTime::from_micros(now);
        buffer.push(place, (timestamp, flags & 1 != 0, payload), time);
        while let Some(ordered) = buffer.pop(time) {
            let (timestamp, marker, payload) = &ordered.item;
            depayloader.push(*timestamp, *marker, payload, ordered.gap);
        }
        while let Some(unit) = depayloader.poll() {
            let H264Depayloaded::Unit { nals, .. } = unit else { continue };
            assert!(nals.iter().all(|n| !n.is_empty()), "no empty NAL unit");
            let again = H264Payloader::new(100).payload(nals.iter().map(|n| &n[..]));
            assert!(!again.is_empty(), "what was depayloaded can be payloaded");
            let _picture = entrance.unit(nals.iter().map(|n| &n[..]));
        }
    }
}

/// An Opus payload.
pub fn fuzz_depayload_opus(data: &[u8]) {
    if let Ok((packet, samples)) = depayload_opus(&Bytes::copy_from_slice(data)) {
        assert!((1..=5760).contains(&samples) && packet == data, "one packet of at most 120 ms");
    }
}

/// A compound RTCP packet; what we know is written and read back the same.
pub fn fuzz_rtcp(data: &[u8]) {
    if let Ok(packets) = Rtcp::parse_compound(data) {
        let known: Vec<_> =
            packets.into_iter().filter(|p| !matches!(p, Rtcp::Other { .. } | Rtcp::Cname { .. })).collect();
        assert_eq!(Rtcp::parse_compound(&Rtcp::compound(&known)), Ok(known), "a compound reads back the same");
    }
}

#[cfg(test)]
mod tests {
    use crate::fuzz_replay::replay;
    use proptest::prelude::*;

    #[test]
    fn corpora() {
        replay("rtp_packet", super::fuzz_rtp_packet, &[&[0x80; 12], &[0xBF; 40]]);
        replay(
            "depayload_h264",
            super::fuzz_depayload_h264,
            &[&[0, 1, 0x67, 1, 3, 0x7C, 0x85, 1, 0x15, 3, 0x7C, 0x45, 2]],
        );
        replay("depayload_opus", super::fuzz_depayload_opus, &[&[0xFF, 3], &[]]);
        replay("rtcp", super::fuzz_rtcp, &[&[0x81, 206, 0, 2, 0, 0, 0, 1, 0, 0, 0, 2], &[0xA0, 203, 0, 0]]);
    }

    proptest! {
        #[test]
        fn nothing_panics(data in prop::collection::vec(any::<u8>(), 0..300)) {
            super::fuzz_rtp_packet(&data);
            super::fuzz_depayload_h264(&data);
            super::fuzz_depayload_opus(&data);
            super::fuzz_rtcp(&data);
        }
    }
}
