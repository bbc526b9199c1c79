//! Conversations as real clients have them.

use super::*;
use crate::rtp::{H264Payloader, Header, Packet};
use bytes::Bytes;
use media::{AacParams, ClockRate, CodecParams, MonoTime, OpusParams, Track, TrackId, TrackSet, UnitKind};
use std::sync::Arc;
use std::time::Duration;

const SDP: &str = "v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=No Name\r\nt=0 0\r\nm=video 0 RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\n\
    a=fmtp:96 packetization-mode=1; sprop-parameter-sets=Z0LADNoFB+hAAAADAEAAAAwDxQqo,aM4PyA==\r\na=control:streamid=0\r\n\
    m=audio 0 RTP/AVP 97\r\na=rtpmap:97 MPEG4-GENERIC/48000/1\r\na=fmtp:97 mode=AAC-hbr;config=1188\r\na=control:streamid=1\r\n";

struct Client(ServerSession);

impl Client {
    fn new() -> Self {
        let config = ServerConfig {
            methods: AuthMethods { basic: true, digest: true },
            tcp: true,
            udp: Some((8000, 8001)),
            timeout: Duration::from_secs(60),
        };
        Self(ServerSession::new(config, (7, 8), MonoTime::default()))
    }

    /// Sends a request and answers what came back at once.
    fn send(&mut self, text: &str) -> String {
        let text = text.replace('\n', "\r\n");
        self.0.handle_input(text.as_bytes(), MonoTime::default()).unwrap();
        self.answers()
    }

    fn answers(&mut self) -> String {
        String::from_utf8(std::mem::take(self.0.output()).to_vec()).unwrap()
    }

    /// Sends a request and grants what it asks; the answer.
    fn granted(&mut self, text: &str) -> String {
        let at_once = self.send(text);
        match self.0.poll_event() {
            None | Some(ServerEvent::Packet { .. } | ServerEvent::Paused | ServerEvent::Finished) => return at_once,
            Some(ServerEvent::Describe { request, .. }) => self.0.describe(request, offered()).unwrap(),
            Some(ServerEvent::Announce { request, .. } | ServerEvent::Record { request }) => {
                self.0.accept(request).unwrap();
            }
            Some(ServerEvent::Play { request }) => {
                let started = [Started { media: 0, sequence: 5, timestamp: Some(9) }];
                self.0.play(request, &started).unwrap();
            }
        }
        self.answers()
    }
}

fn offered() -> Presentation {
    let video = Presentation::parse(SDP.as_bytes()).unwrap().media[0].clone();
    let Format::H264(Some(params)) = video.format else { panic!("parameter sets") };
    let params = [CodecParams::H264(params), CodecParams::Opus(OpusParams::WEBRTC)];
    let track = |(id, params)| Track { id: TrackId(id), clock: ClockRate::MILLI, params: Arc::new(params) };
    Presentation::of(&(0..).zip(params).map(track).collect::<TrackSet>())
}

fn status(answer: &str) -> &str {
    answer.split(' ').nth(1).unwrap_or("none")
}

fn announce() -> String {
    format!("ANNOUNCE rtsp://h/cam RTSP/1.0\nCSeq: 1\nContent-Type: application/sdp\nContent-Length: {}\n\n", SDP.len())
}

#[test]
fn a_publisher_by_tcp() {
    let mut c = Client::new();
    assert_eq!(status(&c.send("OPTIONS rtsp://h/cam RTSP/1.0\nCSeq: 0\n\n")), "200");
    // The body's own line ends are not doubled.
    let announce = announce().replace('\n', "\r\n") + SDP;
    c.0.handle_input(announce.as_bytes(), MonoTime::default()).unwrap();
    let Some(ServerEvent::Announce { request, target, credentials: Credentials::None }) = c.0.poll_event() else {
        panic!()
    };
    assert_eq!(target.path, "cam");
    c.0.accept(request).unwrap();
    assert_eq!(status(&c.answers()), "200");
    let setup = |n: u8, channels: &str| {
        format!(
            "SETUP rtsp://h/cam/streamid={n} RTSP/1.0\nCSeq: 2\nTransport: RTP/AVP/TCP;unicast;interleaved={channels};mode=record\n\n"
        )
    };
    let answer = c.send(&setup(0, "0-1"));
    assert!(answer.contains("Transport: RTP/AVP/TCP;unicast;interleaved=0-1;mode=record\r\n"), "{answer}");
    assert!(answer.contains("Session: ") && answer.contains(";timeout=60\r\n"), "{answer}");
    let answer = c.send(&setup(1, "0-1"));
    assert!(answer.contains("interleaved=2-3"), "channels that are taken are not given twice: {answer}");
    assert_eq!(status(&c.send("PLAY rtsp://h/cam RTSP/1.0\nCSeq: 3\n\n")), "455");
    assert_eq!(status(&c.granted("RECORD rtsp://h/cam RTSP/1.0\nCSeq: 4\n\n")), "200");
    c.0.handle_input(b"$\x03\x00\x01x$\x07\x00\x01y", MonoTime::default()).unwrap();
    let packet = ServerEvent::Packet { media: 1, control: true, bytes: Bytes::from_static(b"x") };
    assert_eq!((c.0.poll_event(), c.0.poll_event()), (Some(packet), None));
    assert_eq!(status(&c.send("TEARDOWN rtsp://h/cam RTSP/1.0\nCSeq: 5\n\n")), "200");
    assert_eq!(c.0.poll_event(), Some(ServerEvent::Finished));
}

#[test]
fn a_reader_by_udp() {
    let mut c = Client::new();
    let answer = c.granted("DESCRIBE rtsp://h/cam?token=x RTSP/1.0\nCSeq: 1\nAccept: application/sdp\n\n");
    assert!(answer.contains("Content-Base: rtsp://h/cam?token=x/\r\n"), "{answer}");
    assert!(answer.contains("a=control:trackID=1\r\n"), "{answer}");
    let setup = |n: u8, transport: &str| {
        format!("SETUP rtsp://h/cam?token=x/trackID={n} RTSP/1.0\nCSeq: 2\nTransport: {transport}\n\n")
    };
    assert_eq!(status(&c.send(&setup(0, "RTP/AVP;multicast"))), "461");
    let answer = c.send(&setup(0, "RTP/AVP;multicast,RTP/AVP;unicast;client_port=5000-5001"));
    assert!(answer.contains("client_port=5000-5001;server_port=8000-8001;ssrc="), "{answer}");
    assert_eq!(status(&c.send(&setup(1, "RTP/AVP/TCP;interleaved=0-1"))), "461", "all tracks go one way");
    assert_eq!(status(&c.send(&setup(1, "RTP/AVP;client_port=5000-5001"))), "461", "and not to one port");
    assert_eq!(status(&c.send(&setup(7, "RTP/AVP;client_port=5002-5003"))), "404");
    assert_eq!(status(&c.send(&setup(1, "RTP/AVP;client_port=5002-5003"))), "200");
    let answer = c.granted("PLAY rtsp://h/cam?token=x/ RTSP/1.0\nCSeq: 3\nRange: npt=0.000-\n\n");
    assert!(answer.contains("RTP-Info: url=rtsp://h/cam?token=x/trackID=0;seq=5;rtptime=9\r\n"), "{answer}");
    assert_eq!(status(&c.send(&setup(1, "RTP/AVP;client_port=5002-5003"))), "455");
    assert_eq!(status(&c.granted("PAUSE rtsp://h/cam RTSP/1.0\nCSeq: 4\n\n")), "200");
    assert_eq!(status(&c.granted("PLAY rtsp://h/cam RTSP/1.0\nCSeq: 5\n\n")), "200");
}

#[test]
fn a_reader_that_knows_the_description() {
    let mut c = Client::new();
    let answer = c.granted("SETUP rtsp://h/cam/trackID=1 RTSP/1.0\nCSeq: 1\nTransport: RTP/AVP/TCP\n\n");
    assert!(answer.contains("interleaved=0-1;ssrc="), "{answer}");
    assert_eq!(c.0.setups()[0].media, 1);
    let elsewhere = "SETUP rtsp://h/other/trackID=1 RTSP/1.0\nCSeq: 2\nTransport: RTP/AVP/TCP\n\n";
    assert_eq!(status(&c.send(elsewhere)), "459");
}

#[test]
fn refusals() {
    let check = |text: &str, want: &str| {
        let mut c = Client::new();
        let answer = c.send(text);
        assert_eq!(status(&answer), want, "{text}: {answer}");
    };
    check("OPTIONS * RTSP/1.0\n\n", "400");
    check("OPTIONS * RTSP/2.0\nCSeq: 1\n\n", "505");
    check("DESCRIBE rtsp://h/a RTSP/1.0\nCSeq: 1\nRequire: www.onvif.org/ver20/backchannel\n\n", "551");
    check("DESCRIBE rtsp://h/a RTSP/1.0\nCSeq: 1\nAccept: text/html\n\n", "406");
    check("ANNOUNCE rtsp://h/a RTSP/1.0\nCSeq: 1\nContent-Type: text/html\n\n", "415");
    check("ANNOUNCE rtsp://h/a RTSP/1.0\nCSeq: 1\n\n", "400");
    check("PLAY rtsp://h/a RTSP/1.0\nCSeq: 1\n\n", "455");
    check("PLAY rtsp://h/a RTSP/1.0\nCSeq: 1\nSession: 12\n\n", "454");
    check("TEARDOWN rtsp://h/a RTSP/1.0\nCSeq: 1\n\n", "454");
    check("REDIRECT rtsp://h/a RTSP/1.0\nCSeq: 1\n\n", "501");
    check("GET_PARAMETER rtsp://h/a RTSP/1.0\nCSeq: 1\n\n", "200");
    check("SET_PARAMETER rtsp://h/a RTSP/1.0\nCSeq: 1\nContent-Length: 4\n\na: b", "451");
}

#[test]
fn denied_then_granted() {
    let mut c = Client::new();
    c.send("DESCRIBE rtsp://h/a RTSP/1.0\nCSeq: 1\n\n");
    let Some(ServerEvent::Describe { request, .. }) = c.0.poll_event() else { panic!() };
    // Its follower waits for the answer.
    assert_eq!(c.send("OPTIONS rtsp://h/a RTSP/1.0\nCSeq: 2\n\n"), "");
    c.0.reject(request, RtspReason::Denied).unwrap();
    let answers = c.answers();
    assert_eq!(status(&answers), "401");
    assert_eq!(answers.matches("WWW-Authenticate: Digest realm=").count(), 2, "{answers}");
    assert!(answers.contains("WWW-Authenticate: Basic realm="), "{answers}");
    let (one, two) = (answers.find("CSeq: 1\r\n").unwrap(), answers.find("CSeq: 2\r\n").unwrap());
    assert!(one < two);
    c.send("DESCRIBE rtsp://h/a RTSP/1.0\nCSeq: 3\nAuthorization: Basic dTpw\n\n");
    let Some(ServerEvent::Describe { credentials, .. }) = c.0.poll_event() else { panic!() };
    assert_eq!(credentials, Credentials::Basic("u".into(), "p".into()));
}

#[test]
fn a_flood_behind_a_request_ends() {
    let mut c = Client::new();
    c.send("DESCRIBE rtsp://h/a RTSP/1.0\nCSeq: 1\n\n");
    let result = c.0.handle_input(&[b'\n'; 300 << 10], MonoTime::default());
    assert_eq!(result, Err(RtspError::Flood(300 << 10)));
}

fn at(ms: u64) -> MonoTime {
    MonoTime::from_micros(ms * 1000)
}

/// Our egress into our ingest: what goes in comes out, in step from the first unit.
#[test]
fn there_and_back() {
    let video = Presentation::parse(SDP.as_bytes()).unwrap().media[0].clone();
    let Format::H264(Some(h264)) = video.format else { panic!("parameter sets") };
    let h264 = Arc::new(CodecParams::H264(h264));
    let aac = Arc::new(CodecParams::Aac(AacParams::lc(48_000, 2).unwrap()));
    let tracks: TrackSet = [(0, &h264), (1, &aac)]
        .map(|(id, params)| Track { id: TrackId(id), clock: ClockRate::MILLI, params: Arc::clone(params) })
        .into_iter()
        .collect();
    let presentation = Presentation::of(&tracks);
    let setups = [0, 1].map(|media| Setup { media, transport: Transport::Interleaved { rtp: 0, rtcp: 1 }, ssrc: 5 });
    let mut egress = Egress::new(&presentation, &setups, 99);
    assert!(egress.tracks(&tracks));
    let mut ingest = Ingest::new(&presentation, &[0, 1], Duration::ZERO, 1);
    let unit = |track: u8, ms: i64, key: bool| {
        let (params, kind, payload) = match track {
            0 => (&h264, if key { UnitKind::Key } else { UnitKind::Delta }, picture(key)),
            _ => (&aac, UnitKind::Audio, Bytes::from_static(&[1, 2, 3])),
        };
        let time = media::MediaTime::new(ms, ClockRate::MILLI);
        media::AccessUnit {
            track: TrackId(track),
            dts: time,
            pts: time,
            duration: None,
            kind,
            captured: None,
            params: Arc::clone(params),
            payload,
        }
    };
    let sent = [(0, 1000, true), (1, 1010, false), (0, 1040, false), (1, 1031, false), (0, 1080, false)];
    for (n, (track, ms, key)) in (0_u64..).zip(sent) {
        let unit = unit(track, ms, key);
        if n == 0 {
            egress.begin(&unit, at(500), at(600), 1_700_000_000_000_000);
            for (media, report) in egress.reports(at(600)) {
                ingest.rtcp(media, &report, at(600));
            }
        }
        let payloads = payloads(&unit);
        egress.packets(&unit, &payloads, |packet| {
            let bytes = [&packet.header[..], &packet.payload].concat();
            ingest.rtp(packet.media, &bytes.into(), at(700 + n));
        });
    }
    let mut units = Vec::new();
    while let Some(out) = ingest.poll() {
        match out {
            Ingested::Tracks(known) => assert_eq!((known.len(), units.len()), (2, 0)),
            Ingested::Unit(unit, _) => units.push((unit.track.0, unit.pts.millis(), unit.kind, unit.payload)),
        }
    }
    units.sort_by_key(|(_, time, ..)| *time);
    let zero = units[0].1;
    let got: Vec<_> =
        units.iter().map(|(track, time, kind, _)| (*track, time - zero, *kind == UnitKind::Key)).collect();
    assert_eq!(got, [(0, 0, true), (1, 10, false), (1, 31, false), (0, 40, false), (0, 80, false)]);
    assert_eq!(units[0].3, picture(true));
    assert_eq!((ingest.stats().packets, ingest.stats().lost, ingest.stats().in_error), (egress.sent(), 0, 0));
    assert_eq!(ingest.reports(at(1000)).len(), 2);
}

/// Length-prefixed, larger than a packet.
fn picture(key: bool) -> Bytes {
    let mut out = Vec::new();
    media::append_length_prefixed(&mut out, &[if key { 0x65 } else { 0x41 }; 3000]);
    out.into()
}

#[test]
fn a_publisher_without_reports_and_with_loss() {
    let presentation = Presentation::parse(SDP.as_bytes()).unwrap();
    let mut ingest = Ingest::new(&presentation, &[0], Duration::from_millis(50), 1);
    let mut sequence = 0_u16;
    let mut send = |ingest: &mut Ingest, ms: u32, key: bool, drop: bool| {
        let slice = [if key { 0x65 } else { 0x41 }; 3000];
        let payloads = H264Payloader::new(1200).payload([&slice[..]]);
        for (i, payload) in payloads.iter().enumerate() {
            let header =
                Header { marker: i + 1 == payloads.len(), payload_type: 96, sequence, timestamp: ms * 90, ssrc: 3 };
            sequence += 1;
            if !(drop && i == 1) {
                ingest.rtp(0, &Packet { header, payload: payload.clone() }.to_bytes(), at(u64::from(ms)));
            }
        }
    };
    let got = |ingest: &mut Ingest| {
        std::iter::from_fn(|| ingest.poll())
            .filter_map(|out| match out {
                Ingested::Unit(unit, _) => Some((unit.kind, unit.dts.millis())),
                Ingested::Tracks(_) => None,
            })
            .collect::<Vec<_>>()
    };
    // The first picture's beginning cannot be known from one packet; it has no parameter sets in the stream.
    send(&mut ingest, 0, false, false);
    send(&mut ingest, 40, true, false);
    assert_eq!((got(&mut ingest), ingest.deadline()), (vec![], Some(at(600))), "held for a report");
    ingest.advance(at(600));
    assert_eq!(got(&mut ingest), [(UnitKind::Key, 40)]);
    send(&mut ingest, 640, false, true);
    send(&mut ingest, 680, false, false);
    assert_eq!(got(&mut ingest), [], "waits for the missing packet");
    ingest.advance(at(800));
    send(&mut ingest, 840, true, false);
    assert_eq!(got(&mut ingest), [(UnitKind::Key, 840)], "nothing without its reference");
    assert_eq!((ingest.stats().lost, ingest.stats().in_error), (1, 2));
}
