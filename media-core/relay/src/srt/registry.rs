//! Connections: which datagram is whose, and their list for the API and metrics.
//!
//! Not here: JSON (`api`), text (`metrics`), what a connection does (`connection`).

use super::door::again;
use crate::rtmp::ConnState;
use bytes::Bytes;
use media::MonoTime;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// Datagrams that wait for a connection's task; more are lost, as the network loses them. A key picture of a megabyte.
const INBOX: usize = 1024;

/// Counts of one connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LinkStats {
    /// Data packets sent, again or not.
    pub packets_sent: u64,
    /// Data packets received, again or not.
    pub packets_received: u64,
    /// Data packets sent for the first time.
    pub packets_sent_unique: u64,
    /// Data packets received for the first time.
    pub packets_received_unique: u64,
    /// Data packets that the peer reported missing.
    pub packets_send_loss: u64,
    /// Data packets sent again.
    pub packets_retransmitted: u64,
    /// Data packets received again.
    pub packets_received_retransmitted: u64,
    /// Acknowledgements sent.
    pub packets_sent_ack: u64,
    /// Acknowledgements received.
    pub packets_received_ack: u64,
    /// Loss reports sent.
    pub packets_sent_nak: u64,
    /// Loss reports received.
    pub packets_received_nak: u64,
    /// Data packets given up by the sender: too late.
    pub packets_send_drop: u64,
    /// Data packets given up by the receiver.
    pub packets_received_drop: u64,
    /// Data packets that could not be decrypted.
    pub packets_received_undecrypted: u64,
    /// Bytes of data packets sent, with headers.
    pub bytes_sent: u64,
    /// Bytes of data packets received, with headers.
    pub bytes_received: u64,
    /// Data packets that wait for an acknowledgement.
    pub packets_send_buffer: u64,
    /// Their bytes.
    pub bytes_send_buffer: u64,
    /// To the peer and back.
    pub round_trip: Option<Duration>,
    /// How late the peer lets out what we send.
    pub send_latency: Duration,
    /// How late we let out what it sends.
    pub receive_latency: Duration,
}

/// A connection at one moment.
#[derive(Debug, Clone)]
pub struct SrtConn {
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
    /// How much.
    pub stats: LinkStats,
}

/// All connections of one server. A clone is another handle to the same.
#[derive(Debug, Clone, Default)]
pub(crate) struct SrtConns(Arc<Mutex<Conns>>);

#[derive(Debug, Default)]
struct Conns {
    /// By our number.
    by_socket: HashMap<u32, Entry>,
    /// Our number, by the caller's address and its own number.
    by_caller: HashMap<(SocketAddr, u32), u32>,
}

#[derive(Debug)]
struct Entry {
    conn: SrtConn,
    caller: (SocketAddr, u32),
    inbox: mpsc::Sender<Bytes>,
    stop: CancellationToken,
    /// What it was told when it was let in, and when, for when it asks again.
    answer: Option<(Bytes, Instant)>,
}

impl SrtConns {
    /// Every connection, oldest first.
    pub(crate) fn list(&self) -> Vec<SrtConn> {
        let mut all: Vec<_> = self.0.lock().by_socket.values().map(|entry| entry.conn.clone()).collect();
        all.sort_by_key(|conn| conn.created);
        all
    }

    /// Ends a connection; `false` if there is none of this id.
    pub(crate) fn kick(&self, id: &str) -> bool {
        let conns = self.0.lock();
        conns.by_socket.values().find(|entry| entry.conn.id == id).inspect(|entry| entry.stop.cancel()).is_some()
    }

    pub(super) fn len(&self) -> usize {
        self.0.lock().by_socket.len()
    }

    /// Hands a datagram to connection `socket`, if that is the sender's.
    pub(super) fn deliver(&self, socket: u32, from: SocketAddr, datagram: Bytes) {
        let conns = self.0.lock();
        if let Some(entry) = conns.by_socket.get(&socket).filter(|entry| entry.caller.0 == from)
            && entry.inbox.try_send(datagram).is_err()
        {
            tracing::trace!(%from, "connection too slow, datagram dropped");
        }
    }

    /// Has this caller asked before? Then what it was told, once it was.
    pub(super) fn asked(&self, caller: (SocketAddr, u32)) -> Option<Option<Bytes>> {
        let conns = self.0.lock();
        let entry = conns.by_socket.get(conns.by_caller.get(&caller)?)?;
        Some(entry.answer.as_ref().map(|(answer, told)| again(answer, told.elapsed())))
    }

    /// Lists `conn` as long as the answer lives; where its datagrams come out.
    pub(super) fn list_caller(
        &self,
        conn: SrtConn,
        caller: (SocketAddr, u32),
        stop: CancellationToken,
    ) -> (Listed, mpsc::Receiver<Bytes>) {
        let (inbox, datagrams) = mpsc::channel(INBOX);
        let mut conns = self.0.lock();
        let socket = loop {
            // libsrt's numbers are positive and below the bit that marks a group.
            let number = rand::random::<u32>() >> 2;
            if number != 0 && !conns.by_socket.contains_key(&number) {
                break number;
            }
        };
        conns.by_caller.insert(caller, socket);
        conns.by_socket.insert(socket, Entry { conn, caller, inbox, stop, answer: None });
        (Listed { conns: self.clone(), socket }, datagrams)
    }
}

/// A listed connection; dropping it takes it off the list.
#[derive(Debug)]
pub(super) struct Listed {
    conns: SrtConns,
    pub(super) socket: u32,
}

impl Listed {
    /// It is let in, with `answer`, to do what `state` says.
    pub(super) fn accepted(&self, answer: Bytes, state: ConnState) {
        if let Some(entry) = self.conns.0.lock().by_socket.get_mut(&self.socket) {
            entry.answer = Some((answer, Instant::now()));
            entry.conn.state = state;
        }
    }

    pub(super) fn report(&self, stats: LinkStats) {
        if let Some(entry) = self.conns.0.lock().by_socket.get_mut(&self.socket) {
            entry.conn.stats = stats;
        }
    }
}

impl Drop for Listed {
    fn drop(&mut self) {
        let mut conns = self.conns.0.lock();
        if let Some(entry) = conns.by_socket.remove(&self.socket) {
            conns.by_caller.remove(&entry.caller);
        }
    }
}
