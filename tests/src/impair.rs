//! A bad network between two programs: loses, delays and reorders datagrams, the same ones every time it is asked.
//!
//! Belongs here: one UDP way to one server, for as many clients as come. Not here: who speaks through it, what is expected of them.

use anyhow::{Context, Result};
use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::io::ErrorKind;
use std::net::{SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// What the network does to a datagram, each way.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Impairment {
    /// Of a hundred, so many are lost.
    pub loss: f64,
    /// Each arrives so much later.
    pub delay: Duration,
    /// … and up to this much later still, by chance: who is sent later may arrive earlier.
    pub jitter: Duration,
}

/// Sockets look up this often, to see whether it is over.
const LOOK_UP: Duration = Duration::from_millis(100);

/// A network between clients and one server. Dropping it ends it.
#[derive(Debug)]
pub struct Network {
    address: SocketAddr,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    impairment: Mutex<Impairment>,
    passed: AtomicU64,
    lost: AtomicU64,
    over: AtomicBool,
}

/// A datagram on its way; the earliest first, and of two that are due together the one that was sent first.
type Late = Reverse<(Instant, u64, Vec<u8>, SocketAddr, usize)>;

impl Network {
    /// A network in front of `server` that does nothing to anybody yet. Chance begins with `seed`.
    ///
    /// # Errors
    /// Where there is no socket or thread to be had.
    pub fn before(server: SocketAddr, seed: u64) -> Result<Self> {
        Self::start(server, None, seed).map(|(network, _)| network)
    }

    /// A network between two that speak from the addresses they are spoken to at: `client` is told [`Self::address`] in place of `server`'s, and
    /// `server` the address that is answered in place of `client`'s.
    ///
    /// # Errors
    /// Where there is no socket or thread to be had.
    pub fn between(client: SocketAddr, server: SocketAddr, seed: u64) -> Result<(Self, SocketAddr)> {
        let (network, back) = Self::start(server, Some(client), seed)?;
        Ok((network, back.context("no way back")?))
    }

    fn start(server: SocketAddr, client: Option<SocketAddr>, seed: u64) -> Result<(Self, Option<SocketAddr>)> {
        let front = UdpSocket::bind("127.0.0.1:0")?;
        let address = front.local_addr()?;
        let shared = Arc::new(Shared {
            impairment: Mutex::default(),
            passed: AtomicU64::new(0),
            lost: AtomicU64::new(0),
            over: AtomicBool::new(false),
        });
        let (arrived, arrivals) = channel();
        listen(front.try_clone()?, 0, arrived.clone(), Arc::clone(&shared))?;
        let mut carrier = Carrier { server, sockets: vec![front], ways: HashMap::new(), chance: Chance(seed), arrived };
        let back = client.map(|client| -> Result<SocketAddr> {
            let number = carrier.open(client, &shared)?;
            Ok(carrier.sockets[number].local_addr()?)
        });
        let back = back.transpose()?;
        let state = Arc::clone(&shared);
        thread::Builder::new().name("network".into()).spawn(move || carrier.run(&arrivals, &state))?;
        Ok((Self { address, shared }, back))
    }

    /// Where clients send what is for the server.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// From now on the network is like this.
    pub fn set(&self, impairment: Impairment) {
        *self.shared.impairment.lock().unwrap_or_else(PoisonError::into_inner) = impairment;
    }

    /// Datagrams that passed and that were lost, so far.
    pub fn counts(&self) -> (u64, u64) {
        (self.shared.passed.load(Ordering::Relaxed), self.shared.lost.load(Ordering::Relaxed))
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        self.shared.over.store(true, Ordering::Relaxed);
    }
}

/// A datagram that came in at a socket.
struct Arrival {
    socket: usize,
    from: SocketAddr,
    data: Vec<u8>,
}

/// Hands on what comes in at `socket`.
fn listen(socket: UdpSocket, number: usize, arrived: Sender<Arrival>, shared: Arc<Shared>) -> Result<()> {
    socket.set_read_timeout(Some(LOOK_UP))?;
    thread::Builder::new().name(format!("network-{number}")).spawn(move || {
        let mut buffer = vec![0; 1 << 16];
        while !shared.over.load(Ordering::Relaxed) {
            match socket.recv_from(&mut buffer) {
                Ok((count, from)) => {
                    let data = buffer.get(..count).unwrap_or_default().to_vec();
                    if arrived.send(Arrival { socket: number, from, data }).is_err() {
                        return;
                    }
                }
                // Nothing, or word of somebody who has gone.
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
                Err(error) if error.kind() == ErrorKind::ConnectionRefused => {}
                Err(_) => return,
            }
        }
    })?;
    Ok(())
}

/// Carries datagrams both ways: from the front to the server, by a socket for each client, and back.
struct Carrier {
    server: SocketAddr,
    /// The front, then one for each client.
    sockets: Vec<UdpSocket>,
    /// The clients, each with its socket.
    ways: HashMap<SocketAddr, usize>,
    chance: Chance,
    arrived: Sender<Arrival>,
}

impl Carrier {
    fn run(mut self, arrivals: &Receiver<Arrival>, shared: &Arc<Shared>) {
        let (mut late, mut number) = (BinaryHeap::<Late>::new(), 0_u64);
        while !shared.over.load(Ordering::Relaxed) {
            let now = Instant::now();
            while late.peek().is_some_and(|Reverse((due, ..))| *due <= now) {
                let Some(Reverse((_, _, data, to, socket))) = late.pop() else { break };
                // Whoever has gone gets nothing.
                let _sent = self.sockets.get(socket).map(|socket| socket.send_to(&data, to));
            }
            let wait = late.peek().map_or(LOOK_UP, |Reverse((due, ..))| due.saturating_duration_since(now));
            let arrival = match arrivals.recv_timeout(wait) {
                Ok(arrival) => arrival,
                Err(RecvTimeoutError::Timeout) => continue,
                Err(RecvTimeoutError::Disconnected) => return,
            };
            let Some((to, socket)) = self.way(&arrival, shared) else { continue };
            let impairment = *shared.impairment.lock().unwrap_or_else(PoisonError::into_inner);
            // Both draws always, so that what is lost does not depend on how late the rest is.
            let (fate, delay) = (self.chance.next(), self.chance.next());
            if fate * 100.0 < impairment.loss {
                shared.lost.fetch_add(1, Ordering::Relaxed);
                continue;
            }
            shared.passed.fetch_add(1, Ordering::Relaxed);
            number += 1;
            let due = Instant::now() + impairment.delay + impairment.jitter.mul_f64(delay);
            late.push(Reverse((due, number, arrival.data, to, socket)));
        }
    }

    /// Where a datagram goes next, and by which socket.
    fn way(&mut self, arrival: &Arrival, shared: &Arc<Shared>) -> Option<(SocketAddr, usize)> {
        if arrival.socket > 0 {
            let client = self.ways.iter().find(|(_, socket)| **socket == arrival.socket)?;
            return Some((*client.0, 0));
        }
        if let Some(socket) = self.ways.get(&arrival.from) {
            return Some((self.server, *socket));
        }
        Some((self.server, self.open(arrival.from, shared).ok()?))
    }

    /// A socket towards the server for this client.
    fn open(&mut self, client: SocketAddr, shared: &Arc<Shared>) -> Result<usize> {
        let number = self.sockets.len();
        let socket = UdpSocket::bind("127.0.0.1:0")?;
        listen(socket.try_clone()?, number, self.arrived.clone(), Arc::clone(shared))?;
        self.sockets.push(socket);
        self.ways.insert(client, number);
        Ok(number)
    }
}

/// Numbers by chance (SplitMix64), the same for the same seed.
struct Chance(u64);

impl Chance {
    /// Of [0, 1).
    fn next(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((z ^ (z >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
    }
}
