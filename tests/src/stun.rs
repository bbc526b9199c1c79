//! A STUN server that answers when it is told to (RFC 8489, Binding alone), so that a candidate can be found late on purpose.

use anyhow::Result;
use std::io::ErrorKind;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

/// Every client is told that it is seen from here: an address for documentation (RFC 5737), which no interface has.
pub const SEEN_FROM: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 7);

/// A running server; it ends when dropped.
#[derive(Debug)]
pub struct Stun {
    address: SocketAddr,
    asked: Arc<AtomicUsize>,
    answers: Arc<AtomicBool>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Stun {
    /// Starts it on loopback. Until [`Self::answer`] it keeps requests to itself.
    ///
    /// # Errors
    /// Where there is no port.
    pub fn start() -> Result<Self> {
        let socket = UdpSocket::bind("127.0.0.1:0")?;
        // Only so often does it look whether it may answer or must end.
        socket.set_read_timeout(Some(Duration::from_millis(10)))?;
        let (asked, answers, stop) = <(Arc<AtomicUsize>, Arc<AtomicBool>, Arc<AtomicBool>)>::default();
        let address = socket.local_addr()?;
        let thread = {
            let (asked, answers, stop) = (Arc::clone(&asked), Arc::clone(&answers), Arc::clone(&stop));
            std::thread::Builder::new().name("stun".into()).spawn(move || serve(&socket, &asked, &answers, &stop))?
        };
        Ok(Self { address, asked, answers, stop, thread: Some(thread) })
    }

    /// `HOST:PORT`.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// How many requests have come.
    pub fn asked(&self) -> usize {
        self.asked.load(Ordering::Relaxed)
    }

    /// Answers what was asked, and from now on at once.
    pub fn answer(&self) {
        self.answers.store(true, Ordering::Relaxed);
    }
}

impl Drop for Stun {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ended = thread.join();
        }
    }
}

fn serve(socket: &UdpSocket, asked: &AtomicUsize, answers: &AtomicBool, stop: &AtomicBool) {
    let mut held = Vec::new();
    let mut packet = [0; 1500];
    while !stop.load(Ordering::Relaxed) {
        match socket.recv_from(&mut packet) {
            // Binding request, and the magic cookie.
            Ok((length, from)) if length >= 20 && packet[..2] == [0, 1] && packet[4..8] == COOKIE => {
                asked.fetch_add(1, Ordering::Relaxed);
                held.push((packet[8..20].to_vec(), from));
            }
            Ok(_) => {}
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
            Err(_) => return,
        }
        if answers.load(Ordering::Relaxed) {
            for (transaction, from) in held.drain(..) {
                // A client that has gone needs no answer.
                let _sent = socket.send_to(&success(&transaction, from.port()), from);
            }
        }
    }
}

const COOKIE: [u8; 4] = [0x21, 0x12, 0xA4, 0x42];

/// A Binding success with one XOR-MAPPED-ADDRESS of 8 bytes.
fn success(transaction: &[u8], port: u16) -> Vec<u8> {
    let port = port ^ u16::from_be_bytes([COOKIE[0], COOKIE[1]]);
    let address: Vec<u8> = SEEN_FROM.octets().iter().zip(COOKIE).map(|(a, c)| a ^ c).collect();
    [&[1, 1, 0, 12][..], &COOKIE, transaction, &[0, 0x20, 0, 8, 0, 1], &port.to_be_bytes(), &address].concat()
}
