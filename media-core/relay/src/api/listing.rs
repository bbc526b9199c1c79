//! What every list of the API has in common: `list` in pages, `get/{id}`, `kick/{id}`.
//!
//! Not here: what stands in a list (`clients`, `rtsp`, `srt`, `pushes`), ending a connection (whoever serves it).

use super::{Api, Page, failure};
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::Serialize;

/// Something that is listed.
pub(super) trait Entry: Send + 'static {
    /// What it is called where there is none.
    const WHAT: &'static str;
    /// Its shape in JSON.
    type View: Serialize;

    /// What it is asked for by.
    fn id(&self) -> &str;
    fn view(self, api: &Api) -> Self::View;
}

/// `/v3/NAME/list` and `/v3/NAME/get/{id}`. A server that does not run has no entries, and is answered for with `404`.
pub(super) fn listed<E: Entry>(
    name: &str,
    entries: impl Fn(&Api) -> Option<Vec<E>> + Clone + Send + Sync + 'static,
) -> Router<Api> {
    let all = entries.clone();
    let list = move |State(api): State<Api>, page: Query<Page>| async move {
        let Some(entries) = all(&api) else { return off() };
        page.of(entries.into_iter().map(|entry| entry.view(&api)).collect())
    };
    let one = move |State(api): State<Api>, Path(id): Path<String>| async move {
        let Some(entries) = entries(&api) else { return off() };
        match entries.into_iter().find(|entry| entry.id() == id) {
            Some(entry) => Json(entry.view(&api)).into_response(),
            None => absent::<E>(),
        }
    };
    // Names of paths have slashes in them.
    Router::new().route(&format!("/v3/{name}/list"), get(list)).route(&format!("/v3/{name}/get/{{*id}}"), get(one))
}

/// `/v3/NAME/kick/{id}`; `kick` says whether there was such an entry, nothing where its server does not run.
pub(super) fn kicked<E: Entry, F: Future<Output = Option<bool>> + Send>(
    name: &str,
    kick: impl Fn(Api, String) -> F + Clone + Send + Sync + 'static,
) -> Router<Api> {
    let kick = move |State(api): State<Api>, Path(id): Path<String>| async move {
        match kick(api, id).await {
            Some(true) => Json(serde_json::json!({ "status": "ok" })).into_response(),
            Some(false) => absent::<E>(),
            None => off(),
        }
    };
    Router::new().route(&format!("/v3/{name}/kick/{{id}}"), post(kick))
}

/// As for a route that is not there.
fn off() -> Response {
    failure(StatusCode::NOT_FOUND, "not found")
}

fn absent<E: Entry>() -> Response {
    failure(StatusCode::NOT_FOUND, &format!("{} not found", E::WHAT))
}
