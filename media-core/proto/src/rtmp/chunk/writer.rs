//! Messages to chunks.
//!
//! Headers are compressed only where every reader agrees on the meaning: a chunk of type 3 begins a message only behind an
//! explicit delta, and absolute times beyond 24 bits are written once, so that whether a peer wants extended timestamps
//! repeated in type 3 seldom matters.

use super::super::message::kind;
use super::{EXTENDED, INITIAL_CHUNK_SIZE};
use crate::output::Output;
use bytes::Bytes;

/// Cuts messages into chunks.
#[derive(Debug)]
pub struct ChunkWriter {
    chunk_size: usize,
    streams: Vec<Stream>,
}

/// What the peer remembers of a chunk stream.
#[derive(Debug, Clone, Copy)]
struct Stream {
    id: u32,
    timestamp: u32,
    delta: Option<u32>,
    length: usize,
    kind: u8,
    message_stream: u32,
}

impl Default for ChunkWriter {
    fn default() -> Self {
        Self::new()
    }
}

impl ChunkWriter {
    /// A writer at the initial chunk size of 128.
    pub const fn new() -> Self {
        Self { chunk_size: INITIAL_CHUNK_SIZE, streams: Vec::new() }
    }

    /// Announces chunks of `bytes` (1 to 2³¹−1) and uses them from the next message on.
    pub fn set_chunk_size(&mut self, out: &mut Output, bytes: u32) {
        let bytes = bytes.clamp(1, 0x7FFF_FFFF);
        self.write(out, 2, kind::SET_CHUNK_SIZE, 0, 0, &bytes.to_be_bytes(), &Bytes::new());
        self.chunk_size = usize::try_from(bytes).unwrap_or(usize::MAX);
    }

    /// Writes one message on a chunk stream (2–65599): `head` is copied, `payload` shared. What passes the 24-bit length
    /// field is cut off; no caller has such a message.
    pub fn write(
        &mut self,
        out: &mut Output,
        chunk_stream: u32,
        kind: u8,
        message_stream: u32,
        timestamp: u32,
        head: &[u8],
        payload: &Bytes,
    ) {
        let head = head.get(..0xFF_FFFF).unwrap_or(head);
        let payload = payload.slice(..payload.len().min(0xFF_FFFF - head.len()));
        let length = head.len() + payload.len();
        let mut next = Stream { id: chunk_stream, timestamp, delta: None, length, kind, message_stream };
        let place = self.streams.iter().position(|s| s.id == chunk_stream);
        let last = place.and_then(|i| self.streams.get(i)).copied();
        let mut extended = None;
        match last {
            Some(last)
                if last.message_stream == message_stream && timestamp.wrapping_sub(last.timestamp) < EXTENDED =>
            {
                let delta = timestamp.wrapping_sub(last.timestamp);
                next.delta = Some(delta);
                let same_shape = last.length == length && last.kind == kind;
                if same_shape && last.delta == Some(delta) {
                    write_basic(out, 3, chunk_stream);
                } else if same_shape {
                    write_basic(out, 2, chunk_stream);
                    write_24(out, delta);
                } else {
                    write_basic(out, 1, chunk_stream);
                    write_24(out, delta);
                    write_shape(out, length, kind);
                }
            }
            _ => {
                write_basic(out, 0, chunk_stream);
                write_24(out, timestamp.min(EXTENDED));
                write_shape(out, length, kind);
                out.extend(&message_stream.to_le_bytes());
                if timestamp >= EXTENDED {
                    extended = Some(timestamp);
                    out.extend(&timestamp.to_be_bytes());
                }
            }
        }
        match place.and_then(|i| self.streams.get_mut(i)) {
            Some(stream) => *stream = next,
            None => self.streams.push(next),
        }

        let mut room = self.chunk_size;
        let make_room = |out: &mut Output, room: &mut usize| {
            if *room == 0 {
                write_basic(out, 3, chunk_stream);
                if let Some(timestamp) = extended {
                    out.extend(&timestamp.to_be_bytes());
                }
                *room = self.chunk_size;
            }
        };
        let mut left = head;
        while !left.is_empty() {
            make_room(out, &mut room);
            let (piece, rest) = left.split_at(room.min(left.len()));
            out.extend(piece);
            room -= piece.len();
            left = rest;
        }
        let mut left = payload;
        while !left.is_empty() {
            make_room(out, &mut room);
            let piece = left.split_to(room.min(left.len()));
            room -= piece.len();
            out.share(piece);
        }
    }
}

/// Chunk type and chunk stream id in one, two or three bytes (§5.3.1.1).
fn write_basic(out: &mut Output, format: u8, chunk_stream: u32) {
    let format = format << 6;
    let beyond = chunk_stream.saturating_sub(64).min(0xFFFF);
    let [.., high, low] = beyond.to_be_bytes();
    match chunk_stream {
        0..=63 => out.extend(&[format | chunk_stream.to_be_bytes()[3]]),
        64..=319 => out.extend(&[format, low]),
        _ => out.extend(&[format | 1, low, high]),
    }
}

fn write_24(out: &mut Output, value: u32) {
    let [_, bytes @ ..] = value.to_be_bytes();
    out.extend(&bytes);
}

fn write_shape(out: &mut Output, length: usize, kind: u8) {
    write_24(out, u32::try_from(length).unwrap_or(EXTENDED));
    out.extend(&[kind]);
}
