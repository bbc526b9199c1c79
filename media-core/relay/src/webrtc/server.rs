//! The server's state: its socket, its sessions, and how a new one comes to be.
//!
//! Not here: HTTP (`http`), the loop of a session (`session`).

use super::addresses::{Sources, tcp_candidate_lines, with_candidates};
use super::arrival::Arrival;
use super::egress::Egress;
use super::ingest::Ingest;
use super::link::{End, Link};
use super::mux;
use super::packets::Packets;
use super::peer::Peer;
use super::reading::Reading;
use super::registry::{Command, Handle, INBOX, IceState, Registry, SessionInfo, SessionRole, SessionState};
use super::session::Session;
use super::tcp::{self, TcpPeers};
use super::transport::{IceCredentials, TransportError};
use crate::access::Authorizer;
use crate::clock::Clock;
use crate::listen::{Listening, Sound, Takes};
use crate::udp;
use futures_util::FutureExt;
use hub::{Hub, PathName, PublisherInfo};
use parking_lot::Mutex;
use proto::whip::{EntityTag, IceServer, Taken};
use std::io;
use std::net::SocketAddr;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Instant;
use tokio::net::{TcpListener, UdpSocket};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// Settings, named as in MediaMTX's file.
#[derive(Debug, Clone)]
pub struct WebRtcConfig {
    /// `webrtcLocalUDPAddress`; the unspecified address listens on every address of both families.
    pub local_udp_address: SocketAddr,
    /// `webrtcLocalTCPAddress`; `None`: UDP alone.
    pub local_tcp_address: Option<SocketAddr>,
    /// `webrtcIPsFromInterfaces`.
    pub ips_from_interfaces: bool,
    /// `webrtcIPsFromInterfacesList`; empty: all.
    pub ips_from_interfaces_list: Vec<String>,
    /// `webrtcAdditionalHosts`: public addresses or names.
    pub additional_hosts: Vec<String>,
    /// `webrtcICEServers2`: named to clients in `Link` headers; the server itself needs none.
    pub ice_servers: Vec<IceServer>,
    /// `webrtcAllowOrigins`; `*` for all.
    pub allow_origins: Vec<String>,
    /// Most sessions at once; a further one is answered `503`.
    pub max_sessions: usize,
}

impl Default for WebRtcConfig {
    fn default() -> Self {
        Self {
            local_udp_address: SocketAddr::from(([0, 0, 0, 0], 8189)),
            local_tcp_address: None,
            ips_from_interfaces: true,
            ips_from_interfaces_list: Vec::new(),
            additional_hosts: Vec::new(),
            ice_servers: Vec::new(),
            allow_origins: vec!["*".into()],
            // One core carries about a gigabit; a thousand cameras of one megabit.
            max_sessions: 1000,
        }
    }
}

/// A running server. Cheap to clone; with the last clone the socket closes and every session ends.
#[derive(Clone)]
pub struct WebRtcState(pub(crate) Arc<Inner>);

pub(crate) struct Inner {
    pub(crate) config: WebRtcConfig,
    pub(crate) authorizer: Arc<dyn Authorizer>,
    pub(crate) hub: Hub,
    listening: Listening,
    packets: Packets,
    clock: Clock,
    sources: Sources,
    socket: Arc<UdpSocket>,
    dual: bool,
    port: u16,
    tcp: TcpPeers,
    tcp_port: Option<u16>,
    registry: Arc<Mutex<Registry>>,
    readers: Vec<JoinHandle<()>>,
    stop: CancellationToken,
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.readers.iter().for_each(JoinHandle::abort);
        self.stop.cancel();
    }
}

impl std::fmt::Debug for WebRtcState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("WebRtcState")
            .field("config", &self.0.config)
            .field("port", &self.0.port)
            .finish_non_exhaustive()
    }
}

/// Who asks for a session.
pub(crate) struct Asker {
    pub(crate) role: SessionRole,
    pub(crate) path: PathName,
    pub(crate) http_peer: SocketAddr,
    pub(crate) query: String,
    pub(crate) user_agent: String,
}

/// Why there is no session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum OpenError {
    Full,
    Offer(TransportError),
}

/// A session as it is answered.
pub(crate) struct Opened {
    pub(crate) secret: String,
    pub(crate) id: String,
    pub(crate) tag: EntityTag,
    pub(crate) answer: String,
}

impl WebRtcState {
    /// Binds the UDP socket and starts reading it, and accepts those who come by `tcp`; publishers go into `hub`, readers come by `listening`. Call within a Tokio
    /// runtime.
    ///
    /// # Errors
    /// The system's, when the address cannot be bound.
    pub fn start(
        config: WebRtcConfig,
        hub: Hub,
        listening: Listening,
        authorizer: Arc<dyn Authorizer>,
        clock: Clock,
        tcp: Option<TcpListener>,
    ) -> io::Result<Self> {
        let socket = Arc::new(udp::bind(config.local_udp_address)?);
        let local = socket.local_addr()?;
        let registry = Arc::new(Mutex::new(Registry::default()));
        let mut readers = vec![tokio::spawn(mux::run(Arc::clone(&socket), Arc::clone(&registry)))];
        let (tcp_peers, mut tcp_port) = (TcpPeers::default(), None);
        if let Some(listener) = tcp {
            tcp_port = Some(listener.local_addr()?.port());
            let peers = tcp_peers.clone();
            readers.push(tokio::spawn(tcp::run(listener, Arc::clone(&registry), peers, config.max_sessions)));
        }
        let bound = config.local_udp_address.ip();
        let sources = Sources {
            bound: (!bound.is_unspecified()).then_some(bound),
            interfaces: config.ips_from_interfaces,
            only: config.ips_from_interfaces_list.clone(),
            additional: config.additional_hosts.clone(),
        };
        let (dual, port) = (local.is_ipv6(), local.port());
        Ok(Self(Arc::new(Inner {
            config,
            authorizer,
            hub,
            listening,
            packets: Packets::default(),
            clock,
            sources,
            socket,
            dual,
            port,
            tcp: tcp_peers,
            tcp_port,
            registry,
            readers,
            stop: CancellationToken::new(),
        })))
    }

    /// The UDP port in use.
    pub fn udp_port(&self) -> u16 {
        self.0.port
    }

    /// Every session now.
    pub fn sessions(&self) -> Vec<SessionInfo> {
        self.0.registry.lock().infos()
    }

    /// The candidate that clients reach first, as MediaMTX writes it.
    pub(crate) fn local_candidate(&self) -> String {
        format!("host/udp/{}/{}", self.0.config.local_udp_address.ip(), self.0.port)
    }

    /// Ends the session with this public identifier; `false` if there is none.
    pub async fn kick(&self, id: &str) -> bool {
        let handle = self.0.registry.lock().find(id);
        match handle {
            Some(handle) => close(&handle).await,
            None => false,
        }
    }

    /// The session behind a URL's secret, if it is one of this path.
    pub(crate) fn session(&self, secret: &str, path: &PathName, role: SessionRole) -> Option<Handle> {
        let handle = self.0.registry.lock().get(secret)?;
        let fits = {
            let info = handle.info.lock();
            info.path == *path && info.role == role
        };
        fits.then_some(handle)
    }

    /// Answers an offer and starts the session.
    pub(crate) async fn open(
        &self,
        offer: &str,
        remote_ufrag: &str,
        taken: &Taken,
        asker: Asker,
    ) -> Result<Opened, OpenError> {
        let inner = &self.0;
        let (addresses, tcp) = self.candidates().await;
        let make = || Peer::answer(offer, taken, asker.role, &addresses, Instant::now());
        let panicked = |_| Err(TransportError { step: "answer", detail: "the WebRTC stack panicked".into() });
        let (transport, answer, credentials) =
            std::panic::catch_unwind(AssertUnwindSafe(make)).unwrap_or_else(panicked).map_err(OpenError::Offer)?;

        let secret = uuid::Uuid::new_v4().to_string();
        let id = uuid::Uuid::new_v4().to_string();
        let tag = EntityTag::new(&credentials.ufrag);
        let (sender, inbox) = mpsc::channel(INBOX);
        let info = Arc::new(Mutex::new(SessionInfo {
            id: id.clone(),
            role: asker.role,
            path: asker.path.clone(),
            http_peer: asker.http_peer,
            remote: None,
            tcp: false,
            state: SessionState::Connecting,
            created: inner.clock.now(),
            query: asker.query,
            user_agent: asker.user_agent,
            inbound_bytes: 0,
            inbound_packets: 0,
            lost_packets: 0,
            damaged_pictures: 0,
            outbound_bytes: 0,
            outbound_packets: 0,
            outbound_discarded: 0,
        }));
        let ice = IceState { tag: tag.clone(), remote_ufrag: remote_ufrag.into() };
        let handle = Handle { inbox: sender, ice: Arc::new(Mutex::new(ice)), info: Arc::clone(&info) };
        inner
            .registry
            .lock()
            .add(&secret, &credentials.ufrag, handle, inner.config.max_sessions)
            .map_err(|_| OpenError::Full)?;

        let link = Link {
            transport,
            socket: Arc::clone(&inner.socket),
            dual: inner.dual,
            tcp: inner.tcp.clone(),
            peer: None,
            info,
            inbox,
            stop: inner.stop.clone(),
        };
        let path = asker.path;
        let (pictures, audio): (Vec<_>, _) = (taken.video.iter().map(|p| p.codec).collect(), taken.audio.is_some());
        let telephone = taken.telephone.as_ref().map(|(law, _)| *law);
        match asker.role {
            SessionRole::Publish => {
                let info = PublisherInfo { kind: "webRTCSession", id: id.clone(), answers_keyframes: true };
                let ingest = Ingest::new(pictures.first().copied(), audio).with_telephone(telephone);
                let arrival = Arrival::new(ingest, inner.hub.clone(), path.clone(), info);
                let session = Session { link, arrival, clock: inner.clock };
                self.spawn(session.run(), &secret, path, &id);
            }
            SessionRole::Read => {
                let packets = inner.packets.path(&path);
                let egress = Egress::new(packets, inner.clock.now());
                // WebRTC shows pictures as they come.
                let sound = match telephone {
                    Some(law) => Sound::OpusOr(law),
                    None if audio => Sound::Opus,
                    None => Sound::Nothing,
                };
                let takes = Takes { sound, pictures, reordered: false };
                let listening = inner.listening.clone();
                let session = Reading { link, egress, listening, takes, path: path.clone(), clock: inner.clock };
                self.spawn(session.run(), &secret, path, &id);
            }
        }
        let answer = with_candidates(&answer, &tcp_candidate_lines(&tcp));
        Ok(Opened { secret, id, tag, answer })
    }

    /// Runs a session until it ends, and forgets it then.
    fn spawn(&self, session: impl Future<Output = End> + Send + 'static, secret: &str, path: PathName, id: &str) {
        let (registry, secret, id) = (Arc::clone(&self.0.registry), secret.to_owned(), id.to_owned());
        tokio::spawn(async move {
            // The stack is young: a panic ends this session and no other.
            match AssertUnwindSafe(session).catch_unwind().await {
                Ok(end) => tracing::info!(%path, %id, ?end, "WebRTC session ended"),
                Err(_) => tracing::error!(%path, %id, "WebRTC session panicked and was ended"),
            }
            registry.lock().remove(&secret);
        });
    }

    /// Registers the new user name fragment and tag after an ICE restart.
    pub(crate) async fn restart(
        &self,
        secret: &str,
        handle: &Handle,
        remote: IceCredentials,
    ) -> Result<(IceCredentials, EntityTag), TransportError> {
        let gone = || TransportError { step: "ICE restart", detail: "the session is gone".into() };
        let (reply, answer) = oneshot::channel();
        let remote_ufrag = remote.ufrag.clone();
        handle.inbox.send(Command::Restart(remote, reply)).await.map_err(|_| gone())?;
        let own = answer.await.map_err(|_| gone())??;
        self.0.registry.lock().add_ufrag(secret, &own.ufrag);
        let tag = EntityTag::new(&own.ufrag);
        *handle.ice.lock() = IceState { tag: tag.clone(), remote_ufrag };
        Ok((own, tag))
    }

    /// The addresses offered now, with the port: by UDP, and by TCP.
    pub(crate) async fn candidates(&self) -> (Vec<SocketAddr>, Vec<SocketAddr>) {
        let addresses = self.0.sources.gather().await;
        let with = |port: u16| addresses.iter().map(|ip| SocketAddr::new(*ip, port)).collect();
        (with(self.0.port), self.0.tcp_port.map(with).unwrap_or_default())
    }
}

/// Ends a session and waits until it took notice; `false` if it was gone already.
pub(crate) async fn close(handle: &Handle) -> bool {
    let (reply, closed) = oneshot::channel();
    if handle.inbox.send(Command::Close(reply)).await.is_err() {
        return false;
    }
    // Answered by dropping: either way it has been read.
    drop(closed.await);
    true
}
