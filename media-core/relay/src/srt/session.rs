//! A connection that runs: its datagrams, its timers, its silence.
//!
//! Belongs here: what wakes it. Not here: what is in its payloads (`ingest`, `egress`), how it came about (`connection`, `client`).

use super::link::{Link, LinkError, Step};
use super::registry::Listed;
use crate::udp;
use bytes::{Bytes, BytesMut};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use thiserror::Error;
use tokio::net::UdpSocket;
use tokio::sync::mpsc;
use tokio::time::Instant;

/// A peer that says nothing for this long is gone: SRT keeps alive every second (§3.2.3).
pub(super) const SILENCE: Duration = Duration::from_secs(10);
/// How often the list is told what a connection did.
const REPORT: Duration = Duration::from_millis(250);
/// Nothing that belongs here is larger than an Ethernet frame; larger datagrams are cut, and then make no sense.
pub(super) const MAX_DATAGRAM: usize = 2048;

/// Why a connection ended badly.
#[derive(Debug, Error)]
pub enum SessionError {
    /// The protocol broke.
    #[error("SRT: {0}")]
    Link(#[from] LinkError),
    /// The peer went without a word.
    #[error("nothing received for {} s", SILENCE.as_secs())]
    Silent,
    /// The socket broke.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// Where datagrams come from and go to.
#[derive(Debug)]
pub(super) enum Wire {
    /// The listener's socket, and what it sorted out.
    Shared { socket: Arc<UdpSocket>, dual: bool, to: SocketAddr, inbox: mpsc::Receiver<Bytes> },
    /// A socket of its own, connected.
    Own(UdpSocket, BytesMut),
}

impl Wire {
    pub(super) fn send(&self, datagram: &[u8]) {
        match self {
            Self::Shared { socket, dual, to, .. } => udp::send(socket, *to, datagram, *dual),
            Self::Own(socket, _) => {
                if let Err(error) = socket.try_send(datagram) {
                    tracing::trace!(%error, "datagram not sent");
                }
            }
        }
    }

    /// The next datagram. May be dropped at any time without losing one.
    pub(super) async fn receive(&mut self) -> io::Result<Bytes> {
        match self {
            // The listener's task ends after its connections.
            Self::Shared { inbox, .. } => inbox.recv().await.ok_or(io::ErrorKind::BrokenPipe.into()),
            Self::Own(socket, buffer) => {
                buffer.reserve(MAX_DATAGRAM);
                socket.recv_buf(buffer).await?;
                Ok(buffer.split().freeze())
            }
        }
    }
}

/// What a turn brought.
#[derive(Debug)]
pub(super) enum Turn {
    /// Something was handled; there may be room now.
    Nothing,
    /// A payload of the peer.
    Payload(Bytes),
    /// The peer said goodbye.
    Closed,
}

#[derive(Debug)]
pub(super) struct Session {
    wire: Wire,
    link: Link,
    listed: Option<Listed>,
    heard: Instant,
    reported: Instant,
}

impl Session {
    pub(super) fn new(wire: Wire, link: Link, listed: Option<Listed>) -> Self {
        let now = Instant::now();
        Self { wire, link, listed, heard: now, reported: now }
    }

    pub(super) fn has_room(&mut self) -> bool {
        self.link.has_room(std::time::Instant::now())
    }

    pub(super) fn push(&mut self, payload: Bytes) -> Result<(), SessionError> {
        Ok(self.link.push(std::time::Instant::now(), payload)?)
    }

    /// Sends what is due and waits for the next thing to happen. May be dropped at any time without losing anything.
    pub(super) async fn turn(&mut self) -> Result<Turn, SessionError> {
        let now = loop {
            let now = std::time::Instant::now();
            match self.link.poll(now)? {
                Some(Step::Send(datagram)) => self.wire.send(&datagram),
                Some(Step::Deliver(payload)) => return Ok(Turn::Payload(payload)),
                Some(Step::Closed) => return Ok(Turn::Closed),
                None => break now,
            }
        };
        if self.reported.elapsed() >= REPORT {
            self.report();
        }
        let silent = self.heard + SILENCE;
        let due = Instant::from_std(self.link.deadline(now)).min(silent);
        tokio::select! {
            datagram = self.wire.receive() => {
                self.heard = Instant::now();
                self.link.datagram(self.heard.into_std(), &datagram?)?;
            }
            () = tokio::time::sleep_until(due) => {
                if Instant::now() >= silent {
                    return Err(SessionError::Silent);
                }
            }
        }
        Ok(Turn::Nothing)
    }

    fn report(&mut self) {
        self.reported = Instant::now();
        if let Some(listed) = &self.listed {
            listed.report(self.link.stats());
        }
    }
}

impl Drop for Session {
    /// However it ends, the peer is told: it would wait for seconds.
    fn drop(&mut self) {
        self.wire.send(&self.link.goodbye(std::time::Instant::now()));
    }
}
