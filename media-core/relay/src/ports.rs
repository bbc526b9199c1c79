//! Binding ports, and saying who has one that is taken.
//!
//! Not here: which ports (`config`).

use std::io;
use std::net::{SocketAddr, TcpListener as StdTcpListener, UdpSocket as StdUdpSocket};
use thiserror::Error;
use tokio::net::TcpListener;

/// A port somebody else has.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{}", self.sentence())]
pub struct PortTaken {
    /// The setting that names the port, such as `rtmpAddress`.
    pub setting: &'static str,
    /// The port.
    pub port: u16,
    /// The program that has it, where the system tells.
    pub program: Option<String>,
    /// A port nearby that is free now.
    pub free: Option<u16>,
}

impl PortTaken {
    fn sentence(&self) -> String {
        let who = self.program.as_deref().unwrap_or("another program");
        let cure = self.free.map_or_else(String::new, |free| format!("; {free} is free"));
        format!("{who} is using port {} ({}){cure}", self.port, self.setting)
    }
}

/// What went wrong with a port.
#[derive(Debug, Error)]
pub(crate) enum BindError {
    #[error(transparent)]
    Taken(#[from] PortTaken),
    #[error("{setting}: cannot listen on {address}: {source}")]
    Other { setting: &'static str, address: SocketAddr, source: io::Error },
}

pub(crate) async fn bind_tcp(setting: &'static str, address: SocketAddr) -> Result<TcpListener, BindError> {
    let free = |port| StdTcpListener::bind(SocketAddr::new(address.ip(), port)).is_ok();
    let bound = match TcpListener::bind(address).await {
        Err(e) if no_ipv6(address, &e) => TcpListener::bind(ipv4(address)).await,
        bound => bound,
    };
    bound.map_err(|e| explain(setting, address, e, Table::Tcp, free))
}

/// What it means that a UDP port could not be had.
pub(crate) fn explain_udp(setting: &'static str, address: SocketAddr, error: io::Error) -> BindError {
    let free = |port| StdUdpSocket::bind(SocketAddr::new(address.ip(), port)).is_ok();
    explain(setting, address, error, Table::Udp, free)
}

/// "All interfaces" is unspecified IPv6, which takes IPv4 along; a machine without IPv6 gets IPv4 alone.
pub(crate) fn no_ipv6(address: SocketAddr, error: &io::Error) -> bool {
    address.is_ipv6()
        && address.ip().is_unspecified()
        && !matches!(error.kind(), io::ErrorKind::AddrInUse | io::ErrorKind::PermissionDenied)
}

/// All interfaces of IPv4 alone.
pub(crate) fn ipv4(address: SocketAddr) -> SocketAddr {
    SocketAddr::from(([0, 0, 0, 0], address.port()))
}

#[derive(Debug, Clone, Copy)]
enum Table {
    Tcp,
    Udp,
}

/// How far above the wanted port a free one is looked for; far enough for a whole block of servers.
const SEARCH: u16 = 64;

fn explain(
    setting: &'static str,
    address: SocketAddr,
    source: io::Error,
    table: Table,
    is_free: impl Fn(u16) -> bool,
) -> BindError {
    if source.kind() != io::ErrorKind::AddrInUse {
        return BindError::Other { setting, address, source };
    }
    let port = address.port();
    let free = (1..=SEARCH).filter_map(|step| port.checked_add(step)).find(|&p| is_free(p));
    BindError::Taken(PortTaken { setting, port, program: owner(table, port), free })
}

/// The program that listens on `port`: the socket's inode from `/proc/net`, then the process that holds it.
#[cfg(target_os = "linux")]
fn owner(table: Table, port: u16) -> Option<String> {
    let (name, listening) = match table {
        Table::Tcp => ("tcp", Some("0A")),
        Table::Udp => ("udp", None),
    };
    let inodes: Vec<String> = [name.to_owned(), format!("{name}6")]
        .iter()
        .filter_map(|file| std::fs::read_to_string(format!("/proc/net/{file}")).ok())
        .flat_map(|text| text.lines().skip(1).filter_map(|line| inode(line, port, listening)).collect::<Vec<_>>())
        .map(|inode| format!("socket:[{inode}]"))
        .collect();
    std::fs::read_dir("/proc").ok()?.flatten().find_map(|process| {
        let files = std::fs::read_dir(process.path().join("fd")).ok()?;
        let mut targets = files.flatten().filter_map(|file| std::fs::read_link(file.path()).ok());
        targets.any(|target| inodes.iter().any(|i| target.as_os_str() == i.as_str())).then_some(())?;
        let name = std::fs::read_to_string(process.path().join("comm")).ok()?;
        Some(name.trim().to_owned()).filter(|n| !n.is_empty())
    })
}

#[cfg(target_os = "linux")]
fn inode(line: &str, port: u16, state: Option<&str>) -> Option<String> {
    let fields: Vec<&str> = line.split_whitespace().collect();
    let local = fields.get(1)?.rsplit(':').next()?;
    let right = u16::from_str_radix(local, 16).ok()? == port && state.is_none_or(|s| fields.get(3) == Some(&s));
    right.then(|| fields.get(9).map(|&inode| inode.to_owned()))?
}

#[cfg(not(target_os = "linux"))]
fn owner(_table: Table, _port: u16) -> Option<String> {
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_taken_port_is_explained() {
        let first = bind_tcp("rtmpAddress", "127.0.0.1:0".parse().unwrap()).await.unwrap();
        let address = first.local_addr().unwrap();
        let Err(BindError::Taken(taken)) = bind_tcp("rtmpAddress", address).await else {
            panic!("the port is taken");
        };
        assert_eq!((taken.setting, taken.port), ("rtmpAddress", address.port()));
        assert!(taken.free.is_some_and(|free| free > address.port()));
        #[cfg(target_os = "linux")]
        assert!(taken.program.is_some(), "this very program has it");
    }
}
