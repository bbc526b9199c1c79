//! Pushes as a library: begun and ended at run time, from one relay in this process to another.
#![allow(clippy::unwrap_used)] // A failed unwrap is a failed test.

use hub::{PathName, Publisher, PublisherInfo};
use media::{AacParams, AccessUnit, ClockRate, CodecParams, MediaTime, MonoTime, Track, TrackId, TrackSet, UnitKind};
use relay::push::{Push, PushPhase};
use relay::{Relay, RelayConfig};
use std::sync::Arc;
use std::time::Duration;

fn name(text: &str) -> PathName {
    PathName::parse(text).unwrap()
}

/// Silence in AAC on `live`, one frame after another until it is dropped.
struct Speaker(tokio::task::JoinHandle<()>);

impl Speaker {
    fn start(relay: &Relay) -> Self {
        let params = Arc::new(CodecParams::Aac(AacParams::lc(48_000, 2).unwrap()));
        let clock = ClockRate::new(48_000).unwrap();
        let tracks = TrackSet::new([Track { id: TrackId(1), clock, params: Arc::clone(&params) }]);
        let info = PublisherInfo { kind: "test", id: String::new(), answers_keyframes: false };
        let publisher: Publisher = relay.hub().publish(&name("live"), info, tracks, MonoTime::default()).unwrap();
        Self(tokio::spawn(async move {
            let mut interval = tokio::time::interval(Duration::from_millis(20));
            for n in 0_i64.. {
                interval.tick().await;
                let dts = MediaTime::new(n * 1024, clock);
                let unit = AccessUnit {
                    track: TrackId(1),
                    dts,
                    pts: dts,
                    duration: None,
                    kind: UnitKind::Audio,
                    captured: None,
                    params: Arc::clone(&params),
                    payload: vec![0x21, 0x10, 0x04, 0x60, 0x8C, 0x1C].into(),
                };
                publisher.write(unit, MonoTime::from_micros(u64::try_from(n).unwrap() * 20_000));
            }
        }))
    }
}

impl Drop for Speaker {
    fn drop(&mut self) {
        self.0.abort();
    }
}

async fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let waiting = async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), waiting)
        .await
        .unwrap_or_else(|_| panic!("waited in vain for {what}"));
}

fn is_published(relay: &Relay, path: &str) -> bool {
    relay.paths().iter().any(|p| p.name == name(path) && p.publisher.is_some())
}

fn runs(push: &Push) -> bool {
    push.state().is_some_and(|state| matches!(state.phase, PushPhase::Running(_)))
}

#[tokio::test(flavor = "multi_thread")]
async fn begun_and_ended_at_run_time() {
    let here = Relay::start(RelayConfig::default()).await.unwrap();
    let config = RelayConfig { rtmp: Some("127.0.0.1:0".parse().unwrap()), ..RelayConfig::default() };
    let there = Relay::start(config).await.unwrap();
    let server = there.bound().rtmp.unwrap();
    let destination = |key: &str| relay::push::Destination::rtmp(&format!("rtmp://{server}/app"), key).unwrap();

    let first = here.push(name("live"), destination("first"));
    assert_eq!(first.state().unwrap().phase, PushPhase::Waiting);
    let speaker = Speaker::start(&here);
    until("the first push", || runs(&first)).await;
    let second = here.push(name("live"), destination("second"));
    until("the second push", || runs(&second)).await;
    until("both there", || is_published(&there, "app/first") && is_published(&there, "app/second")).await;
    until("bytes", || second.state().is_some_and(|state| state.outbound_bytes > 3_500)).await;

    // One is ended: the server is told, nothing is left of it, and the other goes on.
    let sent = first.state().unwrap().outbound_bytes;
    let readers = || here.paths().iter().map(|path| path.readers.len()).sum::<usize>();
    assert_eq!(readers(), 2);
    drop(second);
    until("the end of the second push", || !is_published(&there, "app/second") && readers() == 1).await;
    until("more of the first", || first.state().is_some_and(|state| state.outbound_bytes > sent)).await;

    // The other relay goes away and is not there for a while.
    there.stop().await;
    until("the failure", || matches!(first.state().unwrap().phase, PushPhase::Failed { .. })).await;
    assert!(first.state().unwrap().failures > 0);
    let config = RelayConfig { rtmp: Some(server), ..RelayConfig::default() };
    let there = Relay::start(config).await.unwrap();
    first.retry();
    until("the first push again", || runs(&first) && is_published(&there, "app/first")).await;

    // The relay ends: so do its pushes, in good order.
    drop(speaker);
    here.stop().await;
    assert!(first.state().is_none());
    until("the end of the first push", || !is_published(&there, "app/first")).await;
    there.stop().await;
}
