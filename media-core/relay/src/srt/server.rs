//! The SRT server: one socket, many connections.
//!
//! Belongs here: reading the socket, starting connections. Not here: handshakes (`door`), what a connection does (`connection`).

use super::connection;
use super::door::{Caller, Door, Knock};
use super::passphrase::{NoPassphrases, Passphrases};
use super::registry::{SrtConn, SrtConns};
use super::session::{MAX_DATAGRAM, Wire};
use super::stream_id::StreamId;
use crate::access::Authorizer;
use crate::clock::Clock;
use crate::listen::Listening;
use crate::rtmp::ConnState;
use crate::udp;
use bytes::{Bytes, BytesMut};
use hub::Hub;
use srt_protocol::packet::ServerRejectReason;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::net::UdpSocket;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{Instrument, info_span, trace, warn};

/// Most connections at once, those that are still being looked at included.
const MAX_CONNECTIONS: usize = 1024;

/// How SRT is served.
#[derive(Debug, Clone)]
pub struct SrtConfig {
    /// Which paths are encrypted, and with what.
    pub passphrases: Arc<dyn Passphrases>,
}

impl Default for SrtConfig {
    /// Everything in clear.
    fn default() -> Self {
        Self { passphrases: Arc::new(NoPassphrases) }
    }
}

/// What every connection needs.
#[derive(Debug, Clone)]
pub(crate) struct SrtServer {
    pub(crate) hub: Hub,
    pub(crate) listening: Listening,
    pub(crate) clock: Clock,
    pub(crate) authorizer: Arc<dyn Authorizer>,
    pub(crate) conns: SrtConns,
    pub(crate) config: SrtConfig,
}

impl SrtServer {
    /// Serves `socket` until `stop`; returns when every connection has ended.
    pub(crate) async fn run(self, socket: UdpSocket, stop: CancellationToken) {
        let dual = socket.local_addr().is_ok_and(|local| local.is_ipv6());
        let socket = Arc::new(socket);
        let mut connections = JoinSet::new();
        let (door, begun) = (Door::default(), Instant::now());
        let mut buffer = BytesMut::new();
        loop {
            buffer.reserve(MAX_DATAGRAM);
            tokio::select! {
                () = stop.cancelled() => break,
                Some(_ended) = connections.join_next() => {}
                received = socket.recv_buf_from(&mut buffer) => {
                    let datagram = buffer.split().freeze();
                    let from = match received {
                        Ok((_, from)) => SocketAddr::new(from.ip().to_canonical(), from.port()),
                        Err(error) => {
                            // An ICMP message about an earlier datagram is reported here; the socket itself is well.
                            trace!(%error, "UDP receive");
                            continue;
                        }
                    };
                    match destination(&datagram) {
                        Some(0) => match door.knock(&datagram, from, begun.elapsed().as_secs() / 60) {
                            Knock::Silence => {}
                            Knock::Answer(answer) => udp::send(&socket, from, &answer, dual),
                            Knock::Asks(caller) => {
                                let answer = self.asked(*caller, &socket, dual, &stop, &mut connections);
                                answer.inspect(|answer| udp::send(&socket, from, answer, dual));
                            }
                        },
                        Some(number) => self.conns.deliver(number, from, datagram),
                        None => {}
                    }
                }
            }
        }
        while connections.join_next().await.is_some() {}
    }

    /// Starts a connection for `caller`, unless it has one or cannot have any; what to answer at once.
    fn asked(
        &self,
        caller: Caller,
        socket: &Arc<UdpSocket>,
        dual: bool,
        stop: &CancellationToken,
        connections: &mut JoinSet<()>,
    ) -> Option<Bytes> {
        let key = caller.key();
        if let Some(answer) = self.conns.asked(key) {
            return answer;
        }
        let peer = key.0;
        if self.conns.len() >= MAX_CONNECTIONS {
            warn!(%peer, "SRT: {MAX_CONNECTIONS} connections already, refused");
            return Some(caller.reject(ServerRejectReason::Overload));
        }
        let wish = match StreamId::parse(caller.stream_id()) {
            Ok(wish) => wish,
            Err(error) => {
                warn!(%peer, %error, "SRT: refused");
                return Some(caller.reject(ServerRejectReason::BadRequest));
            }
        };
        let conn = SrtConn {
            id: uuid::Uuid::new_v4().to_string(),
            created: self.clock.now(),
            remote: peer,
            state: ConnState::Idle,
            path: wish.path.as_str().to_owned(),
            stats: Default::default(),
        };
        let (id, stop) = (conn.id.clone(), stop.child_token());
        let (listed, inbox) = self.conns.list_caller(conn, key, stop.clone());
        let wire = Wire::Shared { socket: Arc::clone(socket), dual, to: peer, inbox };
        let span = info_span!("srt", %peer);
        let serving = connection::serve(self.clone(), caller, wish, id, listed, wire);
        connections.spawn(
            async move {
                // Dropping it says goodbye.
                tokio::select! {
                    () = stop.cancelled() => {}
                    () = serving => {}
                }
            }
            .instrument(span),
        );
        None
    }
}

/// The number of the connection a packet is for (§3); 0 is for asking.
pub(super) fn destination(datagram: &[u8]) -> Option<u32> {
    Some(u32::from_be_bytes(*datagram.get(12..)?.first_chunk()?))
}
