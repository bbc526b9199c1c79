//! Listeners and renditions, in this process and in virtual time: who gets which sound, from where, for how long.
#![allow(clippy::unwrap_used)] // A failed unwrap is a failed test.

use codec::{OpusEncoder, OpusEncoderConfig};
use hub::{Hub, Item, Limits, PathName, Publisher, PublisherInfo, ReaderInfo, Start};
use media::{
    AccessUnit, Av1Params, ClockRate, Codec, CodecParams, MediaKind, MediaTime, MonoTime, OpusParams, Track, TrackId,
    TrackSet, UnitKind,
};
use relay::Clock;
use relay::listen::{ListenError, Listener, Listening, Sound, Takes};
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

async fn listen(listening: &Listening, path: &str, sound: impl Into<Takes> + Send) -> Result<Listener, ListenError> {
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
    for _ in 0..90 {
        tokio::time::sleep(Duration::from_millis(100)).await;
        speaker.speak();
    }
    assert!(hub.is_published(&name("doctorStream_aac")), "it lingers");
    // The publisher speaks on; that is no reason to go on encoding.
    for _ in 0..20 {
        tokio::time::sleep(Duration::from_millis(100)).await;
        speaker.speak();
    }
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

/// What OBS pushes by default, as ffmpeg writes it into FLV: B-frames, a pyramid of them.
fn with_b_frames() -> Vec<AccessUnit> {
    let source =
        ["-v", "error", "-f", "lavfi", "-i", "testsrc2=size=320x240:rate=30:duration=3", "-pix_fmt", "yuv420p"];
    let coded = ["-c:v", "libx264", "-bf", "3", "-x264-params", "b-pyramid=normal", "-g", "30", "-f", "flv", "pipe:1"];
    let output = std::process::Command::new("ffmpeg").args(source).args(coded).output().expect("ffmpeg is installed");
    let mut demuxer = container::flv::Demuxer::new();
    let mut reader = container::flv::FileReader::new();
    reader.push(&output.stdout);
    let mut units = Vec::new();
    while let Some(tag) = reader.next_tag().unwrap() {
        for event in demuxer.push(tag.kind, tag.timestamp, &tag.body).unwrap() {
            if let container::flv::Event::Unit(unit) = event {
                units.push(unit);
            }
        }
    }
    assert_eq!(units.len(), 90);
    units
}

/// Everybody gets the original but the listener that shows pictures as they come; `hidden` leaves out what says so beforehand.
#[tokio::test]
async fn b_frames_are_taken_out_for_those_who_cannot_reorder() {
    let (hub, listening) = world();
    let units = with_b_frames();
    let params = Arc::clone(&units[0].params);
    let info = PublisherInfo { kind: "test", id: String::new(), answers_keyframes: false };
    let track = Track { id: units[0].track, clock: units[0].dts.rate(), params };
    let publisher = hub.publish(&name("obs"), info, TrackSet::new([track]), Clock::process().now()).unwrap();
    let in_order = Takes { reordered: false, ..Sound::Opus.into() };
    let mut plain = listen(&listening, "obs", Sound::Any).await.unwrap();
    let mut browser = listen(&listening, "obs", in_order).await.unwrap();
    let (mut original, mut shown) = (Vec::new(), Vec::new());
    let deadline = std::time::Instant::now() + Duration::from_secs(30);
    let mut units = units.into_iter();
    while shown.len() < 80 {
        assert!(std::time::Instant::now() < deadline, "{} pictures", shown.len());
        if let Some(unit) = units.next() {
            publisher.write(unit, Clock::process().now());
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
        while let Some(item) = plain.try_next().unwrap() {
            if let Item::Unit(unit, _) = item {
                original.push(unit);
            }
        }
        while let Some(item) = browser.try_next().unwrap() {
            match item {
                Item::Tracks(tracks) => {
                    let CodecParams::H264(params) = &*tracks.first(MediaKind::Video).unwrap().params else {
                        panic!("H.264")
                    };
                    assert_eq!(params.reorder(), 0);
                }
                Item::Unit(unit, _) => shown.push(unit),
            }
        }
    }
    assert!(original.windows(2).any(|pair| pair[1].pts < pair[0].pts), "the original is as it was");
    assert!(shown[0].is_key() && shown.windows(2).all(|pair| pair[0].pts < pair[1].pts), "in display order");
    assert!(shown.windows(2).all(|pair| pair[1].pts.minus(pair[0].pts).millis() <= 34), "none is missing");
    assert_eq!(hub.path(&name("obs_h264")).unwrap().readers.len(), 1);
}
