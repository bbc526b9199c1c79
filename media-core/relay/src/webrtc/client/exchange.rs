//! From a target to a connection that stands: offer, answer, candidates, and the farewell.
//!
//! Belongs here: the order of it, either way of media. Not here: HTTP (`signalling`), WebRTC (`connection`).

use super::connection::{Connection, Way};
use super::signalling::Signalling;
use super::{ClientState, ClientStatus, WhipError, WhipTarget};
use std::time::Duration;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// From the answer to the end of the DTLS handshake.
const CONNECT: Duration = Duration::from_secs(10);

/// A connection through which media can flow, and the session it is at the server.
pub(super) struct Exchanged {
    pub(super) connection: Connection,
    pub(super) signalling: Signalling,
    pub(super) status: watch::Receiver<ClientStatus>,
    /// What the server answered.
    pub(super) answer: String,
}

impl Exchanged {
    /// Ends the session with `DELETE` and closes the connection.
    pub(super) async fn leave(self) {
        self.signalling.delete().await;
        self.connection.close().await;
    }
}

/// Asks the server for its ICE servers, offers, and waits until media can flow; `None` once `stop` was cancelled and no session is
/// left at the server. An offer that is on its way then is waited for, because only its answer names the session.
///
/// # Errors
/// [`WhipError`]; a session that the server had opened is ended with `DELETE` first.
pub(super) async fn exchange(
    target: &WhipTarget,
    way: &Way,
    stop: &CancellationToken,
) -> Result<Option<Exchanged>, WhipError> {
    let mut signalling = Signalling::new(target)?;
    let mut ice_servers = target.ice_servers.clone();
    let named = tokio::select! {
        biased;
        () = stop.cancelled() => return Ok(None),
        named = signalling.options() => named?,
    };
    for server in named {
        if !ice_servers.contains(&server) {
            ice_servers.push(server);
        }
    }
    // Some servers name their ICE servers only with the answer, when gathering is over: then once more, with them.
    for attempt in 0..2 {
        let status = watch::Sender::new(ClientStatus::default());
        let receiver = status.subscribe();
        let connection = Connection::build(target, way, &ice_servers, status).await?;
        let offer = connection.offer().await?;
        if stop.is_cancelled() {
            connection.close().await;
            return Ok(None);
        }
        let posted = match signalling.post(&offer).await {
            Ok(posted) => posted,
            Err(error) => {
                connection.close().await;
                return Err(error);
            }
        };
        let new: Vec<_> = posted.ice_servers.iter().filter(|s| !ice_servers.contains(s)).cloned().collect();
        if attempt == 0 && !new.is_empty() {
            signalling.delete().await;
            connection.close().await;
            ice_servers.extend(new);
            continue;
        }
        let finished = tokio::select! {
            biased;
            () = stop.cancelled() => None,
            finished = finish(&connection, &mut signalling, &posted.answer, receiver.clone()) => Some(finished),
        };
        let error = match finished {
            Some(Ok(())) => {
                return Ok(Some(Exchanged { connection, signalling, status: receiver, answer: posted.answer }));
            }
            Some(Err(error)) => Some(error),
            None => None,
        };
        signalling.delete().await;
        connection.close().await;
        return error.map_or(Ok(None), Err);
    }
    Err(WhipError::Protocol { detail: "other ICE servers with every answer".into() })
}

async fn finish(
    connection: &Connection,
    signalling: &mut Signalling,
    answer: &str,
    mut status: watch::Receiver<ClientStatus>,
) -> Result<(), WhipError> {
    connection.accept(answer).await?;
    let deadline = tokio::time::Instant::now() + CONNECT;
    loop {
        let state = status.borrow_and_update().state;
        match state {
            ClientState::Connected => return Ok(()),
            ClientState::Failed => return Err(WhipError::Timeout("ICE")),
            ClientState::Connecting | ClientState::Interrupted => {}
        }
        tokio::select! {
            changed = status.changed() => changed.map_err(|_| WhipError::Lost)?,
            fragment = connection.trickle() => signalling.patch(&fragment).await,
            () = tokio::time::sleep_until(deadline) => return Err(WhipError::Timeout("ICE")),
        }
    }
}
