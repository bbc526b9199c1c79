//! Keeps one device open: opens it on a thread of its own (an open may hang), lets a twin stand in where there is none, and
//! looks again until it is back.
//!
//! Belongs here: when to open, close and try again. Not here: what the device delivers (`video`, `audio`, `speaker`), reopening
//! after a loss (`device` does that by itself).

use super::DeviceState;
use device::DeviceError;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::time::Duration;

/// A doctor who plugs a camera in sees it within this; looking costs a few milliseconds.
const LOOK_AGAIN: Duration = Duration::from_secs(3);
/// Every look at a device that hangs may leave a thread behind, so looks become rarer, down to this.
const LOOK_AT_HUNG: Duration = Duration::from_secs(60);
/// Wishes follow each other at the speed of a person's clicks; beyond this only the last would count anyway.
const WISHES: usize = 16;

/// One kind of device, as its keeper handles it.
pub(crate) trait Kept: Send + 'static {
    /// What is wanted of it.
    type Want: Clone + PartialEq + Send + 'static;

    /// Opens the device; answers its name.
    fn open(&mut self, want: &Self::Want) -> Result<String, DeviceError>;

    /// Opens what stands in where there is no device, or where the twin is wanted. False where nothing does.
    fn stand_in(&mut self, want: &Self::Want) -> bool;

    /// Is the twin what is wanted?
    fn wants_twin(want: &Self::Want) -> bool;

    /// Releases whatever is open.
    fn close(&mut self);

    /// Tells how it stands.
    fn report(&mut self, state: DeviceState);
}

enum Wish<W> {
    Want(Option<W>),
    Probe,
}

/// A handle to the keeper's thread; dropping it closes the device in the background.
#[derive(Debug)]
pub(crate) struct Keeper<W> {
    wishes: SyncSender<Wish<W>>,
}

impl<W: Clone + PartialEq + Send + 'static> Keeper<W> {
    /// Starts the thread `name`.
    ///
    /// # Errors
    /// What the system says where no thread can be started.
    pub(crate) fn start<K: Kept<Want = W>>(name: &str, kept: K) -> std::io::Result<Self> {
        let (wishes, inbox) = sync_channel(WISHES);
        std::thread::Builder::new()
            .name(name.into())
            .spawn(move || Keeping { kept, want: None, stands_in: false, pause: LOOK_AGAIN }.run(&inbox))?;
        Ok(Self { wishes })
    }

    /// Wants the device so, or not at all.
    pub(crate) fn want(&self, want: Option<W>) {
        self.wish(Wish::Want(want));
    }

    /// Looks for the device now.
    pub(crate) fn probe(&self) {
        self.wish(Wish::Probe);
    }

    fn wish(&self, wish: Wish<W>) {
        match self.wishes.try_send(wish) {
            Ok(()) => {}
            Err(TrySendError::Full(_)) => tracing::warn!("a device does not answer; a wish is dropped"),
            Err(TrySendError::Disconnected(_)) => tracing::error!("a device's thread has ended"),
        }
    }
}

struct Keeping<K: Kept> {
    kept: K,
    want: Option<K::Want>,
    /// The device itself is not open though it is wanted.
    stands_in: bool,
    /// Until the next look, while that is so.
    pause: Duration,
}

impl<K: Kept> Keeping<K> {
    fn run(mut self, inbox: &Receiver<Wish<K::Want>>) {
        loop {
            let wish = if self.stands_in {
                inbox.recv_timeout(self.pause)
            } else {
                inbox.recv().map_err(|_| RecvTimeoutError::Disconnected)
            };
            match wish {
                Ok(Wish::Want(want)) => {
                    if want != self.want {
                        self.want = want;
                        self.begin();
                    }
                }
                Ok(Wish::Probe) | Err(RecvTimeoutError::Timeout) => {
                    if self.stands_in {
                        self.look_again();
                    }
                }
                Err(RecvTimeoutError::Disconnected) => break,
            }
        }
        self.kept.close();
    }

    fn begin(&mut self) {
        self.kept.close();
        (self.stands_in, self.pause) = (false, LOOK_AGAIN);
        let Some(want) = self.want.clone() else {
            self.kept.report(DeviceState::Off);
            return;
        };
        if K::wants_twin(&want) {
            self.kept.stand_in(&want);
            self.kept.report(DeviceState::Synthetic);
            return;
        }
        match self.kept.open(&want) {
            Ok(name) => self.kept.report(DeviceState::Open { name }),
            Err(error) => {
                tracing::warn!(%error, "a device cannot be opened");
                self.stands_in = true;
                if matches!(error, DeviceError::Missing(_)) {
                    self.kept.stand_in(&want);
                }
                self.missed(&error);
            }
        }
    }

    fn look_again(&mut self) {
        let Some(want) = self.want.clone() else { return };
        // The twin runs on until the device is there: `open` replaces it.
        match self.kept.open(&want) {
            Ok(name) => {
                self.stands_in = false;
                tracing::info!(name, "a device is back");
                self.kept.report(DeviceState::Open { name });
            }
            Err(error) => self.missed(&error),
        }
    }

    fn missed(&mut self, error: &DeviceError) {
        self.pause = match error {
            DeviceError::Hung(_) => (self.pause * 2).min(LOOK_AT_HUNG),
            _ => LOOK_AGAIN,
        };
        // The error's text is the system's; nobody knows a better name of a device that does not open.
        self.kept.report(state_of(error, ""));
    }
}

/// What a person is told about `error` of the device `name`.
pub(crate) fn state_of(error: &DeviceError, name: &str) -> DeviceState {
    let name = name.to_owned();
    match error {
        DeviceError::Missing(_) => DeviceState::Missing,
        DeviceError::Busy(_) => DeviceState::Busy { name },
        DeviceError::Denied(_) => DeviceState::Denied,
        DeviceError::Lost(_) => DeviceState::Lost { name },
        DeviceError::Hung(_) => DeviceState::Hung { name },
        DeviceError::Format(_) | DeviceError::Other(_) => DeviceState::Failed { name },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Clone, PartialEq)]
    struct Want {
        twin: bool,
    }

    /// Opens as the list says, one entry a time.
    struct Fake {
        opens: Vec<Result<String, DeviceError>>,
        said: SyncSender<String>,
    }

    impl Fake {
        fn say(&self, what: &str) {
            self.said.send(what.into()).unwrap();
        }
    }

    impl Kept for Fake {
        type Want = Want;

        fn open(&mut self, _want: &Want) -> Result<String, DeviceError> {
            self.say("open");
            self.opens.remove(0)
        }

        fn stand_in(&mut self, _want: &Want) -> bool {
            self.say("twin");
            true
        }

        fn wants_twin(want: &Want) -> bool {
            want.twin
        }

        fn close(&mut self) {
            self.say("close");
        }

        fn report(&mut self, state: DeviceState) {
            self.say(&format!("{state:?}"));
        }
    }

    fn check(opens: Vec<Result<String, DeviceError>>, wishes: impl FnOnce(&Keeper<Want>), want: &[&str]) {
        let (said, heard) = sync_channel(64);
        let keeper = Keeper::start("test-keeper", Fake { opens, said }).unwrap();
        wishes(&keeper);
        drop(keeper);
        assert_eq!(heard.iter().collect::<Vec<_>>(), want);
    }

    #[test]
    fn what_is_done_when() {
        let real = || Some(Want { twin: false });
        check(
            vec![Ok("C920".into())],
            |k| {
                k.want(real());
                k.want(real());
                k.probe();
                k.want(None);
            },
            &["close", "open", "Open { name: \"C920\" }", "close", "Off", "close"],
        );
        check(vec![], |k| k.want(Some(Want { twin: true })), &["close", "twin", "Synthetic", "close"]);
        check(
            vec![Err(DeviceError::Missing(String::new())), Ok("C920".into())],
            |k| {
                k.want(real());
                k.probe();
            },
            &["close", "open", "twin", "Missing", "open", "Open { name: \"C920\" }", "close"],
        );
        // Only where there is none does the twin stand in; a device that is there is waited for.
        let check_wrong = |error: DeviceError, said: &str| {
            check(
                vec![Err(error.clone()), Err(error), Ok("C920".into())],
                |k| {
                    k.want(real());
                    k.probe();
                    k.probe();
                },
                &["close", "open", said, "open", said, "open", "Open { name: \"C920\" }", "close"],
            );
        };
        let text = || "in the system's words".to_owned();
        check_wrong(DeviceError::Busy(text()), "Busy { name: \"\" }");
        check_wrong(DeviceError::Denied(text()), "Denied");
        check_wrong(DeviceError::Lost(text()), "Lost { name: \"\" }");
        check_wrong(DeviceError::Hung(text()), "Hung { name: \"\" }");
        check_wrong(DeviceError::Format(text()), "Failed { name: \"\" }");
        check_wrong(DeviceError::Other(text()), "Failed { name: \"\" }");
    }
}
