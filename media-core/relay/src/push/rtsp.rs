//! Publishing by RTSP and RTSPS, media in the connection.
//!
//! Belongs here: what the server's words mean for the stream. Not here: the protocol's state (`proto::rtsp::ClientSession`), packets
//! (`crate::rtsp::Reading`), the connection (`stream`).

use super::PushError;
use super::keeper::Attempt;
use super::stream::{Machine, publish};
use crate::listen::{Listener, Sound, Takes};
use crate::rtsp::{PICTURES, Payloads, Reading, Sent};
use crate::tls::Trust;
use hub::{Item, ReadError};
use media::{Codec, TrackSet};
use proto::rtmp::Output;
use proto::rtsp::{ClientEvent, ClientSession, Presentation, RtspUrl};

/// Signs of life, in ticks of the connection: 25 seconds, where servers wait 60 (RFC 2326 §12.37).
const ALIVE: u32 = 10;

/// What RTSP carries: every sound, and every picture that has a payload format.
pub(super) fn takes() -> Takes {
    Takes { pictures: std::iter::once(Codec::H264).chain(PICTURES).collect(), ..Sound::Any.into() }
}

/// Publishes what `listener` gives of `tracks` at `url`.
pub(super) async fn push(
    url: &RtspUrl,
    trust: Trust,
    listener: Listener,
    tracks: &TrackSet,
    attempt: &Attempt<'_>,
) -> Result<(), PushError> {
    let presentation = Presentation::of(tracks);
    if presentation.media.is_empty() {
        return Err(PushError::Nothing);
    }
    let tls = url.secure.then_some(trust);
    let session = ClientSession::new(url.clone(), presentation, rand::random());
    let machine = Rtsp { session, stream: Stream::Waiting(Box::new(listener)), ticks: 0 };
    publish((&url.host, url.port), tls, machine, attempt).await
}

struct Rtsp {
    session: ClientSession,
    stream: Stream,
    ticks: u32,
}

enum Stream {
    /// Until the server takes the stream.
    Waiting(Box<Listener>),
    Running(Box<Reading>),
    /// In between; nothing is left in it.
    Moving,
}

impl Machine for Rtsp {
    fn output(&mut self) -> &mut Output {
        self.session.output()
    }

    fn receive(&mut self, bytes: &[u8], attempt: &Attempt<'_>) -> Result<(), PushError> {
        let handled = self.session.handle_input(bytes);
        while let Some(event) = self.session.poll_event() {
            match event {
                ClientEvent::Publishing => {
                    let Stream::Waiting(mut listener) = std::mem::replace(&mut self.stream, Stream::Moving) else {
                        continue;
                    };
                    // What was read meanwhile is old, and went nowhere.
                    listener.restart();
                    let reading = Reading::new(&self.session, *listener, Payloads::default(), attempt.clock, None);
                    self.stream = Stream::Running(Box::new(reading));
                    attempt.runs();
                }
                ClientEvent::Refused { status, reason } => {
                    return Err(PushError::Refused(format!("{status} {reason}")));
                }
                ClientEvent::Report { bytes, .. } => {
                    if let Stream::Running(reading) = &mut self.stream {
                        reading.reported(&bytes);
                    }
                }
                // Of a session that plays.
                ClientEvent::SetUp | ClientEvent::Packet { .. } | ClientEvent::Unplayable(_) => {}
            }
        }
        Ok(handled?)
    }

    fn runs(&self) -> bool {
        matches!(self.stream, Stream::Running(_))
    }

    async fn next(&mut self) -> Result<Item, ReadError> {
        match &mut self.stream {
            Stream::Waiting(listener) => listener.next().await,
            Stream::Running(reading) => reading.next().await,
            Stream::Moving => std::future::pending().await,
        }
    }

    async fn send(&mut self, item: &Item) -> Result<(), PushError> {
        let Stream::Running(reading) = &mut self.stream else { return Ok(()) };
        match reading.send(item, &mut self.session).await {
            Sent::Going => Ok(()),
            Sent::Changed => Err(PushError::Changed),
        }
    }

    async fn tick(&mut self) {
        if let Stream::Running(reading) = &mut self.stream {
            reading.report(&mut self.session).await;
        }
        self.ticks += 1;
        if self.ticks.is_multiple_of(ALIVE) {
            self.session.keep_alive();
        }
    }

    fn finish(&mut self) {
        self.session.finish();
    }
}
