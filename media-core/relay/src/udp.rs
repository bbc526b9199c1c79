//! UDP sockets that many peers share.
//!
//! Belongs here: binding one, sending without waiting. Not here: whose a datagram is (each protocol's own folder).

use crate::ports::{ipv4, no_ipv6};
use socket2::{Domain, Protocol, Socket, Type};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use tokio::net::UdpSocket;

/// Room for the bursts of key pictures of several publishers while the task waits for its turn; the OS may give less.
const SOCKET_BUFFER: usize = 4 << 20;

/// Binds `address`; an unspecified address means every address of both families, where the system has both.
pub(crate) fn bind(address: SocketAddr) -> io::Result<UdpSocket> {
    if address.ip() == IpAddr::V4(Ipv4Addr::UNSPECIFIED)
        && let Ok(socket) = bind_one(SocketAddr::new(IpAddr::V6(Ipv6Addr::UNSPECIFIED), address.port()))
    {
        return Ok(socket);
    }
    match bind_one(address) {
        Err(error) if no_ipv6(address, &error) => bind_one(ipv4(address)),
        opened => opened,
    }
}

/// Binds this very address.
pub(crate) fn bind_one(address: SocketAddr) -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
    if address.is_ipv6() {
        socket.set_only_v6(false)?;
    }
    socket.set_nonblocking(true)?;
    if let Err(error) = socket.set_recv_buffer_size(SOCKET_BUFFER) {
        tracing::debug!(%error, "receive buffer stays as it is");
    }
    if let Err(error) = socket.set_send_buffer_size(SOCKET_BUFFER) {
        tracing::debug!(%error, "send buffer stays as it is");
    }
    socket.bind(&address.into())?;
    UdpSocket::from_std(socket.into())
}

/// Sends, where it does not have to wait: what the system cannot take at once is lost on the network's account.
pub(crate) fn send(socket: &UdpSocket, to: SocketAddr, datagram: &[u8], dual: bool) {
    let to = if dual { map_to_v6(to) } else { to };
    if let Err(error) = socket.try_send_to(datagram, to) {
        tracing::trace!(%to, %error, "datagram not sent");
    }
}

/// A dual-stack socket speaks of IPv4 peers in mapped form.
fn map_to_v6(address: SocketAddr) -> SocketAddr {
    match address {
        SocketAddr::V4(v4) => SocketAddr::new(IpAddr::V6(v4.ip().to_ipv6_mapped()), v4.port()),
        v6 @ SocketAddr::V6(_) => v6,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn dual_stack() {
        let socket = bind("0.0.0.0:0".parse().unwrap()).unwrap();
        assert_eq!(map_to_v6("1.2.3.4:5".parse().unwrap()).to_string(), "[::ffff:1.2.3.4]:5");
        assert!(socket.local_addr().unwrap().port() != 0);
    }
}
