//! The test card: what a machine without camera shows. A face with a sweeping hand, colour bars, the running time.

use super::canvas::{Canvas, Rgb};
use media::{MonoTime, Picture};
use std::f32::consts::TAU;

const PAPER: Rgb = [0xF2, 0xF4, 0xF1];
const MINT: Rgb = [0xD9, 0xEB, 0xE4];
const WHITE: Rgb = [0xFF, 0xFF, 0xFF];
const INK: Rgb = [0x16, 0x20, 0x1C];
const LINE: Rgb = [0xC3, 0xCD, 0xC6];
const ACCENT: Rgb = [0x17, 0x69, 0x5A];
const OTHER: Rgb = [0xC4, 0x6A, 0x24];
/// The look's series colours between neutrals: every hue quarter is there to judge a screen by.
const BARS: [Rgb; 8] = [
    [0xFF, 0xFF, 0xFF],
    [0xE2, 0xB1, 0x4C],
    [0x8D, 0xB6, 0xDA],
    [0x74, 0xCD, 0xB3],
    [0xDD, 0x9C, 0xBA],
    [0xC9, 0x41, 0x2B],
    [0x3F, 0x66, 0x89],
    [0x16, 0x20, 0x1C],
];

/// Draws test cards of one size; what does not move is drawn once.
#[derive(Debug, Clone)]
pub struct TestCard {
    still: Canvas,
}

impl TestCard {
    /// Cards of `width` × `height`, made even.
    pub fn new(width: u32, height: u32) -> Self {
        let mut canvas = Canvas::new(width, height);
        let (w, h) = (canvas.width() as f32, canvas.height() as f32);
        canvas.gradient(PAPER, MINT);
        // A square grid shows geometry.
        let pitch = h / 9.0;
        let thin = (h / 360.0).max(1.0);
        let columns = (w / pitch / 2.0).ceil() as i32;
        for n in -columns..=columns {
            let x = w / 2.0 + n as f32 * pitch;
            canvas.stroke((x, 0.0), (x, h), thin, LINE);
        }
        for n in 0..=9 {
            let y = n as f32 * pitch;
            canvas.stroke((0.0, y), (w, y), thin, LINE);
        }
        let (margin, bar_top, bar_bottom) = (w * 0.08, h * 0.83, h * 0.94);
        let step = (w - 2.0 * margin) / BARS.len() as f32;
        canvas.panel([margin - 3.0, bar_top - 3.0, w - margin + 3.0, bar_bottom + 3.0], h * 0.02, LINE);
        for (n, colour) in BARS.into_iter().enumerate() {
            let x = margin + n as f32 * step;
            canvas.panel([x, bar_top, x + step, bar_bottom], 1.0, colour);
        }
        let (x, y, r) = face(w, h);
        canvas.disc(x, y, r * 1.06, LINE, 0.6);
        canvas.disc(x, y, r, WHITE, 1.0);
        canvas.ring(x, y, r, h * 0.012, ACCENT);
        for n in 0..60_u32 {
            let (sin, cos) = (n as f32 / 60.0 * TAU).sin_cos();
            let (inner, weight) = if n % 5 == 0 { (0.86, h * 0.009) } else { (0.91, h * 0.004) };
            canvas.stroke(
                (x + r * inner * sin, y - r * inner * cos),
                (x + r * 0.94 * sin, y - r * 0.94 * cos),
                weight,
                INK,
            );
        }
        Self { still: canvas }
    }

    /// The card at `seconds` of media time. With `beep` the middle lights up, so that eye and ear can compare.
    pub fn draw(&self, seconds: f64, beep: bool, captured: MonoTime) -> Picture {
        let mut canvas = self.still.clone();
        let (w, h) = (canvas.width() as f32, canvas.height() as f32);
        let (x, y, r) = face(w, h);
        let seconds = seconds.max(0.0);
        let (sin, cos) = ((seconds.fract() * std::f64::consts::TAU) as f32).sin_cos();
        canvas.digits(&label(seconds), x, y + r * 0.42, r * 0.26, INK);
        canvas.stroke(
            (x - r * 0.16 * sin, y + r * 0.16 * cos),
            (x + r * 0.8 * sin, y - r * 0.8 * cos),
            h * 0.014,
            ACCENT,
        );
        canvas.disc(x + r * 0.8 * sin, y - r * 0.8 * cos, h * 0.016, ACCENT, 1.0);
        canvas.disc(x, y, r * if beep { 0.15 } else { 0.07 }, if beep { OTHER } else { ACCENT }, 1.0);
        // A ball runs along the bars: dropped or doubled pictures show as a stumble.
        let swing = (seconds / 4.0).fract() as f32;
        let place = if swing < 0.5 { swing * 2.0 } else { 2.0 - swing * 2.0 };
        canvas.disc(w * (0.1 + 0.8 * place), h * 0.785, h * 0.02, OTHER, 1.0);
        canvas.finish(captured)
    }
}

/// Centre and radius of the clock face.
fn face(w: f32, h: f32) -> (f32, f32, f32) {
    (w / 2.0, h * 0.40, h.min(w) * 0.34)
}

/// Minutes, seconds, tenths.
fn label(seconds: f64) -> String {
    let tenths = (seconds * 10.0) as u64;
    format!("{:02}:{:02}.{}", tenths / 600 % 100, tenths / 10 % 60, tenths % 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_and_marks_the_beep() {
        let card = TestCard::new(640, 480);
        let at = |seconds: f64, beep| card.draw(seconds, beep, MonoTime::from_micros(3));
        let (a, b, lit) = (at(1.0, false), at(1.1, false), at(1.0, true));
        assert_eq!((a.width(), a.height(), a.captured().micros()), (640, 480, 3));
        assert!(a != b && a != lit && a == at(1.0, false));
        let changed = a.data().iter().zip(b.data()).filter(|(x, y)| x != y).count();
        assert!(changed < a.data().len() / 10, "only the hand, the digits and the ball move");
        assert!(a.planes().0.iter().all(|y| (16..=235).contains(y)), "limited range");
        for (seconds, want) in [(0.0, "00:00.0"), (61.25, "01:01.2"), (3599.99, "59:59.9")] {
            assert_eq!(label(seconds), want);
        }
    }

    #[test]
    fn any_size() {
        for (width, height) in [(2, 2), (160, 120), (481, 853), (1920, 1080)] {
            let picture = TestCard::new(width, height).draw(0.5, true, MonoTime::default());
            assert_eq!((picture.width(), picture.height()), (width & !1, height & !1));
        }
    }
}
