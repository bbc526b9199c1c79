//! The server's pair of UDP ports: RTP on one, RTCP on the next, for every session.
//!
//! Belongs here: which session a datagram is for, by where it comes from. Not here: what it says (`proto::rtsp`).

use crate::clock::Clock;
use crate::ports::{BindError, explain_udp};
use bytes::Bytes;
use media::MonoTime;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::net::UdpSocket;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tracing::debug;

/// Datagrams that may wait for one session: 20 Mbit/s for 400 ms.
const QUEUE: usize = 1024;
/// Kernel buffers: a key frame of every publisher at once.
const KERNEL: usize = 2 << 20;
/// The largest datagram there is.
const DATAGRAM: usize = 65_536;
/// How often a free pair is looked for where any will do.
const TRIES: usize = 64;

/// One datagram of a session.
#[derive(Debug)]
pub(super) struct Datagram {
    pub(super) media: usize,
    pub(super) control: bool,
    pub(super) bytes: Bytes,
    pub(super) arrived: MonoTime,
}

/// The two ports. A clone is another handle to the same.
#[derive(Debug, Clone)]
pub(crate) struct UdpPair(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    rtp: UdpSocket,
    rtcp: UdpSocket,
    ports: (u16, u16),
    routes: Mutex<HashMap<(bool, SocketAddr), Route>>,
    routed: AtomicU64,
}

#[derive(Debug)]
struct Route {
    /// Which registration made it: a later one of the same address is not undone by an earlier one's end.
    number: u64,
    media: usize,
    queue: mpsc::Sender<Datagram>,
    discarded: Arc<AtomicU64>,
}

/// Binds both ports. With port 0 any pair will do: RTP's even, RTCP's the next (RFC 3550 §11).
pub(crate) fn bind_pair(rtp: SocketAddr, rtcp: SocketAddr) -> Result<UdpPair, BindError> {
    let pair = |rtp: UdpSocket, rtcp: UdpSocket| {
        let ports = (port(&rtp), port(&rtcp));
        UdpPair(Arc::new(Inner { rtp, rtcp, ports, routes: Mutex::default(), routed: AtomicU64::new(0) }))
    };
    if rtp.port() != 0 {
        let first = bind(rtp).map_err(|e| explain_udp("rtpAddress", rtp, e))?;
        let second = bind(rtcp).map_err(|e| explain_udp("rtcpAddress", rtcp, e))?;
        return Ok(pair(first, second));
    }
    for _ in 0..TRIES {
        let first = bind(rtp).map_err(|e| explain_udp("rtpAddress", rtp, e))?;
        let number = port(&first);
        if number.is_multiple_of(2)
            && let Some(next) = number.checked_add(1)
            && let Ok(second) = bind(SocketAddr::new(rtcp.ip(), next))
        {
            return Ok(pair(first, second));
        }
    }
    let taken = io::Error::new(io::ErrorKind::AddrInUse, "no two neighbouring ports are free");
    Err(BindError::Other { setting: "rtpAddress", address: rtp, source: taken })
}

fn port(socket: &UdpSocket) -> u16 {
    socket.local_addr().map_or(0, |a| a.port())
}

fn bind(address: SocketAddr) -> io::Result<UdpSocket> {
    let open = |address: SocketAddr| {
        let socket = socket2::Socket::new(socket2::Domain::for_address(address), socket2::Type::DGRAM, None)?;
        if address.is_ipv6() && address.ip().is_unspecified() {
            socket.set_only_v6(false)?;
        }
        // The system may grant less; then bursts are lost a little sooner.
        let _refused = socket.set_recv_buffer_size(KERNEL).and_then(|()| socket.set_send_buffer_size(KERNEL));
        socket.bind(&address.into())?;
        socket.set_nonblocking(true)?;
        UdpSocket::from_std(socket.into())
    };
    match open(address) {
        // A machine without IPv6 gets IPv4 alone.
        Err(e)
            if address.ip() == IpAddr::V6(Ipv6Addr::UNSPECIFIED)
                && !matches!(e.kind(), io::ErrorKind::AddrInUse | io::ErrorKind::PermissionDenied) =>
        {
            open(SocketAddr::from(([0, 0, 0, 0], address.port())))
        }
        opened => opened,
    }
}

impl UdpPair {
    /// The ports, as answers to SETUP tell them.
    pub(crate) fn ports(&self) -> (u16, u16) {
        self.0.ports
    }

    /// Hands datagrams to their sessions until `stop`.
    pub(crate) async fn run(self, clock: Clock, stop: CancellationToken) {
        tokio::select! {
            () = stop.cancelled() => {}
            () = self.receive(false, clock) => {}
            () = self.receive(true, clock) => {}
        }
    }

    async fn receive(&self, control: bool, clock: Clock) {
        let mut buffer = vec![0; DATAGRAM];
        loop {
            let received = self.socket(control).recv_from(&mut buffer).await;
            let (length, from) = match received {
                Ok(received) => received,
                // An ICMP answer to something we sent: that receiver has gone, the others have not.
                Err(error) => {
                    debug!(%error, "RTSP: a UDP port");
                    continue;
                }
            };
            let bytes = buffer.get(..length).unwrap_or_default();
            let routes = self.0.routes.lock();
            // From nobody we know: not even copied.
            let Some(route) = routes.get(&(control, canonical(from))) else { continue };
            let datagram =
                Datagram { media: route.media, control, bytes: Bytes::copy_from_slice(bytes), arrived: clock.now() };
            if route.queue.try_send(datagram).is_err() {
                route.discarded.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    /// Takes the datagrams of a session whose tracks come from these ports of `peer`.
    pub(super) fn route(&self, peer: IpAddr, tracks: &[(usize, u16, u16)]) -> Routes {
        let (sender, queue) = mpsc::channel(QUEUE);
        let (number, discarded) = (self.0.routed.fetch_add(1, Ordering::Relaxed), Arc::new(AtomicU64::new(0)));
        let mut keys = Vec::new();
        let mut routes = self.0.routes.lock();
        for &(media, rtp, rtcp) in tracks {
            for (control, port) in [(false, rtp), (true, rtcp)] {
                let key = (control, canonical(SocketAddr::new(peer, port)));
                let (queue, discarded) = (sender.clone(), Arc::clone(&discarded));
                routes.insert(key, Route { number, media, queue, discarded });
                keys.push(key);
            }
        }
        drop(routes);
        Routes { pair: self.clone(), number, keys, queue, discarded }
    }

    /// Sends a datagram to a port of `peer`. One that the system does not take is lost, as datagrams may be.
    pub(super) async fn send(&self, control: bool, peer: SocketAddr, bytes: &[u8]) {
        let socket = self.socket(control);
        let v6 = socket.local_addr().is_ok_and(|a| a.is_ipv6());
        let to = match canonical(peer) {
            SocketAddr::V4(v4) if v6 => SocketAddr::new(IpAddr::V6(v4.ip().to_ipv6_mapped()), v4.port()),
            other => other,
        };
        if let Err(error) = socket.send_to(bytes, to).await {
            debug!(%to, %error, "RTSP: a datagram was not sent");
        }
    }

    fn socket(&self, control: bool) -> &UdpSocket {
        if control { &self.0.rtcp } else { &self.0.rtp }
    }
}

/// An IPv4 address is the same one behind an IPv6 socket.
fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

/// A session's datagrams; dropping it lets its ports go.
#[derive(Debug)]
pub(super) struct Routes {
    pair: UdpPair,
    number: u64,
    keys: Vec<(bool, SocketAddr)>,
    queue: mpsc::Receiver<Datagram>,
    discarded: Arc<AtomicU64>,
}

impl Routes {
    /// The next datagram.
    pub(super) async fn next(&mut self) -> Option<Datagram> {
        self.queue.recv().await
    }

    /// Datagrams that found the queue full.
    pub(super) fn discarded(&self) -> u64 {
        self.discarded.load(Ordering::Relaxed)
    }
}

impl Drop for Routes {
    fn drop(&mut self) {
        let mut routes = self.pair.0.routes.lock();
        for key in &self.keys {
            if routes.get(key).is_some_and(|route| route.number == self.number) {
                routes.remove(key);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn datagrams_find_their_session() {
        let any: SocketAddr = "127.0.0.1:0".parse().unwrap();
        let pair = bind_pair(any, any).unwrap();
        let (rtp, rtcp) = pair.ports();
        assert!(rtp.is_multiple_of(2) && rtcp == rtp + 1);
        let stop = CancellationToken::new();
        let running = tokio::spawn(pair.clone().run(Clock::process(), stop.clone()));
        let client = UdpSocket::bind(any).await.unwrap();
        let port = client.local_addr().unwrap().port();
        let mut routes = pair.route(any.ip(), &[(3, port, port)]);
        let stranger = UdpSocket::bind(any).await.unwrap();
        stranger.send_to(b"no", (any.ip(), rtp)).await.unwrap();
        client.send_to(b"yes", (any.ip(), rtcp)).await.unwrap();
        let got = routes.next().await.unwrap();
        assert_eq!((got.media, got.control, &got.bytes[..]), (3, true, &b"yes"[..]));
        pair.send(false, client.local_addr().unwrap(), b"back").await;
        let mut buffer = [0; 10];
        assert_eq!(client.recv(&mut buffer).await.unwrap(), 4);
        // A newer session of the same ports stays when the older one ends.
        let newer = pair.route(any.ip(), &[(4, port, port)]);
        drop(routes);
        assert_eq!(pair.0.routes.lock().len(), 2);
        drop(newer);
        assert!(pair.0.routes.lock().is_empty());
        stop.cancel();
        running.await.unwrap();
    }
}
