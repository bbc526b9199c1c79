//! AAC in (any rate), Opus out.

use super::super::timeline::CLOCK;
use super::super::{SoundTranscoder, TranscodeConfig, TranscodeStats};
use super::to_aac::{burst_pcm, onsets};
use crate::level::tests::rms;
use crate::{AacEncoderConfig, OpusDecoder, Resampler, aac_encoder};
use media::{AccessUnit, ClockRate, Codec, CodecParams, MediaTime, TrackId, UnitKind};
use std::sync::Arc;

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
    let mut pipeline = SoundTranscoder::new(Codec::Opus, TranscodeConfig::new(TrackId(3))).unwrap();
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
    let pipeline = SoundTranscoder::new(Codec::Opus, TranscodeConfig::new(TrackId(1))).unwrap();
    assert_eq!(pipeline.params().codec(), Codec::Opus);
    assert_eq!(pipeline.clock().hz(), 48_000);
}
