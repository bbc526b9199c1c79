//! Entry points for the fuzzers: WHIP's headers and bodies.

use super::{
    Datagram, EntityTag, IfMatch, Resource, SdpFragment, SessionText, format_links, is_media_type, parse_links,
    resolve_location, take_offer, take_read_offer,
};

/// A `Link` header; what is taken from it is written and read back the same.
pub fn fuzz_link_header(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    if let Ok(servers) = parse_links(&text) {
        let again = parse_links(&format_links(&servers).join(", "));
        assert!(again.is_ok_and(|a| a.len() <= servers.len()), "what we write can be read");
    }
}

/// What else a request or an answer of WHIP carries: the URL's path, entity tags, media type and `Location`.
pub fn fuzz_whip_http(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    if let Some(resource) = Resource::parse(&text) {
        assert!(
            !resource.path.is_empty() && resource.session.is_none_or(|s| !s.contains('/')),
            "one path, one session"
        );
    }
    if let Some(tag) = EntityTag::parse(&text) {
        assert_eq!(EntityTag::parse(&tag.header()).as_ref(), Some(&tag), "what we write reads back the same");
        assert!(IfMatch::parse(Some(&tag.header())).admits(&tag) || tag.header().contains(','), "a tag admits itself");
    }
    let _condition = IfMatch::parse(Some(&text)).admits(&EntityTag::new("abc"));
    let _wanted = is_media_type(&text, super::SDP_TYPE);
    let (base, location) = text.split_once('\n').unwrap_or(("http://h/a/b", &text));
    if let Some(url) = resolve_location(base, location) {
        assert!(url.contains("://") && url.len() <= base.len() + location.len() + 4, "a whole URL of the two");
    }
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
        let _taken = (take_offer(&session), take_read_offer(&session, None));
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
        let http: &[&[u8]] = &[
            b"/live/cam1/whip",
            b"/a/whep/0b5e-1/",
            b"\"abc\"",
            b"W/\"x\", \"abc\"",
            b"application/sdp; charset=utf-8",
            b"https://h:1/p/whip?t=1\n../s/./ID?x#y",
            b"http://h\n//other/ID",
        ];
        replay("whip_http", super::fuzz_whip_http, http);
        replay("stun_peek", super::fuzz_stun_peek, &[b"\0\x01\0\x08\x21\x12\xa4\x42............\0\x06\0\x03a:b\0"]);
        replay("sdpfrag", super::fuzz_sdpfrag, &[b"a=ice-ufrag:x\r\nm=audio 9\r\na=candidate:1 1 udp\r\n"]);
        replay("whip_offer", super::fuzz_whip_offer, &[b"v=0\r\nm=video 9 X 96\r\na=rtpmap:96 H264/90000\r\n"]);
    }

    proptest! {
        #[test]
        fn nothing_panics(text in "[ -~\r\n]{0,200}", bytes in prop::collection::vec(any::<u8>(), 0..100)) {
            for data in [text.as_bytes(), &bytes] {
                super::fuzz_link_header(data);
                super::fuzz_whip_http(data);
                super::fuzz_sdpfrag(data);
                super::fuzz_whip_offer(data);
                super::fuzz_stun_peek(data);
            }
        }
    }
}
