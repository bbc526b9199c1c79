//! NAL units and their two framings: Annex B start codes, and four-byte lengths.
//!
//! Belongs here: splitting, joining, the kinds of H.264 NAL units. Not here: what an SPS says (`h264`), H.265's
//! kinds (`h265`).

use crate::video::NalRole;
use thiserror::Error;

/// What a byte stream of NAL units can get wrong.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum NalError {
    /// A length field reaches past the end of the access unit.
    #[error("NAL unit at byte {at} claims {claimed} bytes, {left} are left")]
    Truncated {
        /// Offset of the length field.
        at: usize,
        /// What the field says.
        claimed: usize,
        /// What follows it.
        left: usize,
    },
    /// More NAL units than any encoder makes for one picture.
    #[error("more than {MAX_NALS} NAL units in one access unit")]
    TooMany,
    /// There is no NAL unit at all.
    #[error("no NAL unit")]
    Empty,
}

/// Level 5.2 at 1200-byte slices stays below this; anything above is hostile.
pub(crate) const MAX_NALS: usize = 8192;

/// An access unit delimiter that allows every slice type (§7.3.2.4).
pub(crate) const ACCESS_UNIT_DELIMITER: &[u8] = &[9, 0xF0];

/// What a NAL unit is, by `nal_unit_type` (ITU-T H.264 table 7-1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NalKind {
    /// A slice of a non-IDR picture (1), or one of its data partitions (2–4).
    Slice,
    /// A slice of an IDR picture (5): decoding can start here.
    Idr,
    /// Supplemental enhancement information (6).
    Sei,
    /// Sequence parameter set (7).
    Sps,
    /// Picture parameter set (8).
    Pps,
    /// Access unit delimiter (9).
    Delimiter,
    /// Everything else.
    Other(u8),
}

impl NalKind {
    /// The kind of `nal`; an empty one is `Other(0)`.
    pub fn of(nal: &[u8]) -> Self {
        match nal.first().copied().unwrap_or(0) & 0x1F {
            1..=4 => Self::Slice,
            5 => Self::Idr,
            6 => Self::Sei,
            7 => Self::Sps,
            8 => Self::Pps,
            9 => Self::Delimiter,
            other => Self::Other(other),
        }
    }

    /// Does the NAL unit carry picture data?
    pub const fn is_picture(self) -> bool {
        matches!(self, Self::Slice | Self::Idr)
    }

    /// What becomes of it in an access unit.
    pub const fn role(self) -> NalRole {
        match self {
            Self::Slice => NalRole::Delta,
            Self::Idr => NalRole::Key,
            Self::Sps | Self::Pps => NalRole::ParameterSet,
            Self::Delimiter => NalRole::Delimiter,
            Self::Sei | Self::Other(_) => NalRole::Other,
        }
    }
}

/// The NAL units of an Annex B byte stream (ITU-T H.264 annex B), without start codes and trailing zeros.
#[derive(Debug, Clone)]
pub struct AnnexB<'a> {
    rest: &'a [u8],
}

impl<'a> AnnexB<'a> {
    /// Bytes before the first start code are skipped.
    pub fn new(bytes: &'a [u8]) -> Self {
        let rest = match find_start_code(bytes) {
            Some((_, after)) => bytes.get(after..).unwrap_or(&[]),
            None => &[],
        };
        Self { rest }
    }

    /// As if a start code stood before the first byte: one NAL unit, and those that a careless sender left behind it.
    pub const fn behind_a_start_code(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }
}

impl<'a> Iterator for AnnexB<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        while !self.rest.is_empty() {
            let (nal, rest) = match find_start_code(self.rest) {
                Some((at, after)) => (self.rest.get(..at)?, self.rest.get(after..).unwrap_or(&[])),
                None => (self.rest, &[][..]),
            };
            self.rest = rest;
            // trailing_zero_8bits (B.1) and the first zero of a four-byte start code.
            let end = nal.iter().rposition(|&b| b != 0).map_or(0, |last| last + 1);
            if end > 0 {
                return nal.get(..end);
            }
        }
        None
    }
}

/// Position of the next `00 00 01`, and of the byte after it.
fn find_start_code(bytes: &[u8]) -> Option<(usize, usize)> {
    let mut at = 0;
    while let Some(window) = bytes.get(at..at + 3) {
        // Skip as far as the third byte allows: it must be 0 or 1 to be part of a start code.
        if window[2] > 1 {
            at += 3;
        } else if window == [0, 0, 1] {
            return Some((at, at + 3));
        } else {
            at += 1;
        }
    }
    None
}

/// The NAL units of a length-prefixed access unit, lengths of four bytes, big endian.
#[derive(Debug, Clone)]
pub struct LengthPrefixed<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> LengthPrefixed<'a> {
    /// Checks every length first, so that iteration cannot fail.
    ///
    /// # Errors
    /// [`NalError`] where a length does not fit or there are too many units.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, NalError> {
        let (mut at, mut count) = (0, 0);
        while at < bytes.len() {
            let (length, start) = length_at(bytes, at)?;
            at = start + length;
            count += 1;
            if count > MAX_NALS {
                return Err(NalError::TooMany);
            }
        }
        Ok(Self { bytes, at: 0 })
    }

    /// For payloads that were checked when their access unit was made; a broken one just ends early.
    pub(crate) const fn trusted(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }
}

fn length_at(bytes: &[u8], at: usize) -> Result<(usize, usize), NalError> {
    let truncated = |claimed, start| NalError::Truncated { at, claimed, left: bytes.len().saturating_sub(start) };
    let field = bytes.get(at..at + 4).ok_or_else(|| truncated(4, at))?;
    let length = field.iter().fold(0_usize, |n, &b| (n << 8) | usize::from(b));
    let start = at + 4;
    if length > bytes.len() - start {
        return Err(truncated(length, start));
    }
    Ok((length, start))
}

impl<'a> Iterator for LengthPrefixed<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        while self.at < self.bytes.len() {
            let (length, start) = length_at(self.bytes, self.at).ok()?;
            self.at = start + length;
            if length > 0 {
                return self.bytes.get(start..self.at);
            }
        }
        None
    }
}

/// Appends `nal` behind a four-byte start code.
pub fn append_annex_b(out: &mut Vec<u8>, nal: &[u8]) {
    out.extend_from_slice(&[0, 0, 0, 1]);
    out.extend_from_slice(nal);
}

/// Appends `nal` behind its four-byte length. A NAL unit of 4 GiB or more cannot exist here: access units are bounded.
pub fn append_length_prefixed(out: &mut Vec<u8>, nal: &[u8]) {
    let length = u32::try_from(nal.len()).unwrap_or(u32::MAX);
    out.extend_from_slice(&length.to_be_bytes());
    out.extend_from_slice(nal);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn splits_annex_b() {
        let check = |bytes: &[u8], want: &[&[u8]]| assert_eq!(AnnexB::new(bytes).collect::<Vec<_>>(), want);
        check(&[], &[]);
        check(&[0, 0, 1], &[]);
        check(&[0, 0, 0, 1, 0x67, 1, 0, 0, 0, 1, 0x68, 2], &[&[0x67, 1], &[0x68, 2]]);
        check(&[9, 9, 0, 0, 1, 0x65, 0, 0, 3, 0, 0, 0], &[&[0x65, 0, 0, 3]]);
        check(&[0, 0, 1, 0, 0, 1, 0x41], &[&[0x41]]);
    }

    #[test]
    fn refuses_lengths_past_the_end() {
        assert!(matches!(
            LengthPrefixed::parse(&[0, 0, 0, 9, 1]),
            Err(NalError::Truncated { claimed: 9, left: 1, .. })
        ));
        assert!(matches!(LengthPrefixed::parse(&[0, 0]), Err(NalError::Truncated { .. })));
    }

    fn nal() -> impl Strategy<Value = Vec<u8>> {
        // No emulated start code, no trailing zero: what a NAL unit is (7.4.1).
        prop::collection::vec(2_u8.., 1..60)
    }

    proptest! {
        #[test]
        fn framings_round_trip(nals in prop::collection::vec(nal(), 1..20)) {
            let (mut annex, mut prefixed) = (Vec::new(), Vec::new());
            for n in &nals {
                append_annex_b(&mut annex, n);
                append_length_prefixed(&mut prefixed, n);
            }
            prop_assert_eq!(AnnexB::new(&annex).map(<[u8]>::to_vec).collect::<Vec<_>>(), nals.clone());
            prop_assert_eq!(LengthPrefixed::parse(&prefixed).unwrap().map(<[u8]>::to_vec).collect::<Vec<_>>(), nals);
        }
    }
}
