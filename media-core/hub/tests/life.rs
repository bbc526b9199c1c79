//! The life of a path: readers first, publishers that come back, take over or stay away.
#![allow(clippy::unwrap_used)] // A failed unwrap is a failed test.

use bytes::Bytes;
use hub::{
    Ended, Hub, Item, Limits, PathName, Publisher, PublisherInfo, PublisherState, ReadError, Reader, ReaderInfo, Start,
};
use media::{AccessUnit, ClockRate, CodecParams, MediaTime, MonoTime, OpusParams, Track, TrackId, TrackSet, UnitKind};
use std::sync::Arc;
use std::time::Duration;

fn at(ms: u64) -> MonoTime {
    MonoTime::from_micros(ms * 1000)
}

fn name() -> PathName {
    PathName::parse("doctorStream").unwrap()
}

fn tracks() -> TrackSet {
    let params = Arc::new(CodecParams::Opus(OpusParams::WEBRTC));
    TrackSet::new([Track { id: TrackId(0), clock: ClockRate::AUDIO_48K, params }])
}

fn publish(hub: &Hub, id: &str, ms: u64) -> Publisher {
    let info = PublisherInfo { kind: "test", id: id.into(), answers_keyframes: true };
    hub.publish(&name(), info, tracks(), at(ms)).unwrap()
}

fn read(hub: &Hub, ms: u64) -> Reader {
    hub.read(&name(), ReaderInfo { kind: "test", id: "r".into() }, Start::Soonest, at(ms)).unwrap()
}

fn sound(publisher: &Publisher, dts_ms: i64, arrived_ms: u64) {
    let dts = MediaTime::new(dts_ms, ClockRate::MILLI);
    let unit = AccessUnit {
        track: TrackId(0),
        dts,
        pts: dts,
        duration: None,
        kind: UnitKind::Audio,
        captured: None,
        params: Arc::new(CodecParams::Opus(OpusParams::WEBRTC)),
        payload: Bytes::from_static(&[0xFC]),
    };
    publisher.write(unit, at(arrived_ms));
}

fn times(reader: &mut Reader) -> Vec<i64> {
    let mut got = Vec::new();
    while let Ok(Some(item)) = reader.try_next() {
        if let Item::Unit(unit, _) = item {
            got.push(unit.dts.millis());
        }
    }
    got
}

#[test]
fn reader_first() {
    let hub = Hub::new(Limits::default());
    let mut reader = read(&hub, 0);
    assert!(reader.try_next().unwrap().is_none());
    let publisher = publish(&hub, "a", 1000);
    assert!(matches!(reader.try_next().unwrap(), Some(Item::Tracks(_))), "tracks are known before the first unit");
    sound(&publisher, 0, 1000);
    assert_eq!(times(&mut reader), [0]);
}

#[test]
fn nobody_comes() {
    let hub = Hub::new(Limits::default());
    let mut reader = read(&hub, 0);
    hub.tick(at(29_999));
    assert!(reader.try_next().unwrap().is_none());
    hub.tick(at(30_000));
    assert_eq!(reader.try_next().unwrap_err(), ReadError::Ended(Ended::NoPublisher));
    drop(reader);
    hub.tick(at(30_001));
    assert!(hub.paths().is_empty(), "a path nobody uses is forgotten");
}

#[test]
fn back_within_the_grace() {
    let hub = Hub::new(Limits::default());
    let mut reader = read(&hub, 0);
    let first = publish(&hub, "a", 0);
    sound(&first, 5000, 0);
    assert_eq!(times(&mut reader), [5000]);
    first.finish();
    hub.tick(at(100));
    hub.tick(at(14_000));
    let second = publish(&hub, "b", 14_000);
    sound(&second, 0, 14_000);
    assert_eq!(times(&mut reader), [19_000], "timestamps go on by the clock");
}

#[test]
fn gone_for_good() {
    let hub = Hub::new(Limits::default());
    let mut reader = read(&hub, 0);
    let first = publish(&hub, "a", 0);
    sound(&first, 0, 0);
    drop(first);
    hub.tick(at(100));
    hub.tick(at(15_100));
    assert_eq!(reader.try_next().unwrap_err(), ReadError::Ended(Ended::PublisherGone));
}

#[test]
fn takeover() {
    let hub = Hub::new(Limits::default());
    let first = publish(&hub, "a", 0);
    let second = publish(&hub, "b", 10);
    assert_eq!((first.state(), second.state()), (PublisherState::Replaced, PublisherState::Live));
    let mut reader = read(&hub, 20);
    sound(&first, 0, 20);
    assert_eq!(times(&mut reader), [] as [i64; 0], "the replaced publisher is not heard");
    drop(first);
    assert!(hub.is_published(&name()), "and its leaving changes nothing");
    sound(&second, 7, 30);
    assert_eq!(times(&mut reader), [7]);
}

#[test]
fn close_ends_both_sides() {
    let hub = Hub::new(Limits::default());
    let (publisher, mut reader) = (publish(&hub, "a", 0), read(&hub, 0));
    hub.close(&name());
    assert_eq!(publisher.state(), PublisherState::Closed);
    assert_eq!(reader.try_next().unwrap_err(), ReadError::Ended(Ended::Closed));
}

#[test]
fn too_many_paths() {
    let hub = Hub::new(Limits { paths: 1, ..Limits::default() });
    let _publisher = publish(&hub, "a", 0);
    let other = PathName::parse("other").unwrap();
    assert!(hub.read(&other, ReaderInfo { kind: "t", id: String::new() }, Start::Live, at(0)).is_err());
}

#[tokio::test]
async fn a_sleeping_reader_is_woken() {
    let hub = Hub::new(Limits::default());
    let mut reader = read(&hub, 0);
    let task = tokio::spawn(async move {
        loop {
            if let Item::Unit(unit, _) = reader.next().await.unwrap() {
                return unit.dts.millis();
            }
        }
    });
    let publisher = publish(&hub, "a", 0);
    sound(&publisher, 42, 0);
    assert_eq!(tokio::time::timeout(Duration::from_secs(10), task).await.unwrap().unwrap(), 42);
}

#[tokio::test]
async fn demand_is_told() {
    let hub = Hub::new(Limits::default());
    let told = hub.demand_changed();
    tokio::pin!(told);
    told.as_mut().enable();
    let (first, second) = (hub.wait(&name()), hub.wait(&name()));
    told.await;
    assert_eq!(hub.demand(&name()), 2);
    assert!(hub.paths().is_empty(), "waiting is no path");
    // Who waited reads before it no longer waits, so that the count does not fall in between.
    let reader = read(&hub, 0);
    drop(first);
    assert_eq!(hub.demand(&name()), 2);
    drop(second);
    let told = hub.demand_changed();
    tokio::pin!(told);
    told.as_mut().enable();
    drop(reader);
    told.await;
    assert_eq!(hub.demand(&name()), 0);
}
