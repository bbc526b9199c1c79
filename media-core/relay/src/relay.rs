//! One running relay: its ports, its servers, its end.
//!
//! Belongs here: putting the parts together. Not here: the parts.

use crate::access::{Authorizer, Open};
use crate::api::{self, Api};
use crate::clock::Clock;
use crate::flv::{self, HttpFlv};
use crate::hls::{HlsConfig, HlsState};
use crate::http;
use crate::listen::Listening;
use crate::ports::{BindError, PortTaken, bind_tcp, explain_udp};
use crate::push::{Destination, Push, Pushes};
use crate::rtmp::{RtmpConn, RtmpConns, RtmpServer};
use crate::rtsp::{RtspConfig, RtspLists, RtspServer, bind_pair};
use crate::source::{self, SourceConfig};
use crate::srt::{SrtConfig, SrtConns, SrtServer};
use crate::tls::{Acceptor, TlsError, TlsFiles};
use crate::udp;
use crate::webrtc::{self, WebRtcConfig, WebRtcState};
use axum::Router;
use axum::extract::Request;
use hub::{Hub, Limits, PathName, PathState};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use thiserror::Error;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::info;

/// What a relay serves, and where. An address that is `None` is not served.
#[derive(Debug, Clone)]
pub struct RelayConfig {
    /// RTMP.
    pub rtmp: Option<SocketAddr>,
    /// RTMP in TLS, with which certificate.
    pub rtmps: Option<(SocketAddr, TlsFiles)>,
    /// RTSP, and how.
    pub rtsp: Option<(SocketAddr, RtspConfig)>,
    /// RTSP in TLS: how, and with which certificate. Its media goes in the connection alone.
    pub rtsps: Option<(SocketAddr, RtspConfig, TlsFiles)>,
    /// HLS and HTTP-FLV.
    pub hls: Option<(SocketAddr, HlsConfig)>,
    /// SRT, and how.
    pub srt: Option<(SocketAddr, SrtConfig)>,
    /// WHIP and WHEP over HTTP, their pages, and the media port.
    pub webrtc: Option<(SocketAddr, WebRtcConfig)>,
    /// The certificate of HLS and HTTP-FLV, where they are served in TLS.
    pub hls_tls: Option<TlsFiles>,
    /// The certificate of WHIP, WHEP and their pages, where they are served in TLS.
    pub webrtc_tls: Option<TlsFiles>,
    /// The control API.
    pub api: Option<SocketAddr>,
    /// Prometheus' page.
    pub metrics: Option<SocketAddr>,
    /// Streams that are fetched.
    pub sources: Vec<SourceConfig>,
    /// Which paths are pushed where, whenever they are published.
    pub pushes: Vec<(PathName, Destination)>,
    /// Who may publish and read.
    pub authorizer: Arc<dyn Authorizer>,
    /// What the hub allows.
    pub limits: Limits,
    /// Bits per second of sound that is transcoded for a listener.
    pub audio_bitrate: u32,
    /// Where time comes from.
    pub clock: Clock,
}

impl Default for RelayConfig {
    /// Serves nothing, to everybody.
    fn default() -> Self {
        Self {
            rtmp: None,
            rtmps: None,
            rtsp: None,
            rtsps: None,
            hls: None,
            srt: None,
            webrtc: None,
            hls_tls: None,
            webrtc_tls: None,
            api: None,
            metrics: None,
            sources: Vec::new(),
            pushes: Vec::new(),
            authorizer: Arc::new(Open),
            limits: Limits::default(),
            audio_bitrate: 128_000,
            clock: Clock::process(),
        }
    }
}

/// Why a relay does not start.
#[derive(Debug, Error)]
pub enum StartError {
    /// Another program has a port.
    #[error(transparent)]
    PortTaken(#[from] PortTaken),
    /// The system does not let us listen there.
    #[error("{setting}: cannot listen on {address}: {source}")]
    Listen {
        /// The setting that names the address.
        setting: &'static str,
        /// The address.
        address: SocketAddr,
        /// What the system says.
        source: io::Error,
    },
    /// A certificate cannot be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
}

impl From<BindError> for StartError {
    fn from(error: BindError) -> Self {
        match error {
            BindError::Taken(taken) => Self::PortTaken(taken),
            BindError::Other { setting, address, source } => Self::Listen { setting, address, source },
        }
    }
}

/// Where a relay listens: the addresses as bound, so that port 0 is a real port here.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Bound {
    /// RTMP.
    pub rtmp: Option<SocketAddr>,
    /// RTMP in TLS.
    pub rtmps: Option<SocketAddr>,
    /// RTSP.
    pub rtsp: Option<SocketAddr>,
    /// RTSP in TLS.
    pub rtsps: Option<SocketAddr>,
    /// RTSP's media by UDP: RTP and RTCP.
    pub rtsp_udp: Option<(u16, u16)>,
    /// HLS and HTTP-FLV.
    pub hls: Option<SocketAddr>,
    /// SRT, by UDP.
    pub srt: Option<SocketAddr>,
    /// WHIP over HTTP.
    pub webrtc: Option<SocketAddr>,
    /// Every WebRTC peer's media.
    pub webrtc_udp: Option<u16>,
    /// WebRTC's media by TCP.
    pub webrtc_tcp: Option<SocketAddr>,
    /// The control API.
    pub api: Option<SocketAddr>,
    /// Prometheus' page.
    pub metrics: Option<SocketAddr>,
}

/// How often the hub is told that time passes; the shortest wait it measures is seconds.
const TICK: Duration = Duration::from_millis(250);

/// A relay that runs. Dropping it stops it; [`Relay::stop`] also waits for the ports to be free.
#[derive(Debug)]
pub struct Relay {
    hub: Hub,
    listening: Listening,
    bound: Bound,
    origin: Option<HlsState>,
    conns: RtmpConns,
    pushes: Pushes,
    stop: CancellationToken,
    tasks: JoinSet<()>,
}

impl Relay {
    /// Binds every port, then serves. Nothing stays bound if one fails.
    ///
    /// # Errors
    /// [`StartError`] names the setting and the cure.
    pub async fn start(config: RelayConfig) -> Result<Self, StartError> {
        let rtmp = bind("rtmpAddress", config.rtmp).await?;
        let rtmps = bind_tls("rtmpsAddress", config.rtmps.as_ref().map(|(tcp, files)| (*tcp, files))).await?;
        let rtsp = bind("rtspAddress", config.rtsp.as_ref().map(|(tcp, _)| *tcp)).await?;
        let rtsp_udp = match config.rtsp.as_ref().and_then(|(_, rtsp)| rtsp.udp) {
            Some((rtp, rtcp)) => Some(bind_pair(rtp, rtcp)?),
            None => None,
        };
        let rtsps = bind_tls("rtspsAddress", config.rtsps.as_ref().map(|(tcp, _, files)| (*tcp, files))).await?;
        let hls_tls = config.hls_tls.map(Acceptor::new).transpose()?;
        let webrtc_tls = config.webrtc_tls.map(Acceptor::new).transpose()?;
        let hls = bind("hlsAddress", config.hls.as_ref().map(|(http, _)| *http)).await?;
        let srt_socket = match config.srt.as_ref().map(|(udp, _)| *udp) {
            Some(address) => Some(udp::bind(address).map_err(|error| explain_udp("srtAddress", address, error))?),
            None => None,
        };
        let webrtc_http = bind("webrtcAddress", config.webrtc.as_ref().map(|(http, _)| *http)).await?;
        let api_listener = bind("apiAddress", config.api).await?;
        let metrics = bind("metricsAddress", config.metrics).await?;
        let mut bound = Bound {
            rtmp: address(rtmp.as_ref()),
            rtmps: address(rtmps.as_ref().map(|(listener, _)| listener)),
            rtsp: address(rtsp.as_ref()),
            rtsps: address(rtsps.as_ref().map(|(listener, _)| listener)),
            rtsp_udp: rtsp_udp.as_ref().map(crate::rtsp::UdpPair::ports),
            hls: address(hls.as_ref()),
            srt: srt_socket.as_ref().and_then(|socket| socket.local_addr().ok()),
            webrtc: address(webrtc_http.as_ref()),
            webrtc_udp: None,
            webrtc_tcp: None,
            api: address(api_listener.as_ref()),
            metrics: address(metrics.as_ref()),
        };

        let (hub, clock) = (Hub::new(config.limits), config.clock);
        let listening = Listening::new(hub.clone(), clock, config.audio_bitrate, config.limits.reader_wait)
            .with_waits(config.sources.iter().filter_map(SourceConfig::wait));
        let conns = RtmpConns::default();
        let webrtc = match config.webrtc {
            Some((_, webrtc)) => {
                let udp = webrtc.local_udp_address;
                let tcp = bind("webrtcLocalTCPAddress", webrtc.local_tcp_address).await?;
                bound.webrtc_tcp = address(tcp.as_ref());
                let authorizer = Arc::clone(&config.authorizer);
                let state = WebRtcState::start(webrtc, hub.clone(), listening.clone(), authorizer, clock, tcp)
                    .map_err(|error| explain_udp("webrtcLocalUDPAddress", udp, error))?;
                bound.webrtc_udp = Some(state.udp_port());
                Some(state)
            }
            None => None,
        };
        let stop = CancellationToken::new();
        let mut tasks = JoinSet::new();
        let (rtmp_runs, rtmps_runs, rtmps_conns) = (rtmp.is_some(), rtmps.is_some(), RtmpConns::default());
        let rtmp_server = |conns: &RtmpConns, tls| RtmpServer {
            hub: hub.clone(),
            listening: listening.clone(),
            clock,
            authorizer: Arc::clone(&config.authorizer),
            conns: conns.clone(),
            fanout: crate::rtmp::Fanout::default(),
            tls,
        };
        if let Some(listener) = rtmp {
            tasks.spawn(rtmp_server(&conns, None).run(listener, stop.clone()));
        }
        if let Some((listener, tls)) = rtmps {
            tasks.spawn(rtmp_server(&rtmps_conns, Some(tls)).run(listener, stop.clone()));
        }
        let (rtsp_runs, rtsp_lists) = (rtsp.is_some(), RtspLists::default());
        let rtsp_server = |rtsp, udp, lists: &RtspLists| {
            let (authorizer, lists) = (Arc::clone(&config.authorizer), lists.clone());
            RtspServer::new(rtsp, udp, hub.clone(), listening.clone(), clock, authorizer, lists)
        };
        if let (Some(listener), Some((_, rtsp))) = (rtsp, &config.rtsp) {
            tasks.spawn(rtsp_server(rtsp, rtsp_udp, &rtsp_lists).run(listener, stop.clone()));
        }
        let (rtsps_runs, rtsps_lists) = (rtsps.is_some(), RtspLists::default());
        if let (Some((listener, tls)), Some((_, rtsp, _))) = (rtsps, &config.rtsps) {
            let server = rtsp_server(rtsp, None, &rtsps_lists).with_tls(tls);
            tasks.spawn(server.run(listener, stop.clone()));
        }
        let (srt_runs, srt_conns) = (srt_socket.is_some(), SrtConns::default());
        if let (Some(socket), Some((_, srt))) = (srt_socket, config.srt) {
            let server = SrtServer {
                hub: hub.clone(),
                listening: listening.clone(),
                clock,
                authorizer: Arc::clone(&config.authorizer),
                conns: srt_conns.clone(),
                config: srt,
            };
            tasks.spawn(server.run(socket, stop.clone()));
        }
        let mut origin = None;
        if let (Some(listener), Some((_, hls))) = (hls, config.hls) {
            let authorizer = Arc::clone(&config.authorizer);
            let flv = HttpFlv { listening: listening.clone(), authorizer: Arc::clone(&authorizer) };
            let hls = HlsState::new(hls, Arc::new(listening.clone()), authorizer, clock);
            tasks.spawn(http::serve(listener, hls_tls, media_router(flv, hls.clone()), stop.clone()));
            tasks.spawn(hls.clone().remux_always(hub.clone()));
            origin = Some(hls);
        }
        if let (Some(listener), Some(state)) = (webrtc_http, webrtc.clone()) {
            tasks.spawn(http::serve(listener, webrtc_tls, webrtc::router(state), stop.clone()));
        }
        let pushes = Pushes::new(listening.clone(), clock, stop.clone());
        for (path, destination) in config.pushes {
            pushes.start(path, destination).detach();
        }
        let api = Api {
            hub: hub.clone(),
            clock,
            rtmp: rtmp_runs.then(|| conns.clone()),
            rtmps: rtmps_runs.then_some(rtmps_conns),
            rtsp: rtsp_runs.then_some(rtsp_lists),
            rtsps: rtsps_runs.then_some(rtsps_lists),
            srt: srt_runs.then_some(srt_conns),
            webrtc,
            hls: origin.clone(),
            sources: config.sources.iter().map(|s| (s.path.clone(), s.url.kind())).collect(),
            pushes: pushes.clone(),
            started: SystemTime::now(),
        };
        if let Some(listener) = api_listener {
            tasks.spawn(http::serve(listener, None, api::router(api.clone()), stop.clone()));
        }
        if let Some(listener) = metrics {
            tasks.spawn(http::serve(listener, None, api::metrics_router(api), stop.clone()));
        }
        tasks.spawn(source::run(config.sources, hub.clone(), clock, stop.clone()));
        tasks.spawn(tick(hub.clone(), clock, stop.clone()));
        info!(?bound, "relay started");
        Ok(Self { hub, listening, bound, origin, conns, pushes, stop, tasks })
    }

    /// The hub, for publishers and readers in this process.
    pub const fn hub(&self) -> &Hub {
        &self.hub
    }

    /// The way to paths for listeners in this process.
    pub const fn listening(&self) -> &Listening {
        &self.listening
    }

    /// Where it listens.
    pub const fn bound(&self) -> Bound {
        self.bound
    }

    /// Every RTMP connection.
    pub fn rtmp_conns(&self) -> Vec<RtmpConn> {
        self.conns.list()
    }

    /// Pushes `path` to `destination` whenever it is published, for as long as the answer is held. Within the relay's runtime.
    pub fn push(&self, path: PathName, destination: Destination) -> Push {
        self.pushes.start(path, destination)
    }

    /// Every path, by name.
    pub fn paths(&self) -> Vec<PathState> {
        self.hub.paths()
    }

    /// Stops serving and waits until every port is free.
    pub async fn stop(mut self) {
        self.stop.cancel();
        // Held requests are answered, so that their connections end.
        if let Some(origin) = &self.origin {
            origin.stop();
        }
        while self.tasks.join_next().await.is_some() {}
        self.pushes.ended().await;
        info!("relay stopped");
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

async fn bind(setting: &'static str, address: Option<SocketAddr>) -> Result<Option<TcpListener>, BindError> {
    match address {
        Some(address) => bind_tcp(setting, address).await.map(Some),
        None => Ok(None),
    }
}

/// The port and what answers on it; the files are read first, so that a mistake in them binds nothing.
async fn bind_tls(
    setting: &'static str,
    server: Option<(SocketAddr, &TlsFiles)>,
) -> Result<Option<(TcpListener, Acceptor)>, StartError> {
    match server {
        Some((address, files)) => {
            let acceptor = Acceptor::new(files.clone())?;
            Ok(Some((bind_tcp(setting, address).await?, acceptor)))
        }
        None => Ok(None),
    }
}

fn address(listener: Option<&TcpListener>) -> Option<SocketAddr> {
    listener.and_then(|l| l.local_addr().ok())
}

/// HTTP-FLV by its ending, HLS by its files and pages.
fn media_router(flv: HttpFlv, hls: HlsState) -> Router {
    Router::new().fallback(move |request: Request| {
        let (flv, hls) = (flv.clone(), hls.clone());
        async move {
            if flv::path_of(request.uri().path()).is_some() {
                flv.answer(request).await
            } else {
                hls.answer(request).await
            }
        }
    })
}

async fn tick(hub: Hub, clock: Clock, stop: CancellationToken) {
    let mut interval = tokio::time::interval(TICK);
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = interval.tick() => hub.tick(clock.now()),
        }
    }
}
