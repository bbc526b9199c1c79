//! What a peer can get wrong, and where in its byte stream.
//!
//! Not here: refusals, which are events ([`super::ClientEvent::Refused`]), not errors.

use media::amf0;
use thiserror::Error;

/// A fault that ends the connection: the offset counts every byte the peer has sent since the handshake's first.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("RTMP at byte {offset}: {kind}")]
pub struct Error {
    /// Where: the byte itself, or the first byte of the message that is at fault.
    pub offset: u64,
    /// What.
    pub kind: ErrorKind,
}

/// What was wrong.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The first byte is no RTMP version.
    #[error("handshake version {0} is not 3; this is not an RTMP peer")]
    Version(u8),
    /// RTMPE, which encrypts without protecting; RTMPS does that.
    #[error("handshake version {0} asks for RTMPE; use RTMPS")]
    Encrypted(u8),
    /// A chunk that relies on a header its chunk stream never had (§5.3.1.2).
    #[error("chunk of type {format} on chunk stream {chunk_stream}, which has had no full header")]
    NoHeader {
        /// Chunk type 1–3.
        format: u8,
        /// Chunk stream id.
        chunk_stream: u32,
    },
    /// More chunk streams than any peer uses.
    #[error("more than {0} chunk streams")]
    ChunkStreams(usize),
    /// A message longer than allowed.
    #[error("message of {length} bytes where {limit} are allowed")]
    MessageTooLong {
        /// Announced length.
        length: usize,
        /// Bytes allowed now.
        limit: usize,
    },
    /// Too much in unfinished messages.
    #[error("unfinished messages of more than {0} bytes in all")]
    Unfinished(usize),
    /// Set Chunk Size with zero, or with its high bit set (§5.4.1).
    #[error("chunk size {0}")]
    ChunkSize(u32),
    /// A control message too short for its field.
    #[error("control message of type {kind} has only {length} bytes")]
    Control {
        /// Message type id.
        kind: u8,
        /// Bytes it has.
        length: usize,
    },
    /// A user control message too short for its event (§7.1.7).
    #[error("user control event {event} has only {length} bytes")]
    UserControl {
        /// Event type.
        event: u16,
        /// Bytes behind the event type.
        length: usize,
    },
    /// A command without name and transaction id.
    #[error("command without a name and a transaction id")]
    Command,
    /// AMF0 that does not parse; its offset counts within the message.
    #[error("in the message: {0}")]
    Amf(#[from] amf0::Error),
    /// An aggregate message whose parts do not fill it (§7.1.6).
    #[error("aggregate message is broken at its byte {0}")]
    Aggregate(usize),
    /// Media before the publish request was answered, more than is kept.
    #[error("more than {0} bytes of media before the publish request was answered")]
    Held(usize),
    /// The peer asks and asks and does not read the answers.
    #[error("more than {0} bytes of answers that the peer does not read")]
    Unread(usize),
}

impl ErrorKind {
    pub(super) const fn at(self, offset: u64) -> Error {
        Error { offset, kind: self }
    }
}
