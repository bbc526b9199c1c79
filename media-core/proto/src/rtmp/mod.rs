//! RTMP as two state machines, server and client: bytes in, events and bytes out (Adobe RTMP 1.0, December 2012; Enhanced
//! RTMP v2 as far as `connect` speaks of it).
//!
//! Belongs here: handshake, chunk stream, control messages, the NetConnection and NetStream commands of both sides, and
//! how a URL becomes a path and a query. Not here: sockets, timers and TLS (`relay`), what is inside audio, video and
//! data messages (`container::flv`), AMF0 itself (`media::amf0`), who may publish what (`relay`).
//!
//! ```text
//! bytes ─► Handshake ─► ChunkReader ─► Message ─► ServerSession / ClientSession ─► Event
//! bytes ◄─ Output    ◄─ ChunkWriter ◄─ Message ◄─             send, accept, reject ◄─ caller
//! ```
//!
//! A caller feeds [`ServerSession::handle_input`] with what the socket gave (at most some 64 KiB at a time), takes every
//! event from `poll_event`, and writes `output()` to the socket. An error ends the connection.

mod caps;
mod chunk;
mod client;
mod command;
mod error;
#[doc(hidden)]
pub mod fuzz;
mod handshake;
mod link;
mod message;
mod server;
mod url;

#[cfg(test)]
mod tests;

pub use crate::output::Output;
pub use caps::{Caps, FourCcUse};
pub use chunk::{ChunkReader, ChunkWriter, MAX_MESSAGE, RawMessage};
pub use client::{ClientConfig, ClientEvent, ClientSession, Purpose};
pub use error::{Error, ErrorKind};
pub use handshake::{HANDSHAKE_BLOCK, Handshake, Side};
pub use message::{BandwidthLimit, Command, Message, UserControl, kind};
pub use server::{Connect, Reason, RequestId, ServerConfig, ServerEvent, ServerSession, StreamEnd};
pub(crate) use url::percent_decode;
pub use url::{RtmpUrl, Scheme, Target, UrlError};

use bytes::Bytes;

/// The port of `rtmp://` where the URL names none.
pub const RTMP_PORT: u16 = 1935;

/// What a media message carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Message type 8: the body of an FLV audio tag.
    Audio,
    /// Message type 9: the body of an FLV video tag.
    Video,
    /// Message type 18: the body of an FLV script tag, beginning with its name (`onMetaData`). A leading `@setDataFrame`
    /// is taken off on the way in and put on by a publishing client on the way out.
    Data,
}

/// One audio, video or data message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Media {
    /// What it carries.
    pub kind: Kind,
    /// Milliseconds on the sender's clock; wraps at 2³² and may jump (see `media::Unwrapper`).
    pub timestamp: u32,
    /// The tag body, FLV header bytes included. Never empty.
    pub body: Bytes,
}
