//! Pulling a stream by RTSPS into a path: in TLS, its media in the connection.
//!
//! Belongs here: one session, from dialling to its end, and why it ended. Not here: trying again (`source`), requests and answers
//! (`proto::rtsp::ClientSession`: `retina`, which pulls in the clear, has no TLS), packets into units (`proto::rtsp::Ingest`).

use super::pull::{PullError, SILENCE, deliver};
use crate::clock::Clock;
use crate::tls::{self, Trust};
use hub::{Hub, PathName, Publisher, PublisherInfo, PublisherState, SkippedTrack};
use proto::rtsp::{ClientEvent, ClientSession, Format, Ingest, Presentation, RtspUrl, Transport, Unplayable};
use std::convert::Infallible;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, MissedTickBehavior};
use tracing::warn;

/// A server that does not answer the dialling within this is not there.
const DIAL: Duration = Duration::from_secs(4);
/// A server that has not said within this what it has does not want to.
const DESCRIBE: Duration = Duration::from_secs(10);
/// How often the server is told what arrived (RFC 3550 §6.2).
const REPORT: Duration = Duration::from_secs(5);
/// Signs of life at least as often, where the server waits longer.
const ALIVE: Duration = Duration::from_secs(25);
/// A connection that ends may take this long to say goodbye.
const GOODBYE: Duration = Duration::from_secs(1);

/// Pulls `url` into `path` until something ends it. Dropping the future ends it; the server finds out by the connection.
///
/// # Errors
/// Always ends with the reason.
pub async fn pull_secure(
    url: &RtspUrl,
    trust: Trust,
    hub: &Hub,
    path: &PathName,
    clock: Clock,
) -> Result<Infallible, PullError> {
    let host = format!("{}:{}", url.host, url.port);
    let dialling = tokio::time::timeout(DIAL, TcpStream::connect((url.host.as_str(), url.port)));
    let io = |source| PullError::Io { host: host.clone(), source };
    let stream = dialling.await.map_err(|_elapsed| PullError::Timeout(host.clone()))?.map_err(io)?;
    stream.set_nodelay(true).map_err(io)?;
    let stream = trust.connect(&url.host, stream).await.map_err(io)?;
    let session = ClientSession::playing(url.clone(), rand::random());
    let (mut input, mut output) = tokio::io::split(stream);
    let mut pull = Pull { session, host, path, hub, clock, stream: None };
    let Err(error) = pull.run(&mut input, &mut output).await;
    // The server is told, so that it ends the session now and not when it notices.
    pull.session.finish();
    let goodbye = tokio::time::timeout(GOODBYE, async {
        output.write_all_buf(pull.session.output()).await?;
        output.shutdown().await
    });
    if !matches!(goodbye.await, Ok(Ok(()))) {
        tracing::debug!("the server did not take the goodbye");
    }
    Err(error)
}

struct Pull<'a> {
    session: ClientSession,
    host: String,
    path: &'a PathName,
    hub: &'a Hub,
    clock: Clock,
    /// Once the tracks are set up.
    stream: Option<(Ingest, Publisher)>,
}

impl Pull<'_> {
    async fn run(
        &mut self,
        input: &mut (impl AsyncRead + Unpin),
        output: &mut (impl AsyncWrite + Unpin),
    ) -> Result<Infallible, PullError> {
        let host = self.host.clone();
        let io = |source| PullError::Io { host: host.clone(), source };
        let (mut buffer, mut heard, mut flushed) = (vec![0; 32 << 10], Instant::now(), true);
        let (mut report, mut spoke) = (tokio::time::interval(REPORT), Instant::now());
        report.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let unsent = self.session.pending_output_bytes() > 0;
            let overdue = self.stream.as_ref().and_then(|(ingest, _)| ingest.deadline());
            let overdue = overdue.map(|deadline| deadline.since(self.clock.now()));
            let limit = if self.stream.is_some() { SILENCE } else { DESCRIBE };
            let publisher = self.stream.as_ref().map(|(_, publisher)| publisher);
            let changed = async {
                match publisher {
                    Some(publisher) => publisher.changed().await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                sent = tls::send(output, self.session.output()), if unsent || !flushed => flushed = sent.map_err(io)?,
                read = input.read(&mut buffer) => {
                    let bytes = buffer.get(..read.map_err(io)?).filter(|b| !b.is_empty()).ok_or(PullError::Ended)?;
                    let handled = self.session.handle_input(bytes);
                    while let Some(event) = self.session.poll_event() {
                        if matches!(event, ClientEvent::SetUp | ClientEvent::Packet { control: false, .. }) {
                            heard = Instant::now();
                        }
                        self.take(event)?;
                    }
                    handled.map_err(|error| PullError::Session(error.to_string()))?;
                }
                () = changed => {}
                () = tokio::time::sleep(overdue.unwrap_or_default()), if overdue.is_some() => {
                    if let Some((ingest, _)) = &mut self.stream {
                        ingest.advance(self.clock.now());
                    }
                }
                _ = report.tick() => {
                    self.report();
                    if spoke.elapsed() >= (self.session.timeout() / 2).min(ALIVE) {
                        spoke = Instant::now();
                        self.session.keep_alive();
                    }
                }
                () = tokio::time::sleep_until(heard + limit) => return Err(PullError::Timeout(self.host.clone())),
            }
            if let Some((ingest, publisher)) = &mut self.stream {
                deliver(ingest, publisher, self.clock);
                if publisher.state() != PublisherState::Live {
                    return Err(PullError::Ended);
                }
            }
        }
    }

    fn take(&mut self, event: ClientEvent) -> Result<(), PullError> {
        match event {
            ClientEvent::SetUp => {
                let set_up: Vec<usize> = self.session.setups().iter().map(|setup| setup.media).collect();
                let presentation = self.session.presentation();
                let skipped = skipped(presentation);
                for track in &skipped {
                    warn!(path = %self.path, codec = track.codec, reason = track.reason, "a track is not carried");
                }
                let info = PublisherInfo { kind: "rtspSource", id: self.host.clone(), answers_keyframes: false };
                let publisher = self.hub.publish(self.path, info, media::TrackSet::default(), self.clock.now())?;
                publisher.set_skipped_tracks(skipped);
                self.stream = Some((Ingest::new(presentation, &set_up, Duration::ZERO, rand::random()), publisher));
            }
            ClientEvent::Packet { media, control, bytes } => {
                let now = self.clock.now();
                match &mut self.stream {
                    Some((ingest, _)) if control => ingest.rtcp(media, &bytes, now),
                    Some((ingest, _)) => ingest.rtp(media, &bytes, now),
                    None => {}
                }
            }
            ClientEvent::Refused { status, reason } => return Err(PullError::Session(format!("{status} {reason}"))),
            ClientEvent::Unplayable(Unplayable::Description(error)) => return Err(error.into()),
            ClientEvent::Unplayable(Unplayable::Nothing(names)) => return Err(PullError::Nothing(names.join(", "))),
            ClientEvent::Publishing | ClientEvent::Report { .. } => {}
        }
        Ok(())
    }

    /// Tells the server what arrived.
    fn report(&mut self) {
        let Some((ingest, _)) = &mut self.stream else { return };
        for (media, bytes) in ingest.reports(self.clock.now()) {
            let setup = self.session.setups().iter().find(|setup| setup.media == media).map(|setup| setup.transport);
            if let Some(Transport::Interleaved { rtcp, .. }) = setup {
                self.session.send(rtcp, &[], &bytes);
            }
        }
    }
}

fn skipped(presentation: &Presentation) -> Vec<SkippedTrack> {
    let names = presentation.media.iter().filter_map(|media| match &media.format {
        Format::Other(name) => Some(name.clone()),
        _ => None,
    });
    names.map(|codec| SkippedTrack { codec, reason: "this codec is not carried".into() }).collect()
}
