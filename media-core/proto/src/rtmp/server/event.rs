//! What a server says of itself, what it hears from a client, and what the caller answers.
//!
//! Not here: when which event comes (`server`).

use super::super::caps::Caps;
use super::super::url::{Target, without_query};
use super::super::{Kind, Media};
use std::fmt;

/// How a server presents itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerConfig {
    /// `fmsVer` in the answer to `connect`; clients compare only the prefix `FMS/`.
    pub fms_version: String,
    /// Enhanced RTMP abilities we name.
    pub caps: Caps,
}

impl Default for ServerConfig {
    fn default() -> Self {
        Self { fms_version: "FMS/3,5,7,7009".into(), caps: Caps::ours() }
    }
}

/// Names a publish or play request, and then the stream that it became.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct RequestId(pub(super) u64);

/// What a client said in `connect`. `Debug` leaves queries out, since they carry credentials.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Connect {
    /// App, with its query.
    pub app: String,
    /// The URL as the client understood it.
    pub tc_url: String,
    /// What the client calls itself.
    pub flash_ver: String,
    /// The page a player sits in.
    pub page_url: String,
    /// What it says of Enhanced RTMP.
    pub caps: Caps,
}

impl fmt::Debug for Connect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connect")
            .field("app", &without_query(&self.app))
            .field("flash_ver", &self.flash_ver)
            .field("caps", &self.caps)
            .finish_non_exhaustive()
    }
}

/// What a client wants or did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ServerEvent {
    /// The client has introduced itself and was let in; requests follow.
    Connected(Connect),
    /// It wants to publish; answer with [`ServerSession::accept`](super::ServerSession::accept) or [`ServerSession::reject`](super::ServerSession::reject).
    Publish {
        /// To answer with.
        request: RequestId,
        /// What, and with which credentials.
        target: Target,
    },
    /// It wants to play; answer likewise, or later when there is something to play.
    Play {
        /// To answer with.
        request: RequestId,
        /// What, and with which credentials.
        target: Target,
    },
    /// Of the accepted publisher.
    Media(Media),
    /// The publisher has ended the stream (or taken the request back); the connection may be used again.
    PublishFinished(RequestId),
    /// The player has ended the stream (or taken the request back).
    PlayFinished(RequestId),
    /// The player wants no more media for now; on [`Self::Resumed`] send from a key frame on.
    Paused,
    /// The player wants media again.
    Resumed,
    /// The player does or does not want one kind of media (`receiveAudio`, `receiveVideo`).
    Wants {
        /// Which.
        kind: Kind,
        /// Does it?
        wanted: bool,
    },
    /// The player's own buffer, in milliseconds.
    BufferLength(u32),
    /// Bytes of ours the client has received, since the start.
    Acknowledged(u64),
    /// The answer to [`ServerSession::ping`](super::ServerSession::ping), with its stamp.
    Pong(u32),
}

/// Why a request is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// Credentials.
    Denied,
    /// Nothing there to play, or no such path.
    NotFound,
    /// The name is not one we take, or somebody publishes there who may not be replaced.
    BadName,
    /// A limit is reached.
    Unavailable,
}

/// How a stream ends from our side.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StreamEnd {
    /// The player's publisher is gone.
    Unpublished,
    /// There is nothing more to play.
    Stopped,
    /// The operator or a newer publisher ended it.
    Kicked,
}
