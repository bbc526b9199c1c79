//! Finding beeps in what somebody received.

/// One stretch of tone between silences.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Burst {
    /// Its first sample, in seconds from the beginning of what was searched.
    pub start: f64,
    /// From its first to its last sample, in seconds.
    pub length: f64,
    /// Of the tone, in hertz; zero where there are too few waves to tell.
    pub frequency: f64,
    /// Largest magnitude, full scale 1.0.
    pub peak: f32,
}

/// Below this the loudest sound of all is still silence.
const FLOOR: f32 = 0.02;
/// A burst goes on over gaps shorter than this: codecs smear, and waves cross zero.
const GAP: f64 = 0.010;
/// Shorter than this is a click.
const SHORTEST: f64 = 0.010;

/// The bursts in `pcm` (interleaved, `channels` channels, `rate` Hz): wherever its first channel is louder than a fifth of its
/// loudest for at least 10 ms. Thresholds are relative, so that gain and codecs do not matter.
pub fn find_bursts(pcm: &[f32], channels: u8, rate: u32) -> Vec<Burst> {
    let samples: Vec<f32> = pcm.iter().step_by(usize::from(channels.max(1))).copied().collect();
    let rate = f64::from(rate.max(1));
    let loudest = samples.iter().fold(0.0_f32, |peak, s| peak.max(s.abs()));
    if loudest < FLOOR {
        return Vec::new();
    }
    let threshold = loudest * 0.2;
    let gap = (GAP * rate) as usize;
    let mut ranges: Vec<(usize, usize)> = Vec::new();
    for (n, _) in samples.iter().enumerate().filter(|(_, s)| s.abs() > threshold) {
        match ranges.last_mut() {
            Some((_, end)) if n - *end <= gap => *end = n,
            _ => ranges.push((n, n)),
        }
    }
    ranges
        .into_iter()
        .filter(|(start, end)| (end - start) as f64 / rate >= SHORTEST)
        .filter_map(|(start, end)| {
            let sound = samples.get(start..=end)?;
            Some(Burst {
                start: start as f64 / rate,
                length: sound.len() as f64 / rate,
                frequency: frequency(sound, rate),
                peak: sound.iter().fold(0.0, |peak, s| peak.max(s.abs())),
            })
        })
        .collect()
}

/// By the rising zero crossings of the middle, where the tone is steady.
fn frequency(sound: &[f32], rate: f64) -> f64 {
    let edge = sound.len() / 10;
    let middle = sound.get(edge..sound.len() - edge).unwrap_or_default();
    let crossings: Vec<f64> = middle
        .windows(2)
        .enumerate()
        .filter_map(|(n, pair)| match pair {
            [a, b] if *a < 0.0 && *b >= 0.0 => Some(n as f64 + f64::from(*a / (*a - *b))),
            _ => None,
        })
        .collect();
    match (crossings.first(), crossings.last()) {
        (Some(first), Some(last)) if last > first => (crossings.len() - 1) as f64 * rate / (last - first),
        _ => 0.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::f64::consts::TAU;

    #[test]
    fn finds_what_is_there() {
        let rate = 44_100;
        let mut pcm = vec![0.001_f32; rate * 2];
        for (n, s) in pcm.iter_mut().enumerate().skip(22_050).take(4_410) {
            *s = (0.1 * (TAU * 440.0 * n as f64 / rate as f64).sin()) as f32;
        }
        pcm[80_000] = 0.09;
        let bursts = find_bursts(&pcm, 1, 44_100);
        assert_eq!(bursts.len(), 1, "{bursts:?}");
        let b = bursts[0];
        assert!((b.start - 0.5).abs() < 0.001 && (b.length - 0.1).abs() < 0.002);
        assert!((b.frequency - 440.0).abs() < 1.0 && (b.peak - 0.1).abs() < 0.001);
        assert!(find_bursts(&[0.001; 4000], 1, 48_000).is_empty());
        assert!(find_bursts(&[], 0, 0).is_empty());
    }
}
