//! What camera and microphone have in common: what is wanted of them, when they are released, and which of their events count.
//!
//! Belongs here: that bookkeeping, once for both ([`KeptSource`], [`Switched`]), and where devices come from ([`Hardware`]).
//! Not here: when a device is opened and tried again (`keeper`), what becomes of pictures and sound (`video`, `audio`).

use super::keeper::{Keeper, Kept, state_of};
use super::{DeviceState, DeviceStates, Reports};
use device::{
    AudioEvent, AudioSink, AudioSource, Camera, CameraConfig, DeviceError, Microphone, Speaker, VideoEvent, VideoSource,
};
use media::{Pcm, Picture};
use parking_lot::Mutex;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Where devices come from; a test has some of its own.
pub(crate) trait Hardware: Send + Sync + 'static {
    /// A camera, not opened yet.
    fn camera(&self, config: &CameraConfig) -> Box<dyn VideoSource>;

    /// The microphone with this id, or the system's choice; not opened yet.
    fn microphone(&self, id: Option<&str>) -> Box<dyn AudioSource>;

    /// The speaker with this id, or the system's choice; not opened yet.
    fn speaker(&self, id: Option<&str>) -> Box<dyn AudioSink>;
}

/// What is plugged into this computer.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Plugged;

impl Hardware for Plugged {
    fn camera(&self, config: &CameraConfig) -> Box<dyn VideoSource> {
        Box::new(Camera::new(config.clone()))
    }

    fn microphone(&self, id: Option<&str>) -> Box<dyn AudioSource> {
        Box::new(Microphone::new(id.map(Into::into)))
    }

    fn speaker(&self, id: Option<&str>) -> Box<dyn AudioSink> {
        Box::new(Speaker::new(id.map(Into::into)))
    }
}

/// What a running source says.
pub(crate) enum Event<M> {
    Media(M),
    Lost(DeviceError),
    Restored,
}

/// Takes a running source's events, on the source's thread.
pub(crate) type Deliver<M> = Box<dyn FnMut(Event<M>) + Send>;

/// A camera or a microphone, real or synthetic.
pub(crate) trait Source: Send + 'static {
    /// What it delivers.
    type Media: 'static;

    /// Its name, as far as the device library knows it.
    fn name(&self) -> &str;

    /// Opens it.
    ///
    /// # Errors
    /// [`DeviceError`] where it cannot be opened now.
    fn start(&mut self, deliver: Deliver<Self::Media>) -> Result<(), DeviceError>;

    /// Releases it; no delivery after it returns.
    fn stop(&mut self);
}

impl Source for Box<dyn VideoSource> {
    type Media = Picture;

    fn name(&self) -> &str {
        self.as_ref().name()
    }

    fn start(&mut self, mut deliver: Deliver<Picture>) -> Result<(), DeviceError> {
        self.as_mut().start(Box::new(move |event| {
            deliver(match event {
                VideoEvent::Picture(picture) => Event::Media(picture),
                VideoEvent::Lost(error) => Event::Lost(error),
                VideoEvent::Restored => Event::Restored,
            });
        }))
    }

    fn stop(&mut self) {
        self.as_mut().stop();
    }
}

impl Source for Box<dyn AudioSource> {
    type Media = Pcm;

    fn name(&self) -> &str {
        self.as_ref().name()
    }

    fn start(&mut self, mut deliver: Deliver<Pcm>) -> Result<(), DeviceError> {
        self.as_mut().start(Box::new(move |event| {
            deliver(match event {
                AudioEvent::Sound(pcm) => Event::Media(pcm),
                AudioEvent::Lost(error) => Event::Lost(error),
                AudioEvent::Restored => Event::Restored,
            });
        }))
    }

    fn stop(&mut self) {
        self.as_mut().stop();
    }
}

/// What tells a camera from a microphone.
pub(crate) trait Kind: Send + 'static {
    /// What is wanted of it.
    type Want: Clone + PartialEq + Send + 'static;
    /// What it is while it runs.
    type Source: Source;

    /// The device itself, not opened yet.
    fn real(&self, want: &Self::Want) -> Self::Source;

    /// What stands in for it.
    fn twin(&self, want: &Self::Want) -> Self::Source;

    /// Is the twin what is wanted?
    fn wants_twin(want: &Self::Want) -> bool;

    /// Where its pictures or its sound go; called on the source's thread.
    fn sink(&self) -> Box<dyn FnMut(<Self::Source as Source>::Media) + Send>;

    /// The device itself (`true`), or its twin, runs from now on.
    fn runs(&self, real: bool);

    /// Its place among the states.
    fn state(states: &mut DeviceStates) -> &mut DeviceState;
}

/// Camera or microphone in its keeper's hands.
pub(crate) struct KeptSource<K: Kind> {
    kind: K,
    source: Option<K::Source>,
    reports: Reports,
    /// Which source's events count: a device that was replaced reports nothing more.
    live: Arc<AtomicBool>,
}

impl<K: Kind> KeptSource<K> {
    pub(crate) fn new(kind: K, reports: Reports) -> Self {
        Self { kind, source: None, reports, live: Arc::default() }
    }

    /// Starts `source`; the one before goes on until it runs.
    fn start(&mut self, mut source: K::Source, real: bool) -> Result<String, DeviceError> {
        let name = source.name().to_owned();
        let live = Arc::new(AtomicBool::new(true));
        let (mut sink, reports, still_live, its_name) =
            (self.kind.sink(), self.reports.clone(), Arc::clone(&live), name.clone());
        let report = move |state| reports.update(|states| *K::state(states) = state);
        source.start(Box::new(move |event| {
            if !still_live.load(Ordering::Relaxed) {
                return;
            }
            match event {
                Event::Media(media) => sink(media),
                Event::Lost(error) => {
                    tracing::warn!(%error, name = its_name, "a device was lost");
                    report(match state_of(&error, &its_name) {
                        // It was there a moment ago.
                        DeviceState::Missing => DeviceState::Lost { name: its_name.clone() },
                        other => other,
                    });
                }
                Event::Restored => report(DeviceState::Open { name: its_name.clone() }),
            }
        }))?;
        self.close();
        self.live = live;
        self.source = Some(source);
        self.kind.runs(real);
        Ok(name)
    }
}

impl<K: Kind> Kept for KeptSource<K> {
    type Want = K::Want;

    fn open(&mut self, want: &K::Want) -> Result<String, DeviceError> {
        let source = self.kind.real(want);
        self.start(source, true)
    }

    fn stand_in(&mut self, want: &K::Want) -> bool {
        let twin = self.kind.twin(want);
        self.start(twin, false).is_ok()
    }

    fn wants_twin(want: &K::Want) -> bool {
        K::wants_twin(want)
    }

    fn close(&mut self) {
        self.live.store(false, Ordering::Relaxed);
        if let Some(mut source) = self.source.take() {
            source.stop();
        }
    }

    fn report(&mut self, state: DeviceState) {
        self.reports.update(|states| *K::state(states) = state);
    }
}

/// A keeper whose device can be released for a while without forgetting what is wanted of it.
pub(crate) struct Switched<W> {
    keeper: Keeper<W>,
    wish: Mutex<Wish<W>>,
}

struct Wish<W> {
    want: Option<W>,
    released: bool,
}

impl<W: Clone + PartialEq + Send + 'static> Switched<W> {
    /// Starts the keeper's thread `name`; nothing is wanted yet.
    ///
    /// # Errors
    /// What the system says where no thread can be started.
    pub(crate) fn start<K: Kept<Want = W>>(name: &str, kept: K) -> std::io::Result<Self> {
        let wish = Mutex::new(Wish { want: None, released: false });
        Ok(Self { keeper: Keeper::start(name, kept)?, wish })
    }

    /// Wants the device so, from now on or once it is no longer released.
    pub(crate) fn want(&self, want: W) {
        let mut wish = self.wish.lock();
        wish.want = Some(want);
        self.tell(&wish);
    }

    /// Releases the device, or takes it again.
    pub(crate) fn release(&self, released: bool) {
        let mut wish = self.wish.lock();
        wish.released = released;
        self.tell(&wish);
    }

    fn tell(&self, wish: &Wish<W>) {
        self.keeper.want(wish.want.clone().filter(|_| !wish.released));
    }

    /// Looks for the device now.
    pub(crate) fn probe(&self) {
        self.keeper.probe();
    }
}
