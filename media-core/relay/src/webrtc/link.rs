//! What every session has, whichever way its media goes: the stack, the socket, what it is told, and how it ends.
//!
//! Not here: the loops (`session` for publishers, `reading` for readers).

use super::registry::{Command, SessionInfo};
use super::tcp::{TcpPeers, is_tcp};
use super::transport::Transport;
use crate::udp;
use parking_lot::Mutex;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::net::UdpSocket;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// A peer that sends nothing at all for this long is gone; ICE alone would speak every few seconds (RFC 7675).
pub(crate) const SILENCE: Duration = Duration::from_secs(10);
/// From the answer to the end of the DTLS handshake.
pub(crate) const HANDSHAKE: Duration = Duration::from_secs(10);

/// Why a session ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    Deleted,
    Replaced,
    Closed,
    Silent,
    Handshake,
    Failed,
    TooManyPaths,
    NoPublisher,
    ServerGone,
}

/// One session's connections to the world.
pub(crate) struct Link<T> {
    pub(crate) transport: T,
    pub(crate) socket: Arc<UdpSocket>,
    pub(crate) dual: bool,
    /// Those who come by TCP.
    pub(crate) tcp: TcpPeers,
    /// Where the latest datagram came from.
    pub(crate) peer: Option<SocketAddr>,
    pub(crate) info: Arc<Mutex<SessionInfo>>,
    pub(crate) inbox: mpsc::Receiver<Command>,
    /// The server's end.
    pub(crate) stop: CancellationToken,
}

impl<T: Transport> Link<T> {
    /// Does what the session is told; the reason where that ends it.
    pub(crate) fn command(&mut self, command: Option<Command>) -> Option<End> {
        let now = Instant::now();
        match command {
            Some(Command::Datagram(from, datagram)) => {
                let mut next = Some((from, datagram));
                // Whatever else is waiting, in one go: one wake-up for a burst.
                while let Some((from, datagram)) = next.take() {
                    self.heard_from(from);
                    self.transport.receive(datagram, from, now);
                    match self.inbox.try_recv() {
                        Ok(Command::Datagram(from, datagram)) => next = Some((from, datagram)),
                        Ok(other) => return self.command(Some(other)),
                        Err(_) => {}
                    }
                }
                None
            }
            Some(Command::Restart(remote, reply)) => {
                let answer = self.transport.restart_ice(&remote, now);
                if reply.send(answer).is_err() {
                    tracing::debug!("nobody waits for the ICE restart any more");
                }
                None
            }
            Some(Command::Close(reply)) => {
                // The caller may have left; the session ends all the same.
                drop(reply);
                Some(End::Deleted)
            }
            None => Some(End::ServerGone),
        }
    }

    /// Sends what the stack has ready.
    pub(crate) fn transmit(&mut self) {
        while let Some((to, datagram)) = self.transport.transmit() {
            if !self.tcp.send(to, &datagram) {
                udp::send(&self.socket, to, &datagram, self.dual);
            }
        }
    }

    /// Does the peer come by TCP and take less than it is sent?
    pub(crate) fn is_full(&self) -> bool {
        self.peer.is_some_and(|peer| self.tcp.is_full(peer))
    }

    fn heard_from(&mut self, from: SocketAddr) {
        if self.peer.replace(from) != Some(from) {
            let mut info = self.info.lock();
            (info.remote, info.tcp) = (Some(self.tcp.peer(from)), is_tcp(from));
        }
    }
}
