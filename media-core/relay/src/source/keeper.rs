//! When a source is fetched: always or while somebody wants it, and again when it broke.
//!
//! Not here: one attempt (the protocol's client), how long to pause (`backoff`).

use super::{OnDemand, SourceConfig, SourceError};
use crate::backoff::Backoff;
use crate::clock::Clock;
use crate::webrtc::client::Farewells;
use hub::Hub;
use std::convert::Infallible;
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tracing::{info, warn};

/// A source that delivered for this long was all right: when it breaks, it is tried again as if for the first time.
const STEADY: Duration = Duration::from_secs(5);

/// Keeps `source` on its path for as long as it is polled.
pub(super) async fn keep(source: SourceConfig, hub: Hub, clock: Clock, farewells: Farewells) -> Infallible {
    let Some(times) = source.on_demand else { return again(&source, &hub, clock, &farewells).await };
    loop {
        wanted(&source, &hub, |demand| demand > 0).await;
        info!(path = %source.path, url = %source.url, "somebody wants it: the source is fetched");
        tokio::select! {
            never = again(&source, &hub, clock, &farewells) => return never,
            () = unwanted(&source, &hub, times) => {}
        }
        info!(path = %source.path, "nobody wants it any more: the source is left");
    }
}

/// Fetches, and fetches again.
async fn again(source: &SourceConfig, hub: &Hub, clock: Clock, farewells: &Farewells) -> Infallible {
    let mut backoff = Backoff::new();
    loop {
        let (began, before) = (Instant::now(), received(source, hub));
        let error = match attempt(source, hub, clock, farewells).await {
            Ok(never) => return never,
            Err(error) => error,
        };
        if began.elapsed() >= STEADY && received(source, hub) != before {
            backoff.succeeded();
        }
        let pause = backoff.failed(rand::random());
        warn!(path = %source.path, url = %source.url, %error, ?pause, "the source is gone and will be tried again");
        tokio::time::sleep(pause).await;
    }
}

/// One attempt, in a task of its own: what comes from elsewhere goes through parsers of others, and one that panics ends its attempt alone.
async fn attempt(
    source: &SourceConfig,
    hub: &Hub,
    clock: Clock,
    farewells: &Farewells,
) -> Result<Infallible, SourceError> {
    // Dropping the set ends the task.
    let mut task = JoinSet::new();
    let (source, hub, farewells) = (source.clone(), hub.clone(), farewells.clone());
    task.spawn(async move { source.fetch(&hub, clock, &farewells).await });
    task.join_next().await.and_then(Result::ok).unwrap_or(Err(SourceError::Panicked))
}

fn received(source: &SourceConfig, hub: &Hub) -> u64 {
    hub.path(&source.path).map_or(0, |path| path.inbound_bytes)
}

/// Waits until nobody has wanted it for long enough.
async fn unwanted(source: &SourceConfig, hub: &Hub, times: OnDemand) {
    loop {
        wanted(source, hub, |demand| demand == 0).await;
        if tokio::time::timeout(times.close_after, wanted(source, hub, |demand| demand > 0)).await.is_err() {
            return;
        }
    }
}

/// Waits until as many want it as `enough` says.
async fn wanted(source: &SourceConfig, hub: &Hub, enough: impl Fn(usize) -> bool) {
    loop {
        let changed = hub.demand_changed();
        tokio::pin!(changed);
        changed.as_mut().enable();
        if enough(hub.demand(&source.path)) {
            return;
        }
        changed.await;
    }
}
