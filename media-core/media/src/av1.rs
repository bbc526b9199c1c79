//! AV1: open bitstream units, the sequence header, the configuration record, and the entrance of an AV1 track.
//!
//! Sections are those of the AV1 Bitstream & Decoding Process Specification 1.0; the record is that of the AV1 Codec ISO Media
//! File Format Binding §2.3. Not here: RTP aggregation (`proto::rtp`), boxes and tags (`container`).

use crate::CodecParams;
use crate::bits::Bits;
use crate::unit::UnitKind;
use crate::video::VideoUnit;
use bytes::Bytes;
use std::sync::Arc;
use thiserror::Error;

/// What AV1 bytes can get wrong.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Av1Error {
    /// An open bitstream unit ends early, or its header is none (§5.3).
    #[error("open bitstream unit at byte {at} is broken")]
    Obu {
        /// Offset of the unit.
        at: usize,
    },
    /// More units than any encoder makes for one picture.
    #[error("more than {MAX_OBUS} open bitstream units in one temporal unit")]
    TooMany,
    /// The sequence header ends early or names an impossible size (§5.5).
    #[error("broken sequence header")]
    Sequence,
    /// Not a configuration record of version 1.
    #[error("broken AV1 configuration record")]
    Record,
    /// A picture came before its sequence header.
    #[error("a picture before its sequence header")]
    NoParams,
}

/// The largest tiling has 4096 tile groups.
const MAX_OBUS: usize = 8192;
/// Sequence headers of real streams have some 11 bytes, with every operating point 300.
const MAX_SEQUENCE: usize = 1024;

/// `obu_type` (§6.2.2), as far as it matters here.
mod obu {
    pub(super) const SEQUENCE_HEADER: u8 = 1;
    pub(super) const TEMPORAL_DELIMITER: u8 = 2;
    pub(super) const FRAME_HEADER: u8 = 3;
    pub(super) const FRAME: u8 = 6;
    pub(super) const TILE_LIST: u8 = 8;
    pub(super) const PADDING: u8 = 15;
}

/// One open bitstream unit within a temporal unit.
#[derive(Debug, Clone, Copy)]
struct Obu<'a> {
    kind: u8,
    /// One byte, or two with the extension; the size field is not in it.
    header: &'a [u8],
    payload: &'a [u8],
    /// Header, size and payload.
    whole: &'a [u8],
    /// Does it have a size field?
    sized: bool,
}

impl Obu<'_> {
    /// Is it one that files and messages leave out (binding §2.4)?
    const fn is_left_out(&self) -> bool {
        matches!(self.kind, obu::TEMPORAL_DELIMITER | obu::TILE_LIST | obu::PADDING)
    }

    /// Appends it with a size field.
    fn write(&self, out: &mut Vec<u8>) {
        let [first, extension @ ..] = self.header else { return };
        out.push(first | 2);
        out.extend_from_slice(extension);
        put_leb128(out, self.payload.len());
        out.extend_from_slice(self.payload);
    }
}

/// The units of a temporal unit in the low-overhead format (§5.2). Ends after an error.
struct Obus<'a> {
    bytes: &'a [u8],
    at: usize,
    count: usize,
}

impl<'a> Obus<'a> {
    const fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0, count: 0 }
    }

    fn read(rest: &'a [u8]) -> Option<Obu<'a>> {
        let first = *rest.first()?;
        // The forbidden bit.
        if first & 0x80 != 0 {
            return None;
        }
        let header = rest.get(..1 + usize::from(first >> 2 & 1))?;
        let sized = first & 2 != 0;
        let (start, length) = if sized {
            let (length, bytes) = leb128(rest.get(header.len()..)?)?;
            (header.len() + bytes, length)
        } else {
            (header.len(), rest.len() - header.len())
        };
        let end = start.checked_add(length)?;
        Some(Obu { kind: first >> 3 & 15, header, payload: rest.get(start..end)?, whole: rest.get(..end)?, sized })
    }
}

impl<'a> Iterator for Obus<'a> {
    type Item = Result<Obu<'a>, Av1Error>;

    fn next(&mut self) -> Option<Self::Item> {
        let rest = self.bytes.get(self.at..).filter(|rest| !rest.is_empty())?;
        self.count += 1;
        let found = match Self::read(rest) {
            Some(_) if self.count > MAX_OBUS => Err(Av1Error::TooMany),
            Some(found) => Ok(found),
            None => Err(Av1Error::Obu { at: self.at }),
        };
        self.at = found.as_ref().map_or(self.bytes.len(), |found| self.at + found.whole.len());
        Some(found)
    }
}

/// A size and how many bytes it takes (§4.10.5).
fn leb128(bytes: &[u8]) -> Option<(usize, usize)> {
    let mut value = 0_u64;
    for (index, &byte) in bytes.iter().take(8).enumerate() {
        value |= u64::from(byte & 0x7F) << (7 * index);
        if byte & 0x80 == 0 {
            let value = u32::try_from(value).ok()?;
            return Some((usize::try_from(value).ok()?, index + 1));
        }
    }
    None
}

fn put_leb128(out: &mut Vec<u8>, mut value: usize) {
    loop {
        let low = u8::try_from(value & 0x7F).unwrap_or(0);
        value >>= 7;
        if value == 0 {
            out.push(low);
            return;
        }
        out.push(low | 0x80);
    }
}

/// What an AV1 track decodes with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Av1Params {
    /// The sequence header as an open bitstream unit with its size.
    sequence: Bytes,
    facts: Facts,
}

/// What the sequence header says (§5.5).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Facts {
    profile: u8,
    level: u8,
    tier: bool,
    width: u32,
    height: u32,
    /// Pictures are still pictures with a header that says nothing.
    reduced: bool,
    high_depth: bool,
    twelve_bit: bool,
    monochrome: bool,
    subsampling: (bool, bool),
    sample_position: u8,
}

impl Av1Params {
    /// Reads the sequence header out of the units in `bytes`, with or without others.
    ///
    /// # Errors
    /// [`Av1Error::NoParams`] where there is none, [`Av1Error`] where it or what is before it does not parse.
    pub fn from_obus(bytes: &[u8]) -> Result<Self, Av1Error> {
        for found in Obus::new(bytes) {
            let found = found?;
            if found.kind == obu::SEQUENCE_HEADER {
                return Self::from_sequence(&found);
            }
        }
        Err(Av1Error::NoParams)
    }

    fn from_sequence(found: &Obu<'_>) -> Result<Self, Av1Error> {
        if found.payload.len() > MAX_SEQUENCE {
            return Err(Av1Error::Sequence);
        }
        let facts = Facts::read(found.payload).ok_or(Av1Error::Sequence)?;
        let mut sequence = Vec::with_capacity(found.whole.len() + 2);
        found.write(&mut sequence);
        Ok(Self { sequence: sequence.into(), facts })
    }

    /// Reads an AV1 codec configuration record, as FLV and MP4 carry it. `Ok(None)` where it holds no sequence header: that
    /// comes with the first key picture then.
    ///
    /// # Errors
    /// [`Av1Error::Record`] for another version, and as [`Self::from_obus`].
    pub fn from_av1c(record: &[u8]) -> Result<Option<Self>, Av1Error> {
        let (head, obus) = record.split_at_checked(4).ok_or(Av1Error::Record)?;
        if head.first() != Some(&0x81) {
            return Err(Av1Error::Record);
        }
        match Self::from_obus(obus) {
            Ok(params) => Ok(Some(params)),
            Err(Av1Error::NoParams) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The AV1 codec configuration record with the sequence header in it.
    pub fn av1c(&self) -> Vec<u8> {
        let Facts { profile, level, tier, high_depth, twelve_bit, monochrome, subsampling, sample_position, .. } =
            self.facts;
        let flags = [tier, high_depth, twelve_bit, monochrome, subsampling.0, subsampling.1];
        let flags = flags.into_iter().fold(0, |byte, flag| byte << 1 | u8::from(flag));
        let mut out = vec![0x81, profile << 5 | level, flags << 2 | sample_position, 0];
        out.extend_from_slice(&self.sequence);
        out
    }

    /// The sequence header as an open bitstream unit with its size.
    pub const fn sequence_header(&self) -> &Bytes {
        &self.sequence
    }

    /// Largest width of the sequence's pictures, in pixels.
    pub const fn width(&self) -> u32 {
        self.facts.width
    }

    /// Largest height of the sequence's pictures, in pixels.
    pub const fn height(&self) -> u32 {
        self.facts.height
    }

    /// Profile, level and tier (`seq_profile`, `seq_level_idx`, `seq_tier`) of the first operating point.
    pub const fn profile_level_tier(&self) -> (u8, u8, bool) {
        (self.facts.profile, self.facts.level, self.facts.tier)
    }

    /// The units of a temporal unit in canonical form, each without its size, as RTP carries them. In front of a key picture stands the
    /// sequence header, whether or not it is in `unit`.
    pub fn unsized_obus(&self, unit: &[u8], key: bool) -> Vec<Vec<u8>> {
        let plain = |found: &Obu<'_>| {
            let [first, extension @ ..] = found.header else { return Vec::new() };
            [&[first & !2], extension, found.payload].concat()
        };
        let own: Vec<Obu<'_>> = Obus::new(unit).map_while(Result::ok).collect();
        let missing = key && own.iter().all(|found| found.kind != obu::SEQUENCE_HEADER);
        let sequence = missing.then(|| Obus::new(&self.sequence).next()?.ok()).flatten();
        sequence.iter().chain(&own).map(plain).collect()
    }

    /// The RFC 6381 name, such as `av01.0.04M.08` (binding §5).
    pub fn codec_string(&self) -> String {
        let Facts { profile, level, tier, .. } = self.facts;
        format!("av01.{profile}.{level:02}{}.{:02}", if tier { 'H' } else { 'M' }, self.facts.depth())
    }
}

impl Facts {
    const fn depth(&self) -> u8 {
        match (self.high_depth, self.twelve_bit) {
            (false, _) => 8,
            (true, false) => 10,
            (true, true) => 12,
        }
    }

    fn read(payload: &[u8]) -> Option<Self> {
        let mut bits = Bits::new(payload);
        let mut facts = Self { profile: bits.small(3)?, ..Self::default() };
        bits.take(1)?;
        facts.reduced = bits.flag()?;
        if facts.reduced {
            facts.level = bits.small(5)?;
        } else {
            facts.operating_points(&mut bits)?;
        }
        let (width_bits, height_bits) = (bits.take(4)? + 1, bits.take(4)? + 1);
        facts.width = bits.take(width_bits)? + 1;
        facts.height = bits.take(height_bits)? + 1;
        if facts.width > 16_384 || facts.height > 16_384 || facts.profile > 2 {
            return None;
        }
        if !facts.reduced && bits.flag()? {
            bits.take(7)?;
        }
        bits.take(3)?;
        if !facts.reduced {
            tools(&mut bits)?;
        }
        bits.take(3)?;
        facts.colour(&mut bits)?;
        Some(facts)
    }

    /// Timing, decoder model and operating points; the first point's level and tier are the stream's.
    fn operating_points(&mut self, bits: &mut Bits<'_>) -> Option<()> {
        let mut delay_bits = None;
        if bits.flag()? {
            bits.skip(64)?;
            if bits.flag()? {
                // uvlc (§4.10.3) is an Exp-Golomb number.
                bits.exp_golomb()?;
            }
            if bits.flag()? {
                delay_bits = Some(bits.take(5)? + 1);
                bits.skip(42)?;
            }
        }
        let display_delays = bits.flag()?;
        for point in 0..=bits.take(5)? {
            bits.take(12)?;
            let level = bits.small(5)?;
            let tier = level > 7 && bits.flag()?;
            if point == 0 {
                (self.level, self.tier) = (level, tier);
            }
            if let Some(delay_bits) = delay_bits
                && bits.flag()?
            {
                bits.skip(2 * delay_bits + 1)?;
            }
            if display_delays && bits.flag()? {
                bits.take(4)?;
            }
        }
        Some(())
    }

    /// `color_config` (§5.5.2).
    fn colour(&mut self, bits: &mut Bits<'_>) -> Option<()> {
        self.high_depth = bits.flag()?;
        self.twelve_bit = self.profile == 2 && self.high_depth && bits.flag()?;
        self.monochrome = self.profile != 1 && bits.flag()?;
        let described = bits.flag()?;
        let colour = if described { (bits.take(8)?, bits.take(8)?, bits.take(8)?) } else { (2, 2, 2) };
        if self.monochrome {
            self.subsampling = (true, true);
            return bits.skip(1);
        }
        // sRGB is 4:4:4 and has no more to say.
        if colour == (1, 13, 0) {
            return Some(());
        }
        bits.take(1)?;
        self.subsampling = match self.profile {
            0 => (true, true),
            1 => (false, false),
            _ if self.depth() == 12 => {
                let horizontal = bits.flag()?;
                (horizontal, horizontal && bits.flag()?)
            }
            _ => (true, false),
        };
        if self.subsampling == (true, true) {
            self.sample_position = bits.small(2)?;
        }
        Some(())
    }
}

/// The coding tools between the size and the colours.
fn tools(bits: &mut Bits<'_>) -> Option<()> {
    bits.take(4)?;
    let order_hint = bits.flag()?;
    if order_hint {
        bits.take(2)?;
    }
    // `seq_choose_screen_content_tools`, and what it decides if it does not leave it to each picture.
    let screen_content = bits.flag()? || bits.flag()?;
    if screen_content && !bits.flag()? {
        bits.take(1)?;
    }
    if order_hint {
        bits.take(3)?;
    }
    Some(())
}

/// The entrance of an AV1 track: takes temporal units as they come, remembers the sequence header, and gives canonical units.
#[derive(Debug, Clone, Default)]
pub struct Av1Entrance {
    params: Option<Arc<CodecParams>>,
}

impl Av1Entrance {
    /// An entrance that has seen no sequence header.
    pub fn new() -> Self {
        Self::default()
    }

    /// A sequence header that came out of band.
    pub fn set_params(&mut self, params: Av1Params) {
        if self.known() != Some(&params) {
            self.params = Some(Arc::new(CodecParams::Av1(params)));
        }
    }

    /// Does decoding start at the temporal unit that begins with this unit?
    pub fn starts(unit: &[u8]) -> bool {
        unit.first().is_some_and(|first| first >> 3 & 15 == obu::SEQUENCE_HEADER)
    }

    /// What is known now; `None` until a sequence header was seen.
    pub fn params(&self) -> Option<Arc<CodecParams>> {
        self.params.clone()
    }

    fn known(&self) -> Option<&Av1Params> {
        match self.params.as_deref() {
            Some(CodecParams::Av1(params)) => Some(params),
            _ => None,
        }
    }

    /// Takes one temporal unit; its payload is a slice of `data` wherever nothing but delimiters in front has to go. `Ok(None)`
    /// where it holds no picture.
    ///
    /// # Errors
    /// [`Av1Error::NoParams`] for a picture before its sequence header, [`Av1Error`] for what is malformed.
    pub fn unit(&mut self, data: &Bytes) -> Result<Option<VideoUnit>, Av1Error> {
        let (mut front, mut seen, mut rewrite) = (0, false, false);
        let mut kind = None;
        for found in Obus::new(data) {
            let found = found?;
            if found.is_left_out() {
                rewrite |= seen;
                front += if seen { 0 } else { found.whole.len() };
                continue;
            }
            seen = true;
            rewrite |= !found.sized;
            match found.kind {
                obu::SEQUENCE_HEADER => self.sequence(&found)?,
                obu::FRAME | obu::FRAME_HEADER if kind.is_none() => kind = Some(self.kind(found.payload)?),
                _ => {}
            }
        }
        let Some(kind) = kind else { return Ok(None) };
        let params = self.params.clone().ok_or(Av1Error::NoParams)?;
        let payload = if rewrite { rewritten(data)? } else { data.slice(front..) };
        Ok(Some(VideoUnit { kind, params, payload }))
    }

    /// As [`Self::unit`], of single units with or without sizes, as RTP carries them.
    ///
    /// # Errors
    /// As [`Self::unit`].
    pub fn unit_of<'a>(&mut self, obus: impl Iterator<Item = &'a [u8]>) -> Result<Option<VideoUnit>, Av1Error> {
        let mut data = Vec::new();
        for single in obus {
            let found = Obus::read(single).ok_or(Av1Error::Obu { at: data.len() })?;
            if !found.is_left_out() {
                found.write(&mut data);
            }
        }
        self.unit(&data.into())
    }

    fn sequence(&mut self, found: &Obu<'_>) -> Result<(), Av1Error> {
        // Nearly always the same one again: compared as it stands, read only if it differs.
        if self.known().is_none_or(|known| known.sequence != found.whole) {
            self.set_params(Av1Params::from_sequence(found)?);
        }
        Ok(())
    }

    /// Key or delta, from the first bits of the frame header (§5.9.2): a key picture that is shown at once.
    fn kind(&self, payload: &[u8]) -> Result<UnitKind, Av1Error> {
        if self.known().ok_or(Av1Error::NoParams)?.facts.reduced {
            return Ok(UnitKind::Key);
        }
        let first = *payload.first().ok_or(Av1Error::Sequence)?;
        // show_existing_frame 0, frame_type 0 (key), show_frame 1.
        Ok(if first >> 4 == 1 { UnitKind::Key } else { UnitKind::Delta })
    }
}

/// All units with sizes, without those that are left out.
fn rewritten(data: &[u8]) -> Result<Bytes, Av1Error> {
    let mut out = Vec::with_capacity(data.len() + 8);
    for found in Obus::new(data) {
        let found = found?;
        if !found.is_left_out() {
            found.write(&mut out);
        }
    }
    Ok(out.into())
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// 320×240, main profile, as SVT-AV1 writes it.
    pub(crate) const SEQUENCE: &[u8] = &[0x0a, 0x0b, 0, 0, 0, 4, 0x3c, 0xff, 0xbc, 2, 0xf8, 0, 0x40];
    const KEY: &[u8] = &[0x32, 3, 0x10, 1, 2];
    const DELTA: &[u8] = &[0x32, 3, 0x30, 1, 2];

    pub(crate) fn params() -> Av1Params {
        Av1Params::from_obus(SEQUENCE).unwrap()
    }

    fn joined(obus: &[&[u8]]) -> Bytes {
        obus.concat().into()
    }

    #[test]
    fn reads_size_and_profile() {
        let p = params();
        assert_eq!((p.width(), p.height()), (320, 240));
        assert_eq!(p.codec_string(), "av01.0.00M.08");
        assert_eq!(p.sequence_header(), SEQUENCE);
    }

    #[test]
    fn configuration_record_round_trips() {
        let record = params().av1c();
        assert_eq!(record[..4], [0x81, 0, 0x0c, 0], "as FFmpeg writes it");
        assert_eq!(Av1Params::from_av1c(&record), Ok(Some(params())));
        assert_eq!(Av1Params::from_av1c(&record[..4]), Ok(None));
        for cut in (0..4).chain(5..record.len()) {
            assert!(Av1Params::from_av1c(&record[..cut]).is_err(), "cut at {cut}");
        }
    }

    #[test]
    fn delimiters_go_and_nothing_is_copied() {
        let mut e = Av1Entrance::new();
        assert_eq!(e.unit(&joined(&[KEY])).unwrap_err(), Av1Error::NoParams);
        let data = joined(&[&[0x12, 0], SEQUENCE, KEY]);
        let unit = e.unit(&data).unwrap().unwrap();
        assert_eq!((unit.kind, &unit.payload), (UnitKind::Key, &joined(&[SEQUENCE, KEY])));
        assert_eq!(unit.payload.as_ptr(), data[2..].as_ptr());
        let next = e.unit(&joined(&[DELTA])).unwrap().unwrap();
        assert_eq!(next.kind, UnitKind::Delta);
        assert!(Arc::ptr_eq(&unit.params, &next.params));
        assert!(e.unit(&joined(&[&[0x12, 0], SEQUENCE])).unwrap().is_none());
        assert!(e.unit(&Bytes::new()).unwrap().is_none());
        // Shown again is no key, and neither is a key that is shown later.
        for first in [0x80, 0x00] {
            assert_eq!(e.unit(&joined(&[&[0x32, 1, first]])).unwrap().unwrap().kind, UnitKind::Delta);
        }
    }

    #[test]
    fn units_get_their_sizes_and_lose_what_pads() {
        let mut e = Av1Entrance::new();
        e.set_params(params());
        // Padding in the middle, and a last unit without a size.
        let unit = e.unit(&joined(&[SEQUENCE, &[0x7a, 1, 0x80], &[0x30, 0x10, 1, 2]])).unwrap().unwrap();
        assert_eq!(unit.payload, joined(&[SEQUENCE, KEY]));
        for broken in [&[0x80][..], &[0x32], &[0x32, 9, 1], &[0x32, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1]]
        {
            assert!(matches!(e.unit(&Bytes::copy_from_slice(broken)), Err(Av1Error::Obu { at: 0 })), "{broken:02x?}");
        }
        assert!(matches!(e.unit(&[0x2a, 0].repeat(MAX_OBUS + 1).into()), Err(Av1Error::TooMany)));
    }

    #[test]
    fn units_without_sizes_and_back() {
        let mut e = Av1Entrance::new();
        let plain: &[&[u8]] = &[&[0x10], &[0x08, 0, 0, 0, 4, 0x3c, 0xff, 0xbc, 2, 0xf8, 0, 0x40], &[0x30, 0x10, 1, 2]];
        assert!(Av1Entrance::starts(plain[1]) && !Av1Entrance::starts(plain[2]) && !Av1Entrance::starts(&[]));
        let unit = e.unit_of(plain.iter().copied()).unwrap().unwrap();
        assert_eq!((unit.kind, &unit.payload), (UnitKind::Key, &joined(&[SEQUENCE, KEY])));
        assert_eq!(params().unsized_obus(&unit.payload, true), plain[1..]);
        // The sequence header came in a record: it is put in front of a key picture, and of no other.
        assert_eq!(params().unsized_obus(KEY, true), plain[1..]);
        assert_eq!(params().unsized_obus(DELTA, false), [[0x30, 0x30, 1, 2]]);
        assert_eq!(e.unit_of([&[0x80_u8][..]].into_iter()).unwrap_err(), Av1Error::Obu { at: 0 });
    }

    #[test]
    fn a_new_sequence_header_changes_the_track() {
        let mut e = Av1Entrance::new();
        e.set_params(params());
        let before = e.params().unwrap();
        let mut other = SEQUENCE.to_vec();
        other[6] = 0x3d;
        let unit = e.unit(&joined(&[&other, KEY])).unwrap().unwrap();
        assert_ne!(unit.params, before);
    }
}
