//! Waiting on a thread that others may wake: for data, for time, for the end.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::Thread;
use std::time::{Duration, Instant};

/// Shared between a device's thread, the system's callback and the owner. Waking costs the callback one system call at most.
#[derive(Debug, Default)]
pub(crate) struct Stop {
    stopped: AtomicBool,
    thread: OnceLock<Thread>,
}

impl Stop {
    /// Called first thing on the thread that will wait.
    pub(crate) fn adopt(&self) {
        // Adopted once; a second call would be the same thread.
        self.thread.get_or_init(std::thread::current);
    }

    pub(crate) fn wake(&self) {
        if let Some(thread) = self.thread.get() {
            thread.unpark();
        }
    }

    pub(crate) fn stop(&self) {
        self.stopped.store(true, Ordering::Release);
        self.wake();
    }

    pub(crate) fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::Acquire)
    }

    /// Waits for [`Self::wake`], at most until `deadline`; may return early.
    pub(crate) fn park_until(&self, deadline: Instant) {
        if !self.is_stopped() {
            std::thread::park_timeout(deadline.saturating_duration_since(Instant::now()));
        }
    }

    /// Waits for `pause`; true if it was stopped.
    pub(crate) fn pause(&self, pause: Duration) -> bool {
        let deadline = Instant::now() + pause;
        while !self.is_stopped() && Instant::now() < deadline {
            self.park_until(deadline);
        }
        self.is_stopped()
    }
}

/// The first pause before a device is opened anew.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
/// The longest: somebody who plugs a headset back in does not wait longer.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// Growing pauses between attempts.
#[derive(Debug)]
pub(crate) struct Backoff(Duration);

impl Backoff {
    pub(crate) const fn new() -> Self {
        Self(FIRST_PAUSE)
    }

    pub(crate) fn next(&mut self) -> Duration {
        let now = self.0;
        self.0 = (now * 2).min(LONGEST_PAUSE);
        now
    }
}
