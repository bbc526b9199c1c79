//! Entry points for the fuzzers, built and replayed in ordinary tests: names that come in URLs, times that come from publishers.

use crate::name::PathName;
use crate::timeline::Timeline;
use media::{AccessUnit, ClockRate, CodecParams, MediaTime, MonoTime, OpusParams, TrackId, UnitKind};
use std::sync::Arc;

/// A path's name.
pub fn fuzz_path_name(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let Ok(name) = PathName::parse(&text) else { return };
    assert_eq!(name.as_str(), text, "a name is taken as it is");
    assert!(text.split('/').all(|segment| !matches!(segment, "" | "." | "..")), "no way out of its folder");
    for suffix in ["_aac", "_opus"] {
        if let Some(longer) = name.with_suffix(suffix) {
            assert_eq!(longer.without_suffix(suffix).as_ref(), Some(&name), "a suffix comes off again");
        }
    }
}

/// A publisher's times. A step is a byte (bits 0 and 1: the track, bit 2: another publisher begins, bits 3 to 7: how much later it
/// arrives, squared, in milliseconds), a DTS in ticks of the track and what the PTS is above it.
pub fn fuzz_timeline(mut data: &[u8]) {
    const RATES: [u32; 4] = [1_000, 90_000, 48_000, 44_100];
    let params = Arc::new(CodecParams::Opus(OpusParams::WEBRTC));
    let mut timeline = Timeline::default();
    let (mut now, mut last) = (0, [None::<MediaTime>; 4]);
    while let Some((&[flags, a, b, c, d, e, f, g, h, above], rest)) = data.split_first_chunk::<10>() {
        data = rest;
        if flags & 4 != 0 {
            timeline.new_publisher();
        }
        now += u64::from(flags >> 3).pow(2) * 1000;
        let track = usize::from(flags & 3);
        let rate = ClockRate::new(RATES[track]).unwrap_or(ClockRate::MILLI);
        let dts = i64::from_be_bytes([a, b, c, d, e, f, g, h]);
        let mut unit = AccessUnit {
            track: TrackId(flags & 3),
            dts: MediaTime::new(dts, rate),
            pts: MediaTime::new(dts.saturating_add(i64::from(above) * 100), rate),
            duration: None,
            kind: UnitKind::Audio,
            captured: None,
            params: Arc::clone(&params),
            payload: vec![1].into(),
        };
        timeline.mend(&mut unit, MonoTime::from_micros(now));
        assert!(last[track].is_none_or(|last| unit.dts > last), "decode times rise");
        assert!(unit.pts >= unit.dts, "nothing is shown before it is decoded");
        last[track] = Some(unit.dts);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fuzz_replay::replay;
    use proptest::prelude::*;

    fn step(flags: u8, dts: i64) -> Vec<u8> {
        [&[flags][..], &dts.to_be_bytes(), &[0]].concat()
    }

    #[test]
    fn corpora() {
        let names: &[&[u8]] = &[b"doctorStream", b"live/cam1_aac", b"a/../b", b"cam/whip", b".", b"~x-1.y/\xFF", b""];
        replay("path_name", fuzz_path_name, names);
        let good = [step(0, 0), step(1, 0), step(0x30, 33), step(0x31, 3000), step(0x32, 960)].concat();
        let jumps = [step(0, 0), step(0, 900_000), step(0, 10), step(4, i64::MAX), step(1, i64::MIN)].concat();
        replay("timeline", fuzz_timeline, &[&good, &jumps]);
    }

    proptest! {
        #[test]
        fn nothing_panics(data in prop::collection::vec(any::<u8>(), 0..200)) {
            fuzz_path_name(&data);
            fuzz_timeline(&data);
        }
    }
}
