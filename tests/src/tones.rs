//! A sound that is known: four tones in turn, two loud and two quiet, and what of them arrived somewhere.
//!
//! Belongs here: the sound, its WAV, recognising it. Not here: who plays and who records it (`pulse`, `ffmpeg`), the beeps of the
//! clock card (`content`).

use crate::pulse::RATE;
use anyhow::{Result, ensure};
use std::f64::consts::{PI, TAU};
use std::io::Write;
use std::path::Path;

/// Hertz and amplitude of each tone. The frequencies fit whole waves into [`WINDOW`], so that none is heard in another's place.
pub const TONES: [(f64, f64); 4] = [(400.0, 0.25), (1100.0, 0.06), (700.0, 0.25), (1600.0, 0.06)];
/// How long each sounds, in samples: 250 ms.
const LENGTH: usize = RATE as usize / 4;
/// What is looked at in one piece: 20 ms.
const WINDOW: usize = RATE as usize / 50;
/// From one look to the next: 10 ms.
const HOP: usize = WINDOW / 2;
/// Less than this is no tone.
const FLOOR: f64 = 0.02;
/// Windows at either end of a tone that hold some of its neighbour, or of the coder's echo of it: AAC's blocks are 43 ms long.
const EDGE: usize = 5;
/// A tone may seem longer or shorter by this many windows: louder neighbours are seen from further away.
const SLACK: usize = 3;
/// A tone may be this much louder or quieter than it was played, in dB: a coder's ripple, and far from half.
const LEVEL: f64 = 3.0;
/// A tone may be this much higher or lower, as a part of it: the limit at which clocks' drift is absorbed.
const PITCH: f64 = 0.01;

/// The tones in turn as a 16-bit WAV.
///
/// # Errors
/// Where it cannot be written.
pub fn write_wav(file: &Path, seconds: u32) -> Result<()> {
    let bytes = RATE * seconds * 2;
    let mut out = std::io::BufWriter::new(std::fs::File::create(file)?);
    out.write_all(b"RIFF")?;
    out.write_all(&(36 + bytes).to_le_bytes())?;
    out.write_all(b"WAVEfmt \x10\0\0\0\x01\0\x01\0")?;
    out.write_all(&RATE.to_le_bytes())?;
    out.write_all(&(RATE * 2).to_le_bytes())?;
    out.write_all(b"\x02\0\x10\0data")?;
    out.write_all(&bytes.to_le_bytes())?;
    for n in 0..(RATE * seconds) as usize {
        out.write_all(&((sample(n) * 32_767.0) as i16).to_le_bytes())?;
    }
    Ok(out.flush()?)
}

fn sample(n: usize) -> f64 {
    let (hz, amplitude) = TONES[n / LENGTH % TONES.len()];
    amplitude * (TAU * hz * (n % LENGTH) as f64 / f64::from(RATE)).sin()
}

/// Checks that `samples` (mono) are the tones in turn from somewhere on, at least `count` of them whole: pitch, level, length, and
/// nothing missing within one.
///
/// # Errors
/// Where they are not, with the place and the numbers.
pub fn check(samples: &[f32], count: usize) -> Result<()> {
    let looks: Vec<Look> =
        samples.windows(WINDOW).step_by(HOP).map(look).skip_while(|look| look.amplitude < FLOOR).collect();
    let runs: Vec<&[Look]> = looks.chunk_by(|a, b| a.tone == b.tone).collect();
    // The first and the last are cut by the recording.
    let whole = runs.get(1..runs.len().saturating_sub(1)).unwrap_or_default();
    ensure!(whole.len() >= count, "{} whole tones, {count} wanted", whole.len());
    let mut at = runs.first().map_or(0, |first| first.len());
    for (n, run) in whole.iter().enumerate() {
        let place = format!("tone {n} of {}, {:.2} s after the first sound", whole.len(), at as f64 * 0.01);
        let tone = run[0].tone;
        let (hz, amplitude) = TONES[tone];
        let expected = (runs[n][0].tone + 1) % TONES.len();
        ensure!(tone == expected, "{place}: {hz} Hz after {} Hz", TONES[runs[n][0].tone].0);
        ensure!(
            run.len().abs_diff(LENGTH / HOP) <= SLACK,
            "{place}: {hz} Hz lasts {} ms, not {}",
            run.len() * 10,
            LENGTH / HOP * 10
        );
        let inner = &run[EDGE..run.len() - EDGE];
        for look in inner {
            let level = 20.0 * (look.amplitude / amplitude).log10();
            ensure!(level.abs() <= LEVEL, "{place}: {hz} Hz is {level:+.1} dB from what was played");
        }
        let pitch = inner.windows(2).map(|pair| pitch(&pair[0], &pair[1])).sum::<f64>() / (inner.len() - 1) as f64;
        ensure!((pitch / hz - 1.0).abs() <= PITCH, "{place}: {pitch:.1} Hz in place of {hz} Hz");
        at += run.len();
    }
    Ok(())
}

/// The largest magnitude in `samples`.
pub fn loudest(samples: &[f32]) -> f32 {
    samples.iter().fold(0.0, |peak, s| peak.max(s.abs()))
}

/// One window: the tone that is loudest in it.
#[derive(Debug, Clone, Copy)]
struct Look {
    tone: usize,
    amplitude: f64,
    phase: f64,
}

fn look(window: &[f32]) -> Look {
    let mut best = Look { tone: 0, amplitude: 0.0, phase: 0.0 };
    for (tone, (hz, _)) in TONES.iter().enumerate() {
        let (mut re, mut im) = (0.0, 0.0);
        for (n, sample) in window.iter().enumerate() {
            let (sin, cos) = (TAU * hz * n as f64 / f64::from(RATE)).sin_cos();
            re += f64::from(*sample) * cos;
            im -= f64::from(*sample) * sin;
        }
        let amplitude = 2.0 * re.hypot(im) / window.len() as f64;
        if amplitude > best.amplitude {
            best = Look { tone, amplitude, phase: im.atan2(re) };
        }
    }
    best
}

/// By how far the phase went on from one window to the next.
fn pitch(a: &Look, b: &Look) -> f64 {
    let (hz, hop) = (TONES[a.tone].0, HOP as f64 / f64::from(RATE));
    let more = (b.phase - a.phase - TAU * hz * hop + PI).rem_euclid(TAU) - PI;
    hz + more / (TAU * hop)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sound(from: usize, to: usize) -> Vec<f32> {
        (from..to).map(|n| sample(n) as f32).collect()
    }

    #[test]
    fn knows_its_own() {
        let good = sound(5_000, 150_000);
        check(&good, 10).unwrap();
        let wrong = |what: &str, samples: &[f32]| assert!(check(samples, 10).is_err(), "{what}");
        wrong("silence", &vec![0.0; 150_000]);
        wrong("short", &good[..100_000]);
        wrong("quiet", &good.iter().map(|s| s * 0.6).collect::<Vec<f32>>());
        let mut gap = good.clone();
        gap[60_000..60_700].fill(0.0);
        wrong("a hole of 15 ms", &gap);
        wrong("50 ms left out", &[&good[..60_000], &good[62_400..]].concat());
        wrong("a tone left out", &[&good[..60_000], &sound(77_000, 162_000)].concat());
        let fast: Vec<f32> = (0..145_000).map(|n| sample(n * 103 / 100) as f32).collect();
        wrong("too high", &fast);
    }
}
