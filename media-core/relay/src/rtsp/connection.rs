//! One RTSP connection, from its first request to its close.
//!
//! Belongs here: what wakes it, and what it does then. Not here: the protocol's state (`proto::rtsp::ServerSession`), a reader's packets
//! (`reading`).

use super::PICTURES;
use super::access::wish;
use super::reading::{Reading, Sent, known_tracks};
use super::registry::{ListedConn, ListedSession, RtspSession, SessionStats, SessionTransport};
use super::server::{RtspServer, SESSION_TIMEOUT};
use super::udp::{Datagram, Routes, UdpPair};
use crate::access::{Action, Refusal};
use crate::listen::{ListenError, Listener, Sound};
use crate::rtmp::ConnState;
use bytes::Bytes;
use hub::{Item, PathName, Publisher, PublisherInfo, PublisherState, ReadError, ReaderInfo, Start};
use media::{MonoTime, TrackSet};
use proto::rtsp::{
    Credentials, Format, Ingest, Ingested, Presentation, RtspError, RtspReason, RtspRequest, ServerEvent,
    ServerSession, Setup, Target, Transport,
};
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

/// A peer that has nothing running, or publishes, and says nothing for this long is gone.
const SILENCE: Duration = Duration::from_secs(10);
/// A reader whose connection takes nothing for this long is gone.
const STALLED: Duration = Duration::from_secs(60);
/// Past this much unsent media a reader is not fed; the hub then decides what it loses. A second of 2 Mbit/s.
const UNSENT: usize = 256 << 10;
/// What the kernel may hold unsent, so that a slow reader is noticed here and not megabytes later.
const KERNEL_UNSENT: u32 = 128 << 10;
/// One read. Large enough for a key frame in a few reads.
const READ: usize = 32 << 10;
/// A closing connection may take this long to say goodbye.
const GOODBYE: Duration = Duration::from_secs(1);
/// How often reports go out, and the lists' counts are brought up to date: RFC 3550 §6.2 says five seconds, half of them at first.
const REPORT: Duration = Duration::from_millis(2500);
/// How long a packet by UDP is waited for when its followers are there.
pub(super) const REORDER: Duration = Duration::from_millis(100);

/// Why a connection ended badly.
#[derive(Debug, Error)]
pub(super) enum ConnectionError {
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error("RTSP: {0}")]
    Protocol(#[from] RtspError),
    #[error("nothing received for {} s", .0.as_secs())]
    Silent(Duration),
    #[error("nothing could be sent for {} s", STALLED.as_secs())]
    Stalled,
    #[error("the path changed its codecs")]
    Changed,
}

/// What the connection is for, once it is.
enum Role {
    Idle,
    /// Held until there is something to describe.
    Opening {
        request: RtspRequest,
        path: PathName,
        opening: Opening,
    },
    /// Described; PLAY may come.
    Described {
        path: PathName,
        listener: Box<Listener>,
    },
    Announced {
        path: PathName,
    },
    Publishing(Box<Publishing>),
    Reading(Box<Reading>),
}

struct Publishing {
    publisher: Publisher,
    ingest: Ingest,
    path: PathName,
    sent_reports: u64,
    received_bytes: u64,
}

type Opening = Pin<Box<dyn Future<Output = Result<(Listener, Arc<TrackSet>), OpenError>> + Send>>;

#[derive(Debug, Error)]
enum OpenError {
    #[error(transparent)]
    Listen(#[from] ListenError),
    #[error(transparent)]
    Read(#[from] ReadError),
}

/// Everything that can wake a connection.
enum Wake {
    Stop,
    Read(io::Result<usize>),
    Written(io::Result<usize>),
    Silent(Duration),
    Stalled,
    Report,
    Opened(Result<(Listener, Arc<TrackSet>), OpenError>),
    Item(Result<Item, ReadError>),
    Publisher,
    Overdue,
    Datagram(Option<Datagram>),
}

pub(super) struct Connection {
    server: RtspServer,
    listed: ListedConn,
    peer: SocketAddr,
    stop: CancellationToken,
    session: ServerSession,
    role: Role,
    routes: Option<Routes>,
    entry: Option<ListedSession>,
    id: String,
    sent: u64,
}

impl Connection {
    pub(super) fn new(server: RtspServer, listed: ListedConn, peer: SocketAddr, stop: CancellationToken) -> Self {
        let session = ServerSession::new(server.config, rand::random(), server.clock.now());
        let id = uuid::Uuid::new_v4().to_string();
        Self { server, listed, peer, stop, session, role: Role::Idle, routes: None, entry: None, id, sent: 0 }
    }

    /// Serves `stream` until either side ends it.
    pub(super) async fn run(mut self, stream: TcpStream) -> Result<(), ConnectionError> {
        stream.set_nodelay(true)?;
        #[cfg(target_os = "linux")]
        socket2::SockRef::from(&stream).set_tcp_notsent_lowat(KERNEL_UNSENT)?;
        match self.server.tls.clone() {
            None => {
                let (input, output) = stream.into_split();
                self.serve(input, output).await
            }
            Some(tls) => {
                let stop = self.stop.clone();
                let Some(accepted) = stop.run_until_cancelled(tls.accept(stream)).await else { return Ok(()) };
                let (input, output) = tokio::io::split(accepted?);
                self.serve(input, output).await
            }
        }
    }

    async fn serve(
        &mut self,
        mut input: impl AsyncRead + Unpin,
        mut output: impl AsyncWrite + Unpin,
    ) -> Result<(), ConnectionError> {
        let result = self.run_inner(&mut input, &mut output).await;
        // A publisher that leaves starts its path's grace now, not when the goodbye is over.
        self.role = Role::Idle;
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
    ) -> Result<(), ConnectionError> {
        let mut buffer = vec![0; READ];
        let (mut heard, mut written_at) = (Instant::now(), Instant::now());
        let mut report = tokio::time::interval_at(Instant::now() + REPORT, REPORT);
        report.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            let unsent = self.session.pending_output_bytes();
            if unsent == 0 {
                written_at = Instant::now();
            }
            let (silence, clock) = (self.silence(), self.server.clock);
            let wake = tokio::select! {
                biased;
                () = self.stop.cancelled() => Wake::Stop,
                written = output.write_buf(self.session.output()), if unsent > 0 => Wake::Written(written),
                read = input.read(&mut buffer) => Wake::Read(read),
                datagram = next(&mut self.routes) => Wake::Datagram(datagram),
                wake = self.role.wake(unsent < UNSENT, clock.now()) => wake,
                _ = report.tick() => Wake::Report,
                () = tokio::time::sleep_until(heard + silence.unwrap_or_default()), if silence.is_some() => {
                    Wake::Silent(silence.unwrap_or_default())
                }
                () = tokio::time::sleep_until(written_at + STALLED), if unsent > 0 => Wake::Stalled,
            };
            match wake {
                Wake::Stop => return Ok(()),
                Wake::Read(read) => {
                    heard = Instant::now();
                    let count = read?;
                    let Some(bytes) = buffer.get(..count).filter(|b| !b.is_empty()) else {
                        return Ok(());
                    };
                    let handled = self.session.handle_input(bytes, clock.now());
                    self.events().await?;
                    handled?;
                    let received = self.session.received();
                    self.listed.update(|conn| conn.inbound_bytes = received);
                }
                Wake::Written(written) => {
                    written_at = Instant::now();
                    self.sent += written? as u64;
                    let sent = self.sent;
                    self.listed.update(|conn| conn.outbound_bytes = sent);
                }
                Wake::Silent(silence) => return Err(ConnectionError::Silent(silence)),
                Wake::Stalled => return Err(ConnectionError::Stalled),
                Wake::Report => self.report().await,
                Wake::Opened(opened) => {
                    self.opened(opened)?;
                    self.events().await?;
                    // The time it was held was ours.
                    heard = Instant::now();
                }
                Wake::Item(Ok(item)) => {
                    if let Role::Reading(reading) = &mut self.role
                        && reading.send(&item, &mut self.session).await == Sent::Changed
                    {
                        return Err(ConnectionError::Changed);
                    }
                }
                Wake::Item(Err(ReadError::Lagged(lagged))) => warn!(missed = lagged.missed, "reader fell behind"),
                Wake::Item(Err(ReadError::Ended(ended))) => {
                    info!(%ended, "reader ended");
                    return Ok(());
                }
                Wake::Publisher => {
                    if let Role::Publishing(publishing) = &self.role
                        && publishing.publisher.state() != PublisherState::Live
                    {
                        let (path, state) = (&publishing.path, publishing.publisher.state());
                        info!(%path, ?state, "publisher ended by the relay");
                        return Ok(());
                    }
                }
                Wake::Overdue => {
                    if let Role::Publishing(publishing) = &mut self.role {
                        publishing.ingest.advance(clock.now());
                        publishing.write(clock.now());
                    }
                }
                Wake::Datagram(Some(datagram)) => {
                    heard = Instant::now();
                    self.packet(datagram.media, datagram.control, &datagram.bytes, datagram.arrived);
                }
                Wake::Datagram(None) => {}
            }
        }
    }

    async fn events(&mut self) -> Result<(), ConnectionError> {
        while let Some(event) = self.session.poll_event() {
            match event {
                ServerEvent::Describe { request, target, credentials } => {
                    self.describe(request, &target, credentials).await?;
                }
                ServerEvent::Announce { request, target, credentials } => {
                    self.announce(request, &target, credentials).await?;
                }
                ServerEvent::Play { request } => self.play(request)?,
                ServerEvent::Record { request } => self.record(request)?,
                ServerEvent::Paused => {
                    if let Role::Reading(reading) = &mut self.role {
                        reading.paused = true;
                    }
                }
                ServerEvent::Finished => self.finish(),
                ServerEvent::Packet { media, control, bytes } => {
                    self.packet(media, control, &bytes, self.server.clock.now());
                }
            }
        }
        Ok(())
    }

    async fn describe(
        &mut self,
        request: RtspRequest,
        target: &Target,
        credentials: Credentials,
    ) -> Result<(), RtspError> {
        let Some(path) = self.granted(Action::Read, request, target, credentials).await? else {
            return Ok(());
        };
        debug!(%path, "asks for the description");
        let (listening, id) = (self.server.listening.clone(), self.id.clone());
        let (hub, clock, name) = (self.server.hub.clone(), self.server.clock, path.clone());
        let kind = self.server.kind();
        let opening = Box::pin(async move {
            let info = ReaderInfo { kind, id };
            let listener = listening.open(&name, Sound::Any, info, Start::Soonest).await?;
            let mut listener = listener.with_pictures(PICTURES);
            let tracks = known_tracks(&mut listener, &hub, &name, clock).await?;
            Ok((listener, tracks))
        });
        self.role = Role::Opening { request, path, opening };
        Ok(())
    }

    fn opened(&mut self, opened: Result<(Listener, Arc<TrackSet>), OpenError>) -> Result<(), RtspError> {
        let Role::Opening { request, path, .. } = std::mem::replace(&mut self.role, Role::Idle) else {
            return Ok(());
        };
        match opened {
            Ok((listener, tracks)) => {
                self.role = Role::Described { path, listener: Box::new(listener) };
                self.session.describe(request, Presentation::of(&tracks))
            }
            Err(error) => {
                info!(%path, %error, "nothing to read");
                self.session.reject(request, RtspReason::NotFound)
            }
        }
    }

    async fn announce(
        &mut self,
        request: RtspRequest,
        target: &Target,
        credentials: Credentials,
    ) -> Result<(), RtspError> {
        match self.granted(Action::Publish, request, target, credentials).await? {
            Some(path) => {
                self.role = Role::Announced { path };
                self.session.accept(request)
            }
            None => Ok(()),
        }
    }

    fn play(&mut self, request: RtspRequest) -> Result<(), RtspError> {
        match std::mem::replace(&mut self.role, Role::Idle) {
            Role::Described { path, mut listener } => {
                // What was described may be long ago.
                listener.restart();
                let udp = self.by_udp();
                let peer = udp.clone().map(|udp| (udp, self.peer.ip()));
                let (payloads, clock) = (self.server.payloads.clone(), self.server.clock);
                let reading = Reading::new(&self.session, *listener, payloads, clock, peer);
                self.routes = udp.map(|udp| self.routes(&udp));
                info!(%path, transport = ?self.transport(), "reading");
                self.list(ConnState::Read, &path);
                self.role = Role::Reading(Box::new(reading));
            }
            Role::Reading(mut reading) => {
                reading.listener.restart();
                reading.paused = false;
                self.role = Role::Reading(reading);
            }
            other => self.role = other,
        }
        let Role::Reading(reading) = &mut self.role else {
            return self.session.reject(request, RtspReason::NotFound);
        };
        match reading.look() {
            Ok(started) => self.session.play(request, &started),
            // Told again when the stream is read.
            Err(_) => self.session.play(request, &[]),
        }
    }

    fn record(&mut self, request: RtspRequest) -> Result<(), RtspError> {
        let Role::Announced { path } = std::mem::replace(&mut self.role, Role::Idle) else {
            return self.session.reject(request, RtspReason::NotFound);
        };
        let info = PublisherInfo { kind: self.server.kind(), id: self.id.clone(), answers_keyframes: false };
        let publisher = match self.server.hub.publish(&path, info, TrackSet::default(), self.server.clock.now()) {
            Ok(publisher) => publisher,
            Err(error) => {
                warn!(%path, %error, "refused");
                return self.session.reject(request, RtspReason::Unavailable);
            }
        };
        let presentation = self.session.presentation();
        for media in &presentation.media {
            if let Format::Other(name) = &media.format {
                warn!(%path, codec = name, "a track is not carried");
            }
        }
        let udp = self.by_udp();
        let wait = if udp.is_some() { REORDER } else { Duration::ZERO };
        let set_up: Vec<usize> = self.session.setups().iter().map(|s| s.media).collect();
        let ingest = Ingest::new(presentation, &set_up, wait, rand::random());
        self.routes = udp.map(|udp| self.routes(&udp));
        info!(%path, transport = ?self.transport(), "publishing");
        self.list(ConnState::Publish, &path);
        let publishing = Publishing { publisher, ingest, path, sent_reports: 0, received_bytes: 0 };
        self.role = Role::Publishing(Box::new(publishing));
        self.session.accept(request)
    }

    fn finish(&mut self) {
        self.role = Role::Idle;
        self.routes = None;
        self.entry = None;
        self.id = uuid::Uuid::new_v4().to_string();
    }

    /// A packet of the peer, by whichever way.
    fn packet(&mut self, media: usize, control: bool, bytes: &Bytes, arrived: MonoTime) {
        match &mut self.role {
            Role::Publishing(publishing) => {
                publishing.received_bytes += bytes.len() as u64;
                if control {
                    publishing.ingest.rtcp(media, bytes, arrived);
                } else {
                    publishing.ingest.rtp(media, bytes, arrived);
                }
                publishing.write(arrived);
            }
            Role::Reading(reading) if control => reading.reported(bytes),
            // Readers behind a router send empty packets to open its ports.
            Role::Reading(_) | Role::Idle | Role::Opening { .. } | Role::Described { .. } | Role::Announced { .. } => {}
        }
    }

    /// The path of a request that may be granted; a refused one is answered.
    async fn granted(
        &mut self,
        action: Action,
        request: RtspRequest,
        target: &Target,
        credentials: Credentials,
    ) -> Result<Option<PathName>, RtspError> {
        let path = match PathName::parse(&target.path) {
            Ok(path) => path,
            Err(error) => {
                debug!(%error, "no path");
                self.session.reject(request, RtspReason::BadName)?;
                return Ok(None);
            }
        };
        let shown = !matches!(credentials, Credentials::None);
        let access = wish(action, path, target, credentials, self.peer);
        match self.server.authorizer.authorize(&access).await {
            Ok(()) => Ok(Some(access.path)),
            Err(Refusal::NoSuchPath) => {
                warn!(path = %access.path, ?action, "refused: no such path");
                self.session.reject(request, RtspReason::NotFound)?;
                Ok(None)
            }
            Err(Refusal::Unauthorized) => {
                // Every client asks without credentials first.
                if shown {
                    warn!(path = %access.path, ?action, "refused: wrong credentials");
                } else {
                    debug!(path = %access.path, ?action, "credentials are asked for");
                }
                self.session.reject(request, RtspReason::Denied)?;
                Ok(None)
            }
        }
    }

    /// Reports to the peer, counts to the lists.
    async fn report(&mut self) {
        let clock = self.server.clock;
        match &mut self.role {
            Role::Publishing(publishing) => {
                let reports = publishing.ingest.reports(clock.now());
                publishing.sent_reports += reports.len() as u64;
                for (media, report) in reports {
                    let setup = self.session.setups().iter().find(|s| s.media == media).copied();
                    match setup.map(|s| s.transport) {
                        Some(Transport::Interleaved { rtcp, .. }) => self.session.send(rtcp, &[], &report),
                        Some(Transport::Udp { rtcp, .. }) => {
                            if let Some(udp) = &self.server.udp {
                                udp.send(true, SocketAddr::new(self.peer.ip(), rtcp), &report).await;
                            }
                        }
                        None => {}
                    }
                }
            }
            Role::Reading(reading) if !reading.paused => reading.report(&mut self.session).await,
            _ => return,
        }
        let stats = self.stats();
        if let Some(entry) = &self.entry {
            entry.update(|session| session.stats = stats);
        }
    }

    fn stats(&self) -> SessionStats {
        let discarded = self.routes.as_ref().map_or(0, Routes::discarded);
        match &self.role {
            Role::Publishing(publishing) => {
                let stats = publishing.ingest.stats();
                SessionStats {
                    inbound_bytes: publishing.received_bytes,
                    inbound_packets: stats.packets,
                    inbound_lost: stats.lost,
                    inbound_in_error: stats.in_error,
                    inbound_jitter: stats.jitter,
                    inbound_reports: stats.reports,
                    outbound_reports: publishing.sent_reports,
                    inbound_discarded: discarded,
                    ..SessionStats::default()
                }
            }
            Role::Reading(reading) => SessionStats {
                outbound_bytes: reading.sent_bytes,
                outbound_packets: reading.sent_packets(),
                outbound_reports: reading.sent_reports,
                inbound_discarded: discarded,
                ..SessionStats::default()
            },
            _ => SessionStats::default(),
        }
    }

    fn list(&mut self, state: ConnState, path: &PathName) {
        let session = RtspSession {
            id: self.id.clone(),
            created: self.server.clock.now(),
            remote: self.peer,
            state,
            path: path.as_str().to_owned(),
            transport: self.transport(),
            stats: SessionStats::default(),
        };
        self.entry = Some(self.listed.session(session, self.stop.clone()));
    }

    fn transport(&self) -> Option<SessionTransport> {
        self.session.setups().first().map(|setup| match setup.transport {
            Transport::Interleaved { .. } => SessionTransport::Tcp,
            Transport::Udp { .. } => SessionTransport::Udp,
        })
    }

    /// The ports, where the session goes by them.
    fn by_udp(&self) -> Option<UdpPair> {
        self.server.udp.clone().filter(|_| self.transport() == Some(SessionTransport::Udp))
    }

    fn routes(&self, udp: &UdpPair) -> Routes {
        let ports = |setup: &Setup| match setup.transport {
            Transport::Udp { rtp, rtcp } => Some((setup.media, rtp, rtcp)),
            Transport::Interleaved { .. } => None,
        };
        let tracks: Vec<_> = self.session.setups().iter().filter_map(ports).collect();
        udp.route(self.peer.ip(), &tracks)
    }

    /// How long the peer may say nothing. One that is held, or reads in its connection, need not speak.
    fn silence(&self) -> Option<Duration> {
        match &self.role {
            Role::Idle | Role::Announced { .. } | Role::Publishing(_) => Some(SILENCE),
            Role::Described { .. } => Some(SESSION_TIMEOUT),
            Role::Reading(reading) if self.routes.is_some() || reading.paused => Some(SESSION_TIMEOUT),
            Role::Reading(_) | Role::Opening { .. } => None,
        }
    }
}

impl Publishing {
    /// Hands on what came of the packets.
    fn write(&mut self, now: MonoTime) {
        while let Some(ingested) = self.ingest.poll() {
            match ingested {
                Ingested::Tracks(tracks) => self.publisher.set_tracks(tracks),
                Ingested::Unit(unit, _) => self.publisher.write(unit, now),
            }
        }
    }
}

impl Role {
    /// What this role waits for besides its socket. Without `feed` a reader is not given more.
    async fn wake(&mut self, feed: bool, now: MonoTime) -> Wake {
        match self {
            Self::Publishing(publishing) => {
                let overdue = publishing.ingest.deadline().map(|deadline| deadline.since(now));
                tokio::select! {
                    () = publishing.publisher.changed() => Wake::Publisher,
                    () = tokio::time::sleep(overdue.unwrap_or_default()), if overdue.is_some() => Wake::Overdue,
                }
            }
            Self::Opening { opening, .. } => Wake::Opened(opening.as_mut().await),
            Self::Reading(reading) if feed && !reading.paused => Wake::Item(reading.next().await),
            Self::Reading(_) | Self::Idle | Self::Described { .. } | Self::Announced { .. } => {
                std::future::pending().await
            }
        }
    }
}

/// The next datagram of a session that goes by UDP.
async fn next(routes: &mut Option<Routes>) -> Option<Datagram> {
    match routes {
        Some(routes) => routes.next().await,
        None => std::future::pending().await,
    }
}
