//! Pulling a stream by RTMP into a path.
//!
//! Belongs here: one connection, from dialling to its end, and why it ended. Not here: trying again (the caller owns that).

use super::ingest::Ingest;
use crate::clock::Clock;
use container::flv::FlvError;
use hub::{Hub, PathName, PublishError, Publisher, PublisherInfo, PublisherState};
use proto::rtmp::{ClientConfig, ClientEvent, ClientSession, Purpose, RtmpUrl, Scheme};
use std::io;
use std::time::Duration;
use thiserror::Error;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
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
    /// `rtmps://` is not dialled here.
    #[error("only rtmp:// can be pulled")]
    Scheme,
}

/// Pulls `url` into `path` until something ends it. Dropping the future ends it at once.
///
/// # Errors
/// Always ends with the reason.
pub async fn pull(
    url: &RtmpUrl,
    hub: &Hub,
    path: &PathName,
    clock: Clock,
) -> Result<std::convert::Infallible, PullError> {
    if url.scheme != Scheme::Rtmp {
        return Err(PullError::Scheme);
    }
    let host = format!("{}:{}", url.host, url.port);
    let io = |source| PullError::Io { host: host.clone(), source };
    let dial = tokio::time::timeout(DIAL, TcpStream::connect((url.host.as_str(), url.port)));
    let mut stream = dial.await.map_err(|_elapsed| PullError::Timeout(host.clone()))?.map_err(io)?;
    stream.set_nodelay(true).map_err(io)?;
    let mut session = ClientSession::new(ClientConfig::new(url.clone(), Purpose::Play), rand::random());
    let (mut ingest, mut publisher) = (Ingest::new(), None::<Publisher>);
    let mut buffer = vec![0; 32 << 10];
    let mut heard = Instant::now();
    let (mut input, mut output) = stream.split();
    loop {
        let unsent = session.pending_output_bytes() > 0;
        tokio::select! {
            written = output.write_buf(session.output()), if unsent => {
                written.map_err(io)?;
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
