//! Samples and channels: `f32` ↔ `i16`, mono ↔ stereo ↔ surround, mixing.
//!
//! Not here: rates (`resample`).

/// Full scale ±1.0 to `i16`, rounded, saturating; not-a-number is silence.
pub fn f32_to_i16(sample: f32) -> i16 {
    // `as` saturates and maps NaN to zero.
    (sample * 32_768.0).round() as i16
}

/// `i16` to full scale ±1.0.
pub fn i16_to_f32(sample: i16) -> f32 {
    f32::from(sample) / 32_768.0
}

/// Appends `input`, interleaved with `from` channels, to `out` with `to` channels.
///
/// Mono goes to every front channel. Stereo to mono is the mean. More than two channels are mixed down as ITU-R BS.775 does
/// (centre and surrounds at −3 dB, no LFE, normalised so that nothing clips) in the order L R C LFE Ls Rs of AAC and WAV.
/// A broken last frame is left out.
pub fn remix(input: &[f32], from: u8, to: u8, out: &mut Vec<f32>) {
    if from == 0 || to == 0 {
        return;
    }
    if from == to {
        let whole = input.len() - input.len() % usize::from(from);
        out.extend_from_slice(input.get(..whole).unwrap_or_default());
        return;
    }
    for frame in input.chunks_exact(usize::from(from)) {
        let (left, right) = to_stereo(frame);
        match to {
            1 => out.push(0.5 * (left + right)),
            _ => {
                out.extend_from_slice(&[left, right]);
                out.extend(std::iter::repeat_n(0.0, usize::from(to) - 2));
            }
        }
    }
}

fn to_stereo(frame: &[f32]) -> (f32, f32) {
    const MINUS_3_DB: f32 = std::f32::consts::FRAC_1_SQRT_2;
    let at = |channel: usize| frame.get(channel).copied().unwrap_or(0.0);
    match frame.len() {
        1 => (at(0), at(0)),
        2 => (at(0), at(1)),
        3 => ((at(0) + MINUS_3_DB * at(2)) / (1.0 + MINUS_3_DB), (at(1) + MINUS_3_DB * at(2)) / (1.0 + MINUS_3_DB)),
        4 => ((at(0) + MINUS_3_DB * at(2)) / (1.0 + MINUS_3_DB), (at(1) + MINUS_3_DB * at(3)) / (1.0 + MINUS_3_DB)),
        count => {
            let (left, right) = if count == 5 { (3, 4) } else { (4, 5) };
            let norm = 1.0 + 2.0 * MINUS_3_DB;
            let side = |front: usize, back: usize| (at(front) + MINUS_3_DB * (at(2) + at(back))) / norm;
            (side(0, left), side(1, right))
        }
    }
}

/// Adds `input × gain` onto `out`, as far as both reach.
pub fn mix_into(out: &mut [f32], input: &[f32], gain: f32) {
    for (sum, sample) in out.iter_mut().zip(input) {
        *sum += sample * gain;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn channels() {
        let check = |input: &[f32], from, to, want: &[f32]| {
            let mut out = Vec::new();
            remix(input, from, to, &mut out);
            let close = out.len() == want.len() && out.iter().zip(want).all(|(a, b)| (a - b).abs() < 1e-6);
            assert!(close, "{from} to {to}: {out:?}, wanted {want:?}");
        };
        check(&[0.5, -0.5], 1, 2, &[0.5, 0.5, -0.5, -0.5]);
        check(&[1.0, 0.0, 0.2, 0.4], 2, 1, &[0.5, 0.3]);
        check(&[0.1, 0.2, 0.3], 2, 2, &[0.1, 0.2]);
        check(&[1.0; 6], 6, 2, &[1.0, 1.0]);
        check(&[0.0, 0.0, 0.0, 1.0, 0.0, 0.0], 6, 2, &[0.0, 0.0]);
        check(&[0.3], 1, 4, &[0.3, 0.3, 0.0, 0.0]);
        check(&[1.0], 0, 2, &[]);
    }

    #[test]
    fn saturates_and_mixes() {
        for (sample, want) in [(1.0, i16::MAX), (-1.0, i16::MIN), (9.0, i16::MAX), (f32::NAN, 0), (0.0, 0)] {
            assert_eq!(f32_to_i16(sample), want);
        }
        let mut out = [0.5, 0.5];
        mix_into(&mut out, &[1.0], 0.25);
        assert_eq!(out, [0.75, 0.5]);
    }

    proptest! {
        #[test]
        fn samples_round_trip(sample in any::<i16>()) {
            prop_assert_eq!(f32_to_i16(i16_to_f32(sample)), sample);
        }
    }
}
