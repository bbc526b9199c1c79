//! A bit reader for the few headers that need one. Not here: Exp-Golomb (`h264-reader` does that).

/// Reads big-endian bit fields; past the end it answers `None`.
#[derive(Debug, Clone)]
pub struct Bits<'a> {
    bytes: &'a [u8],
    position: usize,
}

impl<'a> Bits<'a> {
    /// Begins at the first bit of `bytes`.
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, position: 0 }
    }

    /// The next `count` bits (at most 32).
    pub fn take(&mut self, count: u32) -> Option<u32> {
        debug_assert!(count <= 32, "a field of at most 32 bits");
        let mut value = 0_u64;
        for _ in 0..count {
            let byte = *self.bytes.get(self.position / 8)?;
            value = (value << 1) | u64::from((byte >> (7 - self.position % 8)) & 1);
            self.position += 1;
        }
        u32::try_from(value).ok()
    }
}

/// Writes big-endian bit fields into bytes, zero-padded at the end.
#[derive(Default)]
pub(crate) struct BitWriter {
    bytes: Vec<u8>,
    used: u32,
}

impl BitWriter {
    pub(crate) fn put(&mut self, value: u32, count: u32) {
        for shift in (0..count).rev() {
            if self.used.is_multiple_of(8) {
                self.bytes.push(0);
            }
            let bit = u8::from((value >> shift) & 1 == 1);
            if let Some(last) = self.bytes.last_mut() {
                *last |= bit << (7 - self.used % 8);
            }
            self.used += 1;
        }
    }

    pub(crate) fn finish(self) -> Vec<u8> {
        self.bytes
    }
}
