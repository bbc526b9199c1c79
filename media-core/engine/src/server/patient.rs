//! The patient's stream at a server elsewhere: by WHEP where that brings sound, else by RTMP.
//!
//! Belongs here: which of the two, and when to try again. Not here: the protocols (`relay`), addresses (`super`).

use super::ServerTarget;
use device::MonoClock;
use hub::Hub;
use relay::rtmp::RtmpUrl;
use relay::tls::Trust;
use relay::webrtc::client::{self, ClientStatus, Farewells, WhepError, WhipError, Wish};
use relay::{Backoff, Clock};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Notify, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// The patient's sound comes with the first pictures, or the server does not make it fit for WebRTC and never will.
const SOUND: Duration = Duration::from_secs(3);
/// So long WHEP is given alone while nothing comes at all: a patient who is not there yet comes by either way.
const NOBODY: Duration = Duration::from_secs(12);
/// So long RTMP is given then, before WHEP is asked again.
const RTMP_ALONE: Duration = Duration::from_secs(5);
/// Where nobody answers by WHEP, every question delays the patient; so long it is not asked again.
const WITHOUT_WHEP: Duration = Duration::from_secs(30);
/// A stream that played for this long was all right.
const STEADY: Duration = Duration::from_secs(5);
/// A patient who is not there yet is no failure: the server is asked often, not ever more rarely.
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// Keeps `target.patient` coming into `hub` until `stop`; `status` gets what is known of the way where it is WHEP's.
pub(super) async fn pull(
    hub: Hub,
    target: ServerTarget,
    stop: CancellationToken,
    retry: Arc<Notify>,
    status: watch::Sender<ClientStatus>,
) {
    let url = match RtmpUrl::parse(&target.rtmp()) {
        Ok(url) => url,
        Err(error) => {
            tracing::error!(%error, "the server's address is no RTMP address");
            return;
        }
    };
    let mut way = Way { hub, target, url, status, farewells: Farewells::default(), whep_from: Instant::now() };
    let mut backoff = Backoff::new();
    loop {
        let began = Instant::now();
        let played = tokio::select! {
            () = stop.cancelled() => break,
            played = way.attempt() => played,
        };
        // A stream that played and ended is asked for again at once.
        if played && began.elapsed() > STEADY {
            backoff.succeeded();
        }
        let pause = backoff.failed(rand::random()).min(LONGEST_PAUSE);
        tokio::select! {
            () = stop.cancelled() => break,
            () = retry.notified() => way.whep_from = Instant::now(),
            () = tokio::time::sleep(pause) => {}
        }
    }
    way.farewells.ended().await;
}

struct Way {
    hub: Hub,
    target: ServerTarget,
    url: RtmpUrl,
    status: watch::Sender<ClientStatus>,
    farewells: Farewells,
    /// Not by WHEP before.
    whep_from: Instant,
}

impl Way {
    /// One try by each; says whether anything played.
    async fn attempt(&mut self) -> bool {
        let before = self.received();
        let mut alone = None;
        if Instant::now() >= self.whep_from {
            let error = self.by_whep().await;
            tracing::debug!(%error, "the patient's stream by WHEP");
            if self.received() != before {
                return true;
            }
            match error {
                WhepError::Client(WhipError::Refused { .. } | WhipError::Timeout(_)) => {
                    self.whep_from = Instant::now() + WITHOUT_WHEP;
                }
                // WHEP would do; it is the patient who is missing.
                WhepError::Silent(_) => alone = Some(RTMP_ALONE),
                _ => {}
            }
        }
        self.by_rtmp(alone).await;
        self.received() != before
    }

    async fn by_whep(&self) -> WhepError {
        let wish = Wish::Sound { within: SOUND, patience: NOBODY };
        let (target, path, clock) = (self.target.whep(), &self.target.patient, Clock::new(MonoClock::now));
        let pulling = client::pull(&target, wish, &self.hub, path, clock, &self.status, &self.farewells);
        match pulling.await {
            Ok(never) => match never {},
            Err(error) => error,
        }
    }

    /// By RTMP until it ends, or for as long as nothing may come.
    async fn by_rtmp(&self, alone: Option<Duration>) {
        let (path, clock) = (&self.target.patient, Clock::new(MonoClock::now));
        let before = self.received();
        let nothing = async {
            match alone {
                Some(limit) => tokio::time::sleep(limit).await,
                None => std::future::pending().await,
            }
            if self.received() != before {
                std::future::pending::<()>().await;
            }
        };
        tokio::select! {
            ended = relay::rtmp::pull(&self.url, Trust::System, &self.hub, path, clock) => {
                let Err(error) = ended;
                tracing::debug!(%error, "the patient's stream by RTMP");
            }
            () = nothing => tracing::debug!("the patient's stream by RTMP: nothing comes"),
        }
    }

    fn received(&self) -> u64 {
        self.hub.path(&self.target.patient).map_or(0, |path| path.inbound_bytes)
    }
}
