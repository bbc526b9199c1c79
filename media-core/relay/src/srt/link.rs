//! One connection's reliability and secrecy: datagrams in and out, payloads in and out, told the time.
//!
//! Belongs here: the fence round the crate's machine. What it would panic at or toil over is left out, a panic that is left ends this
//! connection alone, and what it holds is counted. Not here: sockets (`session`), the handshake (`door`, `client`).

use super::passphrase::Passphrase;
use super::registry::LinkStats;
use bytes::Bytes;
use srt_protocol::connection::{Connection, DuplexConnection};
use srt_protocol::options::{DataRate, LiveBandwidthMode, PacketCount, PacketSize};
use srt_protocol::packet::{
    Acknowledgement, CompressedLossList, ControlPacket, ControlTypes, FullAckSeqNumber, Packet, SocketId,
    SrtControlPacket, TimeStamp,
};
use srt_protocol::settings::{ConnInitSettings, KeyMaterialRefreshSettings};
use std::net::SocketAddr;
use std::panic::AssertUnwindSafe;
use std::time::{Duration, Instant};
use thiserror::Error;

/// A payload at most: seven packets of MPEG-TS, what every peer takes.
pub(super) const PAYLOAD: usize = 1316;
/// What the crate splits longer payloads at: an Ethernet frame without the headers of IP, UDP and SRT.
const MAX_PAYLOAD: u64 = 1456;
/// Payloads that may be on their way: at 300 ms there and back it is 35 Mbit/s.
const FLIGHT: u64 = 1024;
/// Where the crate would begin to drop the oldest, and then stall; `FLIGHT` stays far below.
const SEND_BUFFER: u64 = 8192;
/// Bursts, such as a key picture or the newest GOP for somebody who joins, go out no faster (bytes a second): small receive buffers
/// overflow otherwise.
const PACE: u64 = 25_000_000;
/// The crate keeps some 50 bytes of each payload that was given up without an acknowledgement. So many, 170 MB of stream, and the
/// connection is of no use to anybody.
const MOST_GIVEN_UP: u64 = 1 << 17;
/// Payloads that one loss report may name: no more can be missing.
const MOST_MISSING: u64 = SEND_BUFFER;
/// Reports that are kept for the statistics the longest a peer needs.
const NEVER: Duration = Duration::from_secs(1 << 30);

/// Why a connection ended that nobody closed.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum LinkError {
    /// The crate's machine broke over something the peer sent.
    #[error("the protocol's machine broke")]
    Broken,
    /// The peer acknowledges next to nothing.
    #[error("the peer received too little of what was sent")]
    Lost,
}

/// What a connection is made with.
#[derive(Debug, Clone)]
pub(super) struct Terms {
    /// How late payloads come out at the receiver, whichever side that is; the larger wish of both sides counts.
    pub(super) latency: Duration,
    /// Payloads held for those that are missing.
    pub(super) receive: u32,
    /// What is encrypted with, if it is.
    pub(super) passphrase: Option<Passphrase>,
}

impl Terms {
    /// For the crate, but for the keys.
    pub(super) fn settings(&self, socket: SocketId) -> ConnInitSettings {
        ConnInitSettings {
            local_sockid: socket,
            key_settings: None,
            key_refresh: KeyMaterialRefreshSettings::default(),
            send_latency: self.latency,
            recv_latency: self.latency,
            // Silence is noticed by `session`.
            peer_idle_timeout: NEVER,
            bandwidth: LiveBandwidthMode::Max(DataRate(PACE)),
            statistics_interval: NEVER,
            too_late_packet_drop: true,
            recv_buffer_size: PacketCount(self.receive.into()),
            send_buffer_size: PacketCount(SEND_BUFFER),
            max_packet_size: PacketSize(MAX_PAYLOAD),
            max_flow_size: PacketCount(SEND_BUFFER),
        }
    }
}

/// What a connection wants done.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// This is sent to the peer.
    Send(Bytes),
    /// The peer's next payload.
    Deliver(Bytes),
    /// The peer has gone, and all it sent is delivered.
    Closed,
}

#[derive(Debug)]
pub(super) struct Link {
    connection: DuplexConnection,
    peer: SocketAddr,
    pushed: u64,
    acknowledged: u64,
    /// The last acknowledgement that the peer answers.
    asked: Option<(FullAckSeqNumber, Instant)>,
    round_trip: Option<Duration>,
}

impl Link {
    pub(super) fn new(connection: Connection) -> Self {
        let peer = connection.settings.remote;
        let connection = DuplexConnection::new(connection);
        Self { connection, peer, pushed: 0, acknowledged: 0, asked: None, round_trip: None }
    }

    /// Takes a datagram of the peer.
    pub(super) fn datagram(&mut self, now: Instant, datagram: &[u8]) -> Result<(), LinkError> {
        let Some(packet) = parse(datagram).filter(harmless) else { return Ok(()) };
        self.measure(now, &packet);
        let before = self.unsent(now);
        let peer = self.peer;
        guarded(|| self.connection.handle_packet_input(now, Ok((packet, peer)))).ok_or(LinkError::Broken)?;
        self.acknowledged += before.saturating_sub(self.unsent(now));
        Ok(())
    }

    /// May more be pushed?
    pub(super) fn has_room(&mut self, now: Instant) -> bool {
        self.unsent(now) < FLIGHT
    }

    /// Sends `payload`, of [`PAYLOAD`] bytes at most.
    pub(super) fn push(&mut self, now: Instant, payload: Bytes) -> Result<(), LinkError> {
        self.pushed += 1;
        guarded(|| self.connection.handle_data_input(now, Some((now, payload)))).ok_or(LinkError::Broken)
    }

    /// The next thing to do now.
    pub(super) fn poll(&mut self, now: Instant) -> Result<Option<Step>, LinkError> {
        let step = guarded(|| {
            if self.connection.should_close(now) {
                return Some(Step::Closed);
            }
            if let Some((packet, _)) = self.connection.next_packet(now) {
                if let Packet::Control(ControlPacket {
                    control_type: ControlTypes::Ack(Acknowledgement::Full(_, _, number)),
                    ..
                }) = &packet
                {
                    self.asked = Some((*number, now));
                }
                return Some(Step::Send(serialize(&packet)));
            }
            self.connection.next_data(now).map(|(_, payload)| Step::Deliver(payload))
        })
        .ok_or(LinkError::Broken)?;
        let given_up = self.pushed.saturating_sub(self.acknowledged).saturating_sub(self.unsent(now));
        if given_up > MOST_GIVEN_UP { Err(LinkError::Lost) } else { Ok(step) }
    }

    /// When to poll next, where nothing comes before.
    pub(super) fn deadline(&self, now: Instant) -> Instant {
        // The machine's own arithmetic of times the peer said.
        guarded(|| self.connection.next_timer(now)).unwrap_or(now)
    }

    /// The goodbye to send.
    pub(super) fn goodbye(&self, now: Instant) -> Bytes {
        let settings = self.connection.settings();
        let since = now.saturating_duration_since(settings.socket_start_time).as_micros();
        // Stamps wrap after 71 minutes (§3).
        let timestamp = TimeStamp::from_micros(since as u32);
        let control_type = ControlTypes::Shutdown;
        serialize(&ControlPacket { timestamp, dest_sockid: settings.remote_sockid, control_type }.into())
    }

    /// What it did so far.
    pub(super) fn stats(&self) -> LinkStats {
        let (settings, s) = (self.connection.settings(), self.connection.statistics());
        LinkStats {
            packets_sent: s.tx_data,
            packets_received: s.rx_data,
            packets_sent_unique: s.tx_unique_data,
            packets_received_unique: s.rx_unique_data,
            packets_send_loss: s.tx_loss_data,
            packets_retransmitted: s.tx_retransmit_data,
            packets_received_retransmitted: s.rx_retransmit_data,
            packets_sent_ack: s.tx_ack,
            packets_received_ack: s.rx_ack,
            packets_sent_nak: s.tx_nak,
            packets_received_nak: s.rx_nak,
            packets_send_drop: self.pushed.saturating_sub(self.acknowledged).saturating_sub(s.tx_buffered_data),
            packets_received_drop: s.rx_dropped_data,
            packets_received_undecrypted: s.rx_decrypt_errors,
            bytes_sent: s.tx_bytes,
            bytes_received: s.rx_bytes,
            packets_send_buffer: s.tx_buffered_data,
            bytes_send_buffer: s.tx_buffered_bytes,
            round_trip: self.round_trip,
            send_latency: settings.send_tsbpd_latency,
            receive_latency: settings.recv_tsbpd_latency,
        }
    }

    /// Payloads that were pushed and neither acknowledged nor given up.
    fn unsent(&mut self, now: Instant) -> u64 {
        self.connection.update_statistics(now);
        self.connection.statistics().tx_buffered_data
    }

    /// To the peer and back: what it says, or how long it takes to answer us.
    fn measure(&mut self, now: Instant, packet: &Packet) {
        let Packet::Control(control) = packet else { return };
        match &control.control_type {
            ControlTypes::Ack(ack) => {
                let micros = ack.rtt().and_then(|rtt| u64::try_from(rtt.mean().as_micros()).ok());
                self.round_trip = micros.map(Duration::from_micros).or(self.round_trip);
            }
            ControlTypes::Ack2(number) => {
                if let Some((_, sent)) = self.asked.take_if(|(asked, _)| asked == number) {
                    self.round_trip = Some(now.saturating_duration_since(sent));
                }
            }
            _ => {}
        }
    }
}

/// Does the machine take `packet` without harm? It panics at some that it knows by name alone.
fn harmless(packet: &Packet) -> bool {
    let Packet::Control(control) = packet else { return true };
    match &control.control_type {
        ControlTypes::CongestionWarning | ControlTypes::PeerError(_) => false,
        ControlTypes::Srt(message) => {
            matches!(message, SrtControlPacket::KeyRefreshRequest(_) | SrtControlPacket::KeyRefreshResponse(_))
        }
        ControlTypes::Nak(missing) => modest(missing),
        _ => true,
    }
}

/// Ranges that end, and name no more than was sent: the machine counts through them one by one (appendix A).
fn modest(missing: &CompressedLossList) -> bool {
    const RANGE: u32 = 1 << 31;
    let (mut first, mut total) = (None, 0);
    for word in missing.iter_compressed() {
        total += match (first.take(), word & RANGE) {
            (None, 0) => 1,
            (None, _) => {
                first = Some(word & !RANGE);
                0
            }
            // Numbers have 31 bits, and a range may go over their end.
            (Some(from), 0) => u64::from(word.wrapping_sub(from) & !RANGE) + 1,
            (Some(_), _) => return false,
        };
    }
    first.is_none() && total > 0 && total <= MOST_MISSING
}

/// Reads a datagram; `None` for what is no packet.
pub(super) fn parse(datagram: &[u8]) -> Option<Packet> {
    // The address in a handshake is nobody's concern: it is written as it was read.
    guarded(|| Packet::parse(&mut &*datagram, false).ok()).flatten()
}

pub(super) fn serialize(packet: &Packet) -> Bytes {
    let mut out = Vec::with_capacity(packet.wire_size());
    packet.serialize(&mut out);
    out.into()
}

/// Runs the crate's code over what a peer said; `None` where it panicked.
pub(super) fn guarded<T>(run: impl FnOnce() -> T) -> Option<T> {
    std::panic::catch_unwind(AssertUnwindSafe(run)).ok()
}
