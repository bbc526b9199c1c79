//! What a session needs of a WebRTC stack, so that the stack can be exchanged.
//!
//! Belongs here: the trait and its events. Not here: the stack in use (`peer`), sockets (`mux`).

use bytes::{Bytes, BytesMut};
use media::{Codec, MediaKind};
use proto::rtp::rtcp::NtpTime;
use proto::rtp::{Header, Packet};
use std::net::SocketAddr;
use std::time::Instant;
use thiserror::Error;

/// The stack refuses or fails.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{step}: {detail}")]
pub(crate) struct TransportError {
    /// What was being done.
    pub(crate) step: &'static str,
    /// In the stack's words.
    pub(crate) detail: String,
}

impl TransportError {
    pub(crate) fn at<E: std::fmt::Display>(step: &'static str) -> impl FnOnce(E) -> Self {
        move |error| Self { step, detail: error.to_string() }
    }
}

/// Local ICE credentials.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct IceCredentials {
    pub(crate) ufrag: String,
    pub(crate) password: String,
}

/// What a stack reports.
#[derive(Debug)]
pub(crate) enum Event {
    /// ICE and DTLS are through.
    Connected,
    /// It will not work any more.
    Failed,
    /// One decrypted packet, retransmissions already in the form of the original.
    Rtp(MediaKind, Packet),
    /// The sender's clocks.
    SenderReport {
        /// Of which track.
        kind: MediaKind,
        /// Wall clock.
        ntp: NtpTime,
        /// The same instant in RTP.
        timestamp: u32,
    },
    /// The peer, as a receiver, needs a key frame.
    KeyframeWanted,
}

/// What a sender says of one of its tracks (RFC 3550 §6.4.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Report {
    /// Wall clock.
    pub(crate) ntp: NtpTime,
    /// The same instant in RTP.
    pub(crate) timestamp: u32,
    /// Packets sent, wraps.
    pub(crate) packets: u32,
    /// Payload bytes sent, wraps.
    pub(crate) octets: u32,
}

/// One peer connection without sockets and clock. After every call that takes `now`, drain [`Self::transmit`] and
/// [`Self::event`].
pub(crate) trait Transport: Send {
    /// One datagram from the peer.
    fn receive(&mut self, datagram: BytesMut, from: SocketAddr, now: Instant);
    /// The time of [`Self::deadline`] has come.
    fn tick(&mut self, now: Instant);
    /// When to call [`Self::tick`].
    fn deadline(&mut self) -> Option<Instant>;
    /// The next datagram to send, and where.
    fn transmit(&mut self) -> Option<(SocketAddr, Bytes)>;
    /// What happened.
    fn event(&mut self) -> Option<Event>;
    /// Asks the peer's encoder for a key frame (PLI); `false` while nothing of its picture has arrived, so that there is nobody to
    /// ask yet.
    fn request_keyframe(&mut self, now: Instant) -> bool;
    /// Sends one packet of a track that is sent; payload type and source are the stack's to fill in. Nothing happens for a codec
    /// that was not negotiated.
    fn send(&mut self, codec: Codec, header: Header, payload: Bytes, now: Instant);
    /// Sends a sender report: `timestamp` of this track is the wall clock's `ntp`.
    fn report(&mut self, kind: MediaKind, report: Report, now: Instant);
    /// The peer restarts ICE with these credentials; answers ours.
    fn restart_ice(&mut self, remote: &IceCredentials, now: Instant) -> Result<IceCredentials, TransportError>;
    /// Says goodbye (DTLS close_notify); drain once more.
    fn close(&mut self);
}
