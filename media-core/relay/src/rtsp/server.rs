//! The RTSP server: accepts connections.

use super::connection::{Connection, ConnectionError};
use super::payloads::Payloads;
use super::registry::{RtspConn, RtspLists};
use super::udp::UdpPair;
use crate::access::Authorizer;
use crate::clock::Clock;
use crate::listen::Listening;
use crate::tls::Acceptor;
use hub::Hub;
use proto::rtsp::{AuthMethods, ServerConfig};
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::{Instrument, debug, info_span, warn};

/// Most connections at once; each costs two sockets' buffers and one task.
const MAX_CONNECTIONS: usize = 2048;

/// What `Session` tells a client, and after which a reader by UDP that was not heard of is gone. RFC 2326 §12.37's own.
pub(super) const SESSION_TIMEOUT: Duration = Duration::from_secs(60);

/// How RTSP is served.
#[derive(Debug, Clone)]
pub struct RtspConfig {
    /// Media in the connection.
    pub tcp: bool,
    /// Media by UDP: where RTP and RTCP are received and sent from. With port 0 for RTP any two neighbours will do.
    pub udp: Option<(SocketAddr, SocketAddr)>,
    /// How clients may prove who they are.
    pub methods: AuthMethods,
}

impl Default for RtspConfig {
    /// Both transports, on MediaMTX's ports, and both methods.
    fn default() -> Self {
        let port = |port| SocketAddr::new(IpAddr::V6(Ipv6Addr::UNSPECIFIED), port);
        Self { tcp: true, udp: Some((port(8000), port(8001))), methods: AuthMethods { basic: true, digest: true } }
    }
}

/// What every connection needs.
#[derive(Debug, Clone)]
pub(crate) struct RtspServer {
    pub(crate) hub: Hub,
    pub(crate) listening: Listening,
    pub(crate) clock: Clock,
    pub(crate) authorizer: Arc<dyn Authorizer>,
    pub(crate) lists: RtspLists,
    pub(super) udp: Option<UdpPair>,
    pub(super) payloads: Payloads,
    pub(super) config: ServerConfig,
    /// For RTSPS.
    pub(super) tls: Option<Acceptor>,
}

impl RtspServer {
    pub(crate) fn new(
        config: &RtspConfig,
        udp: Option<UdpPair>,
        hub: Hub,
        listening: Listening,
        clock: Clock,
        authorizer: Arc<dyn Authorizer>,
        lists: RtspLists,
    ) -> Self {
        let config = ServerConfig {
            methods: config.methods,
            tcp: config.tcp,
            udp: udp.as_ref().map(UdpPair::ports),
            timeout: SESSION_TIMEOUT,
        };
        Self { hub, listening, clock, authorizer, lists, udp, payloads: Payloads::default(), config, tls: None }
    }

    /// The same in TLS, where media goes in the connection alone.
    pub(crate) fn with_tls(mut self, tls: Acceptor) -> Self {
        self.config.tcp = true;
        self.tls = Some(tls);
        self
    }

    /// MediaMTX's word for a session.
    pub(super) const fn kind(&self) -> &'static str {
        if self.tls.is_some() { "rtspsSession" } else { "rtspSession" }
    }

    /// Serves `listener` until `stop`; returns when every connection has ended.
    pub(crate) async fn run(self, listener: TcpListener, stop: CancellationToken) {
        let mut connections = JoinSet::new();
        if let Some(udp) = self.udp.clone() {
            connections.spawn(udp.run(self.clock, stop.clone()));
        }
        loop {
            tokio::select! {
                () = stop.cancelled() => break,
                Some(_ended) = connections.join_next() => {}
                accepted = listener.accept() => match accepted {
                    Ok((stream, peer)) => self.accept(stream, peer, &stop, &mut connections),
                    Err(error) => {
                        // Out of descriptors: wait for some connection to end instead of spinning.
                        warn!(%error, "RTSP: cannot accept");
                        tokio::select! {
                            () = stop.cancelled() => break,
                            Some(_ended) = connections.join_next() => {}
                            () = tokio::time::sleep(Duration::from_millis(200)) => {}
                        }
                    }
                },
            }
        }
        drop(listener);
        while connections.join_next().await.is_some() {}
    }

    fn accept(&self, stream: TcpStream, peer: SocketAddr, stop: &CancellationToken, connections: &mut JoinSet<()>) {
        if self.lists.len() >= MAX_CONNECTIONS {
            warn!(%peer, "RTSP: {MAX_CONNECTIONS} connections already, refused");
            return;
        }
        let listed = self.lists.connected(RtspConn {
            id: uuid::Uuid::new_v4().to_string(),
            created: self.clock.now(),
            remote: peer,
            session: None,
            inbound_bytes: 0,
            outbound_bytes: 0,
        });
        let (server, stop) = (self.clone(), stop.child_token());
        let span = info_span!("rtsp", %peer, tls = self.tls.is_some());
        connections.spawn(
            async move {
                match Connection::new(server, listed, peer, stop).run(stream).await {
                    Ok(()) => debug!("closed"),
                    // A player that is switched off resets its connection; that is no news.
                    Err(ConnectionError::Io(error)) => debug!(%error, "closed"),
                    Err(error) => warn!(%error, "closed"),
                }
            }
            .instrument(span),
        );
    }
}
