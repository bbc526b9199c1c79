//! Waiting for conditions. Nothing here sleeps for luck: every wait has a condition and an end.

use anyhow::{Result, bail};
use std::time::{Duration, Instant};

/// Looks every 20 ms until `look` answers something; after `limit` the test fails with `what` was awaited.
///
/// # Errors
/// What `look` says goes wrong, or that the time is over.
pub fn wait_for<T>(what: &str, limit: Duration, mut look: impl FnMut() -> Result<Option<T>>) -> Result<T> {
    let end = Instant::now() + limit;
    loop {
        if let Some(found) = look()? {
            return Ok(found);
        }
        if Instant::now() >= end {
            bail!("waited {} s in vain for {what}", limit.as_secs());
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}
