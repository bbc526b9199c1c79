//! RTSP's connections and sessions in the API. Not here: those of other protocols (`clients`).

use super::Api;
use super::listing::{Entry, kicked, listed};
use crate::metrics::state_name;
use crate::rtsp::{RtspConn, RtspLists, RtspSession, SessionTransport};
use axum::Router;
use serde::Serialize;

/// The routes of RTSP's clients, in clear and in TLS.
pub(super) fn router() -> Router<Api> {
    server("rtsp", |api| api.rtsp.as_ref()).merge(server("rtsps", |api| api.rtsps.as_ref()))
}

fn server(name: &str, lists: fn(&Api) -> Option<&RtspLists>) -> Router<Api> {
    let (conns, sessions) = (format!("{name}conns"), format!("{name}sessions"));
    let kick = move |api: Api, id: String| async move { Some(lists(&api)?.kick(&id)) };
    listed(&conns, move |api| lists(api).map(RtspLists::conns))
        .merge(listed(&sessions, move |api| lists(api).map(RtspLists::sessions)))
        .merge(kicked::<RtspSession, _>(&sessions, kick))
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct RtspConnView {
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
pub(super) struct RtspSessionView {
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

impl Entry for RtspConn {
    const WHAT: &'static str = "connection";
    type View = RtspConnView;

    fn id(&self) -> &str {
        &self.id
    }

    fn view(self, api: &Api) -> RtspConnView {
        let conn = self;
        RtspConnView {
            created: api.wall(conn.created),
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
}

impl Entry for RtspSession {
    const WHAT: &'static str = "session";
    type View = RtspSessionView;

    fn id(&self) -> &str {
        &self.id
    }

    fn view(self, api: &Api) -> RtspSessionView {
        let (stats, session) = (self.stats, self);
        RtspSessionView {
            created: api.wall(session.created),
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
