//! Publishing by WHIP.
//!
//! Belongs here: what is known of the connection, for the list of pushes. Not here: the connection (`crate::webrtc::client`).

use super::PushError;
use super::keeper::Attempt;
use crate::listen::{Listener, Sound, Takes};
use crate::webrtc::client::{ClientState, ClientStatus, WhipClient, WhipTarget};
use tokio::sync::watch;

/// What WebRTC carries: pictures in the order of their showing, sound as Opus.
pub(super) fn takes() -> Takes {
    Takes { reordered: false, ..Sound::Opus.into() }
}

/// Publishes what `listener` gives at `target`.
pub(super) async fn push(target: &WhipTarget, mut listener: Listener, attempt: &Attempt<'_>) -> Result<(), PushError> {
    let (status, mut seen) = watch::channel(ClientStatus::default());
    let publishing = WhipClient::publish(target, &mut listener, &status, attempt.stop.cancelled());
    tokio::pin!(publishing);
    let (mut runs, mut sent) = (false, 0);
    loop {
        tokio::select! {
            ended = &mut publishing => return Ok(ended?),
            Ok(()) = seen.changed() => {
                let now = *seen.borrow_and_update();
                if now.state == ClientState::Connected && !runs {
                    runs = true;
                    attempt.runs();
                }
                attempt.listed.sent(usize::try_from(now.bytes.saturating_sub(sent)).unwrap_or(usize::MAX));
                sent = now.bytes;
            }
        }
    }
}
