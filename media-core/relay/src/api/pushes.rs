//! What is pushed to other servers, in the API. MediaMTX has no such list; the envelope and the manner are its. Not here: pushing
//! (`push`).

use super::clients::{kicked, one};
use super::{Api, Page};
use crate::push::{PushPhase, PushState};
use axum::Router;
use axum::extract::{Path, Query, State};
use axum::response::Response;
use axum::routing::{get, post};
use serde::Serialize;

/// The routes of pushes. `kick` ends a connection, or a pause, and the next try comes at once.
pub(super) fn router() -> Router<Api> {
    Router::new()
        .route("/v3/pushes/list", get(list))
        .route("/v3/pushes/get/{id}", get(get_one))
        .route("/v3/pushes/kick/{id}", post(kick))
}

async fn list(State(api): State<Api>, page: Query<Page>) -> Response {
    page.of(api.pushes.list().into_iter().map(|push| api.push(push)).collect())
}

async fn get_one(State(api): State<Api>, Path(id): Path<String>) -> Response {
    one(api.pushes.get(&id).map(|push| api.push(push)), "push")
}

async fn kick(State(api): State<Api>, Path(id): Path<String>) -> Response {
    kicked(api.pushes.kick(&id), "push")
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct PushView {
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

impl Api {
    fn push(&self, push: PushState) -> PushView {
        let state = push.phase.name();
        let (running_since, error) = match push.phase {
            PushPhase::Running(since) => (Some(self.wall(since)), None),
            PushPhase::Failed { error, .. } => (None, Some(error)),
            PushPhase::Waiting | PushPhase::Connecting => (None, None),
        };
        PushView {
            created: self.wall(push.created),
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
