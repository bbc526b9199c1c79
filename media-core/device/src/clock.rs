//! The machine's monotonic clock.

use media::MonoTime;

/// Reads monotonic time. On Unix this is `CLOCK_MONOTONIC`, the same for every process of the machine.
#[derive(Debug, Clone, Copy)]
pub struct MonoClock;

impl MonoClock {
    /// Now, in microseconds.
    #[cfg(unix)]
    pub fn now() -> MonoTime {
        let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
        let micros = i128::from(now.tv_sec) * 1_000_000 + i128::from(now.tv_nsec) / 1_000;
        MonoTime::from_micros(u64::try_from(micros).unwrap_or(0))
    }

    /// Now, in microseconds since the program first asked.
    #[cfg(not(unix))]
    pub fn now() -> MonoTime {
        static ORIGIN: std::sync::OnceLock<std::time::Instant> = std::sync::OnceLock::new();
        let origin = *ORIGIN.get_or_init(std::time::Instant::now);
        MonoTime::from_micros(u64::try_from(origin.elapsed().as_micros()).unwrap_or(u64::MAX))
    }

    /// Sleeps until `deadline`; not at all if that is past. May wake up late, never early.
    pub fn sleep_until(deadline: MonoTime) {
        loop {
            let left = deadline.since(Self::now());
            if left.is_zero() {
                return;
            }
            std::thread::sleep(left);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rises() {
        let (a, b) = (MonoClock::now(), MonoClock::now());
        assert!(b >= a);
        let deadline = MonoClock::now() + std::time::Duration::from_millis(2);
        MonoClock::sleep_until(deadline);
        assert!(MonoClock::now() >= deadline);
    }

    /// Another program's view of the same clock, to the precision with which it writes it.
    #[cfg(target_os = "linux")]
    #[test]
    fn is_the_machines_clock() {
        let uptime = std::fs::read_to_string("/proc/uptime").unwrap();
        let seconds: f64 = uptime.split(' ').next().unwrap().parse().unwrap();
        let ours = MonoClock::now().micros() as f64 / 1e6;
        // /proc/uptime also counts suspended time, of which a test machine has none to speak of.
        assert!((ours - seconds).abs() < 5.0, "{ours} {seconds}");
    }
}
