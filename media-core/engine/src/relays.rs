//! The relay on this computer, as a consultation sees it: a hub, ports that are bound with the visit and free after it.
//!
//! Belongs here: turning settings into the relay's configuration and its refusals into words the window has. Not here: what the
//! relay does (`relay`), when it runs (`consultation`).

use crate::settings::Ports;
use device::MonoClock;
use hub::{Hub, PathName};
use relay::access::{Visit, VisitPath};
use relay::hls::HlsConfig;
use relay::rtmp::ConnState;
use relay::webrtc::WebRtcConfig;
use relay::{Clock, PortTaken, Relay, RelayConfig, StartError};
use std::future::Future;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;
use thiserror::Error;

/// A future that is boxed, so that relays can stand behind a trait.
pub(crate) type Later<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// What a visit needs of a relay.
#[derive(Debug, Clone)]
pub(crate) struct RelayOrder {
    pub(crate) address: IpAddr,
    pub(crate) ports: Ports,
    pub(crate) doctor: PathName,
    pub(crate) patient: PathName,
    pub(crate) token: String,
    /// Names work without the token too.
    pub(crate) open: bool,
}

/// Why there is no relay.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub(crate) enum RelayError {
    /// Another program has the port.
    #[error("port {port} ({setting}) is taken")]
    PortTaken { setting: String, port: u16, program: Option<String>, free: Option<u16> },
    /// Everything else.
    #[error("{0}")]
    Other(String),
}

/// Starts relays; a test has one of its own.
pub(crate) trait Relays: Send + Sync {
    /// Binds every port, or none.
    fn start(&self, order: RelayOrder) -> Later<Result<Box<dyn RunningRelay>, RelayError>>;
}

/// There and back; of several watchers, the farthest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct RoundTrips {
    pub(crate) patient: Option<Duration>,
    pub(crate) watcher: Option<Duration>,
}

/// A relay that runs.
pub(crate) trait RunningRelay: Send + Sync {
    /// Its hub.
    fn hub(&self) -> Hub;

    /// How far away the patient is, and whoever watches the doctor.
    fn round_trips(&self) -> RoundTrips;

    /// Ends it; every port is free afterwards.
    fn stop(self: Box<Self>) -> Later<()>;
}

/// The relay inside this program.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Embedded;

impl Relays for Embedded {
    fn start(&self, order: RelayOrder) -> Later<Result<Box<dyn RunningRelay>, RelayError>> {
        Box::pin(async move {
            let relay = Relay::start(config(&order)).await.map_err(RelayError::from)?;
            let RelayOrder { doctor, patient, .. } = order;
            Ok(Box::new(EmbeddedRelay { relay, doctor, patient }) as Box<dyn RunningRelay>)
        })
    }
}

struct EmbeddedRelay {
    relay: Relay,
    doctor: PathName,
    patient: PathName,
}

impl RunningRelay for EmbeddedRelay {
    fn hub(&self) -> Hub {
        self.relay.hub().clone()
    }

    fn round_trips(&self) -> RoundTrips {
        let conns = self.relay.rtmp_conns();
        let far = |state: ConnState, path: &PathName| {
            let rendition = format!("{path}_aac");
            let those = conns.iter().filter(|c| c.state == state && (c.path == path.as_str() || c.path == rendition));
            those.filter_map(|c| c.round_trip).max()
        };
        RoundTrips { patient: far(ConnState::Publish, &self.patient), watcher: far(ConnState::Read, &self.doctor) }
    }

    fn stop(self: Box<Self>) -> Later<()> {
        Box::pin(self.relay.stop())
    }
}

fn config(order: &RelayOrder) -> RelayConfig {
    let at = |port| Some(SocketAddr::new(order.address, port));
    let read = (!order.open).then(|| order.token.clone());
    let paths = [
        // The doctor's stream is written straight into the hub; nobody else may publish it.
        VisitPath { path: order.doctor.clone(), publish: None, read: read.clone() },
        VisitPath { path: order.patient.clone(), publish: Some(order.token.clone()), read },
    ];
    RelayConfig {
        rtmp: at(order.ports.rtmp),
        hls: at(order.ports.hls).map(|http| (http, HlsConfig::default())),
        webrtc: at(order.ports.webrtc_http).map(|http| {
            let local_udp_address = SocketAddr::new(order.address, order.ports.webrtc_udp);
            (http, WebRtcConfig { local_udp_address, ..WebRtcConfig::default() })
        }),
        authorizer: Arc::new(Visit::new(paths.to_vec(), order.open)),
        // Capture times and arrival times are compared, so they come from one clock.
        clock: Clock::new(MonoClock::now),
        ..RelayConfig::default()
    }
}

impl From<StartError> for RelayError {
    fn from(error: StartError) -> Self {
        match error {
            StartError::PortTaken(PortTaken { setting, port, program, free }) => {
                Self::PortTaken { setting: port_name(setting).into(), port, program, free }
            }
            other => Self::Other(other.to_string()),
        }
    }
}

/// The window's name for the setting that the relay's configuration calls otherwise.
fn port_name(setting: &str) -> &str {
    match setting {
        "rtmpAddress" => "rtmp",
        "hlsAddress" => "hls",
        "webrtcAddress" => "webrtcHttp",
        "webrtcLocalUDPAddress" => "webrtcUdp",
        other => other,
    }
}
