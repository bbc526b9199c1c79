//! When to try again: backoff with jitter, the one place that decides it.
//!
//! Told the random number, so that tests see every value. Not here: what is tried (`source`, the engine's links), devices' own
//! reopening (`device`).

use std::time::Duration;

/// Pauses that double from half a second to half a minute, each shortened by up to a third so that many programs do not
/// knock together.
#[derive(Debug, Clone, Default)]
pub struct Backoff {
    attempts: u32,
}

impl Backoff {
    /// The contract: the first retry comes within a second.
    const FIRST: Duration = Duration::from_millis(750);
    /// A server that was restarted is found again within this.
    const LONGEST: Duration = Duration::from_secs(30);

    /// Nothing tried yet.
    pub const fn new() -> Self {
        Self { attempts: 0 }
    }

    /// The pause after another failure; `random` is in 0..1.
    pub fn failed(&mut self, random: f64) -> Duration {
        let doubled = Self::FIRST.saturating_mul(1 << self.attempts.min(10));
        self.attempts = self.attempts.saturating_add(1);
        doubled.min(Self::LONGEST).mul_f64(1.0 - random.clamp(0.0, 1.0) / 3.0)
    }

    /// It worked: the next failure starts over.
    pub const fn succeeded(&mut self) {
        self.attempts = 0;
    }

    /// Failures in a row.
    pub const fn attempts(&self) -> u32 {
        self.attempts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubles_up_to_half_a_minute() {
        let mut backoff = Backoff::new();
        let pauses: Vec<u128> = (0..8).map(|_| backoff.failed(0.0).as_millis()).collect();
        assert_eq!(pauses, [750, 1500, 3000, 6000, 12_000, 24_000, 30_000, 30_000]);
        assert_eq!(backoff.attempts(), 8);
        backoff.succeeded();
        assert_eq!(backoff.failed(1.0).as_millis(), 500);
    }
}
