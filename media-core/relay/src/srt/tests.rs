//! Door and link against what is hostile, callers against servers.

use super::door::{Door, Knock, again, readable};
use super::fuzz::{SOCKET, conclusion, fuzz_srt_datagrams, fuzz_srt_text, induction};
use super::link::{Link, Step, Terms};
use super::{Passphrase, Passphrases, SrtConfig, SrtUrl};
use crate::access::Action;
use crate::clock::Clock;
use crate::listen::Sound;
use crate::relay::{Relay, RelayConfig};
use bytes::Bytes;
use hub::{Item, PathName, PublisherInfo, ReaderInfo, Start};
use media::{AacParams, AccessUnit, ClockRate, CodecParams, MediaTime, Track, TrackId, TrackSet, UnitKind};
use proptest::prelude::*;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

const FROM: ([u8; 4], u16) = ([127, 0, 0, 1], 4000);

fn cookie(door: &Door, from: SocketAddr, minute: u64) -> Bytes {
    let Knock::Answer(answer) = door.knock(&induction(), from, minute) else { panic!("an induction is answered") };
    answer.slice(44..48)
}

fn link() -> Link {
    let door = Door::default();
    let Knock::Asks(caller) = door.knock(&conclusion(&cookie(&door, FROM.into(), 0)), FROM.into(), 0) else {
        panic!("it brings the cookie")
    };
    let terms = Terms { latency: Duration::from_millis(120), receive: 64, passphrase: None };
    caller.accept(Instant::now(), SOCKET, &terms).unwrap().1
}

/// A control packet of `kind` for our connection.
pub(super) fn control(kind: u8, words: &[u32]) -> Vec<u8> {
    let mut out = vec![0x80, kind, 0, 0, 0, 0, 0, 1, 0, 0, 0, 9, 0, 0, 0, 1];
    words.iter().for_each(|word| out.extend_from_slice(&word.to_be_bytes()));
    out
}

#[test]
fn a_cookie_is_good_for_its_address_and_for_a_minute_or_two() {
    let (door, from, other) = (Door::default(), SocketAddr::from(FROM), SocketAddr::from(([127, 0, 0, 2], 4000)));
    let asks = |cookie: &[u8], from, minute| matches!(door.knock(&conclusion(cookie), from, minute), Knock::Asks(_));
    let cookie = cookie(&door, from, 5);
    assert!(asks(&cookie, from, 5) && asks(&cookie, from, 6));
    assert!(!asks(&cookie, from, 7) && !asks(&cookie, other, 5) && !asks(&[0; 4], from, 5));
    assert!(!matches!(Door::default().knock(&conclusion(&cookie), from, 5), Knock::Asks(_)), "the secret is its own");
}

#[test]
fn extensions_that_the_machine_does_not_know_are_left_out_or_refused() {
    let base = conclusion(&[1, 2, 3, 4]);
    let with = |extension: &[u8]| [&base[..], extension].concat();
    let check = |extension: &[u8], kept: bool, refused: bool| {
        let (out, refusal) = readable(&with(extension)).unwrap();
        assert_eq!((out.len() > base.len(), refusal.is_some()), (kept, refused), "{extension:?}");
    };
    check(&[0, 5, 0, 1, b'a', b'd', b'a', b'r'], true, false);
    check(&[0, 6, 0, 1, b'e', b'v', b'i', b'l'], false, false);
    check(&[0, 6, 0, 1, b'e', b'l', b'i', b'f'], false, true);
    check(&[0, 7, 0, 1, b'c', b'e', b'f', 0], false, false);
    check(&[0, 8, 0, 1, 0, 0, 0, 0], false, true);
    check(&[0, 5, 0, 0], false, false);
    check(&[1, 1], false, false);
    assert!(readable(&with(&[0, 5, 0, 9, 1])).is_none(), "longer than there is");
    assert!(readable(&base[..63]).is_none());
}

#[test]
fn a_passphrase_on_one_side_alone_is_refused() {
    let door = Door::default();
    let Knock::Asks(caller) = door.knock(&conclusion(&cookie(&door, FROM.into(), 0)), FROM.into(), 0) else { panic!() };
    let passphrase = Some("0123456789".parse().unwrap());
    let terms = Terms { latency: Duration::ZERO, receive: 64, passphrase };
    let reason = caller.accept(Instant::now(), SOCKET, &terms).unwrap_err();
    assert_eq!(reason, srt_protocol::packet::CoreRejectReason::Unsecure.into());
    let refusal = caller.reject(reason);
    assert_eq!(refusal[36..40], 1011_i32.to_be_bytes(), "SRT_REJ_UNSECURE");
}

#[test]
fn an_answer_says_what_both_sides_go_by_and_when() {
    let door = Door::default();
    let Knock::Asks(caller) = door.knock(&conclusion(&cookie(&door, FROM.into(), 0)), FROM.into(), 0) else { panic!() };
    for (ours, agreed) in [(0, 120), (500, 500)] {
        let terms = Terms { latency: Duration::from_millis(ours), receive: 64, passphrase: None };
        let (answer, link) = caller.accept(Instant::now(), SOCKET, &terms).unwrap();
        let agreed = Duration::from_millis(agreed);
        // The extension's latencies, to the peer and back, in milliseconds (§3.2.1.1).
        let said = |at: usize| Duration::from_millis(u16::from_be_bytes([answer[at], answer[at + 1]]).into());
        assert_eq!((said(76), said(78)), (agreed, agreed), "our wish: {ours}");
        assert_eq!((link.stats().send_latency, link.stats().receive_latency), (agreed, agreed));
        assert_eq!(answer[8..12], [0; 4], "our clock begins");
        assert_eq!(again(&answer, Duration::from_millis(250))[8..12], 250_000_u32.to_be_bytes());
    }
}

#[test]
fn what_the_machine_panics_at_or_toils_over_does_not_reach_it() {
    let begun = Instant::now();
    for hostile in [
        control(4, &[0]),
        control(8, &[0]),
        control(3, &[1 << 31, (1 << 31) - 1]),
        control(3, &[1 << 31]),
        control(3, &[1 << 31, 1 << 31]),
        control(3, &[]),
        control(0x7F, &[0]),
    ] {
        let (mut link, now) = (link(), Instant::now());
        link.datagram(now, &hostile).unwrap();
        while let Some(step) = link.poll(now).unwrap() {
            assert!(matches!(step, Step::Send(_)), "{step:?}");
        }
    }
    assert!(begun.elapsed() < Duration::from_secs(1), "2^31 missing packets are not counted");
}

#[test]
fn a_peer_that_acknowledges_nothing_is_left() {
    let (mut link, mut now) = (link(), Instant::now());
    let mut sent = 0_u64;
    let error = 'sending: loop {
        while link.has_room(now) {
            link.push(now, Bytes::from_static(&[0x47; 188])).unwrap();
            sent += 1;
        }
        loop {
            match link.poll(now) {
                Ok(Some(_)) => {}
                Ok(None) => break,
                Err(error) => break 'sending error,
            }
        }
        now += Duration::from_millis(100);
    };
    assert_eq!(error, super::link::LinkError::Lost);
    assert!((1 << 17..(1 << 17) + 4096).contains(&sent), "{sent}");
}

/// A relay of SRT alone; its path `cam` takes the passphrase.
async fn relay() -> (Relay, String) {
    let passphrases: Arc<dyn Passphrases> = Arc::new(Cam);
    let srt = Some((SocketAddr::from(([127, 0, 0, 1], 0)), SrtConfig { passphrases }));
    let relay = Relay::start(RelayConfig { srt, ..RelayConfig::default() }).await.unwrap();
    let address = relay.bound().srt.unwrap();
    (relay, format!("srt://{address}?streamid="))
}

#[derive(Debug)]
struct Cam;

impl Passphrases for Cam {
    fn passphrase(&self, path: &PathName, _action: Action) -> Option<Passphrase> {
        (path.as_str() == "cam").then(|| "0123456789".parse().unwrap())
    }
}

/// Sound that is told apart by its bytes, twenty milliseconds of it each.
fn sound(number: u8) -> AccessUnit {
    let params = Arc::new(CodecParams::Aac(AacParams::lc(48_000, 2).unwrap()));
    let at = MediaTime::new(i64::from(number) * 1024, ClockRate::AUDIO_48K);
    let payload = Bytes::from(vec![number; 100]);
    AccessUnit {
        track: TrackId(0),
        dts: at,
        pts: at,
        duration: None,
        kind: UnitKind::Audio,
        captured: None,
        params,
        payload,
    }
}

fn publish(relay: &Relay, path: &PathName) -> hub::Publisher {
    let info = PublisherInfo { kind: "test", id: "1".into(), answers_keyframes: false };
    let unit = sound(0);
    let track = Track { id: unit.track, clock: ClockRate::AUDIO_48K, params: unit.params };
    relay.hub().publish(path, info, TrackSet::new([track]), Clock::process().now()).unwrap()
}

#[tokio::test]
async fn pushed_to_one_relay_and_pulled_by_another() {
    let ((first, _), (second, url), (third, _)) = (relay().await, relay().await, relay().await);
    let (source, cam) = (PathName::parse("source").unwrap(), PathName::parse("cam").unwrap());
    let publisher = publish(&first, &source);
    let to: SrtUrl = format!("{url}publish:cam&passphrase=0123456789&pbkeylen=24").parse().unwrap();
    let from: SrtUrl = format!("{url}read:cam&passphrase=0123456789&latency=20").parse().unwrap();
    let info = ReaderInfo { kind: "test", id: "1".into() };
    let mut reader = third.hub().read(&cam, info, Start::LastKey, Clock::process().now()).unwrap();
    let mut feed = tokio::time::interval(Duration::from_millis(20));
    let talking = async {
        for number in 0_u8.. {
            feed.tick().await;
            publisher.write(sound(number), Clock::process().now());
        }
    };
    let hearing = async {
        let mut numbers = Vec::new();
        while numbers.len() < 20 {
            if let Item::Unit(unit, _) = reader.next().await.unwrap() {
                assert!(unit.payload.iter().all(|byte| *byte == unit.payload[0]), "whole, and decrypted");
                numbers.push(unit.payload[0]);
            }
        }
        numbers
    };
    let from_here = ReaderInfo { kind: "test", id: "2".into() };
    let listener = first.listening().open(&source, Sound::Aac, from_here, Start::Soonest).await.unwrap();
    let numbers = tokio::select! {
        ended = super::push(&to, listener, || {}, |_| {}) => panic!("{ended:?}"),
        ended = super::pull(&from, third.hub(), &cam, Clock::process()) => panic!("{ended:?}"),
        () = talking => panic!("all was said"),
        numbers = hearing => numbers,
    };
    assert!(numbers.windows(2).all(|pair| pair[1] == pair[0] + 1), "none is missing: {numbers:?}");
    // Both were dropped, and said goodbye.
    while !second.paths().iter().all(|path| path.publisher.is_none() && path.readers.is_empty()) {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    for relay in [first, second, third] {
        relay.stop().await;
    }
}

#[tokio::test]
async fn a_caller_is_told_why_not() {
    let ((server, url), path) = (relay().await, PathName::parse("cam").unwrap());
    let (hub, clock) = (server.hub().clone(), Clock::process());
    let why = async |what: &str| {
        let url: SrtUrl = format!("{url}{what}").parse().unwrap();
        super::pull(&url, &hub, &path, clock).await.unwrap_err().to_string()
    };
    let check =
        async |what: &str, want: &str| assert_eq!(why(what).await, format!("the server refused: {want}"), "{what}");
    check("read:cam&passphrase=wrong-wrong", "wrong passphrase").await;
    check("read:cam", "it encrypts and we do not, or the other way round").await;
    check("read:garden&passphrase=0123456789", "it encrypts and we do not, or the other way round").await;
    check("garden", "it does not understand the stream id").await;
    server.stop().await;
    assert!(why("read:cam").await.starts_with("no answer from 127.0.0.1:"), "nobody is there");
}

proptest! {
    #[test]
    fn nothing_panics(
        text in "(read|publish|#!::m|r)?[:=,?a-z/ -~]{0,60}",
        bodies in prop::collection::vec((0_u8..9, prop::collection::vec(any::<u32>(), 0..8)), 0..12),
        noise in prop::collection::vec(any::<u8>(), 0..200),
    ) {
        fuzz_srt_text(text.as_bytes());
        fuzz_srt_datagrams(&noise);
        let mut framed = Vec::new();
        for (kind, words) in bodies {
            let datagram = control(kind, &words);
            framed.extend_from_slice(&u16::try_from(datagram.len()).unwrap().to_be_bytes());
            framed.extend_from_slice(&datagram);
        }
        fuzz_srt_datagrams(&framed);
    }
}
