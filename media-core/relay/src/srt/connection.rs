//! One caller of the server, from its question to its end.
//!
//! Belongs here: whether it is let in, and what it then does. Not here: payloads (`ingest`, `egress`), handshakes (`door`).

use super::door::Caller;
use super::link::Terms;
use super::registry::Listed;
use super::server::SrtServer;
use super::session::{Session, SessionError, Turn, Wire};
use super::stream_id::StreamId;
use super::{egress, ingest};
use crate::access::{AccessRequest, Action, Refusal};
use crate::listen::ListenError;
use crate::rtmp::ConnState;
use hub::{PathName, PublishError, PublisherInfo, ReaderInfo};
use srt_protocol::packet::{RejectReason, ServerRejectReason};
use std::time::Duration;
use thiserror::Error;
use tracing::{debug, info, warn};

/// Whoever decides has this long: callers give up after three seconds (libsrt's `SRTO_CONNTIMEO`).
const DECIDE: Duration = Duration::from_secs(3);
/// How late payloads come out where the caller wishes nothing longer: SRT's own default.
const LATENCY: Duration = Duration::from_millis(120);
/// Payloads of a publisher held for those that are missing, 5 MB: a second of 40 Mbit/s.
const PUBLISHER_WINDOW: u32 = 4096;
/// A reader sends nothing, but is not to be refused for it.
const READER_WINDOW: u32 = 16;

/// Why a connection ended badly.
#[derive(Debug, Error)]
enum ConnectionError {
    #[error(transparent)]
    Session(#[from] SessionError),
    #[error(transparent)]
    Listen(#[from] ListenError),
    #[error(transparent)]
    Publish(#[from] PublishError),
}

/// Serves `caller` until either side ends it. Dropping the future ends it at once.
pub(super) async fn serve(server: SrtServer, caller: Caller, wish: StreamId, id: String, listed: Listed, wire: Wire) {
    let (action, path) = (wish.action, wish.path.clone());
    if let Err((reason, why)) = granted(&server, &caller, wish).await {
        warn!(%path, ?action, why, "refused");
        return wire.send(&caller.reject(reason));
    }
    let passphrase = server.config.passphrases.passphrase(&path, action);
    let receive = if action == Action::Publish { PUBLISHER_WINDOW } else { READER_WINDOW };
    let terms = Terms { latency: LATENCY, receive, passphrase };
    let (answer, link) = match caller.accept(std::time::Instant::now(), listed.socket, &terms) {
        Ok(accepted) => accepted,
        Err(reason) => {
            warn!(%path, ?action, %reason, "refused");
            return wire.send(&caller.reject(reason));
        }
    };
    wire.send(&answer);
    let state = if action == Action::Publish { ConnState::Publish } else { ConnState::Read };
    listed.accepted(answer, state);
    let session = Session::new(wire, link, Some(listed));
    let ended = match action {
        Action::Publish => publish(&server, session, &path, id).await,
        Action::Read => read(&server, session, &path, id).await,
    };
    if let Err(error) = ended {
        warn!(%path, %error, "closed");
    }
}

/// Is the wish granted? Else what the caller is told, and why.
async fn granted(server: &SrtServer, caller: &Caller, wish: StreamId) -> Result<(), (RejectReason, String)> {
    let request = AccessRequest {
        action: wish.action,
        path: wish.path,
        peer: caller.key().0,
        query: wish.query,
        bearer: None,
        basic: wish.credentials,
        digest: None,
    };
    match tokio::time::timeout(DECIDE, server.authorizer.authorize(&request)).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(refusal)) => {
            let reason = match refusal {
                Refusal::Unauthorized => ServerRejectReason::Unauthorized,
                Refusal::NoSuchPath => ServerRejectReason::Notfound,
            };
            Err((reason.into(), refusal.to_string()))
        }
        Err(elapsed) => Err((ServerRejectReason::Gateway.into(), elapsed.to_string())),
    }
}

async fn publish(server: &SrtServer, mut session: Session, path: &PathName, id: String) -> Result<(), ConnectionError> {
    let info = PublisherInfo { kind: "srtConn", id, answers_keyframes: false };
    let publisher = server.hub.publish(path, info, media::TrackSet::default(), server.clock.now())?;
    info!(%path, "publishing");
    match ingest::run(&mut session, &publisher, server.clock, None).await? {
        ingest::End::Closed => debug!(%path, "closed"),
        ingest::End::Starved => warn!(%path, "closed: the publisher sends nothing"),
        ingest::End::Replaced(state) => info!(%path, ?state, "publisher ended by the relay"),
    }
    Ok(())
}

async fn read(server: &SrtServer, mut session: Session, path: &PathName, id: String) -> Result<(), ConnectionError> {
    let opening = egress::open(&server.listening, path, ReaderInfo { kind: "srtConn", id });
    tokio::pin!(opening);
    let mut listener = loop {
        tokio::select! {
            opened = &mut opening => break opened?,
            turn = session.turn() => if let Turn::Closed = turn? {
                return Ok(());
            },
        }
    };
    info!(%path, "reading");
    match egress::run(&mut session, &mut listener, |_| {}).await? {
        egress::End::Closed => debug!(%path, "closed"),
        egress::End::Ended(ended) => debug!(%path, %ended, "closed"),
    }
    Ok(())
}
