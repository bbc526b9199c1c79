//! Calling a server: pulling a stream into a path, pushing a path there.
//!
//! Belongs here: one connection, from dialling to its end, and why it ended. Not here: trying again (the caller owns that).

use super::door::{readable, say_what_we_do};
use super::link::{Link, Terms, guarded, parse, serialize};
use super::session::{Session, SessionError, Turn, Wire};
use super::url::SrtUrl;
use super::{egress, ingest};
use crate::clock::Clock;
use crate::listen::Listener;
use crate::udp;
use bytes::{Bytes, BytesMut};
use hub::{Ended, Hub, PathName, PublishError, PublisherInfo};
use srt_protocol::options::{KeySize, PacketCount};
use srt_protocol::packet::{
    ControlTypes, HandshakeControlInfo, HandshakeVsInfo, Packet, RejectReason, SeqNumber, SocketId, SrtControlPacket,
};
use srt_protocol::protocol::pending_connection::connect::Connect;
use srt_protocol::protocol::pending_connection::{ConnectionReject, ConnectionResult};
use srt_protocol::settings::KeySettings;
use std::convert::Infallible;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;
use thiserror::Error;
use tokio::net::lookup_host;

/// A server that does not let us in or refuse within this is not there: libsrt's `SRTO_CONNTIMEO`, and one for the name.
const DIAL: Duration = Duration::from_secs(4);
/// Unanswered questions are repeated so often (libsrt's own).
const AGAIN: Duration = Duration::from_millis(250);
/// Payloads held for those that are missing, as of a publisher who calls us.
const WINDOW: u32 = 4096;

/// Why there is no connection.
#[derive(Debug, Error)]
pub enum DialError {
    /// Nobody answers there.
    #[error("no answer from {0}")]
    Timeout(String),
    /// There is no such host, or the system does not let us.
    #[error("connection to {host}: {source}")]
    Io {
        /// Host and port.
        host: String,
        /// What the system says.
        source: io::Error,
    },
    /// The server would not have us.
    #[error("the server refused: {0}")]
    Refused(String),
    /// The server takes no passphrase.
    #[error("the server does not encrypt; leave the passphrase out, or give the server one")]
    InClear,
}

/// Why a pull ended.
#[derive(Debug, Error)]
pub enum PullError {
    /// There was no connection.
    #[error(transparent)]
    Dial(#[from] DialError),
    /// The connection broke.
    #[error(transparent)]
    Session(#[from] SessionError),
    /// The path cannot be had here.
    #[error(transparent)]
    Publish(#[from] PublishError),
    /// The server sends nothing.
    #[error("the stream has stopped")]
    Starved,
    /// The publisher at the server left, or another one has taken the path here.
    #[error("the stream has ended")]
    Ended,
}

/// Why a push ended.
#[derive(Debug, Error)]
pub enum PushError {
    /// There was no connection.
    #[error(transparent)]
    Dial(#[from] DialError),
    /// The connection broke.
    #[error(transparent)]
    Session(#[from] SessionError),
    /// The server has closed the connection.
    #[error("the server has closed the connection")]
    Closed,
    /// The path has ended.
    #[error("the stream has ended: {0}")]
    Ended(Ended),
}

/// Pulls `url` into `path` until something ends it. Dropping the future ends it at once.
///
/// # Errors
/// Always ends with the reason.
pub async fn pull(url: &SrtUrl, hub: &Hub, path: &PathName, clock: Clock) -> Result<Infallible, PullError> {
    let mut session = dial(url).await?;
    // Nobody else is thrown out before there is something to put in their place.
    let first = loop {
        match session.turn().await? {
            Turn::Payload(payload) => break payload,
            Turn::Closed => return Err(PullError::Ended),
            Turn::Nothing => {}
        }
    };
    let info = PublisherInfo { kind: "srtSource", id: url.to_string(), answers_keyframes: false };
    let publisher = hub.publish(path, info, media::TrackSet::default(), clock.now())?;
    match ingest::run(&mut session, &publisher, clock, Some(first)).await? {
        ingest::End::Starved => Err(PullError::Starved),
        ingest::End::Closed | ingest::End::Replaced(_) => Err(PullError::Ended),
    }
}

/// Pushes what `listener` gives, which wants AAC or MPEG audio, to `url` until something ends it; `runs` is called when the
/// server has let us in, `sent` with bytes. Dropping the future ends it at once.
///
/// # Errors
/// Always ends with the reason.
pub async fn push(
    url: &SrtUrl,
    listener: Listener,
    runs: impl FnOnce(),
    sent: impl FnMut(usize),
) -> Result<Infallible, PushError> {
    let mut session = dial(url).await?;
    runs();
    let mut listener = egress::fit(listener);
    // Dialling took a while: what was missed is not sent.
    listener.restart();
    match egress::run(&mut session, &mut listener, sent).await? {
        egress::End::Closed => Err(PushError::Closed),
        egress::End::Ended(ended) => Err(PushError::Ended(ended)),
    }
}

/// Calls the server.
async fn dial(url: &SrtUrl) -> Result<Session, DialError> {
    let host = format!("{}:{}", url.host, url.port);
    match tokio::time::timeout(DIAL, shake_hands(url, &host)).await {
        Ok(dialled) => dialled,
        Err(_elapsed) => Err(DialError::Timeout(host)),
    }
}

async fn shake_hands(url: &SrtUrl, host: &str) -> Result<Session, DialError> {
    let io = |source| DialError::Io { host: host.to_owned(), source };
    let mut found = lookup_host((url.host.as_str(), url.port)).await.map_err(io)?;
    let remote = found.next().ok_or_else(|| io(io::ErrorKind::NotFound.into()))?;
    let any = match remote {
        SocketAddr::V4(_) => SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)),
        SocketAddr::V6(_) => SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0)),
    };
    let socket = udp::bind_one(any).map_err(io)?;
    socket.connect(remote).await.map_err(io)?;
    let local = socket.local_addr().map_err(io)?;
    let mut call = Call::new(url, remote, local);
    let mut wire = Wire::Own(socket, BytesMut::new());
    let mut again = tokio::time::interval(AGAIN);
    loop {
        let said = tokio::select! {
            _ = again.tick() => call.ask(),
            datagram = wire.receive() => match datagram {
                Ok(datagram) => call.datagram(&datagram)?,
                // Nobody listens there, says the other system; perhaps somebody will.
                Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => continue,
                Err(error) => return Err(io(error)),
            },
        };
        match said {
            Said::Nothing => {}
            Said::Send(datagram) => wire.send(&datagram),
            Said::Connected(link) => return Ok(Session::new(wire, *link, None)),
        }
    }
}

/// The caller's side of a handshake.
struct Call {
    connect: Connect,
    remote: SocketAddr,
    encrypts: bool,
}

enum Said {
    Nothing,
    Send(Bytes),
    Connected(Box<Link>),
}

impl Call {
    fn new(url: &SrtUrl, remote: SocketAddr, local: SocketAddr) -> Self {
        let terms = Terms { latency: url.latency, receive: WINDOW, passphrase: url.passphrase.clone() };
        // As those the server gives.
        let mut settings = terms.settings(SocketId((rand::random::<u32>() >> 2).max(1)));
        settings.max_flow_size = PacketCount(WINDOW.into());
        let key_size = match url.key_length {
            32 => KeySize::AES256,
            24 => KeySize::AES192,
            _ => KeySize::AES128,
        };
        settings.key_settings =
            terms.passphrase.as_ref().map(|passphrase| KeySettings { key_size, passphrase: passphrase.inner() });
        let first = SeqNumber::new_truncate(rand::random());
        let connect = Connect::new(remote, local.ip(), settings, url.stream_id.clone(), first);
        Self { connect, remote, encrypts: url.passphrase.is_some() }
    }

    /// What is said first, and again while nothing is answered.
    fn ask(&mut self) -> Said {
        let result = guarded(|| self.connect.handle_tick(std::time::Instant::now()));
        result.map_or(Said::Nothing, |result| self.said(result).unwrap_or(Said::Nothing))
    }

    fn datagram(&mut self, datagram: &[u8]) -> Result<Said, DialError> {
        let Some(packet) = readable(datagram).and_then(|(datagram, _)| parse(&datagram)) else {
            return Ok(Said::Nothing);
        };
        if let Some(shake) = packet.control().and_then(|control| control.handshake())
            && self.encrypts
            && !encrypted(shake)
        {
            return Err(DialError::InClear);
        }
        let remote = self.remote;
        let result = guarded(|| self.connect.handle_packet(Ok((packet, remote)), std::time::Instant::now()));
        result.map_or(Ok(Said::Nothing), |result| self.said(result))
    }

    fn said(&self, result: ConnectionResult) -> Result<Said, DialError> {
        Ok(match result {
            ConnectionResult::SendPacket((mut packet, _)) => {
                if let Packet::Control(control) = &mut packet
                    && let ControlTypes::Handshake(shake) = &mut control.control_type
                {
                    say_what_we_do(shake);
                }
                Said::Send(serialize(&packet))
            }
            ConnectionResult::Connected(_, connection) => Said::Connected(Box::new(Link::new(connection))),
            ConnectionResult::Reject(_, ConnectionReject::Rejecting(reason) | ConnectionReject::Rejected(reason)) => {
                return Err(DialError::Refused(words(reason)));
            }
            _ => Said::Nothing,
        })
    }
}

/// Is the answer that lets us in one that encrypts? What is not yet the answer passes.
fn encrypted(shake: &HandshakeControlInfo) -> bool {
    use srt_protocol::packet::ShakeType;
    match &shake.info {
        HandshakeVsInfo::V5(info) if shake.shake_type == ShakeType::Conclusion => {
            matches!(info.ext_km, Some(SrtControlPacket::KeyRefreshResponse(_)))
        }
        _ => true,
    }
}

/// A refusal for people.
fn words(reason: RejectReason) -> String {
    use srt_protocol::packet::{CoreRejectReason, ServerRejectReason};
    let words = match reason {
        RejectReason::Core(CoreRejectReason::BadSecret) => "wrong passphrase",
        RejectReason::Core(CoreRejectReason::Unsecure) => "it encrypts and we do not, or the other way round",
        RejectReason::Server(ServerRejectReason::BadRequest) => "it does not understand the stream id",
        RejectReason::Server(ServerRejectReason::Unauthorized) => "credentials are missing or wrong",
        RejectReason::Server(ServerRejectReason::Forbidden) => "it is forbidden",
        RejectReason::Server(ServerRejectReason::Notfound) => "there is no such stream",
        RejectReason::Server(ServerRejectReason::Overload) => "it has too many connections",
        other => return other.to_string(),
    };
    words.into()
}
