//! A chunk's header as bytes: how long it is, and what it says (§5.3.1).
//!
//! Not here: what a header leaves to the one before it (`reader`).

/// Basic header 3, message header 11, extended timestamp 4.
pub(super) const MAX_HEADER: usize = 18;

/// A header as it stood on the wire.
pub(super) struct Header {
    pub(super) format: u8,
    pub(super) chunk_stream: u32,
    /// The three bytes, or four where they say so. Absent in type 3 without extension.
    pub(super) time: Option<u32>,
    pub(super) extended: bool,
    pub(super) length: usize,
    pub(super) kind: u8,
    pub(super) message_stream: u32,
}

impl Header {
    /// Reads a header that is whole.
    pub(super) fn parse(bytes: &[u8]) -> Self {
        let format = format(bytes);
        let rest = bytes.get(basic_length(bytes)..).unwrap_or(&[]);
        let extension = rest.get(message_header_length(format)..).and_then(|r| r.get(..4)).map(be);
        let field = if format < 3 { rest.get(..3).map(be) } else { None };
        Self {
            format,
            chunk_stream: chunk_stream(bytes),
            time: extension.or(field),
            extended: extension.is_some(),
            length: rest.get(3..6).and_then(|b| usize::try_from(be(b)).ok()).unwrap_or(0),
            kind: rest.get(6).copied().unwrap_or(0),
            // The one little-endian field of the protocol.
            message_stream: rest.get(7..11).map_or(0, |b| be(b).swap_bytes()),
        }
    }
}

/// The chunk type in the first byte.
pub(super) fn format(bytes: &[u8]) -> u8 {
    bytes.first().map_or(0, |b| b >> 6)
}

/// Length of the basic header, as its first byte tells.
pub(super) fn basic_length(bytes: &[u8]) -> usize {
    match bytes.first().map(|b| b & 0x3F) {
        Some(0) => 2,
        Some(1) => 3,
        _ => 1,
    }
}

/// Length of the message header of chunk types 0–3 (§5.3.1.2).
pub(super) const fn message_header_length(format: u8) -> usize {
    match format {
        0 => 11,
        1 => 7,
        2 => 3,
        _ => 0,
    }
}

/// The chunk stream id in a basic header (§5.3.1.1).
pub(super) fn chunk_stream(bytes: &[u8]) -> u32 {
    let at = |i: usize| u32::from(bytes.get(i).copied().unwrap_or(0));
    match at(0) & 0x3F {
        0 => 64 + at(1),
        1 => 64 + at(1) + 256 * at(2),
        id => id,
    }
}

/// A big-endian number of at most four bytes.
pub(super) fn be(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0, |value, &byte| value << 8 | u32::from(byte))
}

/// A few bytes gathered over several inputs.
#[derive(Debug)]
pub(super) struct Gathered<const N: usize> {
    bytes: [u8; N],
    length: usize,
}

impl<const N: usize> Gathered<N> {
    pub(super) const fn new() -> Self {
        Self { bytes: [0; N], length: 0 }
    }

    pub(super) const fn len(&self) -> usize {
        self.length
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.length == 0
    }

    pub(super) fn bytes(&self) -> &[u8] {
        self.bytes.get(..self.length).unwrap_or(&[])
    }

    pub(super) fn push(&mut self, byte: u8) {
        if let Some(place) = self.bytes.get_mut(self.length) {
            *place = byte;
            self.length += 1;
        }
    }
}
