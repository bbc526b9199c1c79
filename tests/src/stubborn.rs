//! Servers that are of no use: one that accepts and says nothing, one that answers every request with one status.

use anyhow::{Context, Result};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// What it does with a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Manner {
    /// Keeps it open and says nothing.
    Silent,
    /// Answers with this status, and closes.
    Status(u16),
}

/// A running server; dropping it closes its port and every connection.
#[derive(Debug)]
pub struct Stubborn {
    address: SocketAddr,
    requests: Arc<Mutex<Vec<(String, Instant)>>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Stubborn {
    /// Starts it on a free port of loopback.
    ///
    /// # Errors
    /// Where there is none.
    pub fn start(manner: Manner) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let (requests, stop) = <(Arc<Mutex<Vec<(String, Instant)>>>, Arc<AtomicBool>)>::default();
        let address = listener.local_addr()?;
        let thread = {
            let (requests, stop) = (Arc::clone(&requests), Arc::clone(&stop));
            let serve = move || serve(&listener, manner, &requests, &stop);
            std::thread::Builder::new().name("stubborn".into()).spawn(serve)?
        };
        Ok(Self { address, requests, stop, thread: Some(thread) })
    }

    /// Where it is.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// When requests for an `endpoint` (`whip` or `whep`) with this method began, in order.
    pub fn asked(&self, method: &str, endpoint: &str) -> Vec<Instant> {
        let requests = self.requests.lock().unwrap_or_else(PoisonError::into_inner);
        let is = |line: &str| line.starts_with(method) && line.ends_with(&format!("/{endpoint}"));
        requests.iter().filter(|(line, _)| is(line)).map(|(_, at)| *at).collect()
    }
}

impl Drop for Stubborn {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        // Wakes it from `accept`.
        let _woken = TcpStream::connect(self.address);
        if let Some(thread) = self.thread.take() {
            let _ended = thread.join();
        }
    }
}

fn serve(listener: &TcpListener, manner: Manner, requests: &Mutex<Vec<(String, Instant)>>, stop: &AtomicBool) {
    let mut open = Vec::new();
    for stream in listener.incoming() {
        if stop.load(Ordering::Relaxed) {
            return;
        }
        let at = Instant::now();
        // A client that breaks off is none of this server's business.
        let Ok((line, stream)) = stream.map_err(Into::into).and_then(|stream| exchange(stream, manner)) else {
            continue;
        };
        requests.lock().unwrap_or_else(PoisonError::into_inner).push((line, at));
        if manner == Manner::Silent {
            open.push(stream);
        }
    }
}

/// Reads one request and answers it; its method and path.
fn exchange(mut stream: TcpStream, manner: Manner) -> Result<(String, TcpStream)> {
    stream.set_read_timeout(Some(Duration::from_secs(2)))?;
    let (mut request, mut part) = (Vec::new(), [0; 4096]);
    let end = loop {
        if let Some(end) = request.windows(4).position(|w| w == b"\r\n\r\n") {
            break end + 4;
        }
        let length = stream.read(&mut part)?;
        anyhow::ensure!(length > 0, "closed");
        request.extend_from_slice(&part[..length]);
    };
    let head = String::from_utf8_lossy(&request[..end]).to_ascii_lowercase();
    let wanted: usize =
        head.lines().find_map(|l| l.strip_prefix("content-length:")).map_or(Ok(0), |length| length.trim().parse())?;
    let mut body = request.len() - end;
    while body < wanted {
        let length = stream.read(&mut part)?;
        anyhow::ensure!(length > 0, "closed");
        body += length;
    }
    if let Manner::Status(status) = manner {
        write!(stream, "HTTP/1.1 {status} No\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")?;
    }
    let mut words = head.split(' ');
    let method = words.next().context("no method")?.to_ascii_uppercase();
    Ok((format!("{method} {}", words.next().context("no path")?), stream))
}
