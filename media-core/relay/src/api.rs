//! The control API, version 3, as far as it goes: what runs, and what it carries.
//!
//! Belongs here: routes and JSON shapes, which are MediaMTX's; those of connections and sessions are in `clients`. Not here:
//! the things themselves (`hub`, `rtmp`, `webrtc`, `hls`).

mod clients;
mod listing;
mod pushes;
mod rtsp;
mod srt;

use crate::clock::Clock;
use crate::hls::HlsState;
use crate::metrics::{Report, RtspReport};
use crate::push::Pushes;
use crate::rtmp::RtmpConns;
use crate::rtsp::RtspLists;
use crate::srt::SrtConns;
use crate::webrtc::WebRtcState;
use axum::extract::{Path, Query, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use hub::{Hub, Mended, PathName, PathState};
use media::MonoTime;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::SystemTime;

/// What the API shows.
#[derive(Debug, Clone)]
pub(crate) struct Api {
    pub(crate) hub: Hub,
    pub(crate) clock: Clock,
    pub(crate) rtmp: Option<RtmpConns>,
    pub(crate) rtmps: Option<RtmpConns>,
    pub(crate) rtsp: Option<RtspLists>,
    pub(crate) rtsps: Option<RtspLists>,
    pub(crate) srt: Option<SrtConns>,
    pub(crate) webrtc: Option<WebRtcState>,
    pub(crate) hls: Option<HlsState>,
    /// Paths that are fetched, and what kind of source feeds them.
    pub(crate) sources: BTreeMap<PathName, &'static str>,
    pub(crate) pushes: Pushes,
    pub(crate) started: SystemTime,
}

/// The API's routes.
pub(crate) fn router(api: Api) -> Router {
    Router::new()
        .route("/v3/info", get(info))
        .route("/v3/paths/list", get(paths))
        .route("/v3/paths/get/{*name}", get(path))
        .merge(clients::router())
        .merge(rtsp::router())
        .merge(pushes::router())
        .merge(srt::router())
        .fallback(|| async { failure(StatusCode::NOT_FOUND, "not found") })
        .with_state(api)
}

/// The route of `/metrics`.
pub(crate) fn metrics_router(api: Api) -> Router {
    Router::new().route("/metrics", get(metrics)).with_state(api)
}

async fn metrics(State(api): State<Api>) -> Response {
    let report = Report {
        paths: api.hub.paths(),
        rtmp: api.rtmp.as_ref().map(RtmpConns::list).unwrap_or_default(),
        rtmps: api.rtmps.as_ref().map(RtmpConns::list).unwrap_or_default(),
        rtsp: RtspReport::of(api.rtsp.as_ref()),
        rtsps: RtspReport::of(api.rtsps.as_ref()),
        srt: api.srt.as_ref().map(SrtConns::list).unwrap_or_default(),
        webrtc: api.webrtc.as_ref().map(WebRtcState::sessions).unwrap_or_default(),
        hls: api.hls.as_ref().map(HlsState::muxers).unwrap_or_default(),
        pushes: api.pushes.list(),
    };
    let text = report.text();
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], text).into_response()
}

async fn info(State(api): State<Api>) -> Response {
    Json(serde_json::json!({ "version": env!("CARGO_PKG_VERSION"), "started": timestamp(api.started) })).into_response()
}

async fn paths(State(api): State<Api>, page: Query<Page>) -> Response {
    page.of(api.paths())
}

async fn path(State(api): State<Api>, Path(name): Path<String>) -> Response {
    match PathName::parse(&name).ok().and_then(|name| api.path(&name)) {
        Some(path) => Json(path).into_response(),
        None => failure(StatusCode::NOT_FOUND, "path not found"),
    }
}

fn failure(status: StatusCode, error: &str) -> Response {
    (status, Json(serde_json::json!({ "status": "error", "error": error }))).into_response()
}

/// `?page=&itemsPerPage=`, counted from 0.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Page {
    #[serde(default)]
    page: usize,
    #[serde(default = "Page::default_items")]
    items_per_page: usize,
}

impl Page {
    const fn default_items() -> usize {
        100
    }

    fn of<T: Serialize>(&self, items: Vec<T>) -> Response {
        if self.items_per_page == 0 {
            return failure(StatusCode::BAD_REQUEST, "itemsPerPage must be above 0");
        }
        let (count, pages) = (items.len(), items.len().div_ceil(self.items_per_page));
        let skipped = self.page.saturating_mul(self.items_per_page);
        let items: Vec<T> = items.into_iter().skip(skipped).take(self.items_per_page).collect();
        Json(serde_json::json!({ "itemCount": count, "pageCount": pages, "items": items })).into_response()
    }
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct PathView {
    name: String,
    conf_name: String,
    source: Option<Role>,
    ready: bool,
    ready_time: Option<String>,
    available: bool,
    available_time: Option<String>,
    online: bool,
    online_time: Option<String>,
    tracks: Vec<&'static str>,
    tracks2: Vec<TrackView>,
    skipped_tracks: Vec<SkippedView>,
    bytes_received: u64,
    bytes_sent: u64,
    inbound_bytes: u64,
    outbound_bytes: u64,
    readers: Vec<Role>,
}

#[derive(Debug, Serialize)]
struct Role {
    r#type: &'static str,
    id: String,
}

/// A track that is not carried, and to whom; to nobody where there is no reader.
#[derive(Debug, Serialize)]
struct SkippedView {
    codec: String,
    reason: String,
    reader: Option<Role>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct TrackView {
    codec: &'static str,
    codec_props: serde_json::Value,
}

impl Api {
    /// What the hub has, and what would be fetched if somebody wanted it, by name.
    fn paths(&self) -> Vec<PathView> {
        let live: BTreeMap<_, _> = self.hub.paths().into_iter().map(|path| (path.name.clone(), path)).collect();
        let names: BTreeSet<_> = live.keys().chain(self.sources.keys()).collect();
        names
            .into_iter()
            .map(|name| live.get(name).map_or_else(|| self.view(&idle(name)), |path| self.view(path)))
            .collect()
    }

    fn path(&self, name: &PathName) -> Option<PathView> {
        let known = self.sources.contains_key(name).then(|| idle(name));
        self.hub.path(name).or(known).map(|path| self.view(&path))
    }

    fn view(&self, path: &PathState) -> PathView {
        let ready = path.publisher.is_some() && !path.tracks.is_empty();
        let since = path.publisher.as_ref().map(|(_, since)| self.wall(*since)).filter(|_| ready);
        PathView {
            name: path.name.as_str().into(),
            conf_name: path.name.as_str().into(),
            source: path
                .publisher
                .as_ref()
                .map(|(info, _)| Role { r#type: info.kind, id: info.id.clone() })
                .or_else(|| self.sources.get(&path.name).map(|kind| Role { r#type: kind, id: String::new() })),
            ready,
            ready_time: since.clone(),
            available: ready,
            available_time: since.clone(),
            online: ready,
            online_time: since,
            tracks: path.tracks.iter().map(|t| t.codec().label()).collect(),
            tracks2: path.tracks.iter().map(track).collect(),
            skipped_tracks: skipped(path),
            bytes_received: path.inbound_bytes,
            bytes_sent: path.outbound_bytes,
            inbound_bytes: path.inbound_bytes,
            outbound_bytes: path.outbound_bytes,
            readers: path.readers.iter().map(|r| Role { r#type: r.info.kind, id: r.info.id.clone() }).collect(),
        }
    }

    fn wall(&self, time: MonoTime) -> String {
        timestamp(SystemTime::now() - self.clock.now().since(time))
    }
}

/// A path that the hub does not hold now.
fn idle(name: &PathName) -> PathState {
    PathState {
        name: name.clone(),
        publisher: None,
        tracks: Arc::default(),
        skipped_tracks: Vec::new(),
        readers: Vec::new(),
        inbound_bytes: 0,
        outbound_bytes: 0,
        mended: Mended::default(),
        ring_bytes: 0,
    }
}

/// What the publisher sends and nobody gets, then what single readers do not get.
fn skipped(path: &PathState) -> Vec<SkippedView> {
    let view = |track: &hub::SkippedTrack, reader| SkippedView {
        codec: track.codec.clone(),
        reason: track.reason.clone(),
        reader,
    };
    let of_publisher = path.skipped_tracks.iter().map(|track| view(track, None));
    let of_readers = path.readers.iter().flat_map(|reader| {
        let role = || Some(Role { r#type: reader.info.kind, id: reader.info.id.clone() });
        reader.skipped_tracks.iter().map(move |track| view(track, role()))
    });
    of_publisher.chain(of_readers).collect()
}

fn track(track: &media::Track) -> TrackView {
    let codec_props = match &*track.params {
        media::CodecParams::H264(p) => serde_json::json!({
            "width": p.width(), "height": p.height(), "profile": p.codec_string(),
        }),
        media::CodecParams::H265(_)
        | media::CodecParams::Av1(_)
        | media::CodecParams::Vp8(_)
        | media::CodecParams::Vp9(_) => {
            let (width, height) = track.params.size().unwrap_or_default();
            serde_json::json!({ "width": width, "height": height, "profile": track.params.codec_string() })
        }
        media::CodecParams::Mjpeg(p) => serde_json::json!({ "width": p.width(), "height": p.height() }),
        media::CodecParams::Aac(p) => serde_json::json!({
            "sampleRate": p.rate().hz(), "channelCount": p.channels(),
        }),
        media::CodecParams::Opus(p) => serde_json::json!({ "channelCount": p.channels }),
        media::CodecParams::G711(p) => serde_json::json!({
            "muLaw": p.law == media::G711Law::Mu, "sampleRate": p.rate.hz(), "channelCount": p.channels,
        }),
        media::CodecParams::MpegAudio(_) => serde_json::json!({}),
    };
    TrackView { codec: track.codec().label(), codec_props }
}

/// RFC 3339 in UTC.
fn timestamp(time: SystemTime) -> String {
    humantime::format_rfc3339_seconds(time).to_string()
}
