//! AAC: the AudioSpecificConfig (ISO/IEC 14496-3 §1.6.2.1) and ADTS framing (§1.A.2).
//!
//! Not here: encoding and decoding (`codec`), RTP's AU headers (`proto::rtp`).

use crate::bits::{BitWriter, Bits};
use crate::time::ClockRate;
use bytes::Bytes;
use thiserror::Error;

/// What AAC headers can get wrong.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum AacError {
    /// The configuration ends early.
    #[error("AudioSpecificConfig ends early")]
    Short,
    /// An object type that is not AAC-LC, HE-AAC or HE-AAC v2.
    #[error("audio object type {0} is not AAC-LC or HE-AAC")]
    ObjectType(u32),
    /// A sampling frequency index that is reserved, or zero Hz.
    #[error("sampling frequency is reserved or zero")]
    Rate,
    /// A channel configuration other than 1–7.
    #[error("channel configuration {0}")]
    Channels(u32),
    /// ADTS: no sync word at this byte.
    #[error("no ADTS sync word at byte {0}")]
    Sync(usize),
}

/// Which AAC it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AacObject {
    /// Low complexity (2).
    Lc,
    /// LC with spectral band replication (5): the output rate is twice the core's.
    He,
    /// HE with parametric stereo (29).
    HeV2,
}

/// What an AAC track decodes with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AacParams {
    config: Bytes,
    object: AacObject,
    rate: ClockRate,
    core_rate: ClockRate,
    channels: u8,
}

/// ISO/IEC 14496-3 table 1.18.
const RATES: [u32; 13] =
    [96_000, 88_200, 64_000, 48_000, 44_100, 32_000, 24_000, 22_050, 16_000, 12_000, 11_025, 8_000, 7_350];

impl AacParams {
    /// Samples per channel in one AAC frame of the core coder.
    pub const FRAME: u32 = 1024;

    /// AAC-LC at `rate` Hz with `channels` (1–7) channels; any rate that has no index is written out.
    ///
    /// # Errors
    /// [`AacError::Rate`] or [`AacError::Channels`] for what the configuration cannot say.
    pub fn lc(rate: u32, channels: u8) -> Result<Self, AacError> {
        if channels == 0 || channels > 7 {
            return Err(AacError::Channels(u32::from(channels)));
        }
        if rate == 0 || rate >= 1 << 24 {
            return Err(AacError::Rate);
        }
        let mut w = BitWriter::default();
        w.put(2, 5);
        match (0_u32..).zip(RATES).find(|&(_, r)| r == rate) {
            Some((index, _)) => w.put(index, 4),
            None => {
                w.put(15, 4);
                w.put(rate, 24);
            }
        }
        w.put(u32::from(channels), 4);
        // frameLengthFlag 0 (1024), dependsOnCoreCoder 0, extensionFlag 0.
        w.put(0, 3);
        Self::parse(w.finish().into())
    }

    /// Reads an AudioSpecificConfig. Explicit and backward-compatible signalling of SBR and PS are both understood.
    ///
    /// # Errors
    /// [`AacError`] for what is not AAC-LC or HE-AAC with 1–7 channels.
    pub fn parse(config: Bytes) -> Result<Self, AacError> {
        let mut bits = Bits::new(&config);
        let first = object_type(&mut bits)?;
        let core_rate = sampling_rate(&mut bits)?;
        let channel_config = bits.take(4).ok_or(AacError::Short)?;
        let (mut object, mut rate) = (AacObject::Lc, core_rate);
        match first {
            2 => {}
            5 | 29 => {
                rate = sampling_rate(&mut bits)?;
                let core = object_type(&mut bits)?;
                if core != 2 {
                    return Err(AacError::ObjectType(core));
                }
                object = if first == 5 { AacObject::He } else { AacObject::HeV2 };
            }
            other => return Err(AacError::ObjectType(other)),
        }
        if first == 2 {
            // GASpecificConfig, then perhaps the backward-compatible extension (0x2B7).
            let short = [bits.take(1), bits.take(1), bits.take(1)].iter().any(Option::is_none);
            if !short && bits.take(11) == Some(0x2B7) && object_type(&mut bits) == Ok(5) && bits.take(1) == Some(1) {
                object = AacObject::He;
                rate = sampling_rate(&mut bits)?;
                if bits.take(11) == Some(0x548) && bits.take(1) == Some(1) {
                    object = AacObject::HeV2;
                }
            }
        }
        let channels = match channel_config {
            n @ 1..=6 => n,
            7 => 8,
            other => return Err(AacError::Channels(other)),
        };
        let channels = if object == AacObject::HeV2 { 2 } else { channels };
        Ok(Self { object, rate, core_rate, channels: u8::try_from(channels).unwrap_or(u8::MAX), config })
    }

    /// The AudioSpecificConfig as it came.
    pub const fn config(&self) -> &Bytes {
        &self.config
    }

    /// Which AAC it is.
    pub const fn object(&self) -> AacObject {
        self.object
    }

    /// Sample rate of what comes out of the decoder; also the track's clock.
    pub const fn rate(&self) -> ClockRate {
        self.rate
    }

    /// Channels of what comes out of the decoder.
    pub const fn channels(&self) -> u8 {
        self.channels
    }

    /// Samples per channel of one access unit at [`Self::rate`].
    pub fn frame_samples(&self) -> u32 {
        Self::FRAME * (self.rate.hz() / self.core_rate.hz()).clamp(1, 2)
    }

    /// The ADTS header (ISO/IEC 14496-3 §1.A.2) of a raw frame of `length` bytes. It names the core coder: SBR and PS show in
    /// the frames themselves. `None` where ADTS has no word for the rate or the channels, or the frame is too long for it.
    pub fn adts_header(&self, length: usize) -> Option<[u8; 7]> {
        let mut bits = Bits::new(&self.config);
        object_type(&mut bits).ok()?;
        let index = u8::try_from(bits.take(4)?).ok().filter(|&index| usize::from(index) < RATES.len())?;
        let channels = u8::try_from(bits.take(4)?).ok().filter(|channels| (1..=7).contains(channels))?;
        let [high, low] = u16::try_from(length + 7).ok().filter(|&total| total < 1 << 13)?.to_be_bytes();
        // No CRC; profile 1 is LC; buffer fullness 0x7FF says that the rate varies; one raw block.
        Some([
            0xFF,
            0xF1,
            1 << 6 | index << 2 | channels >> 2,
            channels << 6 | high >> 3,
            high << 5 | low >> 3,
            low << 5 | 0x1F,
            0xFC,
        ])
    }

    /// The RFC 6381 name, such as `mp4a.40.2`.
    pub fn codec_string(&self) -> String {
        let object = match self.object {
            AacObject::Lc => 2,
            AacObject::He => 5,
            AacObject::HeV2 => 29,
        };
        format!("mp4a.40.{object}")
    }
}

fn object_type(bits: &mut Bits<'_>) -> Result<u32, AacError> {
    match bits.take(5).ok_or(AacError::Short)? {
        31 => Ok(32 + bits.take(6).ok_or(AacError::Short)?),
        object => Ok(object),
    }
}

fn sampling_rate(bits: &mut Bits<'_>) -> Result<ClockRate, AacError> {
    let hz = match bits.take(4).ok_or(AacError::Short)? {
        15 => bits.take(24).ok_or(AacError::Short)?,
        index => *usize::try_from(index).ok().and_then(|i| RATES.get(i)).ok_or(AacError::Rate)?,
    };
    ClockRate::new(hz).ok_or(AacError::Rate)
}

/// One ADTS frame: what its header says, and the AAC frame without the header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Adts {
    /// Configuration built from the header; HE-AAC cannot be seen from ADTS alone, so this says LC.
    pub params: AacParams,
    /// The raw AAC frame.
    pub frame: Bytes,
}

/// Splits a run of ADTS frames, as MPEG-TS carries them.
#[derive(Debug, Clone)]
pub struct AdtsFrames {
    bytes: Bytes,
    at: usize,
    broken: bool,
}

impl AdtsFrames {
    /// The frames in `bytes`.
    pub const fn new(bytes: Bytes) -> Self {
        Self { bytes, at: 0, broken: false }
    }

    /// Bytes of the whole frames that were taken.
    pub const fn position(&self) -> usize {
        self.at
    }

    fn parse(&mut self) -> Result<Adts, AacError> {
        let header = self.bytes.get(self.at..self.at + 7).ok_or(AacError::Short)?;
        if header[0] != 0xFF || header[1] & 0xF6 != 0xF0 {
            return Err(AacError::Sync(self.at));
        }
        let rate = *RATES.get(usize::from(header[2] >> 2 & 15)).ok_or(AacError::Rate)?;
        let channels = (header[2] & 1) << 2 | header[3] >> 6;
        let length = usize::from(header[3] & 3) << 11 | usize::from(header[4]) << 3 | usize::from(header[5] >> 5);
        let header_length = if header[1] & 1 == 1 { 7 } else { 9 };
        if length < header_length || self.bytes.len() - self.at < length {
            return Err(AacError::Short);
        }
        let frame = self.bytes.slice(self.at + header_length..self.at + length);
        self.at += length;
        Ok(Adts { params: AacParams::lc(rate, channels)?, frame })
    }
}

impl Iterator for AdtsFrames {
    type Item = Result<Adts, AacError>;

    /// After an error the rest is given up.
    fn next(&mut self) -> Option<Self::Item> {
        if self.broken || self.at >= self.bytes.len() {
            return None;
        }
        let frame = self.parse();
        self.broken = frame.is_err();
        Some(frame)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn configurations() {
        let check = |bytes: &'static [u8], want: Result<(AacObject, u32, u8, u32), AacError>| {
            let got = AacParams::parse(Bytes::from_static(bytes));
            assert_eq!(got.map(|p| (p.object(), p.rate().hz(), p.channels(), p.frame_samples())), want, "{bytes:02x?}");
        };
        check(&[0x11, 0x90], Ok((AacObject::Lc, 48_000, 2, 1024)));
        check(&[0x12, 0x10], Ok((AacObject::Lc, 44_100, 2, 1024)));
        check(&[0x14, 0x08], Ok((AacObject::Lc, 16_000, 1, 1024)));
        check(&[0x2B, 0x11, 0x88, 0x00], Ok((AacObject::He, 48_000, 2, 2048)));
        check(&[0x13, 0x10, 0x56, 0xE5, 0x98], Ok((AacObject::He, 48_000, 2, 2048)));
        check(&[0x11], Err(AacError::Short));
        check(&[0xF8, 0x00, 0x00], Err(AacError::ObjectType(32)));
        check(&[0x11, 0x80], Err(AacError::Channels(0)));
    }

    #[test]
    fn built_configuration_reads_back() {
        for (rate, channels) in [(48_000, 2), (16_000, 1), (44_100, 6), (12_345, 1)] {
            let p = AacParams::lc(rate, channels).unwrap();
            assert_eq!((p.rate().hz(), p.channels(), p.object()), (rate, channels, AacObject::Lc));
        }
    }

    #[test]
    fn adts_frames() {
        let frame = [0xFF, 0xF1, 0x4C, 0x80, 0x01, 0x3F, 0xFC, 1, 2];
        let two: Vec<u8> = frame.iter().chain(&frame).copied().collect();
        let got: Vec<_> = AdtsFrames::new(two.into()).collect::<Result<_, _>>().unwrap();
        assert_eq!(got.len(), 2);
        assert_eq!((&got[0].frame[..], got[0].params.rate().hz()), (&[1_u8, 2][..], 48_000));
        let header = AacParams::lc(48_000, 2).unwrap().adts_header(2).unwrap();
        assert_eq!(header, frame[..7]);
        assert!(AacParams::lc(12_345, 2).unwrap().adts_header(2).is_none(), "no index");
        let he = AacParams::parse(Bytes::from_static(&[0x2B, 0x11, 0x88, 0x00])).unwrap();
        let read = AdtsFrames::new([&he.adts_header(1).unwrap()[..], &[7]].concat().into()).next().unwrap().unwrap();
        assert_eq!(read.params.rate().hz(), 24_000, "the core's rate");
        assert!(he.adts_header(8185).is_none() && he.adts_header(8184).is_some());
    }
}
