//! One RTMP connection: what the peer asks for, and what becomes of it.
//!
//! Belongs here: the connection's role, and what each event does to it. Not here: what wakes it (`serving`), the protocol's state
//! (`proto::rtmp::ServerSession`).

use super::egress::{Egress, PATIENCE, pictures};
use super::ingest::Ingest;
use super::server::{ConnState, RtmpServer, Traffic};
use super::serving::{SILENCE, UNSENT, millis};
use crate::access::{AccessRequest, Action, Refusal};
use crate::listen::{ListenError, Listener, Sound};
use container::flv::{FlvError, Signalling, TagKind};
use hub::{Item, PathName, Publisher, PublisherInfo, ReadError, ReaderInfo, Start};
use proto::rtmp::{Caps, Kind, Media, Reason, RequestId, ServerConfig, ServerEvent, ServerSession, StreamEnd, Target};
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::ops::ControlFlow;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;
use thiserror::Error;
use tracing::{Span, debug, info, warn};

/// Why a connection ended badly.
#[derive(Debug, Error)]
pub(super) enum ConnectionError {
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error("RTMP: {0}")]
    Protocol(#[from] proto::rtmp::Error),
    #[error("FLV: {0}")]
    Media(#[from] FlvError),
    #[error("nothing received for {} s", SILENCE.as_secs())]
    Silent,
}

/// What the connection is for, once it is.
pub(super) enum Role {
    Idle,
    Publishing {
        publisher: Publisher,
        ingest: Box<Ingest>,
        path: PathName,
    },
    /// Held until there is something to play.
    Waiting {
        request: RequestId,
        path: PathName,
        opening: Opening,
    },
    Playing(Box<Playing>),
}

pub(super) struct Playing {
    pub(super) listener: Listener,
    egress: Egress,
    pub(super) paused: bool,
}

pub(super) type Opening = Pin<Box<dyn Future<Output = Result<Listener, ListenError>> + Send>>;

pub(super) struct Connection {
    pub(super) server: RtmpServer,
    id: String,
    peer: SocketAddr,
    pub(super) session: ServerSession,
    pub(super) role: Role,
    /// What the client said of Enhanced RTMP.
    caps: Caps,
    pub(super) traffic: Arc<Traffic>,
    /// For what is logged while the path's writer serves it.
    span: Span,
}

impl Connection {
    pub(super) fn new(server: RtmpServer, id: String, peer: SocketAddr, traffic: Arc<Traffic>) -> Box<Self> {
        let session = ServerSession::new(ServerConfig::default(), rand::random());
        Box::new(Self {
            server,
            id,
            peer,
            session,
            role: Role::Idle,
            caps: Caps::default(),
            traffic,
            span: Span::current(),
        })
    }

    /// Takes what the peer sent.
    pub(super) async fn received(&mut self, bytes: &[u8]) -> Result<(), ConnectionError> {
        let handled = self.session.handle_input(bytes);
        while let Some(event) = self.session.poll_event() {
            self.event(event).await?;
        }
        handled?;
        self.traffic.received(self.session.received());
        Ok(())
    }

    async fn event(&mut self, event: ServerEvent) -> Result<(), ConnectionError> {
        match event {
            ServerEvent::Connected(connect) => {
                debug!(client = connect.flash_ver, "connected");
                self.caps = connect.caps;
            }
            ServerEvent::Publish { request, target } => self.publish(request, &target).await,
            ServerEvent::Play { request, target } => self.play(request, &target).await,
            ServerEvent::Media(media) => self.media(&media)?,
            ServerEvent::PublishFinished(_) | ServerEvent::PlayFinished(_) => self.become_idle(),
            ServerEvent::Paused => self.pause(true),
            ServerEvent::Resumed => self.pause(false),
            ServerEvent::Wants { .. } | ServerEvent::BufferLength(_) | ServerEvent::Acknowledged(_) => {}
            ServerEvent::Pong(stamp) => {
                let took = millis(self.server.clock.now()).wrapping_sub(stamp);
                let took = Duration::from_millis(u64::from(took));
                // A stamp we never sent says nothing.
                if took < SILENCE {
                    self.traffic.round_trip(took);
                }
            }
        }
        Ok(())
    }

    async fn publish(&mut self, request: RequestId, target: &Target) {
        let Some(path) = self.granted(Action::Publish, request, target).await else {
            return;
        };
        let info = PublisherInfo { kind: self.server.kind(), id: self.id.clone(), answers_keyframes: false };
        match self.server.hub.publish(&path, info, media::TrackSet::default(), self.server.clock.now()) {
            Ok(publisher) => {
                info!(%path, "publishing");
                self.session.accept(request);
                self.state(ConnState::Publish, &path);
                self.role = Role::Publishing { publisher, ingest: Box::new(Ingest::new()), path };
            }
            Err(error) => self.session.reject(request, Reason::Unavailable, &error.to_string()),
        }
    }

    async fn play(&mut self, request: RequestId, target: &Target) {
        let Some(path) = self.granted(Action::Read, request, target).await else {
            return;
        };
        debug!(%path, "asks to play");
        self.state(ConnState::Read, &path);
        let opening = self.open(path.clone());
        self.role = Role::Waiting { request, path, opening };
    }

    fn open(&self, path: PathName) -> Opening {
        let (listening, id) = (self.server.listening.clone(), self.id.clone());
        let sound = if self.caps.takes("Opus") { Sound::AacOrOpus } else { Sound::Aac };
        let (pictures, kind) = (pictures(&self.caps), self.server.kind());
        Box::pin(async move {
            let info = ReaderInfo { kind, id };
            let listener = listening.open(&path, sound, info, Start::Soonest).await?;
            Ok(listener.with_patience(PATIENCE).with_pictures(pictures))
        })
    }

    /// The path of a request that may be granted; a refused one is answered.
    async fn granted(&mut self, action: Action, request: RequestId, target: &Target) -> Option<PathName> {
        let path = match PathName::parse(&target.path) {
            Ok(path) => path,
            Err(error) => {
                self.session.reject(request, Reason::BadName, &error.to_string());
                return None;
            }
        };
        let (peer, query, basic) = (self.peer, target.query.clone(), target.user_info.clone());
        let access = AccessRequest { action, path, peer, query, bearer: None, basic, digest: None };
        match self.server.authorizer.authorize(&access).await {
            Ok(()) => Some(access.path),
            Err(refusal) => {
                warn!(path = %access.path, ?action, %refusal, "refused");
                let reason = match refusal {
                    Refusal::Unauthorized => Reason::Denied,
                    Refusal::NoSuchPath => Reason::NotFound,
                };
                self.session.reject(request, reason, &refusal.to_string());
                None
            }
        }
    }

    pub(super) fn opened(&mut self, opened: Result<Listener, ListenError>) {
        let Role::Waiting { request, path, .. } = std::mem::replace(&mut self.role, Role::Idle) else {
            return;
        };
        match opened {
            Ok(listener) => {
                info!(%path, "playing");
                self.session.accept(request);
                let enhanced = self.caps.is_enhanced();
                let signalling = if enhanced { Signalling::Enhanced } else { Signalling::Legacy };
                let egress = Egress::new(signalling);
                self.role = Role::Playing(Box::new(Playing { listener, egress, paused: false }));
            }
            Err(error) => {
                self.session.reject(request, Reason::NotFound, &error.to_string());
                self.become_idle();
            }
        }
    }

    fn media(&mut self, media: &Media) -> Result<(), ConnectionError> {
        if let Role::Publishing { publisher, ingest, .. } = &mut self.role {
            ingest.push(media, publisher, self.server.clock.now())?;
        }
        Ok(())
    }

    /// Sends what was read and whatever else is there, so that it leaves in one write. Breaks where the stream is over.
    pub(super) fn play_on(&mut self, first: Result<Item, ReadError>) -> ControlFlow<()> {
        let mut next = Some(first);
        while let Some(item) = next {
            match item {
                Ok(item) => self.send(&item),
                Err(ReadError::Lagged(lagged)) => {
                    self.span.in_scope(|| warn!(missed = lagged.missed, "player fell behind"));
                }
                Err(ReadError::Ended(ended)) => {
                    self.session.finish(StreamEnd::Unpublished, &ended.to_string());
                    self.become_idle();
                    return ControlFlow::Break(());
                }
            }
            let feed = self.session.pending_output_bytes() < UNSENT;
            next = match &mut self.role {
                Role::Playing(playing) if feed => playing.listener.try_next().transpose(),
                _ => None,
            };
        }
        ControlFlow::Continue(())
    }

    fn send(&mut self, item: &Item) {
        let Role::Playing(playing) = &mut self.role else {
            return;
        };
        for message in playing.egress.messages(item) {
            let kind = match message.kind {
                TagKind::Audio => Kind::Audio,
                TagKind::Video => Kind::Video,
                TagKind::Script => Kind::Data,
            };
            if !playing.paused || kind == Kind::Data {
                self.session.send(kind, message.timestamp, &message.header, &message.payload);
            }
        }
    }

    /// A paused player is not fed; a resumed one begins again at a key frame.
    fn pause(&mut self, pause: bool) {
        let Role::Playing(playing) = &mut self.role else {
            return;
        };
        if playing.paused && !pause {
            playing.listener.restart();
        }
        playing.paused = pause;
    }

    fn become_idle(&mut self) {
        self.role = Role::Idle;
        self.server.conns.update(&self.id, |conn| {
            conn.state = ConnState::Idle;
            conn.path.clear();
        });
    }

    fn state(&self, state: ConnState, path: &PathName) {
        self.server.conns.update(&self.id, |conn| {
            conn.state = state;
            conn.path = path.as_str().to_owned();
        });
    }
}
