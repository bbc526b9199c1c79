//! What is pushed to other servers, in the API. MediaMTX has no such list; the envelope and the manner are its. Not here: pushing
//! (`push`).

use super::Api;
use super::listing::{Entry, kicked, listed};
use crate::push::{PushPhase, PushState};
use axum::Router;
use serde::Serialize;

/// The routes of pushes. `kick` ends a connection, or a pause, and the next try comes at once.
pub(super) fn router() -> Router<Api> {
    let kick = |api: Api, id: String| async move { Some(api.pushes.kick(&id)) };
    listed("pushes", |api| Some(api.pushes.list())).merge(kicked::<PushState, _>("pushes", kick))
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct PushView {
    id: String,
    created: String,
    path: String,
    destination: String,
    state: &'static str,
    /// Since when the server takes the stream.
    running_since: Option<String>,
    error: Option<String>,
    failures: u64,
    outbound_bytes: u64,
    bytes_sent: u64,
}

impl Entry for PushState {
    const WHAT: &'static str = "push";
    type View = PushView;

    fn id(&self) -> &str {
        &self.id
    }

    fn view(self, api: &Api) -> PushView {
        let push = self;
        let state = push.phase.name();
        let (running_since, error) = match push.phase {
            PushPhase::Running(since) => (Some(api.wall(since)), None),
            PushPhase::Failed { error, .. } => (None, Some(error)),
            PushPhase::Waiting | PushPhase::Connecting => (None, None),
        };
        PushView {
            created: api.wall(push.created),
            id: push.id,
            path: push.path.as_str().to_owned(),
            destination: push.destination,
            state,
            running_since,
            error,
            failures: push.failures,
            outbound_bytes: push.outbound_bytes,
            bytes_sent: push.outbound_bytes,
        }
    }
}
