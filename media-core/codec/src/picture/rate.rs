//! How many bits a rendition gets: a little more than its source, within what its size makes sensible.

use media::{AccessUnit, MediaTime};

/// Constrained baseline by OpenH264 needs about a quarter more than x264's Main for the same look.
const MORE: f64 = 1.25;
/// Bits per pixel: below the first no picture is worth looking at, above the last nobody sees a difference.
const LEAST: f64 = 0.03;
const UNKNOWN: f64 = 0.08;
const MOST: f64 = 0.25;
/// What pictures of cameras with Motion JPEG get, which are few a second and so differ much: half of the most.
const STILLS: f64 = 0.125;
/// Source bytes are counted over this long.
const SPAN: f64 = 2.0;
/// A smaller change is not worth telling the encoder.
const CHANGE: f64 = 0.15;

/// What the source was worth lately.
#[derive(Debug)]
pub(super) struct Rate {
    pixels: f64,
    /// What the encoder plans with.
    fps: f64,
    bitrate: u32,
    /// The source's bytes say what its pictures are worth.
    follows: bool,
    since: Option<MediaTime>,
    bytes: usize,
    units: u32,
}

impl Rate {
    pub(super) fn new(width: u32, height: u32, fps: u32) -> Self {
        Self::with(width, height, fps, UNKNOWN, true)
    }

    /// For pictures that are each coded by itself: what they take says nothing of what they take here.
    pub(super) fn of_stills(width: u32, height: u32, fps: u32) -> Self {
        Self::with(width, height, fps, STILLS, false)
    }

    fn with(width: u32, height: u32, fps: u32, per_pixel: f64, follows: bool) -> Self {
        let (pixels, fps) = (f64::from(width) * f64::from(height), f64::from(fps));
        Self { pixels, fps, bitrate: (pixels * fps * per_pixel) as u32, follows, since: None, bytes: 0, units: 0 }
    }

    /// What the encoder is to aim at, in the bits per second it plans with.
    pub(super) const fn bitrate(&self) -> u32 {
        self.bitrate
    }

    /// Counts a unit of the source; answers the new bitrate where it changed.
    pub(super) fn count(&mut self, unit: &AccessUnit) -> Option<u32> {
        if !self.follows {
            return None;
        }
        if let Some((width, height)) = unit.params.size() {
            self.pixels = f64::from(width) * f64::from(height);
        }
        let since = *self.since.get_or_insert(unit.dts);
        let span = unit.dts.minus(since).seconds();
        let mut changed = None;
        if !(0.0..=SPAN).contains(&span) {
            // Times that went back say nothing of the rate.
            if span > 0.0 {
                changed = self.aim(span);
            }
            (self.since, self.bytes, self.units) = (Some(unit.dts), 0, 0);
        }
        self.bytes += unit.payload.len();
        self.units += 1;
        changed
    }

    fn aim(&mut self, span: f64) -> Option<u32> {
        // The encoder shares its bits out among the pictures it plans with, so what counts is bits per picture.
        let per_picture = self.bytes as f64 * 8.0 / f64::from(self.units.max(1)) * MORE;
        let per_picture = per_picture.clamp(self.pixels * LEAST, self.pixels * MOST);
        // After a pause a span is longer than the pictures in it.
        if span > SPAN * 2.0 {
            return None;
        }
        let aim = per_picture * self.fps;
        let now = f64::from(self.bitrate);
        if (aim - now).abs() < now * CHANGE {
            return None;
        }
        self.bitrate = aim as u32;
        Some(self.bitrate)
    }
}
