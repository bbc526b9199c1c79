//! SRT's connections in the API. Not here: those of other protocols (`clients`).

use super::Api;
use super::listing::{Entry, kicked, listed};
use crate::metrics::state_name;
use crate::srt::{SrtConn, SrtConns};
use axum::Router;
use serde::Serialize;
use std::time::Duration;

/// The routes of SRT's connections.
pub(super) fn router() -> Router<Api> {
    let kick = |api: Api, id: String| async move { Some(api.srt?.kick(&id)) };
    listed("srtconns", |api| api.srt.as_ref().map(SrtConns::list)).merge(kicked::<SrtConn, _>("srtconns", kick))
}

/// Those of MediaMTX's fields that are counted here.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct SrtConnView {
    id: String,
    created: String,
    remote_addr: String,
    state: &'static str,
    path: String,
    inbound_bytes: u64,
    outbound_bytes: u64,
    packets_sent: u64,
    packets_received: u64,
    packets_sent_unique: u64,
    packets_received_unique: u64,
    packets_send_loss: u64,
    packets_retrans: u64,
    packets_received_retrans: u64,
    #[serde(rename = "packetsSentACK")]
    packets_sent_ack: u64,
    #[serde(rename = "packetsReceivedACK")]
    packets_received_ack: u64,
    #[serde(rename = "packetsSentNAK")]
    packets_sent_nak: u64,
    #[serde(rename = "packetsReceivedNAK")]
    packets_received_nak: u64,
    packets_send_drop: u64,
    packets_received_drop: u64,
    packets_received_undecrypt: u64,
    bytes_sent: u64,
    bytes_received: u64,
    packets_send_buf: u64,
    bytes_send_buf: u64,
    #[serde(rename = "msRTT")]
    ms_rtt: f64,
    ms_send_tsb_pd_delay: u128,
    ms_receive_tsb_pd_delay: u128,
}

impl Entry for SrtConn {
    const WHAT: &'static str = "connection";
    type View = SrtConnView;

    fn id(&self) -> &str {
        &self.id
    }

    fn view(self, api: &Api) -> SrtConnView {
        let (stats, conn) = (self.stats, self);
        SrtConnView {
            created: api.wall(conn.created),
            remote_addr: conn.remote.to_string(),
            state: state_name(conn.state),
            id: conn.id,
            path: conn.path,
            inbound_bytes: stats.bytes_received,
            outbound_bytes: stats.bytes_sent,
            packets_sent: stats.packets_sent,
            packets_received: stats.packets_received,
            packets_sent_unique: stats.packets_sent_unique,
            packets_received_unique: stats.packets_received_unique,
            packets_send_loss: stats.packets_send_loss,
            packets_retrans: stats.packets_retransmitted,
            packets_received_retrans: stats.packets_received_retransmitted,
            packets_sent_ack: stats.packets_sent_ack,
            packets_received_ack: stats.packets_received_ack,
            packets_sent_nak: stats.packets_sent_nak,
            packets_received_nak: stats.packets_received_nak,
            packets_send_drop: stats.packets_send_drop,
            packets_received_drop: stats.packets_received_drop,
            packets_received_undecrypt: stats.packets_received_undecrypted,
            bytes_sent: stats.bytes_sent,
            bytes_received: stats.bytes_received,
            packets_send_buf: stats.packets_send_buffer,
            bytes_send_buf: stats.bytes_send_buffer,
            ms_rtt: stats.round_trip.as_ref().map_or(0.0, Duration::as_secs_f64) * 1000.0,
            ms_send_tsb_pd_delay: stats.send_latency.as_millis(),
            ms_receive_tsb_pd_delay: stats.receive_latency.as_millis(),
        }
    }
}
