//! Walking boxes of foreign bytes, one level at a time.
//!
//! Containers are walked here and only boxes without children go to the box layer: it decodes whatever it finds inside
//! anything, and a hostile file nests deeper than a stack is high.

use super::Fmp4Error;
use mp4_atom::Atom;

/// A box: its type, where it begins, and what is in it.
#[derive(Clone, Copy)]
pub(super) struct BoxAt<'a> {
    pub(super) kind: [u8; 4],
    /// Offset of the box in the bytes that were given.
    pub(super) at: usize,
    /// Offset of `body`.
    pub(super) body_at: usize,
    pub(super) body: &'a [u8],
}

/// The boxes of one level, in order. Ends after an error.
pub(super) struct Boxes<'a> {
    bytes: &'a [u8],
    /// What `bytes` begins at.
    offset: usize,
}

impl<'a> Boxes<'a> {
    /// The boxes in `bytes`.
    pub(super) const fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, offset: 0 }
    }

    fn read(&mut self) -> Option<BoxAt<'a>> {
        let (size, rest) = self.bytes.split_first_chunk::<4>()?;
        let (kind, rest) = rest.split_first_chunk::<4>()?;
        // Size 1: 64 bits follow. Size 0: to the end (ISO/IEC 14496-12 §4.2).
        let (size, header) = match u32::from_be_bytes(*size) {
            0 => (self.bytes.len(), 8),
            1 => (usize::try_from(u64::from_be_bytes(*rest.first_chunk()?)).ok()?, 16),
            size => (usize::try_from(size).ok()?, 8),
        };
        let body = self.bytes.get(header..size)?;
        let found = BoxAt { kind: *kind, at: self.offset, body_at: self.offset + header, body };
        self.bytes = self.bytes.get(size..)?;
        self.offset += size;
        Some(found)
    }
}

impl<'a> Iterator for Boxes<'a> {
    type Item = Result<BoxAt<'a>, Fmp4Error>;

    fn next(&mut self) -> Option<Self::Item> {
        // Fewer bytes than a header are padding.
        if self.bytes.len() < 8 {
            return None;
        }
        let error = Fmp4Error::Box { at: self.offset };
        Some(self.read().ok_or_else(|| {
            self.bytes = &[];
            error
        }))
    }
}

impl<'a> BoxAt<'a> {
    /// The boxes inside.
    pub(super) const fn children(&self) -> Boxes<'a> {
        Boxes { bytes: self.body, offset: self.body_at }
    }

    /// The boxes behind the first `skip` bytes of the body.
    pub(super) fn children_after(&self, skip: usize) -> Boxes<'a> {
        Boxes { bytes: self.body.get(skip..).unwrap_or(&[]), offset: self.body_at.saturating_add(skip) }
    }

    /// The first box inside of this type, if there is one.
    pub(super) fn find(&self, kind: &[u8; 4]) -> Result<Option<Self>, Fmp4Error> {
        find(self.children(), kind)
    }

    /// The first box inside of this type.
    pub(super) fn need(&self, kind: &'static str) -> Result<Self, Fmp4Error> {
        let missing = Fmp4Error::Missing(kind);
        let Ok(four) = kind.as_bytes().try_into() else { return Err(missing) };
        self.find(four)?.ok_or(missing)
    }

    /// The body as the box layer reads it. Only for boxes without children.
    pub(super) fn decode<T: Atom>(&self, kind: &'static str) -> Result<T, Fmp4Error> {
        T::decode_body(&mut &*self.body).map_err(|e| Fmp4Error::Content { kind, at: self.at, reason: e.to_string() })
    }
}

/// The first box of this type.
pub(super) fn find<'a>(boxes: Boxes<'a>, kind: &[u8; 4]) -> Result<Option<BoxAt<'a>>, Fmp4Error> {
    for found in boxes {
        let found = found?;
        if found.kind == *kind {
            return Ok(Some(found));
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn walks_one_level() {
        type Short<'a> = Result<(&'a [u8; 4], usize, &'a [u8]), Fmp4Error>;
        let check = |bytes: &[u8], want: &[Short<'_>]| {
            let found: Vec<_> = Boxes::new(bytes).collect();
            let got: Vec<Short<'_>> =
                found.iter().map(|b| b.as_ref().map(|b| (&b.kind, b.body_at, b.body)).map_err(Clone::clone)).collect();
            assert_eq!(got, want, "{bytes:02x?}");
        };
        check(&[], &[]);
        check(b"\0\0\0\x09freeX\0\0\0\x08skip\0\0", &[Ok((b"free", 8, b"X")), Ok((b"skip", 17, b""))]);
        check(b"\0\0\0\x01mdat\0\0\0\0\0\0\0\x11X", &[Ok((b"mdat", 16, b"X"))]);
        check(b"\0\0\0\0mdatXY", &[Ok((b"mdat", 8, b"XY"))]);
        check(b"\0\0\0\x10freeX", &[Err(Fmp4Error::Box { at: 0 })]);
        check(b"\0\0\0\x08free\0\0\0\x07free", &[Ok((b"free", 8, b"")), Err(Fmp4Error::Box { at: 8 })]);
        check(b"\0\0\0\x01mdat\xff\xff\xff\xff\xff\xff\xff\xff", &[Err(Fmp4Error::Box { at: 0 })]);
    }
}
