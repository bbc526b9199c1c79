//! A speaker that needs no device: asks for sound by the clock and hands it to whoever listens, or to nobody.

use super::paced::{Pace, Paced};
use crate::{AudioFormat, AudioSink, DeviceError, MonoClock, Playout, Render, SinkEvent};
use media::MonoTime;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

const RATE: u32 = 48_000;
const CHANNELS: u8 = 2;
/// 10 ms.
const BLOCK: u64 = 480;
/// What a device would hold: sound asked for now is "heard" this much later.
const LATENCY: Duration = Duration::from_millis(20);

/// Takes what a speaker would play, block by block, with the time it is heard.
type Tap = Box<dyn FnMut(&[f32], MonoTime) + Send>;

/// A paced sink of 48 kHz stereo.
pub struct SyntheticSpeaker {
    tap: Option<Tap>,
    rendered: Arc<AtomicU64>,
    paced: Paced,
}

impl SyntheticSpeaker {
    /// A speaker nobody hears.
    pub fn new() -> Self {
        Self { tap: None, rendered: Arc::default(), paced: Paced::new("synthetic-speaker") }
    }

    /// A speaker whose sound goes to `tap`, until it is started a second time.
    pub fn with_tap(tap: impl FnMut(&[f32], MonoTime) + Send + 'static) -> Self {
        Self { tap: Some(Box::new(tap)), ..Self::new() }
    }
}

impl Default for SyntheticSpeaker {
    fn default() -> Self {
        Self::new()
    }
}

impl AudioSink for SyntheticSpeaker {
    fn name(&self) -> &str {
        "silence"
    }

    fn format(&self) -> AudioFormat {
        AudioFormat { rate: RATE, channels: CHANNELS }
    }

    fn start(&mut self, render: Render, _events: Box<dyn FnMut(SinkEvent) + Send>) -> Result<(), DeviceError> {
        let (tap, rendered) = (self.tap.take(), Arc::clone(&self.rendered));
        self.paced.start(move |pace| run(pace, render, tap, &rendered))
    }

    fn playout(&self) -> Playout {
        Playout { rendered: self.rendered.load(Ordering::Relaxed), latency: LATENCY, underruns: 0 }
    }

    fn stop(&mut self) {
        self.paced.stop();
    }
}

fn run(pace: &Pace, mut render: Render, mut tap: Option<Tap>, rendered: &AtomicU64) {
    let origin = MonoClock::now();
    let mut buffer = vec![0.0; BLOCK as usize * usize::from(CHANNELS)];
    let mut block = 0_u32;
    loop {
        let due = origin + Duration::from_millis(10) * block;
        if !pace.until(due) {
            return;
        }
        buffer.fill(0.0);
        render(&mut buffer, due + LATENCY);
        rendered.fetch_add(BLOCK, Ordering::Relaxed);
        if let Some(tap) = &mut tap {
            tap(&buffer, due + LATENCY);
        }
        block = block.saturating_add(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::synthetic::{beep_sample, find_bursts};
    use std::sync::mpsc::channel;

    #[test]
    fn asks_by_the_clock() {
        let (sender, receiver) = channel();
        let mut speaker = SyntheticSpeaker::with_tap(move |pcm, at| drop(sender.send((pcm.to_vec(), at))));
        let mut n = 24_000;
        let render: Render = Box::new(move |buffer, _| {
            for frame in buffer.chunks_exact_mut(2) {
                frame.fill(beep_sample(n));
                n += 1;
            }
        });
        speaker.start(render, Box::new(|_| {})).unwrap();
        let blocks: Vec<(Vec<f32>, MonoTime)> = receiver.iter().take(70).collect();
        speaker.stop();
        assert!(blocks.windows(2).all(|w| w[1].1.since(w[0].1) == Duration::from_millis(10)));
        assert!(speaker.playout().rendered >= 70 * 480);
        let sound: Vec<f32> = blocks.into_iter().flat_map(|(pcm, _)| pcm).collect();
        assert!((find_bursts(&sound, 2, RATE)[0].start - 0.5).abs() < 0.001);
    }
}
