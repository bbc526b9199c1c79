//! Publishing by RTMP and RTMPS.
//!
//! Belongs here: what the server's words mean for the stream, and its tags. Not here: the protocol's state
//! (`proto::rtmp::ClientSession`), the connection (`stream`).

use super::PushError;
use super::keeper::Attempt;
use super::stream::{Machine, publish};
use crate::listen::Listener;
use crate::rtmp::{Egress, PATIENCE, pictures};
use crate::tls::Trust;
use container::flv::{Signalling, TagKind};
use hub::{Item, ReadError};
use proto::rtmp::{Caps, ClientConfig, ClientEvent, ClientSession, Kind, Output, Purpose, RtmpUrl, Scheme};

/// Publishes what `listener` gives at `url`.
pub(super) async fn push(
    url: &RtmpUrl,
    trust: Trust,
    listener: Listener,
    attempt: &Attempt<'_>,
) -> Result<(), PushError> {
    let tls = (url.scheme == Scheme::Rtmps).then_some(trust);
    let session = ClientSession::new(ClientConfig::new(url.clone(), Purpose::Publish), rand::random());
    let (listener, name) = (listener.with_patience(PATIENCE), url.name.clone());
    let machine = Rtmp { session, listener, sending: None, caps: Caps::default(), name };
    publish((&url.host, url.port), tls, machine, attempt).await
}

struct Rtmp {
    session: ClientSession,
    listener: Listener,
    /// Once the server takes the stream.
    sending: Option<Egress>,
    /// What the server says of Enhanced RTMP.
    caps: Caps,
    /// The stream's name: its key.
    name: String,
}

impl Machine for Rtmp {
    fn output(&mut self) -> &mut Output {
        self.session.output()
    }

    fn receive(&mut self, bytes: &[u8], attempt: &Attempt<'_>) -> Result<(), PushError> {
        let handled = self.session.handle_input(bytes);
        while let Some(event) = self.session.poll_event() {
            self.event(event, attempt)?;
        }
        Ok(handled?)
    }

    fn runs(&self) -> bool {
        self.sending.is_some()
    }

    async fn next(&mut self) -> Result<Item, ReadError> {
        self.listener.next().await
    }

    async fn send(&mut self, item: &Item) -> Result<(), PushError> {
        let Some(egress) = &mut self.sending else { return Ok(()) };
        for message in egress.messages(item) {
            let kind = match message.kind {
                TagKind::Audio => Kind::Audio,
                TagKind::Video => Kind::Video,
                TagKind::Script => Kind::Data,
            };
            self.session.send(kind, message.timestamp, &message.header, &message.payload);
        }
        Ok(())
    }

    async fn tick(&mut self) {}

    fn finish(&mut self) {
        self.session.finish();
    }
}

impl Rtmp {
    fn event(&mut self, event: ClientEvent, attempt: &Attempt<'_>) -> Result<(), PushError> {
        match event {
            ClientEvent::Connected(caps) => self.caps = caps,
            ClientEvent::Publishing => {
                let enhanced = self.caps.is_enhanced();
                let signalling = if enhanced { Signalling::Enhanced } else { Signalling::Legacy };
                self.listener.take_pictures(pictures(&self.caps));
                // What was read meanwhile is old, and went nowhere: times begin with a key picture, at 0.
                self.listener.restart();
                self.sending = Some(Egress::new(signalling));
                attempt.runs();
            }
            ClientEvent::Refused { code, description, .. } => {
                return Err(PushError::Refused(self.without_key(&format!("{code} {description}"))));
            }
            ClientEvent::Ended { code, description } => {
                return Err(PushError::Ended(self.without_key(&format!("{code} {description}"))));
            }
            ClientEvent::Playing | ClientEvent::Media(_) | ClientEvent::Acknowledged(_) | ClientEvent::Pong(_) => {}
        }
        Ok(())
    }

    /// What a server says, which may quote the stream's key.
    fn without_key(&self, words: &str) -> String {
        let (key, _) = self.name.split_once('?').unwrap_or((&self.name, ""));
        let words = words.trim();
        if key.is_empty() { words.to_owned() } else { words.replace(&self.name, "…").replace(key, "…") }
    }
}
