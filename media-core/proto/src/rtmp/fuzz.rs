//! Entry points for the fuzzers, built and replayed in ordinary tests.
//!
//! The first byte of an input says into how many pieces the rest is cut, so that the fuzzer also finds what depends on
//! where the network cut.

use super::chunk::{ChunkReader, ChunkWriter};
use super::message::{Command, Message, kind};
use super::{
    ClientConfig, ClientSession, Handshake, Output, Purpose, RawMessage, RtmpUrl, ServerConfig, ServerEvent,
    ServerSession, Side, Target,
};
use bytes::Bytes;
use media::amf0::Value;

/// Any bytes as the peer's handshake, on both sides.
pub fn fuzz_rtmp_handshake(data: &[u8]) {
    for side in [Side::Server, Side::Client] {
        let (mut handshake, mut out) = (Handshake::new(side, 7), Output::default());
        for piece in pieces(data) {
            let mut input = piece;
            if handshake.receive(&mut input, &mut out).is_err() {
                break;
            }
            assert!(input.is_empty() || handshake.is_done(), "all is taken until it is over");
        }
        assert!(out.len() <= 1 + 2 * super::HANDSHAKE_BLOCK, "no more than one handshake is answered");
    }
}

/// A URL as a user types it; and `app`, `tcUrl` and stream name as a client says them, one on a line each.
pub fn fuzz_rtmp_url(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let mut fields = text.splitn(3, '\n');
    let mut field = || fields.next().unwrap_or("");
    let target = Target::new(field(), field(), field());
    assert!(target.query.len() <= text.len() && target.path.len() <= 3 * text.len(), "no more than there was");
    if let Ok(url) = RtmpUrl::parse(&text) {
        let target = Target::new(&url.app, &url.tc_url(), &url.name);
        assert!(!target.path.starts_with('/') || text.contains('%'), "a path begins with its first element");
    }
}

/// Any bytes as a chunk stream: however they are cut, the messages are the same, and written again they read the same.
pub fn fuzz_rtmp_chunk(data: &[u8]) {
    let (whole, whole_error) = read_all(std::iter::once(data));
    let (cut, cut_error) = read_all(pieces(data));
    assert_eq!(whole_error, cut_error, "the same fault at the same place");
    assert_eq!(whole, cut, "the same messages");

    let (mut writer, mut out) = (ChunkWriter::new(), Output::default());
    writer.set_chunk_size(&mut out, u32::from(data.first().copied().unwrap_or(0)) + 1);
    for (n, m) in (0_u32..).zip(&whole) {
        // Aggregates and the like are only bytes here; control messages cannot be among them.
        writer.write(&mut out, 3 + n % 5 * 100, m.kind, m.stream, m.timestamp, &[], &m.body);
        let _meaning = Message::parse(m);
    }
    let bytes = out.to_vec();
    let (again, error) = read_all(std::iter::once(&bytes[..]));
    assert_eq!(error, None, "what we write can be read");
    let strip = |messages: &[RawMessage]| -> Vec<RawMessage> {
        messages.iter().map(|m| RawMessage { offset: 0, ..m.clone() }).collect()
    };
    assert_eq!(strip(&again), strip(&whole), "what we write reads the same");
}

/// Any bytes into a server: from the start, behind a handshake, and behind a handshake and `connect`.
pub fn fuzz_rtmp_server(data: &[u8]) {
    let mut behind_handshake = vec![3_u8];
    behind_handshake.resize(1 + 2 * super::HANDSHAKE_BLOCK, 0);
    let connect = Command::new("connect", 1.0, vec![Value::object([("app", "live".into())])]).encode();
    let publish = Command::new("publish", 2.0, vec![Value::Null, "key".into(), "live".into()]).encode();
    let (mut writer, mut out) = (ChunkWriter::new(), Output::default());
    writer.write(&mut out, 3, kind::COMMAND, 0, 0, &connect, &Bytes::new());
    let behind_connect = [&behind_handshake[..], &out.to_vec()].concat();
    let mut out = Output::default();
    writer.write(&mut out, 8, kind::COMMAND, 1, 0, &publish, &Bytes::new());
    let behind_publish = [&behind_connect[..], &out.to_vec()].concat();

    for prefix in [&[][..], &behind_handshake, &behind_connect, &behind_publish] {
        let mut session = ServerSession::new(ServerConfig::default(), 1);
        assert_eq!(session.handle_input(prefix), Ok(()), "a good beginning");
        for (n, piece) in pieces(data).enumerate() {
            let ended = session.handle_input(piece).is_err();
            while let Some(event) = session.poll_event() {
                match event {
                    ServerEvent::Publish { request, .. } | ServerEvent::Play { request, .. } if n % 3 < 2 => {
                        session.accept(request);
                    }
                    ServerEvent::Publish { request, .. } | ServerEvent::Play { request, .. } => {
                        session.reject(request, super::Reason::Denied, "no");
                    }
                    ServerEvent::Media(media) => assert!(!media.body.is_empty(), "media has bytes"),
                    _ => {}
                }
            }
            session.send(super::Kind::Video, 0, &[0x17, 1], &Bytes::from_static(b"picture"));
            if ended {
                break;
            }
        }
        assert!(session.pending_output_bytes() < (1 << 20) + 64 * data.len() + 65_536, "answers are bounded");
    }
}

/// Any bytes into a client: as the server's handshake, and behind it.
pub fn fuzz_rtmp_client(data: &[u8]) {
    let mut behind_handshake = vec![3_u8];
    behind_handshake.resize(1 + 2 * super::HANDSHAKE_BLOCK, 0);
    let Ok(url) = RtmpUrl::parse("rtmp://localhost/live/key") else { return };
    for purpose in [Purpose::Publish, Purpose::Play] {
        for prefix in [&[][..], &behind_handshake] {
            let mut session = ClientSession::new(ClientConfig::new(url.clone(), purpose), 1);
            assert_eq!(session.handle_input(prefix), Ok(()), "a good beginning");
            for piece in pieces(data) {
                let ended = session.handle_input(piece).is_err();
                while session.poll_event().is_some() {}
                session.send(super::Kind::Audio, 0, &[0xAF, 1], &Bytes::from_static(b"sound"));
                if ended {
                    break;
                }
            }
            session.finish();
        }
    }
}

fn pieces(data: &[u8]) -> impl Iterator<Item = &[u8]> {
    let (size, rest) = data.split_first().map_or((1, data), |(&n, rest)| (usize::from(n) + 1, rest));
    // The first byte is part of the input too, so that both ways of cutting see the same bytes.
    data.get(..data.len() - rest.len()).into_iter().chain(rest.chunks(size))
}

fn read_all<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> (Vec<RawMessage>, Option<super::Error>) {
    let mut reader = ChunkReader::new(0);
    let mut messages = Vec::new();
    for mut piece in pieces {
        loop {
            match reader.read(&mut piece) {
                Ok(Some(message)) => messages.push(message),
                Ok(None) => break,
                Err(error) => return (messages, Some(error)),
            }
        }
        assert!(piece.is_empty(), "all is taken");
    }
    (messages, None)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fuzz_replay::replay;
    use proptest::prelude::*;

    #[test]
    fn corpora() {
        let hello = [&[3_u8][..], &[0; 3072]].concat();
        replay("rtmp_handshake", fuzz_rtmp_handshake, &[b"", b"\x03", b"GET / HTTP/1.1", &hello]);
        let urls: &[&[u8]] = &[
            b"rtmp://u:p@h:1/a/b?c=%41\n?\n/",
            b"rtmps://live.example:443/app/?streamname=k&key=%E4%BD%A0",
            b"rtmp://[fe80::1]:1935/a",
            b"rtmp://[::1]x/a",
            b"://@:/?",
            b"live?token=a+b&token=a%20b\nrtmp://u%3A:p@h/live?x\nmp4:key?token=c&&=",
            b"%2e%2e/%\n\n%4",
        ];
        replay("rtmp_url", fuzz_rtmp_url, urls);
        let chunks: &[&[u8]] = &[
            b"",
            b"\x04",
            b"\xFF\xFF\xFF",
            // One-byte chunks, extended timestamps, repeated and not.
            b"\x02\0\0\0\0\0\x04\x01\0\0\0\0\0\0\0\x01\x04\xFF\xFF\xFF\0\0\x03\x09\x01\0\0\0\x01\x02\x03\x04a\xC4b\xC4\x01\x02\x03\x04c",
            b"\x04\xFF\xFF\xFF\0\0\x00\x09\x01\0\0\0\x01\x02\x03\x04\xC4\x01\x02\x03\xC4\xC4\xC4\xC4\xC4\xC4\xC4\xC4",
            // An aggregate, AMF that ends early, user control that ends early.
            b"\x04\0\0\0\0\0\x0C\x16\x01\0\0\0\x08\0\0\x01\0\0\0\0\0\0\0\xAF",
            b"\x04\0\0\0\0\0\x03\x14\0\0\0\0\x02\0\x09",
            b"\x04\0\0\0\0\0\x03\x04\0\0\0\0\0\x03\0",
            b"\x04\0\0\0\0\0\x1A\x14\x01\0\0\0\x02\0\x07_result\0\x3F\xF0\0\0\0\0\0\0\x05\x05\x05\x05\x05\x05\x05",
        ];
        replay("rtmp_chunk", fuzz_rtmp_chunk, chunks);
        replay("rtmp_server", fuzz_rtmp_server, chunks);
        replay("rtmp_client", fuzz_rtmp_client, chunks);
    }

    proptest! {
        #[test]
        fn nothing_panics(data in prop::collection::vec(any::<u8>(), 0..400)) {
            fuzz_rtmp_handshake(&data);
            fuzz_rtmp_url(&data);
            fuzz_rtmp_chunk(&data);
            fuzz_rtmp_server(&data);
            fuzz_rtmp_client(&data);
        }

        /// Headers that are well formed more often than chance has it.
        #[test]
        fn likely_chunks(chunks in prop::collection::vec(
            (0_u8..4, 2_u8..6, prop_oneof![Just(0xFF_FFFF_u32), 0_u32..1000], 0_u8..12,
             prop::sample::select(vec![1_u8, 2, 3, 4, 5, 6, 8, 9, 15, 17, 18, 20, 22]),
             prop::collection::vec(any::<u8>(), 0..20)), 0..30)) {
            let mut bytes = Vec::new();
            for (format, on, time, length, kind, payload) in chunks {
                bytes.push(format << 6 | on);
                let [_, time @ ..] = time.to_be_bytes();
                let header = [&time[..], &[0, 0, length, kind], &[1, 0, 0, 0]].concat();
                bytes.extend(&header[..[11, 7, 3, 0][usize::from(format)]]);
                bytes.extend(payload);
            }
            fuzz_rtmp_chunk(&bytes);
            fuzz_rtmp_server(&bytes);
            fuzz_rtmp_client(&bytes);
        }
    }
}
