//! A bad network between RTSP clients and a server: what they agree on by TCP arrives whole, their media by UDP suffers.
//!
//! Belongs here: the ports in `Transport` (RFC 2326 §12.39), which both sides are told anew. Not here: the suffering (`impair`).

use crate::impair::{Impairment, Network};
use anyhow::{Context, Result};
use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

/// The way to one server. What is set holds for everybody who comes after.
#[derive(Debug, Clone)]
pub struct RtspWay {
    /// Where clients find the server.
    pub address: SocketAddr,
    server: SocketAddr,
    /// RTP's port there; RTCP's is the next.
    udp: u16,
    impairment: Impairment,
    seed: u64,
    networks: Arc<Mutex<Vec<Network>>>,
}

/// What one SETUP was told, and what it is to hear.
struct Told {
    to_server: String,
    said: String,
    to_client: String,
}

impl RtspWay {
    /// A way to `server`, whose media come and go at `udp`, like this. Chance begins with `seed`.
    ///
    /// # Errors
    /// Where there is no socket or thread to be had.
    pub fn before(server: SocketAddr, udp: u16, impairment: Impairment, seed: u64) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        let way = Self { address, server, udp, impairment, seed, networks: Arc::default() };
        let accepting = way.clone();
        thread::Builder::new().name("rtsp-way".into()).spawn(move || {
            for client in listener.incoming().flatten() {
                // A client whose server is gone is hung up on.
                let _served = accepting.serve(&client);
            }
        })?;
        Ok(way)
    }

    /// Datagrams that passed and that were lost, so far.
    pub fn counts(&self) -> (u64, u64) {
        self.networks().iter().map(Network::counts).fold((0, 0), |all, one| (all.0 + one.0, all.1 + one.1))
    }

    fn networks(&self) -> MutexGuard<'_, Vec<Network>> {
        self.networks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn serve(&self, client: &TcpStream) -> Result<()> {
        let server = TcpStream::connect(self.server)?;
        let told = Arc::new(Mutex::new(VecDeque::<Told>::new()));
        let (way, to_server, from_client, asked) =
            (self.clone(), server.try_clone()?, client.try_clone()?, Arc::clone(&told));
        thread::Builder::new().name("rtsp-request".into()).spawn(move || {
            let _ended = copy(&from_client, &to_server, |line| {
                let Some(ports) = ports(&line, "client_port=") else { return Ok(line) };
                let change = way.setup(&ports)?;
                let line = line.replace(&ports, &change.to_server);
                asked.lock().unwrap_or_else(PoisonError::into_inner).push_back(change);
                Ok(line)
            });
        })?;
        let (way, to_client) = (self.clone(), client.try_clone()?);
        thread::Builder::new().name("rtsp-answer".into()).spawn(move || {
            let _ended = copy(&server, &to_client, |line| {
                let Some(ports) = ports(&line, "server_port=") else { return Ok(line) };
                let change = told.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
                let change = change.with_context(|| format!("{way:?}: an answer to nobody"))?;
                Ok(line.replace(&ports, &change.to_client).replace(&change.to_server, &change.said))
            });
        })?;
        Ok(())
    }

    /// Two networks for a track's RTP and RTCP.
    fn setup(&self, said: &str) -> Result<Told> {
        let (rtp, rtcp) = said.split_once('-').context("no pair of ports")?;
        let (mut fronts, mut backs) = (Vec::new(), Vec::new());
        for (port, server) in [(rtp, self.udp), (rtcp, self.udp + 1)] {
            let mut networks = self.networks();
            let seed = self.seed + networks.len() as u64;
            let here = |port: u16| SocketAddr::from(([127, 0, 0, 1], port));
            let (network, back) = Network::between(here(port.parse()?), here(server), seed)?;
            network.set(self.impairment);
            fronts.push(network.address().port());
            backs.push(back.port());
            networks.push(network);
        }
        let pair = |ports: &[u16]| format!("{}-{}", ports[0], ports[1]);
        Ok(Told { to_server: pair(&backs), said: said.to_owned(), to_client: pair(&fronts) })
    }
}

/// The pair of ports after `name` in a Transport header.
fn ports(line: &str, name: &str) -> Option<String> {
    if !line.to_ascii_lowercase().starts_with("transport:") {
        return None;
    }
    let (_, rest) = line.split_once(name)?;
    Some(rest.chars().take_while(|c| c.is_ascii_digit() || *c == '-').collect())
}

/// Copies line by line, as `change` makes them, until either side ends.
fn copy(from: &TcpStream, mut to: &TcpStream, mut change: impl FnMut(String) -> Result<String>) -> Result<()> {
    let mut from = BufReader::new(from);
    let mut line = Vec::new();
    while from.read_until(b'\n', &mut line)? > 0 {
        let text = change(String::from_utf8_lossy(&line).into_owned())?;
        to.write_all(text.as_bytes())?;
        line.clear();
    }
    to.shutdown(std::net::Shutdown::Both)?;
    Ok(())
}
