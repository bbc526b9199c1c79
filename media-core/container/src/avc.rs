//! H.264 as FLV and MP4 carry it (ISO/IEC 14496-15 §5) to canonical form, without a copy where nothing has to change.
//!
//! Not here: what parameter sets say (`media::H264Params`), the framing of tags and boxes (`flv`, `fmp4`).

use bytes::Bytes;
use media::{
    AnnexB, CodecParams, H264Entrance, H264Error, H264Params, H264Unit, LengthPrefixed, NalError, NalKind, UnitKind,
};
use std::sync::Arc;

/// Where the samples of one H.264 track enter.
#[derive(Debug)]
pub(crate) struct AvcEntrance {
    sets: H264Entrance,
    /// Bytes of a NAL length: 1, 2 or 4.
    length_size: u8,
}

impl AvcEntrance {
    pub(crate) fn new() -> Self {
        Self { sets: H264Entrance::new(), length_size: 4 }
    }

    /// Takes a configuration record; what is known from now on. The same `Arc` as before if nothing changed.
    pub(crate) fn configure(&mut self, record: &Bytes) -> Result<Arc<CodecParams>, H264Error> {
        let (params, length_size) = H264Params::from_avcc(record)?;
        self.length_size = length_size;
        self.sets.set_params(&params);
        self.sets.params().ok_or(H264Error::NoParams)
    }

    /// One sample in canonical form; `Ok(None)` where it holds no picture.
    pub(crate) fn unit(&mut self, sample: &Bytes) -> Result<Option<H264Unit>, H264Error> {
        if self.length_size != 4 {
            let nals = short_lengths(sample, self.length_size)?;
            return self.sets.unit(nals.into_iter());
        }
        match LengthPrefixed::parse(sample) {
            Ok(nals) => match canonical_kind(nals.clone(), sample.len()) {
                Some(kind) => {
                    let params = self.sets.params().ok_or(H264Error::NoParams)?;
                    Ok(Some(H264Unit { kind, params, payload: sample.clone() }))
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
fn canonical_kind(nals: LengthPrefixed<'_>, total: usize) -> Option<UnitKind> {
    let (mut size, mut picture, mut key) = (0, false, false);
    for nal in nals {
        size += nal.len() + 4;
        match NalKind::of(nal) {
            NalKind::Sps | NalKind::Pps | NalKind::Delimiter => return None,
            kind => {
                picture |= kind.is_picture();
                key |= kind == NalKind::Idr;
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
    use crate::testing::{PPS, SPS, h264};
    use media::{append_annex_b, append_length_prefixed};

    fn entrance() -> AvcEntrance {
        let mut entrance = AvcEntrance::new();
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
    fn short_length_fields() {
        let mut record = h264().avcc();
        for (size, sample) in [(1, &[0, 3, 0x65, 1, 2][..]), (2, &[0, 3, 0x65, 1, 2])] {
            record[4] = 0xFC | (size - 1);
            let mut entrance = AvcEntrance::new();
            entrance.configure(&record.clone().into()).unwrap();
            let unit = entrance.unit(&Bytes::copy_from_slice(sample)).unwrap().unwrap();
            assert_eq!(unit.payload, prefixed(&[&[0x65, 1, 2]]));
            assert!(entrance.unit(&Bytes::from_static(&[0])).unwrap_or(None).is_none());
            assert!(entrance.unit(&Bytes::from_static(&[9, 9, 9])).is_err());
        }
    }

    #[test]
    fn nothing_without_parameter_sets_or_picture() {
        assert!(matches!(AvcEntrance::new().unit(&prefixed(&[&[0x65, 1]])), Err(H264Error::NoParams)));
        assert!(entrance().unit(&prefixed(&[SPS, PPS])).unwrap().is_none());
        assert!(entrance().unit(&Bytes::new()).unwrap().is_none());
        assert!(entrance().unit(&Bytes::from_static(&[0, 0, 0, 9, 1])).is_err());
    }
}
