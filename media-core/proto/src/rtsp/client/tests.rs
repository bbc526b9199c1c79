//! The client against our own server machine.

use super::*;
use crate::rtsp::{AuthMethods, Credentials, RtspReason, ServerConfig, ServerEvent, ServerSession};
use media::MonoTime;
use std::time::Duration;

const SDP: &[u8] = b"v=0\r\ns=x\r\nt=0 0\r\nm=audio 0 RTP/AVP 0\r\na=control:trackID=0\r\nm=audio 0 RTP/AVP 8\r\na=control:trackID=1\r\n";

fn client(url: &str) -> ClientSession {
    ClientSession::new(RtspUrl::parse(url).unwrap(), Presentation::parse(SDP).unwrap(), 0x1234_5678_9ABC_DEF0)
}

fn server(methods: AuthMethods) -> ServerSession {
    let config = ServerConfig { methods, tcp: true, udp: None, timeout: Duration::from_secs(60) };
    ServerSession::new(config, (1, 2), MonoTime::default())
}

/// Lets both speak until neither has more to say. The server wants this password, if any.
fn converse(client: &mut ClientSession, server: &mut ServerSession, want: Option<&str>) -> Vec<ServerEvent> {
    let mut seen = Vec::new();
    loop {
        let to_server = std::mem::take(client.output()).to_vec();
        let to_client = std::mem::take(server.output()).to_vec();
        if to_server.is_empty() && to_client.is_empty() {
            return seen;
        }
        server.handle_input(&to_server, MonoTime::default()).unwrap();
        client.handle_input(&to_client).unwrap();
        while let Some(event) = server.poll_event() {
            match &event {
                ServerEvent::Announce { request, credentials, .. } => {
                    let right = match credentials {
                        Credentials::Digest(proof) => want.is_some_and(|want| proof.is_of(want)),
                        Credentials::Basic(_, password) => want == Some(password.as_str()),
                        Credentials::None | Credentials::Bearer(_) => want.is_none(),
                    };
                    let answered =
                        if right { server.accept(*request) } else { server.reject(*request, RtspReason::Denied) };
                    answered.unwrap();
                }
                ServerEvent::Record { request } => server.accept(*request).unwrap(),
                _ => {}
            }
            seen.push(event);
        }
    }
}

#[test]
fn a_stream_is_published_and_ended() {
    let (mut client, mut server) =
        (client("rtsp://h/a/cam?token=t"), server(AuthMethods { basic: true, digest: true }));
    client.send(0, b"early", &Bytes::new());
    let seen = converse(&mut client, &mut server, None);
    let ServerEvent::Announce { target, .. } = &seen[0] else { panic!("{seen:?}") };
    assert_eq!((target.path.as_str(), target.query.as_str()), ("a/cam", "token=t"));
    assert_eq!(client.poll_event(), Some(ClientEvent::Publishing));
    assert_eq!((client.setups().len(), server.setups().len()), (2, 2));
    client.send(2, b"head", &Bytes::from_static(b"body"));
    let packet = ServerEvent::Packet { media: 1, control: false, bytes: Bytes::from_static(b"headbody") };
    assert_eq!(converse(&mut client, &mut server, None), [packet]);
    server.send(3, &[], &Bytes::from_static(b"report"));
    client.keep_alive();
    assert_eq!(converse(&mut client, &mut server, None), []);
    assert_eq!(client.poll_event(), Some(ClientEvent::Report { media: 1, bytes: Bytes::from_static(b"report") }));
    client.finish();
    assert_eq!(converse(&mut client, &mut server, None), [ServerEvent::Finished]);
}

#[test]
fn passwords() {
    for methods in [AuthMethods { basic: true, digest: false }, AuthMethods { basic: true, digest: true }] {
        let check = |url: &str, want: Option<ClientEvent>| {
            let (mut client, mut server) = (client(url), server(methods));
            converse(&mut client, &mut server, Some("s:e\"cret"));
            assert_eq!(client.poll_event(), want, "{url} {methods:?}");
        };
        let refused = || Some(ClientEvent::Refused { status: 401, reason: "Unauthorized".into() });
        check("rtsp://cam:s:e%22cret@h/cam", Some(ClientEvent::Publishing));
        check("rtsp://cam:other@h/cam", refused());
        check("rtsp://h/cam", refused());
    }
}

/// The example of RFC 7616 §3.9.1, with a client nonce of ours.
#[test]
fn digest_with_a_quality_of_protection() {
    let challenge = "Digest realm=\"http-auth@example.org\", qop=\"auth, auth-int\", algorithm=SHA-256, \
        nonce=\"7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v\", opaque=\"FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS\"";
    let mut auth = Answerer::choose(&["Basic realm=x", challenge], 7).unwrap();
    let first = auth.answer("Mufasa", "Circle of Life", "GET", "/dir/index.html");
    assert!(first.contains("nc=00000001, cnonce=\"0000000000000007\", qop=auth"), "{first}");
    assert!(first.contains("opaque=\"FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS\""), "{first}");
    assert!(auth.answer("Mufasa", "Circle of Life", "GET", "/dir/index.html").contains("nc=00000002"));
    assert!(Answerer::choose(&["Digest realm=x, nonce=y, algorithm=MD4", "Negotiate"], 7).is_none());
}

#[test]
fn what_servers_say_is_bounded() {
    let mut client = client("rtsp://h/cam");
    assert!(client.handle_input(&[b'R'; 70_000]).is_err());
}

/// Lets a server that has `sdp` play it to a client of `url`; what both saw.
fn play(url: &str, sdp: &'static [u8], want: Option<&str>) -> (ClientSession, ServerSession, Vec<ClientEvent>) {
    let (mut client, mut server) =
        (ClientSession::playing(RtspUrl::parse(url).unwrap(), 7), server(AuthMethods { basic: false, digest: true }));
    let mut seen = Vec::new();
    loop {
        let to_server = std::mem::take(client.output()).to_vec();
        let to_client = std::mem::take(server.output()).to_vec();
        if to_server.is_empty() && to_client.is_empty() {
            return (client, server, seen);
        }
        server.handle_input(&to_server, MonoTime::default()).unwrap();
        client.handle_input(&to_client).unwrap();
        while let Some(event) = server.poll_event() {
            match &event {
                ServerEvent::Describe { request, credentials, .. } => {
                    let right = match credentials {
                        Credentials::Digest(proof) => want.is_some_and(|want| proof.is_of(want)),
                        _ => want.is_none(),
                    };
                    if right {
                        server.describe(*request, Presentation::parse(sdp).unwrap()).unwrap();
                    } else {
                        server.reject(*request, RtspReason::Denied).unwrap();
                    }
                }
                ServerEvent::Play { request } => server.play(*request, &[]).unwrap(),
                _ => {}
            }
        }
        seen.extend(std::iter::from_fn(|| client.poll_event()));
    }
}

#[test]
fn a_stream_is_played_and_ended() {
    let (mut client, mut server, seen) = play("rtsps://cam:s3cret@h/a/cam?token=t", SDP, Some("s3cret"));
    assert_eq!(seen, [ClientEvent::SetUp]);
    assert_eq!((client.setups().len(), server.setups().len()), (2, 2));
    server.send(2, b"head", &Bytes::from_static(b"body"));
    server.send(3, b"", &Bytes::from_static(b"report"));
    client.handle_input(&std::mem::take(server.output()).to_vec()).unwrap();
    let packet =
        |control, bytes: &'static [u8]| ClientEvent::Packet { media: 1, control, bytes: Bytes::from_static(bytes) };
    assert_eq!(client.poll_event(), Some(packet(false, b"headbody")));
    assert_eq!(client.poll_event(), Some(packet(true, b"report")));
    client.keep_alive();
    client.finish();
    server.handle_input(&std::mem::take(client.output()).to_vec(), MonoTime::default()).unwrap();
    assert_eq!(std::iter::from_fn(|| server.poll_event()).last(), Some(ServerEvent::Finished));
}

#[test]
fn what_cannot_be_played_is_said() {
    let (_, _, seen) = play("rtsps://h/cam", SDP, Some("s3cret"));
    assert_eq!(seen, [ClientEvent::Refused { status: 401, reason: "Unauthorized".into() }]);
    let strange = b"v=0\r\ns=x\r\nt=0 0\r\nm=video 0 RTP/AVP 96\r\na=rtpmap:96 theora/90000\r\na=control:trackID=0\r\n";
    let (_, _, seen) = play("rtsps://h/cam", strange, None);
    assert_eq!(seen, [ClientEvent::Unplayable(Unplayable::Nothing(vec!["THEORA".into()]))]);
}

/// A camera's own way of naming things: a base of its own, a control for the whole, one that is a whole URL, a short timeout.
#[test]
fn controls() {
    let mut client = ClientSession::playing(RtspUrl::parse("rtsps://h/cam?ch=1").unwrap(), 7);
    let asked = |client: &mut ClientSession| {
        let text = String::from_utf8(std::mem::take(client.output()).to_vec()).unwrap();
        text.lines().next().unwrap().to_owned()
    };
    let answer = |client: &mut ClientSession, cseq: u32, rest: &str| {
        client.handle_input(format!("RTSP/1.0 200 OK\r\nCSeq: {cseq}\r\n{rest}").as_bytes()).unwrap();
    };
    assert_eq!(asked(&mut client), "OPTIONS rtsps://h/cam?ch=1 RTSP/1.0");
    answer(&mut client, 1, "Public: PLAY\r\n\r\n");
    assert_eq!(asked(&mut client), "DESCRIBE rtsps://h/cam?ch=1 RTSP/1.0");
    let sdp = "v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=x\r\nt=0 0\r\na=control:whole\r\nm=application 0 RTP/AVP 107\r\na=control:meta\r\n\
        m=audio 0 RTP/AVP 0\r\na=control:sound/\r\nm=audio 0 RTP/AVP 8\r\na=control:rtsps://h/other/2\r\n";
    answer(&mut client, 2, &format!("Content-Base: rtsps://h/base/\r\nContent-Length: {}\r\n\r\n{sdp}", sdp.len()));
    assert_eq!(asked(&mut client), "SETUP rtsps://h/base/sound/ RTSP/1.0");
    answer(&mut client, 3, "Session: 9;timeout=20\r\nTransport: RTP/AVP/TCP;interleaved=4-5\r\n\r\n");
    assert_eq!(asked(&mut client), "SETUP rtsps://h/other/2 RTSP/1.0");
    answer(&mut client, 4, "Session: 9\r\nTransport: RTP/AVP/TCP\r\n\r\n$\x04");
    assert_eq!(asked(&mut client), "PLAY rtsps://h/base/whole RTSP/1.0");
    // A packet that overtakes the answer to PLAY.
    client.handle_input(b"\x00\x01x").unwrap();
    answer(&mut client, 5, "\r\n");
    assert_eq!(client.poll_event(), Some(ClientEvent::SetUp));
    let packet = ClientEvent::Packet { media: 1, control: false, bytes: Bytes::from_static(b"x") };
    assert_eq!((client.poll_event(), client.timeout()), (Some(packet), Duration::from_secs(20)));
    client.finish();
    assert_eq!(asked(&mut client), "TEARDOWN rtsps://h/base/whole RTSP/1.0");
}
