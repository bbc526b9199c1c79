//! Client and server machines with a wire between them that cuts and delays bytes as a seed says.

use super::*;
use proptest::prelude::*;
use std::collections::VecDeque;

/// One direction: pieces on their way, with the virtual time at which they arrive.
#[derive(Default)]
struct Wire(VecDeque<(u64, Vec<u8>)>);

impl Wire {
    fn send(&mut self, now: u64, bytes: &[u8], dice: &mut Dice) {
        let mut rest = bytes;
        let mut at = self.0.back().map_or(now, |last| last.0.max(now));
        while !rest.is_empty() {
            let most = [1, 20, 1500, 70_000][dice.roll(4)];
            let (piece, left) = rest.split_at((1 + dice.roll(most)).min(rest.len()));
            at += dice.roll(3) as u64;
            self.0.push_back((at, piece.to_vec()));
            rest = left;
        }
    }
}

struct Pair {
    server: ServerSession,
    client: ClientSession,
    up: Wire,
    down: Wire,
    dice: Dice,
    now: u64,
    server_events: Vec<ServerEvent>,
    client_events: Vec<ClientEvent>,
}

impl Pair {
    fn new(address: &str, purpose: Purpose, seed: u64) -> Self {
        Self {
            server: ServerSession::new(ServerConfig::default(), seed),
            client: ClientSession::new(ClientConfig::new(url(address), purpose), seed ^ 1),
            up: Wire::default(),
            down: Wire::default(),
            dice: Dice(seed),
            now: 0,
            server_events: Vec::new(),
            client_events: Vec::new(),
        }
    }

    /// Lets time pass until nothing is on its way.
    fn settle(&mut self) {
        loop {
            let (up, down) = (self.client.take_output().to_vec(), self.server.take_output().to_vec());
            self.up.send(self.now, &up, &mut self.dice);
            self.down.send(self.now, &down, &mut self.dice);
            let next = |wire: &Wire| wire.0.front().map_or(u64::MAX, |piece| piece.0);
            let (up, down) = (next(&self.up), next(&self.down));
            if up == u64::MAX && down == u64::MAX {
                return;
            }
            self.now = self.now.max(up.min(down));
            if up <= down {
                let (_, piece) = self.up.0.pop_front().unwrap();
                self.server.handle_input(&piece).unwrap();
            } else {
                let (_, piece) = self.down.0.pop_front().unwrap();
                self.client.handle_input(&piece).unwrap();
            }
            self.server_events.extend(std::iter::from_fn(|| self.server.poll_event()));
            self.client_events.extend(std::iter::from_fn(|| self.client.poll_event()));
        }
    }

    /// What the server heard since the last call, without acknowledgements and introductions.
    fn heard(&mut self) -> Vec<ServerEvent> {
        let events = std::mem::take(&mut self.server_events).into_iter();
        events
            .filter(|e| {
                !matches!(e, ServerEvent::Connected(_) | ServerEvent::Acknowledged(_) | ServerEvent::BufferLength(_))
            })
            .collect()
    }

    fn told(&mut self) -> Vec<ClientEvent> {
        let events = std::mem::take(&mut self.client_events).into_iter();
        events.filter(|e| !matches!(e, ClientEvent::Connected(_) | ClientEvent::Acknowledged(_))).collect()
    }

    /// The one request the server must have heard.
    fn request(&mut self) -> (RequestId, Target) {
        match &self.heard()[..] {
            [ServerEvent::Publish { request, target } | ServerEvent::Play { request, target }] => {
                (*request, target.clone())
            }
            other => panic!("one request, not {other:?}"),
        }
    }
}

/// Metadata, sequence headers, pictures of one size and then of another, and sound: opaque here, and of many lengths.
fn stream(seed: u64) -> Vec<Media> {
    let mut dice = Dice(seed);
    let mut all = vec![
        media(Kind::Data, 0, b"\x02\x00\x0AonMetaData\x08\x00\x00\x00\x00\x00\x00\x09"),
        media(Kind::Video, 0, b"\x17\x00\x00\x00\x00first configuration"),
        media(Kind::Audio, 0, b"\xAF\x00\x11\x90"),
    ];
    for n in 0..60_u32 {
        if n == 30 {
            all.push(media(Kind::Data, n * 33, b"\x02\x00\x0AonMetaData\x08\x00\x00\x00\x00\x00\x00\x09"));
            all.push(media(Kind::Video, n * 33, b"\x17\x00\x00\x00\x00second configuration, another size"));
        }
        let length = if n % 30 == 0 { 150_000 } else { 1 + dice.roll(5000) };
        all.push(media(Kind::Video, n * 33, &vec![n as u8; length]));
        all.push(media(Kind::Audio, n * 33 + 7, &vec![0xAF; 100 + dice.roll(300)]));
    }
    all
}

fn send_all(all: &[Media], mut send: impl FnMut(Kind, u32, &[u8], &Bytes)) {
    for m in all {
        // Tag headers are copied, the rest shared: any cut will do.
        let head = m.body.len().min(5);
        send(m.kind, m.timestamp, &m.body[..head], &m.body.slice(head..));
    }
}

fn publishes(address: &str, path: &str, query: &[(&str, &str)], seed: u64) {
    let mut pair = Pair::new(address, Purpose::Publish, seed);
    pair.settle();
    assert!(matches!(&pair.server_events[0], ServerEvent::Connected(c) if c.caps.takes("Opus")));
    assert!(matches!(&pair.client_events[0], ClientEvent::Connected(caps) if *caps == Caps::ours()));
    let (request, target) = pair.request();
    assert_eq!(target.path, path, "{address}");
    let got: Vec<_> = target.query.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
    assert_eq!(got, query, "{address}");
    assert_eq!(pair.told(), [], "nothing is said before the answer");
    pair.server.accept(request);
    pair.settle();
    assert_eq!(pair.told(), [ClientEvent::Publishing]);

    let all = stream(seed);
    send_all(&all, |kind, timestamp, head, payload| pair.client.send(kind, timestamp, head, payload));
    pair.settle();
    assert_eq!(pair.heard(), all.into_iter().map(ServerEvent::Media).collect::<Vec<_>>());
    pair.client.finish();
    pair.settle();
    assert_eq!(pair.heard(), [ServerEvent::PublishFinished(request)]);
}

fn plays(address: &str, path: &str, seed: u64) {
    let mut pair = Pair::new(address, Purpose::Play, seed);
    pair.settle();
    let (request, target) = pair.request();
    assert_eq!(target.path, path, "{address}");
    pair.server.send(Kind::Audio, 0, b"too early", &Bytes::new());
    pair.server.accept(request);
    let all = stream(seed);
    send_all(&all, |kind, timestamp, head, payload| pair.server.send(kind, timestamp, head, payload));
    pair.settle();
    let mut want = vec![ClientEvent::Playing];
    want.extend(all.into_iter().map(ClientEvent::Media));
    assert_eq!(pair.told(), want);
    pair.server.finish(StreamEnd::Unpublished, "gone");
    pair.settle();
    assert_eq!(pair.told(), [ClientEvent::Ended { code: String::new(), description: "end of stream".into() }]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn publish_and_play_whatever_the_wire_does(seed in any::<u64>()) {
        publishes("rtmp://h/live/key?token=t&x=1", "live/key", &[("token", "t"), ("x", "1")], seed);
        publishes("rtmp://h/patientStream", "patientStream", &[], seed);
        publishes("rtmp://h/patientStream?token=a/b", "patientStream", &[("token", "a/b")], seed);
        publishes("rtmp://u:p@h:1/a/b/c/d", "a/b/c/d", &[("user", "u"), ("pass", "p")], seed);
        plays("rtmp://h/doctorStream", "doctorStream", seed);
        plays("rtmp://h/app/key?token=t", "app/key", seed);
    }
}

#[test]
fn refusals() {
    let check = |purpose, reason, want: &str| {
        let mut pair = Pair::new("rtmp://h/live/key", purpose, 3);
        pair.settle();
        let (request, _) = pair.request();
        pair.server.reject(request, reason, "because");
        pair.settle();
        let refused = ClientEvent::Refused { code: want.into(), description: "because".into(), redirect: None };
        assert_eq!(pair.told(), [refused]);
        pair.server.accept(request);
        pair.settle();
        assert_eq!((pair.told(), pair.heard()), (vec![], vec![]), "an answer counts once");
    };
    check(Purpose::Publish, Reason::Denied, "NetStream.Publish.Denied");
    check(Purpose::Publish, Reason::BadName, "NetStream.Publish.BadName");
    check(Purpose::Play, Reason::NotFound, "NetStream.Play.StreamNotFound");
    check(Purpose::Play, Reason::Denied, "NetStream.Play.Failed");
    check(Purpose::Play, Reason::Unavailable, "NetStream.Failed");
}

#[test]
fn the_server_ends_it() {
    let check = |purpose, end, want: &str| {
        let mut pair = Pair::new("rtmp://h/live/key", purpose, 5);
        pair.settle();
        let (request, _) = pair.request();
        pair.server.accept(request);
        pair.settle();
        pair.told();
        pair.server.finish(end, "why");
        pair.client.send(Kind::Audio, 1, b"late", &Bytes::new());
        pair.settle();
        assert!(matches!(&pair.told()[..], [ClientEvent::Ended { code, .. }] if code == want), "{want}");
        assert_eq!(pair.heard(), [], "media of a stream that was ended is dropped");
    };
    check(Purpose::Publish, StreamEnd::Kicked, "NetStream.Publish.Rejected");
    check(Purpose::Play, StreamEnd::Stopped, "");
}

#[test]
fn pings_and_acknowledgements() {
    let mut pair = Pair::new("rtmp://h/live/key", Purpose::Publish, 9);
    pair.settle();
    let (request, _) = pair.request();
    pair.server.accept(request);
    pair.server.ping(77);
    pair.client.ping(78);
    pair.settle();
    assert!(pair.server_events.contains(&ServerEvent::Pong(77)));
    assert!(pair.client_events.contains(&ClientEvent::Pong(78)));
    let picture = Bytes::from(vec![1; 1_000_000]);
    for n in 0..6 {
        pair.client.send(Kind::Video, n, &[0x17], &picture);
    }
    assert!(pair.client.pending_output_bytes() > 6_000_000);
    pair.settle();
    let acknowledged: Vec<u64> = pair
        .client_events
        .iter()
        .filter_map(|e| if let ClientEvent::Acknowledged(bytes) = e { Some(*bytes) } else { None })
        .collect();
    assert!(acknowledged.len() >= 2 && acknowledged.is_sorted(), "{acknowledged:?}");
    assert!(acknowledged[1] >= 5_000_000);
}
