//! Entry points for the fuzzers: the WebRTC stack as the server uses it, and what becomes of its packets.
//!
//! Not here: our own reading of offers and datagrams (`proto::whip`), of RTP (`proto::rtp`), the client's side (`client::fuzz`).

pub use super::client::fuzz::*;

use super::ingest::Ingest;
use super::peer::Peer;
use super::registry::SessionRole;
use super::transport::{IceCredentials, Transport};
use bytes::{Buf, Bytes, BytesMut};
use media::{Codec, MediaKind, MonoTime};
use proto::rtp::rtcp::NtpTime;
use proto::rtp::{Header, Packet};
use proto::whip::{SessionText, take_offer};
use rtc::shared::marshal::Unmarshal;
use rtc::stun;
use rtc::stun::attributes::{ATTR_USERNAME, AttrType};
use rtc::stun::fingerprint::FINGERPRINT;
use rtc::stun::integrity::MessageIntegrity;
use rtc::stun::message::{BINDING_REQUEST, Setter};
use rtc::stun::textattrs::TextAttribute;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

const ADDRESS: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 8189);

/// An offer as browsers write it, as far as the stack looks at it.
const OFFER: &str = "v=0\r\no=- 4611 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\na=group:BUNDLE 0 1\r\na=msid-semantic: WMS s\r\n\
    m=audio 9 UDP/TLS/RTP/SAVPF 111 63\r\nc=IN IP4 0.0.0.0\r\na=rtcp:9 IN IP4 0.0.0.0\r\na=ice-ufrag:f00d\r\n\
    a=ice-pwd:0123456789abcdefghijklmn\r\na=ice-options:trickle\r\na=fingerprint:sha-256 \
    00:11:22:33:44:55:66:77:88:99:AA:BB:CC:DD:EE:FF:00:11:22:33:44:55:66:77:88:99:AA:BB:CC:DD:EE:FF\r\n\
    a=setup:actpass\r\na=mid:0\r\na=extmap:1 urn:ietf:params:rtp-hdrext:ssrc-audio-level\r\n\
    a=extmap:4 urn:ietf:params:rtp-hdrext:sdes:mid\r\na=sendonly\r\na=msid:s a\r\na=rtcp-mux\r\na=rtcp-rsize\r\n\
    a=rtpmap:111 opus/48000/2\r\na=rtcp-fb:111 transport-cc\r\na=fmtp:111 minptime=10;useinbandfec=1\r\n\
    a=rtpmap:63 red/48000/2\r\na=ssrc:1 cname:c\r\nm=video 9 UDP/TLS/RTP/SAVPF 96 102 103\r\nc=IN IP4 0.0.0.0\r\n\
    a=rtcp:9 IN IP4 0.0.0.0\r\na=ice-ufrag:f00d\r\na=ice-pwd:0123456789abcdefghijklmn\r\na=fingerprint:sha-256 \
    00:11:22:33:44:55:66:77:88:99:AA:BB:CC:DD:EE:FF:00:11:22:33:44:55:66:77:88:99:AA:BB:CC:DD:EE:FF\r\n\
    a=setup:actpass\r\na=mid:1\r\na=extmap:4 urn:ietf:params:rtp-hdrext:sdes:mid\r\na=sendonly\r\na=msid:s v\r\n\
    a=rtcp-mux\r\na=rtpmap:96 VP8/90000\r\na=rtpmap:102 H264/90000\r\na=rtcp-fb:102 nack pli\r\n\
    a=fmtp:102 level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e01f\r\na=rtpmap:103 rtx/90000\r\n\
    a=fmtp:103 apt=102\r\na=ssrc-group:FID 2 3\r\na=ssrc:2 cname:c\r\na=ssrc:3 cname:c\r\n";

/// An offer that our own reading takes, answered by the stack; then the same with other ICE credentials.
pub fn fuzz_webrtc_offer(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let Some((mut peer, now)) = answered(&text) else { return };
    let remote = IceCredentials { ufrag: "beef".into(), password: "nmlkjihgfedcba9876543210".into() };
    let _restarted = peer.restart_ice(&remote, now);
    drain(&mut peer);
}

/// Datagrams into a session: a byte of flags (bit 0: signed as a binding request of the peer's own, bits 1 to 7: how much later it
/// comes, in tens of milliseconds), two of length, then the bytes (the attributes, of what is signed).
pub fn fuzz_webrtc_datagrams(data: &[u8]) {
    let mut data = data;
    let Ok(session) = SessionText::parse(OFFER) else { return };
    let Ok(taken) = take_offer(&session) else { return };
    let mut now = Instant::now();
    let Ok((mut peer, _, own)) = Peer::answer(OFFER, &taken, SessionRole::Publish, &[ADDRESS], now) else { return };
    let from = SocketAddr::from((Ipv4Addr::LOCALHOST, 50_000));
    while let (Ok(flags), Ok(length)) = (data.try_get_u8(), data.try_get_u16()) {
        let (bytes, rest) = data.split_at(usize::from(length).min(data.len()));
        data = rest;
        now += Duration::from_millis(u64::from(flags >> 1) * 10);
        if peer.deadline().is_some_and(|at| at <= now) {
            peer.tick(now);
        }
        let datagram = if flags & 1 == 0 { Some(bytes.to_vec()) } else { signed(bytes, &own) };
        peer.receive(datagram.as_deref().unwrap_or(bytes).into(), from, now);
        drain(&mut peer);
    }
    peer.close();
    drain(&mut peer);
}

/// What the stack reads once it has decrypted it: a compound of RTCP, and a packet of RTP.
pub fn fuzz_webrtc_packets(data: &[u8]) {
    let mut bytes = BytesMut::from(data);
    let _reports = rtc::rtcp::packet::unmarshal(&mut bytes);
    let mut bytes = Bytes::copy_from_slice(data);
    let _packet = rtc::rtp::Packet::unmarshal(&mut bytes);
}

/// A peer that comes by TCP.
pub fn fuzz_webrtc_tcp(data: &[u8]) {
    super::tcp::fuzz(data);
}

/// Decrypted packets of a publisher. A step is a byte of flags (bit 0: sound, bit 1: a sender report, bit 2: marker, bits 3 to 7: how
/// much later it comes, in tens of milliseconds), a sequence number and an RTP timestamp; then an NTP time, or a payload behind its
/// length.
pub fn fuzz_webrtc_ingest(data: &[u8]) {
    let mut data = Bytes::copy_from_slice(data);
    let mut ingest = Ingest::new(Some(Codec::H264), true);
    let (mut now, mut taken, mut last) = (0, 0, [i64::MIN; 2]);
    while let (Ok(flags), Ok(sequence), Ok(timestamp)) = (data.try_get_u8(), data.try_get_u16(), data.try_get_u32()) {
        let kind = if flags & 1 == 0 { MediaKind::Video } else { MediaKind::Audio };
        now += u64::from(flags >> 3) * 10_000;
        let at = MonoTime::from_micros(now);
        if flags & 2 != 0 {
            let Ok(ntp) = data.try_get_u64() else { return };
            ingest.sender_report(kind, NtpTime(ntp), timestamp);
        } else {
            let Ok(length) = data.try_get_u8() else { return };
            let payload = data.split_to(usize::from(length).min(data.len()));
            taken += payload.len();
            let header = Header { marker: flags & 4 != 0, payload_type: 96, sequence, timestamp, ssrc: 1 };
            ingest.packet(kind, Packet { header, payload }, at);
        }
        while let Some(unit) = ingest.poll() {
            assert!(!unit.payload.is_empty(), "a unit holds something");
            // Four bytes of length stand for at least one of header.
            assert!(unit.payload.len() <= 5 * taken, "no more than came");
            let last = &mut last[usize::from(unit.is_video())];
            *last = (*last).max(unit.dts.micros());
        }
        let _tracks = ingest.tracks();
    }
}

fn answered(text: &str) -> Option<(Peer, Instant)> {
    let session = SessionText::parse(text).ok()?;
    let taken = take_offer(&session).ok()?;
    let now = Instant::now();
    let (peer, answer, _) = Peer::answer(text, &taken, SessionRole::Publish, &[ADDRESS], now).ok()?;
    assert!(SessionText::parse(&answer).is_ok(), "our answer can be read");
    Some((peer, now))
}

fn drain(peer: &mut Peer) {
    while peer.transmit().is_some() || peer.event().is_some() {}
}

/// A binding request of the peer with these attributes, whole or cut, and right credentials: what a hostile publisher can send, and a
/// fuzzer cannot guess.
fn signed(attributes: &[u8], own: &IceCredentials) -> Option<Vec<u8>> {
    let provider = rtc::crypto::default_provider().ok()?;
    let mut message = stun::message::Message::new();
    message.build(&[Box::new(BINDING_REQUEST)]).ok()?;
    let name = format!("{}:f00d", own.ufrag);
    TextAttribute::new(ATTR_USERNAME, name).add_to(&mut message).ok()?;
    let mut rest = attributes;
    while let (Ok(kind), Ok(length)) = (rest.try_get_u8(), rest.try_get_u8()) {
        let (value, next) = rest.split_at(usize::from(length % 64).min(rest.len()));
        rest = next;
        // Those that ICE uses come often: PRIORITY, USE-CANDIDATE, ICE-CONTROLLED, ICE-CONTROLLING.
        let kind = [0x24, 0x25, 0x8029, 0x802A].get(usize::from(kind)).copied().unwrap_or(u16::from(kind));
        message.add(AttrType(kind), value);
    }
    let password = own.password.clone();
    let integrity = MessageIntegrity::new_short_term_integrity_with_provider(password, provider.crypto());
    integrity.add_to(&mut message).ok()?;
    FINGERPRINT.add_to(&mut message).ok()?;
    Some(message.raw)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fuzz_replay::replay;

    #[test]
    fn corpora() {
        let hostile = OFFER.replace("a=mid:1", "a=mid:0").replace("a=group:BUNDLE 0 1", "a=group:BUNDLE 7");
        replay("webrtc_offer", fuzz_webrtc_offer, &[OFFER.as_bytes(), hostile.as_bytes(), b"v=0\r\n"]);

        let datagram = |flags: u8, bytes: &[u8]| [&[flags, 0, bytes.len() as u8], bytes].concat();
        let check = datagram(1, &[0, 4, 0x6E, 0, 0x1E, 0xFF, 1, 0, 3, 8, 1, 2, 3, 4, 5, 6, 7, 8]);
        let hello = [22, 0xFE, 0xFD, 0, 0, 0, 0, 0, 0, 0, 0, 0, 12, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        let media = [0x80, 0xE6, 0, 1, 0, 0, 0, 1, 0, 0, 0, 2, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14];
        let talk = [check, datagram(20, &hello), datagram(200, &media), datagram(0, &[0x80, 200, 0, 6])].concat();
        replay("webrtc_datagrams", fuzz_webrtc_datagrams, &[&talk, &[]]);

        let check = [&[0, 20, 0, 1, 0, 0, 0x21, 0x12, 0xA4, 0x42][..], &[7; 12]].concat();
        let tcp: &[&[u8]] = &[&[&[3][..], &check, &[0, 2, 0x80, 96]].concat(), &[0, 0xFF, 0xFF, 1], &[1, 0, 0]];
        replay("webrtc_tcp", fuzz_webrtc_tcp, tcp);

        let report =
            [0x81, 201, 0, 7, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0, 4, 0, 0, 0, 5, 0, 0, 0, 6, 0, 0, 0, 7];
        let nack = [0x81, 205, 0, 3, 0, 0, 0, 1, 0, 0, 0, 2, 0, 9, 0x80, 1];
        let twcc = [0x8F, 205, 0, 5, 0, 0, 0, 1, 0, 0, 0, 2, 0, 1, 0, 2, 0, 0, 1, 7, 0x20, 2, 4, 8];
        let source = [0x81, 202, 0, 2, 0, 0, 0, 1, 1, 1, b'c', 0];
        let extended = [0x90, 96, 0, 1, 0, 0, 0, 1, 0, 0, 0, 2, 0xBE, 0xDE, 0, 1, 0x40, b'0', 0, 0, 0x65, 1];
        let packets: &[&[u8]] = &[&report, &nack, &twcc, &source, &extended, &[report.as_slice(), &source].concat()];
        replay("webrtc_packets", fuzz_webrtc_packets, packets);

        let step = |flags: u8, sequence: u16, timestamp: u32, rest: &[u8]| {
            [&[flags][..], &sequence.to_be_bytes(), &timestamp.to_be_bytes(), rest].concat()
        };
        let payload = |bytes: &[u8]| [&[bytes.len() as u8], bytes].concat();
        let sps = [
            0x67, 0x42, 0xC0, 0x0D, 0xD9, 1, 0x41, 0xFB, 1, 0x10, 0, 0, 3, 0, 0x10, 0, 0, 3, 3, 0xC0, 0xF1, 0x42, 0xA4,
            0x80,
        ];
        let good = [
            step(0, 1, 3000, &payload(&sps)),
            step(0, 2, 3000, &payload(&[0x68, 0xCB, 0x83, 0xCB, 0x20])),
            step(4, 3, 3000, &payload(&[0x65, 1, 2, 3])),
            step(1, 9, 960, &payload(&[0xFC, 1, 2])),
            step(2, 0, 3000, &0xE900_0000_8000_0000_u64.to_be_bytes()),
            step(0x24, 5, 9000, &payload(&[0x41, 1])),
            step(4, 4, 6000, &payload(&[0x41, 2])),
            step(0xFC, 40_000, 0x9000_0000, &payload(&[0x7C, 0x85, 7])),
        ];
        replay("webrtc_ingest", fuzz_webrtc_ingest, &[&good.concat()]);
    }
}
