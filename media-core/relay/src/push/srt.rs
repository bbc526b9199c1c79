//! Publishing by SRT. Not here: the connection, and what goes over it (`crate::srt`).

use super::PushError;
use super::keeper::Attempt;
use crate::listen::Listener;
use crate::srt::{self, SrtUrl};

/// Publishes what `listener` gives at `url`.
pub(super) async fn push(url: &SrtUrl, listener: Listener, attempt: &Attempt<'_>) -> Result<(), PushError> {
    let pushing = srt::push(url, listener, || attempt.runs(), |bytes| attempt.listed.sent(bytes));
    match attempt.stop.run_until_cancelled(pushing).await {
        None | Some(Err(srt::PushError::Ended(_))) => Ok(()),
        Some(Err(error)) => Err(error.into()),
        Some(Ok(never)) => match never {},
    }
}
