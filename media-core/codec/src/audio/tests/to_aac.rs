//! Opus in, AAC-LC out.

use super::super::timeline::CLOCK;
use super::super::{SoundTranscoder, TranscodeConfig, TranscodeStats};
use crate::aac::AacDecoder;
use crate::level::tests::{rms, tone};
use crate::scale::tests::moving_card;
use crate::{CodecError, EncoderConfig, H264Encoder, OpusEncoder, OpusEncoderConfig};
use bytes::Bytes;
use media::{AccessUnit, Codec, CodecParams, MediaTime, MonoTime, OpusParams, TrackId, UnitKind};
use std::sync::Arc;

/// Every packet of `seconds` of 1 kHz bursts of 60 ms at half scale on the left, 440 Hz bursts on the right, at whole seconds;
/// times are the samples' own, the encoder's look-ahead taken off.
pub(super) fn bursts(seconds: usize, first_pts: i64) -> Vec<AccessUnit> {
    let mut encoder = OpusEncoder::new(OpusEncoderConfig { bitrate: 128_000, ..OpusEncoderConfig::default() }).unwrap();
    let pcm = burst_pcm(seconds);
    let params = Arc::new(CodecParams::Opus(OpusParams::WEBRTC));
    let delay = i64::from(encoder.delay());
    (0_i64..)
        .zip(pcm.chunks_exact(1920))
        .map(|(n, frame)| {
            let pts = MediaTime::new(first_pts + n * 960 - delay, CLOCK);
            AccessUnit {
                track: TrackId(1),
                dts: pts,
                pts,
                duration: Some(MediaTime::new(960, CLOCK)),
                kind: UnitKind::Audio,
                captured: Some(MonoTime::from_micros(u64::try_from(n).unwrap() * 20_000)),
                params: Arc::clone(&params),
                payload: encoder.encode(frame).unwrap(),
            }
        })
        .collect()
}

pub(super) fn burst_pcm(seconds: usize) -> Vec<f32> {
    let (left, right) = (tone(1000.0, 0.5, seconds * 48_000), tone(440.0, 0.25, seconds * 48_000));
    let on = |n: usize| n >= 48_000 && n % 48_000 < 2_880;
    (0..seconds * 48_000).flat_map(|n| if on(n) { [left[n], right[n]] } else { [0.0, 0.0] }).collect()
}

/// Where sound starts after silence, per channel, in frames since the first unit's time.
pub(super) fn onsets(pcm: &[f32], channel: usize, threshold: f32) -> Vec<usize> {
    let samples: Vec<f32> = pcm.iter().skip(channel).step_by(2).copied().collect();
    let mut quiet_until = 0;
    let mut found = Vec::new();
    for (n, s) in samples.iter().enumerate() {
        if s.abs() > threshold {
            if n >= quiet_until {
                found.push(n);
            }
            quiet_until = n + 2_400;
        }
    }
    found
}

/// What a player hears: each unit's sound at its time, from `origin` on.
pub(super) fn play_aac(units: &[AccessUnit], origin: i64) -> Vec<f32> {
    let CodecParams::Aac(params) = &*units[0].params else { panic!("AAC") };
    let mut decoder = AacDecoder::new(params).unwrap();
    let mut out = Vec::new();
    for unit in units {
        let at = usize::try_from(unit.pts.ticks() - origin).unwrap();
        out.resize(at * 2, 0.0);
        decoder.decode(&unit.payload, &mut out).unwrap();
    }
    out
}

fn run(units: &[AccessUnit]) -> (Vec<AccessUnit>, TranscodeStats) {
    let mut pipeline = SoundTranscoder::new(Codec::Aac, TranscodeConfig::new(TrackId(7))).unwrap();
    let mut out = Vec::new();
    for unit in units {
        out.extend(pipeline.push(unit).unwrap());
    }
    let stats = pipeline.stats();
    out.extend(pipeline.finish().unwrap());
    (out, stats)
}

fn rises(units: &[AccessUnit]) -> bool {
    units.windows(2).all(|w| w[1].pts.ticks() - w[0].pts.ticks() == 1024 && w[1].dts == w[1].pts)
}

#[test]
fn bursts_stay_where_they_were_and_as_loud() {
    let origin = 500_000;
    let units = bursts(5, origin);
    let (out, stats) = run(&units);
    assert_eq!(out[0].pts, units[0].pts, "the first unit has the first unit's time");
    assert!(rises(&out));
    assert_eq!((stats.filled, stats.trimmed, stats.damaged, stats.breaks), (0, 0, 0, 0));
    assert!(out.iter().all(|u| u.track == TrackId(7) && u.duration.unwrap().ticks() == 1024));
    let first = units[0].pts.ticks();
    let (heard, meant) = (play_aac(&out, first), burst_pcm(5));
    let shift = usize::try_from(origin - first).unwrap();
    for (channel, threshold) in [(0, 0.2), (1, 0.1)] {
        let want = onsets(&meant, channel, threshold);
        let got = onsets(&heard, channel, threshold);
        assert_eq!(got.len(), 4, "channel {channel}: {got:?}");
        for (g, w) in got.iter().zip(&want) {
            assert!(g.abs_diff(w + shift) <= 96, "channel {channel}: burst at {g}, was at {}", w + shift);
        }
    }
    let level = |pcm: &[f32], at: usize| {
        let left: Vec<f32> = pcm.iter().step_by(2).skip(at + 480).take(1_920).copied().collect();
        20.0 * rms(&left).log10()
    };
    let change = level(&heard, 96_000 + shift) - level(&meant, 96_000);
    assert!(change.abs() < 1.0, "{change:.2} dB");
}

#[test]
fn params_are_known_at_once_and_one_unit_starts_it() {
    let mut pipeline = SoundTranscoder::new(Codec::Aac, TranscodeConfig::new(TrackId(1))).unwrap();
    let CodecParams::Aac(params) = &**pipeline.params() else { panic!("AAC") };
    assert_eq!((params.rate().hz(), params.channels(), &params.config()[..]), (48_000, 2, &[0x11, 0x90][..]));
    let units = bursts(1, 0);
    let first = units.iter().position(|u| !pipeline.push(u).unwrap().is_empty()).unwrap();
    assert!(first <= 3, "sound after {first} packets");
}

#[test]
fn capture_times_follow_the_sound() {
    let units = bursts(1, 48_000);
    let (out, _) = run(&units);
    for unit in &out {
        let want = MediaTime::new(unit.pts.ticks() - units[0].pts.ticks(), CLOCK).micros();
        let got = i64::try_from(unit.captured.unwrap().micros()).unwrap();
        assert!((got - want).abs() <= 2, "{got} {want}");
    }
}

#[test]
fn lost_and_damaged_packets_leave_no_hole() {
    let mut units = bursts(4, 0);
    units[40].payload = Bytes::from_static(&[0xFF, 63]);
    units.drain(100..103);
    units.remove(70);
    let (out, stats) = run(&units);
    assert!(rises(&out));
    assert_eq!((stats.damaged, stats.filled, stats.breaks), (1, 4 * 960, 0));
    let heard = play_aac(&out, units[0].pts.ticks());
    let shift = 312;
    let got = onsets(&heard, 0, 0.2);
    assert!(got.last().unwrap().abs_diff(144_000 + shift) <= 96, "{got:?}");
}

#[test]
fn a_long_pause_and_a_fallen_clock_begin_anew() {
    let mut units = bursts(6, 0);
    for (n, unit) in units.iter_mut().enumerate() {
        let jump = if n < 100 {
            0
        } else if n < 200 {
            480_000
        } else {
            -900_000
        };
        unit.pts = MediaTime::new(unit.pts.ticks() + jump, CLOCK);
        unit.dts = unit.pts;
    }
    let (out, stats) = run(&units);
    assert_eq!(stats.breaks, 2);
    let jumps: Vec<i64> =
        out.windows(2).map(|w| w[1].pts.ticks() - w[0].pts.ticks()).filter(|step| *step != 1024).collect();
    assert_eq!(jumps.len(), 2, "{jumps:?}");
    assert!(out.iter().any(|u| u.pts == units[100].pts) && out.iter().any(|u| u.pts == units[200].pts));
    // The burst at two seconds begins the second stretch and is heard there.
    let second: Vec<AccessUnit> =
        out.iter().filter(|u| u.pts >= units[100].pts && u.pts.ticks() < 700_000).cloned().collect();
    let heard = play_aac(&second, units[100].pts.ticks());
    assert!(onsets(&heard, 0, 0.2).contains(&312) || onsets(&heard, 0, 0.2)[0].abs_diff(312) < 1200);
}

#[test]
fn jittered_times_do_not_show() {
    let mut units = bursts(3, 0);
    for (n, unit) in units.iter_mut().enumerate() {
        let jitter = i64::try_from(n * 37 % 300).unwrap() - 150;
        unit.pts = MediaTime::new(unit.pts.ticks() + if n == 0 { 0 } else { jitter }, CLOCK);
    }
    let (out, stats) = run(&units);
    assert!(rises(&out) && stats.filled == 0 && stats.trimmed == 0);
}

#[test]
fn a_clock_that_drifts_is_followed() {
    // Times say 1 % more than the samples: filled little by little, never a break.
    let mut units = bursts(6, 0);
    for unit in &mut units {
        unit.pts = MediaTime::new(unit.pts.ticks() * 101 / 100, CLOCK);
    }
    let (out, stats) = run(&units);
    assert!(rises(&out) && stats.breaks == 0);
    let behind = units.last().unwrap().pts.ticks() - out.last().unwrap().pts.ticks();
    assert!(behind.abs() < 3_000, "{behind}");
}

#[test]
fn what_is_no_sound_is_refused() {
    assert_eq!(
        SoundTranscoder::new(Codec::H264, TranscodeConfig::new(TrackId(1))).unwrap_err(),
        CodecError::WrongCodec
    );
    let mut encoder = H264Encoder::new(EncoderConfig::new(64, 64, 30, 100_000)).unwrap();
    let picture = encoder.encode(&moving_card(64, 64, 1), false).unwrap().unwrap();
    let mut transcoder = SoundTranscoder::new(Codec::Aac, TranscodeConfig::new(TrackId(1))).unwrap();
    let mut unit = bursts(1, 0).remove(0);
    unit.params = Arc::clone(&picture.params);
    assert_eq!(transcoder.push(&unit).unwrap_err(), CodecError::WrongCodec);
}

#[test]
fn a_publisher_may_change_the_codec() {
    let units = bursts(4, 0);
    let (aac, _) = run(&units);
    let half = units.iter().position(|u| u.pts.seconds() >= 2.0).unwrap();
    let rest = aac.into_iter().filter(|u| u.pts >= units[half].pts);
    let mixed: Vec<AccessUnit> = units[..half].iter().cloned().chain(rest).collect();
    let (out, stats) = run(&mixed);
    assert!(rises(&out));
    assert_eq!((stats.damaged, stats.breaks), (0, 0));
    let heard = onsets(&play_aac(&out, out[0].pts.ticks()), 0, 0.2);
    for (got, want) in heard.iter().zip([48_312, 96_312, 144_312]) {
        // The frames of both codecs do not begin together; less than the tolerance of a time is not mended.
        assert!(got.abs_diff(want) <= 480, "{heard:?}");
    }
}
