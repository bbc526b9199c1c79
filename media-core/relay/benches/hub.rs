//! What a write costs the publisher, and a read each reader, with none, one, ten and a hundred readers.
//!
//! Decides whether one wake-up list per path is enough (design note 0002).
#![allow(clippy::unwrap_used, clippy::print_stdout)] // A bench reports to whoever runs it.

use bytes::Bytes;
use hub::{Hub, Item, Limits, PathName, PublisherInfo, ReaderInfo, Start};
use media::{AccessUnit, ClockRate, CodecParams, MediaTime, MonoTime, OpusParams, Track, TrackId, TrackSet, UnitKind};
use std::sync::Arc;
use std::time::Instant;

const UNITS: u32 = 20_000;

fn main() {
    for readers in [0, 1, 10, 100] {
        measure(readers);
    }
}

fn measure(count: usize) {
    let hub = Hub::new(Limits::default());
    let name = PathName::parse("bench").unwrap();
    let params = Arc::new(CodecParams::Opus(OpusParams::WEBRTC));
    let tracks = TrackSet::new([Track { id: TrackId(0), clock: ClockRate::AUDIO_48K, params: Arc::clone(&params) }]);
    let info = PublisherInfo { kind: "bench", id: String::new(), answers_keyframes: false };
    let publisher = hub.publish(&name, info, tracks, MonoTime::default()).unwrap();
    let mut readers: Vec<_> = (0..count)
        .map(|_| {
            let info = ReaderInfo { kind: "bench", id: String::new() };
            hub.read(&name, info, Start::Live, MonoTime::default()).unwrap()
        })
        .collect();
    let payload = Bytes::from(vec![0; 8_000]);
    let (mut writing, mut reading, mut read) = (0.0, 0.0, 0_u64);
    for n in 0..UNITS {
        let dts = MediaTime::new(i64::from(n) * 960, ClockRate::AUDIO_48K);
        let unit = AccessUnit {
            track: TrackId(0),
            dts,
            pts: dts,
            duration: None,
            kind: UnitKind::Audio,
            captured: None,
            params: Arc::clone(&params),
            payload: payload.clone(),
        };
        let begun = Instant::now();
        publisher.write(unit, MonoTime::from_micros(u64::from(n) * 20_000));
        writing += begun.elapsed().as_secs_f64();
        let begun = Instant::now();
        for reader in &mut readers {
            while let Ok(Some(item)) = reader.try_next() {
                read += u64::from(matches!(item, Item::Unit(..)));
            }
        }
        reading += begun.elapsed().as_secs_f64();
    }
    let per_read = if read == 0 { 0.0 } else { reading * 1e9 / read as f64 };
    let per_write = writing * 1e9 / f64::from(UNITS);
    figure(&format!("a write, {count} readers"), per_write);
    if count > 0 {
        figure(&format!("a read, {count} readers"), per_read);
    }
}

/// One row of the runner's table.
fn figure(name: &str, nanoseconds: f64) {
    println!("{}", serde_json::json!({ "figure": name, "p50": nanoseconds.round(), "unit": "ns" }));
}
