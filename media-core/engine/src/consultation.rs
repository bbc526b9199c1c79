//! A consultation: what exists from *Start* to *End*.
//!
//! On this computer that is the embedded relay with its ports; with a server elsewhere it is a link to it and a hub without
//! ports. Either way the doctor's tracks are written to a path of the hub and the patient's are read from one.
//!
//! Belongs here: putting those together and apart, tokens and addresses, which phase it is. Not here: the window's commands
//! (`engine`), the relay (`relays`), the server (`server`), devices (`pipeline`).

use crate::pipeline::{OnAir, Outlet};
use crate::player::{Playback, RemoteState, SoundBuffer, Windows};
use crate::relays::{RelayError, RelayOrder, Relays, RoundTrips, RunningRelay};
use crate::server::{LinkState, ServerError, ServerLink, ServerTarget};
use crate::settings::{Ports, Server, Settings};
use device::MonoClock;
use hub::{Hub, Limits, PathName, PublisherInfo};
use media::TrackSet;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use tokio::sync::Notify;
use tokio_util::sync::{CancellationToken, DropGuard};

/// How often a hub without a relay is told that time passes.
const TICK: Duration = Duration::from_millis(250);

/// Where the consultation stands.
#[derive(Debug, Clone, PartialEq, Default)]
pub enum Phase {
    /// Nothing is bound, nothing is sent.
    #[default]
    Ready,
    /// Ports are being bound, or a server is being reached.
    Starting,
    /// The doctor is on air; nobody has joined yet.
    Waiting,
    /// Both sides are there.
    Live,
    /// The server does not answer; another try follows by itself.
    Reconnecting {
        /// Failures in a row.
        attempt: u32,
        /// When the next try comes.
        retry_at: SystemTime,
        /// The last failure.
        error: ServerError,
    },
    /// Ports are being released.
    Ending,
}

/// What the patient opens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PatientUrls {
    /// Where the patient's picture and sound go, by RTMP.
    pub push_rtmp: String,
    /// The doctor, sound as AAC, by RTMP.
    pub play_rtmp: String,
    /// The same as HTTP-FLV.
    pub play_flv: String,
    /// The doctor by HLS.
    pub play_hls: String,
    /// For how long, and for whom.
    pub validity: Validity,
}

/// How long the patient's addresses work, and for whom.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Validity {
    /// They carry the visit's token.
    ThisVisit,
    /// They carry none: whoever knows the names can join this visit and the next.
    OpenNames,
    /// They are a server's, the same in every visit; the server decides whom it lets in.
    Server,
}

/// What a visit works with.
pub(crate) struct Surroundings {
    pub(crate) relays: Arc<dyn Relays>,
    pub(crate) windows: Windows,
    pub(crate) sound: SoundBuffer,
    pub(crate) outlet: Outlet,
    pub(crate) bell: Arc<Notify>,
}

/// What a visit still says to its server when it is over; bounded in time.
pub(crate) type Farewell = Pin<Box<dyn Future<Output = ()> + Send>>;

/// A consultation that runs.
pub(crate) struct Visit {
    pub(crate) started_at: SystemTime,
    pub(crate) urls: PatientUrls,
    pub(crate) token: Option<String>,
    /// Dropped first: what is seen and heard ends before the path does.
    playback: Playback,
    air: Air,
    side: Side,
}

/// On air until it is dropped.
struct Air(Outlet);

impl Drop for Air {
    fn drop(&mut self) {
        self.0.close();
    }
}

enum Side {
    Here { relay: Box<dyn RunningRelay> },
    Elsewhere { link: ServerLink, _ticking: DropGuard },
}

impl Visit {
    /// Begins. With the relay on this computer every port is bound when it returns; a server is only begun to be reached.
    ///
    /// # Errors
    /// [`RelayError`] where the relay does not start; nothing is left behind.
    pub(crate) async fn begin(
        settings: &Settings,
        address: IpAddr,
        password: String,
        around: &Surroundings,
    ) -> Result<Self, RelayError> {
        let name = |text: &str| PathName::parse(text).map_err(|e| RelayError::Other(e.to_string()));
        let (doctor, patient) = (name(&settings.doctor_stream)?, name(&settings.patient_stream)?);
        let (hub, side, urls, token) = match &settings.server {
            Server::ThisComputer => {
                let token = crate::token::random();
                let order = RelayOrder {
                    address,
                    ports: settings.ports,
                    doctor: doctor.clone(),
                    patient: patient.clone(),
                    token: token.clone(),
                    open: settings.open_names,
                };
                let relay = around.relays.start(order).await?;
                let shown = (!settings.open_names).then_some(token.as_str());
                let urls = patient_urls(&host(address), settings.ports, &doctor, &patient, shown);
                (relay.hub(), Side::Here { relay }, urls, Some(token))
            }
            Server::Address { address, user, ports } => {
                let hub = Hub::new(Limits::default());
                let target = ServerTarget {
                    address: address.clone(),
                    user: user.clone(),
                    password,
                    ports: *ports,
                    doctor: doctor.clone(),
                    patient: patient.clone(),
                };
                let ports = Ports { rtmp: ports.rtmp, hls: ports.hls, ..Ports::default() };
                let urls = PatientUrls {
                    validity: Validity::Server,
                    ..patient_urls(target.host(), ports, &doctor, &patient, None)
                };
                let link = ServerLink::start(hub.clone(), target, Arc::clone(&around.bell));
                let side = Side::Elsewhere { link, _ticking: tick(hub.clone()) };
                (hub, side, urls, None)
            }
        };
        let now = MonoClock::now();
        let info = PublisherInfo { kind: "visavisCapture", id: "doctor".into(), answers_keyframes: true };
        let publisher = match hub.publish(&doctor, info, TrackSet::default(), now) {
            Ok(publisher) => Arc::new(publisher),
            Err(error) => {
                if let Some(farewell) = side.end().await {
                    farewell.await;
                }
                return Err(RelayError::Other(error.to_string()));
            }
        };
        around.outlet.open(OnAir { publisher, zero: now });
        let playback =
            Playback::start(hub, patient, around.windows.clone(), around.sound.clone(), Arc::clone(&around.bell));
        let air = Air(around.outlet.clone());
        Ok(Self { started_at: SystemTime::now(), urls, token, playback, air, side })
    }

    /// Ends it: the path, the player, every port. What may be left is a farewell to a server, which nobody needs to wait for
    /// but the program's own end.
    pub(crate) async fn end(self) -> Option<Farewell> {
        drop(self.playback);
        drop(self.air);
        self.side.end().await
    }

    /// How the patient is doing.
    pub(crate) fn remote(&self) -> RemoteState {
        self.playback.state()
    }

    /// How the way to the server is; `None` on this computer.
    pub(crate) fn link(&self) -> Option<LinkState> {
        match &self.side {
            Side::Here { .. } => None,
            Side::Elsewhere { link, .. } => Some(link.state()),
        }
    }

    /// How far away the other side is.
    pub(crate) fn round_trips(&self) -> RoundTrips {
        match &self.side {
            Side::Here { relay } => relay.round_trips(),
            Side::Elsewhere { link, .. } => {
                let state = link.state();
                RoundTrips { patient: state.patient_round_trip, watcher: state.round_trip }
            }
        }
    }

    /// Tries the server again now.
    pub(crate) fn retry_now(&self) {
        if let Side::Elsewhere { link, .. } = &self.side {
            link.retry_now();
        }
    }

    /// The phase a running visit is in.
    pub(crate) fn phase(&self) -> Phase {
        phase(self.link().as_ref(), self.remote())
    }
}

impl Side {
    async fn end(self) -> Option<Farewell> {
        match self {
            Self::Here { relay } => {
                relay.stop().await;
                None
            }
            Self::Elsewhere { link, .. } => Some(Box::pin(link.stop())),
        }
    }
}

fn phase(link: Option<&LinkState>, remote: RemoteState) -> Phase {
    let connected = match link {
        None => true,
        Some(LinkState { connected: true, .. }) => true,
        Some(LinkState { failed: Some((attempt, error, retry_at)), .. }) => {
            return Phase::Reconnecting { attempt: *attempt, retry_at: *retry_at, error: error.clone() };
        }
        Some(_) => false,
    };
    match (connected, remote.present()) {
        (false, _) => Phase::Starting,
        (true, false) => Phase::Waiting,
        (true, true) => Phase::Live,
    }
}

fn patient_urls(host: &str, ports: Ports, doctor: &PathName, patient: &PathName, token: Option<&str>) -> PatientUrls {
    let query = token.map_or_else(String::new, |t| format!("?token={t}"));
    let Ports { rtmp, hls, .. } = ports;
    PatientUrls {
        push_rtmp: format!("rtmp://{host}:{rtmp}/{patient}{query}"),
        play_rtmp: format!("rtmp://{host}:{rtmp}/{doctor}_aac{query}"),
        play_flv: format!("http://{host}:{hls}/{doctor}_aac.flv{query}"),
        play_hls: format!("http://{host}:{hls}/{doctor}/index.m3u8{query}"),
        validity: if token.is_some() { Validity::ThisVisit } else { Validity::OpenNames },
    }
}

/// An address as it stands in a URL.
fn host(address: IpAddr) -> String {
    match address {
        IpAddr::V4(v4) => v4.to_string(),
        IpAddr::V6(v6) => format!("[{v6}]"),
    }
}

fn tick(hub: Hub) -> DropGuard {
    let stop = CancellationToken::new();
    let stopped = stop.clone();
    tokio::spawn(async move {
        let mut interval = tokio::time::interval(TICK);
        loop {
            tokio::select! {
                () = stopped.cancelled() => return,
                _ = interval.tick() => hub.tick(MonoClock::now()),
            }
        }
    });
    stop.drop_guard()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::player::PictureState;

    #[test]
    fn phases() {
        let there = RemoteState { picture: PictureState::Live, ..RemoteState::default() };
        let alone = RemoteState::default();
        let refused = ServerError::Refused { address: "a".into() };
        let failed = LinkState { failed: Some((3, refused.clone(), SystemTime::UNIX_EPOCH)), ..LinkState::default() };
        let connected = LinkState { connected: true, ..LinkState::default() };
        let again = Phase::Reconnecting { attempt: 3, retry_at: SystemTime::UNIX_EPOCH, error: refused };
        let check = |link: Option<&LinkState>, remote, want: &Phase| assert_eq!(&phase(link, remote), want);
        check(None, alone, &Phase::Waiting);
        check(None, there, &Phase::Live);
        check(None, RemoteState { sound: true, ..alone }, &Phase::Live);
        check(Some(&LinkState::default()), there, &Phase::Starting);
        check(Some(&failed), there, &again);
        check(Some(&connected), alone, &Phase::Waiting);
        check(Some(&connected), there, &Phase::Live);
    }

    #[test]
    fn urls() {
        let name = |n| PathName::parse(n).unwrap();
        let urls = patient_urls(
            &host("fd00::1".parse().unwrap()),
            Ports { rtmp: 1936, ..Ports::default() },
            &name("doc/1"),
            &name("pat"),
            Some("T"),
        );
        assert_eq!(urls.push_rtmp, "rtmp://[fd00::1]:1936/pat?token=T");
        assert_eq!(urls.play_rtmp, "rtmp://[fd00::1]:1936/doc/1_aac?token=T");
        assert_eq!(urls.play_flv, "http://[fd00::1]:8888/doc/1_aac.flv?token=T");
        assert_eq!(urls.play_hls, "http://[fd00::1]:8888/doc/1/index.m3u8?token=T");
        let open = patient_urls("h", Ports::default(), &name("d"), &name("p"), None);
        assert_eq!(open.push_rtmp, "rtmp://h:1935/p");
        assert_eq!((urls.validity, open.validity), (Validity::ThisVisit, Validity::OpenNames));
    }
}
