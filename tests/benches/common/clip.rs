//! What a publisher sends: clock cards and beeps, encoded before the measurement so that encoding is no part of it.
//!
//! Not here: sending it when it is due (`publisher`).

use anyhow::{Context, Result};
use codec::{AacEncoderConfig, EncoderConfig, H264Encoder, OpusEncoder, OpusEncoderConfig, aac_encoder};
use device::synthetic::{ClockCard, ClockReading, beep_sample};
use media::{AacParams, AccessUnit, ClockRate, CodecParams, MediaTime, MonoTime, Track, TrackId, TrackSet, UnitKind};
use std::sync::Arc;
use std::time::Duration;

/// Pictures a second.
pub(crate) const FPS: u32 = 30;
/// Samples a second.
pub(crate) const RATE: u32 = 48_000;
const VIDEO: TrackId = TrackId(0);
const AUDIO: TrackId = TrackId(1);

/// Which sound goes with the pictures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sound {
    None,
    Aac,
    Opus,
}

/// How to make a clip.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Recipe {
    /// Of the pictures; `None` for sound alone.
    pub(crate) size: Option<(u32, u32)>,
    /// Pictures from one key picture to the next.
    pub(crate) gop: u32,
    pub(crate) sound: Sound,
    pub(crate) length: Duration,
}

/// Units in the order in which they are due.
#[derive(Debug)]
pub(crate) struct Clip {
    pub(crate) tracks: TrackSet,
    /// When each is due, from the clip's begin, and the unit. A picture is due at its time; sound when its last sample was.
    pub(crate) units: Vec<(Duration, AccessUnit)>,
}

impl Recipe {
    /// Makes it.
    ///
    /// # Errors
    /// Where an encoder refuses.
    pub(crate) fn make(self) -> Result<Clip> {
        let (mut tracks, mut units) = (Vec::new(), Vec::new());
        if let Some(size) = self.size {
            units.extend(self.pictures(size)?);
            tracks.extend(units.first().map(|(_, unit)| track(unit, ClockRate::VIDEO)));
        }
        let sound = match self.sound {
            Sound::None => Vec::new(),
            Sound::Aac => self.aac()?,
            Sound::Opus => self.opus()?,
        };
        tracks.extend(sound.first().map(|(_, unit)| track(unit, ClockRate::AUDIO_48K)));
        units.extend(sound);
        units.sort_by_key(|(due, _)| *due);
        Ok(Clip { tracks: TrackSet::new(tracks), units })
    }

    /// Clock cards whose frame numbers count from 0. Each is another picture, so that each unit is another one.
    fn pictures(self, (width, height): (u32, u32)) -> Result<Vec<(Duration, AccessUnit)>> {
        let config = EncoderConfig { gop: self.gop, ..EncoderConfig::new(width, height, FPS, 1_200_000) };
        let mut encoder = H264Encoder::new(config)?;
        let card = ClockCard::new(width, height);
        let count = u32::try_from(self.length.as_secs())? * FPS;
        let picture = |frame: u32| -> Result<(Duration, AccessUnit)> {
            let due = Duration::from_secs(1) * frame / FPS;
            let drawn = MonoTime::from_micros(u64::try_from(due.as_micros())?);
            let reading =
                ClockReading { drawn, frame, beep: frame.is_multiple_of(FPS), late: Duration::ZERO, stream: 7 };
            let picture = card.draw(&reading, f64::from(frame) / f64::from(FPS), drawn);
            let unit = encoder.encode(&picture, false)?.context("a picture was left out")?;
            let time = MediaTime::new(i64::from(frame) * 90_000 / i64::from(FPS), ClockRate::VIDEO);
            let unit = AccessUnit {
                track: VIDEO,
                dts: time,
                pts: time,
                duration: None,
                kind: unit.kind,
                captured: None,
                params: unit.params,
                payload: unit.payload,
            };
            Ok((due, unit))
        };
        (0..count).map(picture).collect()
    }

    fn aac(self) -> Result<Vec<(Duration, AccessUnit)>> {
        let frame = AacParams::FRAME as usize;
        let mut encoder = aac_encoder(AacEncoderConfig::default())?;
        let params = Arc::new(CodecParams::Aac(encoder.params().clone()));
        let delay = i64::from(encoder.delay());
        self.blocks(frame, delay, &params, |pcm| Ok(encoder.encode(pcm)?))
    }

    fn opus(self) -> Result<Vec<(Duration, AccessUnit)>> {
        let mut encoder = OpusEncoder::new(OpusEncoderConfig::default())?;
        let params = Arc::new(CodecParams::Opus(encoder.params()));
        let delay = i64::from(encoder.delay());
        self.blocks(OpusEncoder::FRAME, delay, &params, |pcm| Ok(encoder.encode(pcm)?))
    }

    /// Each block's unit is stamped with the time of the sound that comes out of it, `delay` samples before what went in.
    fn blocks<T: Into<bytes::Bytes>>(
        self,
        samples: usize,
        delay: i64,
        params: &Arc<CodecParams>,
        mut encode: impl FnMut(&[f32]) -> Result<T>,
    ) -> Result<Vec<(Duration, AccessUnit)>> {
        let mut units = Vec::new();
        for block in 0..self.length.as_secs() * u64::from(RATE) / samples as u64 {
            let begin = block * samples as u64;
            let pcm: Vec<f32> = (begin..begin + samples as u64).flat_map(|n| [sample(n); 2]).collect();
            let payload = encode(&pcm)?.into();
            let pts = MediaTime::new(i64::try_from(begin)? - delay, ClockRate::AUDIO_48K);
            let unit = AccessUnit {
                track: AUDIO,
                dts: pts,
                pts,
                duration: Some(MediaTime::new(i64::try_from(samples)?, ClockRate::AUDIO_48K)),
                kind: UnitKind::Audio,
                captured: None,
                params: Arc::clone(params),
                payload,
            };
            // What the encoder gives before there was sound.
            if pts.ticks() >= 0 {
                units.push((Duration::from_micros((begin + samples as u64) * 1_000_000 / u64::from(RATE)), unit));
            }
        }
        Ok(units)
    }
}

/// The beeps, over a noise at −50 dB that makes every unit another one.
fn sample(n: u64) -> f32 {
    // Knuth's multiplicative hash; its high bits look random.
    let noise = (n.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(n) >> 33) as f32 / (1_u64 << 31) as f32 - 0.5;
    beep_sample(n) + noise * 0.006
}

fn track(unit: &AccessUnit, clock: ClockRate) -> Track {
    Track { id: unit.track, clock, params: Arc::clone(&unit.params) }
}
