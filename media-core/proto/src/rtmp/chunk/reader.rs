//! Chunks to messages.
//!
//! Bounded on every side: chunk streams, one message, all unfinished messages together. Memory for a long message is
//! taken only after the peer has sent the first 64 KiB of it.

use super::super::error::{Error, ErrorKind};
use super::super::message::kind;
use super::header::{Gathered, Header, MAX_HEADER, basic_length, be, chunk_stream, format, message_header_length};
use super::{EXTENDED, INITIAL_CHUNK_SIZE, MAX_MESSAGE, RawMessage};
use bytes::Bytes;

/// Real peers use fewer than ten.
const MAX_CHUNK_STREAMS: usize = 64;
/// All unfinished messages together: one of the longest and as much again beside it.
const MAX_UNFINISHED: usize = 2 * MAX_MESSAGE;
/// What a message gets before its length is believed.
const FIRST_CAPACITY: usize = 64 * 1024;
/// A larger chunk than the longest message is the same as no chunks.
const MAX_CHUNK_SIZE: usize = MAX_MESSAGE;

/// Puts messages together from chunks. Set Chunk Size and Abort act here and are not handed on.
#[derive(Debug)]
pub struct ChunkReader {
    chunk_size: usize,
    max_message: usize,
    streams: Vec<Stream>,
    /// Capacity of all unfinished messages.
    reserved: usize,
    state: State,
    header: Gathered<MAX_HEADER>,
    /// Bytes taken for an extended timestamp that turned out not to be one; they come before the next input.
    carry: Gathered<4>,
    /// Of the next byte, `carry` first.
    offset: u64,
}

/// What a chunk stream remembers from its last header, and its unfinished message.
#[derive(Debug)]
struct Stream {
    id: u32,
    timestamp: u32,
    delta: u32,
    length: usize,
    kind: u8,
    message_stream: u32,
    extended: Option<Extended>,
    message: Option<Unfinished>,
}

/// The extended timestamp of the last header of type 0–2, which chunks of type 3 may repeat.
#[derive(Debug, Clone, Copy)]
struct Extended {
    field: u32,
    absolute: bool,
}

#[derive(Debug)]
struct Unfinished {
    body: Vec<u8>,
    offset: u64,
}

#[derive(Debug)]
enum State {
    Header,
    /// `left` bytes of this chunk belong to the stream with this index.
    Payload {
        index: usize,
        left: usize,
    },
}

impl ChunkReader {
    /// A reader whose first byte is number `offset` of the peer's stream.
    pub const fn new(offset: u64) -> Self {
        Self {
            chunk_size: INITIAL_CHUNK_SIZE,
            max_message: MAX_MESSAGE,
            streams: Vec::new(),
            reserved: 0,
            state: State::Header,
            header: Gathered::new(),
            carry: Gathered::new(),
            offset,
        }
    }

    /// Messages longer than this are refused from now on; at most [`MAX_MESSAGE`].
    pub fn set_max_message(&mut self, bytes: usize) {
        self.max_message = bytes.min(MAX_MESSAGE);
    }

    /// The longest message taken now.
    pub const fn max_message(&self) -> usize {
        self.max_message
    }

    /// Number of the next byte in the peer's stream.
    pub const fn offset(&self) -> u64 {
        self.offset
    }

    /// Memory held for unfinished messages, in bytes.
    pub const fn reserved(&self) -> usize {
        self.reserved
    }

    /// Takes from the front of `input` until a message is whole, or all of it.
    ///
    /// # Errors
    /// What cannot be a chunk stream, or passes a bound. The reader is of no use afterwards.
    pub fn read(&mut self, input: &mut &[u8]) -> Result<Option<RawMessage>, Error> {
        loop {
            if self.carry.is_empty() {
                let message = self.read_piece(input)?;
                if message.is_some() || self.carry.is_empty() {
                    return Ok(message);
                }
            }
            let carried = std::mem::replace(&mut self.carry, Gathered::new());
            let mut rest = carried.bytes();
            let message = self.read_piece(&mut rest)?;
            // A chain of short chunks can carry again; those bytes come before what is left here, and were part of it.
            for &byte in rest {
                self.carry.push(byte);
            }
            if message.is_some() {
                return Ok(message);
            }
        }
    }

    fn read_piece(&mut self, input: &mut &[u8]) -> Result<Option<RawMessage>, Error> {
        loop {
            let message = match self.state {
                State::Header => {
                    if !self.gather_header(input) {
                        return Ok(None);
                    }
                    self.begin_chunk()?
                }
                State::Payload { index, left } => {
                    if input.is_empty() {
                        return Ok(None);
                    }
                    self.take_payload(index, left, input)?
                }
            };
            if let Some(message) = message
                && let Some(message) = self.control(message)?
            {
                return Ok(Some(message));
            }
            if !self.carry.is_empty() {
                // What was taken for a timestamp comes before the rest of `input`.
                return Ok(None);
            }
        }
    }

    /// Fills `header` from `input`; is it whole?
    fn gather_header(&mut self, input: &mut &[u8]) -> bool {
        loop {
            let have = self.header.len();
            let need = self.header_need();
            if have >= need {
                return true;
            }
            let (taken, rest) = input.split_at((need - have).min(input.len()));
            *input = rest;
            if taken.is_empty() {
                return false;
            }
            self.offset += taken.len() as u64;
            for &byte in taken {
                self.header.push(byte);
            }
        }
    }

    /// Bytes the header must have, as far as those that are there tell.
    fn header_need(&self) -> usize {
        let bytes = self.header.bytes();
        let basic = basic_length(bytes);
        if bytes.len() < basic {
            return basic;
        }
        let format = format(bytes);
        let fixed = basic + message_header_length(format);
        if bytes.len() < fixed {
            return fixed;
        }
        let extension = bytes.get(fixed..).unwrap_or(&[]);
        if format < 3 {
            let field = bytes.get(basic..basic + 3).map(be);
            return if field == Some(EXTENDED) { fixed + 4 } else { fixed };
        }
        let Some(stream) = self.find(chunk_stream(bytes)).and_then(|i| self.streams.get(i)) else { return fixed };
        match stream.extended {
            None => fixed,
            // Inside a message the repetition is the very bytes, or the time they led to: the first other byte tells
            // that this peer does not repeat, without waiting for a fourth byte that may be long in coming.
            Some(extended) if stream.message.is_some() => {
                let like = |value: u32| value.to_be_bytes().starts_with(extension);
                if extension.len() < 4 && (like(extended.field) || like(stream.timestamp)) {
                    fixed + extension.len() + 1
                } else {
                    fixed + extension.len()
                }
            }
            Some(_) => fixed + 4,
        }
    }

    /// Reads the gathered header, and where the chunk has no payload perhaps the whole message.
    fn begin_chunk(&mut self) -> Result<Option<RawMessage>, Error> {
        let gathered = std::mem::replace(&mut self.header, Gathered::new());
        let offset = self.offset - gathered.len() as u64;
        let header = Header::parse(gathered.bytes());
        let index = match self.find(header.chunk_stream) {
            Some(index) => index,
            // librtmp begins chunk stream 2 with a user control message under a header of type 1.
            None if header.format < 2 => self.add_stream(header.chunk_stream, offset)?,
            None => {
                let (format, chunk_stream) = (header.format, header.chunk_stream);
                return Err(ErrorKind::NoHeader { format, chunk_stream }.at(offset));
            }
        };
        let Some(stream) = self.streams.get_mut(index) else { return Ok(None) };

        if header.format < 3
            && let Some(unfinished) = stream.message.take()
        {
            // A new header ends what was begun, as after Abort: ffmpeg, too, goes on here.
            self.reserved -= unfinished.body.capacity();
        }
        match header.format {
            3 => {
                if stream.message.is_none() && stream.extended.is_none() {
                    // §5.3.1.2.4: the last delta again; behind a type 0 header that is its whole timestamp.
                    stream.timestamp = stream.timestamp.wrapping_add(stream.delta);
                }
                // Bytes gathered behind the basic header were taken for an extended timestamp.
                let extension = gathered.bytes().get(basic_length(gathered.bytes())..).unwrap_or(&[]);
                if !header.time.is_some_and(|time| stream.repeats(time)) {
                    self.offset -= extension.len() as u64;
                    for &byte in extension {
                        self.carry.push(byte);
                    }
                }
            }
            format => {
                let time = header.time.unwrap_or(0);
                stream.extended = header.extended.then_some(Extended { field: time, absolute: format == 0 });
                stream.delta = time;
                stream.timestamp = if format == 0 { time } else { stream.timestamp.wrapping_add(time) };
                if format < 2 {
                    stream.length = header.length;
                    stream.kind = header.kind;
                }
                if format == 0 {
                    stream.message_stream = header.message_stream;
                }
            }
        }
        if stream.message.is_none() {
            if stream.length > self.max_message {
                return Err(ErrorKind::MessageTooLong { length: stream.length, limit: self.max_message }.at(offset));
            }
            let body = Vec::with_capacity(stream.length.min(FIRST_CAPACITY));
            self.reserved += body.capacity();
            stream.message = Some(Unfinished { body, offset });
            if self.reserved > MAX_UNFINISHED {
                return Err(ErrorKind::Unfinished(MAX_UNFINISHED).at(offset));
            }
        }
        let have = stream.message.as_ref().map_or(0, |m| m.body.len());
        let left = stream.length.saturating_sub(have).min(self.chunk_size);
        if left == 0 {
            return Ok(self.finish(index));
        }
        self.state = State::Payload { index, left };
        Ok(None)
    }

    fn take_payload(&mut self, index: usize, left: usize, input: &mut &[u8]) -> Result<Option<RawMessage>, Error> {
        let (taken, rest) = input.split_at(left.min(input.len()));
        *input = rest;
        let offset = self.offset;
        self.offset += taken.len() as u64;
        let Some(stream) = self.streams.get_mut(index) else { return Ok(None) };
        let Some(unfinished) = &mut stream.message else { return Ok(None) };
        let body = &mut unfinished.body;
        if body.len() + taken.len() > body.capacity() {
            // The peer has sent FIRST_CAPACITY bytes: now the rest is taken in one exact piece, and never moved again.
            let before = body.capacity();
            body.reserve_exact(stream.length.saturating_sub(body.len()));
            self.reserved += body.capacity() - before;
            if self.reserved > MAX_UNFINISHED {
                return Err(ErrorKind::Unfinished(MAX_UNFINISHED).at(offset));
            }
        }
        body.extend_from_slice(taken);
        if body.len() >= stream.length {
            return Ok(self.finish(index));
        }
        self.state = match left - taken.len() {
            0 => State::Header,
            left => State::Payload { index, left },
        };
        Ok(None)
    }

    fn finish(&mut self, index: usize) -> Option<RawMessage> {
        self.state = State::Header;
        let stream = self.streams.get_mut(index)?;
        let done = stream.message.take()?;
        self.reserved -= done.body.capacity();
        Some(RawMessage {
            kind: stream.kind,
            stream: stream.message_stream,
            timestamp: stream.timestamp,
            body: Bytes::from(done.body),
            offset: done.offset,
        })
    }

    /// Set Chunk Size and Abort act at once, since the very next chunk depends on them.
    fn control(&mut self, message: RawMessage) -> Result<Option<RawMessage>, Error> {
        if !matches!(message.kind, kind::SET_CHUNK_SIZE | kind::ABORT) {
            return Ok(Some(message));
        }
        let Some(field) = message.body.get(..4).map(be) else {
            return Err(ErrorKind::Control { kind: message.kind, length: message.body.len() }.at(message.offset));
        };
        if message.kind == kind::SET_CHUNK_SIZE {
            if field == 0 || field > 0x7FFF_FFFF {
                return Err(ErrorKind::ChunkSize(field).at(message.offset));
            }
            self.chunk_size = usize::try_from(field).unwrap_or(MAX_CHUNK_SIZE).min(MAX_CHUNK_SIZE);
        } else if let Some(stream) = self.find(field).and_then(|i| self.streams.get_mut(i))
            && let Some(aborted) = stream.message.take()
        {
            self.reserved -= aborted.body.capacity();
        }
        Ok(None)
    }

    fn find(&self, chunk_stream: u32) -> Option<usize> {
        self.streams.iter().position(|s| s.id == chunk_stream)
    }

    fn add_stream(&mut self, id: u32, offset: u64) -> Result<usize, Error> {
        if self.streams.len() >= MAX_CHUNK_STREAMS {
            return Err(ErrorKind::ChunkStreams(MAX_CHUNK_STREAMS).at(offset));
        }
        self.streams.push(Stream {
            id,
            timestamp: 0,
            delta: 0,
            length: 0,
            kind: 0,
            message_stream: 0,
            extended: None,
            message: None,
        });
        Ok(self.streams.len() - 1)
    }
}

impl Stream {
    /// A chunk of type 3 came with these four bytes behind it: are they the extended timestamp once more (§5.3.1.3; ffmpeg,
    /// SRS, librtmp since 2.4) or already payload (older librtmp, some encoders)? A new message also moves the time on.
    fn repeats(&mut self, extension: u32) -> bool {
        let Some(last) = self.extended else { return false };
        if self.message.is_some() {
            return extension == last.field || extension == self.timestamp;
        }
        if last.absolute {
            // A new message behind a full header: SRS reads its extension as a new absolute time. Payload that looks
            // like a time within some hours after the last one does not occur.
            let near = extension.wrapping_sub(self.timestamp) <= EXTENDED;
            if near {
                self.timestamp = extension;
                self.extended = Some(Extended { field: extension, absolute: true });
            }
            near
        } else {
            self.timestamp = self.timestamp.wrapping_add(last.field);
            extension == last.field
        }
    }
}
