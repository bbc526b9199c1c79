//! The still card: what listeners see while the camera is off. No words; the window adds them in the listener's language.

use super::canvas::Canvas;
use media::{MonoTime, Picture};

/// A calm card of `width` × `height` (made even): somebody is there, unseen.
pub fn still_card(width: u32, height: u32, captured: MonoTime) -> Picture {
    let mut canvas = Canvas::new(width, height);
    let (w, h) = (canvas.width() as f32, canvas.height() as f32);
    canvas.gradient([0xF2, 0xF4, 0xF1], [0xE6, 0xEA, 0xE6]);
    let (x, y, r) = (w / 2.0, h / 2.0, w.min(h) * 0.23);
    canvas.disc(x, y, r * 1.35, [0xFF, 0xFF, 0xFF], 0.55);
    canvas.disc(x, y, r, [0xD9, 0xEB, 0xE4], 1.0);
    // Head and shoulders, the shoulders cut by the disc.
    let colour = [0x7F, 0xB3, 0xA6];
    canvas.disc(x, y - r * 0.22, r * 0.34, colour, 1.0);
    let (sx, sy, sr) = (x, y + r * 0.86, r * 0.62);
    canvas.shape([x - r, y - r, x + r, y + r], colour, |px, py| {
        let shoulders = sr - (px - sx).hypot((py - sy) * 1.05) + 0.5;
        let disc = r - (px - x).hypot(py - y) + 0.5;
        shoulders.min(disc)
    });
    canvas.finish(captured)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_calm_and_symmetric() {
        let card = still_card(640, 480, MonoTime::from_micros(4));
        assert_eq!((card.width(), card.height(), card.captured().micros()), (640, 480, 4));
        let luma = card.planes().0;
        assert!(luma.iter().all(|y| *y > 120), "nothing dark");
        let uneven = luma.chunks(640).filter(|row| row.iter().zip(row.iter().rev()).any(|(a, b)| a.abs_diff(*b) > 3));
        assert_eq!(uneven.count(), 0);
    }
}
