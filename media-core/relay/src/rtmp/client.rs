//! Pulling a stream by RTMP into a path.
//!
//! Belongs here: one connection, from dialling to its end, and why it ended. Not here: trying again (the caller owns that).

use super::ingest::Ingest;
use crate::clock::Clock;
use crate::tls::{self, TlsStream, Trust};
use container::flv::FlvError;
use hub::{Hub, PathName, PublishError, Publisher, PublisherInfo, PublisherState};
use proto::rtmp::{ClientConfig, ClientEvent, ClientSession, Purpose, RtmpUrl, Scheme};
use std::convert::Infallible;
use std::io;
use std::time::Duration;
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::Instant;

/// A server that does not answer the dialling within this is not there.
const DIAL: Duration = Duration::from_secs(4);

/// A server that says nothing for this long while it should play is gone; one that has nothing to play yet holds us longer.
const SILENCE: Duration = Duration::from_secs(35);

/// Why a pull ended.
#[derive(Debug, Error)]
pub enum PullError {
    /// Nobody answers there.
    #[error("no answer from {0}")]
    Timeout(String),
    /// The connection was refused or broke.
    #[error("connection to {host}: {source}")]
    Io {
        /// Host and port.
        host: String,
        /// What the system says.
        source: io::Error,
    },
    /// The server would not play it.
    #[error("the server refused: {code} {description}")]
    Refused {
        /// The protocol's code, such as `NetStream.Play.StreamNotFound`.
        code: String,
        /// The server's words.
        description: String,
    },
    /// The server spoke no RTMP.
    #[error("RTMP: {0}")]
    Protocol(#[from] proto::rtmp::Error),
    /// The stream is malformed.
    #[error("FLV: {0}")]
    Media(#[from] FlvError),
    /// The path cannot be had here.
    #[error(transparent)]
    Publish(#[from] PublishError),
    /// The publisher at the server left.
    #[error("the stream has ended")]
    Ended,
}

/// Pulls `url` into `path` until something ends it; `trust` is for `rtmps://`. Dropping the future ends it at once.
///
/// # Errors
/// Always ends with the reason.
pub async fn pull(
    url: &RtmpUrl,
    trust: Trust,
    hub: &Hub,
    path: &PathName,
    clock: Clock,
) -> Result<Infallible, PullError> {
    let host = format!("{}:{}", url.host, url.port);
    let dialled = tokio::time::timeout(DIAL, dial(url, trust)).await;
    let stream = dialled
        .map_err(|_elapsed| PullError::Timeout(host.clone()))?
        .map_err(|source| PullError::Io { host: host.clone(), source })?;
    match stream {
        Dialled::Plain(stream) => play(stream, url, host, hub, path, clock).await,
        Dialled::Tls(stream) => play(stream, url, host, hub, path, clock).await,
    }
}

enum Dialled {
    Plain(TcpStream),
    Tls(Box<TlsStream>),
}

async fn dial(url: &RtmpUrl, trust: Trust) -> io::Result<Dialled> {
    let stream = TcpStream::connect((url.host.as_str(), url.port)).await?;
    stream.set_nodelay(true)?;
    Ok(match url.scheme {
        Scheme::Rtmp => Dialled::Plain(stream),
        Scheme::Rtmps => Dialled::Tls(Box::new(trust.connect(&url.host, stream).await?)),
    })
}

async fn play(
    stream: impl AsyncRead + AsyncWrite,
    url: &RtmpUrl,
    host: String,
    hub: &Hub,
    path: &PathName,
    clock: Clock,
) -> Result<Infallible, PullError> {
    let io = |source| PullError::Io { host: host.clone(), source };
    let mut session = ClientSession::new(ClientConfig::new(url.clone(), Purpose::Play), rand::random());
    let (mut ingest, mut publisher) = (Ingest::new(), None::<Publisher>);
    let mut buffer = vec![0; 32 << 10];
    let (mut heard, mut flushed) = (Instant::now(), true);
    let (mut input, mut output) = tokio::io::split(stream);
    loop {
        let unsent = session.pending_output_bytes() > 0;
        tokio::select! {
            sent = tls::send(&mut output, session.output()), if unsent || !flushed => {
                flushed = sent.map_err(io)?;
            }
            read = input.read(&mut buffer) => {
                heard = Instant::now();
                let count = read.map_err(io)?;
                let bytes = buffer.get(..count).filter(|b| !b.is_empty()).ok_or(PullError::Ended)?;
                let handled = session.handle_input(bytes);
                while let Some(event) = session.poll_event() {
                    match event {
                        ClientEvent::Playing => {
                            let info = PublisherInfo { kind: "rtmpSource", id: host.clone(), answers_keyframes: false };
                            publisher = Some(hub.publish(path, info, media::TrackSet::default(), clock.now())?);
                        }
                        ClientEvent::Media(media) => {
                            if let Some(publisher) = &publisher {
                                ingest.push(&media, publisher, clock.now())?;
                            }
                        }
                        ClientEvent::Refused { code, description, .. } => {
                            return Err(PullError::Refused { code, description });
                        }
                        ClientEvent::Ended { .. } => return Err(PullError::Ended),
                        ClientEvent::Connected(_)
                        | ClientEvent::Publishing
                        | ClientEvent::Acknowledged(_)
                        | ClientEvent::Pong(_) => {}
                    }
                }
                handled?;
            }
            () = tokio::time::sleep_until(heard + SILENCE) => return Err(PullError::Timeout(host.clone())),
        }
        if publisher.as_ref().is_some_and(|p| p.state() != PublisherState::Live) {
            return Err(PullError::Ended);
        }
    }
}
