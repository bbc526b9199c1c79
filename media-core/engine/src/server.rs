//! A server elsewhere: the doctor's stream goes there by WHIP, the patient's comes from there by WHEP or RTMP (`patient`).
//!
//! Both directions are tried again for as long as the visit lasts, each by itself, with backoff; the first failure is known
//! within five seconds.
//!
//! Belongs here: addresses, what a failure means to a person, trying again. Not here: the protocols (`relay`), pauses
//! (`relay::Backoff`).

mod patient;

use crate::settings::ServerPorts;

use device::MonoClock;
use hub::{Hub, PathName, Reader, ReaderInfo, Start};
use relay::Backoff;
use relay::tls::Trust;
use relay::webrtc::client::{ClientState, ClientStatus, WhipAuth, WhipClient, WhipError, WhipTarget};
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use thiserror::Error;
use tokio::sync::{Notify, oneshot, watch};
use tokio::task::{JoinHandle, JoinSet};
use tokio_util::sync::{CancellationToken, DropGuard};

/// The farewell is one answer that is waited for and one request; a server that is slower finds out by the silence.
const FAREWELL: Duration = Duration::from_millis(3_500);
/// A person waits this long for the first word; the attempt itself may go on.
const FIRST_WORD: Duration = Duration::from_millis(4_200);

/// Why a server is of no use at the moment.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ServerError {
    /// Nobody accepts connections there, or the name means nothing.
    #[error("{address} refuses the connection")]
    Refused {
        /// Whose address.
        address: String,
    },
    /// It does not answer in time.
    #[error("{address} does not answer")]
    Timeout {
        /// Whose address.
        address: String,
    },
    /// It wants other credentials.
    #[error("{address} refuses the credentials")]
    Unauthorized {
        /// Whose address.
        address: String,
    },
    /// It has no such stream.
    #[error("{address} knows no such stream")]
    NotFound {
        /// Whose address.
        address: String,
    },
    /// Something else.
    #[error("{address}: {detail}")]
    Other {
        /// Whose address.
        address: String,
        /// In the server's or the system's words.
        detail: String,
    },
}

/// How the way to the server is.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct LinkState {
    pub(crate) connected: bool,
    /// Failures in a row, the last of them, and when the next try comes.
    pub(crate) failed: Option<(u32, ServerError, SystemTime)>,
    pub(crate) round_trip: Option<Duration>,
    /// Of the way the patient's stream comes, where that tells.
    pub(crate) patient_round_trip: Option<Duration>,
}

/// Where, and with what rights.
#[derive(Clone)]
pub(crate) struct ServerTarget {
    /// As the user wrote it.
    pub(crate) address: String,
    pub(crate) user: String,
    pub(crate) password: String,
    pub(crate) ports: ServerPorts,
    pub(crate) doctor: PathName,
    pub(crate) patient: PathName,
}

impl ServerTarget {
    /// `http(s)://HOST:PORT/PATH/whip`. A port that the address names is WHIP's, unless it is the one set for RTMP; a whole
    /// address without one has its scheme's, and a bare host the one that is set.
    pub(crate) fn whip(&self) -> WhipTarget {
        self.http(&self.doctor, "whip")
    }

    /// The same for what is read: `http(s)://HOST:PORT/PATH/whep`.
    pub(crate) fn whep(&self) -> WhipTarget {
        self.http(&self.patient, "whep")
    }

    fn http(&self, path: &PathName, endpoint: &str) -> WhipTarget {
        let (scheme, host, port, prefix) = split(&self.address);
        let whole = self.address.contains("://");
        let port = match port.filter(|p| whole || *p != self.ports.rtmp) {
            Some(named) => format!(":{named}"),
            None if whole => String::new(),
            None => format!(":{}", self.ports.whip),
        };
        let auth = match (self.user.is_empty(), self.password.is_empty()) {
            (true, true) => WhipAuth::None,
            (true, false) => WhipAuth::Bearer(self.password.clone()),
            (false, _) => WhipAuth::Basic { user: self.user.clone(), password: self.password.clone() },
        };
        WhipTarget {
            url: format!("{scheme}://{host}{port}{prefix}/{path}/{endpoint}"),
            auth,
            trust: Trust::System,
            ice_servers: Vec::new(),
        }
    }

    /// The host alone.
    pub(crate) fn host(&self) -> &str {
        split(&self.address).1
    }

    /// `rtmp://HOST:PORT/PATH`, credentials in the query as MediaMTX takes them.
    pub(crate) fn rtmp(&self) -> String {
        let (_, host, _, _) = split(&self.address);
        let query = match (self.user.is_empty(), self.password.is_empty()) {
            (true, true) => String::new(),
            (true, false) => format!("?token={}", encode(&self.password)),
            (false, _) => format!("?user={}&pass={}", encode(&self.user), encode(&self.password)),
        };
        format!("rtmp://{host}:{}/{}{query}", self.ports.rtmp, self.patient)
    }
}

/// The running link; dropping it ends both directions.
pub(crate) struct ServerLink {
    stop: DropGuard,
    retry: Arc<Notify>,
    state: watch::Receiver<LinkState>,
    patient: watch::Receiver<ClientStatus>,
    done: JoinHandle<()>,
}

impl ServerLink {
    /// Begins to publish `target.doctor` from `hub` and to pull `target.patient` into it. Within the engine's runtime.
    pub(crate) fn start(hub: Hub, target: ServerTarget, bell: Arc<Notify>) -> Self {
        let (stop, retry) = (CancellationToken::new(), Arc::new(Notify::new()));
        let (sender, state) = watch::channel(LinkState::default());
        let (told, patient) = watch::channel(ClientStatus::default());
        let up = publish(hub.clone(), target.clone(), stop.clone(), Arc::clone(&retry), sender, bell);
        let down = patient::pull(hub, target, stop.clone(), Arc::clone(&retry), told);
        let done = tokio::spawn(async move {
            tokio::join!(up, down);
        });
        Self { stop: stop.drop_guard(), retry, state, patient, done }
    }

    /// How it is now.
    pub(crate) fn state(&self) -> LinkState {
        LinkState { patient_round_trip: self.patient.borrow().round_trip, ..self.state.borrow().clone() }
    }

    /// Tries again now.
    pub(crate) fn retry_now(&self) {
        self.retry.notify_waiters();
    }

    /// Ends both directions at once. What is left to do is to tell the server, which is done when this completes, or has
    /// taken as long as anybody waits for it.
    pub(crate) fn stop(self) -> impl Future<Output = ()> + Send + use<> {
        drop(self.stop);
        let done = self.done;
        async move {
            if tokio::time::timeout(FAREWELL, done).await.is_err() {
                tracing::debug!("the server did not take the farewell");
            }
        }
    }
}

/// One try to publish, on a task of its own: one that is given up takes its leave while the next begins.
struct Attempt {
    stop: CancellationToken,
    status: watch::Receiver<ClientStatus>,
    result: oneshot::Receiver<Result<(), WhipError>>,
}

impl Attempt {
    fn start(whip: WhipTarget, mut reader: Reader, stop: CancellationToken, tasks: &mut JoinSet<()>) -> Self {
        let (sender, status) = watch::channel(ClientStatus::default());
        let (ended, result) = oneshot::channel();
        let told = stop.clone();
        tasks.spawn(async move {
            let end = WhipClient::publish(&whip, &mut reader, &sender, told.cancelled()).await;
            // Nobody waits for the end of one that was given up.
            drop(ended.send(end));
        });
        Self { stop, status, result }
    }
}

async fn publish(
    hub: Hub,
    target: ServerTarget,
    stop: CancellationToken,
    retry: Arc<Notify>,
    state: watch::Sender<LinkState>,
    bell: Arc<Notify>,
) {
    let mut tasks = JoinSet::new();
    try_to_publish(&hub, &target, &stop, &retry, &state, &bell, &mut tasks).await;
    // The server is told of every session it opened.
    while tasks.join_next().await.is_some() {}
}

async fn try_to_publish(
    hub: &Hub,
    target: &ServerTarget,
    stop: &CancellationToken,
    retry: &Notify,
    state: &watch::Sender<LinkState>,
    bell: &Notify,
    tasks: &mut JoinSet<()>,
) {
    let (whip, mut backoff) = (target.whip(), Backoff::new());
    let set = |new: LinkState| {
        if state.send_if_modified(|old| std::mem::replace(old, new.clone()) != new) {
            bell.notify_one();
        }
    };
    'attempts: while !stop.is_cancelled() {
        while tasks.try_join_next().is_some() {}
        let info = ReaderInfo { kind: "whipClient", id: target.address.clone() };
        let reader = match hub.read(&target.doctor, info, Start::Soonest, MonoClock::now()) {
            Ok(reader) => reader,
            Err(error) => {
                tracing::error!(%error, "the doctor's path cannot be read");
                return;
            }
        };
        let mut attempt = Attempt::start(whip.clone(), reader, stop.child_token(), tasks);
        let slow = tokio::time::sleep(FIRST_WORD);
        tokio::pin!(slow);
        let (mut said, mut hangs) = (false, false);
        let result = loop {
            tokio::select! {
                () = stop.cancelled() => return,
                result = &mut attempt.result => break result,
                // A server that has not answered so far may do so now; the attempt that hangs stands in the way of another.
                () = retry.notified(), if hangs => {
                    attempt.stop.cancel();
                    continue 'attempts;
                }
                Ok(()) = attempt.status.changed() => {
                    let now = *attempt.status.borrow_and_update();
                    if now.state == ClientState::Connected {
                        backoff.succeeded();
                        (said, hangs) = (true, false);
                        set(LinkState { connected: true, round_trip: now.round_trip, ..LinkState::default() });
                    }
                }
                () = &mut slow, if !said => {
                    (said, hangs) = (true, true);
                    let error = ServerError::Timeout { address: target.address.clone() };
                    let failed = Some((backoff.attempts() + 1, error, SystemTime::now()));
                    set(LinkState { failed, ..LinkState::default() });
                }
            }
        };
        let error = match result {
            Ok(Err(error)) => whip_error(&error, &target.address),
            Ok(Ok(())) => ServerError::Other { address: target.address.clone(), detail: "the stream ended".into() },
            Err(_) => ServerError::Other { address: target.address.clone(), detail: "the publisher broke down".into() },
        };
        let pause = backoff.failed(rand::random());
        tracing::warn!(%error, ?pause, "publishing to the server");
        let again = SystemTime::now() + pause;
        set(LinkState { failed: Some((backoff.attempts(), error, again)), ..LinkState::default() });
        tokio::select! {
            () = stop.cancelled() => return,
            () = retry.notified() => {}
            () = tokio::time::sleep(pause) => {}
        }
    }
}

fn whip_error(error: &WhipError, address: &str) -> ServerError {
    let address = address.to_owned();
    match error {
        WhipError::Refused { .. } => ServerError::Refused { address },
        WhipError::Timeout(_) => ServerError::Timeout { address },
        WhipError::Unauthorized => ServerError::Unauthorized { address },
        WhipError::NotFound => ServerError::NotFound { address },
        WhipError::Protocol { detail } => ServerError::Other { address, detail: detail.clone() },
        WhipError::Lost => ServerError::Other { address, detail: error.to_string() },
    }
}

/// Scheme, host (an IPv6 one in brackets), port, and path without a slash at its end.
fn split(address: &str) -> (&str, &str, Option<u16>, &str) {
    let address = address.trim();
    let (scheme, rest) = address.split_once("://").unwrap_or(("http", address));
    let (authority, path) = rest.find('/').map_or((rest, ""), |at| rest.split_at(at));
    let after_host = authority.rfind(']').map_or(0, |at| at + 1);
    let colon = authority.get(after_host..).and_then(|tail| tail.find(':')).map(|at| after_host + at);
    let (host, port) = match colon {
        Some(at) => (authority.get(..at).unwrap_or(authority), authority.get(at + 1..).and_then(|p| p.parse().ok())),
        None => (authority, None),
    };
    (scheme, host, port, path.trim_end_matches('/'))
}

/// Percent-encoding of everything but unreserved characters (RFC 3986 §2.3).
fn encode(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        let check_with = |ports, address: &str, user: &str, password: &str, whip: &str, rtmp: &str| {
            let target = ServerTarget {
                address: address.into(),
                user: user.into(),
                password: password.into(),
                ports,
                doctor: PathName::parse("doctorStream").unwrap(),
                patient: PathName::parse("patientStream").unwrap(),
            };
            assert_eq!(target.whip().url, whip);
            assert_eq!(target.whep().url, whip.replace("doctorStream/whip", "patientStream/whep"));
            assert_eq!(target.rtmp(), rtmp);
        };
        let usual = ServerPorts::default();
        let check = |address: &str, user: &str, password: &str, whip: &str, rtmp: &str| {
            check_with(usual, address, user, password, whip, rtmp);
        };
        let (http, pull) = ("http://10.0.0.5:8889/doctorStream/whip", "rtmp://10.0.0.5:1935/patientStream");
        check("10.0.0.5", "", "", http, pull);
        check(" 10.0.0.5 ", "", "", http, pull);
        check("10.0.0.5:9000", "", "t/1", "http://10.0.0.5:9000/doctorStream/whip", &format!("{pull}?token=t%2F1"));
        check(
            "https://relay.example/live/",
            "doc",
            "pw",
            "https://relay.example/live/doctorStream/whip",
            "rtmp://relay.example:1935/patientStream?user=doc&pass=pw",
        );
        check("[fd00::1]", "", "", "http://[fd00::1]:8889/doctorStream/whip", "rtmp://[fd00::1]:1935/patientStream");
        check("[fd00::1]:80", "", "", "http://[fd00::1]:80/doctorStream/whip", "rtmp://[fd00::1]:1935/patientStream");
        // A port copied from an RTMP address is no port for WHIP.
        check("10.0.0.5:1935", "", "", http, pull);
        let own = ServerPorts { whip: 9000, rtmp: 1936, ..usual };
        check_with(own, "h", "", "", "http://h:9000/doctorStream/whip", "rtmp://h:1936/patientStream");
        check_with(own, "h:80", "", "", "http://h:80/doctorStream/whip", "rtmp://h:1936/patientStream");
        check_with(own, "https://h", "", "", "https://h/doctorStream/whip", "rtmp://h:1936/patientStream");
    }

    #[test]
    fn credentials() {
        let target = |user: &str, password: &str| ServerTarget {
            address: "h".into(),
            user: user.into(),
            password: password.into(),
            ports: ServerPorts::default(),
            doctor: PathName::parse("d").unwrap(),
            patient: PathName::parse("p").unwrap(),
        };
        assert!(matches!(target("", "").whip().auth, WhipAuth::None));
        assert!(matches!(target("", "t").whip().auth, WhipAuth::Bearer(t) if t == "t"));
        assert!(matches!(target("u", "p").whip().auth, WhipAuth::Basic { .. }));
    }

    /// Virtual time passes only while nothing happens, so a busy machine changes nothing here.
    #[tokio::test(start_paused = true)]
    async fn a_server_that_hangs_is_named_within_five_seconds() {
        rustls::crypto::ring::default_provider().install_default().ok();
        let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let target = ServerTarget {
            address: silent.local_addr().unwrap().to_string(),
            user: String::new(),
            password: String::new(),
            ports: ServerPorts::default(),
            doctor: PathName::parse("d").unwrap(),
            patient: PathName::parse("p").unwrap(),
        };
        let hub = Hub::new(hub::Limits::default());
        let params = Arc::new(media::CodecParams::Opus(media::OpusParams::WEBRTC));
        let track = media::Track { id: media::TrackId(1), clock: media::ClockRate::AUDIO_48K, params };
        let info = hub::PublisherInfo { kind: "test", id: "1".into(), answers_keyframes: false };
        let _doctor = hub.publish(&target.doctor, info, media::TrackSet::new([track]), MonoClock::now()).unwrap();
        let began = tokio::time::Instant::now();
        let link = ServerLink::start(hub, target, Arc::default());
        link.state.clone().wait_for(|s| s.failed.is_some()).await.unwrap();
        let took = began.elapsed();
        assert!(took <= Duration::from_secs(5), "{took:?}");
        let began = tokio::time::Instant::now();
        link.stop().await;
        assert!(began.elapsed() <= FAREWELL + Duration::from_millis(10), "{:?}", began.elapsed());
    }
}
