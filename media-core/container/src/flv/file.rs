//! The FLV file: header, tags, PreviousTagSize (Adobe FLV 10.1 §E.2–E.4.1). HTTP-FLV is this, without an end.
//!
//! Not here: what is in the tags (`video`, `audio`, `metadata`).

use super::{FlvError, MAX_BODY, TagKind};
use bytes::{Buf, Bytes, BytesMut};

/// The file header with the first PreviousTagSize: what an HTTP-FLV answer begins with.
pub fn file_header(video: bool, audio: bool) -> [u8; 13] {
    let flags = u8::from(audio) << 2 | u8::from(video);
    [b'F', b'L', b'V', 1, flags, 0, 0, 0, 9, 0, 0, 0, 0]
}

/// What stands before a body of `length` bytes; `None` above [`MAX_BODY`]. Stream id 0.
pub fn tag_header(kind: TagKind, timestamp: u32, length: usize) -> Option<[u8; 11]> {
    let length = u32::try_from(length).ok().filter(|_| length <= MAX_BODY)?;
    let [_, l0, l1, l2] = length.to_be_bytes();
    let [high, t0, t1, t2] = timestamp.to_be_bytes();
    Some([kind.message_type(), l0, l1, l2, t0, t1, t2, high, 0, 0, 0])
}

/// What stands behind a body of `length` bytes: the size of the tag, its header included.
pub fn tag_trailer(length: usize) -> [u8; 4] {
    u32::try_from(length.saturating_add(11)).unwrap_or(u32::MAX).to_be_bytes()
}

/// A whole tag; `None` above [`MAX_BODY`].
pub fn tag(kind: TagKind, timestamp: u32, body: &[u8]) -> Option<Vec<u8>> {
    let header = tag_header(kind, timestamp, body.len())?;
    Some([&header[..], body, &tag_trailer(body.len())].concat())
}

/// A tag as it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tag {
    /// What it carries.
    pub kind: TagKind,
    /// Milliseconds, wrapping at 32 bits.
    pub timestamp: u32,
    /// What [`super::Demuxer::push`] takes.
    pub body: Bytes,
}

/// Cuts a byte stream into tags. Holds at most one unfinished tag (16 MiB) beside what was pushed last.
#[derive(Debug, Default)]
pub struct FileReader {
    buffer: BytesMut,
    place: Place,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Place {
    #[default]
    Start,
    /// Inside the header; so many bytes of it are left.
    Header(usize),
    Tags,
}

/// The header is 9 bytes; room is left for a version that has more.
const MAX_HEADER: usize = 64;
/// §E.4.1: bit 5 of the tag type.
const FILTERED: u8 = 0x20;

impl FileReader {
    /// A reader at the start of a file.
    pub fn new() -> Self {
        Self::default()
    }

    /// More bytes. Call [`Self::next_tag`] until it has no more before pushing again.
    pub fn push(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// The next whole tag; `Ok(None)` while it is unfinished. Tags of unknown types are passed over.
    ///
    /// # Errors
    /// [`FlvError::Signature`] for what is not FLV, [`FlvError::Encrypted`] for encrypted tags.
    pub fn next_tag(&mut self) -> Result<Option<Tag>, FlvError> {
        loop {
            match self.place {
                Place::Start => {
                    let Some(header) = self.buffer.first_chunk::<9>() else { return Ok(None) };
                    let [b'F', b'L', b'V', 1, _, offset @ ..] = *header else { return Err(FlvError::Signature) };
                    let length = usize::try_from(u32::from_be_bytes(offset)).unwrap_or(usize::MAX);
                    if !(9..=MAX_HEADER).contains(&length) {
                        return Err(FlvError::Signature);
                    }
                    self.place = Place::Header(length);
                }
                Place::Header(length) => {
                    // The first PreviousTagSize goes with it.
                    if self.buffer.len() < length + 4 {
                        return Ok(None);
                    }
                    self.buffer.advance(length + 4);
                    self.place = Place::Tags;
                }
                Place::Tags => {
                    let Some(header) = self.buffer.first_chunk::<11>() else { return Ok(None) };
                    let [kind, l0, l1, l2, t0, t1, t2, high, ..] = *header;
                    let length = usize::try_from(u32::from_be_bytes([0, l0, l1, l2])).unwrap_or(usize::MAX);
                    if kind & FILTERED != 0 {
                        return Err(FlvError::Encrypted);
                    }
                    // Behind the last tag of a file, PreviousTagSize may be missing; a live stream always has it.
                    if self.buffer.len() < 11 + length + 4 {
                        return Ok(None);
                    }
                    self.buffer.advance(11);
                    let body = self.buffer.split_to(length).freeze();
                    self.buffer.advance(4);
                    if let Some(kind) = TagKind::from_message_type(kind & 0x1F) {
                        return Ok(Some(Tag { kind, timestamp: u32::from_be_bytes([high, t0, t1, t2]), body }));
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn refuses_what_is_not_flv() {
        let check = |bytes: &[u8], want: Result<Option<Tag>, FlvError>| {
            let mut reader = FileReader::new();
            reader.push(bytes);
            assert_eq!(reader.next_tag(), want, "{bytes:02x?}");
        };
        check(b"FLV", Ok(None));
        check(b"<html><body>", Err(FlvError::Signature));
        check(b"FLV\x02\x05\0\0\0\x09", Err(FlvError::Signature));
        check(b"FLV\x01\x05\0\0\x09\0", Err(FlvError::Signature));
        check(
            &[&file_header(true, true)[..], &[0x29, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]].concat(),
            Err(FlvError::Encrypted),
        );
    }

    #[test]
    fn passes_over_unknown_types_and_long_headers() {
        let mut reader = FileReader::new();
        reader.push(b"FLV\x01\x05\0\0\0\x0aX\0\0\0\0");
        reader.push(&[7, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 99, 0, 0, 0, 12]);
        reader.push(&tag(TagKind::Audio, 0x0102_0304, &[1, 2]).unwrap());
        let want = Tag { kind: TagKind::Audio, timestamp: 0x0102_0304, body: Bytes::from_static(&[1, 2]) };
        assert_eq!(reader.next_tag(), Ok(Some(want)));
    }

    #[test]
    fn sizes_have_24_bits() {
        assert!(tag_header(TagKind::Video, 0, MAX_BODY).is_some());
        assert!(tag_header(TagKind::Video, 0, MAX_BODY + 1).is_none());
    }

    proptest! {
        #[test]
        fn tags_round_trip_in_any_pieces(
            tags in prop::collection::vec((0..3_usize, any::<u32>(), prop::collection::vec(any::<u8>(), 0..50)), 0..8),
            piece in 1..40_usize,
        ) {
            let kinds = [TagKind::Audio, TagKind::Video, TagKind::Script];
            let mut bytes = file_header(true, true).to_vec();
            for (kind, timestamp, body) in &tags {
                bytes.extend(tag(kinds[*kind], *timestamp, body).unwrap());
            }
            let (mut reader, mut got) = (FileReader::new(), Vec::new());
            for piece in bytes.chunks(piece) {
                reader.push(piece);
                while let Some(tag) = reader.next_tag().unwrap() {
                    got.push((kinds.iter().position(|k| *k == tag.kind).unwrap(), tag.timestamp, tag.body.to_vec()));
                }
            }
            prop_assert_eq!(got, tags);
        }
    }
}
