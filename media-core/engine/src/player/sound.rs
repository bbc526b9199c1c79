//! The patient's sound: access units in, blocks for the speaker out.
//!
//! Belongs here: choosing the decoder, bringing its sound to the buffer's format, bringing the buffer's to the speaker's.
//! Not here: how long sound waits (`jitter`), the speaker itself (`device`), when pictures are shown (`sync`).

use super::jitter::{CHANNELS, JitterBuffer, JitterStats, RATE};
use codec::{CodecError, Level, LevelMeter, Resampler, SoundDecoder as Decoder, remix};
use device::AudioFormat;
use media::{AccessUnit, CodecParams, MediaTime, MonoTime};
use parking_lot::Mutex;
use std::sync::Arc;
use std::time::Duration;

/// What both ends share.
#[derive(Debug)]
struct Shared {
    buffer: JitterBuffer,
    meter: LevelMeter,
    heard: Option<(MediaTime, MonoTime)>,
}

/// A handle to the sound between the decoder and the speaker. A clone is another handle to the same.
#[derive(Debug, Clone)]
pub(crate) struct SoundBuffer(Arc<Mutex<Shared>>);

impl SoundBuffer {
    /// Nothing to hear yet.
    pub(crate) fn new() -> Self {
        let meter = LevelMeter::new(RATE, 2);
        Self(Arc::new(Mutex::new(Shared { buffer: JitterBuffer::new(), meter, heard: None })))
    }

    /// What the listener hears: media time, and when it leaves the speaker. `None` where there is no sound.
    pub(crate) fn heard(&self) -> Option<(MediaTime, MonoTime)> {
        self.0.lock().heard
    }

    /// The speaker has gone: nothing is heard, whatever the buffer holds.
    pub(crate) fn speaker_gone(&self) {
        let mut shared = self.0.lock();
        shared.heard = None;
        shared.buffer.restart();
    }

    /// Level of what is played.
    pub(crate) fn level(&self) -> Level {
        self.0.lock().meter.level()
    }

    /// Sound waiting to be played.
    pub(crate) fn fill(&self) -> Duration {
        self.0.lock().buffer.fill()
    }

    /// What the buffer has gone through.
    pub(crate) fn stats(&self) -> JitterStats {
        self.0.lock().buffer.stats()
    }

    /// Another stream begins.
    pub(crate) fn restart(&self) {
        let mut shared = self.0.lock();
        shared.heard = None;
        shared.buffer.restart();
    }

    fn render(&self, block: &mut [f32], at: MonoTime) {
        let mut shared = self.0.lock();
        shared.heard = shared.buffer.render(block).map(|pts| (pts, at));
        shared.meter.push(block);
    }
}

/// Fills a speaker's blocks from the buffer, in the speaker's own format.
pub(crate) struct SpeakerFeed {
    sound: SoundBuffer,
    format: AudioFormat,
    resampler: Option<Resampler>,
    block: Vec<f32>,
    ready: Vec<f32>,
    remixed: Vec<f32>,
}

impl SpeakerFeed {
    /// A feed for a speaker of `format`.
    ///
    /// # Errors
    /// [`CodecError::Config`] for a rate no resampler takes.
    pub(crate) fn new(sound: SoundBuffer, format: AudioFormat) -> Result<Self, CodecError> {
        let resampler = (format.rate != RATE).then(|| Resampler::new(RATE, format.rate, 2)).transpose()?;
        let block = vec![0.0; RATE as usize / 100 * CHANNELS];
        Ok(Self { sound, format, resampler, block, ready: Vec::new(), remixed: Vec::new() })
    }

    /// Fills `out` with what is heard from `at` on.
    pub(crate) fn fill(&mut self, out: &mut [f32], at: MonoTime) {
        self.remixed.clear();
        let channels = usize::from(self.format.channels.max(1));
        let frames = out.len() / channels;
        while self.ready.len() / CHANNELS < frames {
            self.block.fill(0.0);
            let waiting = Duration::from_micros(
                (self.ready.len() / CHANNELS) as u64 * 1_000_000 / u64::from(self.format.rate.max(1)),
            );
            self.sound.render(&mut self.block, at + waiting);
            match &mut self.resampler {
                None => self.ready.extend_from_slice(&self.block),
                Some(resampler) => {
                    if resampler.process(&self.block, &mut self.ready).is_err() {
                        return;
                    }
                }
            }
        }
        let taken = frames * CHANNELS;
        remix(self.ready.get(..taken).unwrap_or_default(), 2, self.format.channels, &mut self.remixed);
        self.ready.drain(..taken);
        for (to, from) in out.iter_mut().zip(&self.remixed) {
            *to = *from;
        }
    }
}

/// Decodes the units of one sound track into the buffer.
pub(crate) struct SoundDecoder {
    sound: SoundBuffer,
    running: Option<Running>,
    decoded: Vec<f32>,
    stereo: Vec<f32>,
    resampled: Vec<f32>,
}

struct Running {
    params: Arc<CodecParams>,
    decoder: Decoder,
    resampler: Resampler,
}

impl SoundDecoder {
    /// A decoder that has seen no track.
    pub(crate) const fn new(sound: SoundBuffer) -> Self {
        Self { sound, running: None, decoded: Vec::new(), stereo: Vec::new(), resampled: Vec::new() }
    }

    /// Decodes one unit that arrived at `arrived`. A unit that does not decode is silence of its length: the buffer fills it.
    ///
    /// # Errors
    /// [`CodecError`] where there is no decoder for the track, or the unit is damaged.
    pub(crate) fn push(&mut self, unit: &AccessUnit, arrived: MonoTime) -> Result<(), CodecError> {
        let same = |r: &Running| Arc::ptr_eq(&r.params, &unit.params) || r.params == unit.params;
        if !self.running.as_ref().is_some_and(same) {
            self.running = Some(Running::new(Arc::clone(&unit.params))?);
        }
        let Some(running) = &mut self.running else { return Ok(()) };
        self.decoded.clear();
        self.stereo.clear();
        self.resampled.clear();
        let decoder = &mut running.decoder;
        let frames = decoder.decode(&unit.payload, &mut self.decoded)?;
        let (rate, channels) = (decoder.rate(), decoder.channels());
        remix(&self.decoded, channels, 2, &mut self.stereo);
        let mut shared = self.sound.0.lock();
        running.resampler.set_relative(shared.buffer.relative(arrived));
        running.resampler.process(&self.stereo, &mut self.resampled)?;
        let duration = Duration::from_micros(frames as u64 * 1_000_000 / u64::from(rate.max(1)));
        shared.buffer.push(unit.pts, duration, &self.resampled, arrived);
        Ok(())
    }

    /// The track has ended or breaks here.
    pub(crate) fn restart(&mut self) {
        self.running = None;
        self.sound.restart();
    }
}

impl Running {
    fn new(params: Arc<CodecParams>) -> Result<Self, CodecError> {
        let decoder = Decoder::new(&params)?;
        let resampler = Resampler::new(decoder.rate(), RATE, 2)?;
        Ok(Self { params, decoder, resampler })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use codec::{AacEncoderConfig, OpusEncoder, OpusEncoderConfig, aac_encoder};
    use media::{ClockRate, TrackId, UnitKind};

    fn unit(params: &Arc<CodecParams>, payload: bytes::Bytes, samples: i64, rate: u32) -> AccessUnit {
        let time = MediaTime::new(samples, ClockRate::new(rate).unwrap());
        AccessUnit {
            track: TrackId(1),
            dts: time,
            pts: time,
            duration: None,
            kind: UnitKind::Audio,
            captured: None,
            params: Arc::clone(params),
            payload,
        }
    }

    fn tone(rate: u32, frames: usize, channels: usize) -> Vec<f32> {
        let step = std::f32::consts::TAU * 1000.0 / rate as f32;
        (0..frames).flat_map(|n| std::iter::repeat_n(0.5 * (step * n as f32).sin(), channels)).collect()
    }

    /// Two seconds of a 1 kHz tone through decoder, buffer and feed; answers RMS and zero crossings of the second one.
    fn played(units: &[AccessUnit], packet: Duration, format: AudioFormat) -> (f32, usize) {
        let sound = SoundBuffer::new();
        let mut decoder = SoundDecoder::new(sound.clone());
        let mut feed = SpeakerFeed::new(sound.clone(), format).unwrap();
        let mut heard = Vec::new();
        let start = MonoTime::from_micros(5_000_000);
        let mut next = 0;
        for block in 0..200_u32 {
            let now = start + Duration::from_millis(10) * block;
            while next < units.len() && start + packet * next as u32 <= now {
                decoder.push(&units[next], now).unwrap();
                next += 1;
            }
            let mut out = vec![0.0; format.rate as usize / 100 * usize::from(format.channels)];
            feed.fill(&mut out, now);
            heard.extend(out.iter().step_by(usize::from(format.channels)));
        }
        let second: Vec<f32> = heard[format.rate as usize..].to_vec();
        let rms = (second.iter().map(|s| s * s).sum::<f32>() / second.len() as f32).sqrt();
        assert!(sound.level().rms > 0.3);
        (rms, second.windows(2).filter(|w| w[0] <= 0.0 && w[1] > 0.0).count())
    }

    #[test]
    fn opus_and_aac_of_any_rate_come_out_whole() {
        let mut opus = OpusEncoder::new(OpusEncoderConfig::default()).unwrap();
        let params = Arc::new(CodecParams::Opus(opus.params()));
        let pcm = tone(48_000, 96_000, 2);
        let units: Vec<AccessUnit> = pcm
            .chunks_exact(1920)
            .enumerate()
            .map(|(n, frame)| unit(&params, opus.encode(frame).unwrap(), n as i64 * 960, 48_000))
            .collect();
        for format in [AudioFormat { rate: 48_000, channels: 2 }, AudioFormat { rate: 44_100, channels: 1 }] {
            let (rms, cycles) = played(&units, Duration::from_millis(20), format);
            assert!((rms - 0.353).abs() < 0.02 && cycles.abs_diff(1000) <= 4, "{format:?}: {rms} {cycles}");
        }
        for (rate, channels) in [(48_000, 2), (16_000, 1)] {
            let mut aac = aac_encoder(AacEncoderConfig { rate, channels, bitrate: 64_000 }).unwrap();
            let params = Arc::new(CodecParams::Aac(aac.params().clone()));
            let pcm = tone(rate, rate as usize * 2, usize::from(channels));
            let units: Vec<AccessUnit> = pcm
                .chunks_exact(1024 * usize::from(channels))
                .enumerate()
                .map(|(n, frame)| unit(&params, aac.encode(frame).unwrap(), n as i64 * 1024, rate))
                .collect();
            let packet = Duration::from_micros(1024 * 1_000_000 / u64::from(rate));
            let (rms, cycles) = played(&units, packet, AudioFormat { rate: 48_000, channels: 2 });
            assert!((rms - 0.353).abs() < 0.03 && cycles.abs_diff(1000) <= 12, "AAC {rate}: {rms} {cycles}");
        }
    }

    #[test]
    fn damage_is_an_error_and_the_next_unit_plays() {
        let mut opus = OpusEncoder::new(OpusEncoderConfig::default()).unwrap();
        let params = Arc::new(CodecParams::Opus(opus.params()));
        let sound = SoundBuffer::new();
        let mut decoder = SoundDecoder::new(sound.clone());
        let broken = unit(&params, bytes::Bytes::new(), 0, 48_000);
        assert!(decoder.push(&broken, MonoTime::default()).is_err());
        let good = unit(&params, opus.encode(&[0.0; 1920]).unwrap(), 960, 48_000);
        decoder.push(&good, MonoTime::default()).unwrap();
        assert!(sound.fill() > Duration::from_millis(10));
        sound.speaker_gone();
        assert_eq!(sound.fill(), Duration::ZERO);
    }
}
