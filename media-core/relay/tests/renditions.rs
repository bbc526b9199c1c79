//! Listeners and renditions, in this process and in virtual time: who gets which sound, from where, for how long.
#![allow(clippy::unwrap_used)] // A failed unwrap is a failed test.

use codec::{OpusEncoder, OpusEncoderConfig};
use hub::{Hub, Item, Limits, PathName, Publisher, PublisherInfo, ReaderInfo, Start};
use media::{
    AccessUnit, Av1Params, ClockRate, Codec, CodecParams, MediaKind, MediaTime, MonoTime, OpusParams, Track, TrackId,
    TrackSet, UnitKind,
};
use relay::Clock;
use relay::listen::{ListenError, Listener, Listening, Sound};
use std::sync::Arc;
use std::time::Duration;

const SOUND: TrackId = TrackId(1);

fn name(text: &str) -> PathName {
    PathName::parse(text).unwrap()
}

fn world() -> (Hub, Listening) {
    let hub = Hub::new(Limits::default());
    let listening = Listening::new(hub.clone(), Clock::process(), 128_000, Duration::from_secs(30));
    (hub, listening)
}

fn publish(hub: &Hub, path: &str) -> Publisher {
    let params = Arc::new(CodecParams::Opus(OpusParams::WEBRTC));
    let tracks = TrackSet::new([Track { id: SOUND, clock: ClockRate::AUDIO_48K, params }]);
    let info = PublisherInfo { kind: "test", id: String::new(), answers_keyframes: true };
    hub.publish(&name(path), info, tracks, MonoTime::default()).unwrap()
}

async fn listen(listening: &Listening, path: &str, sound: Sound) -> Result<Listener, ListenError> {
    let info = ReaderInfo { kind: "test", id: String::new() };
    listening.open(&name(path), sound, info, Start::Soonest).await
}

/// Publishes 20 ms of tone after 20 ms of tone.
struct Speaker {
    publisher: Publisher,
    encoder: OpusEncoder,
    spoken: u32,
}

impl Speaker {
    fn new(publisher: Publisher) -> Self {
        Self { publisher, encoder: OpusEncoder::new(OpusEncoderConfig::default()).unwrap(), spoken: 0 }
    }

    fn speak(&mut self) {
        let start = self.spoken * 960;
        let tone = |n: u32| (f64::from(start + n) * 1000.0 / 48_000.0 * std::f64::consts::TAU).sin() as f32 * 0.5;
        let pcm: Vec<f32> = (0..960).flat_map(|n| [tone(n), tone(n)]).collect();
        let dts = MediaTime::new(i64::from(start), ClockRate::AUDIO_48K);
        let unit = AccessUnit {
            track: SOUND,
            dts,
            pts: dts,
            duration: Some(MediaTime::new(960, ClockRate::AUDIO_48K)),
            kind: UnitKind::Audio,
            captured: None,
            params: Arc::new(CodecParams::Opus(OpusParams::WEBRTC)),
            payload: self.encoder.encode(&pcm).unwrap(),
        };
        self.publisher.write(unit, MonoTime::from_micros(u64::from(start) * 1000 / 48));
        self.spoken += 1;
    }
}

/// Speaks until the listener has got `count` units, and answers them.
async fn hear(listener: &mut Listener, speaker: &mut Speaker, count: usize) -> (Option<Codec>, Vec<AccessUnit>) {
    let (mut announced, mut units) = (None, Vec::new());
    while units.len() < count {
        speaker.speak();
        // Lets the rendition's task run; it has nothing to wait for but its turn.
        tokio::task::yield_now().await;
        while let Some(item) = listener.try_next().unwrap() {
            match item {
                Item::Tracks(tracks) => announced = tracks.first(MediaKind::Audio).map(Track::codec),
                Item::Unit(unit, _) => units.push(unit),
            }
        }
    }
    (announced, units)
}

#[tokio::test(start_paused = true)]
async fn everybody_gets_sound_that_plays() {
    let (hub, listening) = world();
    let mut speaker = Speaker::new(publish(&hub, "doctorStream"));
    for (path, sound, want) in [
        ("doctorStream", Sound::Opus, Codec::Opus),
        ("doctorStream", Sound::Any, Codec::Opus),
        ("doctorStream", Sound::Aac, Codec::Aac),
        ("doctorStream_aac", Sound::Aac, Codec::Aac),
        ("doctorStream_aac", Sound::Any, Codec::Aac),
        ("doctorStream_opus", Sound::Opus, Codec::Opus),
    ] {
        let mut listener = listen(&listening, path, sound).await.unwrap();
        let (announced, units) = hear(&mut listener, &mut speaker, 20).await;
        assert_eq!(announced, Some(want), "{path} {sound:?}");
        assert!(units.iter().all(|u| u.params.codec() == want), "{path} {sound:?}");
        assert!(units.windows(2).all(|pair| pair[0].dts < pair[1].dts), "times rise");
    }
}

#[tokio::test(start_paused = true)]
async fn pictures_that_cannot_be_taken_are_left_out_and_told() {
    let (hub, listening) = world();
    let mut speaker = Speaker::new(publish(&hub, "doctorStream"));
    let sequence = [0x0a, 0x0b, 0, 0, 0, 4, 0x3c, 0xff, 0xbc, 2, 0xf8, 0, 0x40];
    let params = Arc::new(CodecParams::Av1(Av1Params::from_obus(&sequence).unwrap()));
    let picture = Track { id: TrackId(0), clock: ClockRate::VIDEO, params: Arc::clone(&params) };
    let sound = hub.tracks(&name("doctorStream")).unwrap().get(SOUND).unwrap().clone();
    speaker.publisher.set_tracks(TrackSet::new([picture, sound]));
    let zero = MediaTime::new(0, ClockRate::VIDEO);
    let key = AccessUnit {
        track: TrackId(0),
        dts: zero,
        pts: zero,
        duration: None,
        kind: UnitKind::Key,
        captured: None,
        params,
        payload: vec![0x32, 2, 0x10, 1].into(),
    };
    speaker.publisher.write(key, MonoTime::default());
    let mut legacy = listen(&listening, "doctorStream", Sound::Opus).await.unwrap();
    let (_, units) = hear(&mut legacy, &mut speaker, 5).await;
    assert!(units.iter().all(|unit| !unit.is_video()));
    let told = |hub: &Hub| hub.path(&name("doctorStream")).unwrap().readers[0].skipped_tracks.clone();
    let codecs: Vec<_> = told(&hub).into_iter().map(|track| track.codec).collect();
    assert_eq!(codecs, ["AV1"]);
    drop(legacy);
    let modern = listen(&listening, "doctorStream", Sound::Opus).await.unwrap();
    let mut modern = modern.with_pictures([Codec::Av1]);
    let (_, units) = hear(&mut modern, &mut speaker, 5).await;
    assert!(units.iter().any(AccessUnit::is_video));
    assert!(told(&hub).is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_rendition_lives_as_long_as_somebody_listens() {
    let (hub, listening) = world();
    let mut speaker = Speaker::new(publish(&hub, "doctorStream"));
    assert!(!hub.is_published(&name("doctorStream_aac")), "nobody listens, nothing is encoded");
    let mut listener = listen(&listening, "doctorStream", Sound::Aac).await.unwrap();
    hear(&mut listener, &mut speaker, 5).await;
    assert!(hub.is_published(&name("doctorStream_aac")));
    drop(listener);
    tokio::time::sleep(Duration::from_secs(9)).await;
    assert!(hub.is_published(&name("doctorStream_aac")), "it lingers");
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert!(!hub.is_published(&name("doctorStream_aac")), "and then it stops");
    let mut listener = listen(&listening, "doctorStream", Sound::Aac).await.unwrap();
    let (announced, _) = hear(&mut listener, &mut speaker, 5).await;
    assert_eq!(announced, Some(Codec::Aac), "and starts again");
}

#[tokio::test(start_paused = true)]
async fn a_name_that_is_really_published_wins() {
    let (hub, listening) = world();
    let _base = publish(&hub, "doctorStream");
    let mut speaker = Speaker::new(publish(&hub, "doctorStream_aac"));
    let mut listener = listen(&listening, "doctorStream_aac", Sound::Any).await.unwrap();
    let (announced, _) = hear(&mut listener, &mut speaker, 3).await;
    assert_eq!(announced, Some(Codec::Opus), "what somebody publishes there, whatever its name says");
}

#[tokio::test(start_paused = true)]
async fn a_listener_waits_for_the_publisher() {
    let (hub, listening) = world();
    let waiting = {
        let listening = listening.clone();
        tokio::spawn(async move { listen(&listening, "doctorStream_aac", Sound::Aac).await })
    };
    tokio::time::sleep(Duration::from_secs(20)).await;
    let mut speaker = Speaker::new(publish(&hub, "doctorStream"));
    let mut listener = waiting.await.unwrap().unwrap();
    let (announced, _) = hear(&mut listener, &mut speaker, 3).await;
    assert_eq!(announced, Some(Codec::Aac));
    assert_eq!(listen(&listening, "nobody", Sound::Any).await.unwrap_err(), ListenError::NoPublisher);
}
