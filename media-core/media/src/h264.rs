//! What an H.264 track's parameter sets say, and how an entrance turns NAL units into an access unit's canonical form.
//!
//! Belongs here: SPS facts, the AVC decoder configuration record, [`H264Entrance`]. Not here: RTP packet types 24–28
//! (`proto::rtp`), encoding (`codec`).

use crate::CodecParams;
use crate::nal::{MAX_NALS, NalError, NalKind, append_annex_b, append_length_prefixed};
use crate::unit::UnitKind;
use crate::video::VideoUnit;
use bytes::Bytes;
use h264_reader::nal::sps::{SeqParameterSet, SpsError};
use h264_reader::rbsp::{BitReader, BitReaderError, decode_nal};
use std::sync::Arc;
use thiserror::Error;

/// What parameter sets or a configuration record can get wrong.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum H264Error {
    /// The sequence parameter set does not parse.
    #[error("sequence parameter set: {0}")]
    Sps(String),
    /// The configuration record ends early (ISO/IEC 14496-15 §5.3.3.1).
    #[error("AVC configuration record ends at byte {0}")]
    Record(usize),
    /// The record announces lengths of other than four bytes in a way that cannot be converted.
    #[error("NAL length size {0} is not 1, 2 or 4")]
    LengthSize(u8),
    /// The NAL units of one access unit are broken.
    #[error(transparent)]
    Nal(#[from] NalError),
    /// A picture came before any parameter sets.
    #[error("a picture before its parameter sets")]
    NoParams,
}

/// The parameter sets a unit decodes with, and what they say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct H264Params {
    sps: Bytes,
    pps: Vec<Bytes>,
    width: u32,
    height: u32,
    reorder: u32,
    /// The set says so itself, in its VUI.
    reorder_declared: bool,
    matrix: Option<u8>,
    /// Ticks per second and ticks per picture, as the VUI has them.
    timing: Option<(u32, u32)>,
}

/// Sixteen reference configurations are more than any real stream holds; H.264 itself allows 256.
const MAX_PPS: usize = 16;

impl H264Params {
    /// Reads the facts from `sps` (one NAL unit, header included); `pps` are kept as they are.
    ///
    /// # Errors
    /// [`H264Error::Sps`] where the set does not parse or names an impossible size.
    pub fn new(sps: Bytes, pps: Vec<Bytes>) -> Result<Self, H264Error> {
        let bad = |e: &dyn std::fmt::Debug| H264Error::Sps(format!("{e:?}"));
        if NalKind::of(&sps) != NalKind::Sps {
            return Err(H264Error::Sps("not a sequence parameter set".into()));
        }
        let rbsp = decode_nal(&sps).map_err(|e| bad(&e))?;
        let parsed = parse_sps(&rbsp).map_err(|e| bad(&e))?;
        let (width, height) = parsed.pixel_dimensions().map_err(|e| bad(&e))?;
        if width == 0 || height == 0 || width > 16_384 || height > 16_384 {
            return Err(H264Error::Sps(format!("{width}×{height}")));
        }
        let baseline = sps.get(1) == Some(&66);
        let vui = parsed.vui_parameters.as_ref();
        let restrictions = vui.and_then(|v| v.bitstream_restrictions.as_ref());
        let reorder_declared = restrictions.is_some();
        let colour = vui.and_then(|v| v.video_signal_type.as_ref()).and_then(|s| s.colour_description.as_ref());
        let matrix = colour.map(|c| c.matrix_coefficients);
        let reorder = match restrictions {
            Some(limits) => limits.max_num_reorder_frames,
            // Baseline has no B pictures (A.2.1); otherwise only picture order type 2 forbids reordering (8.2.1.3).
            None if baseline || matches!(parsed.pic_order_cnt, h264_reader::nal::sps::PicOrderCntType::TypeTwo) => 0,
            None => parsed.max_num_ref_frames.min(16),
        };
        // A picture is two fields, and ticks are counted in fields (E.2.1).
        let timing = parsed.vui_parameters.as_ref().and_then(|v| v.timing_info.as_ref());
        let timing = timing.and_then(|t| Some((t.time_scale, t.num_units_in_tick.checked_mul(2)?)));
        Ok(Self { sps, pps, width, height, reorder, reorder_declared, matrix, timing })
    }

    /// Reads an AVC decoder configuration record (ISO/IEC 14496-15 §5.3.3.1), as FLV and MP4 carry it. Also answers the
    /// size of the NAL lengths that go with it (1, 2 or 4 bytes).
    ///
    /// # Errors
    /// [`H264Error`] where the record ends early, has no parameter sets, or they do not parse.
    pub fn from_avcc(record: &Bytes) -> Result<(Self, u8), H264Error> {
        let mut at = 5;
        let length_size = (record.get(4).ok_or(H264Error::Record(4))? & 3) + 1;
        if length_size == 3 {
            return Err(H264Error::LengthSize(3));
        }
        let sps_count = usize::from(record.get(at).ok_or(H264Error::Record(at))? & 0x1F);
        at += 1;
        let mut sps = None;
        for _ in 0..sps_count {
            let set = take_set(record, &mut at)?;
            sps.get_or_insert(set);
        }
        let pps_count = usize::from(*record.get(at).ok_or(H264Error::Record(at))?);
        at += 1;
        let mut pps = Vec::new();
        for _ in 0..pps_count.min(MAX_PPS) {
            pps.push(take_set(record, &mut at)?);
        }
        Ok((Self::new(sps.ok_or(H264Error::NoParams)?, pps)?, length_size))
    }

    /// The AVC decoder configuration record with four-byte lengths.
    pub fn avcc(&self) -> Vec<u8> {
        let profile = self.profile_bytes();
        let mut out = vec![1, profile[0], profile[1], profile[2], 0xFF, 0xE1];
        put_set(&mut out, &self.sps);
        out.push(u8::try_from(self.pps.len()).unwrap_or(u8::MAX));
        for pps in self.pps.iter().take(255) {
            put_set(&mut out, pps);
        }
        // High profiles append chroma format and bit depths; 4:2:0 at 8 bits is what every peer here carries.
        if matches!(profile[0], 100 | 110 | 122 | 144) {
            out.extend_from_slice(&[0xFD, 0xF8, 0xF8, 0]);
        }
        out
    }

    /// The sequence parameter set, NAL header included.
    pub const fn sps(&self) -> &Bytes {
        &self.sps
    }

    /// The picture parameter sets, NAL headers included.
    pub fn pps(&self) -> &[Bytes] {
        &self.pps
    }

    /// Width of the shown picture in pixels, cropping applied.
    pub const fn width(&self) -> u32 {
        self.width
    }

    /// Height of the shown picture in pixels, cropping applied.
    pub const fn height(&self) -> u32 {
        self.height
    }

    /// How many pictures may precede another in decoding and follow it in output; zero without B pictures.
    pub const fn reorder(&self) -> u32 {
        self.reorder
    }

    /// Does the set itself say that pictures are shown in another order than they are decoded in? Where it says nothing,
    /// [`Self::reorder`] is only what could be.
    pub const fn reorders(&self) -> bool {
        self.reorder_declared && self.reorder > 0
    }

    /// How colours became luma and chroma, `matrix_coefficients` of the VUI (table E-5), where the set says so.
    pub const fn matrix(&self) -> Option<u8> {
        self.matrix
    }

    /// Pictures per second, where the stream says so (VUI timing, E.2.1) and it is believable. Live encoders often vary it.
    pub fn frame_rate(&self) -> Option<f64> {
        let (ticks_per_second, ticks) = self.timing?;
        let rate = f64::from(ticks_per_second) / f64::from(ticks);
        (1.0..=300.0).contains(&rate).then_some(rate)
    }

    /// `profile_idc`, constraint flags and `level_idc`.
    pub fn profile_bytes(&self) -> [u8; 3] {
        [1, 2, 3].map(|i| self.sps.get(i).copied().unwrap_or(0))
    }

    /// The RFC 6381 name, such as `avc1.42c01f`.
    pub fn codec_string(&self) -> String {
        let [profile, constraints, level] = self.profile_bytes();
        format!("avc1.{profile:02x}{constraints:02x}{level:02x}")
    }

    /// Parameter sets as Annex B, to stand in front of a key picture.
    pub fn annex_b(&self) -> Vec<u8> {
        let mut out = Vec::new();
        append_annex_b(&mut out, &self.sps);
        for pps in &self.pps {
            append_annex_b(&mut out, pps);
        }
        out
    }
}

fn take_set(record: &Bytes, at: &mut usize) -> Result<Bytes, H264Error> {
    let end = H264Error::Record(*at);
    let field = record.get(*at..*at + 2).ok_or_else(|| end.clone())?;
    let length = (usize::from(field[0]) << 8) | usize::from(field[1]);
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

/// Bytes of garbage that some cameras (Reolink) leave behind a sequence parameter set's end.
const GARBAGE: usize = 2;

fn parse_sps(rbsp: &[u8]) -> Result<SeqParameterSet, SpsError> {
    let parse = |garbage: usize| {
        let end = rbsp.len().saturating_sub(garbage);
        SeqParameterSet::from_bits(BitReader::new(rbsp.get(..end).unwrap_or(rbsp)))
    };
    let too_long =
        |parsed: &Result<_, SpsError>| matches!(parsed, Err(SpsError::RbspReaderError(BitReaderError::RemainingData)));
    let mut parsed = parse(0);
    for garbage in 1..=GARBAGE {
        if too_long(&parsed) {
            parsed = parse(garbage);
        }
    }
    parsed
}

/// The entrance of an H.264 track: takes each picture's NAL units in whatever framing they came, remembers the parameter
/// sets, and gives canonical units.
#[derive(Debug, Clone, Default)]
pub struct H264Entrance {
    sps: Option<Bytes>,
    pps: Vec<Bytes>,
    params: Option<Arc<CodecParams>>,
    stale: bool,
}

impl H264Entrance {
    /// An entrance that has seen no parameter sets.
    pub fn new() -> Self {
        Self::default()
    }

    /// Parameter sets that came out of band (SDP, FLV sequence header, MP4 sample entry).
    pub fn set_params(&mut self, params: &H264Params) {
        self.put_sps(params.sps());
        for pps in params.pps() {
            self.put_pps(pps);
        }
    }

    /// What is known now; `None` until both kinds of parameter set were seen and parse.
    pub fn params(&mut self) -> Option<Arc<CodecParams>> {
        self.refresh().ok()
    }

    /// Takes the NAL units of one access unit. `Ok(None)` where they hold no picture (parameter sets or SEI alone).
    ///
    /// # Errors
    /// [`H264Error::NoParams`] for a picture before its parameter sets, [`H264Error::Sps`] for sets that do not parse,
    /// [`NalError::TooMany`] for a hostile count.
    pub fn unit<'a>(&mut self, nals: impl Iterator<Item = &'a [u8]>) -> Result<Option<VideoUnit>, H264Error> {
        let mut payload = Vec::new();
        let (mut picture, mut key) = (false, false);
        for (count, nal) in nals.enumerate() {
            if count >= MAX_NALS {
                return Err(NalError::TooMany.into());
            }
            match NalKind::of(nal) {
                _ if nal.is_empty() => {}
                NalKind::Sps => self.put_sps(nal),
                NalKind::Pps => self.put_pps(nal),
                NalKind::Delimiter => {}
                kind => {
                    picture |= kind.is_picture();
                    key |= kind == NalKind::Idr;
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

    fn put_sps(&mut self, nal: &[u8]) {
        if self.sps.as_deref() != Some(nal) {
            self.sps = Some(Bytes::copy_from_slice(nal));
            // Picture parameter sets belong to the sequence they were sent with; new ones follow.
            self.pps.clear();
            self.stale = true;
        }
    }

    fn put_pps(&mut self, nal: &[u8]) {
        let id = pps_id(nal);
        match self.pps.iter().position(|known| pps_id(known) == id) {
            Some(at) if self.pps[at] == nal => return,
            Some(at) => self.pps[at] = Bytes::copy_from_slice(nal),
            None if self.pps.len() < MAX_PPS => self.pps.push(Bytes::copy_from_slice(nal)),
            None => return,
        }
        self.stale = true;
    }

    fn refresh(&mut self) -> Result<Arc<CodecParams>, H264Error> {
        if let Some(params) = self.params.as_ref().filter(|_| !self.stale) {
            return Ok(Arc::clone(params));
        }
        let sps = self.sps.clone().filter(|_| !self.pps.is_empty()).ok_or(H264Error::NoParams)?;
        let params = Arc::new(CodecParams::H264(H264Params::new(sps, self.pps.clone())?));
        self.params = Some(Arc::clone(&params));
        self.stale = false;
        Ok(params)
    }
}

/// `pic_parameter_set_id`, the first Exp-Golomb number of a PPS (7.3.2.2); at most 255.
fn pps_id(nal: &[u8]) -> Option<u32> {
    crate::bits::Bits::new(nal.get(1..)?).exp_golomb().filter(|&id| id < 256)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::nal::{AnnexB, LengthPrefixed};

    /// 320×240 constrained baseline, as x264 writes it.
    pub(crate) const SPS: &[u8] = &[
        0x67, 0x42, 0xc0, 0x0d, 0xd9, 0x01, 0x41, 0xfb, 0x01, 0x10, 0, 0, 3, 0, 0x10, 0, 0, 3, 3, 0xc0, 0xf1, 0x42,
        0xa4, 0x80,
    ];
    pub(crate) const PPS: &[u8] = &[0x68, 0xcb, 0x83, 0xcb, 0x20];

    pub(crate) fn params() -> H264Params {
        H264Params::new(Bytes::from_static(SPS), vec![Bytes::from_static(PPS)]).unwrap()
    }

    #[test]
    fn reads_size_and_profile() {
        let p = params();
        assert_eq!((p.width(), p.height(), p.reorder()), (320, 240, 0));
        assert_eq!(p.codec_string(), "avc1.42c00d");
        assert_eq!(p.frame_rate(), Some(30.0));
    }

    #[test]
    fn configuration_record_round_trips() {
        let p = params();
        let (back, length_size) = H264Params::from_avcc(&Bytes::from(p.avcc())).unwrap();
        assert_eq!((back, length_size), (p, 4));
    }

    #[test]
    fn short_records_are_errors() {
        let whole = params().avcc();
        for cut in 0..whole.len() {
            assert!(H264Params::from_avcc(&Bytes::copy_from_slice(&whole[..cut])).is_err(), "cut at {cut}");
        }
    }

    #[test]
    fn entrance_keeps_sets_out_of_band() {
        let mut e = H264Entrance::new();
        let slice = &[0x41_u8, 1, 2][..];
        assert_eq!(e.unit([slice].into_iter()).unwrap_err(), H264Error::NoParams);
        let unit = e.unit([&[9_u8, 0xF0][..], SPS, PPS, &[], &[0x65, 1]].into_iter()).unwrap().unwrap();
        assert_eq!(unit.kind, UnitKind::Key);
        assert_eq!(&unit.payload[..], [0, 0, 0, 2, 0x65, 1]);
        let next = e.unit([slice].into_iter()).unwrap().unwrap();
        assert!(Arc::ptr_eq(&unit.params, &next.params));
        assert_eq!(LengthPrefixed::parse(&next.payload).unwrap().count(), 1);
        assert!(e.unit([SPS, PPS].into_iter()).unwrap().is_none());
        assert_eq!(AnnexB::new(&params().annex_b()).count(), 2);
    }
}
