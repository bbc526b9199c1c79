//! Entry points for the fuzzers: WHIP's headers and bodies.

use super::{Datagram, SdpFragment, SessionText, format_links, parse_links, resolve_location, take_offer};

/// A `Link` header; what is taken from it is written and read back the same.
pub fn fuzz_link_header(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    if let Ok(servers) = parse_links(&text) {
        let again = parse_links(&format_links(&servers).join(", "));
        assert!(again.is_ok_and(|a| a.len() <= servers.len()), "what we write can be read");
    }
    let _location = resolve_location("http://h/a/b", &text);
}

/// A trickle fragment.
pub fn fuzz_sdpfrag(data: &[u8]) {
    if let Ok(fragment) = SdpFragment::parse(&String::from_utf8_lossy(data)) {
        assert!(SdpFragment::parse(&fragment.format()).is_ok(), "what we write can be read");
    }
}

/// An offer, and what is taken from it.
pub fn fuzz_whip_offer(data: &[u8]) {
    if let Ok(session) = SessionText::parse(&String::from_utf8_lossy(data)) {
        let _taken = take_offer(&session);
        let _ice = (session.ice_ufrag(), session.ice_password());
    }
}

/// A datagram's addressee.
pub fn fuzz_stun_peek(data: &[u8]) {
    if let Datagram::Request { ufrag } = Datagram::peek(data) {
        assert!(!ufrag.contains(':'), "the part before the colon");
    }
}

#[cfg(test)]
mod tests {
    use crate::fuzz_replay::replay;
    use proptest::prelude::*;

    #[test]
    fn corpora() {
        replay("link_header", super::fuzz_link_header, &[b"<stun:a>; rel=\"ice-server\"; username=\"\\\"", b",,<"]);
        replay("stun_peek", super::fuzz_stun_peek, &[b"\0\x01\0\x08\x21\x12\xa4\x42............\0\x06\0\x03a:b\0"]);
        replay("sdpfrag", super::fuzz_sdpfrag, &[b"a=ice-ufrag:x\r\nm=audio 9\r\na=candidate:1 1 udp\r\n"]);
        replay("whip_offer", super::fuzz_whip_offer, &[b"v=0\r\nm=video 9 X 96\r\na=rtpmap:96 H264/90000\r\n"]);
    }

    proptest! {
        #[test]
        fn nothing_panics(text in "[ -~\r\n]{0,200}", bytes in prop::collection::vec(any::<u8>(), 0..100)) {
            for data in [text.as_bytes(), &bytes] {
                super::fuzz_link_header(data);
                super::fuzz_sdpfrag(data);
                super::fuzz_whip_offer(data);
                super::fuzz_stun_peek(data);
            }
        }
    }
}
