//! The hub against a plain log of everything that was written.
//!
//! Whatever is written, read, lost and replaced, every reader sees units in order, begins pictures with a key frame, never
//! gets half a GOP, and misses sound only where the hub said so.
#![allow(clippy::unwrap_used)] // A failed unwrap is a failed test.

use bytes::Bytes;
use hub::{Hub, Item, Limits, PathName, Publisher, PublisherInfo, ReadError, Reader, ReaderInfo, RingLimits, Start};
use media::{
    AacParams, AccessUnit, ClockRate, CodecParams, MediaTime, MonoTime, OpusParams, Track, TrackId, TrackSet, UnitKind,
};
use proptest::prelude::*;
use std::sync::Arc;
use std::time::Duration;

#[derive(Debug, Clone)]
enum Op {
    Write { kind: UnitKind, size: usize, after_ms: u64 },
    Join(Start),
    Read { reader: usize, times: usize },
    Replace,
    Leave,
}

fn op() -> impl Strategy<Value = Op> {
    let kind = prop_oneof![1 => Just(UnitKind::Key), 4 => Just(UnitKind::Delta), 3 => Just(UnitKind::Audio)];
    let start = prop_oneof![Just(Start::Soonest), Just(Start::LastKey), Just(Start::NextKey)];
    prop_oneof![
        12 => (kind, 4_usize..400, 0_u64..40).prop_map(|(kind, size, after_ms)| Op::Write { kind, size, after_ms }),
        2 => start.prop_map(Op::Join),
        6 => (0_usize..4, 1_usize..12).prop_map(|(reader, times)| Op::Read { reader, times }),
        1 => Just(Op::Replace),
        1 => Just(Op::Leave),
    ]
}

/// What was written, in order. A unit's place in here is in its payload.
struct Log {
    kinds: Vec<(UnitKind, u32)>,
    publisher: u32,
}

struct Checked {
    reader: Reader,
    patience: bool,
    last: Option<usize>,
    last_picture: Option<usize>,
    excused: bool,
}

impl Checked {
    fn check(&mut self, log: &Log, unit: &AccessUnit) {
        let at = u32::from_be_bytes(unit.payload[..4].try_into().unwrap()) as usize;
        assert!(self.last.is_none_or(|last| last < at), "units come in the order they were written");
        let (kind, publisher) = log.kinds[at];
        assert_eq!(kind, unit.kind);
        if let (Some(last), false) = (self.last, self.excused) {
            let lost_sound = log.kinds[last + 1..at].iter().filter(|(k, _)| *k == UnitKind::Audio).count();
            assert_eq!(lost_sound, 0, "sound is lost only when the hub says so");
        }
        if kind == UnitKind::Delta {
            let before = (0..at).rev().find(|&i| log.kinds[i].0 != UnitKind::Audio);
            assert_eq!(self.last_picture, before, "a delta picture follows the very picture before it");
            assert_eq!(log.kinds[before.expect("a delta is never first")].1, publisher, "and of the same publisher");
        }
        if kind != UnitKind::Audio {
            self.last_picture = Some(at);
        }
        self.last = Some(at);
        self.excused = false;
    }

    fn read(&mut self, log: &Log) -> bool {
        match self.reader.try_next() {
            Ok(Some(Item::Unit(unit, _))) => self.check(log, &unit),
            Ok(Some(Item::Tracks(_))) => {}
            Ok(None) => return false,
            Err(ReadError::Lagged(lagged)) => {
                assert!(lagged.missed > 0);
                self.excused = true;
            }
            Err(ReadError::Ended(ended)) => panic!("nothing was closed: {ended}"),
        }
        true
    }
}

fn publisher(hub: &Hub, name: &PathName, now: MonoTime) -> Publisher {
    let audio = Arc::new(CodecParams::Opus(OpusParams::WEBRTC));
    // The hub knows no codecs; that a video track carries AAC parameters here would not disturb it, so it gets real ones.
    let tracks = TrackSet::new([Track { id: TrackId(1), clock: ClockRate::AUDIO_48K, params: audio }]);
    let info = PublisherInfo { kind: "test", id: String::new(), answers_keyframes: false };
    hub.publish(name, info, tracks, now).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn readers_see_whole_gops_in_order(ops in prop::collection::vec(op(), 1..300), bytes in 300_usize..6000, span_ms in 10_u64..500) {
        let ring = RingLimits { bytes, span: Duration::from_millis(span_ms) };
        let hub = Hub::new(Limits { ring, ..Limits::default() });
        let name = PathName::parse("p").unwrap();
        let params = Arc::new(CodecParams::Aac(AacParams::lc(48_000, 2).unwrap()));
        let mut now = MonoTime::default();
        let mut writer = Some(publisher(&hub, &name, now));
        let mut log = Log { kinds: Vec::new(), publisher: 0 };
        let mut readers: Vec<Checked> = Vec::new();
        for op in ops {
            match op {
                Op::Write { kind, size, after_ms } => {
                    now = now + Duration::from_millis(after_ms);
                    let Some(writer) = &writer else { continue };
                    let mut payload = vec![0; size];
                    payload[..4].copy_from_slice(&u32::try_from(log.kinds.len()).unwrap().to_be_bytes());
                    let dts = MediaTime::from_duration(now.since(MonoTime::default()), ClockRate::MILLI);
                    log.kinds.push((kind, log.publisher));
                    let track = TrackId(u8::from(kind == UnitKind::Audio));
                    writer.write(
                        AccessUnit { track, dts, pts: dts, duration: None, kind, captured: None, params: Arc::clone(&params), payload: Bytes::from(payload) },
                        now,
                    );
                    let kept = hub.path(&name).unwrap().ring_bytes;
                    prop_assert!(kept <= bytes.max(size), "the ring is bounded: {kept}");
                }
                Op::Join(start) if readers.len() < 4 => {
                    let info = ReaderInfo { kind: "test", id: String::new() };
                    let mut reader = hub.read(&name, info, start, now).unwrap();
                    let patience = readers.len() % 2 == 1;
                    if patience {
                        reader = reader.with_patience(Duration::from_millis(100));
                    }
                    readers.push(Checked { reader, patience, last: None, last_picture: None, excused: false });
                }
                Op::Join(_) => drop(readers.pop()),
                Op::Read { reader, times } => {
                    if let Some(checked) = readers.get_mut(reader) {
                        let _more = (0..times).all(|_| checked.read(&log));
                    }
                }
                Op::Replace => {
                    log.publisher += 1;
                    writer = Some(publisher(&hub, &name, now));
                }
                Op::Leave => writer = None,
            }
        }
        for checked in &mut readers {
            while checked.read(&log) {}
            prop_assert!(checked.patience || checked.reader.skipped() <= log.kinds.len() as u64);
        }
    }
}
