//! One push from its beginning to its end: waits for the path, tries, pauses, tries again.
//!
//! Not here: one connection (`rtmp` and its like), how long to pause (`backoff`).

use super::destination::{Destination, To};
use super::registry::{Listed, PushPhase};
use super::{PushError, rtmp, rtsp, srt, whip};
use crate::backoff::Backoff;
use crate::clock::Clock;
use crate::listen::{Listener, Listening, Sound, Takes};
use crate::rtsp::known_tracks;
use hub::{PathName, ReaderInfo, Start};
use media::{MonoTime, TrackSet};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tracing::{Instrument, info, info_span, warn};

/// A connection that has lasted this long has worked: the next failure starts over.
const WORKED: Duration = Duration::from_secs(10);

/// What a connection needs besides its address.
pub(super) struct Attempt<'a> {
    pub(super) listed: &'a Listed,
    pub(super) clock: Clock,
    /// Cancelled: the stream is to be ended in good order.
    pub(super) stop: CancellationToken,
}

impl Attempt<'_> {
    /// The server takes the stream.
    pub(super) fn runs(&self) {
        info!("pushing");
        self.listed.phase(PushPhase::Running(self.clock.now()));
    }
}

/// Pushes until `stop`.
pub(super) async fn keep(
    path: PathName,
    destination: Destination,
    listening: Listening,
    clock: Clock,
    listed: Listed,
    stop: CancellationToken,
    kick: Arc<Notify>,
) {
    let span = info_span!("push", %path, %destination);
    let pushing = Pushing { path, destination, listening, clock, listed };
    pushing.run(stop, kick).instrument(span).await;
}

struct Pushing {
    path: PathName,
    destination: Destination,
    listening: Listening,
    clock: Clock,
    listed: Listed,
}

impl Pushing {
    async fn run(&self, stop: CancellationToken, kick: Arc<Notify>) {
        let mut backoff = Backoff::new();
        while !stop.is_cancelled() {
            self.listed.phase(PushPhase::Waiting);
            if stop.run_until_cancelled(self.listening.published(&self.path)).await.is_none() {
                return;
            }
            self.listed.phase(PushPhase::Connecting);
            let began = self.clock.now();
            let this = stop.child_token();
            let attempt = self.attempt(this.clone());
            tokio::pin!(attempt);
            let (ended, kicked) = tokio::select! {
                ended = &mut attempt => (ended, false),
                () = kick.notified() => {
                    this.cancel();
                    (attempt.await, true)
                }
            };
            if stop.is_cancelled() {
                return;
            }
            if self.clock.now().since(began) >= WORKED {
                backoff.succeeded();
            }
            match ended {
                Ok(()) if kicked => info!("ended by request"),
                Ok(()) => info!("ended with the path"),
                Err(error) => {
                    let pause = backoff.failed(rand::random());
                    warn!(%error, ?pause, "failed");
                    self.listed.failed(error.to_string(), later(self.clock.now(), pause));
                    tokio::select! {
                        () = stop.cancelled() => return,
                        () = kick.notified() => {}
                        () = tokio::time::sleep(pause) => {}
                    }
                }
            }
        }
    }

    /// One connection. `Ok` where the path or we ended it.
    async fn attempt(&self, stop: CancellationToken) -> Result<(), PushError> {
        let trust = self.destination.trust;
        let attempt = Attempt { listed: &self.listed, clock: self.clock, stop };
        match &self.destination.to {
            To::Rtmp(url) => rtmp::push(url, trust, self.listen(Sound::Aac).await?, &attempt).await,
            To::Srt(url) => srt::push(url, self.listen(crate::srt::SOUND).await?, &attempt).await,
            To::Rtsp(url) => {
                let Some((listener, tracks)) = self.described(rtsp::takes(), &attempt).await? else { return Ok(()) };
                rtsp::push(url, trust, listener, &tracks, &attempt).await
            }
            To::Whip(target) => {
                let Some((mut listener, _)) = self.described(whip::takes(), &attempt).await? else { return Ok(()) };
                // The tracks are told again, to whom they are for.
                listener.restart();
                whip::push(target, listener, &attempt).await
            }
        }
    }

    /// A listener and the tracks of the path, for protocols that describe them once; `None` where the attempt is stopped.
    async fn described(
        &self,
        takes: impl Into<Takes> + Send,
        attempt: &Attempt<'_>,
    ) -> Result<Option<(Listener, Arc<TrackSet>)>, PushError> {
        let mut listener = self.listen(takes).await?;
        let known = known_tracks(&mut listener, self.listening.hub(), &self.path, self.clock);
        let Some(tracks) = attempt.stop.run_until_cancelled(known).await else { return Ok(None) };
        let tracks = tracks?;
        Ok(Some((listener, tracks)))
    }

    async fn listen(&self, takes: impl Into<Takes> + Send) -> Result<Listener, PushError> {
        let info = ReaderInfo { kind: self.destination.kind(), id: self.listed.id.clone() };
        Ok(self.listening.open(&self.path, takes, info, Start::Soonest).await?)
    }
}

fn later(now: MonoTime, pause: Duration) -> MonoTime {
    MonoTime::from_micros(now.micros().saturating_add(u64::try_from(pause.as_micros()).unwrap_or(u64::MAX)))
}
