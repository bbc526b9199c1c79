//! Listening to a path in codecs one can play.
//!
//! Belongs here: finding the path a name stands for, switching to a rendition where the sound does not fit, switching back,
//! leaving out pictures that the listener cannot take and saying so.
//! Not here: making the rendition (`transcode`), waiting and skipping (`hub`).

use crate::clock::Clock;
use crate::transcode::{Renditions, suffix};
use hub::{Hub, Item, PathName, PublishError, ReadError, Reader, ReaderInfo, SkippedTrack, Start, Waiting};
use media::{Codec, MediaKind, Track, TrackSet};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use thiserror::Error;
use tracing::warn;

/// The picture every listener takes.
const EVERYBODYS: &[Codec] = &[Codec::H264];

/// The sound a listener can play.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sound {
    /// AAC alone: RTMP, HTTP-FLV, HLS.
    Aac,
    /// AAC, and Opus as it is: RTMP clients that name it.
    AacOrOpus,
    /// Opus alone: WebRTC.
    Opus,
    /// Whatever there is.
    Any,
}

impl Sound {
    /// The codec to derive where the path's own sound does not fit.
    const fn missing(self, own: Option<Codec>) -> Option<Codec> {
        match (self, own) {
            (Self::Aac, Some(Codec::Opus | Codec::G711 | Codec::MpegAudio)) => Some(Codec::Aac),
            (Self::AacOrOpus, Some(Codec::G711 | Codec::MpegAudio)) => Some(Codec::Aac),
            (Self::Opus, Some(Codec::Aac | Codec::G711 | Codec::MpegAudio)) => Some(Codec::Opus),
            _ => None,
        }
    }
}

/// Why there is nothing to listen to.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ListenError {
    /// Nobody published within the time a reader waits.
    #[error("nobody is publishing there")]
    NoPublisher,
    /// The hub is full.
    #[error(transparent)]
    Full(#[from] PublishError),
}

/// Everybody's way to a path, for one relay.
#[derive(Debug, Clone)]
pub struct Listening {
    hub: Hub,
    clock: Clock,
    renditions: Arc<Renditions>,
    wait: Duration,
    /// Paths whose listeners are held for another time.
    waits: Arc<BTreeMap<PathName, Duration>>,
}

impl Listening {
    /// `bitrate` is that of derived sound, `wait` how long a listener is held while nobody publishes.
    pub fn new(hub: Hub, clock: Clock, bitrate: u32, wait: Duration) -> Self {
        let renditions = Arc::new(Renditions::new(hub.clone(), clock, bitrate));
        Self { hub, clock, renditions, wait, waits: Arc::default() }
    }

    /// Sets how long listeners of single paths are held: of those that are fetched for them, as long as fetching may take.
    #[must_use]
    pub fn with_waits(self, waits: impl IntoIterator<Item = (PathName, Duration)>) -> Self {
        Self { waits: Arc::new(waits.into_iter().collect()), ..self }
    }

    /// Listens to `name`, held until somebody publishes it. `name_aac` and `name_opus` stand for `name` with that sound where
    /// nobody publishes under the very name.
    ///
    /// # Errors
    /// [`ListenError::NoPublisher`] after the wait, [`ListenError::Full`] where the hub holds no more paths.
    pub async fn open(
        &self,
        name: &PathName,
        sound: Sound,
        info: ReaderInfo,
        start: Start,
    ) -> Result<Listener, ListenError> {
        // Until the reader is there: whoever fetches the stream must not see nobody in between.
        let wanted: Vec<Waiting> = meanings(name).map(|name| self.hub.wait(&name)).collect();
        let wait = meanings(name).find_map(|name| self.waits.get(&name).copied()).unwrap_or(self.wait);
        let (base, sound) =
            tokio::time::timeout(wait, self.find(name, sound)).await.map_err(|_elapsed| ListenError::NoPublisher)?;
        let reader = self.hub.read(&base, info.clone(), start, self.clock.now())?;
        let mut listener = Listener {
            listening: self.clone(),
            base,
            sound,
            pictures: EVERYBODYS.into(),
            info,
            start,
            reader,
            patience: None,
            derived: false,
            skipped: Vec::new(),
        };
        // Known tracks decide now, so that a listener does not join the one path only to leave for the other.
        if let Some(tracks) = self.hub.tracks(&listener.base) {
            listener.choose(&tracks);
        }
        drop(wanted);
        Ok(listener)
    }

    /// The hub it looks into.
    pub(crate) const fn hub(&self) -> &Hub {
        &self.hub
    }

    /// Waits until `name`, or what it stands for, is published, however long.
    pub(crate) async fn published(&self, name: &PathName) {
        self.find(name, Sound::Any).await;
    }

    /// Is `name`, or what it stands for, published now?
    pub fn exists(&self, name: &PathName) -> bool {
        self.resolve(name, Sound::Any).is_some()
    }

    async fn find(&self, name: &PathName, sound: Sound) -> (PathName, Sound) {
        loop {
            let published = self.hub.published();
            tokio::pin!(published);
            published.as_mut().enable();
            if let Some(found) = self.resolve(name, sound) {
                return found;
            }
            published.await;
        }
    }

    fn resolve(&self, name: &PathName, sound: Sound) -> Option<(PathName, Sound)> {
        if self.hub.is_published(name) && !self.is_rendition(name) {
            return Some((name.clone(), sound));
        }
        [(Codec::Aac, Sound::Aac), (Codec::Opus, Sound::Opus)].into_iter().find_map(|(codec, wanted)| {
            let base = name.without_suffix(suffix(codec)?)?;
            self.hub.is_published(&base).then_some((base, wanted))
        })
    }

    fn is_rendition(&self, name: &PathName) -> bool {
        self.hub.path(name).and_then(|p| p.publisher).is_some_and(|(info, _)| info.kind == crate::transcode::KIND)
    }
}

/// The paths that `name` may mean: itself, and the one of which it is a rendition.
fn meanings(name: &PathName) -> impl Iterator<Item = PathName> {
    let bases = [Codec::Aac, Codec::Opus].into_iter().filter_map(suffix).filter_map(|s| name.without_suffix(s));
    std::iter::once(name.clone()).chain(bases)
}

/// A [`Reader`] whose sound fits: it moves between the path and its rendition by itself.
#[derive(Debug)]
pub struct Listener {
    listening: Listening,
    base: PathName,
    sound: Sound,
    /// Pictures it can take.
    pictures: Vec<Codec>,
    info: ReaderInfo,
    start: Start,
    reader: Reader,
    patience: Option<Duration>,
    derived: bool,
    /// What it was told not to get.
    skipped: Vec<SkippedTrack>,
}

impl Listener {
    /// Sets how far behind pictures may be before whole GOPs are passed over.
    #[must_use]
    pub fn with_patience(mut self, patience: Duration) -> Self {
        self.patience = Some(patience);
        self.reader = self.reader.with_patience(patience);
        self
    }

    /// Sets which pictures can be taken besides H.264. Tracks of other codecs are left out, and the log and the API say so.
    #[must_use]
    pub fn with_pictures(mut self, pictures: impl IntoIterator<Item = Codec>) -> Self {
        self.take_pictures(pictures);
        self
    }

    /// As [`Self::with_pictures`], where one is told late what can be taken. It counts from the next tracks on.
    pub(crate) fn take_pictures(&mut self, pictures: impl IntoIterator<Item = Codec>) {
        self.pictures = EVERYBODYS.iter().copied().chain(pictures).collect();
    }

    /// Waits for the next item.
    ///
    /// # Errors
    /// As [`Reader::next`].
    pub async fn next(&mut self) -> Result<Item, ReadError> {
        loop {
            let item = self.reader.next().await?;
            if let Some(item) = self.fit(item) {
                return Ok(item);
            }
        }
    }

    /// The next item if there is one now.
    ///
    /// # Errors
    /// As [`Reader::next`].
    pub fn try_next(&mut self) -> Result<Option<Item>, ReadError> {
        while let Some(item) = self.reader.try_next()? {
            if let Some(item) = self.fit(item) {
                return Ok(Some(item));
            }
        }
        Ok(None)
    }

    /// The item as this listener takes it, if it does.
    fn fit(&mut self, item: Item) -> Option<Item> {
        match item {
            Item::Tracks(tracks) if self.choose(&tracks) => None,
            Item::Tracks(tracks) => Some(Item::Tracks(self.playable(tracks))),
            Item::Unit(unit, arrived) => {
                let taken = !unit.is_video() || self.pictures.contains(&unit.params.codec());
                taken.then_some(Item::Unit(unit, arrived))
            }
        }
    }

    /// The tracks without pictures that cannot be taken; those are told.
    fn playable(&mut self, tracks: Arc<TrackSet>) -> Arc<TrackSet> {
        let plays = |track: &&Track| track.kind() == MediaKind::Audio || self.pictures.contains(&track.codec());
        let takes: Vec<_> = self.pictures.iter().map(|codec| codec.label()).collect();
        let skipped: Vec<_> = tracks
            .iter()
            .filter(|track| !plays(track))
            .map(|track| SkippedTrack {
                codec: track.codec().label().into(),
                reason: format!("this {} takes no other picture than {}", self.info.kind, takes.join(", ")),
            })
            .collect();
        let kept = if skipped.is_empty() { tracks } else { Arc::new(tracks.iter().filter(plays).cloned().collect()) };
        if skipped != self.skipped {
            for track in &skipped {
                warn!(path = %self.base, reader = self.info.id, codec = track.codec, reason = track.reason, "a track is not carried");
            }
            self.reader.set_skipped_tracks(skipped.clone());
            self.skipped = skipped;
        }
        kept
    }

    /// Asks the publisher for a key frame.
    pub fn request_keyframe(&self) {
        self.reader.request_keyframe();
    }

    /// Begins again as a new listener would, at a key frame.
    pub fn restart(&mut self) {
        let name = self.reader.path().clone();
        let _rejoined = self.join(&name);
    }

    fn join(&mut self, name: &PathName) -> bool {
        let listening = &self.listening;
        let Ok(reader) = listening.hub.read(name, self.info.clone(), self.start, listening.clock.now()) else {
            return false;
        };
        self.reader = match self.patience {
            Some(patience) => reader.with_patience(patience),
            None => reader,
        };
        self.reader.set_skipped_tracks(self.skipped.clone());
        true
    }

    /// Moves to the rendition if the sound does not fit; true if it moved.
    fn choose(&mut self, tracks: &TrackSet) -> bool {
        let own = tracks.first(MediaKind::Audio).map(Track::codec);
        let Some(codec) = self.sound.missing(own).filter(|_| !self.derived) else {
            return false;
        };
        let Some(name) = self.listening.renditions.ensure(&self.base, codec) else {
            return false;
        };
        self.derived = self.join(&name);
        self.derived
    }
}
