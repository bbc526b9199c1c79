//! Where monotonic time comes from. Everything below is told the time; only this asks for it.

use media::MonoTime;
use std::sync::LazyLock;
use std::time::Instant;

/// A source of monotonic time, handed to whatever needs one.
#[derive(Debug, Clone, Copy)]
pub struct Clock(fn() -> MonoTime);

impl Clock {
    /// Reads the time with `now`, such as the clock that stamps captured pictures.
    pub const fn new(now: fn() -> MonoTime) -> Self {
        Self(now)
    }

    /// Counts from the first use in this process.
    pub const fn process() -> Self {
        Self(|| {
            static START: LazyLock<Instant> = LazyLock::new(Instant::now);
            MonoTime::default() + START.elapsed()
        })
    }

    /// The time now.
    pub fn now(self) -> MonoTime {
        (self.0)()
    }
}
