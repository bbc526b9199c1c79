//! Pushing a path to other servers: each destination by itself, tried again for as long as the path is published.
//!
//! Belongs here: where to ([`Destination`]), the list of what is pushed ([`Pushes`]), when to try (`keeper`), and one connection of
//! each protocol (`rtmp`, `rtsp`, what they share in `stream`; `srt`, `whip`). Not here: protocol text and state (`proto`), which sound a server takes (`listen`), configuration keys
//! (`config::push`).
//!
//! A destination is a reader of the path like any other: one that is slow loses whole GOPs and disturbs nobody. Another protocol is
//! one more variant of [`Destination`], and one more async function that `keeper` calls.

mod destination;
mod dial;
mod keeper;
mod registry;
mod rtmp;
mod rtsp;
mod srt;
mod stream;
mod whip;

pub use destination::{Destination, DestinationError};
pub(crate) use registry::Pushes;
pub use registry::{Push, PushPhase, PushState};

use std::io;
use std::time::Duration;
use thiserror::Error;

/// Past this much unsent media a destination is not fed; the hub then decides what it loses. A second of 2 Mbit/s.
const UNSENT: usize = 256 << 10;

/// A server that takes nothing for this long is gone.
const STALLED: Duration = Duration::from_secs(10);

/// A server that does not answer what it was asked within this will not.
const ANSWER: Duration = Duration::from_secs(10);

/// A connection that ends may take this long to say goodbye.
const GOODBYE: Duration = Duration::from_secs(1);

/// Why a push failed.
#[derive(Debug, Error)]
enum PushError {
    #[error("connection: {0}")]
    Io(#[from] io::Error),
    #[error("no answer within {} s", .0.as_secs())]
    Timeout(Duration),
    #[error("the server took nothing for {} s", STALLED.as_secs())]
    Stalled,
    #[error("the server refused: {0}")]
    Refused(String),
    #[error("the server ended the stream: {0}")]
    Ended(String),
    #[error("RTMP: {0}")]
    Rtmp(#[from] proto::rtmp::Error),
    #[error("RTSP: {0}")]
    Rtsp(#[from] proto::rtsp::WireError),
    #[error(transparent)]
    Srt(#[from] crate::srt::PushError),
    #[error("WHIP: {0}")]
    Whip(#[from] crate::webrtc::client::WhipError),
    #[error("the path has nothing that can go there")]
    Nothing,
    #[error("the path changed its codecs")]
    Changed,
    #[error(transparent)]
    Read(#[from] hub::ReadError),
    #[error(transparent)]
    Listen(#[from] crate::listen::ListenError),
}
