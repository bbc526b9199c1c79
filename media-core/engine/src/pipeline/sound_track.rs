//! The sound track of a visit: whatever the microphone does, 20 ms of Opus after another without a gap.
//!
//! The microphone's clock is not the machine's. The resampler is steered so that the samples counted stay with the capture times
//! given; a hole becomes silence of the same length, an overlap is left out.
//!
//! Belongs here: that timeline, told the time. Not here: threads and devices (`audio`), the encoder itself (`codec`).

use bytes::Bytes;
use codec::{CodecError, DriftControl, OpusEncoder, OpusEncoderConfig, Resampler, remix};
use media::{MonoTime, OpusParams, Pcm};
use std::time::Duration;

const RATE: u64 = 48_000;
/// Capture times jitter by a device block; what is further off is a hole or an overlap.
const HOLE: Duration = Duration::from_millis(60);
/// A microphone that is open but says nothing for this long has stalled, and silence goes on in its place.
const STALL: Duration = Duration::from_millis(300);
/// Without a microphone silence is made as late as it may be without anybody waiting for it.
const SILENCE_TRAILS: Duration = Duration::from_millis(20);
/// A hole longer than this is not filled sample by sample: the machine slept.
const LONGEST_HOLE: Duration = Duration::from_secs(5);
/// Where the drift control keeps its imaginary buffer; half of the hole either way.
const CENTRE: Duration = Duration::from_millis(30);

/// One Opus packet of 20 ms.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Packet {
    /// When the first sample that comes out of its decoder met the microphone.
    pub(crate) captured: MonoTime,
    pub(crate) payload: Bytes,
}

/// The track.
#[derive(Debug)]
pub(crate) struct SoundTrack {
    encoder: OpusEncoder,
    input: Option<Input>,
    drift: DriftControl,
    last_push: Option<MonoTime>,
    /// The sound before is the microphone's and in its place; false at every seam.
    aligned: bool,
    /// Time of sample zero, and how many samples were made since.
    anchor: Option<(MonoTime, u64)>,
    /// Interleaved 48 kHz stereo that does not fill a packet yet; its end is `anchor`'s count.
    pending: Vec<f32>,
}

#[derive(Debug)]
struct Input {
    rate: u32,
    resampler: Resampler,
}

impl SoundTrack {
    /// A track that has not begun.
    ///
    /// # Errors
    /// [`CodecError`] where there is no encoder.
    pub(crate) fn new() -> Result<Self, CodecError> {
        let encoder = OpusEncoder::new(OpusEncoderConfig::default())?;
        let drift = DriftControl::new(CENTRE);
        Ok(Self { encoder, input: None, drift, last_push: None, aligned: false, anchor: None, pending: Vec::new() })
    }

    /// What a decoder must know.
    pub(crate) const fn params(&self) -> OpusParams {
        self.encoder.params()
    }

    /// Takes a block of the microphone; with `muted` its place, but not its sound.
    ///
    /// # Errors
    /// [`CodecError`] for an impossible rate.
    pub(crate) fn push(&mut self, pcm: &Pcm, muted: bool, out: &mut Vec<Packet>) -> Result<(), CodecError> {
        if self.input.as_ref().is_none_or(|i| i.rate != pcm.rate) {
            self.input = Some(Input { rate: pcm.rate, resampler: Resampler::new(pcm.rate, 48_000, 2)? });
        }
        let Some(input) = &mut self.input else { return Ok(()) };
        let resampler = &mut input.resampler;
        // The next sample out of the resampler met the microphone this much before the block that comes now.
        let held = u64::from(resampler.delay()) * 1_000_000 / RATE
            + resampler.waiting() as u64 * 1_000_000 / u64::from(pcm.rate.max(1));
        let given = pcm.captured - Duration::from_micros(held);
        let next = next_of(self.anchor.get_or_insert((given, 0)));
        let (ahead, behind) = (next.since(given), given.since(next));
        self.aligned &= ahead <= HOLE && behind <= HOLE;
        let mut skip = 0;
        if self.aligned {
            let since = self.last_push.map_or(Duration::ZERO, |last| pcm.captured.since(last));
            // More samples than time: an imaginary buffer above its centre.
            let relative = self.drift.update((CENTRE + ahead).saturating_sub(behind), since);
            resampler.set_relative(relative);
        } else {
            // At a seam the sound is put where it belongs at once; drift is only for clocks.
            skip = usize::try_from(ahead.as_micros() * u128::from(pcm.rate) / 1_000_000).unwrap_or(usize::MAX);
            resampler.reset();
            self.drift.restart();
            self.fill(behind, given);
            self.aligned = skip < pcm.frames();
        }
        self.last_push = Some(pcm.captured);
        let skipped = skip.saturating_mul(usize::from(pcm.channels));
        if let (Some(kept), Some(input)) = (pcm.samples.get(skipped..), &mut self.input) {
            let mut stereo = Vec::with_capacity(pcm.frames() * 2);
            remix(kept, pcm.channels, 2, &mut stereo);
            if muted {
                stereo.fill(0.0);
            }
            let made = input.resampler.process(&stereo, &mut self.pending)?;
            self.count(made);
        }
        self.encode(out)
    }

    /// Lets time pass: silence where the microphone gives nothing. With `expected` it is open and gets its time to speak.
    ///
    /// # Errors
    /// [`CodecError`] where the encoder refuses.
    pub(crate) fn tick(&mut self, now: MonoTime, expected: bool, out: &mut Vec<Packet>) -> Result<(), CodecError> {
        let patience = if expected { STALL } else { SILENCE_TRAILS };
        // A microphone that has just been opened speaks of a moment ago, and its sound finds its place in what is silence till then.
        let next = next_of(self.anchor.get_or_insert((now - patience, 0)));
        if now.since(next) > patience {
            let until = now - SILENCE_TRAILS;
            self.fill(until.since(next), until);
            self.aligned = false;
        }
        self.encode(out)
    }

    fn fill(&mut self, hole: Duration, until: MonoTime) {
        if hole > LONGEST_HOLE {
            self.pending.clear();
            self.anchor = Some((until, 0));
            return;
        }
        let frames = usize::try_from(hole.as_micros() * u128::from(RATE) / 1_000_000).unwrap_or(0);
        self.pending.extend(std::iter::repeat_n(0.0, frames * 2));
        self.count(frames);
    }

    fn count(&mut self, frames: usize) {
        if let Some((_, count)) = &mut self.anchor {
            *count += frames as u64;
        }
    }

    fn encode(&mut self, out: &mut Vec<Packet>) -> Result<(), CodecError> {
        let Some((anchor, count)) = self.anchor else { return Ok(()) };
        let frame = OpusEncoder::FRAME;
        let mut first = count.saturating_sub((self.pending.len() / 2) as u64);
        let mut taken = 0;
        while let Some(pcm) = self.pending.get(taken..taken + frame * 2) {
            let payload = self.encoder.encode(pcm)?;
            let delay = Duration::from_micros(u64::from(self.encoder.delay()) * 1_000_000 / RATE);
            let captured = anchor + Duration::from_micros(first * 1_000_000 / RATE) - delay;
            out.push(Packet { captured, payload });
            taken += frame * 2;
            first += frame as u64;
        }
        self.pending.drain(..taken);
        Ok(())
    }
}

/// When the next sample will have met the microphone.
fn next_of(anchor: &(MonoTime, u64)) -> MonoTime {
    anchor.0 + Duration::from_micros(anchor.1 * 1_000_000 / RATE)
}

#[cfg(test)]
mod tests {
    use super::*;
    use codec::OpusDecoder;

    fn at(ms: u64) -> MonoTime {
        MonoTime::from_micros(1_000_000 + ms * 1000)
    }

    /// 10 ms blocks of a tone at `rate`, the n-th captured at `times(n)` ms; `None` is a block that never comes. Ticks every 10 ms.
    fn run(rate: u32, blocks: u64, times: impl Fn(u64) -> Option<f64>) -> Vec<Packet> {
        let mut track = SoundTrack::new().unwrap();
        let mut out = Vec::new();
        let step = std::f64::consts::TAU * 1000.0 / f64::from(rate);
        let per_block = u64::from(rate) / 100;
        for n in 0..blocks {
            if let Some(ms) = times(n) {
                let samples =
                    (0..per_block).map(|i| (0.5 * (step * (n * per_block + i) as f64).sin()) as f32).collect();
                let captured = MonoTime::from_micros((1_000_000.0 + ms * 1000.0) as u64);
                track.push(&Pcm { rate, channels: 1, samples, captured }, false, &mut out).unwrap();
            }
            track.tick(at(n * 10 + 20), true, &mut out).unwrap();
        }
        out
    }

    fn gapless(packets: &[Packet]) {
        for pair in packets.windows(2) {
            let step = pair[1].captured.since(pair[0].captured).as_micros();
            assert!((19_999..=20_001).contains(&step), "a step of {step} µs");
        }
    }

    fn loud(packets: &[Packet]) -> Vec<bool> {
        let mut decoder = OpusDecoder::new().unwrap();
        packets
            .iter()
            .map(|p| {
                let mut pcm = Vec::new();
                decoder.decode(&p.payload, &mut pcm).unwrap();
                pcm.iter().any(|s| s.abs() > 0.2)
            })
            .collect()
    }

    #[test]
    fn steady_sound_of_any_rate() {
        for rate in [48_000, 44_100, 16_000] {
            let packets = run(rate, 200, |n| Some(n as f64 * 10.0));
            gapless(&packets);
            assert!((98..=100).contains(&packets.len()), "{rate}: {}", packets.len());
            let first = packets[0].captured.micros() as i64 - 1_000_000;
            assert!((-12_000..=0).contains(&first), "{rate}: the encoder's delay is taken off, {first} µs");
        }
    }

    #[test]
    fn a_slow_clock_is_followed() {
        // Blocks of nominally 10 ms that really take 10.001 ms: 100 ppm.
        let packets = run(48_000, 6_000, |n| Some(n as f64 * 10.001));
        gapless(&packets);
        let last = packets.last().unwrap().captured.micros() as f64 / 1000.0 - 1000.0;
        let media_end = packets.len() as f64 * 20.0;
        assert!((media_end - last - 20.0).abs() < 15.0 && last > 59_950.0, "{media_end} {last}");
    }

    /// Sound that is older than the silence before it is cut to fit, not worked off by a wrong pitch.
    #[test]
    fn a_late_start_is_put_in_its_place() {
        let packets = run(48_000, 200, |n| (n >= 50).then_some(n as f64 * 10.0 - 45.0));
        gapless(&packets);
        let mut decoder = OpusDecoder::new().unwrap();
        let mut pcm = Vec::new();
        for packet in &packets {
            decoder.decode(&packet.payload, &mut pcm).unwrap();
        }
        let left: Vec<f32> = pcm.iter().step_by(2).copied().collect();
        let second = &left[left.len() - 48_000..left.len() - 4_800];
        let crossings = second.windows(2).filter(|w| w[0] <= 0.0 && w[1] > 0.0).count();
        assert!(crossings.abs_diff(900) <= 1, "{crossings} cycles of 900");
    }

    #[test]
    fn holes_become_silence() {
        let packets = run(48_000, 300, |n| (!(100..150).contains(&n)).then_some(n as f64 * 10.0));
        gapless(&packets);
        assert!(packets.len() >= 148, "{}", packets.len());
        let loud = loud(&packets);
        assert!(loud[10..48].iter().all(|l| *l) && loud[54..73].iter().all(|l| !*l) && loud[80..].iter().all(|l| *l));
    }

    #[test]
    fn times_that_fall_back_are_left_out() {
        let packets = run(48_000, 100, |n| Some(if n == 50 { 10.0 } else { n as f64 * 10.0 }));
        gapless(&packets);
    }

    #[test]
    fn without_a_microphone_silence_keeps_time() {
        let mut track = SoundTrack::new().unwrap();
        let mut out = Vec::new();
        for n in 0..100 {
            track.tick(at(n * 10), false, &mut out).unwrap();
        }
        gapless(&out);
        assert!((46..=49).contains(&out.len()), "{}", out.len());
        assert!(loud(&out).iter().all(|l| !l));
    }

    #[test]
    fn muted_sound_is_silence_in_its_place() {
        let mut track = SoundTrack::new().unwrap();
        let mut out = Vec::new();
        for n in 0..100 {
            let pcm = Pcm { rate: 48_000, channels: 2, samples: vec![0.5; 960], captured: at(n * 10) };
            track.push(&pcm, true, &mut out).unwrap();
        }
        gapless(&out);
        assert!(out.len() >= 48 && loud(&out).iter().all(|l| !l));
    }
}
