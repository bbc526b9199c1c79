//! What an H.265 track's parameter sets say, and how an entrance turns NAL units into an access unit's canonical form.
//!
//! Belongs here: the kinds of H.265 NAL units, VPS/SPS/PPS facts, the HEVC decoder configuration record, [`H265Entrance`].
//! Not here: the framings (`nal`), RTP packet types 48–50 (`proto::rtp`).

use crate::CodecParams;
use crate::bits::{Bits, unescape};
use crate::nal::{MAX_NALS, NalError, append_annex_b, append_length_prefixed};
use crate::unit::UnitKind;
use crate::video::{NalRole, VideoUnit};
use bytes::Bytes;
use std::sync::Arc;
use thiserror::Error;

/// What parameter sets or a configuration record can get wrong.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum H265Error {
    /// The sequence parameter set does not parse (ITU-T H.265 §7.3.2.2).
    #[error("sequence parameter set: {0}")]
    Sps(&'static str),
    /// The configuration record ends early (ISO/IEC 14496-15 §8.3.3.1).
    #[error("HEVC configuration record ends at byte {0}")]
    Record(usize),
    /// The record announces lengths that do not exist.
    #[error("NAL length size {0} is not 1, 2 or 4")]
    LengthSize(u8),
    /// The NAL units of one access unit are broken.
    #[error(transparent)]
    Nal(#[from] NalError),
    /// A picture came before any parameter sets.
    #[error("a picture before its parameter sets")]
    NoParams,
}

/// An access unit delimiter that allows every slice type (§7.3.2.5).
pub(crate) const ACCESS_UNIT_DELIMITER: &[u8] = &[0x46, 1, 0x50];

/// What a NAL unit is, by `nal_unit_type` (ITU-T H.265 table 7-1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum H265NalKind {
    /// A slice of a picture that is no random access point (0–9, and 10–15, which are reserved for such).
    Slice,
    /// A slice of an intra random access point: BLA, IDR, CRA, and what is reserved for such (16–23).
    Irap,
    /// Video parameter set (32).
    Vps,
    /// Sequence parameter set (33).
    Sps,
    /// Picture parameter set (34).
    Pps,
    /// Access unit delimiter (35).
    Delimiter,
    /// Everything else.
    Other(u8),
}

impl H265NalKind {
    /// The kind of `nal`; an empty one is `Other(63)`.
    pub fn of(nal: &[u8]) -> Self {
        match nal.first().map_or(63, |first| first >> 1 & 0x3F) {
            0..=15 => Self::Slice,
            16..=23 => Self::Irap,
            32 => Self::Vps,
            33 => Self::Sps,
            34 => Self::Pps,
            35 => Self::Delimiter,
            other => Self::Other(other),
        }
    }

    /// What becomes of it in an access unit.
    pub const fn role(self) -> NalRole {
        match self {
            Self::Slice => NalRole::Delta,
            Self::Irap => NalRole::Key,
            Self::Vps | Self::Sps | Self::Pps => NalRole::ParameterSet,
            Self::Delimiter => NalRole::Delimiter,
            Self::Other(_) => NalRole::Other,
        }
    }
}

/// The parameter sets a unit decodes with, and what they say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct H265Params {
    vps: Option<Bytes>,
    sps: Bytes,
    pps: Vec<Bytes>,
    facts: Facts,
}

/// What the sequence parameter set says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Facts {
    /// `general_profile_space` to `general_level_idc`, as the set and the record have them (§7.3.3).
    general: [u8; 12],
    sub_layers: u8,
    nested: bool,
    chroma: u8,
    depth_luma: u8,
    depth_chroma: u8,
    width: u32,
    height: u32,
    reorder: u32,
}

/// Sixteen reference configurations are more than any real stream holds; H.265 itself allows 64.
const MAX_PPS: usize = 16;
/// A sequence parameter set is read this far; the facts wanted are in its first hundred bytes, behind at most seven sub-layers.
const MAX_SPS: usize = 256;

impl H265Params {
    /// Reads the facts from `sps` (one NAL unit, header included); the other sets are kept as they are.
    ///
    /// # Errors
    /// [`H265Error::Sps`] where the set does not parse or names an impossible size.
    pub fn new(vps: Option<Bytes>, sps: Bytes, pps: Vec<Bytes>) -> Result<Self, H265Error> {
        let facts = Facts::read(&sps)?;
        Ok(Self { vps, sps, pps, facts })
    }

    /// Reads an HEVC decoder configuration record (ISO/IEC 14496-15 §8.3.3.1), as FLV and MP4 carry it. Also answers the
    /// size of the NAL lengths that go with it (1, 2 or 4 bytes).
    ///
    /// # Errors
    /// [`H265Error`] where the record ends early, has no parameter sets, or they do not parse.
    pub fn from_hvcc(record: &Bytes) -> Result<(Self, u8), H265Error> {
        let length_size = (record.get(21).ok_or(H265Error::Record(21))? & 3) + 1;
        if length_size == 3 {
            return Err(H265Error::LengthSize(3));
        }
        let arrays = *record.get(22).ok_or(H265Error::Record(22))?;
        let mut at = 23;
        let (mut vps, mut sps, mut pps) = (None, None, Vec::new());
        for _ in 0..arrays {
            // The array's type, then how many; each NAL unit says its own type too.
            let count = record.get(at + 1..at + 3).ok_or(H265Error::Record(at))?;
            let count = u16::from_be_bytes([count[0], count[1]]);
            at += 3;
            for _ in 0..count {
                let set = take_set(record, &mut at)?;
                match H265NalKind::of(&set) {
                    H265NalKind::Vps => _ = vps.get_or_insert(set),
                    H265NalKind::Sps => _ = sps.get_or_insert(set),
                    H265NalKind::Pps if pps.len() < MAX_PPS => pps.push(set),
                    _ => {}
                }
            }
        }
        Ok((Self::new(vps, sps.ok_or(H265Error::NoParams)?, pps)?, length_size))
    }

    /// The HEVC decoder configuration record with four-byte lengths.
    pub fn hvcc(&self) -> Vec<u8> {
        let facts = &self.facts;
        let mut out = vec![1];
        out.extend_from_slice(&facts.general);
        // No spatial segmentation, any parallelism, and no promise about the frame rate; reserved bits are ones.
        out.extend_from_slice(&[0xF0, 0, 0xFC, 0xFC | facts.chroma]);
        out.extend_from_slice(&[0xF8 | (facts.depth_luma - 8), 0xF8 | (facts.depth_chroma - 8), 0, 0]);
        out.push(facts.sub_layers << 3 | u8::from(facts.nested) << 2 | 3);
        let arrays = [self.vps.as_slice(), std::slice::from_ref(&self.sps), &self.pps];
        let arrays = arrays.into_iter().zip([32, 33, 34]).filter(|(sets, _)| !sets.is_empty());
        out.push(u8::try_from(arrays.clone().count()).unwrap_or(0));
        for (sets, number) in arrays {
            // Complete: nothing of the kind is in the samples, which is what `hvc1` promises.
            out.push(0x80 | number);
            out.extend_from_slice(&u16::try_from(sets.len()).unwrap_or(u16::MAX).to_be_bytes());
            sets.iter().for_each(|set| put_set(&mut out, set));
        }
        out
    }

    /// The video parameter set, NAL header included, where one was sent.
    pub const fn vps(&self) -> Option<&Bytes> {
        self.vps.as_ref()
    }

    /// The sequence parameter set, NAL header included.
    pub const fn sps(&self) -> &Bytes {
        &self.sps
    }

    /// The picture parameter sets, NAL headers included.
    pub fn pps(&self) -> &[Bytes] {
        &self.pps
    }

    /// Width of the shown picture in pixels, conformance window applied.
    pub const fn width(&self) -> u32 {
        self.facts.width
    }

    /// Height of the shown picture in pixels, conformance window applied.
    pub const fn height(&self) -> u32 {
        self.facts.height
    }

    /// How many pictures may precede another in decoding and follow it in output; zero without B pictures.
    pub const fn reorder(&self) -> u32 {
        self.facts.reorder
    }

    /// The RFC 6381 name, such as `hvc1.1.6.L93.B0` (ISO/IEC 14496-15 annex E.3).
    pub fn codec_string(&self) -> String {
        let [profile, c0, c1, c2, c3, constraints @ .., level] = self.facts.general;
        let space = ["", "A", "B", "C"][usize::from(profile >> 6)];
        let compatibility = u32::from_be_bytes([c0, c1, c2, c3]).reverse_bits();
        let tier = if profile & 0x20 == 0 { 'L' } else { 'H' };
        let mut name = format!("hvc1.{space}{}.{compatibility:X}.{tier}{level}", profile & 0x1F);
        let used = constraints.iter().rposition(|&byte| byte != 0).map_or(0, |last| last + 1);
        constraints.iter().take(used).for_each(|byte| name.extend([format!(".{byte:X}")]));
        name
    }

    /// Parameter sets as Annex B, to stand in front of a key picture.
    pub fn annex_b(&self) -> Vec<u8> {
        let mut out = Vec::new();
        self.sets().for_each(|set| append_annex_b(&mut out, set));
        out
    }

    /// All parameter sets in the order a decoder wants them.
    pub fn sets(&self) -> impl Iterator<Item = &Bytes> {
        self.vps.iter().chain([&self.sps]).chain(&self.pps)
    }
}

impl Facts {
    /// ITU-T H.265 §7.3.2.2, as far as the picture buffer.
    fn read(sps: &[u8]) -> Result<Self, H265Error> {
        if H265NalKind::of(sps) != H265NalKind::Sps {
            return Err(H265Error::Sps("not a sequence parameter set"));
        }
        let rbsp = unescape(sps.get(2..).unwrap_or(&[]), MAX_SPS);
        Self::read_rbsp(&rbsp).ok_or(H265Error::Sps("ends early"))?
    }

    fn read_rbsp(rbsp: &[u8]) -> Option<Result<Self, H265Error>> {
        let mut bits = Bits::new(rbsp);
        bits.take(4)?;
        let max_sub_layer = bits.take(3)?;
        let nested = bits.take(1)? == 1;
        let general: [u8; 12] = *rbsp.get(1..)?.first_chunk()?;
        bits.skip(96)?;
        let mut present = Vec::new();
        for _ in 0..max_sub_layer {
            present.push((bits.take(1)?, bits.take(1)?));
        }
        if max_sub_layer > 0 {
            bits.skip(2 * (8 - max_sub_layer))?;
        }
        for (profile, level) in present {
            bits.skip(88 * profile + 8 * level)?;
        }
        bits.exp_golomb()?;
        let chroma = bits.exp_golomb()?;
        let (horizontal, vertical) = match chroma {
            0 | 3 => (1, 1),
            1 => (2, 2),
            2 => (2, 1),
            _ => return Some(Err(H265Error::Sps("an unknown chroma format"))),
        };
        if chroma == 3 {
            bits.take(1)?;
        }
        let (mut width, mut height) = (bits.exp_golomb()?, bits.exp_golomb()?);
        if bits.take(1)? == 1 {
            let mut window = [0_u32; 4];
            for side in &mut window {
                *side = bits.exp_golomb()?;
            }
            let [left, right, top, bottom] = window;
            width = width.saturating_sub(left.saturating_add(right).saturating_mul(horizontal));
            height = height.saturating_sub(top.saturating_add(bottom).saturating_mul(vertical));
        }
        if !(1..=16_384).contains(&width) || !(1..=16_384).contains(&height) {
            return Some(Err(H265Error::Sps("an impossible size")));
        }
        let (luma, chroma_depth) = (bits.exp_golomb()?, bits.exp_golomb()?);
        let (Ok(depth_luma @ 0..=8), Ok(depth_chroma @ 0..=8)) = (u8::try_from(luma), u8::try_from(chroma_depth))
        else {
            return Some(Err(H265Error::Sps("an impossible bit depth")));
        };
        // Eight more bits than a byte do not fit the record's three.
        if depth_luma > 7 || depth_chroma > 7 {
            return Some(Err(H265Error::Sps("an impossible bit depth")));
        }
        bits.exp_golomb()?;
        let every_layer = bits.take(1)? == 1;
        let mut reorder = 0;
        for _ in if every_layer { 0 } else { max_sub_layer }..=max_sub_layer {
            bits.exp_golomb()?;
            reorder = bits.exp_golomb()?.min(16);
            bits.exp_golomb()?;
        }
        let narrow = |value: u32| u8::try_from(value).unwrap_or(0);
        Some(Ok(Self {
            general,
            sub_layers: narrow(max_sub_layer + 1) & 7,
            nested,
            chroma: narrow(chroma),
            depth_luma: depth_luma + 8,
            depth_chroma: depth_chroma + 8,
            width,
            height,
            reorder,
        }))
    }
}

fn take_set(record: &Bytes, at: &mut usize) -> Result<Bytes, H265Error> {
    let end = H265Error::Record(*at);
    let field = record.get(*at..*at + 2).ok_or_else(|| end.clone())?;
    let length = usize::from(u16::from_be_bytes([field[0], field[1]]));
    let start = *at + 2;
    if length == 0 || record.len() < start + length {
        return Err(end);
    }
    *at = start + length;
    Ok(record.slice(start..start + length))
}

fn put_set(out: &mut Vec<u8>, set: &[u8]) {
    let length = u16::try_from(set.len()).unwrap_or(u16::MAX);
    out.extend_from_slice(&length.to_be_bytes());
    out.extend_from_slice(set.get(..usize::from(length)).unwrap_or(set));
}

/// The entrance of an H.265 track: takes each picture's NAL units in whatever framing they came, remembers the parameter
/// sets, and gives canonical units.
#[derive(Debug, Clone, Default)]
pub struct H265Entrance {
    vps: Option<Bytes>,
    sps: Option<Bytes>,
    pps: Vec<Bytes>,
    params: Option<Arc<CodecParams>>,
    stale: bool,
}

impl H265Entrance {
    /// An entrance that has seen no parameter sets.
    pub fn new() -> Self {
        Self::default()
    }

    /// Parameter sets that came out of band (SDP, FLV sequence header, MP4 sample entry).
    pub fn set_params(&mut self, params: &H265Params) {
        params.sets().for_each(|set| self.put(set));
    }

    /// What is known now; `None` until a sequence and a picture parameter set were seen and parse.
    pub fn params(&mut self) -> Option<Arc<CodecParams>> {
        self.refresh().ok()
    }

    /// Takes the NAL units of one access unit. `Ok(None)` where they hold no picture (parameter sets or SEI alone).
    ///
    /// # Errors
    /// [`H265Error::NoParams`] for a picture before its parameter sets, [`H265Error::Sps`] for sets that do not parse,
    /// [`NalError::TooMany`] for a hostile count.
    pub fn unit<'a>(&mut self, nals: impl Iterator<Item = &'a [u8]>) -> Result<Option<VideoUnit>, H265Error> {
        let mut payload = Vec::new();
        let (mut picture, mut key) = (false, false);
        for (count, nal) in nals.enumerate() {
            if count >= MAX_NALS {
                return Err(NalError::TooMany.into());
            }
            match H265NalKind::of(nal).role() {
                _ if nal.is_empty() => {}
                NalRole::ParameterSet => self.put(nal),
                NalRole::Delimiter => {}
                role => {
                    picture |= role.is_picture();
                    key |= role == NalRole::Key;
                    append_length_prefixed(&mut payload, nal);
                }
            }
        }
        if !picture {
            return Ok(None);
        }
        let kind = if key { UnitKind::Key } else { UnitKind::Delta };
        Ok(Some(VideoUnit { kind, params: self.refresh()?, payload: payload.into() }))
    }

    fn put(&mut self, nal: &[u8]) {
        let known = |set: &Option<Bytes>| set.as_deref() == Some(nal);
        match H265NalKind::of(nal) {
            H265NalKind::Vps if !known(&self.vps) => self.vps = Some(Bytes::copy_from_slice(nal)),
            H265NalKind::Sps if !known(&self.sps) => {
                self.sps = Some(Bytes::copy_from_slice(nal));
                // Picture parameter sets belong to the sequence they were sent with; new ones follow.
                self.pps.clear();
            }
            H265NalKind::Pps => {
                let id = pps_id(nal);
                match self.pps.iter().position(|known| pps_id(known) == id) {
                    Some(at) if self.pps[at] == nal => return,
                    Some(at) => self.pps[at] = Bytes::copy_from_slice(nal),
                    None if self.pps.len() < MAX_PPS => self.pps.push(Bytes::copy_from_slice(nal)),
                    None => return,
                }
            }
            _ => return,
        }
        self.stale = true;
    }

    fn refresh(&mut self) -> Result<Arc<CodecParams>, H265Error> {
        if let Some(params) = self.params.as_ref().filter(|_| !self.stale) {
            return Ok(Arc::clone(params));
        }
        let sps = self.sps.clone().filter(|_| !self.pps.is_empty()).ok_or(H265Error::NoParams)?;
        let params = H265Params::new(self.vps.clone(), sps, self.pps.clone())?;
        let params = Arc::new(CodecParams::H265(params));
        self.params = Some(Arc::clone(&params));
        self.stale = false;
        Ok(params)
    }
}

/// `pps_pic_parameter_set_id`, the first Exp-Golomb number of a PPS (§7.3.2.3); at most 63.
fn pps_id(nal: &[u8]) -> Option<u32> {
    Bits::new(nal.get(2..)?).exp_golomb().filter(|&id| id < 64)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::nal::{AnnexB, LengthPrefixed};

    /// 320×240 main profile, as x265 writes it.
    pub(crate) const VPS: &[u8] = &[
        0x40, 0x01, 0x0c, 0x01, 0xff, 0xff, 0x01, 0x60, 0, 0, 3, 0, 0x90, 0, 0, 3, 0, 0, 3, 0, 0x3c, 0xba, 0x02, 0x40,
    ];
    pub(crate) const SPS: &[u8] = &[
        0x42, 0x01, 0x01, 0x01, 0x60, 0, 0, 3, 0, 0x90, 0, 0, 3, 0, 0, 3, 0, 0x3c, 0xa0, 0x0a, 0x08, 0x0f, 0x16, 0x5b,
        0xa4, 0xa4, 0xc2, 0xe6, 0x80, 0x80, 0, 0, 3, 0, 0x80, 0, 0, 0x0f, 0x04, 0x22,
    ];
    pub(crate) const PPS: &[u8] = &[0x44, 0x01, 0xc0, 0x71, 0x83, 0x12];

    pub(crate) fn params() -> H265Params {
        let set = Bytes::from_static;
        H265Params::new(Some(set(VPS)), set(SPS), vec![set(PPS)]).unwrap()
    }

    #[test]
    fn reads_size_and_profile() {
        let p = params();
        assert_eq!((p.width(), p.height(), p.reorder()), (320, 240, 0));
        assert_eq!(p.codec_string(), "hvc1.1.6.L60.90");
    }

    #[test]
    fn a_conformance_window_is_cut_off() {
        // 1280×720 in a picture of 736 lines: the conformance file C001 of HEIF.
        let heif = [
            66, 1, 1, 1, 96, 0, 0, 3, 0, 0, 3, 0, 0, 3, 0, 0, 3, 0, 120, 160, 2, 128, 128, 45, 31, 229, 249, 36, 109,
            158, 217,
        ];
        let p = H265Params::new(None, Bytes::copy_from_slice(&heif), Vec::new()).unwrap();
        assert_eq!((p.width(), p.height()), (1280, 720));
        assert_eq!(p.codec_string(), "hvc1.1.6.L120");
    }

    #[test]
    fn configuration_record_round_trips() {
        let p = params();
        let record = p.hvcc();
        assert_eq!(record[..13], [1, 1, 0x60, 0, 0, 0, 0x90, 0, 0, 0, 0, 0, 0x3c]);
        assert_eq!(H265Params::from_hvcc(&record.into()).unwrap(), (p, 4));
    }

    #[test]
    fn short_records_are_errors() {
        let whole = params().hvcc();
        for cut in 0..whole.len() {
            assert!(H265Params::from_hvcc(&Bytes::copy_from_slice(&whole[..cut])).is_err(), "cut at {cut}");
        }
    }

    #[test]
    fn entrance_keeps_sets_out_of_band() {
        let mut e = H265Entrance::new();
        let slice = &[0x02_u8, 1, 2][..];
        assert_eq!(e.unit([slice].into_iter()).unwrap_err(), H265Error::NoParams);
        let unit = e.unit([&[0x46_u8, 1, 0x50][..], VPS, SPS, PPS, &[], &[0x28, 1, 9]].into_iter()).unwrap().unwrap();
        assert_eq!(unit.kind, UnitKind::Key);
        assert_eq!(&unit.payload[..], [0, 0, 0, 3, 0x28, 1, 9]);
        let next = e.unit([slice].into_iter()).unwrap().unwrap();
        assert_eq!(next.kind, UnitKind::Delta);
        assert!(Arc::ptr_eq(&unit.params, &next.params));
        assert_eq!(LengthPrefixed::parse(&next.payload).unwrap().count(), 1);
        assert!(e.unit([VPS, SPS, PPS].into_iter()).unwrap().is_none());
        assert_eq!(AnnexB::new(&params().annex_b()).count(), 3);
        // A clean random access picture (21) is a start as well.
        assert_eq!(e.unit([&[0x2A_u8, 1, 9][..]].into_iter()).unwrap().unwrap().kind, UnitKind::Key);
        // The same sequence in a smaller tier: other parameters from here on.
        let mut other = SPS.to_vec();
        other[17] = 0x1e;
        let changed = e.unit([&other[..], PPS, &[0x28, 1, 9]].into_iter()).unwrap().unwrap();
        assert_eq!(changed.params.codec_string(), "hvc1.1.6.L30.90");
    }
}
