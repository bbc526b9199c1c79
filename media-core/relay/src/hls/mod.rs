//! HLS in three forms at once, over plain HTTP: LL-HLS, plain fMP4, and MPEG-TS for old players.
//!
//! Belongs here: who makes segments and how long ([`HlsState`], `muxer`), from units to parts (`segmenter`, `writer`), status codes,
//! headers and held requests (`answer`), the player page, the client that pulls ([`pull`]). Not here: playlists (`proto::hls`), boxes and packets (`container`), the port
//! (`relay`).
//!
//! A muxer is a reader of its path and makes one kind of segments; LL-HLS and plain fMP4 list the same ones. It starts with the first request and closes when nobody has asked for a while. Nothing
//! is remembered of clients: no cookies, no sessions, no addresses; whoever shows the credentials gets the file, from here
//! or from any cache in between.

mod answer;
mod muxer;
mod page;
pub mod pull;
mod segmenter;
#[cfg(test)]
mod tests;
mod writer;

use crate::access::Authorizer;
use crate::clock::Clock;
use crate::listen::{ListenError, Listener, Listening, Sound};
use axum::Router;
use axum::extract::{Request, State};
use axum::http::HeaderValue;
use axum::response::Response;
use hub::{Hub, Item, PathName, ReadError, Reader, ReaderInfo, Start};
use media::Codec;
use muxer::Muxer;
use parking_lot::Mutex;
use proto::hls::{Packaging, Variant};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use tokio_util::sync::{CancellationToken, DropGuard};

/// How an origin serves. The defaults are MediaMTX's.
#[derive(Debug, Clone)]
pub struct HlsConfig {
    /// Complete segments in a playlist (`hlsSegmentCount`); at least 3. More let players go further back and cost memory.
    pub segment_count: usize,
    /// Least length of a segment (`hlsSegmentDuration`); it ends with the key frame after that.
    pub segment_duration: Duration,
    /// Length of a part (`hlsPartDuration`), as near as the picture rate allows. A player stays three of them behind live.
    pub part_duration: Duration,
    /// Most bytes of a segment (`hlsSegmentMaxSize`); a longer one is cut without a key frame.
    pub segment_max_size: usize,
    /// A muxer closes after this long without a request (`hlsMuxerCloseAfter`).
    pub close_after: Duration,
    /// Published paths are muxed always (`hlsAlwaysRemux`), see [`HlsState::remux_always`].
    pub always_remux: bool,
    /// Origins whose pages may read (`hlsAllowOrigins`); `*` is every page.
    pub allow_origins: Vec<HeaderValue>,
    /// What the playlists are where the URL does not say (`hlsVariant`).
    pub variant: Variant,
    /// How long a first request is held until there is something to play.
    pub first_wait: Duration,
    /// A reload is held for three target durations and at least this. A publisher that is away for a moment then costs players
    /// fewer questions.
    pub least_hold: Duration,
    /// How long players can read that a stream is over.
    pub farewell: Duration,
    /// Most requests held at a time, per path. A player holds two.
    pub max_held: usize,
}

impl Default for HlsConfig {
    fn default() -> Self {
        Self {
            segment_count: 7,
            segment_duration: Duration::from_secs(1),
            part_duration: Duration::from_millis(200),
            segment_max_size: 50_000_000,
            close_after: Duration::from_secs(60),
            always_remux: false,
            allow_origins: vec![HeaderValue::from_static("*")],
            variant: Variant::LowLatency,
            // Browsers and proxies wait for an answer 30 s and more; a person does not.
            first_wait: Duration::from_secs(10),
            least_hold: Duration::from_secs(5),
            farewell: Duration::from_secs(10),
            max_held: 4096,
        }
    }
}

/// Where units come from.
#[async_trait::async_trait]
pub trait Feed: Send {
    /// As [`Reader::next`]: the next item, or why there is none.
    async fn next(&mut self) -> Result<Item, ReadError>;

    /// Asks the publisher for a key frame.
    fn request_keyframe(&self);
}

#[async_trait::async_trait]
impl Feed for Reader {
    async fn next(&mut self) -> Result<Item, ReadError> {
        Self::next(self).await
    }

    fn request_keyframe(&self) {
        Self::request_keyframe(self);
    }
}

#[async_trait::async_trait]
impl Feed for Listener {
    async fn next(&mut self) -> Result<Item, ReadError> {
        Self::next(self).await
    }

    fn request_keyframe(&self) {
        Self::request_keyframe(self);
    }
}

/// The way to paths, with sound that HLS can carry.
#[async_trait::async_trait]
pub trait Source: Send + Sync + std::fmt::Debug {
    /// Reads `path` from the newest GOP on, in what segments of this kind carry, held until somebody publishes it.
    ///
    /// # Errors
    /// [`ListenError`] after the wait.
    async fn open(&self, path: &PathName, packaging: Packaging) -> Result<Box<dyn Feed>, ListenError>;

    /// Does somebody publish `path`, or what the name stands for, now?
    fn exists(&self, path: &PathName) -> bool;
}

#[async_trait::async_trait]
impl Source for Listening {
    async fn open(&self, path: &PathName, packaging: Packaging) -> Result<Box<dyn Feed>, ListenError> {
        let info = ReaderInfo { kind: "hlsMuxer", id: uuid::Uuid::new_v4().to_string() };
        let listener = Self::open(self, path, Sound::Aac, info, Start::LastKey).await?;
        let pictures =
            [Codec::H265, Codec::Av1, Codec::Vp9].into_iter().filter(|codec| writer::carries(packaging, *codec));
        Ok(Box::new(listener.with_pictures(pictures)))
    }

    fn exists(&self, path: &PathName) -> bool {
        Self::exists(self, path)
    }
}

/// A muxer at one moment, for the API and metrics.
#[derive(Debug, Clone)]
pub struct MuxerState {
    /// Its path.
    pub path: PathName,
    /// When it was started.
    pub created: SystemTime,
    /// When somebody last asked for something of it.
    pub last_request: SystemTime,
    /// Bytes of playlists, segments and parts sent.
    pub outbound_bytes: u64,
    /// Units lost because the muxer fell behind the path.
    pub outbound_frames_discarded: u64,
    /// Bytes of segments kept.
    pub kept_bytes: usize,
}

impl MuxerState {
    /// Another muxer of the same path.
    fn add(&mut self, other: &Self) {
        self.created = self.created.min(other.created);
        self.last_request = self.last_request.max(other.last_request);
        self.outbound_bytes += other.outbound_bytes;
        self.outbound_frames_discarded += other.outbound_frames_discarded;
        self.kept_bytes += other.kept_bytes;
    }
}

/// All muxers of one relay. A clone is another handle to the same; with the last one every muxer stops.
#[derive(Debug, Clone)]
pub struct HlsState(Arc<Inner>);

/// One for each kind of segment that somebody asked for.
type Muxers = HashMap<(PathName, Packaging), Arc<Muxer>>;

#[derive(Debug)]
struct Inner {
    config: Arc<HlsConfig>,
    source: Arc<dyn Source>,
    authorizer: Arc<dyn Authorizer>,
    clock: Clock,
    muxers: Arc<Mutex<Muxers>>,
    stop: CancellationToken,
    _stop_with_me: DropGuard,
}

/// Most muxers that wait for a publisher: a flood of names must not become a flood of tasks.
const MOST_OPENING: usize = 1000;

impl HlsState {
    /// An origin without muxers.
    pub fn new(config: HlsConfig, source: Arc<dyn Source>, authorizer: Arc<dyn Authorizer>, clock: Clock) -> Self {
        let stop = CancellationToken::new();
        Self(Arc::new(Inner {
            config: Arc::new(config),
            source,
            authorizer,
            clock,
            muxers: Arc::default(),
            _stop_with_me: stop.clone().drop_guard(),
            stop,
        }))
    }

    /// Every path that is muxed; what its kinds of segments do is added up.
    pub fn muxers(&self) -> Vec<MuxerState> {
        let muxers: Vec<_> = self.0.muxers.lock().values().cloned().collect();
        let mut states: Vec<MuxerState> = muxers.iter().map(|m| m.state()).collect();
        states.sort_by(|a, b| a.path.cmp(&b.path));
        states.dedup_by(|other, one| {
            let same = one.path == other.path;
            if same {
                one.add(other);
            }
            same
        });
        states
    }

    /// Starts a muxer for every path of `hub` that is published, now and later, where `always_remux` says so; ends with the
    /// relay's stop.
    pub async fn remux_always(self, hub: Hub) {
        if !self.0.config.always_remux {
            return;
        }
        loop {
            let published = hub.published();
            tokio::pin!(published);
            published.as_mut().enable();
            for path in hub.paths() {
                let kind = path.publisher.map(|(info, _)| info.kind);
                if kind.is_some_and(|kind| kind != crate::transcode::KIND) {
                    let _running = self.ensure(&path.name, self.0.config.variant.packaging());
                }
            }
            tokio::select! {
                () = published => {}
                () = self.0.stop.cancelled() => return,
            }
        }
    }

    /// Stops every muxer and answers held requests.
    pub fn stop(&self) {
        self.0.stop.cancel();
    }

    /// Answers a request for [`claims`]' URLs.
    pub async fn answer(&self, request: Request) -> Response {
        answer::answer(self, request).await
    }

    /// The muxer of `path`, whatever its state.
    fn existing(&self, path: &PathName, packaging: Packaging) -> Option<Arc<Muxer>> {
        self.0.muxers.lock().get(&(path.clone(), packaging)).cloned()
    }

    /// The muxer of `path`, started if there is none that goes on; `None` if there are too many that wait.
    fn ensure(&self, path: &PathName, packaging: Packaging) -> Option<Arc<Muxer>> {
        let mut muxers = self.0.muxers.lock();
        let key = (path.clone(), packaging);
        if let Some(muxer) = muxers.get(&key).filter(|m| !m.is_over()) {
            return Some(Arc::clone(muxer));
        }
        if muxers.values().filter(|m| m.is_opening()).count() >= MOST_OPENING {
            return None;
        }
        let muxer = Arc::new(Muxer::new(path.clone(), packaging, Arc::clone(&self.0.config), self.0.clock));
        muxers.insert(key.clone(), Arc::clone(&muxer));
        let run = Arc::clone(&muxer).run(Arc::clone(&self.0.source), self.0.stop.clone());
        let (registry, running) = (Arc::clone(&self.0.muxers), Arc::clone(&muxer));
        tokio::spawn(async move {
            run.await;
            let mut registry = registry.lock();
            // Another one may have taken its place.
            if registry.get(&key).is_some_and(|m| Arc::ptr_eq(m, &running)) {
                registry.remove(&key);
            }
        });
        Some(muxer)
    }
}

/// Is this the path of a URL that HLS answers: a playlist, a segment, or a player page?
pub fn claims(url_path: &str) -> bool {
    answer::parse(url_path).is_some()
}

/// The routes as a router of their own; everything else is `404`.
pub fn router(state: HlsState) -> Router {
    Router::new()
        .fallback(|State(state): State<HlsState>, request: Request| async move { state.answer(request).await })
        .with_state(state)
}
