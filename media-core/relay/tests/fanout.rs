//! Many RTMP players of one path, in this process: each gets every unit once and in order, whoever of them comes, goes, rests or reads nothing.
#![allow(clippy::unwrap_used)] // A failed unwrap is a failed test.

use hub::{PathName, Publisher, PublisherInfo};
use media::{
    AccessUnit, ClockRate, CodecParams, H264Params, MediaTime, MonoTime, Track, TrackId, TrackSet, UnitKind,
    append_length_prefixed,
};
use proto::rtmp::{ClientConfig, ClientEvent, ClientSession, Kind, Purpose, RtmpUrl};
use relay::{Relay, RelayConfig};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Constrained baseline, 640×480.
const SPS: &[u8] = &[
    0x67, 0x42, 0xC0, 0x1E, 0xDA, 0x02, 0x80, 0xF6, 0x84, 0x00, 0x00, 0x03, 0x00, 0x04, 0x00, 0x00, 0x03, 0x00, 0xF2,
    0x3C, 0x58, 0xBA, 0x80,
];
const PPS: &[u8] = &[0x68, 0xCE, 0x0F, 0x2C, 0x80];
/// Pictures from one key picture to the next.
const GOP: u32 = 10;
/// Nothing here takes so long.
const PATIENCE: Duration = Duration::from_secs(30);

fn name(text: &str) -> PathName {
    PathName::parse(text).unwrap()
}

/// Pictures with their number in them, a second of 25.
struct Camera {
    publisher: Publisher,
    params: Arc<CodecParams>,
    written: u32,
    size: usize,
}

impl Camera {
    fn start(relay: &Relay, path: &str, size: usize) -> Self {
        let params = H264Params::new(SPS.into(), vec![PPS.into()]).unwrap();
        let params = Arc::new(CodecParams::H264(params));
        let tracks = TrackSet::new([Track { id: TrackId(0), clock: ClockRate::VIDEO, params: Arc::clone(&params) }]);
        let info = PublisherInfo { kind: "test", id: String::new(), answers_keyframes: false };
        let publisher = relay.hub().publish(&name(path), info, tracks, MonoTime::default()).unwrap();
        Self { publisher, params, written: 0, size }
    }

    /// Writes one picture; its number.
    fn shoot(&mut self) -> u32 {
        let number = self.written;
        self.written += 1;
        let key = number.is_multiple_of(GOP);
        let mut nal = vec![if key { 0x65 } else { 0x41 }, 0x88];
        nal.extend_from_slice(&number.to_be_bytes());
        nal.resize(self.size, 0xAA);
        let mut payload = Vec::new();
        append_length_prefixed(&mut payload, &nal);
        let dts = MediaTime::new(i64::from(number) * 3600, ClockRate::VIDEO);
        let unit = AccessUnit {
            track: TrackId(0),
            dts,
            pts: dts,
            duration: None,
            kind: if key { UnitKind::Key } else { UnitKind::Delta },
            captured: None,
            params: Arc::clone(&self.params),
            payload: payload.into(),
        };
        self.publisher.write(unit, MonoTime::from_micros(u64::from(number) * 40_000));
        number
    }
}

/// A player, whose pictures are numbers.
struct Player {
    stream: TcpStream,
    session: ClientSession,
}

impl Player {
    async fn join(relay: &Relay, path: &str) -> Self {
        let url = RtmpUrl::parse(&format!("rtmp://{}/{path}", relay.bound().rtmp.unwrap())).unwrap();
        let stream = TcpStream::connect((url.host.as_str(), url.port)).await.unwrap();
        let session = ClientSession::new(ClientConfig::new(url, Purpose::Play), 1);
        Self { stream, session }
    }

    /// The next picture; `None` at the end of the stream.
    async fn picture(&mut self) -> Option<u32> {
        tokio::time::timeout(PATIENCE, self.next()).await.expect("a picture in time")
    }

    async fn next(&mut self) -> Option<u32> {
        let mut buffer = [0; 16 << 10];
        loop {
            while let Some(event) = self.session.poll_event() {
                match event {
                    // Frame type and codec, packet type 1, composition time; length, NAL header, slice header; the number.
                    ClientEvent::Media(media) if media.kind == Kind::Video && media.body[1] == 1 => {
                        return Some(u32::from_be_bytes(media.body[11..15].try_into().unwrap()));
                    }
                    ClientEvent::Ended { .. } => return None,
                    _ => {}
                }
            }
            while !self.session.output().is_empty() {
                self.stream.write_buf(self.session.output()).await.unwrap();
            }
            match self.stream.read(&mut buffer).await.unwrap() {
                0 => return None,
                count => self.session.handle_input(&buffer[..count]).unwrap(),
            }
        }
    }
}

async fn relay() -> Relay {
    let config = RelayConfig { rtmp: Some("127.0.0.1:0".parse().unwrap()), ..RelayConfig::default() };
    Relay::start(config).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everybody_gets_every_picture_once() {
    let relay = relay().await;
    let mut camera = Camera::start(&relay, "many", 2000);
    camera.shoot();
    // More than one writer serves, so that there are two of them.
    let mut players = Vec::new();
    for _ in 0..300 {
        players.push(Player::join(&relay, "many").await);
    }
    for player in &mut players {
        assert_eq!(player.picture().await, Some(0), "the newest GOP");
    }
    for expected in 1..3 * GOP {
        // Two at once now and then: what one writes, the other does not write again.
        if expected % 3 != 2 {
            camera.shoot();
        }
        if expected % 3 == 1 {
            camera.shoot();
        }
        for (n, player) in players.iter_mut().enumerate() {
            assert_eq!(player.picture().await, Some(expected), "player {n}");
        }
        if expected == GOP {
            players.truncate(200);
        }
    }
    drop(camera);
    drop(players);
    relay.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_who_reads_nothing_is_waited_for_by_nobody() {
    let relay = relay().await;
    let mut camera = Camera::start(&relay, "slow", 100_000);
    camera.shoot();
    let (mut quick, mut slow) = (Player::join(&relay, "slow").await, Player::join(&relay, "slow").await);
    assert_eq!((quick.picture().await, slow.picture().await), (Some(0), Some(0)));
    // 20 MB: far more than sockets and queues hold.
    let last = 20 * GOP - 1;
    for expected in 1..=last {
        camera.shoot();
        assert_eq!(quick.picture().await, Some(expected));
    }
    let mut previous = 0;
    while previous != last {
        let picture = slow.picture().await.unwrap();
        assert!(picture == previous + 1 || picture.is_multiple_of(GOP), "{picture} behind {previous}");
        assert!(picture > previous);
        previous = picture;
    }
    // Level again, it is served like everybody.
    for expected in last + 1..last + 5 {
        camera.shoot();
        assert_eq!((quick.picture().await, slow.picture().await), (Some(expected), Some(expected)));
    }
    relay.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_end_reaches_everybody() {
    let relay = relay().await;
    let mut camera = Camera::start(&relay, "ends", 2000);
    camera.shoot();
    let mut players = Vec::new();
    for _ in 0..20 {
        players.push(Player::join(&relay, "ends").await);
    }
    for player in &mut players {
        assert_eq!(player.picture().await, Some(0));
    }
    relay.hub().close(&name("ends"));
    for player in &mut players {
        assert_eq!(player.picture().await, None);
    }
    relay.stop().await;
}
