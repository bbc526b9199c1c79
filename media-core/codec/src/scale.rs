//! Scaling of I420 pictures: the own picture beside the patient's, still cards at the stream's size.
//!
//! Not here: conversion from cameras' formats (`device`).

use crate::CodecError;
use media::Picture;

/// What happens to a picture whose sides do not have the target's proportions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Fit {
    /// As large as fits inside; the result has the picture's proportions and may be smaller than asked on one side.
    #[default]
    Inside,
    /// Exactly the asked size, black bars where the picture does not reach.
    Bars,
    /// Exactly the asked size, what reaches over is cut.
    Cover,
}

/// Scales `picture` to `width` × `height` (made even), averaging where it shrinks, interpolating where it grows.
///
/// # Errors
/// [`CodecError::Config`] for a size no picture can have.
pub fn scale(picture: &Picture, width: u32, height: u32, fit: Fit) -> Result<Picture, CodecError> {
    let config = |e: media::PictureError| CodecError::Config(e.to_string());
    let (width, height) = ((width & !1).max(2), (height & !1).max(2));
    Picture::bytes_of(width, height).map_err(config)?;
    let (from_w, from_h) = (picture.width(), picture.height());
    // The picture's size where it is as large as fits (or covers).
    let wide = u64::from(from_w) * u64::from(height) > u64::from(width) * u64::from(from_h);
    let even = |side: u64, limit: u32| (u32::try_from(side).unwrap_or(limit) & !1).clamp(2, limit);
    let fitted_w = || even(u64::from(from_w) * u64::from(height) / u64::from(from_h), Picture::MAX_SIDE);
    let fitted_h = || even(u64::from(from_h) * u64::from(width) / u64::from(from_w), Picture::MAX_SIDE);
    let (inner_w, inner_h) = if wide == (fit != Fit::Cover) { (width, fitted_h()) } else { (fitted_w(), height) };
    let (out_w, out_h) = if fit == Fit::Inside { (inner_w.min(width), inner_h.min(height)) } else { (width, height) };
    if (out_w, out_h) == (from_w, from_h) {
        return Ok(picture.clone());
    }
    let mut data = Vec::with_capacity(Picture::bytes_of(out_w, out_h).map_err(config)?);
    let (y, u, v) = picture.planes();
    for (plane, half, black) in [(y, 1, 16), (u, 2, 128), (v, 2, 128)] {
        let side = |n: u32| (n / half) as usize;
        let across = Axis::new(side(from_w), side(inner_w), side(out_w));
        let down = Axis::new(side(from_h), side(inner_h), side(out_h));
        scale_plane(plane, side(from_w), &across, &down, black, &mut data);
    }
    Picture::new(out_w, out_h, data, picture.captured()).map_err(config)
}

/// Sixteenths of a bit: weights are fixed-point fractions that sum to this.
const ONE: u32 = 1 << 14;

/// For each place along one side: which source samples it is made of, and with what weights. Empty means bar.
struct Axis {
    taps: Vec<(usize, Vec<u32>)>,
}

impl Axis {
    fn new(from: usize, inner: usize, out: usize) -> Self {
        let offset = (out as i64 - inner as i64).div_euclid(2);
        let step = from as f64 / inner as f64;
        // A triangle as wide as the step: box-like averaging when shrinking, linear interpolation when growing.
        let radius = step.max(1.0);
        let taps = (0..out as i64)
            .map(|place| {
                let place = place - offset;
                if place < 0 || place >= inner as i64 {
                    return (0, Vec::new());
                }
                let centre = (place as f64 + 0.5) * step - 0.5;
                let first = (centre - radius).ceil().max(0.0) as usize;
                let last = ((centre + radius).floor() as usize).min(from.saturating_sub(1));
                let weights: Vec<f64> =
                    (first..=last).map(|n| (1.0 - (n as f64 - centre).abs() / radius).max(0.0)).collect();
                let sum: f64 = weights.iter().sum();
                if sum <= 0.0 {
                    return (first.min(from.saturating_sub(1)), vec![ONE]);
                }
                let mut fixed: Vec<u32> = weights.iter().map(|w| (w / sum * f64::from(ONE)) as u32).collect();
                let rest = ONE.saturating_sub(fixed.iter().sum());
                if let Some(largest) = fixed.iter_mut().max() {
                    *largest += rest;
                }
                (first, fixed)
            })
            .collect();
        Self { taps }
    }
}

/// Down first, because that halves the work of going across. Sums stay far below `u32`: 255 × 2¹⁴ down, then 2¹⁶ × 2¹⁴ across;
/// wrapping arithmetic only keeps debug builds as fast as cameras need.
fn scale_plane(plane: &[u8], stride: usize, across: &Axis, down: &Axis, black: u8, out: &mut Vec<u8>) {
    let mut sums = vec![0_u32; stride];
    for (first_row, row_weights) in &down.taps {
        if row_weights.is_empty() {
            out.extend(std::iter::repeat_n(black, across.taps.len()));
            continue;
        }
        sums.fill(0);
        for (row, &weight) in plane.chunks_exact(stride).skip(*first_row).zip(row_weights) {
            for (sum, &sample) in sums.iter_mut().zip(row) {
                *sum = sum.wrapping_add(u32::from(sample).wrapping_mul(weight));
            }
        }
        // To sixteen bits, of which eight are behind the point.
        for sum in &mut sums {
            *sum >>= 6;
        }
        out.extend(across.taps.iter().map(|(first, weights)| {
            let Some(samples) = sums.get(*first..*first + weights.len()).filter(|s| !s.is_empty()) else {
                return black;
            };
            let half = 1_u32 << 21;
            let sum = samples.iter().zip(weights).fold(half, |sum, (s, w)| sum.wrapping_add(s.wrapping_mul(*w)));
            u8::try_from(sum >> 22).unwrap_or(u8::MAX)
        }));
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use media::MonoTime;
    use proptest::prelude::*;

    /// A gradient with a textured square that moves with `n`: something a codec has to work on.
    pub(crate) fn moving_card(width: u32, height: u32, n: u32) -> Picture {
        let mut data = Vec::new();
        let (at_x, at_y) = (n * 5 % (width / 2), n * 3 % (height / 2));
        for y in 0..height {
            for x in 0..width {
                let inside = x >= at_x && x < at_x + width / 3 && y >= at_y && y < at_y + height / 3;
                let texture = ((x * 7) ^ (y * 13) ^ (n * 29)) % 96;
                let value = if inside { 80 + texture } else { 40 + x * 120 / width + y * 60 / height };
                data.push(u8::try_from(value).unwrap());
            }
        }
        for plane in 0..2_u32 {
            for y in 0..height / 2 {
                for x in 0..width / 2 {
                    data.push(u8::try_from(100 + plane * 20 + (x + y + n) * 40 / (width + height)).unwrap());
                }
            }
        }
        Picture::new(width, height, data, MonoTime::from_micros(u64::from(n))).unwrap()
    }

    /// Peak signal-to-noise ratio of luma in dB; 99 for equal pictures.
    pub(crate) fn psnr(a: &Picture, b: &Picture) -> f64 {
        assert_eq!((a.width(), a.height()), (b.width(), b.height()));
        let (left, right) = (a.planes().0, b.planes().0);
        let error: f64 = left.iter().zip(right).map(|(x, y)| (f64::from(*x) - f64::from(*y)).powi(2)).sum();
        if error == 0.0 { 99.0 } else { 10.0 * (255.0 * 255.0 * left.len() as f64 / error).log10() }
    }

    #[test]
    fn sizes() {
        let check = |from: (u32, u32), to: (u32, u32), fit, want: (u32, u32)| {
            let got = scale(&moving_card(from.0, from.1, 0), to.0, to.1, fit).unwrap();
            assert_eq!((got.width(), got.height()), want, "{from:?} to {to:?} {fit:?}");
            assert_eq!(got.captured(), MonoTime::from_micros(0));
        };
        check((640, 480), (320, 240), Fit::Inside, (320, 240));
        check((1280, 720), (320, 240), Fit::Inside, (320, 180));
        check((480, 640), (320, 240), Fit::Inside, (180, 240));
        check((1280, 720), (320, 240), Fit::Bars, (320, 240));
        check((1280, 720), (320, 240), Fit::Cover, (320, 240));
        check((64, 64), (200, 101), Fit::Inside, (100, 100));
        check((640, 480), (640, 480), Fit::Cover, (640, 480));
        assert!(scale(&moving_card(64, 64, 0), 10_000, 10, Fit::Bars).is_err());
    }

    #[test]
    fn bars_are_black_and_the_middle_is_the_picture() {
        let white = Picture::new(160, 80, vec![200; 160 * 80 * 3 / 2], MonoTime::default()).unwrap();
        let boxed = scale(&white, 80, 80, Fit::Bars).unwrap();
        let (y, u, _) = boxed.planes();
        assert_eq!((y[0], u[0], y[40 * 80 + 40], u[20 * 40 + 20]), (16, 128, 200, 200));
        let covered = scale(&white, 80, 80, Fit::Cover).unwrap();
        assert!(covered.data().iter().all(|b| *b == 200));
    }

    #[test]
    fn down_and_up_again_is_nearly_the_same() {
        let picture = moving_card(320, 240, 3);
        let smooth = scale(&scale(&picture, 160, 120, Fit::Inside).unwrap(), 320, 240, Fit::Inside).unwrap();
        let again = scale(&scale(&smooth, 640, 480, Fit::Inside).unwrap(), 320, 240, Fit::Inside).unwrap();
        assert!(psnr(&smooth, &again) > 35.0, "{}", psnr(&smooth, &again));
    }

    proptest! {
        #[test]
        fn a_flat_picture_stays_flat(w in 1_u32..60, h in 1_u32..60, tw in 2_u32..120, th in 2_u32..120, level in 16_u8..236) {
            let flat = Picture::new(w * 2, h * 2, vec![level; (w * h * 6) as usize], MonoTime::default()).unwrap();
            for fit in [Fit::Inside, Fit::Cover] {
                let scaled = scale(&flat, tw, th, fit).unwrap();
                prop_assert!(scaled.data().iter().all(|b| *b == level));
            }
        }
    }
}
