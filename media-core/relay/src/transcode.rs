//! Sound for listeners who cannot play the path's own: a reader of the path that is the one writer of its sibling.
//!
//! Belongs here: starting with the first listener, stopping after the last, passing pictures through untouched. Not here:
//! decoding and encoding (`codec`), choosing who needs it (`listen`).

use crate::clock::Clock;
use codec::{SoundTranscoder, TranscodeConfig};
use hub::{Hub, Item, PathName, Publisher, PublisherInfo, PublisherState, ReadError, Reader, ReaderInfo, Start};
use media::{AccessUnit, ClockRate, Codec, CodecParams, MediaKind, MonoTime, Track, TrackId, TrackSet};
use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinHandle;
use tracing::{info, warn};

/// A rendition without listeners runs on this long: a phone that reconnects finds it warm.
const LINGER: Duration = Duration::from_secs(10);

/// What the source is called in the API.
pub(crate) const KIND: &str = "transcoder";

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

    /// The path that carries `base` with its sound as `audio`, started if it does not run. `None` for what cannot be made.
    pub(crate) fn ensure(&self, base: &PathName, audio: Codec) -> Option<PathName> {
        let name = base.with_suffix(suffix(audio)?)?;
        let mut running = self.running.lock();
        running.retain(|_, task| !task.is_finished());
        if running.contains_key(&name) || self.hub.is_published(&name) {
            return Some(name);
        }
        let id = base.as_str().to_owned();
        let reader = self.hub.read(base, ReaderInfo { kind: KIND, id }, Start::LastKey, self.clock.now()).ok()?;
        let rendition = Rendition {
            hub: self.hub.clone(),
            clock: self.clock,
            base: base.clone(),
            name: name.clone(),
            audio,
            config: TranscodeConfig { bitrate: self.bitrate, ..TranscodeConfig::new(SOUND) },
            engine: Engine::Unknown,
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

/// The suffix of the name that means "with its sound as this".
pub(crate) const fn suffix(audio: Codec) -> Option<&'static str> {
    match audio {
        Codec::Aac => Some("_aac"),
        Codec::Opus => Some("_opus"),
        Codec::H264 | Codec::H265 | Codec::Av1 | Codec::Vp9 | Codec::G711 | Codec::MpegAudio => None,
    }
}

/// The sound's track in a rendition: away from the ids that publishers use for pictures.
const SOUND: TrackId = TrackId(200);

struct Rendition {
    hub: Hub,
    clock: Clock,
    base: PathName,
    name: PathName,
    audio: Codec,
    config: TranscodeConfig,
    engine: Engine,
}

/// What turns the path's sound into the rendition's.
enum Engine {
    /// No sound seen yet.
    Unknown,
    /// It is the right codec already.
    Pass,
    Make(Box<SoundTranscoder>),
}

impl Rendition {
    async fn run(mut self, mut reader: Reader) {
        let mut publisher: Option<Publisher> = None;
        let mut sound: Option<TrackId> = None;
        info!(path = %self.name, "rendition started");
        loop {
            let item = match &publisher {
                None => reader.next().await,
                Some(publisher) => tokio::select! {
                    item = reader.next() => item,
                    () = publisher.changed() => {
                        if publisher.state() != PublisherState::Live {
                            break;
                        }
                        if publisher.feedback().keyframe {
                            reader.request_keyframe();
                        }
                        continue;
                    }
                    () = tokio::time::sleep(LINGER), if publisher.readers() == 0 => break,
                },
            };
            match item {
                Ok(Item::Tracks(tracks)) => {
                    sound = tracks.first(MediaKind::Audio).map(|t| t.id);
                    let derived = self.tracks(&tracks);
                    match &publisher {
                        Some(publisher) => publisher.set_tracks(derived),
                        None => publisher = self.publish(derived),
                    }
                }
                Ok(Item::Unit(unit, arrived)) => {
                    if let Some(publisher) = &publisher {
                        self.carry(publisher, unit, arrived, sound);
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
        info!(path = %self.name, "rendition stopped");
    }

    fn publish(&self, tracks: TrackSet) -> Option<Publisher> {
        // Wishes are passed on, so they are answered here where they are answered there.
        let base = self.hub.path(&self.base).and_then(|path| path.publisher);
        let answers_keyframes = base.is_some_and(|(info, _)| info.answers_keyframes);
        let info = PublisherInfo { kind: KIND, id: self.name.as_str().into(), answers_keyframes };
        self.hub.publish(&self.name, info, tracks, self.clock.now()).ok()
    }

    /// Pictures as they are, and one sound track, whose parameters are known before its first packet.
    fn tracks(&mut self, base: &TrackSet) -> TrackSet {
        let sound = base.first(MediaKind::Audio).and_then(|track| {
            self.engine = match (track.codec(), self.audio) {
                (have, want) if have == want => Engine::Pass,
                (_, want) => self.make(want),
            };
            let (clock, params) = self.announced(track)?;
            Some(Track { id: SOUND, clock, params })
        });
        base.iter().filter(|t| t.kind() == MediaKind::Video).cloned().chain(sound).collect()
    }

    fn make(&self, audio: Codec) -> Engine {
        match SoundTranscoder::new(audio, self.config) {
            Ok(transcoder) => Engine::Make(Box::new(transcoder)),
            Err(error) => {
                warn!(path = %self.name, %error, "this sound cannot be transcoded; pictures go on");
                Engine::Unknown
            }
        }
    }

    fn announced(&self, track: &Track) -> Option<(ClockRate, Arc<CodecParams>)> {
        match &self.engine {
            Engine::Unknown => None,
            Engine::Pass => Some((track.clock, Arc::clone(&track.params))),
            Engine::Make(transcoder) => Some((transcoder.clock(), Arc::clone(transcoder.params()))),
        }
    }

    /// Passes a unit on as of when it came in to the path: what is old there is old here.
    fn carry(&mut self, publisher: &Publisher, unit: AccessUnit, arrived: MonoTime, sound: Option<TrackId>) {
        if unit.is_video() {
            publisher.write(unit, arrived);
            return;
        }
        if Some(unit.track) != sound {
            return;
        }
        let units = match &mut self.engine {
            Engine::Unknown => return,
            Engine::Pass => return publisher.write(AccessUnit { track: SOUND, ..unit }, arrived),
            Engine::Make(transcoder) => transcoder.push(&unit),
        };
        match units {
            Ok(units) => units.into_iter().for_each(|unit| publisher.write(unit, arrived)),
            Err(error) => warn!(path = %self.name, %error, "a sound unit was not transcoded"),
        }
    }
}
