//! SRT: publishers and readers of MPEG-TS over UDP, and the caller that pulls from and pushes to other servers.
//!
//! Belongs here: the socket and its tasks, handshakes, stream ids, passphrases. Not here: sequence numbers, loss, encryption (the crate
//! `srt-protocol`, fenced in `door` and `link`), packets of the stream (`container::mpegts`), what a path keeps (`hub`).
//! Why that crate: `design/0007-srt.md`.

mod client;
mod connection;
mod door;
mod egress;
#[doc(hidden)]
pub mod fuzz;
mod ingest;
mod link;
mod passphrase;
mod registry;
mod server;
mod session;
mod stream_id;
#[cfg(test)]
mod tests;
mod url;

pub use client::{DialError, PullError, PushError, pull, push};
pub(crate) use egress::SOUND;
pub use link::LinkError;
pub use passphrase::{NoPassphrases, Passphrase, PassphraseError, Passphrases};
pub(crate) use registry::SrtConns;
pub use registry::{LinkStats, SrtConn};
pub use server::SrtConfig;
pub(crate) use server::SrtServer;
pub use session::SessionError;
pub use url::{SrtUrl, SrtUrlError};
