//! Pictures as FLV and MP4 carry them to canonical form, without a copy where nothing has to change.
//!
//! Belongs here: length-prefixed samples (ISO/IEC 14496-15) with lengths of any size, and which entrance a codec has. Not here:
//! what parameter sets and headers say (`media`), the framing of tags and boxes (`flv`, `fmp4`).

use bytes::Bytes;
use media::{
    AnnexB, Av1Entrance, Av1Error, Av1Params, Codec, CodecParams, H264Entrance, H264Error, H264Params, H265Entrance,
    H265Error, H265NalKind, H265Params, LengthPrefixed, NalError, NalKind, NalRole, UnitKind, VideoUnit, Vp9Entrance,
    Vp9Error, Vp9Params,
};
use std::sync::Arc;
use thiserror::Error;

/// A broken configuration record or picture.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum VideoError {
    /// H.264: configuration record or NAL units.
    #[error("H.264: {0}")]
    H264(#[from] H264Error),
    /// H.265: configuration record or NAL units.
    #[error("H.265: {0}")]
    H265(#[from] H265Error),
    /// AV1: configuration record or open bitstream units.
    #[error("AV1: {0}")]
    Av1(#[from] Av1Error),
    /// VP9: configuration record or frame.
    #[error("VP9: {0}")]
    Vp9(#[from] Vp9Error),
}

impl VideoError {
    /// Is it only that a picture came before its parameters? Publishers that are joined in the middle do that.
    pub const fn is_early(&self) -> bool {
        matches!(
            self,
            Self::H264(H264Error::NoParams)
                | Self::H265(H265Error::NoParams)
                | Self::Av1(Av1Error::NoParams)
                | Self::Vp9(Vp9Error::NoParams)
        )
    }
}

/// Where the samples of one picture track enter.
#[derive(Debug)]
pub(crate) enum VideoEntrance {
    H264(NalEntrance<H264Entrance>),
    H265(NalEntrance<H265Entrance>),
    Av1(Av1Entrance),
    Vp9(Vp9Entrance),
}

impl VideoEntrance {
    /// The entrance for `codec`; `None` for sound.
    pub(crate) fn new(codec: Codec) -> Option<Self> {
        match codec {
            Codec::H264 => Some(Self::H264(NalEntrance::new())),
            Codec::H265 => Some(Self::H265(NalEntrance::new())),
            Codec::Av1 => Some(Self::Av1(Av1Entrance::new())),
            Codec::Vp9 => Some(Self::Vp9(Vp9Entrance::new())),
            _ => None,
        }
    }

    /// What enters here.
    pub(crate) const fn codec(&self) -> Codec {
        match self {
            Self::H264(_) => Codec::H264,
            Self::H265(_) => Codec::H265,
            Self::Av1(_) => Codec::Av1,
            Self::Vp9(_) => Codec::Vp9,
        }
    }

    /// Takes a configuration record, and the size where the container says it. What is known from now on, the same `Arc` as
    /// before if nothing changed; `None` where the first key picture has to say more.
    pub(crate) fn configure(
        &mut self,
        record: &Bytes,
        size: Option<(u32, u32)>,
    ) -> Result<Option<Arc<CodecParams>>, VideoError> {
        match self {
            Self::H264(entrance) => Ok(Some(entrance.configure(record)?)),
            Self::H265(entrance) => Ok(Some(entrance.configure(record)?)),
            Self::Av1(entrance) => match Av1Params::from_av1c(record)? {
                Some(params) => {
                    entrance.set_params(params);
                    Ok(entrance.params())
                }
                None => Ok(None),
            },
            Self::Vp9(entrance) => match size {
                Some((width, height)) => {
                    entrance.set_params(Vp9Params::from_vpcc(record, width, height)?);
                    Ok(entrance.params())
                }
                None => {
                    entrance.set_record(record)?;
                    Ok(None)
                }
            },
        }
    }

    /// One sample in canonical form; `Ok(None)` where it holds no picture.
    pub(crate) fn unit(&mut self, sample: &Bytes) -> Result<Option<VideoUnit>, VideoError> {
        match self {
            Self::H264(entrance) => Ok(entrance.unit(sample)?),
            Self::H265(entrance) => Ok(entrance.unit(sample)?),
            Self::Av1(entrance) => Ok(entrance.unit(sample)?),
            Self::Vp9(entrance) => Ok(entrance.unit(sample)?),
        }
    }
}

/// A codec of NAL units with parameter sets.
pub(crate) trait NalCodec {
    type Error: From<NalError>;
    /// A picture before its parameter sets.
    const NO_PARAMS: Self::Error;

    fn new() -> Self;
    fn role(nal: &[u8]) -> NalRole;
    /// Takes a configuration record; the size of the lengths that go with it.
    fn configure(&mut self, record: &Bytes) -> Result<u8, Self::Error>;
    fn params(&mut self) -> Option<Arc<CodecParams>>;
    fn unit<'a>(&mut self, nals: impl Iterator<Item = &'a [u8]>) -> Result<Option<VideoUnit>, Self::Error>;
}

impl NalCodec for H264Entrance {
    type Error = H264Error;
    const NO_PARAMS: H264Error = H264Error::NoParams;

    fn new() -> Self {
        Self::new()
    }

    fn role(nal: &[u8]) -> NalRole {
        NalKind::of(nal).role()
    }

    fn configure(&mut self, record: &Bytes) -> Result<u8, H264Error> {
        let (params, length_size) = H264Params::from_avcc(record)?;
        self.set_params(&params);
        Ok(length_size)
    }

    fn params(&mut self) -> Option<Arc<CodecParams>> {
        self.params()
    }

    fn unit<'a>(&mut self, nals: impl Iterator<Item = &'a [u8]>) -> Result<Option<VideoUnit>, H264Error> {
        self.unit(nals)
    }
}

impl NalCodec for H265Entrance {
    type Error = H265Error;
    const NO_PARAMS: H265Error = H265Error::NoParams;

    fn new() -> Self {
        Self::new()
    }

    fn role(nal: &[u8]) -> NalRole {
        H265NalKind::of(nal).role()
    }

    fn configure(&mut self, record: &Bytes) -> Result<u8, H265Error> {
        let (params, length_size) = H265Params::from_hvcc(record)?;
        self.set_params(&params);
        Ok(length_size)
    }

    fn params(&mut self) -> Option<Arc<CodecParams>> {
        self.params()
    }

    fn unit<'a>(&mut self, nals: impl Iterator<Item = &'a [u8]>) -> Result<Option<VideoUnit>, H265Error> {
        self.unit(nals)
    }
}

/// Where length-prefixed samples enter.
#[derive(Debug)]
pub(crate) struct NalEntrance<C> {
    sets: C,
    /// Bytes of a NAL length: 1, 2 or 4.
    length_size: u8,
}

impl<C: NalCodec> NalEntrance<C> {
    fn new() -> Self {
        Self { sets: C::new(), length_size: 4 }
    }

    fn configure(&mut self, record: &Bytes) -> Result<Arc<CodecParams>, C::Error> {
        self.length_size = self.sets.configure(record)?;
        self.sets.params().ok_or(C::NO_PARAMS)
    }

    fn unit(&mut self, sample: &Bytes) -> Result<Option<VideoUnit>, C::Error> {
        if self.length_size != 4 {
            let nals = short_lengths(sample, self.length_size)?;
            return self.sets.unit(nals.into_iter());
        }
        match LengthPrefixed::parse(sample) {
            Ok(nals) => match canonical_kind::<C>(nals.clone(), sample.len()) {
                Some(kind) => {
                    let params = self.sets.params().ok_or(C::NO_PARAMS)?;
                    Ok(Some(VideoUnit { kind, params, payload: sample.clone() }))
                }
                None => self.sets.unit(nals),
            },
            // Small cameras write start codes where lengths belong.
            Err(_) if sample.starts_with(&[0, 0, 0, 1]) || sample.starts_with(&[0, 0, 1]) => {
                self.sets.unit(AnnexB::new(sample))
            }
            Err(error) => Err(error.into()),
        }
    }
}

/// The kind of a sample that already is as the canonical form wants it; `None` where it must be rewritten (or is empty).
fn canonical_kind<C: NalCodec>(nals: LengthPrefixed<'_>, total: usize) -> Option<UnitKind> {
    let (mut size, mut picture, mut key) = (0, false, false);
    for nal in nals {
        size += nal.len() + 4;
        match C::role(nal) {
            NalRole::ParameterSet | NalRole::Delimiter => return None,
            role => {
                picture |= role.is_picture();
                key |= role == NalRole::Key;
            }
        }
    }
    // The iterator leaves out empty NAL units, and so the sizes differ where there are any.
    (picture && size == total).then_some(if key { UnitKind::Key } else { UnitKind::Delta })
}

fn short_lengths(sample: &[u8], length_size: u8) -> Result<Vec<&[u8]>, NalError> {
    let (mut rest, mut nals) = (sample, Vec::new());
    while !rest.is_empty() {
        let at = sample.len() - rest.len();
        let (field, behind) = rest.split_at_checked(usize::from(length_size)).ok_or(NalError::Truncated {
            at,
            claimed: usize::from(length_size),
            left: rest.len(),
        })?;
        let length = field.iter().fold(0, |n, &b| n << 8 | usize::from(b));
        let (nal, next) =
            behind.split_at_checked(length).ok_or(NalError::Truncated { at, claimed: length, left: behind.len() })?;
        if !nal.is_empty() {
            nals.push(nal);
        }
        rest = next;
    }
    Ok(nals)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{PPS, SPS, VP9_KEY, av1, h264, h265, vp9};
    use media::{append_annex_b, append_length_prefixed};

    type Avc = NalEntrance<H264Entrance>;

    fn entrance() -> Avc {
        let mut entrance = Avc::new();
        entrance.configure(&h264().avcc().into()).unwrap();
        entrance
    }

    fn prefixed(nals: &[&[u8]]) -> Bytes {
        let mut out = Vec::new();
        nals.iter().for_each(|nal| append_length_prefixed(&mut out, nal));
        out.into()
    }

    #[test]
    fn keeps_what_is_canonical() {
        let sample = prefixed(&[&[6, 1], &[0x65, 1, 2]]);
        let unit = entrance().unit(&sample).unwrap().unwrap();
        assert_eq!(unit.kind, UnitKind::Key);
        assert_eq!(unit.payload.as_ptr(), sample.as_ptr(), "no copy");
    }

    #[test]
    fn rewrites_what_is_not() {
        let want = prefixed(&[&[0x65, 1, 2]]);
        let check = |sample: Bytes| {
            let unit = entrance().unit(&sample).unwrap().unwrap();
            assert_eq!((unit.kind, &unit.payload), (UnitKind::Key, &want), "{sample:02x?}");
        };
        check(prefixed(&[&[9, 0xF0], &[0x65, 1, 2]]));
        check(prefixed(&[SPS, PPS, &[0x65, 1, 2]]));
        check(prefixed(&[&[], &[0x65, 1, 2], &[]]));
        let mut annex = Vec::new();
        [SPS, PPS, &[0x65, 1, 2]].iter().for_each(|nal| append_annex_b(&mut annex, nal));
        check(annex.into());
    }

    #[test]
    fn every_codec_has_its_entrance() {
        let check = |params: CodecParams, record: Vec<u8>, sample: Bytes, canonical: Bytes| {
            let codec = params.codec();
            let mut entrance = VideoEntrance::new(codec).unwrap();
            assert_eq!(entrance.codec(), codec);
            assert!(entrance.unit(&sample).is_err_and(|e| e.is_early()) || codec == Codec::Vp9, "{codec:?}");
            let known = entrance.configure(&record.into(), Some((320, 240))).unwrap().unwrap();
            assert_eq!(*known, params);
            let unit = entrance.unit(&sample).unwrap().unwrap();
            assert_eq!((unit.kind, &unit.payload), (UnitKind::Key, &canonical), "{codec:?}");
            assert!(sample.as_ptr_range().contains(&unit.payload.as_ptr()), "no copy");
        };
        let nal = prefixed(&[&[0x28, 1, 9]]);
        check(CodecParams::H265(h265()), h265().hvcc(), nal.clone(), nal);
        let obus = Bytes::from_static(&[0x12, 0, 0x32, 2, 0x10, 1]);
        check(CodecParams::Av1(av1()), av1().av1c(), obus.clone(), obus.slice(2..));
        let frame = Bytes::from_static(VP9_KEY);
        check(CodecParams::Vp9(vp9()), vp9().vpcc().to_vec(), frame.clone(), frame);
        assert!(VideoEntrance::new(Codec::Opus).is_none());
        // In-band sets of H.265 go out of band as well.
        let mut entrance = VideoEntrance::new(Codec::H265).unwrap();
        let sets: Vec<Bytes> = h265().sets().cloned().collect();
        let nals: Vec<&[u8]> = sets.iter().map(|set| &set[..]).chain([&[0x28, 1, 9][..]]).collect();
        let unit = entrance.unit(&prefixed(&nals)).unwrap().unwrap();
        assert_eq!(unit.payload, prefixed(&[&[0x28, 1, 9]]));
        assert_eq!(*unit.params, CodecParams::H265(h265()));
    }

    #[test]
    fn short_length_fields() {
        let mut record = h264().avcc();
        for (size, sample) in [(1, &[0, 3, 0x65, 1, 2][..]), (2, &[0, 3, 0x65, 1, 2])] {
            record[4] = 0xFC | (size - 1);
            let mut entrance = Avc::new();
            entrance.configure(&record.clone().into()).unwrap();
            let unit = entrance.unit(&Bytes::copy_from_slice(sample)).unwrap().unwrap();
            assert_eq!(unit.payload, prefixed(&[&[0x65, 1, 2]]));
            assert!(entrance.unit(&Bytes::from_static(&[0])).unwrap_or(None).is_none());
            assert!(entrance.unit(&Bytes::from_static(&[9, 9, 9])).is_err());
        }
    }

    #[test]
    fn nothing_without_parameter_sets_or_picture() {
        assert!(matches!(Avc::new().unit(&prefixed(&[&[0x65, 1]])), Err(H264Error::NoParams)));
        assert!(entrance().unit(&prefixed(&[SPS, PPS])).unwrap().is_none());
        assert!(entrance().unit(&Bytes::new()).unwrap().is_none());
        assert!(entrance().unit(&Bytes::from_static(&[0, 0, 0, 9, 1])).is_err());
    }
}
