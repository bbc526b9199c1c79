//! Renditions for listeners who cannot play the path's own: a reader of the path that is the one writer of its sibling.
//!
//! Belongs here: starting with the first listener, stopping after the last, passing the other tracks through untouched. Not here:
//! decoding and encoding (`codec`), choosing who needs it (`listen`).

mod picture;
mod sound;

use crate::clock::Clock;
use codec::TranscodeConfig;
use hub::{
    Hub, Item, PathName, Publisher, PublisherInfo, PublisherState, ReadError, Reader, ReaderInfo, SkippedTrack, Start,
};
use media::{AccessUnit, Codec, MediaKind, MonoTime, Track, TrackId, TrackSet};
use parking_lot::Mutex;
use picture::{PicturePart, Worker};
use sound::SoundPart;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tracing::{info, warn};

/// A rendition without listeners runs on this long: a phone that reconnects finds it warm.
const LINGER: Duration = Duration::from_secs(10);
/// How far behind a picture that is to be encoded may be before whole GOPs are passed over.
const PATIENCE: Duration = Duration::from_secs(4);

/// What the source is called in the API.
pub(crate) const KIND: &str = "transcoder";

/// What a rendition makes anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Recipe {
    /// The sound, as this codec.
    Sound(Codec),
    /// The picture, as H.264 without B-frames.
    Picture,
}

impl Recipe {
    /// The suffix of the name that means it; `None` for what cannot be made.
    pub(crate) const fn suffix(self) -> Option<&'static str> {
        match self {
            Self::Sound(Codec::Aac) => Some("_aac"),
            Self::Sound(Codec::Opus) => Some("_opus"),
            Self::Sound(_) => None,
            Self::Picture => Some("_h264"),
        }
    }
}

/// The running renditions of one relay.
#[derive(Debug)]
pub(crate) struct Renditions {
    hub: Hub,
    clock: Clock,
    bitrate: u32,
    running: Mutex<HashMap<PathName, JoinHandle<()>>>,
}

impl Renditions {
    pub(crate) fn new(hub: Hub, clock: Clock, bitrate: u32) -> Self {
        Self { hub, clock, bitrate, running: Mutex::default() }
    }

    /// The path that carries `base` by this recipe, started if it does not run. `None` for what cannot be made.
    pub(crate) fn ensure(&self, base: &PathName, recipe: Recipe) -> Option<PathName> {
        let name = base.with_suffix(recipe.suffix()?)?;
        let mut running = self.running.lock();
        running.retain(|_, task| !task.is_finished());
        if running.contains_key(&name) || self.hub.is_published(&name) {
            return Some(name);
        }
        let id = base.as_str().to_owned();
        let reader = self.hub.read(base, ReaderInfo { kind: KIND, id }, Start::LastKey, self.clock.now()).ok()?;
        let config = TranscodeConfig { bitrate: self.bitrate, ..TranscodeConfig::new(SOUND) };
        let (reader, codec) = match recipe {
            Recipe::Sound(codec) => (reader, Some(codec)),
            Recipe::Picture => (reader.with_patience(PATIENCE), None),
        };
        let rendition = Rendition {
            hub: self.hub.clone(),
            clock: self.clock,
            base: base.clone(),
            name: name.clone(),
            recipe,
            sound_of: None,
            sound: SoundPart::new(codec, config),
            picture_of: None,
            picture: None,
            worker: None,
        };
        running.insert(name.clone(), tokio::spawn(rendition.run(reader)));
        Some(name)
    }
}

impl Drop for Renditions {
    fn drop(&mut self) {
        for task in self.running.get_mut().values() {
            task.abort();
        }
    }
}

/// The tracks a rendition makes: away from the ids that publishers use.
const SOUND: TrackId = TrackId(200);
const PICTURE: TrackId = TrackId(201);

struct Rendition {
    hub: Hub,
    clock: Clock,
    base: PathName,
    name: PathName,
    recipe: Recipe,
    /// Which of the path's tracks is the sound's.
    sound_of: Option<TrackId>,
    sound: SoundPart,
    /// And the picture's, where it is made anew.
    picture_of: Option<TrackId>,
    picture: Option<Track>,
    worker: Option<Worker>,
}

impl Rendition {
    async fn run(mut self, mut reader: Reader) {
        let mut publisher: Option<Arc<Publisher>> = None;
        // Since when nobody has listened.
        let mut idle: Option<Instant> = None;
        info!(path = %self.name, "rendition started");
        loop {
            let next = async {
                if let Some(worker) = &self.worker {
                    worker.room().await;
                }
                reader.next().await
            };
            idle = match &publisher {
                Some(publisher) if publisher.readers() == 0 => idle.or_else(|| Some(Instant::now())),
                _ => None,
            };
            let linger = idle.map(|since| since + LINGER);
            let item = match &publisher {
                None => next.await,
                Some(publisher) => tokio::select! {
                    item = next => item,
                    () = publisher.changed() => {
                        if publisher.state() != PublisherState::Live {
                            break;
                        }
                        if publisher.feedback().keyframe {
                            match &self.worker {
                                Some(worker) => worker.request_keyframe(),
                                None => reader.request_keyframe(),
                            }
                        }
                        continue;
                    }
                    () = tokio::time::sleep_until(linger.unwrap_or_else(Instant::now)), if linger.is_some() => break,
                },
            };
            match item {
                Ok(Item::Tracks(tracks)) => self.announce(&mut publisher, &tracks).await,
                Ok(Item::Unit(unit, arrived)) => {
                    if let Some(publisher) = &publisher {
                        self.carry(publisher, unit, arrived);
                    }
                    if self.worker.as_ref().is_some_and(Worker::needs_key) {
                        reader.request_keyframe();
                    }
                }
                Err(ReadError::Lagged(lagged)) => {
                    warn!(path = %self.name, missed = lagged.missed, "rendition fell behind")
                }
                Err(ReadError::Ended(_)) => {
                    self.hub.close(&self.name);
                    break;
                }
            }
        }
        info!(path = %self.name, skipped = reader.skipped(), "rendition stopped");
    }

    /// The tracks of the path have become known, or others.
    async fn announce(&mut self, publisher: &mut Option<Arc<Publisher>>, base: &TrackSet) {
        let sound = base.first(MediaKind::Audio).and_then(|track| self.sound.track(track, &self.name));
        self.sound_of = base.first(MediaKind::Audio).map(|track| track.id);
        let (mut part, mut skipped) = (None, Vec::new());
        let pictures: Vec<Track> = match self.recipe {
            Recipe::Sound(_) => base.iter().filter(|t| t.kind() == MediaKind::Video).cloned().collect(),
            Recipe::Picture => {
                let source = base.first(MediaKind::Video);
                self.picture_of = source.map(|track| track.id);
                if let Some(source) = source.filter(|_| self.worker.is_none()) {
                    match PicturePart::prepare(Arc::clone(&source.params)).await {
                        Ok(made) => {
                            self.picture = Some(made.track.clone());
                            part = Some(made);
                        }
                        Err(error) => {
                            warn!(path = %self.name, %error, "this picture cannot be transcoded; sound goes on");
                            skipped
                                .push(SkippedTrack { codec: source.codec().label().into(), reason: error.to_string() });
                        }
                    }
                }
                self.picture.iter().filter(|_| source.is_some()).cloned().collect()
            }
        };
        let derived: TrackSet = pictures.into_iter().chain(sound).collect();
        match publisher {
            Some(publisher) => publisher.set_tracks(derived),
            None => *publisher = self.publish(derived).map(Arc::new),
        }
        if let Some(publisher) = publisher {
            publisher.set_skipped_tracks(skipped);
            if let Some(part) = part {
                self.worker = part
                    .start(publisher, &self.name, self.clock)
                    .inspect_err(|error| warn!(path = %self.name, %error, "no thread for the encoder"))
                    .ok();
            }
        }
    }

    fn publish(&self, tracks: TrackSet) -> Option<Publisher> {
        let answers_keyframes = match self.recipe {
            Recipe::Picture => true,
            // Wishes are passed on, so they are answered here where they are answered there.
            Recipe::Sound(_) => {
                let base = self.hub.path(&self.base).and_then(|path| path.publisher);
                base.is_some_and(|(info, _)| info.answers_keyframes)
            }
        };
        let info = PublisherInfo { kind: KIND, id: self.name.as_str().into(), answers_keyframes };
        self.hub.publish(&self.name, info, tracks, self.clock.now()).ok()
    }

    /// Passes a unit on as of when it came in to the path: what is old there is old here.
    fn carry(&mut self, publisher: &Publisher, unit: AccessUnit, arrived: MonoTime) {
        if unit.is_video() {
            match (self.recipe, &self.worker) {
                (Recipe::Sound(_), _) => publisher.write(unit, arrived),
                (Recipe::Picture, Some(worker)) if Some(unit.track) == self.picture_of => worker.push(unit, arrived),
                (Recipe::Picture, _) => {}
            }
            return;
        }
        if Some(unit.track) != self.sound_of {
            return;
        }
        match self.sound.units(unit) {
            Ok(units) => units.into_iter().for_each(|unit| publisher.write(unit, arrived)),
            Err(error) => warn!(path = %self.name, %error, "a sound unit was not transcoded"),
        }
    }
}
