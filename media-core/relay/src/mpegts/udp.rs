//! Pulling a transport stream that comes by UDP, unicast or multicast.
//!
//! Belongs here: one socket, from binding it to the stream's end, and why it ended. Not here: trying again (`source`), what the packets say
//! (`ingest`).

use super::Ingest;
use crate::clock::Clock;
use hub::{Hub, PathName, PublishError, Publisher, PublisherInfo, PublisherState};
use socket2::{Domain, Protocol, SockAddr, Socket, Type};
use std::convert::Infallible;
use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::str::FromStr;
use std::time::Duration;
use thiserror::Error;
use tokio::net::UdpSocket;
use tokio::time::Instant;

/// A sender that sends nothing for this long is gone, or was never there.
const SILENCE: Duration = Duration::from_secs(10);

/// The kernel holds so much while this task waits for its turn: a tenth of a second of 80 Mbit/s.
const RECEIVE_BUFFER: usize = 1 << 20;

/// The largest datagram there is.
const DATAGRAM: usize = 1 << 16;

/// Where a stream comes in: `udp+mpegts://[ADDRESS]:PORT` with our own address or a multicast group, and as options `interface=`, the
/// address of the interface by which a group is joined, and `source=`, the one address that is listened to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UdpUrl {
    listen: SocketAddr,
    interface: Option<IpAddr>,
    sender: Option<IpAddr>,
}

/// What is wrong with a URL.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum UdpUrlError {
    /// Not an address with a port.
    #[error("'{0}' is no place to listen; write udp+mpegts://:5000 or udp+mpegts://239.1.2.3:5000")]
    Address(String),
    /// An option that is none.
    #[error("'{0}' is no option; there are interface=ADDRESS and source=ADDRESS")]
    Option(String),
}

impl FromStr for UdpUrl {
    type Err = UdpUrlError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let place = text.split_once("://").map_or(text, |(_, place)| place);
        let (place, options) = place.split_once('?').unwrap_or((place, ""));
        // VLC and ffmpeg write udp://@ADDRESS.
        let place = place.trim_end_matches('/').trim_start_matches('@');
        let bad = || UdpUrlError::Address(place.to_owned());
        let listen = match place.strip_prefix(':') {
            Some(port) => SocketAddr::from((Ipv4Addr::UNSPECIFIED, port.parse().map_err(|_e| bad())?)),
            None => place.parse().map_err(|_e| bad())?,
        };
        let mut url = Self { listen, interface: None, sender: None };
        for (key, value) in form_urlencoded::parse(options.as_bytes()) {
            let address = value.parse().map_err(|_e| UdpUrlError::Option(format!("{key}={value}")))?;
            match &*key {
                "interface" => url.interface = Some(address),
                "source" => url.sender = Some(address),
                _ => return Err(UdpUrlError::Option(key.into())),
            }
        }
        if listen.port() == 0 { Err(bad()) } else { Ok(url) }
    }
}

impl fmt::Display for UdpUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "udp+mpegts://{}", self.listen)
    }
}

/// Why a pull ended.
#[derive(Debug, Error)]
pub enum PullError {
    /// The address cannot be listened on.
    #[error("{address}: {source}")]
    Io {
        /// The address.
        address: SocketAddr,
        /// What the system says.
        source: io::Error,
    },
    /// Nothing comes, or nothing any more.
    #[error("nothing comes in on {0}")]
    Silence(SocketAddr),
    /// The path cannot be had here.
    #[error(transparent)]
    Publish(#[from] PublishError),
    /// Another publisher took over.
    #[error("the stream has ended")]
    Ended,
}

/// Pulls what comes to `url` into `path` until something ends it. Dropping the future ends it at once.
///
/// # Errors
/// Always ends with the reason.
pub async fn pull(url: &UdpUrl, hub: &Hub, path: &PathName, clock: Clock) -> Result<Infallible, PullError> {
    let io = |source| PullError::Io { address: url.listen, source };
    let socket = bind(url).map_err(io)?;
    let (mut ingest, mut publisher) = (Ingest::default(), None::<Publisher>);
    let mut buffer = vec![0; DATAGRAM];
    let mut heard = Instant::now();
    loop {
        tokio::select! {
            received = socket.recv_from(&mut buffer) => {
                let (count, sender) = received.map_err(io)?;
                if url.sender.is_some_and(|only| only != sender.ip()) {
                    continue;
                }
                heard = Instant::now();
                let publisher = match &mut publisher {
                    Some(publisher) => publisher,
                    none => none.insert(hub.publish(path, info(url), media::TrackSet::default(), clock.now())?),
                };
                ingest.push(buffer.get(..count).unwrap_or_default(), publisher, clock.now());
                if publisher.state() != PublisherState::Live {
                    return Err(PullError::Ended);
                }
            }
            () = tokio::time::sleep_until(heard + SILENCE) => return Err(PullError::Silence(url.listen)),
        }
    }
}

fn info(url: &UdpUrl) -> PublisherInfo {
    PublisherInfo { kind: "mpegtsSource", id: url.listen.to_string(), answers_keyframes: false }
}

fn bind(url: &UdpUrl) -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::for_address(url.listen), Type::DGRAM, Some(Protocol::UDP))?;
    // As much as the system grants.
    let _granted = socket.set_recv_buffer_size(RECEIVE_BUFFER);
    let multicast = url.listen.ip().is_multicast();
    if multicast {
        // Others on this machine may listen to the group, too.
        socket.set_reuse_address(true)?;
    }
    // Bound to the group itself where the system lets us, so that nothing else that comes to the port is taken for it.
    let any = SocketAddr::new(
        if url.listen.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { std::net::Ipv6Addr::UNSPECIFIED.into() },
        url.listen.port(),
    );
    let address = if multicast && cfg!(windows) { any } else { url.listen };
    socket.bind(&SockAddr::from(address))?;
    match (url.listen.ip(), url.interface) {
        (IpAddr::V4(group), interface) if multicast => {
            let interface = match interface {
                Some(IpAddr::V4(interface)) => interface,
                Some(IpAddr::V6(_)) | None => Ipv4Addr::UNSPECIFIED,
            };
            socket.join_multicast_v4(&group, &interface)?;
        }
        (IpAddr::V6(group), interface) if multicast => socket.join_multicast_v6(&group, index_of(interface)?)?,
        _ => {}
    }
    socket.set_nonblocking(true)?;
    UdpSocket::from_std(socket.into())
}

/// The number of the interface with this address; 0 leaves the choice to the system.
fn index_of(address: Option<IpAddr>) -> io::Result<u32> {
    let Some(address) = address else { return Ok(0) };
    let found = if_addrs::get_if_addrs()?.into_iter().find(|interface| interface.ip() == address);
    found.and_then(|interface| interface.index).ok_or_else(|| io::Error::other(format!("no interface has {address}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls() {
        let check = |text: &str, want: &str| {
            let got = text.parse::<UdpUrl>().map_or_else(|error| error.to_string(), |url| format!("{url} {url:?}"));
            assert!(got.starts_with(want), "{text}: {got}");
        };
        check("udp://:5000", "udp+mpegts://0.0.0.0:5000");
        check("udp+mpegts://239.1.2.3:5000?interface=10.0.0.2", "udp+mpegts://239.1.2.3:5000");
        check("udp://@[ff02::1]:5000/", "udp+mpegts://[ff02::1]:5000");
        check("udp://10.0.0.1:5000?source=10.0.0.2", "udp+mpegts://10.0.0.1:5000");
        check("udp://camera:5000", "'camera:5000' is no place to listen");
        check("udp://:0", "':0' is no place to listen");
        check("udp://:5000?pkt_size=1316", "'pkt_size=1316'");
        check("udp://:5000?ttl=1.2.3.4", "'ttl' is no option");
        let url: UdpUrl = "udp://:5000?source=10.0.0.2".parse().unwrap();
        assert_eq!(url.sender, Some("10.0.0.2".parse().unwrap()));
    }
}
