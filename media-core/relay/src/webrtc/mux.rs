//! The one UDP socket: every datagram to the session it belongs to.
//!
//! Belongs here: reading, demultiplexing by user name fragment and then by address. Not here: binding and sending (`crate::udp`), what
//! is in a datagram (`proto::whip::Datagram` peeks, `peer` reads).

use super::registry::{Command, Registry};
use super::tcp::is_tcp;
use bytes::BytesMut;
use parking_lot::Mutex;
use proto::whip::Datagram;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::net::UdpSocket;

/// Nothing that belongs here is larger than an Ethernet frame; larger datagrams are cut and then refused.
const MAX_DATAGRAM: usize = 2048;

/// Reads until the socket is gone.
pub(crate) async fn run(socket: Arc<UdpSocket>, registry: Arc<Mutex<Registry>>) {
    let mut buffer = BytesMut::new();
    loop {
        buffer.reserve(MAX_DATAGRAM);
        let from = match socket.recv_buf_from(&mut buffer).await {
            Ok((_, from)) => SocketAddr::new(from.ip().to_canonical(), from.port()),
            Err(error) => {
                // An ICMP message about an earlier datagram is reported here; the socket itself is well.
                tracing::trace!(%error, "UDP receive");
                continue;
            }
        };
        let datagram = buffer.split();
        // It stands for a connection, and is nobody's by UDP.
        if is_tcp(from) {
            continue;
        }
        let inbox = match Datagram::peek(&datagram) {
            Datagram::Request { ufrag } => registry.lock().by_ufrag(ufrag, from),
            Datagram::Stun | Datagram::Dtls | Datagram::Media => registry.lock().by_address(from),
            Datagram::Unknown => None,
        };
        let Some(inbox) = inbox else {
            tracing::trace!(%from, "datagram of nobody");
            continue;
        };
        if inbox.try_send(Command::Datagram(from, datagram)).is_err() {
            tracing::debug!(%from, "session too slow, datagram dropped");
        }
    }
}
