//! What both sides of a connection do alike: handshake, chunks, acknowledgements, pings, and the queue of answers.
//!
//! Belongs here: everything below commands. Not here: commands and streams (`server`, `client`).

use super::chunk::{ChunkReader, ChunkWriter, RawMessage};
use super::error::{Error, ErrorKind};
use super::handshake::{Handshake, Side};
use super::message::{Command, Message, UserControl, kind};
use super::{Kind, Media};
use crate::output::Output;
use bytes::Bytes;
use media::Unwrapper;

/// What peers of ours announce and expect without an announcement; the number every server uses.
pub(super) const WINDOW: u32 = 2_500_000;

/// Chunks we send: nearly every message is one chunk then, and SRS takes none larger.
pub(super) const CHUNK_SIZE: u32 = 65_536;

/// Answers that may wait for a peer that does not read. A peer that asks this much is not asking for the answers.
const MAX_UNREAD: usize = 1 << 20;

/// Chunk streams we send on. Audio and video have their own, so that their timestamp deltas stay small.
mod chunk_stream {
    pub(super) const CONTROL: u32 = 2;
    pub(super) const COMMAND: u32 = 3;
    pub(super) const AUDIO: u32 = 4;
    pub(super) const STATUS: u32 = 5;
    pub(super) const VIDEO: u32 = 6;
    pub(super) const DATA: u32 = 7;
}

/// One end of a connection below its commands.
#[derive(Debug)]
pub(super) struct Link {
    handshake: Handshake,
    reader: ChunkReader,
    writer: ChunkWriter,
    pub(super) output: Output,
    /// Of the peer: how often it wants to hear.
    window: u32,
    acknowledged: u64,
    /// Unwraps what the peer acknowledges.
    theirs: Unwrapper<32>,
    /// Answers written since the output was last seen empty.
    unread: usize,
}

/// What came in and is not this layer's own business.
#[derive(Debug)]
pub(super) enum Incoming {
    /// The handshake is over.
    Ready,
    /// The peer has received this many bytes.
    Acknowledged(u64),
    UserControl(UserControl),
    Command(Command, RawMessage),
    Media(Media),
    /// Several media messages in one.
    Aggregate(Vec<Media>),
}

impl Link {
    pub(super) fn new(side: Side, seed: u64) -> Self {
        let mut output = Output::default();
        let mut handshake = Handshake::new(side, seed);
        handshake.start(&mut output);
        Self {
            handshake,
            reader: ChunkReader::new(0),
            writer: ChunkWriter::new(),
            output,
            window: WINDOW,
            acknowledged: 0,
            theirs: Unwrapper::new(),
            unread: 0,
        }
    }

    /// Takes from the front of `input` up to the next thing the session must know.
    pub(super) fn receive(&mut self, input: &mut &[u8]) -> Result<Option<Incoming>, Error> {
        if !self.handshake.is_done() {
            self.handshake.receive(input, &mut self.output)?;
            if !self.handshake.is_done() {
                return Ok(None);
            }
            let max_message = self.reader.max_message();
            self.reader = ChunkReader::new(self.handshake.received());
            self.reader.set_max_message(max_message);
            return Ok(Some(Incoming::Ready));
        }
        while let Some(raw) = self.reader.read(input)? {
            if let Some(incoming) = self.message(raw)? {
                return Ok(Some(incoming));
            }
        }
        self.acknowledge()?;
        Ok(None)
    }

    /// An error at the first byte of `raw`.
    fn message(&mut self, raw: RawMessage) -> Result<Option<Incoming>, Error> {
        let at = raw.offset;
        let media = |kind, body: Bytes| {
            // Empty messages say nothing; ffmpeg and Flash send them as a sign of life.
            (!body.is_empty()).then_some(Incoming::Media(Media { kind, timestamp: raw.timestamp, body }))
        };
        Ok(match Message::parse(&raw).map_err(|e| e.at(at))? {
            Message::Acknowledgement(bytes) => {
                let bytes = self.theirs.unwrap(u64::from(bytes));
                Some(Incoming::Acknowledged(u64::try_from(bytes).unwrap_or(0)))
            }
            Message::WindowAckSize(bytes) => {
                self.window = bytes.max(1);
                None
            }
            Message::SetPeerBandwidth { size, .. } => {
                if size > 0 && size != WINDOW {
                    self.answer(kind::WINDOW_ACK_SIZE, &size.to_be_bytes())?;
                }
                None
            }
            Message::UserControl(UserControl::PingRequest(stamp)) => {
                self.answer(kind::USER_CONTROL, &UserControl::PingResponse(stamp).encode())?;
                None
            }
            Message::UserControl(event) => Some(Incoming::UserControl(event)),
            Message::Audio(body) => media(Kind::Audio, body),
            Message::Video(body) => media(Kind::Video, body),
            Message::Data(body) => media(Kind::Data, body),
            Message::Command(command) => Some(Incoming::Command(command, raw)),
            Message::Aggregate => {
                let parts = super::message::aggregate_parts(&raw).map_err(|e| e.at(at))?;
                Some(Incoming::Aggregate(parts.into_iter().filter_map(part).collect()))
            }
            Message::Other => None,
        })
    }

    /// Bytes received so far.
    pub(super) const fn received(&self) -> u64 {
        if self.handshake.is_done() { self.reader.offset() } else { self.handshake.received() }
    }

    pub(super) fn set_max_message(&mut self, bytes: usize) {
        self.reader.set_max_message(bytes);
    }

    pub(super) fn set_chunk_size(&mut self) {
        self.writer.set_chunk_size(&mut self.output, CHUNK_SIZE);
    }

    pub(super) fn control(&mut self, kind: u8, body: &[u8]) {
        self.writer.write(&mut self.output, chunk_stream::CONTROL, kind, 0, 0, body, &Bytes::new());
    }

    pub(super) fn user_control(&mut self, event: UserControl) {
        self.control(kind::USER_CONTROL, &event.encode());
    }

    /// A command of our own.
    pub(super) fn command(&mut self, stream: u32, command: &Command) {
        let on = if stream == 0 { chunk_stream::COMMAND } else { chunk_stream::STATUS };
        self.writer.write(&mut self.output, on, kind::COMMAND, stream, 0, &command.encode(), &Bytes::new());
    }

    /// A command the peer caused, counted against what it may leave unread.
    pub(super) fn reply(&mut self, stream: u32, command: &Command) -> Result<(), Error> {
        let before = self.output.len();
        self.command(stream, command);
        self.count_unread(before)
    }

    pub(super) fn media(&mut self, stream: u32, kind: Kind, timestamp: u32, head: &[u8], payload: &Bytes) {
        let (on, kind) = match kind {
            Kind::Audio => (chunk_stream::AUDIO, kind::AUDIO),
            Kind::Video => (chunk_stream::VIDEO, kind::VIDEO),
            Kind::Data => (chunk_stream::DATA, kind::DATA),
        };
        self.writer.write(&mut self.output, on, kind, stream, timestamp, head, payload);
    }

    fn answer(&mut self, kind: u8, body: &[u8]) -> Result<(), Error> {
        let before = self.output.len();
        self.control(kind, body);
        self.count_unread(before)
    }

    fn count_unread(&mut self, before: usize) -> Result<(), Error> {
        if before == 0 {
            self.unread = 0;
        }
        self.unread += self.output.len() - before;
        if self.unread > MAX_UNREAD {
            return Err(ErrorKind::Unread(MAX_UNREAD).at(self.received()));
        }
        Ok(())
    }

    /// At most one acknowledgement for each input, whatever window the peer names.
    fn acknowledge(&mut self) -> Result<(), Error> {
        let received = self.received();
        if received - self.acknowledged >= u64::from(self.window) {
            self.acknowledged = received;
            let [.., a, b, c, d] = received.to_be_bytes();
            self.answer(kind::ACKNOWLEDGEMENT, &[a, b, c, d])?;
        }
        Ok(())
    }
}

fn part(raw: RawMessage) -> Option<Media> {
    let timestamp = raw.timestamp;
    match Message::parse(&raw).ok()? {
        Message::Audio(body) => Some(Media { kind: Kind::Audio, timestamp, body }),
        Message::Video(body) => Some(Media { kind: Kind::Video, timestamp, body }),
        Message::Data(body) => Some(Media { kind: Kind::Data, timestamp, body }),
        _ => None,
    }
    .filter(|m| !m.body.is_empty())
}
