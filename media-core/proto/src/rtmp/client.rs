//! The client's side of a connection: publishes one stream to a server, or plays one from it.
//!
//! Belongs here: connect, then releaseStream, FCPublish, createStream, publish; or createStream, play. Not here: retries
//! and backoff (`relay::push`, `engine`), Adobe's challenge authentication (`?authmod=`), which is refused by name.

use super::caps::Caps;
use super::command::read_info;
use super::error::Error;
use super::handshake::Side;
use super::link::{Incoming, Link, WINDOW};
use super::message::{Command, UserControl, kind, with_set_data_frame};
use super::url::{RtmpUrl, without_query};
use super::{Kind, Media};
use crate::output::Output;
use bytes::Bytes;
use media::amf0::Value;
use std::collections::VecDeque;

/// What a client is there for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// Send a stream.
    Publish,
    /// Receive one.
    Play,
}

/// How a client presents itself and what it wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientConfig {
    /// Server, app and stream name.
    pub url: RtmpUrl,
    /// Publish or play.
    pub purpose: Purpose,
    /// `flashVer`; servers of platforms look for `FMLE/3.0` in publishers.
    pub flash_ver: String,
    /// Enhanced RTMP abilities we name.
    pub caps: Caps,
    /// Buffer a playing client announces, in milliseconds: small, since some servers send that much at once.
    pub buffer_millis: u32,
}

impl ClientConfig {
    /// Usual values for `purpose` at `url`.
    pub fn new(url: RtmpUrl, purpose: Purpose) -> Self {
        let flash_ver = "FMLE/3.0 (compatible; Visavis)".into();
        Self { url, purpose, flash_ver, caps: Caps::ours(), buffer_millis: 300 }
    }
}

/// What the server said or sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ClientEvent {
    /// `connect` succeeded; the server's Enhanced RTMP abilities.
    Connected(Caps),
    /// The stream may be sent now.
    Publishing,
    /// The stream comes now.
    Playing,
    /// Of the played stream; also script data.
    Media(Media),
    /// The server would not: nothing was published or played. The connection is of no further use.
    Refused {
        /// Such as `NetStream.Publish.BadName`; empty if the server gave none.
        code: String,
        /// The server's words.
        description: String,
        /// Where to go instead, if the server said so.
        redirect: Option<String>,
    },
    /// The stream is over: the publisher left, or the server ended it.
    Ended {
        /// Such as `NetStream.Play.UnpublishNotify`; empty for a bare end of stream.
        code: String,
        /// The server's words.
        description: String,
    },
    /// Bytes of ours the server has received, since the start.
    Acknowledged(u64),
    /// The answer to [`ClientSession::ping`], with its stamp.
    Pong(u32),
}

/// The machine. Its first output is there at once; send it when the socket is connected.
#[derive(Debug)]
pub struct ClientSession {
    link: Link,
    config: ClientConfig,
    step: Step,
    events: VecDeque<ClientEvent>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    Handshake,
    Connecting,
    Creating,
    /// `publish` or `play` is sent on this message stream.
    Asking(u32),
    /// Publishing or playing.
    Running(u32),
    /// Refused or ended.
    Over,
}

/// Transaction ids of the calls we make; each is made once.
mod call {
    pub(super) const CONNECT: f64 = 1.0;
    pub(super) const RELEASE_STREAM: f64 = 2.0;
    pub(super) const FC_PUBLISH: f64 = 3.0;
    pub(super) const CREATE_STREAM: f64 = 4.0;
    pub(super) const PUBLISH: f64 = 5.0;
    pub(super) const FC_UNPUBLISH: f64 = 6.0;
}

impl ClientSession {
    /// A session with its handshake ready to send. `seed` fills the random part; it need not be secret.
    pub fn new(config: ClientConfig, seed: u64) -> Self {
        Self { link: Link::new(Side::Client, seed), config, step: Step::Handshake, events: VecDeque::new() }
    }

    /// Takes what the server sent. Take the events and the output afterwards.
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
    pub fn poll_event(&mut self) -> Option<ClientEvent> {
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

    /// Sends media once [`ClientEvent::Publishing`] came; before, and in a playing session, nothing is sent. `head` (tag
    /// header bytes) is copied, `payload` shared; for [`Kind::Data`] together they are a script tag body.
    pub fn send(&mut self, kind: Kind, timestamp: u32, head: &[u8], payload: &Bytes) {
        let (Step::Running(stream), Purpose::Publish) = (self.step, self.config.purpose) else { return };
        match kind {
            Kind::Audio | Kind::Video => self.link.media(stream, kind, timestamp, head, payload),
            Kind::Data => self.link.media(stream, kind, timestamp, &with_set_data_frame(head), payload),
        }
    }

    /// Ends the stream in good order. Send the output, then close.
    pub fn finish(&mut self) {
        if let Step::Asking(stream) | Step::Running(stream) = self.step {
            if self.config.purpose == Purpose::Publish {
                let name = self.config.url.name.as_str().into();
                self.link.command(0, &Command::new("FCUnpublish", call::FC_UNPUBLISH, vec![Value::Null, name]));
            }
            let values = vec![Value::Null, f64::from(stream).into()];
            self.link.command(0, &Command::new("deleteStream", 0.0, values));
        }
        self.step = Step::Over;
    }

    /// Asks for a sign of life; the answer is [`ClientEvent::Pong`] with `stamp`.
    pub fn ping(&mut self, stamp: u32) {
        self.link.user_control(UserControl::PingRequest(stamp));
    }

    fn incoming(&mut self, incoming: Incoming) -> Result<(), Error> {
        match incoming {
            Incoming::Ready => self.connect(),
            Incoming::Acknowledged(bytes) => self.events.push_back(ClientEvent::Acknowledged(bytes)),
            Incoming::UserControl(UserControl::PingResponse(stamp)) => {
                self.events.push_back(ClientEvent::Pong(stamp));
            }
            Incoming::UserControl(UserControl::StreamEof(stream)) => {
                if self.step == Step::Running(stream) {
                    self.end("", "end of stream");
                }
            }
            Incoming::UserControl(_) => {}
            Incoming::Media(media) => self.media(media),
            Incoming::Aggregate(parts) => parts.into_iter().for_each(|media| self.media(media)),
            Incoming::Command(command, _) => return self.command(&command),
        }
        Ok(())
    }

    fn connect(&mut self) {
        let url = &self.config.url;
        let mut object = vec![
            ("app".to_owned(), Value::from(url.app.as_str())),
            ("type".into(), "nonprivate".into()),
            ("flashVer".into(), self.config.flash_ver.as_str().into()),
            ("tcUrl".into(), url.tc_url().into()),
        ];
        if self.config.purpose == Purpose::Play {
            // What Flash Player says of itself: AAC and H.264 among others, seeking by the client. Some servers send a
            // player only what it named here.
            object.push(("fpad".into(), false.into()));
            object.push(("capabilities".into(), 15.0.into()));
            object.push(("audioCodecs".into(), 4071.0.into()));
            object.push(("videoCodecs".into(), 252.0.into()));
            object.push(("videoFunction".into(), 1.0.into()));
        }
        object.extend(self.config.caps.members());
        self.link.command(0, &Command::new("connect", call::CONNECT, vec![Value::Object(object)]));
        self.step = Step::Connecting;
    }

    fn media(&mut self, media: Media) {
        if self.config.purpose != Purpose::Play {
            return;
        }
        if is_server_data(&media) {
            return;
        }
        if let Step::Asking(stream) = self.step {
            // Some servers send the stream and never NetStream.Play.Start.
            self.running(stream);
        }
        if let Step::Running(_) = self.step {
            self.events.push_back(ClientEvent::Media(media));
        }
    }

    fn command(&mut self, command: &Command) -> Result<(), Error> {
        match (command.name.as_str(), self.step) {
            (_, Step::Over | Step::Handshake) => {}
            ("_result", Step::Connecting) if command.transaction == call::CONNECT => self.connected(command),
            ("_result", Step::Creating) if command.transaction == call::CREATE_STREAM => self.created(command),
            ("_error", Step::Connecting) if command.transaction == call::CONNECT => self.refuse(command),
            ("_error", Step::Creating) if command.transaction == call::CREATE_STREAM => self.refuse(command),
            ("_error", Step::Asking(_)) if command.transaction == call::PUBLISH => self.refuse(command),
            ("onStatus", _) => self.status(command),
            ("close", Step::Running(_)) => self.end("", "the server closed the stream"),
            ("close", _) => self.refuse(command),
            // releaseStream and FCPublish fail at many servers and mean nothing; bandwidth checks want an answer.
            ("onBWDone" | "_onbwcheck" | "_onbwdone", _) if command.transaction != 0.0 => {
                let values = vec![Value::Null, Value::Null];
                return self.link.reply(0, &super::command::result(command.transaction, values));
            }
            _ => {}
        }
        Ok(())
    }

    fn connected(&mut self, command: &Command) {
        // Servers put their abilities into either object.
        let objects = command.values.iter().map(Caps::read);
        let caps = objects.reduce(|a, b| if b.is_enhanced() { b } else { a }).unwrap_or_default();
        self.events.push_back(ClientEvent::Connected(caps));
        let name = Value::from(self.config.url.name.as_str());
        match self.config.purpose {
            Purpose::Publish => {
                self.link.set_chunk_size();
                let release = vec![Value::Null, name.clone()];
                self.link.command(0, &Command::new("releaseStream", call::RELEASE_STREAM, release));
                self.link.command(0, &Command::new("FCPublish", call::FC_PUBLISH, vec![Value::Null, name]));
            }
            Purpose::Play => self.link.control(kind::WINDOW_ACK_SIZE, &WINDOW.to_be_bytes()),
        }
        self.link.command(0, &Command::new("createStream", call::CREATE_STREAM, vec![Value::Null]));
        self.step = Step::Creating;
    }

    fn created(&mut self, command: &Command) {
        let Some(stream) = command.values.get(1).and_then(Value::as_f64).map(|id| id as u32) else {
            return self.refuse(command);
        };
        let name = Value::from(self.config.url.name.as_str());
        match self.config.purpose {
            Purpose::Publish => {
                let values = vec![Value::Null, name, "live".into()];
                self.link.command(stream, &Command::new("publish", call::PUBLISH, values));
            }
            Purpose::Play => {
                // -2: the live stream of this name, or else a recording.
                let values = vec![Value::Null, name, (-2000.0).into()];
                self.link.command(stream, &Command::new("play", 0.0, values));
                let millis = self.config.buffer_millis;
                self.link.user_control(UserControl::SetBufferLength { stream, millis });
            }
        }
        self.step = Step::Asking(stream);
    }

    fn status(&mut self, command: &Command) {
        let (level, code, description) = read_info(&command.values);
        match (self.step, code) {
            (Step::Asking(stream), "NetStream.Publish.Start" | "NetStream.Play.Start") => self.running(stream),
            (
                Step::Running(_),
                "NetStream.Play.Stop" | "NetStream.Play.Complete" | "NetStream.Play.UnpublishNotify",
            ) => {
                self.end(code, description);
            }
            // Also errors under the level "status", which some servers send.
            (Step::Running(_), _) if level == "error" => self.end(code, description),
            (_, "NetStream.Publish.BadName" | "NetStream.Publish.Denied" | "NetStream.Play.StreamNotFound") => {
                self.refuse(command);
            }
            (_, _) if level == "error" => self.refuse(command),
            _ => {}
        }
    }

    fn running(&mut self, stream: u32) {
        self.step = Step::Running(stream);
        self.events.push_back(match self.config.purpose {
            Purpose::Publish => ClientEvent::Publishing,
            Purpose::Play => ClientEvent::Playing,
        });
    }

    fn refuse(&mut self, command: &Command) {
        let (_, code, description) = read_info(&command.values);
        let redirect = command.values.iter().find_map(|v| v.get("ex")?.get("redirect")?.as_str());
        let description = if description.contains("authmod=") {
            format!("the server wants Adobe's challenge authentication, which is not supported ({description})")
        } else if description.is_empty() {
            format!("the server refused {}", without_query(&self.config.url.app))
        } else {
            description.to_owned()
        };
        let (code, redirect) = (code.to_owned(), redirect.map(str::to_owned));
        self.events.push_back(ClientEvent::Refused { code, description, redirect });
        self.step = Step::Over;
    }

    fn end(&mut self, code: &str, description: &str) {
        self.events.push_back(ClientEvent::Ended { code: code.to_owned(), description: description.to_owned() });
        self.step = Step::Over;
    }
}

/// Script data with which servers surround a stream; not part of it.
fn is_server_data(media: &Media) -> bool {
    const NAMES: [&[u8]; 2] = [b"\x02\x00\x11|RtmpSampleAccess", b"\x02\x00\x08onStatus"];
    media.kind == Kind::Data && NAMES.iter().any(|name| media.body.starts_with(name))
}
