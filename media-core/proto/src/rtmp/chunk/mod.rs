//! The chunk stream (§5.3): messages cut into pieces that share one connection.
//!
//! Belongs here: headers and their compression, extended timestamps, Set Chunk Size and Abort, the bounds on what a peer
//! can make us keep. Not here: what messages mean (`message`, `server`, `client`).

mod header;
mod reader;
#[cfg(test)]
mod tests;
mod writer;

pub use reader::ChunkReader;
pub use writer::ChunkWriter;

use bytes::Bytes;

/// Longest message taken: a 4K key frame stays far below, the 24-bit length allows just this.
pub const MAX_MESSAGE: usize = 1 << 24;

/// Both sides start with this chunk size (§5.4.1).
const INITIAL_CHUNK_SIZE: usize = 128;

/// A timestamp field of all ones says that 32 bits follow (§5.3.1.3).
const EXTENDED: u32 = 0xFF_FFFF;

/// A whole message as the chunk stream carries it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RawMessage {
    /// Message type id (see [`super::kind`]).
    pub kind: u8,
    /// Message stream id; 0 for what concerns the connection.
    pub stream: u32,
    /// Milliseconds, modulo 2³².
    pub timestamp: u32,
    /// The payload.
    pub body: Bytes,
    /// Where its first chunk began in the peer's byte stream.
    pub offset: u64,
}
