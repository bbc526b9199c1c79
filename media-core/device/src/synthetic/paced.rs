//! A thread that works by the clock: what the synthetic camera, microphone and speaker have in common.
//!
//! Belongs here: starting it, waiting for a time or the end, ending it. Not here: what is done when (`camera`, `sound`, `speaker`).

use crate::{DeviceError, MonoClock};
use media::MonoTime;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread::JoinHandle;

/// The thread, or none yet. Dropping it ends it.
#[derive(Debug)]
pub(super) struct Paced {
    name: &'static str,
    run: Option<(SyncSender<()>, JoinHandle<()>)>,
}

impl Paced {
    /// No thread yet; `name` is what it will be called.
    pub(super) const fn new(name: &'static str) -> Self {
        Self { name, run: None }
    }

    /// Runs `work` on a new thread, after the end of the one before.
    ///
    /// # Errors
    /// [`DeviceError::Other`] where the system gives no thread.
    pub(super) fn start(&mut self, work: impl FnOnce(&Pace) + Send + 'static) -> Result<(), DeviceError> {
        self.stop();
        let (stop, stopped) = sync_channel(1);
        let thread = std::thread::Builder::new()
            .name(self.name.into())
            .spawn(move || work(&Pace(stopped)))
            .map_err(|e| DeviceError::Other(e.to_string()))?;
        self.run = Some((stop, thread));
        Ok(())
    }

    /// Ends the thread, and waits for that.
    pub(super) fn stop(&mut self) {
        let Some((stop, thread)) = self.run.take() else { return };
        drop(stop);
        if thread.join().is_err() {
            tracing::error!("the thread {} panicked", self.name);
        }
    }
}

impl Drop for Paced {
    fn drop(&mut self) {
        self.stop();
    }
}

/// The thread's own side.
#[derive(Debug)]
pub(super) struct Pace(Receiver<()>);

impl Pace {
    /// Waits until `due`; false where it is told to end instead.
    pub(super) fn until(&self, due: MonoTime) -> bool {
        loop {
            match self.0.recv_timeout(due.since(MonoClock::now())) {
                Err(RecvTimeoutError::Timeout) if MonoClock::now() >= due => return true,
                Err(RecvTimeoutError::Timeout) => {}
                Ok(()) | Err(RecvTimeoutError::Disconnected) => return false,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::channel;
    use std::time::Duration;

    #[test]
    fn is_never_early_and_ends_at_once() {
        let (sender, receiver) = channel();
        let mut paced = Paced::new("test");
        let begun = MonoClock::now();
        let due = begun + Duration::from_millis(5);
        paced
            .start(move |pace| {
                assert!(pace.until(due) && MonoClock::now() >= due);
                sender.send(()).unwrap();
                assert!(!pace.until(due + Duration::from_secs(3_600)), "told to end");
            })
            .unwrap();
        receiver.recv().unwrap();
        paced.stop();
        paced.stop();
    }
}
