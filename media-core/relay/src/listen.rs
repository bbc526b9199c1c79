//! Listening to a path in codecs one can play.
//!
//! Belongs here: finding the path a name stands for, moving to a rendition where sound or picture do not fit, leaving out tracks that
//! the listener cannot take and saying so.
//! Not here: making the rendition (`transcode`), waiting and skipping (`hub`).

use crate::clock::Clock;
use crate::transcode::{Recipe, Renditions};
use hub::{Changes, Hub, Item, PathName, PublishError, ReadError, Reader, ReaderInfo, SkippedTrack, Start, Waiting};
use media::{AccessUnit, Codec, CodecParams, G711Law, G711Params, MediaKind, MjpegParams, Track, TrackSet};
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
    /// AAC, and MPEG audio as it is: MPEG-TS.
    AacOrMpegAudio,
    /// Opus alone: WebRTC.
    Opus,
    /// Opus, and G.711 of this law as it is: WebRTC with telephones' sound.
    OpusOr(G711Law),
    /// Whatever there is.
    Any,
    /// None.
    Nothing,
}

impl Sound {
    /// The codec to derive where the path's own sound does not fit.
    fn missing(self, own: Option<&CodecParams>) -> Option<Codec> {
        let telephone = |law| own == Some(&CodecParams::G711(G711Params::telephone(law)));
        match (self, own.map(CodecParams::codec)) {
            (Self::OpusOr(law), _) if telephone(law) => None,
            (Self::Aac, Some(Codec::Opus | Codec::G711 | Codec::MpegAudio)) => Some(Codec::Aac),
            (Self::AacOrOpus, Some(Codec::G711 | Codec::MpegAudio)) => Some(Codec::Aac),
            (Self::AacOrMpegAudio, Some(Codec::Opus | Codec::G711)) => Some(Codec::Aac),
            (Self::Opus | Self::OpusOr(_), Some(Codec::Aac | Codec::G711 | Codec::MpegAudio)) => Some(Codec::Opus),
            _ => None,
        }
    }
}

/// What a listener can play.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Takes {
    /// Its sound.
    pub sound: Sound,
    /// Its pictures.
    pub pictures: Vec<Codec>,
    /// Pictures may be decoded in another order than they are shown in (B-frames).
    pub reordered: bool,
}

impl From<Sound> for Takes {
    /// This sound, and H.264 as it comes.
    fn from(sound: Sound) -> Self {
        Self { sound, pictures: EVERYBODYS.into(), reordered: true }
    }
}

impl Takes {
    /// Does it take the track of this codec, if need be after it was made to fit?
    fn plays(&self, codec: Codec) -> bool {
        match codec.kind() {
            MediaKind::Video => self.pictures.contains(&codec),
            MediaKind::Audio => self.sound != Sound::Nothing,
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

    /// Listens to `name`, held until somebody publishes it. `name_aac` and `name_opus` stand for `name` with that sound, `name_h264` for
    /// `name` with a picture that everybody plays, where nobody publishes under the very name.
    ///
    /// # Errors
    /// [`ListenError::NoPublisher`] after the wait, [`ListenError::Full`] where the hub holds no more paths.
    pub async fn open(
        &self,
        name: &PathName,
        takes: impl Into<Takes> + Send,
        info: ReaderInfo,
        start: Start,
    ) -> Result<Listener, ListenError> {
        let takes: Takes = takes.into();
        let reordered = takes.reordered;
        let meanings = meanings(name, &takes);
        // Until the reader is there: whoever fetches the stream must not see nobody in between.
        let wanted: Vec<Waiting> = meanings.iter().map(|(name, _)| self.hub.wait(name)).collect();
        let wait = meanings.iter().find_map(|(name, _)| self.waits.get(name).copied()).unwrap_or(self.wait);
        let (base, takes) =
            tokio::time::timeout(wait, self.find(name, takes)).await.map_err(|_elapsed| ListenError::NoPublisher)?;
        let reader = self.hub.read(&base, info.clone(), start, self.clock.now())?;
        let listener = Listener {
            listening: self.clone(),
            base,
            // The name of a rendition of the picture means pictures in their order.
            by_name: takes.reordered != reordered,
            takes,
            info,
            start,
            reader,
            patience: None,
            place: Place::default(),
            begun: false,
            newest: None,
            skipped: Vec::new(),
        };
        drop(wanted);
        Ok(listener)
    }

    /// The hub it looks into.
    pub(crate) const fn hub(&self) -> &Hub {
        &self.hub
    }

    /// Waits until `name`, or what it stands for, is published, however long.
    pub(crate) async fn published(&self, name: &PathName) {
        self.find(name, Sound::Any.into()).await;
    }

    /// Is `name`, or what it stands for, published now?
    pub fn exists(&self, name: &PathName) -> bool {
        self.resolve(name, &Sound::Any.into()).is_some()
    }

    async fn find(&self, name: &PathName, takes: Takes) -> (PathName, Takes) {
        loop {
            let published = self.hub.published();
            tokio::pin!(published);
            published.as_mut().enable();
            if let Some(found) = self.resolve(name, &takes) {
                return found;
            }
            published.await;
        }
    }

    fn resolve(&self, name: &PathName, takes: &Takes) -> Option<(PathName, Takes)> {
        let published = |name: &PathName| self.hub.is_published(name) && !self.is_rendition(name);
        meanings(name, takes).into_iter().find(|(name, _)| published(name))
    }

    fn is_rendition(&self, name: &PathName) -> bool {
        self.hub.path(name).and_then(|p| p.publisher).is_some_and(|(info, _)| info.kind == crate::transcode::KIND)
    }
}

/// The paths that `name` may mean, and what of them is wanted: itself, and those of which it is a rendition, with one suffix for the
/// sound, one for the picture, or both.
fn meanings(name: &PathName, takes: &Takes) -> Vec<(PathName, Takes)> {
    let sounds = [(Codec::Aac, Sound::Aac), (Codec::Opus, Sound::Opus)].into_iter().filter_map(|(codec, sound)| {
        let base = name.without_suffix(Recipe::Sound(codec).suffix()?)?;
        Some((base, Takes { sound, ..takes.clone() }))
    });
    let mut meanings: Vec<_> = std::iter::once((name.clone(), takes.clone())).chain(sounds).collect();
    let pictures = meanings.iter().filter_map(|(name, takes)| {
        let base = name.without_suffix(Recipe::Picture.suffix()?)?;
        Some((base, Takes { pictures: EVERYBODYS.into(), reordered: false, ..takes.clone() }))
    });
    let pictures: Vec<_> = pictures.collect();
    meanings.extend(pictures);
    meanings
}

/// What is read by somebody who publishes elsewhere: a [`Reader`] as it is, or a [`Listener`] with sound that fits.
pub trait Feed: Send {
    /// The next item.
    ///
    /// # Errors
    /// As [`Reader::next`].
    fn next(&mut self) -> impl Future<Output = Result<Item, ReadError>> + Send;

    /// Asks the publisher for a key frame.
    fn request_keyframe(&self);
}

impl Feed for Reader {
    async fn next(&mut self) -> Result<Item, ReadError> {
        Self::next(self).await
    }

    fn request_keyframe(&self) {
        Self::request_keyframe(self);
    }
}

impl Feed for Listener {
    async fn next(&mut self) -> Result<Item, ReadError> {
        Self::next(self).await
    }

    fn request_keyframe(&self) {
        Self::request_keyframe(self);
    }
}

/// A [`Reader`] whose sound and picture fit: it moves between the path and its renditions by itself.
#[derive(Debug)]
pub struct Listener {
    listening: Listening,
    base: PathName,
    takes: Takes,
    /// Its pictures are those that the name stands for, whatever else it could take.
    by_name: bool,
    info: ReaderInfo,
    start: Start,
    reader: Reader,
    patience: Option<Duration>,
    place: Place,
    /// It has looked at what the path carries.
    begun: bool,
    /// Latest presentation time of a picture, µs.
    newest: Option<i64>,
    /// What it was told not to get.
    skipped: Vec<SkippedTrack>,
}

/// Which renditions a listener is at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Place {
    picture: bool,
    sound: Option<Codec>,
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
        if !self.by_name {
            self.takes.pictures = EVERYBODYS.iter().copied().chain(pictures).collect();
        }
    }

    /// Waits for the next item.
    ///
    /// # Errors
    /// As [`Reader::next`].
    pub async fn next(&mut self) -> Result<Item, ReadError> {
        self.begin();
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
        self.begin();
        while let Some(item) = self.reader.try_next()? {
            if let Some(item) = self.fit(item) {
                return Ok(Some(item));
            }
        }
        Ok(None)
    }

    /// Known tracks decide before the first item, so that a listener does not join the one path only to leave for the other.
    fn begin(&mut self) {
        if !std::mem::replace(&mut self.begun, true)
            && let Some(tracks) = self.listening.hub.tracks(&self.base)
        {
            self.choose(&tracks);
        }
    }

    /// The item as this listener takes it, if it does.
    fn fit(&mut self, item: Item) -> Option<Item> {
        match item {
            Item::Tracks(tracks) if self.choose(&tracks) => None,
            Item::Tracks(tracks) => Some(Item::Tracks(self.playable(tracks))),
            Item::Unit(unit, _) if !self.takes.plays(unit.params.codec()) => None,
            Item::Unit(unit, _) if self.must_leave(&unit) => None,
            item @ Item::Unit(..) => Some(item),
        }
    }

    /// The tracks without those that cannot be taken; these are told.
    fn playable(&mut self, tracks: Arc<TrackSet>) -> Arc<TrackSet> {
        let plays = |track: &&Track| self.takes.plays(track.codec());
        let reason = |track: &Track| match (track.kind(), self.takes.pictures.as_slice()) {
            (MediaKind::Audio, _) => format!("this {} takes no sound", self.info.kind),
            (MediaKind::Video, []) => format!("this {} takes no picture", self.info.kind),
            (MediaKind::Video, pictures) => {
                let takes: Vec<_> = pictures.iter().map(|codec| codec.label()).collect();
                format!("this {} takes no other picture than {}", self.info.kind, takes.join(", "))
            }
        };
        let skipped: Vec<_> = tracks
            .iter()
            .filter(|track| !plays(track))
            .map(|track| SkippedTrack { codec: track.codec().label().into(), reason: reason(track) })
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

    /// As [`Reader::changes`], of where it listens now.
    pub(crate) fn changes(&self) -> Changes {
        self.reader.changes()
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

    /// Moves to a rendition if picture or sound do not fit; true if it moved.
    fn choose(&mut self, tracks: &TrackSet) -> bool {
        let mut place = self.place;
        let reorders = |track: &Track| matches!(&*track.params, CodecParams::H264(params) if params.reorders());
        let stills = |track: &Track| matches!(&*track.params, CodecParams::Mjpeg(params) if self.takes_not(*params));
        let picture = tracks.first(MediaKind::Video);
        place.picture |= !self.takes.reordered && picture.is_some_and(reorders) || picture.is_some_and(stills);
        if place.sound.is_none() {
            place.sound = self.takes.sound.missing(tracks.first(MediaKind::Audio).map(|track| &*track.params));
        }
        self.move_to(place)
    }

    /// Is Motion JPEG, which nobody but RTP carries, to be made into what it takes?
    fn takes_not(&self, params: MjpegParams) -> bool {
        let pictures = &self.takes.pictures;
        pictures.contains(&Codec::H264) && !(pictures.contains(&Codec::Mjpeg) && params.packs())
    }

    /// Leaves for the picture's rendition where a unit shows that the path has B-frames, though nothing said so.
    fn must_leave(&mut self, unit: &AccessUnit) -> bool {
        if self.takes.reordered || self.place.picture || !unit.is_video() {
            return false;
        }
        let pts = unit.pts.micros();
        let could = matches!(&*unit.params, CodecParams::H264(params) if params.reorder() > 0);
        let back = self.newest.is_some_and(|newest| pts < newest);
        self.newest = Some(self.newest.map_or(pts, |newest| newest.max(pts)));
        let seen = unit.params.codec() == Codec::H264 && (back || could && unit.pts != unit.dts);
        seen && self.move_to(Place { picture: true, ..self.place })
    }

    /// Joins the path that carries what `place` says; true if it moved there.
    fn move_to(&mut self, place: Place) -> bool {
        if place == self.place {
            return false;
        }
        let renditions = &self.listening.renditions;
        let mut name = Some(self.base.clone());
        for recipe in place.picture.then_some(Recipe::Picture).into_iter().chain(place.sound.map(Recipe::Sound)) {
            name = name.and_then(|name| renditions.ensure(&name, recipe));
        }
        let moved = name.is_some_and(|name| self.join(&name));
        if moved {
            self.place = place;
        }
        moved
    }
}
