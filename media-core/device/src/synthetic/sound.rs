//! The synthetic microphone: a beep at every whole second, the same event as the picture's beep mark.

use super::camera::SyntheticConfig;
use super::paced::{Pace, Paced};
use crate::{AudioEvent, AudioSource, DeviceError, MonoClock};
use media::{MonoTime, Pcm};
use std::f64::consts::TAU;
use std::time::Duration;

const RATE: u32 = 48_000;
/// 10 ms.
const BLOCK: u64 = 480;
/// Divides the rate, so that every burst begins at phase zero.
const TONE: u64 = 1_000;

/// How long the burst at second `k` is, in milliseconds; zero for `k` = 0. The length tells the seconds apart.
pub const fn burst_millis(k: u64) -> u64 {
    match k {
        0 => 0,
        _ => [60, 90, 120, 150][(k % 4) as usize],
    }
}

/// Sample `n` (at 48 kHz since the origin) of the sound: 1 kHz at half scale in bursts at whole seconds, else silence.
pub fn beep_sample(n: u64) -> f32 {
    let rate = u64::from(RATE);
    let (second, into) = (n / rate, n % rate);
    if into >= burst_millis(second) * rate / 1000 {
        return 0.0;
    }
    let phase = into * TONE % rate;
    (0.5 * (TAU * phase as f64 / rate as f64).sin()) as f32
}

/// A microphone that needs no device: 48 kHz stereo.
pub struct SyntheticMicrophone {
    origin: MonoTime,
    paced: Paced,
}

impl SyntheticMicrophone {
    /// The microphone beside the camera of `config`.
    pub const fn new(config: &SyntheticConfig) -> Self {
        Self { origin: config.origin, paced: Paced::new("synthetic-microphone") }
    }
}

impl AudioSource for SyntheticMicrophone {
    fn name(&self) -> &str {
        "beep"
    }

    fn start(&mut self, deliver: Box<dyn FnMut(AudioEvent) + Send>) -> Result<(), DeviceError> {
        let origin = self.origin;
        self.paced.start(move |pace| run(origin, pace, deliver))
    }

    fn stop(&mut self) {
        self.paced.stop();
    }
}

/// When sample `n` happens.
fn due(origin: MonoTime, n: u64) -> MonoTime {
    let micros = u128::from(n) * 1_000_000 / u128::from(RATE);
    origin + Duration::from_micros(u64::try_from(micros).unwrap_or(u64::MAX))
}

fn run(origin: MonoTime, pace: &Pace, mut deliver: Box<dyn FnMut(AudioEvent) + Send>) {
    let elapsed = MonoClock::now().since(origin).as_micros();
    let mut sample = u64::try_from(elapsed * u128::from(RATE) / 1_000_000).unwrap_or(0) / BLOCK * BLOCK;
    // A block is there when its last sample has happened.
    while pace.until(due(origin, sample + BLOCK)) {
        let samples = (sample..sample + BLOCK).flat_map(|n| [beep_sample(n); 2]).collect();
        deliver(AudioEvent::Sound(Pcm { rate: RATE, channels: 2, samples, captured: due(origin, sample) }));
        sample += BLOCK;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::synthetic::{Pattern, find_bursts};
    use std::sync::mpsc::channel;

    #[test]
    fn bursts_are_where_the_contract_says() {
        let pcm: Vec<f32> = (0..6 * u64::from(RATE)).map(beep_sample).collect();
        let bursts = find_bursts(&pcm, 1, RATE);
        let got: Vec<(u64, u64)> =
            bursts.iter().map(|b| ((b.start * 1000.0).round() as u64, (b.length * 1000.0).round() as u64)).collect();
        assert_eq!(got, [(1000, 90), (2000, 120), (3000, 150), (4000, 60), (5000, 90)]);
        assert!(bursts.iter().all(|b| (b.frequency - 1000.0).abs() < 1.0), "{bursts:?}");
        let peak = pcm.iter().fold(0.0_f32, |p, s| p.max(s.abs()));
        assert!((peak - 0.5).abs() < 1e-3);
    }

    #[test]
    fn blocks_come_without_gap_and_with_the_events_times() {
        let config = SyntheticConfig::new(Pattern::Clock, 64, 64, 30);
        let mut microphone = SyntheticMicrophone::new(&config);
        let (sender, receiver) = channel();
        microphone
            .start(Box::new(move |event| {
                if let AudioEvent::Sound(pcm) = event {
                    drop(sender.send((pcm, MonoClock::now())));
                }
            }))
            .unwrap();
        let blocks: Vec<(Pcm, MonoTime)> = receiver.iter().take(115).collect();
        microphone.stop();
        let first = blocks[0].0.captured.since(config.origin);
        for (n, (pcm, arrived)) in (0_u32..).zip(&blocks) {
            assert_eq!(pcm.captured.since(config.origin), first + Duration::from_millis(10) * n);
            assert!(pcm.frames() == 480 && *arrived >= pcm.captured + Duration::from_millis(10));
        }
        let sound: Vec<f32> = blocks.iter().flat_map(|(p, _)| p.samples.clone()).collect();
        let burst = find_bursts(&sound, 2, RATE)[0];
        assert!((burst.start + first.as_secs_f64() - 1.0).abs() < 0.001, "{burst:?}");
    }
}
