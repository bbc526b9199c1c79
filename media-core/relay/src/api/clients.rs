//! Who is connected, protocol by protocol: `list`, `get/{id}` and `kick/{id}`, in MediaMTX's names.
//!
//! Belongs here: shapes of connections, sessions and muxers. Not here: paths and the envelope (`api`), what all lists have in common
//! (`listing`).

use super::listing::{Entry, kicked, listed};
use super::{Api, timestamp};
use crate::hls::{HlsState, MuxerState};
use crate::metrics::{session_state_name, state_name};
use crate::rtmp::{RtmpConn, RtmpConns};
use crate::webrtc::{READER, SessionInfo, SessionState, WebRtcState};
use axum::Router;
use serde::Serialize;

/// The routes of every protocol's clients. Those of a server that does not run answer `404`.
pub(super) fn router() -> Router<Api> {
    rtmp("rtmpconns", |api| api.rtmp.as_ref())
        .merge(rtmp("rtmpsconns", |api| api.rtmps.as_ref()))
        .merge(webrtc())
        .merge(listed("hlsmuxers", |api| api.hls.as_ref().map(HlsState::muxers)))
}

/// The routes of one RTMP server's connections.
fn rtmp(name: &str, conns: fn(&Api) -> Option<&RtmpConns>) -> Router<Api> {
    let kick = move |api: Api, id: String| async move { Some(conns(&api)?.kick(&id)) };
    listed(name, move |api| conns(api).map(RtmpConns::list)).merge(kicked::<RtmpConn, _>(name, kick))
}

fn webrtc() -> Router<Api> {
    let sessions = |api: &Api| {
        let mut sessions = api.webrtc.as_ref().map(WebRtcState::sessions)?;
        sessions.sort_by_key(|session| session.created);
        Some(sessions)
    };
    let kick = |api: Api, id: String| async move { Some(api.webrtc?.kick(&id).await) };
    listed("webrtcsessions", sessions).merge(kicked::<SessionInfo, _>("webrtcsessions", kick))
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct RtmpConnView {
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
pub(super) struct WebRtcSessionView {
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
pub(super) struct HlsMuxerView {
    path: String,
    created: String,
    last_request: String,
    outbound_bytes: u64,
    outbound_frames_discarded: u64,
    bytes_sent: u64,
}

impl Entry for MuxerState {
    const WHAT: &'static str = "muxer";
    type View = HlsMuxerView;

    fn id(&self) -> &str {
        self.path.as_str()
    }

    fn view(self, _: &Api) -> HlsMuxerView {
        HlsMuxerView {
            path: self.path.as_str().into(),
            created: timestamp(self.created),
            last_request: timestamp(self.last_request),
            outbound_bytes: self.outbound_bytes,
            outbound_frames_discarded: self.outbound_frames_discarded,
            bytes_sent: self.outbound_bytes,
        }
    }
}

impl Entry for RtmpConn {
    const WHAT: &'static str = "connection";
    type View = RtmpConnView;

    fn id(&self) -> &str {
        &self.id
    }

    fn view(self, api: &Api) -> RtmpConnView {
        RtmpConnView {
            created: api.wall(self.created),
            remote_addr: self.remote.to_string(),
            state: state_name(self.state),
            path: self.path,
            id: self.id,
            inbound_bytes: self.inbound_bytes,
            outbound_bytes: self.outbound_bytes,
            bytes_received: self.inbound_bytes,
            bytes_sent: self.outbound_bytes,
        }
    }
}

impl Entry for SessionInfo {
    const WHAT: &'static str = "session";
    type View = WebRtcSessionView;

    fn id(&self) -> &str {
        &self.id
    }

    fn view(self, api: &Api) -> WebRtcSessionView {
        let session = self;
        let established = session.state == SessionState::Connected;
        let candidate = |text: Option<String>| text.filter(|_| established).unwrap_or_default();
        let way = if session.tcp { "tcp" } else { "udp" };
        let remote = session.remote.map(|remote| format!("host/{way}/{}/{}", remote.ip(), remote.port()));
        let readers = api.hub.paths().into_iter().flat_map(|path| path.readers);
        let own = readers.filter(|reader| reader.info.kind == READER && reader.info.id == session.id);
        let skipped_tracks =
            own.flat_map(|r| r.skipped_tracks).map(|track| format!("{}: {}", track.codec, track.reason)).collect();
        WebRtcSessionView {
            created: api.wall(session.created),
            remote_addr: session.http_peer.to_string(),
            peer_connection_established: established,
            local_candidate: candidate(api.webrtc.as_ref().map(WebRtcState::local_candidate)),
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
