//! The RTMP server: accepts connections and keeps their list.

use super::connection::{Connection, ConnectionError};
use super::fanout::Fanout;
use crate::access::Authorizer;
use crate::clock::Clock;
use crate::listen::Listening;
use crate::tls::Acceptor;
use hub::Hub;
use media::MonoTime;
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::{Instrument, debug, info_span, warn};

/// Most connections at once; each costs two sockets' buffers and one task.
const MAX_CONNECTIONS: usize = 2048;

/// What a connection does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConnState {
    /// Nothing yet.
    Idle,
    /// It plays.
    Read,
    /// It publishes.
    Publish,
}

/// A connection at one moment, for the API.
#[derive(Debug, Clone)]
pub struct RtmpConn {
    /// Its id, as in the paths' lists.
    pub id: String,
    /// Since when.
    pub created: MonoTime,
    /// From where.
    pub remote: SocketAddr,
    /// What it does.
    pub state: ConnState,
    /// With which path; empty while idle.
    pub path: String,
    /// Bytes received.
    pub inbound_bytes: u64,
    /// Bytes sent.
    pub outbound_bytes: u64,
    /// To the peer and back, by its answers to pings; `None` for peers that never answer.
    pub round_trip: Option<Duration>,
}

/// What a connection counts for itself, without asking the list.
#[derive(Debug)]
pub(super) struct Traffic {
    inbound: AtomicU64,
    outbound: AtomicU64,
    /// Milliseconds; [`Self::UNKNOWN`] until the peer has answered.
    round_trip: AtomicU64,
}

impl Traffic {
    const UNKNOWN: u64 = u64::MAX;

    const fn new() -> Self {
        Self { inbound: AtomicU64::new(0), outbound: AtomicU64::new(0), round_trip: AtomicU64::new(Self::UNKNOWN) }
    }

    /// `total` bytes were received so far.
    pub(super) fn received(&self, total: u64) {
        self.inbound.store(total, Ordering::Relaxed);
    }

    /// `count` more bytes were sent.
    pub(super) fn sent(&self, count: usize) {
        self.outbound.fetch_add(count as u64, Ordering::Relaxed);
    }

    pub(super) fn round_trip(&self, took: Duration) {
        let millis = took.as_millis().try_into().unwrap_or(Self::UNKNOWN);
        self.round_trip.store(millis, Ordering::Relaxed);
    }
}

/// A connection on the list.
#[derive(Debug)]
struct Entry {
    /// With the counts of when it was put there.
    conn: RtmpConn,
    traffic: Arc<Traffic>,
    /// Ends it.
    stop: CancellationToken,
}

impl Entry {
    fn now(&self) -> RtmpConn {
        let round_trip = self.traffic.round_trip.load(Ordering::Relaxed);
        RtmpConn {
            inbound_bytes: self.traffic.inbound.load(Ordering::Relaxed),
            outbound_bytes: self.traffic.outbound.load(Ordering::Relaxed),
            round_trip: (round_trip != Traffic::UNKNOWN).then(|| Duration::from_millis(round_trip)),
            ..self.conn.clone()
        }
    }
}

/// The list of connections.
#[derive(Debug, Clone, Default)]
pub(crate) struct RtmpConns(Arc<Mutex<BTreeMap<String, Entry>>>);

impl RtmpConns {
    pub(crate) fn list(&self) -> Vec<RtmpConn> {
        self.0.lock().values().map(Entry::now).collect()
    }

    /// Ends a connection; `false` if there is none of this id.
    pub(crate) fn kick(&self, id: &str) -> bool {
        let stop = self.0.lock().get(id).map(|entry| entry.stop.clone());
        stop.inspect(CancellationToken::cancel).is_some()
    }

    pub(super) fn update(&self, id: &str, change: impl FnOnce(&mut RtmpConn)) {
        if let Some(entry) = self.0.lock().get_mut(id) {
            change(&mut entry.conn);
        }
    }

    fn len(&self) -> usize {
        self.0.lock().len()
    }
}

/// What every connection needs.
#[derive(Debug, Clone)]
pub(crate) struct RtmpServer {
    pub(crate) hub: Hub,
    pub(crate) listening: Listening,
    pub(crate) clock: Clock,
    pub(crate) authorizer: Arc<dyn Authorizer>,
    pub(crate) conns: RtmpConns,
    pub(crate) fanout: Fanout,
    /// For RTMPS.
    pub(crate) tls: Option<Acceptor>,
}

impl RtmpServer {
    /// MediaMTX's word for a connection.
    pub(super) const fn kind(&self) -> &'static str {
        if self.tls.is_some() { "rtmpsConn" } else { "rtmpConn" }
    }

    /// Serves `listener` until `stop`; returns when every connection has ended.
    pub(crate) async fn run(self, listener: TcpListener, stop: CancellationToken) {
        let mut connections = JoinSet::new();
        loop {
            tokio::select! {
                () = stop.cancelled() => break,
                Some(_ended) = connections.join_next() => {}
                accepted = listener.accept() => match accepted {
                    Ok((stream, peer)) => self.accept(stream, peer, &stop, &mut connections),
                    Err(error) => {
                        // Out of descriptors: wait for some connection to end instead of spinning.
                        warn!(%error, "RTMP: cannot accept");
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
        if self.conns.len() >= MAX_CONNECTIONS {
            warn!(%peer, "RTMP: {MAX_CONNECTIONS} connections already, refused");
            return;
        }
        let id = uuid::Uuid::new_v4().to_string();
        let conn = RtmpConn {
            id: id.clone(),
            created: self.clock.now(),
            remote: peer,
            state: ConnState::Idle,
            path: String::new(),
            inbound_bytes: 0,
            outbound_bytes: 0,
            round_trip: None,
        };
        let stop = stop.child_token();
        let traffic = Arc::new(Traffic::new());
        let entry = Entry { conn, traffic: Arc::clone(&traffic), stop: stop.clone() };
        self.conns.0.lock().insert(id.clone(), entry);
        let span = info_span!("rtmp", %peer, tls = self.tls.is_some());
        let server = self.clone();
        connections.spawn(
            async move {
                // Taken off the list however the task ends.
                let _listed = Listed { conns: server.conns.clone(), id: id.clone() };
                match Connection::new(server, id, peer, traffic).run(stream, stop).await {
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

struct Listed {
    conns: RtmpConns,
    id: String,
}

impl Drop for Listed {
    fn drop(&mut self) {
        self.conns.0.lock().remove(&self.id);
    }
}
