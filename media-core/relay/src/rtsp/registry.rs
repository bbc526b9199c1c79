//! Connections and sessions, for the API and metrics.
//!
//! Belongs here: their lists, and throwing a session out. Not here: JSON (`api`), text (`metrics`).

use crate::rtmp::ConnState;
use media::MonoTime;
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

/// A connection at one moment.
#[derive(Debug, Clone)]
pub struct RtspConn {
    /// Its id.
    pub id: String,
    /// Since when.
    pub created: MonoTime,
    /// From where.
    pub remote: SocketAddr,
    /// The session it carries, as in the paths' lists.
    pub session: Option<String>,
    /// Bytes received.
    pub inbound_bytes: u64,
    /// Bytes sent.
    pub outbound_bytes: u64,
}

/// How a session's media goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SessionTransport {
    /// In the connection.
    Tcp,
    /// From and to the server's pair of ports.
    Udp,
}

/// Counts of a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SessionStats {
    /// Bytes of packets received.
    pub inbound_bytes: u64,
    /// Bytes of packets sent.
    pub outbound_bytes: u64,
    /// RTP packets received.
    pub inbound_packets: u64,
    /// RTP packets missing.
    pub inbound_lost: u64,
    /// Packets that were no RTP, or held nothing that decodes.
    pub inbound_in_error: u64,
    /// In ticks, the worst track's.
    pub inbound_jitter: u32,
    /// RTP packets sent.
    pub outbound_packets: u64,
    /// RTCP packets received.
    pub inbound_reports: u64,
    /// RTCP packets sent.
    pub outbound_reports: u64,
    /// Packets for the session that found its queue full.
    pub inbound_discarded: u64,
}

/// A session at one moment.
#[derive(Debug, Clone)]
pub struct RtspSession {
    /// Its id, as in the paths' lists.
    pub id: String,
    /// Since when.
    pub created: MonoTime,
    /// From where.
    pub remote: SocketAddr,
    /// What it does.
    pub state: ConnState,
    /// With which path.
    pub path: String,
    /// How, once that is agreed.
    pub transport: Option<SessionTransport>,
    /// How much.
    pub stats: SessionStats,
}

/// Both lists of one server. A clone is another handle to the same.
#[derive(Debug, Clone, Default)]
pub(crate) struct RtspLists(Arc<Mutex<Lists>>);

#[derive(Debug, Default)]
struct Lists {
    conns: BTreeMap<String, RtspConn>,
    sessions: BTreeMap<String, (RtspSession, CancellationToken)>,
}

impl RtspLists {
    pub(crate) fn conns(&self) -> Vec<RtspConn> {
        self.0.lock().conns.values().cloned().collect()
    }

    pub(crate) fn sessions(&self) -> Vec<RtspSession> {
        self.0.lock().sessions.values().map(|(session, _)| session.clone()).collect()
    }

    /// Ends the session with this id; false if there is none.
    pub(crate) fn kick(&self, id: &str) -> bool {
        let lists = self.0.lock();
        let found = lists.sessions.get(id);
        if let Some((_, stop)) = found {
            stop.cancel();
        }
        found.is_some()
    }

    pub(super) fn len(&self) -> usize {
        self.0.lock().conns.len()
    }

    /// Lists a connection as long as the answer lives.
    pub(super) fn connected(&self, conn: RtspConn) -> ListedConn {
        let id = conn.id.clone();
        self.0.lock().conns.insert(id.clone(), conn);
        ListedConn { lists: self.clone(), id }
    }
}

/// A listed connection; dropping it takes it off the list.
#[derive(Debug)]
pub(super) struct ListedConn {
    lists: RtspLists,
    id: String,
}

impl ListedConn {
    pub(super) fn update(&self, change: impl FnOnce(&mut RtspConn)) {
        if let Some(conn) = self.lists.0.lock().conns.get_mut(&self.id) {
            change(conn);
        }
    }

    /// Lists a session of this connection, ended by `stop`, as long as the answer lives.
    pub(super) fn session(&self, session: RtspSession, stop: CancellationToken) -> ListedSession {
        let id = session.id.clone();
        let mut lists = self.lists.0.lock();
        if let Some(conn) = lists.conns.get_mut(&self.id) {
            conn.session = Some(id.clone());
        }
        lists.sessions.insert(id.clone(), (session, stop));
        ListedSession { lists: self.lists.clone(), conn: self.id.clone(), id }
    }
}

impl Drop for ListedConn {
    fn drop(&mut self) {
        self.lists.0.lock().conns.remove(&self.id);
    }
}

/// A listed session; dropping it takes it off the list.
#[derive(Debug)]
pub(super) struct ListedSession {
    lists: RtspLists,
    conn: String,
    id: String,
}

impl ListedSession {
    pub(super) fn update(&self, change: impl FnOnce(&mut RtspSession)) {
        if let Some((session, _)) = self.lists.0.lock().sessions.get_mut(&self.id) {
            change(session);
        }
    }
}

impl Drop for ListedSession {
    fn drop(&mut self) {
        let mut lists = self.lists.0.lock();
        lists.sessions.remove(&self.id);
        if let Some(conn) = lists.conns.get_mut(&self.conn).filter(|conn| conn.session.as_ref() == Some(&self.id)) {
            conn.session = None;
        }
    }
}
