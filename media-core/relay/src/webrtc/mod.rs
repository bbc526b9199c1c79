//! WebRTC: WHIP in (RFC 9725) and WHEP out (draft-ietf-wish-whep) on one UDP port (and one TCP port where asked for), and the client of both.
//!
//! Belongs here: HTTP routes, the UDP socket and whose datagram it is, sessions, the WebRTC stack behind [`transport`].
//! Not here: payload formats and the timeline (`proto::rtp`), headers and bodies in text (`proto::whip`), who may
//! publish and read (`crate::access`), finding what a reader can play (`crate::listen`).

mod addresses;
mod arrival;
pub mod client;
mod delivery;
mod egress;
#[doc(hidden)]
pub mod fuzz;
mod http;
mod ingest;
mod link;
mod mux;
mod packets;
mod pages;
mod peer;
mod reading;
mod registry;
mod server;
mod session;
mod tcp;
#[cfg(test)]
mod tests;
mod transport;

pub use http::{router, serve};
pub(crate) use reading::KIND as READER;
pub use registry::{SessionInfo, SessionRole, SessionState};
pub use server::{WebRtcConfig, WebRtcState};
