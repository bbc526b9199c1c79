//! What a server says of itself, what it hears from a client, and what the caller answers.
//!
//! Not here: when which event comes (`server`).

use super::super::auth::{AuthMethods, Credentials};
use super::super::target::Target;
use super::super::transport::Transport;
use super::super::wire::WireError;
use bytes::Bytes;
use std::time::Duration;
use thiserror::Error;

/// What a server offers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ServerConfig {
    /// How a client may prove who it is.
    pub methods: AuthMethods,
    /// Media in the connection.
    pub tcp: bool,
    /// Media by UDP, from and to these ports for RTP and RTCP.
    pub udp: Option<(u16, u16)>,
    /// How long a session may be silent, as `Session` tells. The caller counts.
    pub timeout: Duration,
}

/// Names a request that waits for an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct RtspRequest(pub(super) u64);

/// A track that was set up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Setup {
    /// Which of the presentation.
    pub media: usize,
    /// The way it goes.
    pub transport: Transport,
    /// The source that we are, where we send.
    pub ssrc: u32,
}

/// Where a track begins, for `RTP-Info` (RFC 2326 §12.33).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Started {
    /// Which of the presentation.
    pub media: usize,
    /// Sequence number of its first packet.
    pub sequence: u16,
    /// Time of the stream's beginning on the track's clock, where it is known already.
    pub timestamp: Option<u32>,
}

/// What a client wants or did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ServerEvent {
    /// It wants to read; answer with [`ServerSession::describe`](super::ServerSession::describe), perhaps much later, or
    /// [`ServerSession::reject`](super::ServerSession::reject).
    Describe {
        /// To answer with.
        request: RtspRequest,
        /// What.
        target: Target,
        /// With which right.
        credentials: Credentials,
    },
    /// It wants to publish; answer with [`ServerSession::accept`](super::ServerSession::accept) or `reject`.
    Announce {
        /// To answer with.
        request: RtspRequest,
        /// What.
        target: Target,
        /// With which right.
        credentials: Credentials,
    },
    /// The reader wants media; answer with [`ServerSession::play`](super::ServerSession::play) or `reject`.
    Play {
        /// To answer with.
        request: RtspRequest,
    },
    /// The publisher is about to send; answer with `accept` or `reject`.
    Record {
        /// To answer with.
        request: RtspRequest,
    },
    /// The reader wants no more media for now.
    Paused,
    /// The session is over; the connection may be used again.
    Finished,
    /// A packet of a track, from the connection itself.
    Packet {
        /// Which of the presentation.
        media: usize,
        /// RTCP, not RTP.
        control: bool,
        /// As it came.
        bytes: Bytes,
    },
}

/// Why a request is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RtspReason {
    /// Credentials are missing or wrong: 401 with challenges.
    Denied,
    /// Nothing there to read, or no such path: 404.
    NotFound,
    /// The name is not one we take: 400.
    BadName,
    /// A limit is reached: 503.
    Unavailable,
}

/// Why a connection cannot go on.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum RtspError {
    /// What came is no RTSP.
    #[error(transparent)]
    Wire(#[from] WireError),
    /// More came while a request was being answered than any client sends then.
    #[error("{0} bytes came while a request was being answered")]
    Flood(usize),
}
