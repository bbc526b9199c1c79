//! One RTMP connection, from handshake to close.
//!
//! Belongs here: what wakes it, and what it does then. Not here: the protocol's state (`proto::rtmp::ServerSession`).

use super::egress::{Egress, PATIENCE, pictures};
use super::ingest::Ingest;
use super::server::{ConnState, RtmpServer, Traffic};
use crate::access::{AccessRequest, Action, Refusal};
use crate::listen::{ListenError, Listener, Sound};
use bytes::Buf;
use container::flv::{FlvError, Signalling, TagKind};
use hub::{Item, PathName, Publisher, PublisherInfo, PublisherState, ReadError, ReaderInfo, Start};
use media::MonoTime;
use proto::rtmp::{Caps, Kind, Media, Reason, RequestId, ServerConfig, ServerEvent, ServerSession, StreamEnd, Target};
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::ops::ControlFlow;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

/// A peer that says nothing for this long is gone: publishers send tens of messages a second, players acknowledge.
const SILENCE: Duration = Duration::from_secs(10);

/// Past this much unsent media a player is not fed; the hub then decides what it loses. A second of 2 Mbit/s.
const UNSENT: usize = 256 << 10;

/// What the kernel may hold unsent, so that a slow player is noticed here and not megabytes later.
const KERNEL_UNSENT: u32 = 128 << 10;

/// One read of a publisher's. Large enough for a key frame in a few reads.
const READ: usize = 32 << 10;

/// One read of anybody else's: commands and acknowledgements, and there may be hundreds of players.
const READ_LITTLE: usize = 4 << 10;

/// A closing connection may take this long to say goodbye.
const GOODBYE: Duration = Duration::from_secs(1);

/// How often the round trip is measured while something runs.
const PING: Duration = Duration::from_secs(2);

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
enum Role {
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

struct Playing {
    listener: Listener,
    egress: Egress,
    paused: bool,
}

type Opening = Pin<Box<dyn Future<Output = Result<Listener, ListenError>> + Send>>;

/// Everything that can wake a connection.
enum Wake {
    Stop,
    Read(io::Result<usize>),
    /// Everything is sent, or nothing more can be.
    Sent(io::Result<()>),
    /// It is time to see whether the peer has spoken.
    Silence,
    Ping,
    Opened(Result<Listener, ListenError>),
    Item(Result<Item, ReadError>),
    Publisher,
}

pub(super) struct Connection {
    server: RtmpServer,
    id: String,
    peer: SocketAddr,
    session: ServerSession,
    role: Role,
    /// What the client said of Enhanced RTMP.
    caps: Caps,
    traffic: Arc<Traffic>,
}

impl Connection {
    pub(super) fn new(server: RtmpServer, id: String, peer: SocketAddr, traffic: Arc<Traffic>) -> Self {
        let session = ServerSession::new(ServerConfig::default(), rand::random());
        Self { server, id, peer, session, role: Role::Idle, caps: Caps::default(), traffic }
    }

    /// Serves `stream` until either side ends it.
    pub(super) async fn run(mut self, stream: TcpStream, stop: CancellationToken) -> Result<(), ConnectionError> {
        stream.set_nodelay(true)?;
        #[cfg(target_os = "linux")]
        socket2::SockRef::from(&stream).set_tcp_notsent_lowat(KERNEL_UNSENT)?;
        match self.server.tls.clone() {
            None => {
                let (input, output) = stream.into_split();
                self.serve(input, output, stop).await
            }
            Some(tls) => {
                let Some(accepted) = stop.run_until_cancelled(tls.accept(stream)).await else { return Ok(()) };
                let (input, output) = tokio::io::split(accepted?);
                self.serve(input, output, stop).await
            }
        }
    }

    async fn serve(
        &mut self,
        mut input: impl AsyncRead + Unpin,
        mut output: impl AsyncWrite + Unpin,
        stop: CancellationToken,
    ) -> Result<(), ConnectionError> {
        let result = self.run_inner(&mut input, &mut output, stop).await;
        // What is queued, such as the reason for the end, still goes out; a peer that does not take it is left.
        let goodbye = async {
            while !self.session.output().is_empty()
                && output.write_buf(self.session.output()).await.is_ok_and(|n| n > 0)
            {}
            output.shutdown().await
        };
        if let Ok(Err(error)) = tokio::time::timeout(GOODBYE, goodbye).await {
            debug!(%error, "the peer was gone already");
        }
        result
    }

    async fn run_inner(
        &mut self,
        input: &mut (impl AsyncReadExt + Unpin),
        output: &mut (impl AsyncWriteExt + Unpin),
        stop: CancellationToken,
    ) -> Result<(), ConnectionError> {
        let mut buffer = vec![0; READ_LITTLE];
        let mut heard = Instant::now();
        let mut ping = tokio::time::interval(PING);
        // Made once: with hundreds of players, each registering anew for every unit is most of what a unit costs.
        let stopped = stop.cancelled();
        let silence = tokio::time::sleep_until(heard + SILENCE);
        tokio::pin!(stopped, silence);
        loop {
            let waiting = self.session.pending_output_bytes();
            let feed = waiting < UNSENT;
            let wake = tokio::select! {
                biased;
                () = &mut stopped => Wake::Stop,
                sent = send(self.session.output(), output, &self.traffic, !feed), if waiting > 0 => Wake::Sent(sent),
                read = input.read(&mut buffer) => Wake::Read(read),
                wake = self.role.wake(feed) => wake,
                _ = ping.tick(), if self.role.runs() => Wake::Ping,
                () = &mut silence, if self.role.must_speak() => Wake::Silence,
            };
            match wake {
                Wake::Stop => {
                    self.session.finish(StreamEnd::Kicked, "The relay is stopping.");
                    return Ok(());
                }
                Wake::Read(read) => {
                    heard = Instant::now();
                    let count = read?;
                    let Some(bytes) = buffer.get(..count).filter(|b| !b.is_empty()) else {
                        return Ok(());
                    };
                    let handled = self.session.handle_input(bytes);
                    while let Some(event) = self.session.poll_event() {
                        self.event(event).await?;
                    }
                    handled?;
                    self.traffic.received(self.session.received());
                    if matches!(self.role, Role::Publishing { .. }) {
                        buffer.resize(READ, 0);
                    }
                }
                Wake::Sent(sent) => sent?,
                // The stamp wraps after 49 days; a round trip does not last so long.
                Wake::Ping => self.session.ping(millis(self.server.clock.now())),
                Wake::Silence if heard.elapsed() >= SILENCE => return Err(ConnectionError::Silent),
                Wake::Silence => silence.as_mut().reset(heard + SILENCE),
                Wake::Opened(opened) => self.opened(opened),
                Wake::Item(item) => {
                    if self.play_on(item).is_break() {
                        return Ok(());
                    }
                }
                Wake::Publisher => {
                    if let Role::Publishing { publisher, path, .. } = &self.role
                        && publisher.state() != PublisherState::Live
                    {
                        info!(%path, state = ?publisher.state(), "publisher ended by the relay");
                        self.session.finish(StreamEnd::Kicked, "Another publisher has taken over.");
                        return Ok(());
                    }
                }
            }
        }
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

    fn opened(&mut self, opened: Result<Listener, ListenError>) {
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
    fn play_on(&mut self, first: Result<Item, ReadError>) -> ControlFlow<()> {
        let mut next = Some(first);
        while let Some(item) = next {
            match item {
                Ok(item) => self.send(&item),
                Err(ReadError::Lagged(lagged)) => warn!(missed = lagged.missed, "player fell behind"),
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

impl Role {
    /// What this role waits for besides its socket. Without `feed` a player is not given more.
    async fn wake(&mut self, feed: bool) -> Wake {
        match self {
            Self::Publishing { publisher, .. } => {
                publisher.changed().await;
                Wake::Publisher
            }
            Self::Waiting { opening, .. } => Wake::Opened(opening.as_mut().await),
            Self::Playing(playing) if feed => Wake::Item(playing.listener.next().await),
            Self::Playing(_) | Self::Idle => std::future::pending().await,
        }
    }

    /// Does media run?
    const fn runs(&self) -> bool {
        matches!(self, Self::Publishing { .. } | Self::Playing(_))
    }

    /// Must the peer say something now and then? A waiting or playing one need not.
    const fn must_speak(&self) -> bool {
        matches!(self, Self::Idle | Self::Publishing { .. })
    }
}

/// Sends all of `queue`, and then waits for ever, so that a unit leaves in the turn that brought it; with `report` it
/// returns when the queue is empty.
async fn send(
    queue: &mut impl Buf,
    output: &mut (impl AsyncWriteExt + Unpin),
    traffic: &Traffic,
    report: bool,
) -> io::Result<()> {
    while queue.has_remaining() {
        match output.write_buf(queue).await? {
            0 => return Err(io::ErrorKind::WriteZero.into()),
            count => traffic.sent(count),
        }
    }
    if report { Ok(()) } else { std::future::pending().await }
}

/// A stamp for pings.
fn millis(now: MonoTime) -> u32 {
    // Deliberately the low bits: the peer sends them back as they are.
    (now.micros() / 1000) as u32
}
