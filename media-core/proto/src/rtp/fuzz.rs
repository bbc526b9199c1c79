//! Entry points for the fuzzers: RTP, its payload formats, RTCP.

use super::rtcp::{NtpTime, Rtcp};
use super::{
    AacDepayloader, AacLayout, Av1Depayloader, Depayloaded, Depayloader, H264Depayloader, H264Payloader,
    H265Depayloader, JpegDepayloader, LatmDepayloader, MpaDepayloader, Packet, Packing, ReorderBuffer, SyncTimeline,
    Vp8Depayloader, Vp9Depayloader, depayload_opus, latm_config, payload_picture,
};
use bytes::{Buf, Bytes};
use media::{
    AccessUnit, Av1Entrance, ClockRate, H264Entrance, H265Entrance, MediaKind, MediaTime, MjpegEntrance, MonoTime,
    TrackId, VideoUnit, Vp8Entrance, Vp9Entrance,
};
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
    let mut entrance = H264Entrance::new();
    depayload(data, H264Depayloader::new(), |nals| {
        let again = H264Payloader::new(100).payload(nals.iter().map(|n| &n[..]));
        assert!(!again.is_empty(), "what was depayloaded can be payloaded");
        let _picture = entrance.unit(nals.iter().map(|n| &n[..]));
    });
}

/// As [`fuzz_depayload_h264`].
pub fn fuzz_depayload_h265(data: &[u8]) {
    let mut entrance = H265Entrance::new();
    depayload(data, H265Depayloader::new(), |nals| {
        let _picture = entrance.unit(nals.iter().map(|n| &n[..]));
    });
}

/// As [`fuzz_depayload_h264`].
pub fn fuzz_depayload_vp8(data: &[u8]) {
    let mut entrance = Vp8Entrance::new();
    depayload(data, Vp8Depayloader::new(), |parts| {
        let [frame] = parts else { panic!("one frame") };
        sent_again(entrance.unit(frame).ok().flatten(), Vp8Depayloader::from_the_beginning(), parts);
    });
}

/// As [`fuzz_depayload_h264`].
pub fn fuzz_depayload_vp9(data: &[u8]) {
    let mut entrance = Vp9Entrance::new();
    depayload(data, Vp9Depayloader::new(), |parts| {
        let [frame] = parts else { panic!("one frame") };
        sent_again(entrance.unit(frame).ok().flatten(), Vp9Depayloader::from_the_beginning(), parts);
    });
}

/// As [`fuzz_depayload_h264`].
pub fn fuzz_depayload_av1(data: &[u8]) {
    let mut entrance = Av1Entrance::new();
    depayload(data, Av1Depayloader::new(), |parts| {
        let Ok(Some(unit)) = entrance.unit_of(parts.iter().map(|obu| &obu[..])) else { return };
        let mut plain = entrance.clone();
        let payload = unit.payload.clone();
        let again = sent(unit, Av1Depayloader::from_the_beginning());
        let again = plain.unit_of(again.iter().map(|obu| &obu[..])).ok().flatten().expect("it is a picture again");
        assert!(
            again.payload.ends_with(&payload),
            "what was depayloaded comes back, perhaps behind its sequence header"
        );
    });
}

/// As [`fuzz_depayload_h264`], without another order.
pub fn fuzz_depayload_jpeg(data: &[u8]) {
    let data = Bytes::copy_from_slice(data);
    let mut depayloader = JpegDepayloader::new();
    let (mut at, mut timestamp) = (0, 0_u32);
    while let (Some(&flags), Some(&length)) = (data.get(at), data.get(at + 1)) {
        let end = (at + 2 + usize::from(length)).min(data.len());
        let payload = data.slice((at + 2).min(end)..end);
        at = end;
        timestamp = timestamp.wrapping_add(if flags & 2 != 0 { 3000 } else { 0 });
        depayloader.push(timestamp, flags & 1 != 0, &payload, flags & 4 != 0);
        while let Some(gathered) = depayloader.poll() {
            let Depayloaded::Unit { parts, .. } = gathered else { continue };
            let [jpeg] = &parts[..] else { panic!("one picture") };
            let unit = MjpegEntrance::new().unit(jpeg).expect("what was gathered is a JPEG");
            assert_eq!(sent_by(unit, JpegDepayloader::new()), parts, "what was depayloaded comes back");
        }
    }
}

/// Sends a picture that was taken again: the same comes back.
fn sent_again<P: Packing>(unit: Option<VideoUnit>, depayloader: Depayloader<P>, parts: &[Bytes]) {
    if let Some(unit) = unit {
        assert_eq!(sent(unit, depayloader), parts, "what was depayloaded comes back");
    }
}

fn sent<P: Packing>(unit: VideoUnit, mut depayloader: Depayloader<P>) -> Vec<Bytes> {
    let payloads = payloads(unit);
    for (n, payload) in payloads.iter().enumerate() {
        depayloader.push(1, n + 1 == payloads.len(), payload, false);
    }
    parts(depayloader.poll())
}

fn sent_by(unit: VideoUnit, mut depayloader: JpegDepayloader) -> Vec<Bytes> {
    let payloads = payloads(unit);
    for (n, payload) in payloads.iter().enumerate() {
        depayloader.push(1, n + 1 == payloads.len(), payload, false);
    }
    parts(depayloader.poll())
}

fn payloads(unit: VideoUnit) -> Vec<Bytes> {
    let VideoUnit { kind, params, payload } = unit;
    let time = MediaTime::new(0, ClockRate::VIDEO);
    let unit =
        AccessUnit { track: TrackId(0), dts: time, pts: time, duration: None, kind, captured: None, params, payload };
    payload_picture(&unit, 100)
}

fn parts(gathered: Option<Depayloaded>) -> Vec<Bytes> {
    match gathered {
        Some(Depayloaded::Unit { parts, .. }) => parts,
        other => panic!("no picture but {other:?}"),
    }
}

fn depayload<P: Packing>(data: &[u8], mut depayloader: Depayloader<P>, mut unit: impl FnMut(&[Bytes])) {
    let data = Bytes::copy_from_slice(data);
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
        while let Some(gathered) = depayloader.poll() {
            let Depayloaded::Unit { parts, .. } = gathered else { continue };
            assert!(parts.iter().all(|part| !part.is_empty()), "no empty part");
            unit(&parts);
        }
    }
}

/// An Opus payload.
pub fn fuzz_depayload_opus(data: &[u8]) {
    if let Ok((packet, samples)) = depayload_opus(&Bytes::copy_from_slice(data)) {
        assert!((1..=5760).contains(&samples) && packet == data, "one packet of at most 120 ms");
    }
}

/// A sequence of AAC payloads in either packing, read as MPEG audio too: the layout's three lengths first, then each with a byte of flags (1: marker, 2: new
/// timestamp, 4: loss before it), a length byte and its payload.
pub fn fuzz_depayload_aac(data: &[u8]) {
    let data = Bytes::copy_from_slice(data);
    let Some(&[size, index, delta]) = data.get(..3).and_then(|b| <&[u8; 3]>::try_from(b).ok()) else { return };
    let layout = AacLayout { size: size % 33, index: index % 33, delta: delta % 33 };
    let (mut aac, mut latm, mut mpa) = (AacDepayloader::new(layout), LatmDepayloader::new(), MpaDepayloader::new());
    let (mut at, mut timestamp) = (3, 0_u32);
    while let (Some(&flags), Some(&length)) = (data.get(at), data.get(at + 1)) {
        let end = (at + 2 + usize::from(length)).min(data.len());
        let payload = data.slice((at + 2).min(end)..end);
        at = end;
        timestamp = timestamp.wrapping_add(u32::from(flags & 2) * 512);
        let frames = aac.push(timestamp, &payload, flags & 4 != 0).unwrap_or_default();
        assert!(frames.iter().all(|frame| !frame.is_empty()), "no empty frame");
        let frames = mpa.push(timestamp, &payload, flags & 4 != 0).unwrap_or_default();
        assert!(frames.iter().all(|(_, frame)| frame.len() >= 4), "no frame without its header");
        let frames = latm.push(timestamp, flags & 1 != 0, &payload, flags & 4 != 0).unwrap_or_default();
        assert!(frames.iter().all(|frame| !frame.is_empty()), "no empty frame");
    }
}

/// A configuration of LATM.
pub fn fuzz_latm_config(data: &[u8]) {
    let _parsed = latm_config(data);
}

/// A compound RTCP packet; what we know is written and read back the same.
pub fn fuzz_rtcp(data: &[u8]) {
    if let Ok(packets) = Rtcp::parse_compound(data) {
        let known: Vec<_> =
            packets.into_iter().filter(|p| !matches!(p, Rtcp::Other { .. } | Rtcp::Cname { .. })).collect();
        assert_eq!(Rtcp::parse_compound(&Rtcp::compound(&known)), Ok(known), "a compound reads back the same");
    }
}

/// Two tracks' timestamps and sender reports in any order. A step is a byte (bit 0: the track, bit 1: a report, bits 2 to 7: how much
/// later it arrives, in milliseconds), an RTP timestamp and, in a report, an NTP time.
pub fn fuzz_rtp_timeline(mut data: &[u8]) {
    let mut timeline = SyncTimeline::new();
    let tracks =
        [timeline.add(MediaKind::Video, ClockRate::VIDEO), timeline.add(MediaKind::Audio, ClockRate::AUDIO_48K)];
    let (mut now, mut last) = (0, [None::<(u32, i64)>; 2]);
    while let Ok(flags) = data.try_get_u8() {
        now += u64::from(flags >> 2) * 1000;
        let at = usize::from(flags & 1);
        let Ok(timestamp) = data.try_get_u32() else { return };
        if flags & 2 != 0 {
            let Ok(ntp) = data.try_get_u64() else { return };
            timeline.sender_report(tracks[at], NtpTime(ntp), timestamp);
            continue;
        }
        let time = timeline.time(tracks[at], timestamp, MonoTime::from_micros(now)).expect("a track of this timeline");
        if let Some((before, micros)) = last[at] {
            let forward = timestamp.wrapping_sub(before) < 1 << 31;
            assert!(!forward || time.micros() >= micros, "times do not fall where timestamps rise");
        }
        last[at] = Some((timestamp, time.micros()));
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
        replay(
            "depayload_h265",
            super::fuzz_depayload_h265,
            &[&[0, 3, 0x40, 1, 1, 3, 4, 0x62, 1, 0x93, 1, 0x15, 4, 0x62, 1, 0x53, 2]],
        );
        let vp8: &[&[u8]] = &[
            &[0, 11, 0x10, 0x50, 0x2A, 0, 0x9D, 1, 0x2A, 0x40, 1, 0xF0, 0, 3, 3, 0, 7, 8, 0x13, 4, 0x10, 0xD1, 1, 0],
            &[1, 15, 0x90, 0xE0, 0x80, 1, 9, 0x50, 0x2A, 0, 0x9D, 1, 0x2A, 0x40, 1, 0xF0, 0, 0x17, 4, 0x10, 0xD1, 1, 0],
        ];
        replay("depayload_vp8", super::fuzz_depayload_vp8, vp8);
        let vp9_key = [0x82, 0x49, 0x83, 0x42, 0, 0x13, 0xf0, 0x0e, 0xf6, 6];
        let vp9 = [
            &[0, 21, 0xAA, 0x80, 9, 0, 3, 0x18, 1, 0x40, 0, 0xF0, 1, 0x04, 1][..],
            &vp9_key[..8],
            &[3, 3, 0x04],
            &vp9_key[8..],
        ];
        replay("depayload_vp9", super::fuzz_depayload_vp9, &[&vp9.concat(), &[&[1, 11, 0x0C][..], &vp9_key].concat()]);
        let av1: &[&[u8]] = &[
            &[1, 19, 0x28, 12, 0x08, 0, 0, 0, 4, 0x3c, 0xff, 0xbc, 2, 0xf8, 0, 0x40, 0x30, 0x10, 1, 2],
            &[
                0, 16, 0x68, 12, 0x08, 0, 0, 0, 4, 0x3c, 0xff, 0xbc, 2, 0xf8, 0, 0x40, 0x30, 0x10, 0x11, 4, 0x90, 1, 2,
                3,
            ],
        ];
        replay("depayload_av1", super::fuzz_depayload_av1, av1);
        replay("depayload_opus", super::fuzz_depayload_opus, &[&[0xFF, 3], &[]]);
        let step = |flags: u8, timestamp: u32, report: &[u8]| [&[flags][..], &timestamp.to_be_bytes(), report].concat();
        let ntp = 0xE900_0000_8000_0000_u64.to_be_bytes();
        let both =
            [step(0, 3000, &[]), step(1, 960, &[]), step(2, 3000, &ntp), step(3, 960, &ntp), step(80, 9000, &[])];
        let wraps = [step(0, u32::MAX, &[]), step(80, 3000, &[]), step(80, 1 << 31, &[]), step(0, 0, &[])];
        replay("rtp_timeline", super::fuzz_rtp_timeline, &[&both.concat(), &wraps.concat()]);
        let report = [&[0x80, 200, 0, 6, 0, 0, 0, 1][..], &ntp, &[0, 0, 11, 184, 0, 0, 0, 5, 0, 0, 1, 0]].concat();
        let (pli, padded_bye): (&[u8], &[u8]) = (&[0x81, 206, 0, 2, 0, 0, 0, 1, 0, 0, 0, 2], &[0xA0, 203, 0, 0]);
        replay("rtcp", super::fuzz_rtcp, &[&report, pli, padded_bye]);
        // By quality, in two packets; then tables of a number, and a picture that means them.
        let piece = |flags: u8, head: &[u8]| [&[flags, (head.len() + 3) as u8], head, &[7, 8, 9]].concat();
        let numbered = [&[0, 0, 0, 0, 64, 130, 4, 3, 0, 8, 0xFF, 0xFF, 0, 0, 0, 64][..], &[5; 64]].concat();
        let jpeg = [
            piece(0, &[0, 0, 0, 0, 1, 80, 4, 3]),
            piece(1, &[0, 0, 0, 3, 1, 80, 4, 3]),
            piece(3, &numbered),
            piece(3, &[0, 0, 0, 0, 64, 130, 4, 3, 0, 8, 0xFF, 0xFF, 0, 0, 0, 0]),
        ];
        replay("depayload_jpeg", super::fuzz_depayload_jpeg, &[&jpeg.concat()]);
        let aac: &[u8] = &[13, 3, 3, 1, 5, 0, 16, 0, 8, 7, 3, 6, 0, 16, 0, 16, 1, 3, 4, 0, 16, 0, 16];
        replay("depayload_aac", super::fuzz_depayload_aac, &[aac, &[0, 0, 0, 1, 3, 0, 1, 0], &[6, 2, 2, 1, 2, 1, 9]]);
        replay("latm_config", super::fuzz_latm_config, &[&[0x40, 0x00, 0x23, 0x20, 0x3F, 0xC0]]);
    }

    proptest! {
        #[test]
        fn nothing_panics(data in prop::collection::vec(any::<u8>(), 0..300)) {
            super::fuzz_rtp_packet(&data);
            super::fuzz_depayload_h264(&data);
            super::fuzz_depayload_h265(&data);
            super::fuzz_depayload_vp8(&data);
            super::fuzz_depayload_vp9(&data);
            super::fuzz_depayload_av1(&data);
            super::fuzz_depayload_jpeg(&data);
            super::fuzz_depayload_opus(&data);
            super::fuzz_rtp_timeline(&data);
            super::fuzz_depayload_aac(&data);
            super::fuzz_latm_config(&data);
            super::fuzz_rtcp(&data);
        }
    }
}
