//! AAC in (any rate, HE, surround), Opus 48 kHz stereo out.

use super::timeline::{CLOCK, Stamp, Step, Timeline};
use super::{TranscodeConfig, TranscodeStats};
use crate::convert::remix;
use crate::{AacDecoder, CodecError, OpusEncoder, OpusEncoderConfig, Resampler};
use media::{AacParams, AccessUnit, ClockRate, CodecParams, MediaTime, UnitKind};
use std::sync::Arc;

/// Turns the units of one AAC track into Opus units of 20 ms.
///
/// Times are exact: what the decoder, the resampler and the encoder hold back is taken off. Damaged frames are silence, gaps up
/// to a second too; longer ones begin anew at the new time. Parameters may change at any unit.
pub struct AacToOpus {
    config: TranscodeConfig,
    input: Option<Input>,
    encoder: OpusEncoder,
    params: Arc<CodecParams>,
    timeline: Timeline,
    decoded: Vec<f32>,
    stereo: Vec<f32>,
    pcm: Vec<f32>,
    block: Vec<f32>,
}

/// What stands between units of one configuration and 48 kHz stereo.
struct Input {
    params: Arc<CodecParams>,
    decoder: AacDecoder,
    resampler: Option<Resampler>,
}

impl Input {
    fn new(unit: &AccessUnit, params: &AacParams) -> Result<Self, CodecError> {
        let decoder = AacDecoder::new(params)?;
        let resampler = match decoder.rate() {
            48_000 => None,
            rate => Some(Resampler::new(rate, 48_000, 2)?),
        };
        Ok(Self { params: Arc::clone(&unit.params), decoder, resampler })
    }

    /// Frames at 48 kHz by which sound trails its unit's time.
    fn delay(&self) -> i64 {
        let decoder = i64::from(self.decoder.delay()) * 48_000 / i64::from(self.decoder.rate().max(1));
        decoder + self.resampler.as_ref().map_or(0, |r| i64::from(r.delay()))
    }

    /// Frames at 48 kHz that were taken and are not out yet, because they wait for the resampler's chunk.
    fn waiting(&self) -> i64 {
        let rate = i64::from(self.decoder.rate().max(1));
        let waiting = self.resampler.as_ref().map_or(0, Resampler::waiting);
        i64::try_from(waiting).unwrap_or(0) * 48_000 / rate
    }
}

impl AacToOpus {
    /// A pipeline that has seen nothing.
    ///
    /// # Errors
    /// [`CodecError`] for an impossible bitrate.
    pub fn new(config: TranscodeConfig) -> Result<Self, CodecError> {
        let encoder = OpusEncoder::new(OpusEncoderConfig { bitrate: config.bitrate, ..OpusEncoderConfig::default() })?;
        Ok(Self {
            config,
            input: None,
            params: Arc::new(CodecParams::Opus(encoder.params())),
            timeline: Timeline::new(OpusEncoder::FRAME, encoder.delay()),
            encoder,
            decoded: Vec::new(),
            stereo: Vec::new(),
            pcm: Vec::new(),
            block: Vec::new(),
        })
    }

    /// What the result decodes with, known before the first unit.
    pub const fn params(&self) -> &Arc<CodecParams> {
        &self.params
    }

    /// The clock of the result's times: 48 kHz.
    pub const fn clock(&self) -> ClockRate {
        CLOCK
    }

    /// What was done so far.
    pub const fn stats(&self) -> TranscodeStats {
        self.timeline.stats
    }

    /// Takes one AAC unit, answers the Opus units that are ready.
    ///
    /// # Errors
    /// [`CodecError::WrongCodec`] for another codec, [`CodecError::Unsupported`] for AAC that no decoder here takes,
    /// [`CodecError`] where the encoder fails. A damaged frame is not an error: silence takes its place and it is counted.
    pub fn push(&mut self, unit: &AccessUnit) -> Result<Vec<AccessUnit>, CodecError> {
        let CodecParams::Aac(params) = &*unit.params else { return Err(CodecError::WrongCodec) };
        let same = |i: &Input| Arc::ptr_eq(&i.params, &unit.params) || i.params == unit.params;
        let mut input = match self.input.take().filter(same) {
            Some(input) => input,
            None => Input::new(unit, params)?,
        };
        let outcome = self.push_into(unit, &mut input);
        self.input = Some(input);
        outcome
    }

    fn push_into(&mut self, unit: &AccessUnit, input: &mut Input) -> Result<Vec<AccessUnit>, CodecError> {
        let mut units = Vec::new();
        self.timeline.stats.units_in += 1;
        self.decoded.clear();
        if input.decoder.decode(&unit.payload, &mut self.decoded).is_err() {
            self.timeline.stats.damaged += 1;
            self.decoded.clear();
            self.decoded.resize(input.decoder.frame() * usize::from(input.decoder.channels()), 0.0);
        }
        // Where the first sample that comes out next belongs: behind what the filters hold back and what waits for its chunk.
        let pts = unit.pts.rescale(CLOCK).ticks().saturating_sub(input.delay() + input.waiting());
        let mut trim = 0;
        match self.timeline.step(pts) {
            Step::Start => self.timeline.anchor(pts),
            Step::Continue => {}
            Step::Trim(frames) => trim = frames,
            Step::Fill(frames) => {
                self.pcm.clear();
                self.pcm.resize(frames * 2, 0.0);
                self.timeline.take(&self.pcm);
                self.drain(&mut units)?;
            }
            Step::Break => {
                self.timeline.flush();
                self.drain(&mut units)?;
                self.timeline.anchor(pts);
            }
        }
        self.timeline.captured(unit.pts.rescale(CLOCK).ticks(), unit.captured);
        self.stereo.clear();
        remix(&self.decoded, input.decoder.channels(), 2, &mut self.stereo);
        self.pcm.clear();
        match &mut input.resampler {
            Some(resampler) => {
                resampler.process(&self.stereo, &mut self.pcm)?;
            }
            None => std::mem::swap(&mut self.pcm, &mut self.stereo),
        }
        let trim = trim.min(self.pcm.len() / 2);
        self.timeline.stats.trimmed += trim as u64;
        self.timeline.take(self.pcm.get(trim * 2..).unwrap_or_default());
        self.drain(&mut units)?;
        Ok(units)
    }

    /// The end: answers what is still inside.
    ///
    /// # Errors
    /// [`CodecError`] where the encoder fails.
    pub fn finish(mut self) -> Result<Vec<AccessUnit>, CodecError> {
        let mut units = Vec::new();
        self.timeline.flush();
        self.drain(&mut units)?;
        Ok(units)
    }

    fn drain(&mut self, units: &mut Vec<AccessUnit>) -> Result<(), CodecError> {
        while let Some(stamp) = self.timeline.block(&mut self.block) {
            let packet = self.encoder.encode(&self.block)?;
            if let Some(Stamp { pts, captured }) = stamp {
                units.push(AccessUnit {
                    track: self.config.track,
                    dts: pts,
                    pts,
                    duration: Some(MediaTime::new(i64::try_from(OpusEncoder::FRAME).unwrap_or(0), CLOCK)),
                    kind: UnitKind::Audio,
                    captured,
                    params: Arc::clone(&self.params),
                    payload: packet,
                });
            }
        }
        Ok(())
    }
}

impl std::fmt::Debug for AacToOpus {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "AacToOpus {:?} {:?}", self.config, self.timeline.stats)
    }
}

#[cfg(test)]
mod tests {
    use super::super::opus_to_aac::tests::{burst_pcm, onsets};
    use super::*;
    use crate::level::tests::rms;
    use crate::{AacEncoderConfig, OpusDecoder, aac_encoder};
    use media::TrackId;

    /// Bursts at whole seconds as AAC at `rate`; times are the samples' own, the encoder's delay taken off, on `clock`.
    fn aac_bursts(rate: u32, seconds: usize, clock: ClockRate) -> Vec<AccessUnit> {
        let mut encoder = aac_encoder(AacEncoderConfig { rate, ..AacEncoderConfig::default() }).unwrap();
        let params = Arc::new(CodecParams::Aac(encoder.params().clone()));
        let mut pcm = burst_pcm(seconds);
        if rate != 48_000 {
            let mut resampler = Resampler::new(48_000, rate, 2).unwrap();
            let mut out = Vec::new();
            resampler.process(&pcm, &mut out).unwrap();
            out.drain(..resampler.delay() as usize * 2);
            pcm = out;
        }
        let own = ClockRate::new(rate).unwrap();
        (0_i64..)
            .zip(pcm.chunks_exact(2048))
            .map(|(n, frame)| {
                let pts = MediaTime::new(48_000 + n * 1024 - i64::from(encoder.delay()), own).rescale(clock);
                AccessUnit {
                    track: TrackId(0),
                    dts: pts,
                    pts,
                    duration: None,
                    kind: UnitKind::Audio,
                    captured: None,
                    params: Arc::clone(&params),
                    payload: encoder.encode(frame).unwrap(),
                }
            })
            .collect()
    }

    fn run(units: &[AccessUnit]) -> (Vec<AccessUnit>, TranscodeStats) {
        let mut pipeline = AacToOpus::new(TranscodeConfig::new(TrackId(3))).unwrap();
        let mut out = Vec::new();
        for unit in units {
            out.extend(pipeline.push(unit).unwrap());
        }
        let stats = pipeline.stats();
        out.extend(pipeline.finish().unwrap());
        (out, stats)
    }

    /// What a player hears from time `origin` on.
    fn play_opus(units: &[AccessUnit], origin: i64) -> Vec<f32> {
        let mut decoder = OpusDecoder::new().unwrap();
        let mut out = Vec::new();
        for unit in units {
            let mut pcm = Vec::new();
            decoder.decode(&unit.payload, &mut pcm).unwrap();
            let at = unit.pts.ticks() - origin;
            if at >= 0 {
                out.resize(usize::try_from(at).unwrap() * 2, 0.0);
                out.extend(pcm);
            }
        }
        out
    }

    #[test]
    fn bursts_stay_where_they_were_and_as_loud() {
        for (rate, clock) in [
            (48_000, CLOCK),
            (48_000, ClockRate::MILLI),
            (44_100, ClockRate::new(44_100).unwrap()),
            (44_100, ClockRate::MILLI),
            (16_000, ClockRate::VIDEO),
        ] {
            let units = aac_bursts(rate, 4, clock);
            let (out, stats) = run(&units);
            assert!(out.windows(2).all(|w| w[1].pts.ticks() - w[0].pts.ticks() == 960), "{rate}");
            assert_eq!((stats.filled, stats.trimmed, stats.damaged, stats.breaks), (0, 0, 0, 0), "{rate}");
            let origin = i64::from(48_000 / (rate / 4_000)) * i64::from(rate) / 4_000;
            let heard = play_opus(&out, origin);
            // Sample zero of the bursts stands at tick 48 000 of the track's own clock.
            let shift = 48_000_i64 * 48_000 / i64::from(rate) - origin;
            for (channel, threshold) in [(0, 0.2), (1, 0.1)] {
                let got = onsets(&heard, channel, threshold);
                let want = onsets(&burst_pcm(4), channel, threshold);
                assert_eq!(got.len(), 3, "{rate}: {got:?}");
                for (g, w) in got.iter().zip(&want) {
                    let w = usize::try_from(i64::try_from(*w).unwrap() + shift).unwrap();
                    assert!(g.abs_diff(w) <= 96, "{rate} at {clock:?}, channel {channel}: burst at {g}, was at {w}");
                }
            }
            let at = usize::try_from(96_000 + shift).unwrap() + 480;
            let left: Vec<f32> = heard.iter().step_by(2).skip(at).take(1_920).copied().collect();
            let change = 20.0 * (rms(&left) / 0.353_55).log10();
            assert!(change.abs() < 1.0, "{rate}: {change:.2} dB");
        }
    }

    #[test]
    fn damage_gaps_and_new_parameters() {
        let mut units = aac_bursts(48_000, 4, CLOCK);
        units[20].payload = units[20].payload.slice(..units[20].payload.len() / 2);
        units.drain(60..63);
        // The last second comes at another rate, as after a publisher's change of mind.
        let switch = units.iter().position(|u| u.pts.seconds() >= 4.0).unwrap();
        units.truncate(switch);
        let other = aac_bursts(44_100, 5, ClockRate::new(44_100).unwrap());
        units.extend(other.into_iter().filter(|u| u.pts.seconds() >= 4.0));
        let (out, stats) = run(&units);
        assert_eq!((stats.damaged, stats.breaks), (1, 0));
        assert!(stats.filled.abs_diff(3 * 1024) < 2_000, "{}", stats.filled);
        assert!(out.windows(2).all(|w| w[1].pts.ticks() - w[0].pts.ticks() == 960));
    }

    #[test]
    fn params_are_known_at_once() {
        let pipeline = AacToOpus::new(TranscodeConfig::new(TrackId(1))).unwrap();
        assert_eq!(pipeline.params().codec(), media::Codec::Opus);
        assert_eq!(pipeline.clock().hz(), 48_000);
    }
}
