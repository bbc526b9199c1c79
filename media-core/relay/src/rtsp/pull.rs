//! Pulling a stream by RTSP, in the clear, into a path.
//!
//! Belongs here: one session, from dialling to its end, and why it ended. Not here: trying again (`source`), requests, authorization and
//! the ways of cameras (`retina`, which knows more of them than we have seen), descriptions and packets (`proto::rtsp`, by which publishers
//! come in, too: retina's packets go there, not its frames, so that every track that can be pushed can be pulled and is brought into step
//! the same way).

use super::connection::REORDER;
use crate::clock::Clock;
use bytes::Bytes;
use futures_util::StreamExt;
use hub::{Hub, PathName, PublishError, Publisher, PublisherInfo, PublisherState, SkippedTrack};
use proto::rtsp::{Format, Ingest, Ingested, Presentation, SdpError};
use retina::client::{
    Credentials, Described, InitialTimestampPolicy, PacketItem, PlayOptions, Playing, Session, SessionIdPolicy,
    SessionOptions, SetupOptions, TcpTransportOptions, Transport, UdpTransportOptions,
};
use std::convert::Infallible;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;
use thiserror::Error;
use tokio::time::Instant;
use tracing::warn;
use url::Url;

/// A server that has not said within this what it has is not there.
const DIAL: Duration = Duration::from_secs(10);

/// A server that sends nothing for this long is gone.
pub(super) const SILENCE: Duration = Duration::from_secs(10);

/// Where a stream is pulled from. `Display` and `Debug` leave credentials, path and query out.
#[derive(Clone, PartialEq, Eq)]
pub struct RtspUrl {
    /// Without credentials.
    url: Url,
    credentials: Option<Credentials>,
}

/// What is wrong with a URL.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum RtspUrlError {
    /// Not a URL.
    #[error("the address is malformed: {0}")]
    Syntax(#[from] url::ParseError),
    /// No host.
    #[error("the address names no server")]
    Host,
    /// Credentials that are no text once decoded.
    #[error("user and password are not UTF-8")]
    Credentials,
}

impl FromStr for RtspUrl {
    type Err = RtspUrlError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut url = Url::parse(text)?;
        if !url.has_host() {
            return Err(RtspUrlError::Host);
        }
        let decoded = |part: &str| {
            let text = percent_encoding::percent_decode_str(part).decode_utf8();
            text.map(String::from).map_err(|_e| RtspUrlError::Credentials)
        };
        let credentials = match (url.username(), url.password()) {
            ("", None) => None,
            (user, password) => {
                Some(Credentials { username: decoded(user)?, password: decoded(password.unwrap_or_default())? })
            }
        };
        // Retina wants them apart. Neither fails where there is a host.
        let _removed = (url.set_username(""), url.set_password(None));
        Ok(Self { url, credentials })
    }
}

impl fmt::Display for RtspUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.url.scheme(), self.host())
    }
}

impl fmt::Debug for RtspUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RtspUrl({self}, credentials {})", self.credentials.is_some())
    }
}

impl RtspUrl {
    fn host(&self) -> String {
        format!("{}:{}", self.url.host_str().unwrap_or_default(), self.url.port().unwrap_or(554))
    }
}

/// How packets come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum PullTransport {
    /// In the connection, and by UDP where the server has no such thing.
    #[default]
    Automatic,
    /// In the connection.
    Tcp,
    /// By UDP.
    Udp,
}

/// Why a pull ended.
#[derive(Debug, Error)]
pub enum PullError {
    /// Nobody answers there, or not any more.
    #[error("no answer from {0}")]
    Timeout(String),
    /// The connection was refused or broke.
    #[error("connection to {host}: {source}")]
    Io {
        /// Host and port.
        host: String,
        /// What the system says.
        source: std::io::Error,
    },
    /// The server, the network or the session, in words of the server or of what read it.
    #[error("RTSP: {0}")]
    Session(String),
    /// The server does not send that way.
    #[error("the server does not send by this transport")]
    Transport,
    /// The description is none.
    #[error("description: {0}")]
    Description(#[from] SdpError),
    /// It has nothing that can be carried.
    #[error("the server offers no track that can be carried: {0}")]
    Nothing(String),
    /// The path cannot be had here.
    #[error(transparent)]
    Publish(#[from] PublishError),
    /// The server ended it, or another publisher took over.
    #[error("the stream has ended")]
    Ended,
}

impl From<retina::Error> for PullError {
    fn from(error: retina::Error) -> Self {
        // Its other lines are addresses and positions in the connection.
        Self::Session(error.to_string().lines().next().unwrap_or_default().to_owned())
    }
}

/// Pulls `url` into `path` until something ends it. Dropping the future ends it; the server is told in the background.
///
/// # Errors
/// Always ends with the reason.
pub async fn pull(
    url: &RtspUrl,
    transport: PullTransport,
    hub: &Hub,
    path: &PathName,
    clock: Clock,
) -> Result<Infallible, PullError> {
    let opening = tokio::time::timeout(DIAL, set_up(url, transport));
    let opened = opening.await.map_err(|_elapsed| PullError::Timeout(url.host()))??;
    for track in &opened.skipped {
        warn!(%path, codec = track.codec, reason = track.reason, "a track is not carried");
    }
    receive(opened, url.host(), hub, path, clock).await
}

/// A session that plays.
struct Opened {
    session: Session<Playing>,
    ingest: Ingest,
    skipped: Vec<SkippedTrack>,
}

/// RTSP's status for a transport that is not there (RFC 2326 §11.3.14).
const UNSUPPORTED_TRANSPORT: u16 = 461;

async fn set_up(url: &RtspUrl, transport: PullTransport) -> Result<Opened, PullError> {
    let options = SessionOptions::default()
        .creds(url.credentials.clone())
        .user_agent("visavis".into())
        .session_id(SessionIdPolicy::UseFirst);
    let mut session: Session<Described> = Session::describe(url.url.clone(), options).await?;
    let presentation = Presentation::parse(session.sdp())?;
    let (mut carried, mut skipped) = (Vec::new(), Vec::new());
    let mut udp = transport == PullTransport::Udp;
    for (n, media) in presentation.media.iter().enumerate().take(session.streams().len()) {
        if let Format::Other(name) = &media.format {
            skipped.push(SkippedTrack { codec: name.clone(), reason: "this codec is not carried".into() });
            continue;
        }
        while let Err(error) = session.setup(n, by(udp)).await {
            match error.status_code() {
                // In the same session: servers that tidy up after one refuse the next for a moment.
                Some(UNSUPPORTED_TRANSPORT) if transport == PullTransport::Automatic && !udp && carried.is_empty() => {
                    udp = true;
                }
                Some(UNSUPPORTED_TRANSPORT) => return Err(PullError::Transport),
                _ => return Err(error.into()),
            }
        }
        carried.push(n);
    }
    if carried.is_empty() {
        let offered: Vec<_> = skipped.iter().map(|track| track.codec.as_str()).collect();
        return Err(PullError::Nothing(offered.join(", ")));
    }
    // The tracks are brought into step by sender reports: what the answer to PLAY says of it is often wrong.
    let session = session.play(PlayOptions::default().initial_timestamp(InitialTimestampPolicy::Ignore)).await?;
    let wait = if udp { REORDER } else { Duration::ZERO };
    let ingest = Ingest::new(&presentation, &carried, wait, rand::random());
    Ok(Opened { session, ingest, skipped })
}

fn by(udp: bool) -> SetupOptions {
    let transport = if udp {
        Transport::Udp(UdpTransportOptions::default())
    } else {
        Transport::Tcp(TcpTransportOptions::default())
    };
    SetupOptions::default().transport(transport)
}

async fn receive(
    opened: Opened,
    host: String,
    hub: &Hub,
    path: &PathName,
    clock: Clock,
) -> Result<Infallible, PullError> {
    let Opened { mut session, mut ingest, skipped } = opened;
    let info = PublisherInfo { kind: "rtspSource", id: host.clone(), answers_keyframes: false };
    let publisher = hub.publish(path, info, media::TrackSet::default(), clock.now())?;
    publisher.set_skipped_tracks(skipped);
    let mut heard = Instant::now();
    loop {
        let overdue = ingest.deadline().map(|deadline| deadline.since(clock.now()));
        tokio::select! {
            item = session.next() => {
                let now = clock.now();
                match item.ok_or(PullError::Ended)?? {
                    PacketItem::Rtp(packet) => {
                        heard = Instant::now();
                        ingest.rtp(packet.stream_id(), &Bytes::copy_from_slice(packet.raw()), now);
                    }
                    PacketItem::Rtcp(packet) => ingest.rtcp(packet.stream_id(), packet.raw(), now),
                    _ => {}
                }
            }
            () = publisher.changed() => {}
            () = tokio::time::sleep(overdue.unwrap_or_default()), if overdue.is_some() => ingest.advance(clock.now()),
            () = tokio::time::sleep_until(heard + SILENCE) => return Err(PullError::Timeout(host)),
        }
        deliver(&mut ingest, &publisher, clock);
        if publisher.state() != PublisherState::Live {
            return Err(PullError::Ended);
        }
    }
}

/// Writes what is ready.
pub(super) fn deliver(ingest: &mut Ingest, publisher: &Publisher, clock: Clock) {
    while let Some(ingested) = ingest.poll() {
        match ingested {
            Ingested::Tracks(tracks) => publisher.set_tracks(tracks),
            Ingested::Unit(unit, _) => publisher.write(unit, clock.now()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_are_taken_out_and_not_shown() {
        let url: RtspUrl = "rtsp://admin:p%40ss@10.0.0.9/Streaming/Channels/101?token=secret".parse().unwrap();
        let credentials = url.credentials.clone().unwrap();
        assert_eq!((credentials.username.as_str(), credentials.password.as_str()), ("admin", "p@ss"));
        assert_eq!(url.url.as_str(), "rtsp://10.0.0.9/Streaming/Channels/101?token=secret");
        assert_eq!(url.to_string(), "rtsp://10.0.0.9:554");
        assert_eq!(format!("{url:?}"), "RtspUrl(rtsp://10.0.0.9:554, credentials true)");
        assert!("rtsp:///a".parse::<RtspUrl>().is_err());
    }
}
