//! The server's side of a connection: one client that publishes one stream or plays one.
//!
//! Belongs here: the order of commands and their answers, for librtmp (OBS, LiteAV), ffmpeg, Flash and GStreamer alike.
//! Not here: whether a request is granted, and when a held reader starts (`relay` answers with accept and reject).

mod event;

pub use event::{Connect, Reason, RequestId, ServerConfig, ServerEvent, StreamEnd};

use super::caps::Caps;
use super::chunk::MAX_MESSAGE;
use super::command::{self, Level, info, on_status, result};
use super::error::{Error, ErrorKind};
use super::handshake::Side;
use super::link::{Incoming, Link, WINDOW};
use super::message::{Command, UserControl, kind};
use super::url::{Target, without_query};
use super::{Kind, Media};
use crate::output::Output;
use bytes::Bytes;
use media::amf0::Value;
use std::collections::VecDeque;

/// Longest message before a publish request was granted. Commands take some hundred bytes; a publisher that does not
/// wait for the answer may already send a key frame.
const MAX_MESSAGE_BEFORE: usize = 1 << 20;

/// Media kept for a publisher that does not wait for the answer: some seconds, while credentials are asked elsewhere.
const MAX_HELD: usize = 4 << 20;

/// Bookkeeping of a held message counts as this many bytes, so that tiny ones are bounded too.
const HELD_OVERHEAD: usize = 128;

/// The machine. Made when a client has connected, fed until it errs or the socket closes.
#[derive(Debug)]
pub struct ServerSession {
    link: Link,
    config: ServerConfig,
    connect: Option<Connect>,
    /// Message streams given out and not deleted: bit n is stream n.
    streams: u32,
    active: Option<Active>,
    requests: u64,
    events: VecDeque<ServerEvent>,
}

/// The one publish or play of the connection.
#[derive(Debug)]
struct Active {
    request: RequestId,
    stream: u32,
    role: Role,
    phase: Phase,
    /// Stream name as the client gave it, without its query, for descriptions.
    name: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    Publish,
    Play,
}

#[derive(Debug)]
enum Phase {
    /// Not answered yet; a publisher in a hurry may already have sent media.
    Asked {
        held: Vec<Media>,
        bytes: usize,
    },
    Accepted,
}

impl ServerSession {
    /// A session for a client that has just connected. `seed` fills the handshake's random part; it need not be secret.
    pub fn new(config: ServerConfig, seed: u64) -> Self {
        let mut link = Link::new(Side::Server, seed);
        link.set_max_message(MAX_MESSAGE_BEFORE);
        Self { link, config, connect: None, streams: 0, active: None, requests: 0, events: VecDeque::new() }
    }

    /// Takes what the client sent. Take the events and the output afterwards.
    ///
    /// # Errors
    /// What ends the connection; the session is of no use afterwards, though events before the fault can still be taken.
    pub fn handle_input(&mut self, bytes: &[u8]) -> Result<(), Error> {
        let mut input = bytes;
        while let Some(incoming) = self.link.receive(&mut input)? {
            self.incoming(incoming)?;
        }
        Ok(())
    }

    /// The next event, oldest first.
    pub fn poll_event(&mut self) -> Option<ServerEvent> {
        self.events.pop_front()
    }

    /// What is to be sent, to be taken off as it is sent.
    pub const fn output(&mut self) -> &mut Output {
        &mut self.link.output
    }

    /// All that is to be sent.
    pub fn take_output(&mut self) -> Output {
        std::mem::take(&mut self.link.output)
    }

    /// Bytes that wait to be sent. Past its own bound a caller stops [`Self::send`]ing.
    pub const fn pending_output_bytes(&self) -> usize {
        self.link.output.len()
    }

    /// Bytes received so far, handshake included.
    pub const fn received(&self) -> u64 {
        self.link.received()
    }

    /// What the client said of itself, once it has.
    pub const fn peer(&self) -> Option<&Connect> {
        self.connect.as_ref()
    }

    /// Grants a request. A publisher's [`ServerEvent::Media`] follow; a player is to be sent metadata, sequence headers and
    /// media. A request that the client has since taken back is ignored.
    pub fn accept(&mut self, request: RequestId) {
        let Some(active) = self.active.as_mut().filter(|a| a.request == request) else { return };
        let Phase::Asked { held, .. } = std::mem::replace(&mut active.phase, Phase::Accepted) else { return };
        let (stream, name) = (active.stream, &active.name);
        let status = |code, text: String| on_status(Level::Status, code, &text);
        self.link.user_control(UserControl::StreamBegin(stream));
        match active.role {
            Role::Publish => {
                let start = status("NetStream.Publish.Start", format!("{name} is now published."));
                self.link.command(stream, &start);
                self.link.set_max_message(MAX_MESSAGE);
                self.events.extend(held.into_iter().map(ServerEvent::Media));
            }
            Role::Play => {
                let reset = status("NetStream.Play.Reset", format!("Playing and resetting {name}."));
                let start = status("NetStream.Play.Start", format!("Started playing {name}."));
                self.link.command(stream, &reset);
                self.link.command(stream, &start);
                let access = media::amf0::encode_all(&["|RtmpSampleAccess".into(), true.into(), true.into()]);
                self.link.media(stream, Kind::Data, 0, &access, &Bytes::new());
            }
        }
    }

    /// Refuses a request; `text` is shown to whoever set the client up. The client may ask again or go.
    pub fn reject(&mut self, request: RequestId, reason: Reason, text: &str) {
        let Some(active) = self.active.take_if(|a| a.request == request) else { return };
        let code = match (active.role, reason) {
            (Role::Publish, Reason::Denied) => "NetStream.Publish.Denied",
            (Role::Publish, Reason::NotFound | Reason::BadName) => "NetStream.Publish.BadName",
            (Role::Play, Reason::NotFound) => "NetStream.Play.StreamNotFound",
            (Role::Play, Reason::Denied | Reason::BadName) => "NetStream.Play.Failed",
            (Role::Publish | Role::Play, Reason::Unavailable) => "NetStream.Failed",
        };
        self.link.command(active.stream, &on_status(Level::Error, code, text));
    }

    /// Ends the accepted stream from our side; `text` says why. The connection stays and can be used again.
    pub fn finish(&mut self, end: StreamEnd, text: &str) {
        let Some(active) = self.active.take() else { return };
        let (level, code) = match (active.role, end) {
            (Role::Play, StreamEnd::Unpublished) => (Level::Status, "NetStream.Play.UnpublishNotify"),
            (Role::Play, StreamEnd::Stopped) => (Level::Status, "NetStream.Play.Stop"),
            (Role::Play, StreamEnd::Kicked) => (Level::Error, "NetStream.Play.Failed"),
            // ffmpeg and OBS stop at an error alone.
            (Role::Publish, StreamEnd::Unpublished | StreamEnd::Stopped | StreamEnd::Kicked) => {
                (Level::Error, "NetStream.Publish.Rejected")
            }
        };
        if active.role == Role::Play {
            self.link.user_control(UserControl::StreamEof(active.stream));
        }
        self.link.command(active.stream, &on_status(level, code, text));
        self.link.set_max_message(MAX_MESSAGE_BEFORE);
    }

    /// Sends media to an accepted player: `head` (tag header bytes) is copied, `payload` shared. Without an accepted player
    /// nothing is sent.
    pub fn send(&mut self, kind: Kind, timestamp: u32, head: &[u8], payload: &Bytes) {
        if let Some(Active { stream, role: Role::Play, phase: Phase::Accepted, .. }) = self.active {
            self.link.media(stream, kind, timestamp, head, payload);
        }
    }

    /// Asks for a sign of life; the answer is [`ServerEvent::Pong`] with `stamp`, which is how the round trip is measured.
    pub fn ping(&mut self, stamp: u32) {
        self.link.user_control(UserControl::PingRequest(stamp));
    }

    fn incoming(&mut self, incoming: Incoming) -> Result<(), Error> {
        match incoming {
            Incoming::Ready => Ok(()),
            Incoming::Acknowledged(bytes) => {
                self.events.push_back(ServerEvent::Acknowledged(bytes));
                Ok(())
            }
            Incoming::UserControl(event) => {
                match event {
                    UserControl::SetBufferLength { millis, .. } => {
                        self.events.push_back(ServerEvent::BufferLength(millis));
                    }
                    UserControl::PingResponse(stamp) => self.events.push_back(ServerEvent::Pong(stamp)),
                    UserControl::StreamBegin(_)
                    | UserControl::StreamEof(_)
                    | UserControl::StreamDry(_)
                    | UserControl::StreamIsRecorded(_)
                    | UserControl::PingRequest(_)
                    | UserControl::Other(_) => {}
                }
                Ok(())
            }
            Incoming::Media(media) => self.media(media),
            Incoming::Aggregate(parts) => parts.into_iter().try_for_each(|media| self.media(media)),
            Incoming::Command(command, raw) => self.command(raw.stream, &command),
        }
    }

    /// Media of a publisher, on whichever message stream; what comes without a publish request is dropped.
    fn media(&mut self, media: Media) -> Result<(), Error> {
        let Some(Active { role: Role::Publish, phase, .. }) = &mut self.active else { return Ok(()) };
        match phase {
            Phase::Accepted => self.events.push_back(ServerEvent::Media(media)),
            Phase::Asked { held, bytes } => {
                *bytes += media.body.len() + HELD_OVERHEAD;
                if *bytes > MAX_HELD {
                    return Err(ErrorKind::Held(MAX_HELD).at(self.link.received()));
                }
                held.push(media);
            }
        }
        Ok(())
    }

    fn command(&mut self, stream: u32, command: &Command) -> Result<(), Error> {
        let transaction = command.transaction;
        if command.name == "connect" {
            return self.connect(command);
        }
        if self.connect.is_none() {
            let refusal = command::error(transaction, "NetConnection.Call.Failed", "connect comes first");
            return self.link.reply(0, &refusal);
        }
        match command.name.as_str() {
            "createStream" => self.create_stream(transaction),
            "publish" => self.request(Role::Publish, stream, command.text(1)),
            "play" => self.request(Role::Play, stream, command.text(1)),
            "deleteStream" => {
                let named = command.values.get(1).and_then(Value::as_f64).map(|id| id as u32);
                let stream = named.unwrap_or(stream);
                self.streams &= !stream_bit(stream);
                if self.active.as_ref().is_some_and(|a| a.stream == stream) {
                    self.client_ends();
                }
                Ok(())
            }
            "closeStream" => {
                if self.active.as_ref().is_some_and(|a| a.stream == stream || stream == 0) {
                    self.client_ends();
                }
                Ok(())
            }
            "FCUnpublish" => {
                let text = format!("{} is now unpublished.", without_query(command.text(1)));
                self.notice("onFCUnpublish", "NetStream.Unpublish.Success", &text)?;
                self.done(transaction, Value::Undefined)?;
                if let Some(Active { role: Role::Publish, .. }) = self.active {
                    self.client_ends();
                }
                Ok(())
            }
            "FCPublish" => {
                self.notice("onFCPublish", "NetStream.Publish.Start", without_query(command.text(1)))?;
                self.done(transaction, Value::Undefined)
            }
            // Players wait for this answer before they play.
            "FCSubscribe" => {
                self.notice("onFCSubscribe", "NetStream.Play.Start", without_query(command.text(1)))?;
                self.done(transaction, Value::Undefined)
            }
            "releaseStream" | "FCUnsubscribe" | "_checkbw" | "checkBandwidth" | "setPeerInfo" | "initStream" => {
                self.done(transaction, Value::Undefined)
            }
            // Live: no length.
            "getStreamLength" | "getMovLen" => self.done(transaction, 0.0.into()),
            "pause" | "pauseRaw" => self.pause(stream, command),
            "seek" => self.status(stream, "NetStream.Seek.Notify", "A live stream stays where it is."),
            "receiveAudio" => self.receive(Kind::Audio, command),
            "receiveVideo" => self.receive(Kind::Video, command),
            // Answers to what we never ask, and notices.
            "_result" | "_error" | "onStatus" => Ok(()),
            _ if transaction == 0.0 => Ok(()),
            other => {
                let name: String = other.chars().take(MAX_NAME).collect();
                let text = format!("Method not found ({name}).");
                self.link.reply(0, &command::error(transaction, "NetConnection.Call.Failed", &text))
            }
        }
    }

    fn connect(&mut self, command: &Command) -> Result<(), Error> {
        let object = command.values.first().unwrap_or(&Value::Null);
        let text = |name| object.get(name).and_then(Value::as_str).unwrap_or("").to_owned();
        let connect = Connect {
            app: text("app"),
            tc_url: text("tcUrl"),
            flash_ver: text("flashVer"),
            page_url: text("pageUrl"),
            caps: Caps::read(object),
        };
        self.link.control(kind::WINDOW_ACK_SIZE, &WINDOW.to_be_bytes());
        let [a, b, c, d] = WINDOW.to_be_bytes();
        self.link.control(kind::SET_PEER_BANDWIDTH, &[a, b, c, d, 2]);
        self.link.set_chunk_size();

        let mut properties =
            vec![("fmsVer".to_owned(), self.config.fms_version.as_str().into()), ("capabilities".into(), 31.0.into())];
        properties.push(("mode".into(), 1.0.into()));
        let mut information =
            info(Level::Status, "NetConnection.Connect.Success", "Connection succeeded.").members().to_vec();
        // AMF0, whatever was asked for: Flash then speaks AMF0.
        information.push(("objectEncoding".into(), 0.0.into()));
        if connect.caps.is_enhanced() {
            // enhanced-rtmp v2 does not say which of the two objects; servers differ, clients look in either.
            properties.extend(self.config.caps.members());
            information.extend(self.config.caps.members());
        }
        let values = vec![Value::Object(properties), Value::Object(information)];
        self.link.reply(0, &result(command.transaction, values))?;
        self.connect = Some(connect.clone());
        self.events.push_back(ServerEvent::Connected(connect));
        Ok(())
    }

    fn create_stream(&mut self, transaction: f64) -> Result<(), Error> {
        let id = (1..=MAX_STREAM).find(|&id| self.streams & stream_bit(id) == 0);
        let Some(id) = id else {
            let text = "All message streams of this connection are in use.";
            return self.link.reply(0, &command::error(transaction, "NetConnection.Call.Failed", text));
        };
        self.streams |= stream_bit(id);
        self.link.reply(0, &result(transaction, vec![Value::Null, f64::from(id).into()]))
    }

    /// A publish or play request. Message streams that were never created are taken as they are: a few encoders use 0 or 1.
    fn request(&mut self, role: Role, stream: u32, name: &str) -> Result<(), Error> {
        match &self.active {
            Some(active) if active.stream == stream => self.client_ends(),
            Some(_) => {
                let code = match role {
                    Role::Publish => "NetStream.Publish.BadName",
                    Role::Play => "NetStream.Play.Failed",
                };
                let text = "One stream for each connection: end the other first.";
                return self.link.reply(stream, &on_status(Level::Error, code, text));
            }
            None => {}
        }
        let connect = self.connect.as_ref();
        let (app, tc_url) = connect.map_or(("", ""), |c| (c.app.as_str(), c.tc_url.as_str()));
        let target = Target::new(app, tc_url, name);
        self.requests += 1;
        let request = RequestId(self.requests);
        let name = target.path.clone();
        self.active = Some(Active { request, stream, role, phase: Phase::Asked { held: Vec::new(), bytes: 0 }, name });
        self.events.push_back(match role {
            Role::Publish => ServerEvent::Publish { request, target },
            Role::Play => ServerEvent::Play { request, target },
        });
        Ok(())
    }

    fn client_ends(&mut self) {
        let Some(active) = self.active.take() else { return };
        self.events.push_back(match active.role {
            Role::Publish => ServerEvent::PublishFinished(active.request),
            Role::Play => ServerEvent::PlayFinished(active.request),
        });
        self.link.set_max_message(MAX_MESSAGE_BEFORE);
    }

    fn pause(&mut self, stream: u32, command: &Command) -> Result<(), Error> {
        let playing = matches!(self.active, Some(Active { role: Role::Play, .. }));
        if !playing {
            return Ok(());
        }
        if command.values.get(1).and_then(Value::as_bool).unwrap_or(true) {
            self.events.push_back(ServerEvent::Paused);
            self.status(stream, "NetStream.Pause.Notify", "Paused.")
        } else {
            self.events.push_back(ServerEvent::Resumed);
            self.status(stream, "NetStream.Unpause.Notify", "Resumed.")
        }
    }

    fn receive(&mut self, kind: Kind, command: &Command) -> Result<(), Error> {
        let wanted = command.values.get(1).and_then(Value::as_bool).unwrap_or(true);
        self.events.push_back(ServerEvent::Wants { kind, wanted });
        self.done(command.transaction, Value::Undefined)
    }

    fn status(&mut self, stream: u32, code: &str, text: &str) -> Result<(), Error> {
        self.link.reply(stream, &on_status(Level::Status, code, text))
    }

    fn notice(&mut self, name: &str, code: &str, text: &str) -> Result<(), Error> {
        let values = vec![Value::Null, info(Level::Status, code, text)];
        self.link.reply(0, &Command::new(name, 0.0, values))
    }

    /// `_result` to a call that wants one.
    fn done(&mut self, transaction: f64, value: Value) -> Result<(), Error> {
        if transaction == 0.0 {
            return Ok(());
        }
        self.link.reply(0, &result(transaction, vec![Value::Null, value]))
    }
}

/// Message streams one client may have at a time; it can use only one of them.
const MAX_STREAM: u32 = 31;

/// Characters of an unknown command's name that are told back.
const MAX_NAME: usize = 64;

const fn stream_bit(stream: u32) -> u32 {
    if stream >= 1 && stream <= MAX_STREAM { 1 << stream } else { 0 }
}
