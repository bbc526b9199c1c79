//! Who is connected: sessions by their secret, by ICE user name fragment, by address.
//!
//! Belongs here: the maps and their limits. Not here: what a session does (`session`).

use super::transport::{IceCredentials, TransportError};
use bytes::BytesMut;
use hub::PathName;
use media::MonoTime;
use parking_lot::Mutex;
use proto::whip::EntityTag;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::sync::{mpsc, oneshot};

/// What a session is told. Datagrams beyond the inbox are dropped: WebRTC mends loss, memory does not.
#[derive(Debug)]
pub(crate) enum Command {
    /// From the socket.
    Datagram(SocketAddr, BytesMut),
    /// `PATCH` with new credentials.
    Restart(IceCredentials, oneshot::Sender<Result<IceCredentials, TransportError>>),
    /// `DELETE`, or kicked.
    Close(oneshot::Sender<()>),
}

/// Datagrams waiting for a session: one large key picture in one burst.
pub(crate) const INBOX: usize = 1024;

/// Where a session is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SessionState {
    /// Answered, ICE or DTLS not through yet.
    Connecting,
    /// Media may flow.
    Connected,
}

/// Which way a session's media goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SessionRole {
    /// WHIP: the peer sends.
    Publish,
    /// WHEP: the peer receives.
    Read,
}

/// One session, for the API and metrics.
#[derive(Debug, Clone)]
pub struct SessionInfo {
    /// Public identifier (not the secret in the URL).
    pub id: String,
    /// Which way its media goes.
    pub role: SessionRole,
    /// What is published or read.
    pub path: PathName,
    /// Where the request came from.
    pub http_peer: SocketAddr,
    /// Where its media comes from, as soon as that is known.
    pub remote: Option<SocketAddr>,
    /// It comes by TCP.
    pub tcp: bool,
    /// How far it is.
    pub state: SessionState,
    /// When it was answered.
    pub created: MonoTime,
    /// The query of the request.
    pub query: String,
    /// Its `User-Agent`.
    pub user_agent: String,
    /// RTP payload bytes.
    pub inbound_bytes: u64,
    /// RTP packets.
    pub inbound_packets: u64,
    /// RTP packets given up.
    pub lost_packets: u64,
    /// Pictures dropped because a packet of theirs was given up.
    pub damaged_pictures: u64,
    /// RTP payload bytes sent, those sent again not counted.
    pub outbound_bytes: u64,
    /// RTP packets sent, those sent again not counted.
    pub outbound_packets: u64,
    /// Access units that a reader lost or passed over.
    pub outbound_discarded: u64,
}

/// What others hold of a session.
#[derive(Debug, Clone)]
pub(crate) struct Handle {
    pub(crate) inbox: mpsc::Sender<Command>,
    pub(crate) ice: Arc<Mutex<IceState>>,
    pub(crate) info: Arc<Mutex<SessionInfo>>,
}

/// The ICE session as HTTP sees it.
#[derive(Debug, Clone)]
pub(crate) struct IceState {
    pub(crate) tag: EntityTag,
    pub(crate) remote_ufrag: String,
}

/// Why a session cannot be added.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Full;

/// All sessions of one server.
#[derive(Debug, Default)]
pub(crate) struct Registry {
    sessions: HashMap<String, (Handle, Vec<String>)>,
    by_ufrag: HashMap<String, (String, mpsc::Sender<Command>)>,
    by_address: HashMap<SocketAddr, (String, mpsc::Sender<Command>)>,
}

/// Addresses one session may be reached from; each interface of a phone is one, and NATs change ports.
const MAX_ADDRESSES_PER_SESSION: usize = 32;

impl Registry {
    pub(crate) fn add(&mut self, secret: &str, ufrag: &str, handle: Handle, limit: usize) -> Result<(), Full> {
        if self.sessions.len() >= limit {
            return Err(Full);
        }
        self.by_ufrag.insert(ufrag.into(), (secret.into(), handle.inbox.clone()));
        self.sessions.insert(secret.into(), (handle, vec![ufrag.into()]));
        Ok(())
    }

    /// Another user name fragment of the same session, after an ICE restart.
    pub(crate) fn add_ufrag(&mut self, secret: &str, ufrag: &str) {
        if let Some((handle, ufrags)) = self.sessions.get_mut(secret) {
            ufrags.push(ufrag.into());
            self.by_ufrag.insert(ufrag.into(), (secret.into(), handle.inbox.clone()));
        }
    }

    pub(crate) fn remove(&mut self, secret: &str) {
        if let Some((_, ufrags)) = self.sessions.remove(secret) {
            for ufrag in ufrags {
                self.by_ufrag.remove(&ufrag);
            }
            self.by_address.retain(|_, (owner, _)| owner != secret);
        }
    }

    pub(crate) fn get(&self, secret: &str) -> Option<Handle> {
        self.sessions.get(secret).map(|(handle, _)| handle.clone())
    }

    /// By the public identifier.
    pub(crate) fn find(&self, id: &str) -> Option<Handle> {
        self.sessions.values().map(|(h, _)| h).find(|h| h.info.lock().id == id).cloned()
    }

    pub(crate) fn infos(&self) -> Vec<SessionInfo> {
        self.sessions.values().map(|(h, _)| h.info.lock().clone()).collect()
    }

    /// The session a STUN request names; its address is remembered, because the packets behind it carry no name.
    pub(crate) fn by_ufrag(&mut self, ufrag: &str, from: SocketAddr) -> Option<mpsc::Sender<Command>> {
        let (secret, inbox) = self.by_ufrag.get(ufrag)?;
        let known = self.by_address.get(&from).is_some_and(|(owner, _)| owner == secret);
        if !known && self.by_address.values().filter(|(owner, _)| owner == secret).count() < MAX_ADDRESSES_PER_SESSION {
            self.by_address.insert(from, (secret.clone(), inbox.clone()));
        }
        Some(inbox.clone())
    }

    /// Nobody is at this address any more.
    pub(crate) fn forget(&mut self, address: SocketAddr) {
        self.by_address.remove(&address);
    }

    pub(crate) fn by_address(&self, from: SocketAddr) -> Option<mpsc::Sender<Command>> {
        self.by_address.get(&from).map(|(_, inbox)| inbox.clone())
    }
}
