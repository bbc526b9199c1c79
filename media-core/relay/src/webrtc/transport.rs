//! What a session needs of a WebRTC stack, so that the stack can be exchanged.
//!
//! Belongs here: the trait and its events. Not here: the stack in use (`peer`), sockets (`mux`).

use bytes::{Bytes, BytesMut};
use media::MediaKind;
use proto::rtp::Packet;
use proto::rtp::rtcp::NtpTime;
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
    /// Asks the peer's encoder for a key frame (PLI).
    fn request_keyframe(&mut self, now: Instant);
    /// The peer restarts ICE with these credentials; answers ours.
    fn restart_ice(&mut self, remote: &IceCredentials, now: Instant) -> Result<IceCredentials, TransportError>;
    /// Says goodbye (DTLS close_notify); drain once more.
    fn close(&mut self);
}
