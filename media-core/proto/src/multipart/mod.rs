//! `multipart/x-mixed-replace` (RFC 2046 §5.1, as browsers took it over from Netscape): an HTTP answer of pictures that follow each other, as
//! cameras send them.
//!
//! Read as leniently as cameras write: a boundary with its dashes counted in or not, lines that end in a line feed alone, parts with
//! their length or without. Not here: HTTP itself (`relay`), what a part holds (`media`).

#[doc(hidden)]
pub mod fuzz;

use bytes::{Buf, Bytes, BytesMut};
use thiserror::Error;

/// The type of such an answer.
const TYPE: &str = "multipart/x-mixed-replace";
/// A part at most: a JPEG of 4K at its best quality stays below.
const MAX_PART: usize = 8 << 20;
/// A part's headers at most.
const MAX_HEADERS: usize = 8 << 10;
/// A boundary at most (RFC 2046 §5.1.1 says 70).
const MAX_BOUNDARY: usize = 256;

/// Why an answer cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum MultipartError {
    /// Another type, or one without its boundary.
    #[error("the answer is '{0}', not multipart/x-mixed-replace with a boundary")]
    Type(String),
    /// More than a picture is.
    #[error("a part, or its headers, is too large")]
    TooLarge,
}

/// Takes an answer apart, in whatever pieces it comes.
#[derive(Debug)]
pub struct Parts {
    /// Two dashes and the boundary's own characters.
    boundary: Vec<u8>,
    buffer: BytesMut,
    /// So much of the buffer holds no boundary and no end of headers.
    searched: usize,
    state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Before a boundary.
    Between,
    /// Behind one.
    Headers,
    /// In a part, of which the length is known or not.
    Part(Option<usize>),
}

impl Parts {
    /// For an answer with this `Content-Type`.
    ///
    /// # Errors
    /// [`MultipartError::Type`].
    pub fn new(content_type: &str) -> Result<Self, MultipartError> {
        let other = || MultipartError::Type(content_type.chars().take(80).collect());
        let mut fields = content_type.split(';').map(str::trim);
        if !fields.next().is_some_and(|kind| kind.eq_ignore_ascii_case(TYPE)) {
            return Err(other());
        }
        let named = |field: &str| {
            let (name, value) = field.split_once('=')?;
            name.trim().eq_ignore_ascii_case("boundary").then(|| value.trim().trim_matches('"').to_owned())
        };
        let boundary = fields.find_map(named).ok_or_else(other)?;
        // Some count the two dashes in that stand before it in the answer.
        let own = boundary.strip_prefix("--").unwrap_or(&boundary);
        if own.is_empty() || own.len() > MAX_BOUNDARY {
            return Err(other());
        }
        let boundary = [b"--", own.as_bytes()].concat();
        Ok(Self { boundary, buffer: BytesMut::new(), searched: 0, state: State::Between })
    }

    /// Takes the next bytes. Ask [`Self::next_part`] until there is none before the next.
    pub fn push(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// The next part that is whole, without its headers.
    ///
    /// # Errors
    /// [`MultipartError::TooLarge`]; nothing more can be read then.
    pub fn next_part(&mut self) -> Result<Option<Bytes>, MultipartError> {
        loop {
            match self.state {
                State::Between => match self.find_boundary() {
                    Some(at) => self.enter(at + self.boundary.len(), State::Headers),
                    None => {
                        // What stands between parts is nobody's.
                        self.buffer.advance(self.searched);
                        self.searched = 0;
                        return Ok(None);
                    }
                },
                State::Headers => match self.find_end_of_headers() {
                    Some((text, behind)) if behind <= MAX_HEADERS => {
                        let length = length(self.buffer.get(..text).unwrap_or_default());
                        if length.is_some_and(|length| length > MAX_PART) {
                            return Err(MultipartError::TooLarge);
                        }
                        self.enter(behind, State::Part(length));
                    }
                    None if self.buffer.len() <= MAX_HEADERS => return Ok(None),
                    _ => return Err(MultipartError::TooLarge),
                },
                State::Part(Some(length)) => {
                    if self.buffer.len() < length {
                        return Ok(None);
                    }
                    let part = self.buffer.split_to(length).freeze();
                    self.enter(0, State::Between);
                    if !part.is_empty() {
                        return Ok(Some(part));
                    }
                }
                State::Part(None) => {
                    let Some(at) = self.find_boundary() else {
                        return if self.buffer.len() <= MAX_PART { Ok(None) } else { Err(MultipartError::TooLarge) };
                    };
                    let mut part = self.buffer.split_to(at);
                    self.enter(0, State::Between);
                    // The line's end before a boundary belongs to it.
                    for end in [b'\n', b'\r'] {
                        if part.last() == Some(&end) {
                            part.truncate(part.len() - 1);
                        }
                    }
                    if !part.is_empty() {
                        return Ok(Some(part.freeze()));
                    }
                }
            }
        }
    }

    fn enter(&mut self, taken: usize, state: State) {
        self.buffer.advance(taken.min(self.buffer.len()));
        self.searched = 0;
        self.state = state;
    }

    fn find_boundary(&mut self) -> Option<usize> {
        let rest = self.buffer.get(self.searched..).unwrap_or_default();
        let found = rest.windows(self.boundary.len()).position(|window| window == self.boundary);
        let at = found.map(|at| self.searched + at);
        if at.is_none() {
            // Its beginning may be here already.
            self.searched = (self.buffer.len() + 1).saturating_sub(self.boundary.len()).max(self.searched);
        }
        at
    }

    /// Where the headers' text ends, and where the part begins.
    fn find_end_of_headers(&self) -> Option<(usize, usize)> {
        let ends = self.buffer.iter().enumerate().filter(|(_, byte)| **byte == b'\n').map(|(at, _)| at);
        // The first line is the boundary's own.
        ends.skip(1).find_map(|at| {
            let line = self.buffer.get(..at)?;
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            line.ends_with(b"\n").then_some((line.len(), at + 1))
        })
    }
}

/// `Content-Length`, where it is there and is a number.
fn length(headers: &[u8]) -> Option<usize> {
    String::from_utf8_lossy(headers).lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.trim().eq_ignore_ascii_case("content-length").then(|| value.trim().parse().ok())?
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(content_type: &str, answer: &[u8], piece: usize) -> Vec<Bytes> {
        let mut parts = Parts::new(content_type).unwrap();
        let mut out = Vec::new();
        for piece in answer.chunks(piece) {
            parts.push(piece);
            while let Some(part) = parts.next_part().unwrap() {
                out.push(part);
            }
        }
        out
    }

    #[test]
    fn what_cameras_send() {
        let esp32 =
            b"\r\n--1234567890\r\nContent-Type: image/jpeg\r\nContent-Length: 4\r\nX-Timestamp: 1.2\r\n\r\n\xFF\xD8--\
            \r\n--1234567890\r\nContent-Type: image/jpeg\r\nContent-Length: 3\r\n\r\nxyz";
        // mjpg-streamer counts the dashes in; others send no length, and lines without a carriage return.
        let bare = b"--frame\nContent-type: image/jpeg\n\nab\n\n--frame\nContent-type: image/jpeg\n\ncd\r\n--frame--\n";
        for piece in [1, 2, 7, 1000] {
            let got = read("multipart/x-mixed-replace;boundary=1234567890", esp32, piece);
            assert_eq!(got, [&b"\xFF\xD8--"[..], b"xyz"], "{piece} bytes at once");
            let got = read("Multipart/X-Mixed-Replace; x=y; Boundary=\"--frame\"", bare, piece);
            assert_eq!(got, [&b"ab\n"[..], b"cd"], "{piece} bytes at once");
        }
    }

    #[test]
    fn other_answers_and_endless_ones() {
        for other in ["image/jpeg", "multipart/x-mixed-replace", "multipart/x-mixed-replace; boundary=--", ""] {
            assert!(matches!(Parts::new(other), Err(MultipartError::Type(_))), "{other}");
        }
        let endless = |head: &[u8]| {
            let mut parts = Parts::new("multipart/x-mixed-replace; boundary=b").unwrap();
            parts.push(head);
            for _ in 0..200 {
                parts.push(&[b'x'; 64 << 10]);
                if parts.next_part().is_err() {
                    return true;
                }
                assert!(parts.buffer.len() <= MAX_PART, "bounded");
            }
            false
        };
        assert!(endless(b"--b\r\nContent-Type: image/jpeg\r\n\r\n"));
        assert!(endless(b"--b\r\nContent-Length: 99999999999\r\n\r\n"));
        assert!(endless(b"--b\r\nX: "));
        assert!(!endless(b"no boundary at all"), "that is only passed over");
    }
}
