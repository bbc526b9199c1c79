//! Drawing on I420 with soft edges: just enough for cards.

use media::{MonoTime, Picture};

/// A colour as the look's tables write it.
pub(super) type Rgb = [u8; 3];

#[derive(Debug, Clone)]
pub(super) struct Canvas {
    width: usize,
    height: usize,
    data: Vec<u8>,
}

/// BT.601, limited range.
fn to_yuv([r, g, b]: Rgb) -> [f32; 3] {
    let (r, g, b) = (f32::from(r) / 255.0, f32::from(g) / 255.0, f32::from(b) / 255.0);
    let y = 0.299 * r + 0.587 * g + 0.114 * b;
    [16.0 + 219.0 * y, 128.0 + 224.0 * (b - y) / 1.772, 128.0 + 224.0 * (r - y) / 1.402]
}

fn blend(under: u8, over: f32, coverage: f32) -> u8 {
    (f32::from(under) + (over - f32::from(under)) * coverage).round().clamp(0.0, 255.0) as u8
}

impl Canvas {
    /// Sides are made even and at least 2.
    pub(super) fn new(width: u32, height: u32) -> Self {
        let side = |n: u32| (n & !1).clamp(2, Picture::MAX_SIDE) as usize;
        let (width, height) = (side(width), side(height));
        Self { width, height, data: vec![128; width * height * 3 / 2] }
    }

    pub(super) const fn width(&self) -> usize {
        self.width
    }

    pub(super) const fn height(&self) -> usize {
        self.height
    }

    pub(super) fn finish(self, captured: MonoTime) -> Picture {
        let side = |n: usize| u32::try_from(n).unwrap_or(2);
        Picture::new(side(self.width), side(self.height), self.data, captured).expect("even sides and their bytes")
    }

    /// From `top` to `bottom`, everywhere.
    pub(super) fn gradient(&mut self, top: Rgb, bottom: Rgb) {
        let (top, bottom) = (to_yuv(top), to_yuv(bottom));
        let (width, height) = (self.width, self.height);
        let planes = [
            (0, width, height),
            (width * height, width / 2, height / 2),
            (width * height * 5 / 4, width / 2, height / 2),
        ];
        for ((start, width, height), (a, b)) in planes.into_iter().zip(top.into_iter().zip(bottom)) {
            let plane = self.data.get_mut(start..start + width * height).unwrap_or_default();
            for (y, row) in plane.chunks_exact_mut(width).enumerate() {
                let at = y as f32 / height as f32;
                // A dithered edge between two levels does not show as a band.
                for (x, sample) in row.iter_mut().enumerate() {
                    let dither = ((x * 5 + y * 3) % 8) as f32 / 8.0 - 0.5;
                    *sample = (a + (b - a) * at + dither).round().clamp(0.0, 255.0) as u8;
                }
            }
        }
    }

    /// A hard-edged grey block; chroma of every pixel pair it touches becomes neutral.
    pub(super) fn block(&mut self, x0: usize, y0: usize, x1: usize, y1: usize, luma: u8) {
        let (width, height) = (self.width, self.height);
        let (x1, y1) = (x1.min(width), y1.min(height));
        for y in y0..y1 {
            if let Some(row) = self.data.get_mut(y * width + x0..y * width + x1) {
                row.fill(luma);
            }
        }
        for plane in 0..2 {
            let start = width * height + plane * width * height / 4;
            for y in y0 / 2..y1.div_ceil(2) {
                let row = start + y * width / 2;
                if let Some(row) = self.data.get_mut(row + x0 / 2..row + x1.div_ceil(2)) {
                    row.fill(128);
                }
            }
        }
    }

    /// Paints `colour` where `coverage` (0–1, by the centre of the pixel) says, inside `bounds` (left, top, right, bottom).
    pub(super) fn shape(&mut self, bounds: [f32; 4], colour: Rgb, coverage: impl Fn(f32, f32) -> f32) {
        let [y_level, u_level, v_level] = to_yuv(colour);
        let clip = |n: f32, limit: usize| (n.max(0.0) as usize).min(limit);
        let (x0, y0) = (clip(bounds[0].floor(), self.width) & !1, clip(bounds[1].floor(), self.height) & !1);
        let (x1, y1) = (clip(bounds[2].ceil() + 1.0, self.width), clip(bounds[3].ceil() + 1.0, self.height));
        let (width, luma) = (self.width, self.width * self.height);
        for y in y0..y1 {
            for x in x0..x1 {
                let amount = coverage(x as f32 + 0.5, y as f32 + 0.5).clamp(0.0, 1.0);
                if amount > 0.0
                    && let Some(sample) = self.data.get_mut(y * width + x)
                {
                    *sample = blend(*sample, y_level, amount);
                }
            }
        }
        for y in (y0..y1).step_by(2) {
            for x in (x0..x1).step_by(2) {
                let amount = coverage(x as f32 + 1.0, y as f32 + 1.0).clamp(0.0, 1.0);
                if amount == 0.0 {
                    continue;
                }
                let at = luma + y / 2 * (width / 2) + x / 2;
                for (at, level) in [(at, u_level), (at + luma / 4, v_level)] {
                    if let Some(sample) = self.data.get_mut(at) {
                        *sample = blend(*sample, level, amount);
                    }
                }
            }
        }
    }

    pub(super) fn disc(&mut self, x: f32, y: f32, radius: f32, colour: Rgb, opacity: f32) {
        let bounds = [x - radius - 1.0, y - radius - 1.0, x + radius + 1.0, y + radius + 1.0];
        self.shape(bounds, colour, |px, py| opacity * (radius - (px - x).hypot(py - y) + 0.5).clamp(0.0, 1.0));
    }

    pub(super) fn ring(&mut self, x: f32, y: f32, radius: f32, thickness: f32, colour: Rgb) {
        let outer = radius + thickness;
        let bounds = [x - outer - 1.0, y - outer - 1.0, x + outer + 1.0, y + outer + 1.0];
        self.shape(bounds, colour, |px, py| thickness / 2.0 - ((px - x).hypot(py - y) - radius).abs() + 0.5);
    }

    /// A line with round ends.
    pub(super) fn stroke(&mut self, from: (f32, f32), to: (f32, f32), thickness: f32, colour: Rgb) {
        let half = thickness / 2.0;
        let bounds = [
            from.0.min(to.0) - half - 1.0,
            from.1.min(to.1) - half - 1.0,
            from.0.max(to.0) + half + 1.0,
            from.1.max(to.1) + half + 1.0,
        ];
        let (dx, dy) = (to.0 - from.0, to.1 - from.1);
        let length = (dx * dx + dy * dy).max(1e-6);
        self.shape(bounds, colour, |px, py| {
            let along = (((px - from.0) * dx + (py - from.1) * dy) / length).clamp(0.0, 1.0);
            half - (px - from.0 - along * dx).hypot(py - from.1 - along * dy) + 0.5
        });
    }

    /// A rectangle with soft edges and round corners.
    pub(super) fn panel(&mut self, [x0, y0, x1, y1]: [f32; 4], radius: f32, colour: Rgb) {
        let (cx, cy, hw, hh) = ((x0 + x1) / 2.0, (y0 + y1) / 2.0, (x1 - x0) / 2.0, (y1 - y0) / 2.0);
        self.shape([x0, y0, x1, y1], colour, |px, py| {
            let (dx, dy) = (((px - cx).abs() - hw + radius).max(0.0), ((py - cy).abs() - hh + radius).max(0.0));
            radius - dx.hypot(dy) + 0.5
        });
    }

    /// Digits, `:` and `.` as seven strokes, `height` high, centred at (`x`, `y`).
    pub(super) fn digits(&mut self, text: &str, x: f32, y: f32, height: f32, colour: Rgb) {
        let (wide, narrow) = (height * 0.72, height * 0.34);
        let advance = |c: char| if c.is_ascii_digit() { wide } else { narrow };
        let total: f32 = text.chars().map(advance).sum();
        let mut left = x - total / 2.0;
        let thickness = (height * 0.11).max(1.2);
        for c in text.chars() {
            let (x0, x1) = (left + wide * 0.14, left + wide * 0.86);
            let (top, bottom) = (y - height / 2.0, y + height / 2.0);
            match c {
                ':' => {
                    for part in [-0.2, 0.2] {
                        self.disc(left + narrow / 2.0, y + height * part, thickness * 0.7, colour, 1.0);
                    }
                }
                '.' => self.disc(left + narrow / 2.0, bottom, thickness * 0.7, colour, 1.0),
                digit => {
                    let lit = digit.to_digit(10).and_then(|d| SEGMENTS.get(d as usize)).copied().unwrap_or(0);
                    let lines = [
                        ((x0, top), (x1, top)),
                        ((x1, top), (x1, y)),
                        ((x1, y), (x1, bottom)),
                        ((x0, bottom), (x1, bottom)),
                        ((x0, y), (x0, bottom)),
                        ((x0, top), (x0, y)),
                        ((x0, y), (x1, y)),
                    ];
                    for (n, (from, to)) in lines.into_iter().enumerate() {
                        if lit >> n & 1 == 1 {
                            self.stroke(from, to, thickness, colour);
                        }
                    }
                }
            }
            left += advance(c);
        }
    }
}

/// Which of the strokes top, upper right, lower right, bottom, lower left, upper left, middle a digit lights, lowest bit first.
const SEGMENTS: [u8; 10] = [0x3F, 0x06, 0x5B, 0x4F, 0x66, 0x6D, 0x7D, 0x07, 0x7F, 0x6F];
