//! RTSP 1.0 (RFC 2326, with the statuses of RFC 7826) as a state machine: bytes in, events and bytes out, told the time.
//!
//! Belongs here: messages and interleaved frames, Digest and Basic, transports, session descriptions, what may follow what. Not
//! here: sockets, tasks and UDP ports (`relay::rtsp`), RTP and RTCP (`rtp`), passwords (`relay::access`).
//!
//! Messages are cut by `rtsp-types`, descriptions by `sdp-types`; what is done here besides is bounds, leniency towards clients, and
//! the two headers those crates read too strictly (`Transport`, `Authorization`). A session lives and ends with its connection:
//! nobody's client has used RFC 2326's other arrangement in twenty years, and it would let anybody who hears an id end a stream.

mod auth;
#[cfg(test)]
mod cameras;
mod client;
mod egress;
#[doc(hidden)]
pub mod fuzz;
mod ingest;
mod pictures;
mod sdp;
mod server;
mod target;
#[cfg(test)]
mod tests;
mod transport;
mod wire;

pub use auth::{AuthMethods, Credentials, DigestProof};
pub use client::{ClientEvent, ClientSession, RtspUrl, RtspUrlError, Unplayable};
pub use egress::{Egress, Outgoing, payloads};
pub use ingest::{Ingest, Ingested, TrackStats};
pub use sdp::{Format, MAX_MEDIA, Media, Presentation, SdpError};
pub use server::{RtspError, RtspReason, RtspRequest, ServerConfig, ServerEvent, ServerSession, Setup, Started};
pub use target::Target;
pub use transport::{Offered, Transport, parse_transports};
pub use wire::WireError;
