//! RTSP's connections and sessions in the API. Not here: those of other protocols (`clients`).

use super::clients::{kicked, off, one};
use super::{Api, Page};
use crate::metrics::state_name;
use crate::rtsp::{RtspConn, RtspLists, RtspSession, SessionTransport};
use axum::Router;
use axum::extract::{Path, Query, State};
use axum::routing::{get, post};
use serde::Serialize;

/// The routes of RTSP's clients, in clear and in TLS.
pub(super) fn router() -> Router<Api> {
    server("rtsp", |api| api.rtsp.as_ref()).merge(server("rtsps", |api| api.rtsps.as_ref()))
}

fn server(name: &str, lists: fn(&Api) -> Option<&RtspLists>) -> Router<Api> {
    let conns = move |State(api): State<Api>, page: Query<Page>| async move {
        let Some(lists) = lists(&api) else { return off() };
        page.of(lists.conns().into_iter().map(|conn| api.rtsp_conn(conn)).collect())
    };
    let conn = move |State(api): State<Api>, Path(id): Path<String>| async move {
        let Some(lists) = lists(&api) else { return off() };
        one(lists.conns().into_iter().find(|conn| conn.id == id).map(|conn| api.rtsp_conn(conn)), "connection")
    };
    let sessions = move |State(api): State<Api>, page: Query<Page>| async move {
        let Some(lists) = lists(&api) else { return off() };
        page.of(lists.sessions().into_iter().map(|session| api.rtsp_session(session)).collect())
    };
    let session = move |State(api): State<Api>, Path(id): Path<String>| async move {
        let Some(lists) = lists(&api) else { return off() };
        one(lists.sessions().into_iter().find(|s| s.id == id).map(|s| api.rtsp_session(s)), "session")
    };
    let kick = move |State(api): State<Api>, Path(id): Path<String>| async move {
        lists(&api).map_or_else(off, |lists| kicked(lists.kick(&id), "session"))
    };
    Router::new()
        .route(&format!("/v3/{name}conns/list"), get(conns))
        .route(&format!("/v3/{name}conns/get/{{id}}"), get(conn))
        .route(&format!("/v3/{name}sessions/list"), get(sessions))
        .route(&format!("/v3/{name}sessions/get/{{id}}"), get(session))
        .route(&format!("/v3/{name}sessions/kick/{{id}}"), post(kick))
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct RtspConnView {
    id: String,
    created: String,
    remote_addr: String,
    session: Option<String>,
    tunnel: &'static str,
    bytes_received: u64,
    bytes_sent: u64,
    inbound_bytes: u64,
    outbound_bytes: u64,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct RtspSessionView {
    id: String,
    created: String,
    remote_addr: String,
    state: &'static str,
    path: String,
    transport: Option<&'static str>,
    profile: Option<&'static str>,
    bytes_received: u64,
    bytes_sent: u64,
    inbound_bytes: u64,
    #[serde(rename = "inboundRTPPackets")]
    inbound_rtp_packets: u64,
    #[serde(rename = "inboundRTPPacketsLost")]
    inbound_rtp_packets_lost: u64,
    #[serde(rename = "inboundRTPPacketsInError")]
    inbound_rtp_packets_in_error: u64,
    #[serde(rename = "inboundRTPPacketsJitter")]
    inbound_rtp_packets_jitter: u32,
    #[serde(rename = "inboundRTCPPackets")]
    inbound_rtcp_packets: u64,
    #[serde(rename = "inboundRTPPacketsDiscarded")]
    inbound_rtp_packets_discarded: u64,
    outbound_bytes: u64,
    #[serde(rename = "outboundRTPPackets")]
    outbound_rtp_packets: u64,
    #[serde(rename = "outboundRTCPPackets")]
    outbound_rtcp_packets: u64,
}

impl Api {
    fn rtsp_conn(&self, conn: RtspConn) -> RtspConnView {
        RtspConnView {
            created: self.wall(conn.created),
            remote_addr: conn.remote.to_string(),
            id: conn.id,
            session: conn.session,
            tunnel: "none",
            bytes_received: conn.inbound_bytes,
            bytes_sent: conn.outbound_bytes,
            inbound_bytes: conn.inbound_bytes,
            outbound_bytes: conn.outbound_bytes,
        }
    }

    fn rtsp_session(&self, session: RtspSession) -> RtspSessionView {
        let stats = session.stats;
        RtspSessionView {
            created: self.wall(session.created),
            remote_addr: session.remote.to_string(),
            state: state_name(session.state),
            id: session.id,
            path: session.path,
            transport: session.transport.map(|transport| match transport {
                SessionTransport::Tcp => "TCP",
                SessionTransport::Udp => "UDP",
            }),
            profile: session.transport.map(|_| "AVP"),
            bytes_received: stats.inbound_bytes,
            bytes_sent: stats.outbound_bytes,
            inbound_bytes: stats.inbound_bytes,
            inbound_rtp_packets: stats.inbound_packets,
            inbound_rtp_packets_lost: stats.inbound_lost,
            inbound_rtp_packets_in_error: stats.inbound_in_error,
            inbound_rtp_packets_jitter: stats.inbound_jitter,
            inbound_rtcp_packets: stats.inbound_reports,
            inbound_rtp_packets_discarded: stats.inbound_discarded,
            outbound_bytes: stats.outbound_bytes,
            outbound_rtp_packets: stats.outbound_packets,
            outbound_rtcp_packets: stats.outbound_reports,
        }
    }
}
