//! Bytes of an RTSP connection to requests and interleaved frames (RFC 2326 §10.12), and answers and requests to text.
//!
//! Belongs here: where a message ends, and how long each part may be. Not here: what a request means (`server`).

use bytes::{Bytes, BytesMut};
use rtsp_types::{HeaderName, Message, Method, ParseError, Request, Response, StatusCode, Version, headers};
use std::fmt::Write;
use thiserror::Error;

/// Longest head of a request: a URL with its tokens may have 4096 bytes (what FFmpeg sends at most), the rest is short.
pub(super) const MAX_HEAD: usize = 16 << 10;
/// Longest body: a description of a handful of tracks has 2 KiB.
pub(super) const MAX_BODY: usize = 64 << 10;

/// Why bytes are no RTSP.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum WireError {
    /// Neither a message nor a frame begins here.
    #[error("byte {at} of the connection begins neither a message nor a frame")]
    Start {
        /// Counted from the connection's first byte.
        at: u64,
    },
    /// A head without an end.
    #[error("the message at byte {at} has more than {MAX_HEAD} bytes before its body")]
    Head {
        /// Where it begins.
        at: u64,
    },
    /// A body that is too long.
    #[error("the message at byte {at} announces a body of more than {MAX_BODY} bytes")]
    Body {
        /// Where it begins.
        at: u64,
    },
    /// Not the form of RFC 2326.
    #[error("the message at byte {at} is malformed")]
    Malformed {
        /// Where it begins.
        at: u64,
    },
}

/// What a peer sent.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Inbound {
    Request(Box<Request<Vec<u8>>>),
    Response(Box<Response<Vec<u8>>>),
    Frame { channel: u8, payload: Bytes },
}

/// Cuts a connection's bytes into messages and frames.
#[derive(Debug, Default)]
pub(super) struct Framer {
    buffer: BytesMut,
    /// Bytes taken out of the buffer so far.
    taken: u64,
    /// How far the buffer was searched for the end of a head.
    searched: usize,
}

impl Framer {
    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// Bytes received since the beginning.
    pub(super) fn received(&self) -> u64 {
        self.taken + self.buffer.len() as u64
    }

    /// Bytes that are not taken yet.
    pub(super) fn waiting(&self) -> usize {
        self.buffer.len()
    }

    /// The next whole message or frame.
    pub(super) fn next(&mut self) -> Result<Option<Inbound>, WireError> {
        // Some clients end a message with one line too many.
        while let Some(b'\r' | b'\n') = self.buffer.first() {
            self.take(1);
        }
        match self.buffer.first() {
            None => Ok(None),
            Some(b'$') => Ok(self.frame()),
            Some(first) if first.is_ascii_alphabetic() => self.message(),
            Some(_) => Err(WireError::Start { at: self.taken }),
        }
    }

    fn take(&mut self, count: usize) -> BytesMut {
        self.taken += count as u64;
        self.searched = 0;
        self.buffer.split_to(count)
    }

    fn frame(&mut self) -> Option<Inbound> {
        let &[_, channel, high, low] = self.buffer.get(..4).and_then(|h| <&[u8; 4]>::try_from(h).ok())?;
        let length = usize::from(u16::from_be_bytes([high, low]));
        if self.buffer.len() < 4 + length {
            return None;
        }
        let payload = self.take(4 + length).freeze().slice(4..);
        Some(Inbound::Frame { channel, payload })
    }

    fn message(&mut self) -> Result<Option<Inbound>, WireError> {
        let at = self.taken;
        let Some(head) = self.head_end() else {
            // A start that no message has is told at once, before a head's worth of it was read.
            let long = self.buffer.len() > MAX_HEAD;
            return if long { Err(WireError::Head { at }) } else { Ok(None) };
        };
        if head > MAX_HEAD {
            return Err(WireError::Head { at });
        }
        let text = normalised(self.buffer.get(..head).unwrap_or_default());
        let length = content_length(&text).ok_or(WireError::Malformed { at })?;
        if length > MAX_BODY {
            return Err(WireError::Body { at });
        }
        if self.buffer.len() < head + length {
            return Ok(None);
        }
        let whole = self.take(head + length);
        let message = [&text, whole.get(head..).unwrap_or_default()].concat();
        match Message::<Vec<u8>>::parse(&message) {
            Ok((Message::Request(request), _)) => Ok(Some(Inbound::Request(Box::new(request)))),
            Ok((Message::Response(response), _)) => Ok(Some(Inbound::Response(Box::new(response)))),
            Ok((Message::Data(_), _)) | Err(ParseError::Error | ParseError::Incomplete(_)) => {
                Err(WireError::Malformed { at })
            }
        }
    }

    /// The length of the head with its empty line, if it is all there. Lines may end without a carriage return.
    fn head_end(&mut self) -> Option<usize> {
        let from = self.searched.saturating_sub(3);
        let bytes = self.buffer.get(from..).unwrap_or_default();
        let mut end = None;
        for (i, _) in bytes.iter().enumerate().filter(|(_, b)| **b == b'\n') {
            let rest = bytes.get(i + 1..).unwrap_or_default();
            let blank = if rest.starts_with(b"\r\n") { 2 } else { usize::from(rest.starts_with(b"\n")) };
            if blank > 0 {
                end = Some(from + i + 1 + blank);
                break;
            }
        }
        // One that was found is found again when its body is there.
        if end.is_none() {
            self.searched = self.buffer.len();
        }
        end
    }
}

/// The head with every line ended as RFC 2326 has it.
fn normalised(head: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(head.len() + 16);
    for line in head.split_inclusive(|b| *b == b'\n') {
        let text = line.strip_suffix(b"\n").unwrap_or(line);
        out.extend_from_slice(text.strip_suffix(b"\r").unwrap_or(text));
        out.extend_from_slice(b"\r\n");
    }
    out
}

/// The body's length: zero where the head does not say; `None` where what it says is no number.
fn content_length(head: &[u8]) -> Option<usize> {
    for line in head.split(|b| *b == b'\n') {
        let Some(colon) = line.iter().position(|b| *b == b':') else { continue };
        let (name, value) = line.split_at(colon);
        if name.eq_ignore_ascii_case(b"content-length") {
            return std::str::from_utf8(value.get(1..)?).ok()?.trim().parse().ok();
        }
    }
    Some(0)
}

/// An answer, in the words of RFC 2326 §7.
#[derive(Debug)]
pub(super) struct Answer {
    text: String,
    body: Vec<u8>,
}

impl Answer {
    pub(super) fn new(status: StatusCode) -> Self {
        let mut text = String::from("RTSP/1.0 ");
        put(&mut text, format_args!("{} {status}\r\n", u16::from(status)));
        Self { text, body: Vec::new() }
    }

    /// Adds a line. Line breaks in `value`, which may quote the peer, become spaces.
    #[must_use]
    pub(super) fn line(mut self, name: &str, value: impl std::fmt::Display) -> Self {
        let value = value.to_string().replace(['\r', '\n'], " ");
        put(&mut self.text, format_args!("{name}: {value}\r\n"));
        self
    }

    #[must_use]
    pub(super) fn body(mut self, kind: &str, body: Vec<u8>) -> Self {
        self.body = body;
        let length = self.body.len();
        self.line("Content-Type", kind).line("Content-Length", length)
    }

    pub(super) fn into_bytes(self) -> Vec<u8> {
        [self.text.as_bytes(), b"\r\n", &self.body].concat()
    }
}

/// A request, in the words of RFC 2326 §6. The mirror of [`Answer`].
#[derive(Debug)]
pub(super) struct Query {
    text: String,
}

impl Query {
    pub(super) fn new(method: &str, url: &str) -> Self {
        Self { text: format!("{method} {url} RTSP/1.0\r\n") }
    }

    /// Adds a line. Line breaks in `value`, which may quote the peer, become spaces.
    #[must_use]
    pub(super) fn line(mut self, name: &str, value: impl std::fmt::Display) -> Self {
        let value = value.to_string().replace(['\r', '\n'], " ");
        put(&mut self.text, format_args!("{name}: {value}\r\n"));
        self
    }

    pub(super) fn into_bytes(self, body: Vec<u8>) -> Vec<u8> {
        let query = if body.is_empty() { self } else { self.line("Content-Length", body.len()) };
        [query.text.as_bytes(), b"\r\n", &body].concat()
    }
}

fn put(text: &mut String, what: std::fmt::Arguments<'_>) {
    text.write_fmt(what).expect("writing to a String does not fail");
}

/// The first value of a header.
pub(super) fn header<'a>(request: &'a Request<Vec<u8>>, name: &HeaderName) -> Option<&'a str> {
    request.header(name).map(|value| value.as_str().trim())
}

/// The number that answers repeat (RFC 2326 §12.17).
pub(super) fn cseq(request: &Request<Vec<u8>>) -> Option<u32> {
    header(request, &headers::CSEQ)?.parse().ok()
}

/// Is this the version we speak?
pub(super) fn speaks_1_0(request: &Request<Vec<u8>>) -> bool {
    request.version() == Version::V1_0
}

/// The methods this server has, for `Public`.
pub(super) const PUBLIC: &str =
    "OPTIONS, DESCRIBE, ANNOUNCE, SETUP, PLAY, PAUSE, RECORD, TEARDOWN, GET_PARAMETER, SET_PARAMETER";

/// A method's name for the log.
pub(super) fn method_name(method: &Method) -> &str {
    method.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(bytes: &[u8], step: usize) -> Result<Vec<Inbound>, WireError> {
        let mut framer = Framer::default();
        let mut out = Vec::new();
        for piece in bytes.chunks(step) {
            framer.push(piece);
            while let Some(inbound) = framer.next()? {
                out.push(inbound);
            }
        }
        Ok(out)
    }

    #[test]
    fn messages_and_frames_in_any_pieces() {
        let bytes = b"\r\nOPTIONS rtsp://h/a RTSP/1.0\r\nCSeq: 1\r\n\r\n$\x01\x00\x03abcANNOUNCE rtsp://h/a RTSP/1.0\n\
            cseq:2\nContent-length: 3\n\nv=0$\x00\x00\x00RTSP/1.0 200 OK\r\nCSeq: 3\r\n\r\n";
        for step in [1, 2, 3, 7, 1000] {
            let got = all(bytes, step).unwrap();
            let [Inbound::Request(options), frame, Inbound::Request(announce), empty, Inbound::Response(_)] = &got[..]
            else {
                panic!("{got:?}");
            };
            assert_eq!((cseq(options), cseq(announce)), (Some(1), Some(2)));
            assert_eq!(announce.body(), b"v=0");
            assert_eq!(*frame, Inbound::Frame { channel: 1, payload: Bytes::from_static(b"abc") });
            assert_eq!(*empty, Inbound::Frame { channel: 0, payload: Bytes::new() });
        }
    }

    #[test]
    fn refuses() {
        let check = |bytes: &[u8], want| assert_eq!(all(bytes, 1000), Err(want), "{bytes:?}");
        check(b"\x16\x03\x01", WireError::Start { at: 0 });
        check(&[b'A'; MAX_HEAD + 1], WireError::Head { at: 0 });
        check(b"A * RTSP/1.0\r\nContent-Length: 65537\r\n\r\n", WireError::Body { at: 0 });
        check(b"\r\nA * RTSP/1.0\r\nContent-Length: x\r\n\r\n", WireError::Malformed { at: 2 });
        check(b"GET / HTTP/1.1\r\n\r\n", WireError::Malformed { at: 0 });
    }

    #[test]
    fn answers_cannot_be_split() {
        let answer = Answer::new(StatusCode::Ok).line("X", "a\r\nb: c").body("t/t", b"xy".to_vec()).into_bytes();
        assert_eq!(
            String::from_utf8(answer).unwrap(),
            "RTSP/1.0 200 Ok\r\nX: a  b: c\r\nContent-Type: t/t\r\nContent-Length: 2\r\n\r\nxy"
        );
    }
}
