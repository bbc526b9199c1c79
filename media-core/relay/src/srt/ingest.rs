//! Payloads of a publisher to units of a path, from server connections and pulls alike.
//!
//! Belongs here: when publishing ends. Not here: a transport stream's way into a path (`crate::mpegts`).

use super::session::{Session, SessionError, Turn};
use crate::clock::Clock;
use crate::mpegts::Ingest;
use bytes::Bytes;
use hub::{Publisher, PublisherState};
use std::time::Duration;
use tokio::time::Instant;

/// A publisher that keeps the connection alive and sends nothing for this long has nothing more to send.
const STARVED: Duration = Duration::from_secs(10);

/// Why publishing ended.
#[derive(Debug)]
pub(super) enum End {
    /// The peer said goodbye.
    Closed,
    /// Payloads stopped coming.
    Starved,
    /// The path is another publisher's now, or was closed.
    Replaced(PublisherState),
}

/// Writes `first`, and then what `session` brings until either side ends it.
pub(super) async fn run(
    session: &mut Session,
    publisher: &Publisher,
    clock: Clock,
    first: Option<Bytes>,
) -> Result<End, SessionError> {
    let mut ingest = Ingest::default();
    first.inspect(|payload| ingest.push(payload, publisher, clock.now()));
    let mut fed = Instant::now();
    loop {
        tokio::select! {
            turn = session.turn() => match turn? {
                Turn::Payload(payload) => {
                    fed = Instant::now();
                    ingest.push(&payload, publisher, clock.now());
                }
                Turn::Closed => return Ok(End::Closed),
                Turn::Nothing if fed.elapsed() >= STARVED => return Ok(End::Starved),
                Turn::Nothing => {}
            },
            () = publisher.changed() => {
                let state = publisher.state();
                if state != PublisherState::Live {
                    return Ok(End::Replaced(state));
                }
            }
        }
    }
}
