//! The synthetic camera: cards by the clock, each at its time.

use super::clock_card::{ClockCard, ClockReading};
use super::paced::{Pace, Paced};
use super::sound::burst_millis;
use super::test_card::TestCard;
use crate::{DeviceError, MonoClock, VideoEvent, VideoSource};
use media::{MonoTime, Picture};
use std::time::Duration;

/// Frame indices are written with 24 bits.
const FRAME_BITS: u64 = 1 << 24;

/// What is drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Pattern {
    /// The test card, for people.
    #[default]
    TestCard,
    /// The clock card, for programs.
    Clock,
}

/// A synthetic camera and the microphone that goes with it share one of these: the same origin makes them one event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SyntheticConfig {
    /// What is drawn.
    pub pattern: Pattern,
    /// Width in pixels, made even.
    pub width: u32,
    /// Height in pixels, made even.
    pub height: u32,
    /// Pictures per second.
    pub fps: u32,
    /// Written into clock cards.
    pub stream: u8,
    /// When frame 0 and sample 0 happen.
    pub origin: MonoTime,
}

impl SyntheticConfig {
    /// `pattern` at `width` × `height` and `fps`, beginning now.
    pub fn new(pattern: Pattern, width: u32, height: u32, fps: u32) -> Self {
        Self { pattern, width, height, fps: fps.max(1), stream: 0, origin: MonoClock::now() }
    }

    /// When frame `n` happens.
    fn due(&self, n: u64) -> MonoTime {
        let micros = u128::from(n) * 1_000_000 / u128::from(self.fps.max(1));
        self.origin + Duration::from_micros(u64::try_from(micros).unwrap_or(u64::MAX))
    }

    /// The frame that happens at `now`, or last happened.
    fn frame_at(&self, now: MonoTime) -> u64 {
        let elapsed = now.since(self.origin).as_micros();
        u64::try_from(elapsed * u128::from(self.fps) / 1_000_000).unwrap_or(u64::MAX)
    }

    /// After frame `last`, at `now`: the next one, or the newest if some were missed, but never past one that starts a beep.
    fn next(&self, last: u64, now: MonoTime) -> u64 {
        let next = last + 1;
        let newest = self.frame_at(now).max(next);
        let fps = u64::from(self.fps.max(1));
        let beep = next.next_multiple_of(fps);
        if beep < newest { beep } else { newest }
    }
}

/// What draws the pattern.
enum Artist {
    TestCard(TestCard),
    Clock(ClockCard),
}

impl Artist {
    fn new(config: &SyntheticConfig) -> Self {
        match config.pattern {
            Pattern::TestCard => Self::TestCard(TestCard::new(config.width, config.height)),
            Pattern::Clock => Self::Clock(ClockCard::new(config.width, config.height)),
        }
    }

    /// Capture time is when the event happened, so that sound and picture share one timeline.
    fn draw(&self, config: &SyntheticConfig, frame: u64) -> Picture {
        let (due, fps) = (config.due(frame), u64::from(config.fps.max(1)));
        let seconds = frame as f64 / fps as f64;
        match self {
            Self::TestCard(card) => {
                let second = frame / fps;
                let into = Duration::from_micros(frame % fps * 1_000_000 / fps);
                let beep = second > 0 && into < Duration::from_millis(burst_millis(second));
                card.draw(seconds, beep, due)
            }
            Self::Clock(card) => {
                let drawn = MonoClock::now();
                let reading = ClockReading {
                    drawn,
                    frame: u32::try_from(frame % FRAME_BITS).unwrap_or(0),
                    beep: frame > 0 && frame.is_multiple_of(fps),
                    late: drawn.since(due),
                    stream: config.stream,
                };
                card.draw(&reading, seconds, due)
            }
        }
    }
}

/// A camera that needs no device.
pub struct SyntheticCamera {
    config: SyntheticConfig,
    paced: Paced,
}

impl SyntheticCamera {
    /// The camera of `config`.
    pub const fn new(config: SyntheticConfig) -> Self {
        Self { config, paced: Paced::new("synthetic-camera") }
    }
}

impl VideoSource for SyntheticCamera {
    fn name(&self) -> &str {
        match self.config.pattern {
            Pattern::TestCard => "test card",
            Pattern::Clock => "clock card",
        }
    }

    fn start(&mut self, deliver: Box<dyn FnMut(VideoEvent) + Send>) -> Result<(), DeviceError> {
        let config = self.config;
        self.paced.start(move |pace| run(&config, pace, deliver))
    }

    fn stop(&mut self) {
        self.paced.stop();
    }
}

fn run(config: &SyntheticConfig, pace: &Pace, mut deliver: Box<dyn FnMut(VideoEvent) + Send>) {
    let artist = Artist::new(config);
    let mut frame = config.frame_at(MonoClock::now());
    while pace.until(config.due(frame)) {
        deliver(VideoEvent::Picture(artist.draw(config, frame)));
        frame = config.next(frame, MonoClock::now());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::synthetic::read_clock;
    use std::sync::mpsc::channel;

    #[test]
    fn frames_come_at_their_times() {
        let config = SyntheticConfig { stream: 9, ..SyntheticConfig::new(Pattern::Clock, 320, 240, 50) };
        let mut camera = SyntheticCamera::new(config);
        let (sender, receiver) = channel();
        camera
            .start(Box::new(move |event| {
                if let VideoEvent::Picture(picture) = event {
                    drop(sender.send((picture, MonoClock::now())));
                }
            }))
            .unwrap();
        let pictures: Vec<(Picture, MonoTime)> = receiver.iter().take(60).collect();
        camera.stop();
        let mut beeps = 0;
        for (picture, arrived) in &pictures {
            let reading = read_clock(picture).unwrap();
            let frame = u64::from(reading.frame);
            assert_eq!(picture.captured(), config.due(frame), "captured when due");
            assert!(reading.drawn >= picture.captured() && reading.drawn <= *arrived && reading.stream == 9);
            assert_eq!(reading.late.as_millis(), reading.drawn.since(picture.captured()).as_millis().min(127));
            assert_eq!(reading.beep, frame > 0 && frame % 50 == 0);
            beeps += usize::from(reading.beep);
        }
        assert!(pictures.windows(2).all(|w| w[0].0.captured() < w[1].0.captured()));
        assert!(beeps >= 1, "a second went by");
    }

    #[test]
    fn late_frames_are_skipped_but_not_those_with_a_beep() {
        let config =
            SyntheticConfig { origin: MonoTime::from_micros(0), ..SyntheticConfig::new(Pattern::Clock, 64, 64, 30) };
        let check = |last: u64, now: u64, want: u64| {
            assert_eq!(config.next(last, MonoTime::from_micros(now)), want, "after {last} at {now}");
        };
        check(0, 0, 1);
        check(5, 200_000, 6);
        check(5, 400_000, 12);
        check(25, 1_400_000, 30);
        check(30, 1_400_000, 42);
        assert_eq!(config.due(30).micros(), 1_000_000);
        assert_eq!(config.due(1).micros(), 33_333);
        assert_eq!(config.frame_at(config.due(30)), 30);
    }

    #[test]
    fn people_see_the_beep_too() {
        let config = SyntheticConfig::new(Pattern::TestCard, 320, 240, 30);
        let card = TestCard::new(320, 240);
        let plain = card.draw(1.0, false, MonoTime::default());
        let artist = Artist::new(&config);
        assert_ne!(artist.draw(&config, 30).data(), plain.data());
        let quiet = card.draw(2.5, false, MonoTime::default());
        assert_eq!(artist.draw(&config, 75).data(), quiet.data());
    }
}
