//! One path's muxer for one kind of segment: its task, what it keeps, who waits for what comes next.
//!
//! Not here: HTTP (`answer`), how parts are made (`segmenter`).

use super::segmenter::Segmenter;
use super::{HlsConfig, MuxerState, Source};
use crate::clock::Clock;
use bytes::Bytes;
use hub::{Item, PathName, ReadError};
use media::MonoTime;
use parking_lot::Mutex;
use proto::hls::{
    Availability, Block, Carried, Multivariant, Packaging, PartLookup, Seed, SegmentView, Skip, Variant, Window,
};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::sync::{Semaphore, SemaphorePermit, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

/// How far a muxer is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Phase {
    /// Waits for a publisher.
    Opening = 0,
    /// Reads.
    Live = 1,
    /// The stream is over; players may still read that.
    Ended = 2,
    /// Nobody published, or nothing of it can be carried.
    Failed = 3,
}

/// What the muxer asks of the publisher after a unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wish {
    Nothing,
    /// WebRTC sends key frames only when asked, and without them no segment ends.
    Keyframe,
}

/// Why there is no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Absent {
    /// Nothing of that name.
    NotFound,
    /// Not yet; worth asking again.
    NotYet,
    /// Too many requests are held.
    Crowded,
}

/// A unit that arrived this recently is the newest there is, or nearly.
const LIVE: Duration = Duration::from_millis(250);
/// How often is looked whether anybody still asks.
const IDLE_CHECK: Duration = Duration::from_secs(1);
#[derive(Debug)]
pub(super) struct Muxer {
    pub(super) path: PathName,
    pub(super) packaging: Packaging,
    seed: Seed,
    config: Arc<HlsConfig>,
    clock: Clock,
    created: (SystemTime, Instant),
    phase: AtomicU8,
    segmenter: Mutex<Segmenter>,
    changed: watch::Sender<()>,
    held: Semaphore,
    /// Milliseconds after `created`.
    last_request: AtomicU64,
    outbound_bytes: AtomicU64,
    discarded: AtomicU64,
}

impl Muxer {
    pub(super) fn new(path: PathName, packaging: Packaging, config: Arc<HlsConfig>, clock: Clock) -> Self {
        let seed = Seed::new(rand::random());
        Self {
            path,
            packaging,
            seed,
            clock,
            created: (SystemTime::now(), Instant::now()),
            phase: AtomicU8::new(Phase::Opening as u8),
            segmenter: Mutex::new(Segmenter::new(Arc::clone(&config), seed, packaging)),
            changed: watch::Sender::new(()),
            held: Semaphore::new(config.max_held),
            config,
            last_request: AtomicU64::new(0),
            outbound_bytes: AtomicU64::new(0),
            discarded: AtomicU64::new(0),
        }
    }

    /// Reads the path until it ends, nobody asks any more, or `stop`.
    pub(super) async fn run(self: Arc<Self>, source: Arc<dyn Source>, stop: CancellationToken) {
        tokio::select! {
            () = self.read(source) => {
                let farewell = tokio::time::sleep(if self.phase() == Phase::Ended { self.config.farewell } else { Duration::ZERO });
                tokio::select! { () = farewell => {}, () = stop.cancelled() => {} }
            }
            () = self.idle() => self.set_phase(Phase::Ended),
            () = stop.cancelled() => self.set_phase(Phase::Ended),
        }
        info!(path = %self.path, "HLS muxer closed");
    }

    async fn read(&self, source: Arc<dyn Source>) {
        let mut feed = match source.open(&self.path, self.packaging).await {
            Ok(feed) => feed,
            Err(error) => {
                info!(path = %self.path, %error, "nothing to make HLS of");
                return self.set_phase(Phase::Failed);
            }
        };
        info!(path = %self.path, "HLS muxer opened");
        loop {
            match feed.next().await {
                Ok(item) => {
                    if self.take(item) == Wish::Keyframe {
                        feed.request_keyframe();
                    }
                }
                Err(ReadError::Lagged(lagged)) => {
                    self.discarded.fetch_add(lagged.missed, Ordering::Relaxed);
                    warn!(path = %self.path, missed = lagged.missed, "HLS muxer fell behind");
                }
                Err(ReadError::Ended(ended)) => {
                    info!(path = %self.path, %ended, "HLS stream ended");
                    self.segmenter.lock().end();
                    let shown = self.segmenter.lock().window().is_some();
                    return self.set_phase(if shown { Phase::Ended } else { Phase::Failed });
                }
            }
        }
    }

    fn take(&self, item: Item) -> Wish {
        match item {
            Item::Tracks(tracks) => {
                self.segmenter.lock().announce(&tracks);
                if self.phase() == Phase::Opening {
                    self.set_phase(Phase::Live);
                }
                Wish::Nothing
            }
            Item::Unit(unit, arrived) => {
                let date = self.date(unit.captured.unwrap_or(arrived));
                let mut segmenter = self.segmenter.lock();
                let made = segmenter.push(&unit, date);
                // In a long GOP nobody waits for its end. What has come of it, up to now, is a segment; a player begins with
                // its key frame, and what follows continues it.
                let live = self.clock.now().since(arrived) < LIVE;
                if matches!(made, Ok(true)) && live && self.held.available_permits() < self.config.max_held {
                    segmenter.present_early();
                }
                let wish = if live && segmenter.is_overdue() { Wish::Keyframe } else { Wish::Nothing };
                drop(segmenter);
                match made {
                    Ok(true) => {
                        self.changed.send_replace(());
                        return wish;
                    }
                    Ok(false) => {}
                    Err(error) => {
                        self.discarded.fetch_add(1, Ordering::Relaxed);
                        warn!(path = %self.path, %error, ?unit, "a unit cannot be written");
                    }
                }
                Wish::Nothing
            }
        }
    }

    /// Time of day of a monotonic time, µs since 1970.
    fn date(&self, at: MonoTime) -> u64 {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let then = now.saturating_sub(self.clock.now().since(at));
        u64::try_from(then.as_micros()).unwrap_or(0)
    }

    /// Returns when nobody has asked for long enough.
    async fn idle(&self) {
        let mut tick = tokio::time::interval(IDLE_CHECK);
        loop {
            tick.tick().await;
            let last = self.created.1 + Duration::from_millis(self.last_request.load(Ordering::Relaxed));
            if !self.config.always_remux && last.elapsed() >= self.config.close_after {
                return;
            }
        }
    }

    fn phase(&self) -> Phase {
        match self.phase.load(Ordering::Acquire) {
            0 => Phase::Opening,
            1 => Phase::Live,
            2 => Phase::Ended,
            _ => Phase::Failed,
        }
    }

    fn set_phase(&self, phase: Phase) {
        self.phase.store(phase as u8, Ordering::Release);
        self.changed.send_replace(());
    }

    pub(super) fn is_opening(&self) -> bool {
        self.phase() == Phase::Opening
    }

    pub(super) fn is_over(&self) -> bool {
        matches!(self.phase(), Phase::Ended | Phase::Failed)
    }

    /// Somebody asked.
    pub(super) fn touch(&self) {
        let since = u64::try_from(self.created.1.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.last_request.store(since, Ordering::Relaxed);
    }

    pub(super) fn count(&self, bytes: usize) {
        self.outbound_bytes.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    pub(super) fn state(&self) -> MuxerState {
        MuxerState {
            path: self.path.clone(),
            created: self.created.0,
            last_request: self.created.0 + Duration::from_millis(self.last_request.load(Ordering::Relaxed)),
            outbound_bytes: self.outbound_bytes.load(Ordering::Relaxed),
            outbound_frames_discarded: self.discarded.load(Ordering::Relaxed),
            kept_bytes: self.segmenter.lock().window().map_or(0, Window::bytes),
        }
    }

    /// The multivariant playlist, as soon as there is something to play.
    pub(super) async fn multivariant(&self, variant: Option<Variant>, carried: &Carried) -> Result<String, Absent> {
        self.first_wait().await?;
        let segmenter = self.segmenter.lock();
        let (Some(window), Some((codecs, video))) = (segmenter.window(), segmenter.traits()) else {
            return Err(Absent::NotYet);
        };
        let (peak, average) = window.bitrates();
        Ok(Multivariant { codecs, video, peak, average }.text(variant, carried))
    }

    /// Waits until there is something to play.
    pub(super) async fn first_wait(&self) -> Result<(), Absent> {
        let ready = self.wait(self.config.first_wait, |window| window.is_presentable().then_some(()));
        match ready.await? {
            Some(()) => Ok(()),
            None if self.phase() == Phase::Live => Err(Absent::NotYet),
            None => Err(Absent::NotFound),
        }
    }

    /// Holds until the playlist has `block`. True if it has; false where the time is over and the playlist as it is must do.
    /// A status of 503 instead would make players give up on a publisher that is away within its grace.
    pub(super) async fn block(&self, block: Block) -> Result<Result<bool, TooFar>, Absent> {
        let look = |window: &Window| match window.check(block) {
            Availability::Ready => Some(Ok(true)),
            Availability::TooFar => Some(Err(TooFar)),
            Availability::Wait => None,
        };
        Ok(self.wait(self.hold(), look).await?.unwrap_or(Ok(false)))
    }

    pub(super) fn playlist(&self, variant: Variant, skip: Skip, carried: &Carried) -> Result<String, Absent> {
        let segmenter = self.segmenter.lock();
        let window = segmenter.window().filter(|w| w.is_presentable()).ok_or(Absent::NotFound)?;
        Ok(window.playlist(variant, skip, carried))
    }

    pub(super) fn init(&self, seed: Seed, number: u64) -> Option<Bytes> {
        self.segmenter.lock().window().filter(|_| seed == self.seed)?.init(number)
    }

    pub(super) fn segment(&self, seed: Seed, msn: u64) -> Option<SegmentView> {
        self.segmenter.lock().window().filter(|_| seed == self.seed)?.segment(msn)
    }

    /// A part that is there.
    pub(super) fn part_now(&self, number: u64) -> Option<Bytes> {
        match self.segmenter.lock().window()?.part(number) {
            PartLookup::Here(bytes) => Some(bytes),
            PartLookup::Next | PartLookup::Missing => None,
        }
    }

    /// A part; the one that comes next is held until it is there.
    pub(super) async fn part(&self, seed: Seed, number: u64) -> Result<Bytes, Absent> {
        if seed != self.seed {
            return Err(Absent::NotFound);
        }
        let look = |window: &Window| match window.part(number) {
            PartLookup::Here(bytes) => Some(Ok(bytes)),
            PartLookup::Missing => Some(Err(Absent::NotFound)),
            PartLookup::Next => None,
        };
        self.wait(self.hold(), look).await?.unwrap_or(Err(Absent::NotFound))
    }

    /// Target Duration.
    pub(super) fn target(&self) -> Duration {
        Duration::from_micros(self.segmenter.lock().window().map_or(0, Window::target))
    }

    fn hold(&self) -> Duration {
        (self.target() * 3).max(self.config.least_hold)
    }

    /// Waits until `look` finds something in the window; `None` when the time or the stream is over.
    async fn wait<T>(&self, at_most: Duration, look: impl Fn(&Window) -> Option<T>) -> Result<Option<T>, Absent> {
        let mut changed = self.changed.subscribe();
        let until = Instant::now() + at_most;
        let mut permit: Option<SemaphorePermit<'_>> = None;
        loop {
            changed.mark_unchanged();
            let over = self.is_over();
            let found = self.segmenter.lock().window().and_then(&look);
            if found.is_some() || over {
                return Ok(found);
            }
            if permit.is_none() {
                permit = Some(self.held.try_acquire().map_err(|_full| Absent::Crowded)?);
            }
            if tokio::time::timeout_at(until, changed.changed()).await.is_err() {
                return Ok(None);
            }
            self.touch();
        }
    }
}

/// A block beyond what a player can mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct TooFar;
