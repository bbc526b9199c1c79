//! Against `rml_rtmp`, an implementation none of ours: its server with our client, its client with our server.

use super::*;
use rml_rtmp::handshake::{Handshake as Theirs, HandshakeProcessResult, PeerType};
use rml_rtmp::sessions::{
    ClientSession as TheirClient, ClientSessionConfig, ClientSessionEvent, ClientSessionResult, PublishRequestType,
    ServerSession as TheirServer, ServerSessionConfig, ServerSessionEvent, ServerSessionResult,
};
use rml_rtmp::time::RtmpTimestamp;

/// Their handshake, until chunks follow; those that came along are left in the answer.
struct Opening {
    handshake: Option<Theirs>,
}

impl Opening {
    fn new(side: PeerType) -> Self {
        Self { handshake: Some(Theirs::new(side)) }
    }

    /// Bytes for the other side, and bytes that are chunks already.
    fn take(&mut self, bytes: &[u8]) -> (Vec<u8>, Vec<u8>) {
        let Some(handshake) = &mut self.handshake else { return (Vec::new(), bytes.to_vec()) };
        match handshake.process_bytes(bytes).unwrap() {
            HandshakeProcessResult::InProgress { response_bytes } => (response_bytes, Vec::new()),
            HandshakeProcessResult::Completed { response_bytes, remaining_bytes } => {
                self.handshake = None;
                (response_bytes, remaining_bytes)
            }
        }
    }
}

/// What is sent through: sizes around every chunk size in play, times that rise, stand still and pass 24 bits.
fn samples() -> Vec<Media> {
    let times = [0, 0, 20, 40, 60, 60, 100, 0x00FF_FFFE, 0x00FF_FFFF, 0x0100_0000, 0x0100_0028];
    let sizes = [7, 127, 128, 129, 4096, 4097, 65_535, 65_536, 65_537, 200_000, 3];
    let mut all = Vec::new();
    for (n, (time, size)) in times.into_iter().zip(sizes).enumerate() {
        all.push(media(Kind::Video, time, &vec![0x27; size]));
        all.push(media(Kind::Audio, time, &vec![n as u8; size / 10 + 1]));
    }
    all
}

/// Our client and their server, until neither has more to say.
struct TheirServerRun {
    opening: Opening,
    server: TheirServer,
    to_client: Vec<u8>,
    got: Vec<Media>,
    finished: usize,
    /// Message stream of an accepted player.
    playing: Option<u32>,
}

impl TheirServerRun {
    fn new() -> Self {
        let (server, first) = TheirServer::new(ServerSessionConfig::new()).unwrap();
        let mut run = Self {
            opening: Opening::new(PeerType::Server),
            server,
            to_client: Vec::new(),
            got: Vec::new(),
            finished: 0,
            playing: None,
        };
        let mut early = Vec::new();
        run.results(first, &mut early);
        // What their server says at once may only follow its handshake.
        run.to_client = early;
        run
    }

    fn settle(&mut self, client: &mut ClientSession) -> Vec<ClientEvent> {
        let mut events = Vec::new();
        loop {
            let up = client.take_output().to_vec();
            let mut down = Vec::new();
            if !up.is_empty() {
                let opening = self.opening.handshake.is_some();
                let (response, chunks) = self.opening.take(&up);
                down.extend(response);
                if opening && self.opening.handshake.is_none() {
                    down.append(&mut self.to_client);
                }
                if !chunks.is_empty() {
                    let results = self.server.handle_input(&chunks).unwrap();
                    self.results(results, &mut down);
                }
            }
            if self.opening.handshake.is_none() {
                down.append(&mut self.to_client);
            }
            for piece in down.chunks(1000) {
                client.handle_input(piece).unwrap();
            }
            events.extend(std::iter::from_fn(|| client.poll_event()));
            if up.is_empty() && down.is_empty() {
                return events;
            }
        }
    }

    fn results(&mut self, results: Vec<ServerSessionResult>, out: &mut Vec<u8>) {
        for result in results {
            match result {
                ServerSessionResult::OutboundResponse(packet) => out.extend(packet.bytes),
                ServerSessionResult::RaisedEvent(event) => self.event(event, out),
                ServerSessionResult::UnhandleableMessageReceived(payload) => {
                    panic!("their server cannot handle type {}", payload.type_id);
                }
            }
        }
    }

    fn event(&mut self, event: ServerSessionEvent, out: &mut Vec<u8>) {
        let request = match event {
            ServerSessionEvent::ConnectionRequested { request_id, app_name } => {
                assert_eq!(app_name, "live");
                request_id
            }
            ServerSessionEvent::ReleaseStreamRequested { request_id, .. } => request_id,
            ServerSessionEvent::PublishStreamRequested { request_id, stream_key, .. } => {
                assert_eq!(stream_key, "key");
                request_id
            }
            ServerSessionEvent::PlayStreamRequested { request_id, stream_key, stream_id, .. } => {
                assert_eq!(stream_key, "key");
                self.playing = Some(stream_id);
                request_id
            }
            ServerSessionEvent::VideoDataReceived { data, timestamp, .. } => {
                return self.got.push(media(Kind::Video, timestamp.value, &data));
            }
            ServerSessionEvent::AudioDataReceived { data, timestamp, .. } => {
                return self.got.push(media(Kind::Audio, timestamp.value, &data));
            }
            ServerSessionEvent::PublishStreamFinished { .. } => {
                self.finished += 1;
                return;
            }
            _ => return,
        };
        // Their server answers releaseStream by itself; an error here says just that.
        if let Ok(results) = self.server.accept_request(request) {
            self.results(results, out);
        }
    }
}

#[test]
fn our_client_publishes_to_their_server() {
    let mut run = TheirServerRun::new();
    let mut client = ClientSession::new(ClientConfig::new(url("rtmp://h/live/key"), Purpose::Publish), 4);
    let events = run.settle(&mut client);
    assert!(matches!(&events[..], [ClientEvent::Connected(_), ClientEvent::Publishing]), "{events:?}");
    let all = samples();
    for m in &all {
        client.send(m.kind, m.timestamp, &m.body[..1], &m.body.slice(1..));
    }
    run.settle(&mut client);
    assert_eq!(run.got, all);
    client.finish();
    run.settle(&mut client);
    assert_eq!(run.finished, 1);
}

#[test]
fn our_client_plays_from_their_server() {
    let mut run = TheirServerRun::new();
    let mut client = ClientSession::new(ClientConfig::new(url("rtmp://h/live/key"), Purpose::Play), 4);
    let events = run.settle(&mut client);
    assert!(matches!(&events[..], [ClientEvent::Connected(_), ClientEvent::Playing]), "{events:?}");
    let stream = run.playing.unwrap();
    let all = samples();
    for m in &all {
        let time = RtmpTimestamp::new(m.timestamp);
        let packet = match m.kind {
            Kind::Video => run.server.send_video_data(stream, m.body.clone(), time, false).unwrap(),
            Kind::Audio | Kind::Data => run.server.send_audio_data(stream, m.body.clone(), time, false).unwrap(),
        };
        run.to_client.extend(packet.bytes);
    }
    let got = run.settle(&mut client);
    assert_eq!(got, all.into_iter().map(ClientEvent::Media).collect::<Vec<_>>());
}

/// Their client and our server.
struct TheirClientRun {
    opening: Opening,
    client: TheirClient,
    to_server: Vec<u8>,
    events: Vec<ClientSessionEvent>,
}

impl TheirClientRun {
    fn new(server: &mut ServerSession) -> Self {
        let mut handshake = Theirs::new(PeerType::Client);
        let to_server = handshake.generate_outbound_p0_and_p1().unwrap();
        let (client, results) = TheirClient::new(ClientSessionConfig::new()).unwrap();
        assert!(results.is_empty());
        let opening = Opening { handshake: Some(handshake) };
        let mut run = Self { opening, client, to_server, events: Vec::new() };
        run.settle(server);
        assert!(run.opening.handshake.is_none(), "the handshake is over");
        let request = run.client.request_connection("live".into()).unwrap();
        run.results(vec![request]);
        run.settle(server);
        assert_eq!(run.events, [ClientSessionEvent::ConnectionRequestAccepted]);
        run
    }

    fn settle(&mut self, server: &mut ServerSession) {
        loop {
            let up = std::mem::take(&mut self.to_server);
            for piece in up.chunks(777) {
                server.handle_input(piece).unwrap();
            }
            let down = server.take_output().to_vec();
            if !down.is_empty() {
                let (response, chunks) = self.opening.take(&down);
                self.to_server.extend(response);
                if !chunks.is_empty() {
                    let results = self.client.handle_input(&chunks).unwrap();
                    self.results(results);
                }
            }
            if up.is_empty() && down.is_empty() {
                return;
            }
        }
    }

    fn results(&mut self, results: Vec<ClientSessionResult>) {
        for result in results {
            match result {
                ClientSessionResult::OutboundResponse(packet) => self.to_server.extend(packet.bytes),
                ClientSessionResult::RaisedEvent(event) => self.events.push(event),
                // Their client has no answer to Set Peer Bandwidth; all else it must know.
                ClientSessionResult::UnhandleableMessageReceived(payload) => {
                    assert_eq!(payload.type_id, kind::SET_PEER_BANDWIDTH);
                }
            }
        }
    }
}

/// The request our server must have heard last.
fn request(server: &mut ServerSession) -> RequestId {
    match std::iter::from_fn(|| server.poll_event()).last() {
        Some(ServerEvent::Publish { request, target } | ServerEvent::Play { request, target }) => {
            assert_eq!(target.path, "live/key");
            request
        }
        other => panic!("a request, not {other:?}"),
    }
}

#[test]
fn their_client_publishes_to_our_server() {
    let mut server = ServerSession::new(ServerConfig::default(), 8);
    let mut run = TheirClientRun::new(&mut server);
    let publish = run.client.request_publishing("key".into(), PublishRequestType::Live).unwrap();
    run.results(vec![publish]);
    run.settle(&mut server);
    let request = request(&mut server);
    server.accept(request);
    run.settle(&mut server);
    assert!(run.events.contains(&ClientSessionEvent::PublishRequestAccepted), "{:?}", run.events);
    let all = samples();
    for m in &all {
        let time = RtmpTimestamp::new(m.timestamp);
        let result = match m.kind {
            Kind::Video => run.client.publish_video_data(m.body.clone(), time, false).unwrap(),
            Kind::Audio | Kind::Data => run.client.publish_audio_data(m.body.clone(), time, false).unwrap(),
        };
        run.results(vec![result]);
    }
    run.settle(&mut server);
    let got: Vec<_> = std::iter::from_fn(|| server.poll_event()).collect();
    assert_eq!(got, all.into_iter().map(ServerEvent::Media).collect::<Vec<_>>());
    let results = run.client.stop_publishing().unwrap();
    run.results(results);
    run.settle(&mut server);
    assert_eq!(server.poll_event(), Some(ServerEvent::PublishFinished(request)));
}

#[test]
fn their_client_plays_from_our_server() {
    let mut server = ServerSession::new(ServerConfig::default(), 8);
    let mut run = TheirClientRun::new(&mut server);
    let play = run.client.request_playback("key".into()).unwrap();
    run.results(vec![play]);
    run.settle(&mut server);
    let request = request(&mut server);
    server.accept(request);
    let all = samples();
    for m in &all {
        server.send(m.kind, m.timestamp, &m.body[..1], &m.body.slice(1..));
    }
    run.settle(&mut server);
    assert!(run.events.contains(&ClientSessionEvent::PlaybackRequestAccepted), "{:?}", run.events);
    let got: Vec<Media> = run
        .events
        .into_iter()
        .filter_map(|event| match event {
            ClientSessionEvent::VideoDataReceived { timestamp, data } => {
                Some(media(Kind::Video, timestamp.value, &data))
            }
            ClientSessionEvent::AudioDataReceived { timestamp, data } => {
                Some(media(Kind::Audio, timestamp.value, &data))
            }
            _ => None,
        })
        .collect();
    assert_eq!(got, all);
}
