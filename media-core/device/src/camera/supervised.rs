//! The watchdog around anything that delivers pictures and may fail, hang or vanish.
//!
//! A call into a camera driver can block for ever, so the driver is called on a thread of its own ("camera") that can be left
//! behind; a second one ("camera-watch") delivers, notices when nothing comes, and opens anew with growing pauses.

use crate::{DeviceError, VideoEvent};
use media::Picture;
use std::mem::{Discriminant, discriminant};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Pictures between driver and delivery; more would only be latency. A full queue drops the newest, the next is 33 ms away.
const QUEUE: usize = 4;

/// An open camera. Made, used and dropped on one thread.
pub(super) trait Grabber {
    /// The next picture; may block as long as the driver does.
    fn grab(&mut self) -> Result<Picture, DeviceError>;
}

/// Opens the camera, on the thread that will use it.
pub(super) type Opener = Arc<dyn Fn() -> Result<Box<dyn Grabber>, DeviceError> + Send + Sync>;

/// How long to wait for what.
#[derive(Debug, Clone, Copy)]
pub(super) struct Timing {
    /// Opening may take this long: USB cameras power up.
    pub(super) open: Duration,
    /// No picture for this long means that the camera hangs.
    pub(super) hung: Duration,
    /// The first pause before opening anew; doubled up to [`Self::longest_pause`].
    pub(super) pause: Duration,
    pub(super) longest_pause: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            open: Duration::from_secs(8),
            hung: Duration::from_secs(3),
            pause: Duration::from_millis(500),
            longest_pause: Duration::from_secs(10),
        }
    }
}

enum Message {
    Opened(u64),
    Picture(u64, Picture),
    Failed(u64, DeviceError),
    Ended(u64),
    Stop,
}

/// A supervised camera; dropping it stops it.
pub(super) struct Supervised {
    opener: Opener,
    timing: Timing,
    run: Option<(SyncSender<Message>, JoinHandle<()>)>,
}

impl Supervised {
    pub(super) const fn new(opener: Opener, timing: Timing) -> Self {
        Self { opener, timing, run: None }
    }

    pub(super) fn start(&mut self, deliver: Box<dyn FnMut(VideoEvent) + Send>) -> Result<(), DeviceError> {
        self.stop();
        let (sender, receiver) = sync_channel(QUEUE);
        let (answer, opened) = sync_channel(1);
        let mut watch = Watch {
            opener: Arc::clone(&self.opener),
            timing: self.timing,
            sender: sender.clone(),
            receiver,
            deliver,
            generation: 0,
            cancel: Arc::new(AtomicBool::new(false)),
        };
        let thread = std::thread::Builder::new()
            .name("camera-watch".into())
            .spawn(move || watch.run(&answer))
            .map_err(|e| DeviceError::Other(e.to_string()))?;
        // The watch always answers, at the latest when its own patience ends.
        let outcome = opened.recv().unwrap_or_else(|_| Err(DeviceError::Other("the camera's watch ended".into())));
        if outcome.is_ok() {
            self.run = Some((sender, thread));
        } else if thread.join().is_err() {
            tracing::error!("the camera's watch panicked");
        }
        outcome
    }

    pub(super) fn stop(&mut self) {
        let Some((sender, thread)) = self.run.take() else { return };
        // An error means that the watch has ended already.
        drop(sender.send(Message::Stop));
        if thread.join().is_err() {
            tracing::error!("the camera's watch panicked");
        }
    }
}

impl Drop for Supervised {
    fn drop(&mut self) {
        self.stop();
    }
}

struct Watch {
    opener: Opener,
    timing: Timing,
    sender: SyncSender<Message>,
    receiver: Receiver<Message>,
    deliver: Box<dyn FnMut(VideoEvent) + Send>,
    generation: u64,
    cancel: Arc<AtomicBool>,
}

/// Why a camera is no longer watched.
enum End {
    Stopped,
    Lost(DeviceError),
}

impl Watch {
    fn run(&mut self, answer: &SyncSender<Result<(), DeviceError>>) {
        let mut pause = self.timing.pause;
        // What was said last about its absence.
        let mut lost = None;
        let mut answered = false;
        loop {
            let opened = self.open();
            match opened {
                Ok(()) => {
                    if !answered {
                        answered = true;
                        drop(answer.send(Ok(())));
                    }
                    match self.watch(&mut lost, &mut pause) {
                        End::Stopped => return self.release(),
                        End::Lost(error) => self.lose(error, &mut lost),
                    }
                }
                Err(End::Stopped) => return self.release(),
                Err(End::Lost(error)) if !answered => {
                    self.release();
                    drop(answer.send(Err(error)));
                    return;
                }
                Err(End::Lost(error)) => self.lose(error, &mut lost),
            }
            self.release();
            if self.wait(pause) {
                return;
            }
            pause = (pause * 2).min(self.timing.longest_pause);
        }
    }

    /// Says so, where it is news: a camera that was unplugged may come back with another program.
    fn lose(&mut self, error: DeviceError, lost: &mut Option<Discriminant<DeviceError>>) {
        if lost.replace(discriminant(&error)) == Some(discriminant(&error)) {
            tracing::debug!("camera still unavailable: {error}");
        } else {
            tracing::warn!("camera: {error}");
            (self.deliver)(VideoEvent::Lost(error));
        }
    }

    /// Starts a camera thread and waits until its camera is open.
    fn open(&mut self) -> Result<(), End> {
        self.generation += 1;
        self.cancel = Arc::new(AtomicBool::new(false));
        let (generation, cancel) = (self.generation, Arc::clone(&self.cancel));
        let (sender, opener) = (self.sender.clone(), Arc::clone(&self.opener));
        std::thread::Builder::new()
            .name("camera".into())
            .spawn(move || grab(generation, &cancel, &sender, &opener))
            .map_err(|e| End::Lost(DeviceError::Other(e.to_string())))?;
        let deadline = Instant::now() + self.timing.open;
        loop {
            match self.receiver.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(Message::Opened(g)) if g == generation => return Ok(()),
                Ok(Message::Failed(g, error)) if g == generation => return Err(End::Lost(error)),
                Ok(Message::Stop) => return Err(End::Stopped),
                Ok(_) => {}
                Err(RecvTimeoutError::Timeout) => {
                    return Err(End::Lost(DeviceError::Hung("it does not answer to opening".into())));
                }
                Err(RecvTimeoutError::Disconnected) => return Err(End::Stopped),
            }
        }
    }

    fn watch(&mut self, lost: &mut Option<Discriminant<DeviceError>>, pause: &mut Duration) -> End {
        let mut last = Instant::now();
        loop {
            let left = (last + self.timing.hung).saturating_duration_since(Instant::now());
            match self.receiver.recv_timeout(left) {
                Ok(Message::Picture(g, picture)) if g == self.generation => {
                    last = Instant::now();
                    *pause = self.timing.pause;
                    if lost.take().is_some() {
                        (self.deliver)(VideoEvent::Restored);
                    }
                    (self.deliver)(VideoEvent::Picture(picture));
                }
                Ok(Message::Failed(g, error)) if g == self.generation => return End::Lost(error),
                Ok(Message::Stop) | Err(RecvTimeoutError::Disconnected) => return End::Stopped,
                Ok(_) => {}
                Err(RecvTimeoutError::Timeout) => {
                    return End::Lost(DeviceError::Hung("it stopped delivering pictures".into()));
                }
            }
        }
    }

    /// Lets go of the camera: waits until its thread has closed it, or leaves a hung one behind, which closes it should the
    /// driver ever answer.
    fn release(&mut self) {
        self.cancel.store(true, Ordering::Release);
        let deadline = Instant::now() + self.timing.hung;
        loop {
            match self.receiver.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(Message::Ended(g)) if g == self.generation => return,
                Ok(Message::Stop) => {
                    // Stopped while letting go: keep the word for `wait`.
                    self.cancel.store(true, Ordering::Release);
                    drop(self.sender.try_send(Message::Stop));
                }
                Ok(_) => {}
                Err(_) => {
                    tracing::warn!("the camera's driver hangs; it is left behind");
                    return;
                }
            }
        }
    }

    /// Waits; true if it was told to stop.
    fn wait(&self, pause: Duration) -> bool {
        let deadline = Instant::now() + pause;
        loop {
            match self.receiver.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(Message::Stop) | Err(RecvTimeoutError::Disconnected) => return true,
                Ok(_) => {}
                Err(RecvTimeoutError::Timeout) => return false,
            }
        }
    }
}

/// The camera thread.
fn grab(generation: u64, cancel: &AtomicBool, sender: &SyncSender<Message>, opener: &Opener) {
    let send = |message| sender.send(message).is_ok();
    match opener() {
        Err(error) => {
            send(Message::Failed(generation, error));
        }
        Ok(mut grabber) => {
            let mut on = send(Message::Opened(generation));
            while on && !cancel.load(Ordering::Acquire) {
                match grabber.grab() {
                    // A full queue means that delivery is behind: this picture is left out.
                    Ok(picture) => drop(sender.try_send(Message::Picture(generation, picture))),
                    Err(error) => {
                        send(Message::Failed(generation, error));
                        on = false;
                    }
                }
            }
        }
    }
    // The grabber was dropped, and with it the device released.
    send(Message::Ended(generation));
}

#[cfg(test)]
mod tests {
    use super::*;
    use media::MonoTime;
    use parking_lot::Mutex;
    use std::collections::VecDeque;
    use std::sync::atomic::AtomicUsize;
    use std::sync::mpsc::{Sender, channel};

    const TIMING: Timing = Timing {
        open: Duration::from_millis(200),
        hung: Duration::from_millis(100),
        pause: Duration::from_millis(5),
        longest_pause: Duration::from_millis(20),
    };
    const PATIENCE: Duration = Duration::from_secs(20);

    /// What a camera does, one per opening; the last one again and again.
    #[derive(Clone, Copy, Debug, PartialEq)]
    enum Act {
        Works,
        FailsToOpen,
        HangsToOpen,
        HangsAfter(u32),
        FailsAfter(u32),
    }

    struct Fake {
        act: Act,
        made: u32,
        open: Arc<AtomicUsize>,
        /// Ends a hang when the test is over.
        gate: Arc<Mutex<()>>,
    }

    impl Grabber for Fake {
        fn grab(&mut self) -> Result<Picture, DeviceError> {
            self.made += 1;
            match self.act {
                Act::HangsAfter(n) if self.made > n => drop(self.gate.lock()),
                Act::FailsAfter(n) if self.made > n => return Err(DeviceError::Lost("unplugged".into())),
                _ => std::thread::sleep(Duration::from_millis(2)),
            }
            Ok(Picture::new(2, 2, vec![0; 6], MonoTime::from_micros(1)).unwrap())
        }
    }

    impl Drop for Fake {
        fn drop(&mut self) {
            self.open.fetch_sub(1, Ordering::SeqCst);
        }
    }

    struct Bench {
        camera: Supervised,
        open: Arc<AtomicUsize>,
        gate: Arc<Mutex<()>>,
        events: Receiver<&'static str>,
        deliver: Sender<&'static str>,
    }

    fn bench(acts: &[Act]) -> Bench {
        let acts = Mutex::new(acts.iter().copied().collect::<VecDeque<_>>());
        let (open, gate) = (Arc::new(AtomicUsize::new(0)), Arc::new(Mutex::new(())));
        let (counted, held) = (Arc::clone(&open), Arc::clone(&gate));
        let opener: Opener = Arc::new(move || {
            let act = {
                let mut acts = acts.lock();
                if acts.len() > 1 { acts.pop_front().unwrap() } else { acts[0] }
            };
            match act {
                Act::FailsToOpen => return Err(DeviceError::Busy("taken".into())),
                Act::HangsToOpen => drop(held.lock()),
                _ => {}
            }
            counted.fetch_add(1, Ordering::SeqCst);
            Ok(Box::new(Fake { act, made: 0, open: Arc::clone(&counted), gate: Arc::clone(&held) }) as Box<dyn Grabber>)
        });
        let (deliver, events) = channel();
        Bench { camera: Supervised::new(opener, TIMING), open, gate, events, deliver }
    }

    impl Bench {
        fn start(&mut self) -> Result<(), DeviceError> {
            let deliver = self.deliver.clone();
            self.camera.start(Box::new(move |event| {
                let name = match event {
                    VideoEvent::Picture(_) => "picture",
                    VideoEvent::Lost(_) => "lost",
                    VideoEvent::Restored => "restored",
                };
                deliver.send(name).unwrap_or(());
            }))
        }

        fn expect(&self, wanted: &str) {
            let deadline = Instant::now() + PATIENCE;
            loop {
                let got = self.events.recv_timeout(deadline.saturating_duration_since(Instant::now()));
                if got.expect(wanted) == wanted {
                    return;
                }
            }
        }
    }

    #[test]
    fn comes_back_after_every_kind_of_loss() {
        let acts = [
            Act::FailsAfter(3),
            Act::FailsToOpen,
            Act::HangsAfter(2),
            Act::HangsToOpen,
            Act::FailsAfter(1),
            Act::Works,
        ];
        let mut bench = bench(&acts);
        let gate = Arc::clone(&bench.gate);
        let held = gate.lock();
        bench.start().unwrap();
        for _ in 0..3 {
            bench.expect("picture");
            bench.expect("lost");
            bench.expect("restored");
        }
        bench.expect("picture");
        drop(held);
        bench.camera.stop();
    }

    #[test]
    fn stop_releases_the_device_and_the_last_word_was_said() {
        let mut bench = bench(&[Act::Works]);
        bench.start().unwrap();
        bench.expect("picture");
        bench.camera.stop();
        assert_eq!(bench.open.load(Ordering::SeqCst), 0);
        while bench.events.try_recv().is_ok() {}
        bench.start().unwrap();
        bench.expect("picture");
        drop(bench.camera);
        assert_eq!(bench.open.load(Ordering::SeqCst), 0);
    }

    #[test]
    fn a_camera_that_cannot_be_opened_says_why() {
        let mut bench = bench(&[Act::FailsToOpen]);
        assert_eq!(bench.start(), Err(DeviceError::Busy("taken".into())));
        assert!(bench.events.try_recv().is_err());
    }

    #[test]
    fn stop_leaves_a_hung_driver_behind() {
        let mut bench = bench(&[Act::HangsAfter(1)]);
        let gate = Arc::clone(&bench.gate);
        let held = gate.lock();
        bench.start().unwrap();
        bench.expect("picture");
        bench.camera.stop();
        drop(held);
    }
}
