//! ICE over TCP (RFC 6544): connections of peers that have no way for UDP, each in the sessions' eyes an address like any other.
//!
//! Belongs here: accepting, frames (RFC 4571), queues and their bounds. Not here: whose a packet is (`registry`), the UDP socket (`mux`),
//! what is offered (`addresses`).
//!
//! The stack below knows peers by address and UDP alone. So each connection gets an address of its own that no network has (RFC 6666),
//! and what is sent to that goes into the connection: nothing above or below this module knows of TCP.

use super::registry::{Command, Registry};
use bytes::{Bytes, BytesMut};
use parking_lot::Mutex;
use proto::whip::Datagram;
use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::OwnedWriteHalf;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;

/// Nothing that belongs here is larger than an Ethernet frame; the length of a frame may say 65535.
const MAX_PACKET: usize = 2048;
/// Packets waiting for a peer: a second of 1 Mbit/s. More of them would be late.
const QUEUE: usize = 128;
/// With less room than this, nothing new is sent: two bursts and the handshakes between them.
const ROOM: usize = 80;
/// A connection says whose it is within this, or is closed.
const FIRST: Duration = Duration::from_secs(10);
/// A connection over which nothing comes is not the chosen one any more: ICE speaks every few seconds (RFC 7675).
const SILENCE: Duration = Duration::from_secs(30);
/// A peer that takes nothing for this long is gone.
const STALLED: Duration = Duration::from_secs(10);
/// Connections of one session: each interface of a peer is one, and a restart makes new ones.
const PER_SESSION: usize = 2;
/// What the kernel may hold unsent, so that a slow peer is noticed here and not megabytes later.
#[cfg(target_os = "linux")]
const KERNEL_UNSENT: u32 = 64 << 10;

/// The discard prefix, 100::/64: no peer is there.
const PREFIX: u128 = 0x0100 << 112;
/// The port that RFC 6544 §4.5 gives those who only dial.
const PORT: u16 = 9;

/// The connections there are, by the addresses that stand for them. A clone is another handle to the same.
#[derive(Debug, Clone, Default)]
pub(crate) struct TcpPeers(Arc<Mutex<HashMap<u64, Connection>>>);

#[derive(Debug)]
struct Connection {
    peer: SocketAddr,
    queue: mpsc::Sender<Bytes>,
}

/// The connection that `address` stands for.
fn id(address: SocketAddr) -> Option<u64> {
    let IpAddr::V6(ip) = address.ip() else { return None };
    let bits = u128::from(ip);
    (bits >> 64 == PREFIX >> 64).then_some(bits as u64)
}

fn address(id: u64) -> SocketAddr {
    SocketAddr::new(Ipv6Addr::from(PREFIX | u128::from(id)).into(), PORT)
}

/// Does `address` stand for a connection? Nothing from a socket does.
pub(crate) fn is_tcp(address: SocketAddr) -> bool {
    id(address).is_some()
}

impl TcpPeers {
    /// Sends to the connection that `to` stands for, if there is room. `false`: it stands for none.
    pub(crate) fn send(&self, to: SocketAddr, packet: &Bytes) -> bool {
        let Some(id) = id(to) else { return false };
        let queue = self.0.lock().get(&id).map(|connection| connection.queue.clone());
        if queue.is_none_or(|queue| queue.try_send(packet.clone()).is_err()) {
            tracing::trace!(%to, "packet not sent by TCP");
        }
        true
    }

    /// Is there too much on its way to `to` already? Never for UDP.
    pub(crate) fn is_full(&self, to: SocketAddr) -> bool {
        let Some(id) = id(to) else { return false };
        self.0.lock().get(&id).is_some_and(|connection| connection.queue.capacity() < ROOM)
    }

    /// Where the peer behind `address` really is.
    pub(crate) fn peer(&self, address: SocketAddr) -> SocketAddr {
        let peer = id(address).and_then(|id| self.0.lock().get(&id).map(|connection| connection.peer));
        peer.unwrap_or(address)
    }
}

/// Serves until it is dropped, which ends every connection; `sessions` bounds them.
pub(crate) async fn run(listener: TcpListener, registry: Arc<Mutex<Registry>>, peers: TcpPeers, sessions: usize) {
    let next = AtomicU64::new(1);
    let room = Arc::new(Semaphore::new(sessions.saturating_mul(PER_SESSION)));
    let mut connections = JoinSet::new();
    loop {
        while connections.try_join_next().is_some() {}
        let (stream, peer) = match listener.accept().await {
            Ok((stream, peer)) => (stream, SocketAddr::new(peer.ip().to_canonical(), peer.port())),
            Err(error) => {
                tracing::warn!(%error, "a TCP connection was not accepted");
                // Out of descriptors, most likely: asking again at once helps nobody.
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let Ok(permit) = Arc::clone(&room).try_acquire_owned() else {
            tracing::warn!(%peer, "too many TCP connections");
            continue;
        };
        let id = next.fetch_add(1, Ordering::Relaxed);
        let (registry, peers) = (Arc::clone(&registry), peers.clone());
        connections.spawn(async move {
            let _permit = permit;
            let (queue, waiting) = mpsc::channel(QUEUE);
            peers.0.lock().insert(id, Connection { peer, queue });
            let _left = Left { id, peers: &peers, registry: &registry };
            if let Err(error) = serve(stream, address(id), waiting, &registry).await {
                tracing::debug!(%peer, %error, "TCP connection");
            }
        });
    }
}

/// Forgets a connection, however it ends.
struct Left<'a> {
    id: u64,
    peers: &'a TcpPeers,
    registry: &'a Mutex<Registry>,
}

impl Drop for Left<'_> {
    fn drop(&mut self) {
        self.peers.0.lock().remove(&self.id);
        self.registry.lock().forget(address(self.id));
    }
}

async fn serve(
    stream: TcpStream,
    from: SocketAddr,
    waiting: mpsc::Receiver<Bytes>,
    registry: &Mutex<Registry>,
) -> io::Result<()> {
    stream.set_nodelay(true)?;
    #[cfg(target_os = "linux")]
    socket2::SockRef::from(&stream).set_tcp_notsent_lowat(KERNEL_UNSENT)?;
    let (input, output) = stream.into_split();
    tokio::select! {
        read = read(input, from, registry) => read,
        written = write(output, waiting) => written,
    }
}

async fn read(mut input: impl AsyncRead + Unpin, from: SocketAddr, registry: &Mutex<Registry>) -> io::Result<()> {
    let (mut buffer, mut patience) = (BytesMut::new(), FIRST);
    loop {
        let packet = match tokio::time::timeout(patience, packet(&mut input, &mut buffer)).await {
            Ok(packet) => packet?,
            Err(_) => return Err(io::ErrorKind::TimedOut.into()),
        };
        let Some(packet) = packet else { return Ok(()) };
        let inbox = match Datagram::peek(&packet) {
            Datagram::Request { ufrag } => registry.lock().by_ufrag(ufrag, from),
            Datagram::Stun | Datagram::Dtls | Datagram::Media => registry.lock().by_address(from),
            Datagram::Unknown => None,
        };
        // Of no session, or of one that is over: there is nothing else to say on this connection.
        let Some(inbox) = inbox else { return Err(io::Error::other("a packet of no session")) };
        patience = SILENCE;
        // A session that is slow slows its own peer.
        if inbox.send(Command::Datagram(from, packet)).await.is_err() {
            return Ok(());
        }
    }
}

/// The next packet (RFC 4571 §2); `None` where the peer closed between two.
async fn packet(input: &mut (impl AsyncRead + Unpin), buffer: &mut BytesMut) -> io::Result<Option<BytesMut>> {
    loop {
        if let Some(packet) = cut(buffer)? {
            return Ok(Some(packet));
        }
        if input.read_buf(buffer).await? == 0 {
            let whole = buffer.is_empty();
            return if whole { Ok(None) } else { Err(io::ErrorKind::UnexpectedEof.into()) };
        }
    }
}

/// Takes the first packet out of what was read, once it is whole.
fn cut(buffer: &mut BytesMut) -> io::Result<Option<BytesMut>> {
    let Some(&[high, low]) = buffer.get(..2).and_then(|head| <&[u8; 2]>::try_from(head).ok()) else {
        return Ok(None);
    };
    let length = usize::from(u16::from_be_bytes([high, low]));
    if length == 0 || length > MAX_PACKET {
        return Err(io::Error::new(io::ErrorKind::InvalidData, format!("a packet of {length} bytes")));
    }
    if buffer.len() < 2 + length {
        buffer.reserve(2 + length - buffer.len());
        return Ok(None);
    }
    let mut packet = buffer.split_to(2 + length);
    Ok(Some(packet.split_off(2)))
}

async fn write(mut output: OwnedWriteHalf, mut waiting: mpsc::Receiver<Bytes>) -> io::Result<()> {
    let mut frames = BytesMut::new();
    while let Some(first) = waiting.recv().await {
        let mut next = Some(first);
        // Whatever else is waiting, in one go.
        while let Some(packet) = next {
            if let Ok(length) = u16::try_from(packet.len()) {
                frames.extend_from_slice(&length.to_be_bytes());
                frames.extend_from_slice(&packet);
            }
            next = if frames.len() < KERNEL_BURST { waiting.try_recv().ok() } else { None };
        }
        match tokio::time::timeout(STALLED, output.write_all(&frames)).await {
            Ok(written) => written?,
            Err(_) => return Err(io::ErrorKind::TimedOut.into()),
        }
        frames.clear();
    }
    Ok(())
}

/// Bytes written at once.
const KERNEL_BURST: usize = 16 << 10;

/// What a peer sends over a connection, in pieces of the length that the first byte says.
pub(crate) fn fuzz(data: &[u8]) {
    let Some((&step, bytes)) = data.split_first() else { return };
    let (mut buffer, mut taken) = (BytesMut::new(), 0);
    for piece in bytes.chunks(usize::from(step).max(1)) {
        buffer.extend_from_slice(piece);
        while let Ok(Some(packet)) = cut(&mut buffer) {
            assert!(!packet.is_empty() && packet.len() <= MAX_PACKET, "a packet");
            taken += 2 + packet.len();
            let _whose = Datagram::peek(&packet);
        }
    }
    assert!(taken + buffer.len() == bytes.len(), "nothing is lost");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_stand_for_connections() {
        let at = address(0xFFFF_FFFF_FFFF_FFFE);
        assert_eq!((at.to_string(), id(at)), ("[100::ffff:ffff:ffff:fffe]:9".into(), Some(u64::MAX - 1)));
        assert!(!is_tcp("192.0.2.1:9".parse().unwrap()) && !is_tcp("[100:0:0:1::1]:9".parse().unwrap()));
    }

    #[test]
    fn packets() {
        let mut buffer = BytesMut::from(&b"\x00\x03abc\x00"[..]);
        assert_eq!(cut(&mut buffer).unwrap().unwrap(), "abc");
        assert!(cut(&mut buffer).unwrap().is_none());
        buffer.extend_from_slice(b"\x01d\x00\x00");
        assert_eq!(cut(&mut buffer).unwrap().unwrap(), "d");
        assert!(cut(&mut buffer).is_err(), "an empty packet");
        assert!(cut(&mut BytesMut::from(&b"GET / HTTP/1.1"[..])).is_err(), "another protocol");
    }

    /// A peer that takes nothing fills its own queue and is left; another one is served meanwhile.
    #[tokio::test]
    async fn a_slow_peer_is_its_own_loss() {
        let (registry, peers) = (Arc::default(), TcpPeers::default());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let at = listener.local_addr().unwrap();
        let serving = tokio::spawn(run(listener, registry, peers.clone(), 1));
        let _slow = TcpStream::connect(at).await.unwrap();
        let mut quick = TcpStream::connect(at).await.unwrap();
        while peers.0.lock().len() < 2 {
            tokio::task::yield_now().await;
        }
        // There is room for two connections of one session; the third is closed.
        let mut third = TcpStream::connect(at).await.unwrap();
        assert_eq!(third.read(&mut [0]).await.unwrap(), 0);
        let of = |stream: &TcpStream| {
            let local = stream.local_addr().unwrap();
            let found = peers.0.lock().iter().find(|(_, c)| c.peer == local).map(|(id, _)| address(*id));
            found.unwrap()
        };
        let (slow, fast, packet) = (of(&_slow), of(&quick), Bytes::from(vec![7; 1200]));
        while !peers.is_full(slow) {
            assert!(peers.send(slow, &packet));
            tokio::task::yield_now().await;
        }
        assert!(!peers.is_full(fast) && peers.send(fast, &packet));
        let mut got = vec![0; 1202];
        quick.read_exact(&mut got).await.unwrap();
        assert_eq!((&got[..2], got[2]), (&1200_u16.to_be_bytes()[..], 7));
        assert!(!peers.send(at, &packet), "what stands for no connection goes by UDP");
        assert_eq!(peers.peer(slow), _slow.local_addr().unwrap());
        serving.abort();
    }
}
