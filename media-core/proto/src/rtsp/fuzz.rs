//! Entry points for the fuzzers: messages and frames, the transport header, descriptions, a whole conversation.

use super::{
    AuthMethods, ClientEvent, ClientSession, Presentation, RtspReason, RtspUrl, ServerConfig, ServerEvent,
    ServerSession, Target, Transport, parse_transports,
};
use media::MonoTime;
use std::time::Duration;

/// A connection that grants everything, in pieces of the length that the first byte says.
pub fn fuzz_rtsp_server(data: &[u8]) {
    let Some((&step, bytes)) = data.split_first() else { return };
    let methods = AuthMethods { basic: true, digest: true };
    let config = ServerConfig { methods, tcp: true, udp: Some((8000, 8001)), timeout: Duration::from_secs(60) };
    let mut session = ServerSession::new(config, (1, 2), MonoTime::default());
    for piece in bytes.chunks(usize::from(step).max(1)) {
        let mut result = session.handle_input(piece, MonoTime::default());
        while let Some(event) = session.poll_event() {
            let answered = match event {
                ServerEvent::Describe { request, .. } => {
                    let known =
                        Presentation::parse(b"v=0\r\ns=x\r\nt=0 0\r\nm=audio 0 RTP/AVP 0\r\na=control:trackID=0\r\n");
                    known.map_or(Ok(()), |known| session.describe(request, known))
                }
                ServerEvent::Announce { request, .. } | ServerEvent::Record { request } => session.accept(request),
                ServerEvent::Play { request } if step % 2 == 0 => session.play(request, &[]),
                ServerEvent::Play { request } => session.reject(request, RtspReason::Denied),
                ServerEvent::Paused | ServerEvent::Finished | ServerEvent::Packet { .. } => Ok(()),
            };
            result = result.and(answered);
        }
        let mut channels: Vec<u8> = Vec::new();
        for setup in session.setups() {
            if let Transport::Interleaved { rtp, rtcp } = setup.transport {
                channels.extend([rtp, rtcp]);
            }
        }
        let count = channels.len();
        channels.sort_unstable();
        channels.dedup();
        assert_eq!(channels.len(), count, "no channel twice");
        let answers = std::mem::take(session.output()).to_vec();
        assert!(answers.is_empty() || answers.starts_with(b"RTSP/1.0 "), "answers are answers");
        if result.is_err() {
            return;
        }
    }
}

/// A server that says anything at all, in pieces of the length that the first byte says.
pub fn fuzz_rtsp_client(data: &[u8]) {
    let Some((&step, bytes)) = data.split_first() else { return };
    let presentation = Presentation::parse(b"v=0\r\ns=x\r\nt=0 0\r\nm=audio 0 RTP/AVP 0\r\nm=audio 0 RTP/AVP 8\r\n");
    let (Ok(url), Ok(presentation)) = (RtspUrl::parse("rtsp://u:p@h/a"), presentation) else { return };
    let mut session = ClientSession::new(url, presentation, 1);
    for piece in bytes.chunks(usize::from(step).max(1)) {
        let result = session.handle_input(piece);
        session.send(0, b"header", &bytes::Bytes::new());
        while session.poll_event().is_some() {}
        // An answer makes one request at most, which may repeat a nonce of 16 KiB; and there are two tracks.
        assert!(session.pending_output_bytes() < 1 << 20, "bounded");
        if result.is_err() {
            return;
        }
        std::mem::take(session.output());
    }
    session.finish();
}

/// The same, of whom a stream is asked.
pub fn fuzz_rtsp_player(data: &[u8]) {
    let Some((&step, bytes)) = data.split_first() else { return };
    let Ok(url) = RtspUrl::parse("rtsps://u:p@h/a") else { return };
    let mut session = ClientSession::playing(url, 1);
    for piece in bytes.chunks(usize::from(step).max(1)) {
        let result = session.handle_input(piece);
        while let Some(event) = session.poll_event() {
            if let ClientEvent::Packet { media, .. } = event {
                assert!(media < session.presentation().media.len(), "of a track that was described");
            }
        }
        assert!(session.pending_output_bytes() < 1 << 20, "bounded");
        if result.is_err() {
            return;
        }
        std::mem::take(session.output());
    }
    session.keep_alive();
    session.finish();
}

/// A `Transport` header.
pub fn fuzz_rtsp_transport(data: &[u8]) {
    if let Ok(text) = std::str::from_utf8(data) {
        assert!(parse_transports(text).len() <= 8, "bounded");
    }
}

/// A session description; what is understood is written and read back the same.
pub fn fuzz_rtsp_sdp(data: &[u8]) {
    if let Ok(presentation) = Presentation::parse(data) {
        let again = Presentation::parse(&presentation.to_sdp()).expect("what we write is a description");
        assert_eq!(again.media.len(), presentation.media.len(), "no track is lost");
    }
}

/// A request URL.
pub fn fuzz_rtsp_url(data: &[u8]) {
    if let Ok(text) = std::str::from_utf8(data) {
        let (target, _) = Target::parse(text);
        assert!(!target.path.starts_with('/') && !target.path.ends_with('/'), "no slashes round a path");
    }
}

#[cfg(test)]
mod tests {
    use crate::fuzz_replay::replay;
    use proptest::prelude::*;

    const SETUP: &[u8] =
        b"\x40SETUP rtsp://h/a/trackID=0 RTSP/1.0\r\nCSeq: 1\r\nTransport: RTP/AVP/TCP;interleaved=0-1\r\n\r\n\
        PLAY rtsp://h/a RTSP/1.0\r\nCSeq: 2\r\n\r\n$\x00\x00\x01aTEARDOWN rtsp://h/a RTSP/1.0\r\nCSeq: 3\r\n\r\n";
    const ANNOUNCE: &[u8] = b"\x41ANNOUNCE rtsp://h/a RTSP/1.0\r\nCSeq: 1\r\nAuthorization: Digest a=\"b\", nonce=\"\r\n\
        Content-Length: 38\r\n\r\nv=0\r\ns=x\r\nt=0 0\r\nm=video 0 RTP/AVP 96\r\nSETUP rtsp://h/a/x RTSP/1.0\r\nCSeq: 2\r\n\
        Transport: RTP/AVP;client_port=1-2\r\n\r\nRECORD rtsp://h/a RTSP/1.0\r\nCSeq: 3\r\n\r\n";
    const SERVER: &[u8] = b"\x40RTSP/1.0 200 OK\r\nCSeq: 1\r\n\r\nRTSP/1.0 401 Unauthorized\r\nCSeq: 2\r\n\
        WWW-Authenticate: Digest realm=\"r\", nonce=\"n\", qop=\"auth\", opaque=\"o\"\r\n\r\nRTSP/1.0 200 OK\r\nCSeq: 3\r\n\r\n\
        RTSP/1.0 200 OK\r\nCSeq: 4\r\nSession: 7;timeout=60\r\nTransport: RTP/AVP/TCP;interleaved=4-5\r\n\r\n\
        RTSP/1.0 200 OK\r\nCSeq: 5\r\n\r\nRTSP/1.0 200 OK\r\nCSeq: 6\r\n\r\n$\x05\x00\x01a";
    const PLAYED: &[u8] = b"\x40RTSP/1.0 200 OK\r\nCSeq: 1\r\n\r\nRTSP/1.0 401 Unauthorized\r\nCSeq: 2\r\n\
        WWW-Authenticate: Digest realm=\"r\", nonce=\"n\", qop=\"auth\", opaque=\"o\"\r\n\r\nRTSP/1.0 200 OK\r\nCSeq: 3\r\n\
        Content-Base: rtsps://h/b/\r\nContent-Length: 84\r\n\r\nv=0\r\ns=x\r\nt=0 0\r\na=control:*\r\nm=audio 0 RTP/AVP 0\r\n\
        a=control:rtsps://h/b/trackID=0\r\nRTSP/1.0 200 OK\r\nCSeq: 4\r\nSession: 7;timeout=60\r\n\
        Transport: RTP/AVP/TCP;interleaved=4-5\r\n\r\n$\x04\x00\x01aRTSP/1.0 200 OK\r\nCSeq: 5\r\n\r\n$\x05\x00\x01a";
    const SDP: &[u8] =
        b"v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\nm=video 0 RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\n\
        a=fmtp:96 packetization-mode=1; sprop-parameter-sets=Z0LADNoFB+hAAAADAEAAAAwDxQqo,aM4PyA==\r\na=control:x\r\n\
        m=audio 0 RTP/AVP 97\r\na=rtpmap:97 mpeg4-generic/48000/2\r\na=fmtp:97 config=1190;sizelength=13\r\n\
        m=audio 0 RTP/AVP 98\r\na=rtpmap:98 MP4A-LATM/48000/2\r\na=fmtp:98 cpresent=0;config=400023203fc0\r\n";

    #[test]
    fn corpora() {
        replay("rtsp_server", super::fuzz_rtsp_server, &[SETUP, ANNOUNCE]);
        replay("rtsp_client", super::fuzz_rtsp_client, &[SERVER]);
        replay("rtsp_player", super::fuzz_rtsp_player, &[PLAYED]);
        replay(
            "rtsp_transport",
            super::fuzz_rtsp_transport,
            &[b"RTP/AVP/TCP;unicast;interleaved=254,RTP/AVP;client_port=65535"],
        );
        replay("rtsp_sdp", super::fuzz_rtsp_sdp, &[SDP]);
        replay("rtsp_url", super::fuzz_rtsp_url, &[b"rtsp://u:p@h:1/a/b?c=d/trackID=1", b"://?//trackID=/"]);
    }

    proptest! {
        #[test]
        fn nothing_panics(data in prop::collection::vec(any::<u8>(), 0..300), at in 0_usize..400, seed in 0_usize..5) {
            super::fuzz_rtsp_server(&data);
            super::fuzz_rtsp_client(&data);
            super::fuzz_rtsp_player(&data);
            super::fuzz_rtsp_transport(&data);
            super::fuzz_rtsp_sdp(&data);
            super::fuzz_rtsp_url(&data);
            // Damage in the middle of something that was good gets further.
            let mut damaged = [SETUP, ANNOUNCE, SDP, SERVER, PLAYED][seed].to_vec();
            let at = at.min(damaged.len());
            damaged.splice(at..(at + data.len() / 16).min(damaged.len()), data.iter().copied().take(8));
            super::fuzz_rtsp_server(&damaged);
            super::fuzz_rtsp_client(&damaged);
            super::fuzz_rtsp_player(&damaged);
            super::fuzz_rtsp_sdp(&damaged);
        }
    }
}
