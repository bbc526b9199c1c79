//! Entry points for the fuzzers: a server's answer, as the stack behind the client takes it. Not here: HTTP (`signalling`).

use super::connection::{codec, codec_kind};
use super::{KINDS, inbound};
use rtc::media_stream::MediaStreamTrack;
use rtc::peer_connection::RTCPeerConnectionBuilder;
use rtc::peer_connection::configuration::RTCConfigurationBuilder;
use rtc::peer_connection::configuration::media_engine::MediaEngine;
use rtc::peer_connection::sdp::RTCSessionDescription;
use rtc::rtp_transceiver::rtp_sender::{RTCRtpCodingParameters, RTCRtpEncodingParameters};
use std::time::Instant;

/// An answer to an offer of ours.
pub fn fuzz_whip_answer(data: &[u8]) {
    let _taken = accept(&String::from_utf8_lossy(data));
}

/// An answer to an offer to read.
pub fn fuzz_whep_answer(data: &[u8]) {
    let _taken = accept_to_read(&String::from_utf8_lossy(data));
}

fn accept_to_read(answer: &str) -> Option<()> {
    let now = Instant::now();
    let (engine, registry) = inbound::media().ok()?;
    let mut peer = RTCPeerConnectionBuilder::new()
        .with_configuration(RTCConfigurationBuilder::new().build())
        .with_media_engine(engine)
        .with_interceptor_registry(registry)
        .build(now)
        .ok()?;
    for kind in KINDS {
        peer.add_transceiver_from_kind(codec_kind(kind), None).ok()?;
    }
    let offer = peer.create_offer(None).ok()?;
    peer.set_local_description(now, offer).ok()?;
    let answer = RTCSessionDescription::answer(answer.to_owned()).ok()?;
    peer.set_remote_description(now, answer).ok()
}

/// As the client does it, without sockets: the stack below the client's is the same.
fn accept(answer: &str) -> Option<()> {
    let now = Instant::now();
    let mut engine = MediaEngine::default();
    for kind in KINDS {
        engine.register_codec(codec(kind), codec_kind(kind)).ok()?;
    }
    let mut peer = RTCPeerConnectionBuilder::new()
        .with_configuration(RTCConfigurationBuilder::new().build())
        .with_media_engine(engine)
        .build(now)
        .ok()?;
    for (ssrc, kind) in (1..).zip(KINDS) {
        let encoding = RTCRtpEncodingParameters {
            rtp_coding_parameters: RTCRtpCodingParameters { ssrc: Some(ssrc), ..Default::default() },
            codec: codec(kind).rtp_codec,
            ..Default::default()
        };
        let kind = codec_kind(kind);
        peer.add_track(MediaStreamTrack::new("s".into(), ssrc.to_string(), "l".into(), kind, vec![encoding])).ok()?;
    }
    let offer = peer.create_offer(None).ok()?;
    peer.set_local_description(now, offer).ok()?;
    let answer = RTCSessionDescription::answer(answer.to_owned()).ok()?;
    peer.set_remote_description(now, answer).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANSWER: &str = "v=0\r\no=- 1 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\na=group:BUNDLE 0 1\r\na=ice-lite\r\n\
        m=video 9 UDP/TLS/RTP/SAVPF 102\r\nc=IN IP4 0.0.0.0\r\na=ice-ufrag:f00d\r\na=ice-pwd:0123456789abcdefghijklmn\r\n\
        a=fingerprint:sha-256 00:11:22:33:44:55:66:77:88:99:AA:BB:CC:DD:EE:FF:00:11:22:33:44:55:66:77:88:99:AA:BB:CC:DD:EE:FF\r\n\
        a=setup:passive\r\na=mid:0\r\na=recvonly\r\na=rtcp-mux\r\na=rtpmap:102 H264/90000\r\n\
        a=fmtp:102 level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e01f\r\n\
        a=candidate:1 1 udp 2130706431 192.0.2.1 8189 typ host\r\na=end-of-candidates\r\n\
        m=audio 9 UDP/TLS/RTP/SAVPF 111\r\nc=IN IP4 0.0.0.0\r\na=ice-ufrag:f00d\r\na=ice-pwd:0123456789abcdefghijklmn\r\n\
        a=fingerprint:sha-256 00:11:22:33:44:55:66:77:88:99:AA:BB:CC:DD:EE:FF:00:11:22:33:44:55:66:77:88:99:AA:BB:CC:DD:EE:FF\r\n\
        a=setup:passive\r\na=mid:1\r\na=recvonly\r\na=rtcp-mux\r\na=rtpmap:111 opus/48000/2\r\n";

    #[test]
    fn corpora() {
        let candidate = ANSWER.replace("192.0.2.1 8189", "nowhere.local 99999").replace("typ host", "typ srflx raddr");
        let seeds: &[&[u8]] = &[ANSWER.as_bytes(), candidate.as_bytes(), b"v=0\r\nm=audio 0 x 0\r\n"];
        crate::fuzz_replay::replay("whip_answer", fuzz_whip_answer, seeds);
        let (sent, other) = (ANSWER.replace("recvonly", "sendonly"), candidate.replace("recvonly", "sendonly"));
        let named = sent.replace(
            "a=sendonly\r\n",
            "a=sendonly\r\na=ssrc-group:FID 1 2\r\na=ssrc:1 cname:c\r\na=ssrc:2 cname:c\r\n",
        );
        let seeds: &[&[u8]] = &[sent.as_bytes(), other.as_bytes(), named.as_bytes(), ANSWER.as_bytes()];
        crate::fuzz_replay::replay("whep_answer", fuzz_whep_answer, seeds);
    }

    /// Else nothing of an answer would be fuzzed but its first lines.
    #[test]
    fn a_good_answer_is_taken() {
        let swapped = ANSWER.replace("video 9 UDP/TLS/RTP/SAVPF 102", "audio");
        assert!(accept(ANSWER).is_some() && accept(&swapped).is_none());
        assert!(accept_to_read(&ANSWER.replace("recvonly", "sendonly")).is_some());
    }
}
