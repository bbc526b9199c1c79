//! Reading the fields of a tag body in order, without a panic and without a copy.

use super::FlvError;
use bytes::Bytes;

pub(super) struct Fields<'a> {
    body: &'a Bytes,
    at: usize,
}

impl<'a> Fields<'a> {
    pub(super) const fn new(body: &'a Bytes) -> Self {
        Self { body, at: 0 }
    }

    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N], FlvError> {
        let error = FlvError::Truncated { at: self.at };
        let field = self.body.get(self.at..).and_then(<[u8]>::first_chunk).ok_or(error)?;
        self.at += N;
        Ok(*field)
    }

    pub(super) fn u8(&mut self) -> Result<u8, FlvError> {
        Ok(self.array::<1>()?[0])
    }

    pub(super) fn u16(&mut self) -> Result<u16, FlvError> {
        Ok(u16::from_be_bytes(self.array()?))
    }

    pub(super) fn u24(&mut self) -> Result<u32, FlvError> {
        let [a, b, c] = self.array()?;
        Ok(u32::from_be_bytes([0, a, b, c]))
    }

    /// A signed number of 24 bits: the composition time (§E.4.3.1).
    pub(super) fn i24(&mut self) -> Result<i32, FlvError> {
        let [a, b, c] = self.array()?;
        Ok(i32::from_be_bytes([a, b, c, 0]) >> 8)
    }

    pub(super) fn take(&mut self, length: usize) -> Result<Bytes, FlvError> {
        let end = self.at.checked_add(length).filter(|&end| end <= self.body.len());
        let end = end.ok_or(FlvError::Truncated { at: self.at })?;
        let field = self.body.slice(self.at..end);
        self.at = end;
        Ok(field)
    }

    pub(super) fn rest(&mut self) -> Bytes {
        let rest = self.body.slice(self.at..);
        self.at = self.body.len();
        rest
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.at >= self.body.len()
    }
}
