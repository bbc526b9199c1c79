//! A slot for pictures between two threads: the newest wins, nobody waits to put one in.

use media::Picture;
use parking_lot::{Condvar, Mutex};
use std::sync::Arc;
use std::time::Duration;

/// A sender that never waits and a receiver that always gets the newest picture.
pub fn latest() -> (LatestSender, LatestReceiver) {
    let shared = Arc::new(Shared { slot: Mutex::new(Slot::default()), filled: Condvar::new() });
    (LatestSender(Arc::clone(&shared)), LatestReceiver(shared))
}

#[derive(Debug)]
struct Shared {
    slot: Mutex<Slot>,
    filled: Condvar,
}

#[derive(Debug, Default)]
struct Slot {
    picture: Option<Picture>,
    closed: bool,
    replaced: u64,
}

/// Puts pictures in.
#[derive(Debug)]
pub struct LatestSender(Arc<Shared>);

impl LatestSender {
    /// Puts `picture` in place of one that nobody took.
    pub fn send(&self, picture: Picture) {
        let mut slot = self.0.slot.lock();
        if slot.picture.replace(picture).is_some() {
            slot.replaced += 1;
        }
        drop(slot);
        self.0.filled.notify_one();
    }
}

impl Drop for LatestSender {
    fn drop(&mut self) {
        self.0.slot.lock().closed = true;
        self.0.filled.notify_all();
    }
}

/// Takes pictures out.
#[derive(Debug)]
pub struct LatestReceiver(Arc<Shared>);

impl LatestReceiver {
    /// The newest picture that was not taken yet, waiting at most `patience`. `None` after that, or at once when the sender is gone.
    pub fn recv(&self, patience: Duration) -> Option<Picture> {
        let mut slot = self.0.slot.lock();
        if slot.picture.is_none() && !slot.closed {
            self.0.filled.wait_while_for(&mut slot, |s| s.picture.is_none() && !s.closed, patience);
        }
        slot.picture.take()
    }

    /// Is the sender gone?
    pub fn is_closed(&self) -> bool {
        self.0.slot.lock().closed
    }

    /// Pictures that were replaced before anybody took them.
    pub fn replaced(&self) -> u64 {
        self.0.slot.lock().replaced
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use media::MonoTime;

    #[test]
    fn the_newest_wins() {
        let picture = |n| Picture::new(2, 2, vec![0; 6], MonoTime::from_micros(n)).unwrap();
        let (sender, receiver) = latest();
        assert!(receiver.recv(Duration::ZERO).is_none());
        sender.send(picture(1));
        sender.send(picture(2));
        assert_eq!(receiver.recv(Duration::ZERO).unwrap().captured().micros(), 2);
        assert_eq!(receiver.replaced(), 1);
        let waiter = std::thread::spawn(move || (receiver.recv(Duration::from_secs(60)), receiver));
        sender.send(picture(3));
        let (got, receiver) = waiter.join().unwrap();
        assert_eq!(got.unwrap().captured().micros(), 3);
        drop(sender);
        assert!(receiver.recv(Duration::from_secs(60)).is_none() && receiver.is_closed());
    }
}
