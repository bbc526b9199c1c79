//! Entry points for the fuzzers, built and replayed in ordinary tests: what the shells read themselves, and the stacks behind them as
//! we use them.
//!
//! Not here: protocols' own text and bytes (`proto`, `container`, `hub`), WebRTC (`webrtc::fuzz`).

pub use crate::srt::fuzz::*;
pub use crate::webrtc::fuzz::*;

use crate::access::Action;
use crate::config::Config;
use crate::flv::path_of;
use crate::http::wish;
use axum::http::{Request, header};
use hub::PathName;

/// A configuration file.
pub fn fuzz_config(data: &[u8]) {
    if let Ok(text) = std::str::from_utf8(data) {
        let _parsed = Config::parse(text);
    }
}

/// An HTTP request: its URI on the first line, its `Authorization` on the second.
pub fn fuzz_http_request(data: &[u8]) {
    let at = data.iter().position(|b| *b == b'\n').unwrap_or(data.len());
    let (uri, authorization) = data.split_at(at);
    let request = Request::builder().uri(uri).header(header::AUTHORIZATION, authorization.get(1..).unwrap_or_default());
    let Ok((parts, ())) = request.body(()).map(Request::into_parts) else { return };
    let path = path_of(parts.uri.path()).unwrap_or("cam");
    let Ok(path) = PathName::parse(path) else { return };
    let wish = wish(Action::Read, &path, &parts);
    let shown: usize = wish.query.iter().map(|(key, value)| key.len() + value.len()).sum();
    // A byte that is no UTF-8 becomes three.
    assert!(shown <= 3 * data.len(), "no more than there was");
    assert!(wish.bearer.is_none() || wish.basic.is_none(), "one kind of credentials");
}

/// A playlist of somebody else's.
pub fn fuzz_hls_pull(data: &[u8]) {
    crate::hls::pull::playlist::fuzz(data);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fuzz_replay::replay;
    use proptest::prelude::*;

    #[test]
    fn corpora() {
        let files: &[&[u8]] = &[
            b"logLevel: debug\nrtmpAddress: 127.0.0.1:0\nhls: no\napi: yes\napiAddress: :9997\nreaderWait: 5s\npaths:\n  a:\n  ~^b: {source: publisher}\n",
            b"webrtcAdditionalHosts: [192.0.2.1, relay.example]\nwebrtcLocalUDPAddress: ':8189'\nmetrics: true\npaths:\n  all_others:\n",
            b"a: &a [*a]\n",
            b"? {[: }\n--- !!map\n- \"\\u0000\n",
            b"paths:\n  a//b:\n",
        ];
        replay("config", fuzz_config, files);
        let requests: &[&[u8]] = &[
            b"/live/cam1.flv?token=a%20b&jwt=c+d\nBasic dTpwOnc=",
            b"http://h:8888/a.flv?x\nBearer abc.def",
            b"/%61.flv?%ff=%\nbasic ",
            b"*\n",
        ];
        replay("http_request", fuzz_http_request, requests);
        let playlists: &[&[u8]] = &[
            b"#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXT-X-MEDIA-SEQUENCE:18446744073709551615\n#EXTINF:2,\na.ts\n",
            b"#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1,AUDIO=\"a\"\n\xFF\n",
        ];
        replay("hls_pull", fuzz_hls_pull, playlists);
    }

    proptest! {
        #[test]
        fn nothing_panics(text in "[ -~\r\n]{0,200}", bytes in prop::collection::vec(any::<u8>(), 0..100)) {
            for data in [text.as_bytes(), &bytes] {
                fuzz_config(data);
                fuzz_hls_pull(&[b"#EXTM3U\n", data].concat());
                fuzz_http_request(data);
            }
        }
    }
}
