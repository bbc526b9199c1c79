//! Who is connected, protocol by protocol: `list`, `get/{id}` and `kick/{id}`, in MediaMTX's names.
//!
//! Belongs here: routes and shapes of connections, sessions and muxers. Not here: paths and the envelope (`api`), ending a
//! connection (whoever serves it).

use super::{Api, Page, failure, timestamp};
use crate::hls::{HlsState, MuxerState};
use crate::metrics::{session_state_name, state_name};
use crate::rtmp::{RtmpConn, RtmpConns};
use crate::webrtc::{READER, SessionInfo, SessionState, WebRtcState};
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::Serialize;

/// The routes of every protocol's clients. Those of a server that does not run answer `404`.
pub(super) fn router() -> Router<Api> {
    Router::new()
        .merge(rtmp("rtmpconns", |api| api.rtmp.as_ref()))
        .merge(rtmp("rtmpsconns", |api| api.rtmps.as_ref()))
        .route("/v3/webrtcsessions/list", get(webrtc_sessions))
        .route("/v3/webrtcsessions/get/{id}", get(webrtc_session))
        .route("/v3/webrtcsessions/kick/{id}", post(kick_webrtc_session))
        .route("/v3/hlsmuxers/list", get(hls_muxers))
        .route("/v3/hlsmuxers/get/{*name}", get(hls_muxer))
}

/// What is answered for a server that does not run: `404`, as for a route that is not there.
pub(super) fn off() -> Response {
    failure(StatusCode::NOT_FOUND, "not found")
}

pub(super) fn one<T: Serialize>(found: Option<T>, what: &str) -> Response {
    match found {
        Some(view) => Json(view).into_response(),
        None => failure(StatusCode::NOT_FOUND, &format!("{what} not found")),
    }
}

pub(super) fn kicked(found: bool, what: &str) -> Response {
    one(found.then(|| serde_json::json!({ "status": "ok" })), what)
}

/// The routes of one RTMP server's connections.
fn rtmp(name: &str, conns: fn(&Api) -> Option<&RtmpConns>) -> Router<Api> {
    let list = move |State(api): State<Api>, page: Query<Page>| async move {
        let Some(conns) = conns(&api) else { return off() };
        page.of(conns.list().into_iter().map(|conn| api.rtmp_conn(conn)).collect())
    };
    let get_one = move |State(api): State<Api>, Path(id): Path<String>| async move {
        let Some(conns) = conns(&api) else { return off() };
        one(conns.get(&id).map(|conn| api.rtmp_conn(conn)), "connection")
    };
    let kick = move |State(api): State<Api>, Path(id): Path<String>| async move {
        conns(&api).map_or_else(off, |conns| kicked(conns.kick(&id), "connection"))
    };
    Router::new()
        .route(&format!("/v3/{name}/list"), get(list))
        .route(&format!("/v3/{name}/get/{{id}}"), get(get_one))
        .route(&format!("/v3/{name}/kick/{{id}}"), post(kick))
}

async fn webrtc_sessions(State(api): State<Api>, page: Query<Page>) -> Response {
    let Some(mut sessions) = api.webrtc.as_ref().map(WebRtcState::sessions) else { return off() };
    sessions.sort_by_key(|s| s.created);
    page.of(sessions.into_iter().map(|s| api.webrtc_session(s)).collect())
}

async fn webrtc_session(State(api): State<Api>, Path(id): Path<String>) -> Response {
    let Some(sessions) = api.webrtc.as_ref().map(WebRtcState::sessions) else { return off() };
    one(sessions.into_iter().find(|s| s.id == id).map(|s| api.webrtc_session(s)), "session")
}

async fn kick_webrtc_session(State(api): State<Api>, Path(id): Path<String>) -> Response {
    let Some(server) = &api.webrtc else { return off() };
    kicked(server.kick(&id).await, "session")
}

async fn hls_muxers(State(api): State<Api>, page: Query<Page>) -> Response {
    let Some(muxers) = api.hls.as_ref().map(HlsState::muxers) else { return off() };
    page.of(muxers.iter().map(HlsMuxerView::of).collect())
}

async fn hls_muxer(State(api): State<Api>, Path(name): Path<String>) -> Response {
    let Some(muxers) = api.hls.as_ref().map(HlsState::muxers) else { return off() };
    one(muxers.iter().find(|m| m.path.as_str() == name).map(HlsMuxerView::of), "muxer")
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct RtmpConnView {
    id: String,
    created: String,
    remote_addr: String,
    state: &'static str,
    path: String,
    inbound_bytes: u64,
    outbound_bytes: u64,
    bytes_received: u64,
    bytes_sent: u64,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct WebRtcSessionView {
    id: String,
    created: String,
    remote_addr: String,
    peer_connection_established: bool,
    local_candidate: String,
    remote_candidate: String,
    state: &'static str,
    path: String,
    query: String,
    user_agent: String,
    skipped_tracks: Vec<String>,
    inbound_bytes: u64,
    #[serde(rename = "inboundRTPPackets")]
    inbound_rtp_packets: u64,
    #[serde(rename = "inboundRTPPacketsLost")]
    inbound_rtp_packets_lost: u64,
    outbound_bytes: u64,
    #[serde(rename = "outboundRTPPackets")]
    outbound_rtp_packets: u64,
    outbound_frames_discarded: u64,
    bytes_received: u64,
    bytes_sent: u64,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct HlsMuxerView {
    path: String,
    created: String,
    last_request: String,
    outbound_bytes: u64,
    outbound_frames_discarded: u64,
    bytes_sent: u64,
}

impl HlsMuxerView {
    fn of(muxer: &MuxerState) -> Self {
        Self {
            path: muxer.path.as_str().into(),
            created: timestamp(muxer.created),
            last_request: timestamp(muxer.last_request),
            outbound_bytes: muxer.outbound_bytes,
            outbound_frames_discarded: muxer.outbound_frames_discarded,
            bytes_sent: muxer.outbound_bytes,
        }
    }
}

impl Api {
    fn rtmp_conn(&self, conn: RtmpConn) -> RtmpConnView {
        RtmpConnView {
            created: self.wall(conn.created),
            remote_addr: conn.remote.to_string(),
            state: state_name(conn.state),
            path: conn.path,
            id: conn.id,
            inbound_bytes: conn.inbound_bytes,
            outbound_bytes: conn.outbound_bytes,
            bytes_received: conn.inbound_bytes,
            bytes_sent: conn.outbound_bytes,
        }
    }

    fn webrtc_session(&self, session: SessionInfo) -> WebRtcSessionView {
        let established = session.state == SessionState::Connected;
        let candidate = |text: Option<String>| text.filter(|_| established).unwrap_or_default();
        let remote = session.remote.map(|remote| format!("host/udp/{}/{}", remote.ip(), remote.port()));
        let readers = self.hub.paths().into_iter().flat_map(|path| path.readers);
        let own = readers.filter(|reader| reader.info.kind == READER && reader.info.id == session.id);
        let skipped_tracks =
            own.flat_map(|r| r.skipped_tracks).map(|track| format!("{}: {}", track.codec, track.reason)).collect();
        WebRtcSessionView {
            created: self.wall(session.created),
            remote_addr: session.http_peer.to_string(),
            peer_connection_established: established,
            local_candidate: candidate(self.webrtc.as_ref().map(WebRtcState::local_candidate)),
            remote_candidate: candidate(remote),
            state: session_state_name(session.role),
            path: session.path.as_str().into(),
            id: session.id,
            query: session.query,
            user_agent: session.user_agent,
            skipped_tracks,
            inbound_bytes: session.inbound_bytes,
            inbound_rtp_packets: session.inbound_packets,
            inbound_rtp_packets_lost: session.lost_packets,
            outbound_bytes: session.outbound_bytes,
            outbound_rtp_packets: session.outbound_packets,
            outbound_frames_discarded: session.outbound_discarded,
            bytes_received: session.inbound_bytes,
            bytes_sent: session.outbound_bytes,
        }
    }
}
