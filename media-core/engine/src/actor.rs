//! The one task that owns everything that changes.
//!
//! It takes one command after another, looks round twice a second where nobody rings, and tells of every change by a new
//! [`Snapshot`].
//!
//! Belongs here: that task. Not here: its handle (`engine`), what its state looks like (`snapshot`), what a visit is
//! (`consultation`), devices (`pipeline`), the patient (`player`).

use crate::consultation::{Phase, Surroundings, Visit};
use crate::engine::{Command, CommandError, Reply};
use crate::network::{self, Network};
use crate::pipeline::{DeviceState, DeviceStates, Pipeline, Synthetic, Wanted};
use crate::player::PlayerSocket;
use crate::profile::Profile;
use crate::relays::RelayError;
use crate::secrets::{Kept, Secrets};
use crate::settings::{InvalidSetting, Server, Settings};
use crate::snapshot::{DelayParts, Delays, Notice, Remote, Snapshot};
use device::{DeviceInfo, Devices};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

/// How often the state is looked at where nobody rings: delays, networks, countdowns.
const LOOK: Duration = Duration::from_millis(500);
/// Looks between two of networks.
const NETWORKS_EVERY: u32 = 6;

/// What the task is made of.
pub(crate) struct Parts {
    pub(crate) profile: Profile,
    pub(crate) synthetic: Synthetic,
    pub(crate) settings: Settings,
    pub(crate) secrets: Arc<Secrets>,
    pub(crate) around: Surroundings,
    pub(crate) pipeline: Pipeline,
    pub(crate) socket: PlayerSocket,
}

/// The task's state.
pub(crate) struct Actor {
    profile: Profile,
    synthetic: Synthetic,
    settings: Settings,
    secrets: Arc<Secrets>,
    has_password: bool,
    around: Surroundings,
    pipeline: Pipeline,
    socket: PlayerSocket,
    visit: Option<Visit>,
    /// Servers are told of the end of visits while the doctor does something else.
    farewells: JoinSet<()>,
    /// Starting or ending, while that lasts.
    passing: Option<Phase>,
    muted: bool,
    camera_off: bool,
    port_taken: Option<Notice>,
    devices: Devices,
    /// Devices in use that have no name in `devices`.
    strangers: usize,
    networks: Vec<Network>,
    delay: Delays,
    looks: u32,
}

impl Actor {
    /// Outside a visit, with the devices as `parts` has them.
    pub(crate) fn new(parts: Parts) -> Self {
        let Parts { profile, synthetic, settings, secrets, around, pipeline, socket } = parts;
        Self {
            profile,
            synthetic,
            settings,
            secrets,
            has_password: false,
            around,
            pipeline,
            socket,
            visit: None,
            farewells: JoinSet::new(),
            passing: None,
            muted: false,
            camera_off: false,
            port_taken: None,
            devices: Devices::default(),
            strangers: 0,
            networks: network::networks(),
            delay: Delays::default(),
            looks: 0,
        }
    }

    /// Runs until it is told to shut down or nobody can ask any more.
    pub(crate) async fn run(&mut self, mut inbox: mpsc::Receiver<Command>, out: watch::Sender<Snapshot>) {
        let bell = Arc::clone(&self.around.bell);
        let (listed, mut lists) = mpsc::channel(1);
        list_devices(&listed);
        self.find_password().await;
        let mut look = tokio::time::interval(LOOK);
        look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
        loop {
            let tell = |this: &Self| {
                let new = this.snapshot();
                out.send_if_modified(|old| {
                    if *old == new {
                        false
                    } else {
                        *old = new;
                        true
                    }
                });
            };
            tell(self);
            tokio::select! {
                command = inbox.recv() => match command {
                    None => break,
                    Some(Command::Shutdown(reply)) => {
                        self.end().await;
                        while self.farewells.join_next().await.is_some() {}
                        answer(reply, Ok(()));
                        break;
                    }
                    Some(Command::Start(reply)) => {
                        self.passing = self.visit.is_none().then_some(Phase::Starting);
                        tell(self);
                        let done = self.begin().await;
                        self.passing = None;
                        tell(self);
                        answer(reply, done);
                    }
                    Some(Command::End(reply)) => {
                        self.passing = self.visit.is_some().then_some(Phase::Ending);
                        tell(self);
                        self.end().await;
                        self.passing = None;
                        tell(self);
                        answer(reply, Ok(()));
                    }
                    Some(Command::RefreshDevices(reply)) => {
                        self.pipeline.probe();
                        self.networks = network::networks();
                        list_devices(&listed);
                        // The answer is a view with the new list in it.
                        if let Some(devices) = lists.recv().await {
                            self.devices = devices;
                        }
                        tell(self);
                        answer(reply, Ok(()));
                    }
                    Some(command) => {
                        let (reply, done) = self.do_now(command).await;
                        tell(self);
                        if let Some(reply) = reply {
                            answer(reply, done);
                        }
                    }
                },
                Some(devices) = lists.recv() => self.devices = devices,
                () = bell.notified() => {
                    if self.has_a_stranger() {
                        list_devices(&listed);
                    }
                }
                _ = look.tick() => self.look(),
            }
        }
    }

    async fn do_now(&mut self, command: Command) -> (Option<Reply<()>>, Result<(), CommandError>) {
        match command {
            Command::SetMuted(muted, reply) => {
                self.muted = muted;
                self.pipeline.audio.set_muted(muted, self.settings.release_microphone);
                (Some(reply), Ok(()))
            }
            Command::SetCameraOff(off, reply) => {
                self.camera_off = off;
                self.pipeline.video.set_off(off);
                (Some(reply), Ok(()))
            }
            Command::RetryNow(reply) => {
                if let Some(visit) = &self.visit {
                    visit.retry_now();
                }
                (Some(reply), Ok(()))
            }
            Command::UpdateSettings(settings, password, reply) => (Some(reply), self.update(*settings, password).await),
            Command::UsePort(setting, port, reply) => (Some(reply), self.use_port(&setting, port).await),
            Command::Start(_) | Command::End(_) | Command::RefreshDevices(_) | Command::Shutdown(_) => (None, Ok(())),
        }
    }

    async fn begin(&mut self) -> Result<(), CommandError> {
        if self.visit.is_some() {
            return Ok(());
        }
        self.port_taken = None;
        self.networks = network::networks();
        let address = network::choose(&self.networks, self.settings.network.as_deref());
        let password = self.password().await;
        match Visit::begin(&self.settings, address, password, &self.around).await {
            Ok(visit) => {
                self.visit = Some(visit);
                Ok(())
            }
            Err(error) => {
                if let RelayError::PortTaken { setting, port, program, free } = error.clone() {
                    self.port_taken = Some(Notice::PortTaken { setting, port, program, free });
                }
                tracing::warn!(%error, "the consultation does not start");
                Err(error.into())
            }
        }
    }

    async fn end(&mut self) {
        if let Some(visit) = self.visit.take()
            && let Some(farewell) = visit.end().await
        {
            self.farewells.spawn(farewell);
        }
        while self.farewells.try_join_next().is_some() {}
        self.around.windows.forget_delays();
        self.delay = Delays::default();
    }

    async fn update(&mut self, settings: Settings, password: Option<String>) -> Result<(), CommandError> {
        settings.validate()?;
        settings.save(self.profile.folder()).map_err(|e| CommandError::Internal(e.to_string()))?;
        if let (Some(password), Server::Address { address, user, .. }) = (password, &settings.server) {
            let (secrets, address, user) = (Arc::clone(&self.secrets), address.clone(), user.clone());
            let kept = tokio::task::spawn_blocking(move || secrets.keep(&address, &user, &password)).await;
            if matches!(kept, Ok(Kept::ThisRun)) {
                tracing::warn!("there is no keychain here: the server's password is forgotten when the program ends");
            }
        }
        let release = settings.release_microphone != self.settings.release_microphone;
        self.settings = settings;
        self.pipeline.apply(&Wanted::from(&self.settings));
        if release {
            self.pipeline.audio.set_muted(self.muted, self.settings.release_microphone);
        }
        self.find_password().await;
        Ok(())
    }

    async fn use_port(&mut self, setting: &str, port: u16) -> Result<(), CommandError> {
        let mut settings = self.settings.clone();
        *settings.ports.by_name(setting).ok_or(InvalidSetting("ports"))? = port;
        self.update(settings, None).await?;
        if self.port_taken.take().is_some() { self.begin().await } else { Ok(()) }
    }

    async fn password(&self) -> String {
        let Server::Address { address, user, .. } = &self.settings.server else { return String::new() };
        let (secrets, address, user) = (Arc::clone(&self.secrets), address.clone(), user.clone());
        tokio::task::spawn_blocking(move || secrets.find(&address, &user)).await.unwrap_or_default()
    }

    async fn find_password(&mut self) {
        self.has_password = !self.password().await.is_empty();
    }

    fn look(&mut self) {
        self.looks = self.looks.wrapping_add(1);
        if self.looks.is_multiple_of(NETWORKS_EVERY) {
            self.networks = network::networks();
        }
        let Some(visit) = &self.visit else { return };
        let window = self.around.windows.delays();
        let (remote, millis) = (visit.remote(), |d: Duration| d.as_secs_f32() * 1000.0);
        let speaker = self.pipeline.speaker.latency().unwrap_or_default();
        let round = |part: Option<f32>| part.map(f32::round);
        let sum = |a: Option<f32>, b: Option<f32>| a.map(|a| a + b.unwrap_or_default());
        let far = visit.round_trips();
        let one_way = |round_trip: Option<Duration>| round(round_trip.map(|rtt| millis(rtt) / 2.0));
        self.delay = Delays {
            incoming: DelayParts {
                network: one_way(far.patient),
                queue: round(sum(window.queue_ms, window.way_ms).filter(|_| remote.present())),
                hold: round(window.hold_ms.filter(|_| remote.present())),
                jitter: round(remote.sound.then(|| millis(self.around.sound.fill() + speaker))),
                codec: round(window.decode_ms.filter(|_| remote.present())),
                display: round(window.display_ms.filter(|_| remote.present())),
            },
            outgoing: DelayParts {
                network: one_way(far.watcher),
                queue: round(self.pipeline.video.wait_ms()),
                codec: round(self.pipeline.video.encode_ms()),
                ..DelayParts::default()
            },
            // Every patient of this version comes by RTMP or watches by a player with a buffer of its own.
            estimated: true,
        };
        tracing::trace!(stats = ?self.around.sound.stats(), "the patient's sound");
    }

    /// The state now.
    pub(crate) fn snapshot(&self) -> Snapshot {
        let states = self.states();
        let remote = self.visit.as_ref().map(Visit::remote).unwrap_or_default();
        let phase = match (&self.passing, &self.visit) {
            (Some(passing), _) => passing.clone(),
            (None, Some(visit)) => visit.phase(),
            (None, None) => Phase::Ready,
        };
        Snapshot {
            settings: self.settings.clone(),
            has_password: self.has_password,
            devices: self.devices.clone(),
            notices: self.notices(&states),
            states,
            networks: self.networks.clone(),
            phase,
            started_at: self.visit.as_ref().map(|v| v.started_at),
            muted: self.muted,
            camera_off: self.camera_off,
            remote: Remote { picture: remote.picture, sound: remote.sound, width: remote.width, height: remote.height },
            delay: self.delay,
            patient: self.visit.as_ref().map(|v| v.urls.clone()),
            token: self.visit.as_ref().and_then(|v| v.token.clone()),
            player_url: self.socket.url(),
        }
    }

    /// Is one in use that the list of devices does not know, since it was plugged in later?
    fn has_a_stranger(&mut self) -> bool {
        let DeviceStates { camera, microphone, speaker } = self.states();
        let unnamed = |state: &&DeviceState| matches!(state, DeviceState::Open { name } if name.is_empty());
        let strangers = [camera, microphone, speaker].iter().filter(unnamed).count();
        // Once for each: the system may have no name for it at all.
        std::mem::replace(&mut self.strangers, strangers) < strangers
    }

    /// The devices as a person knows them.
    fn states(&self) -> DeviceStates {
        let mut states = self.pipeline.reports.states();
        let Settings { camera, microphone, speaker, .. } = &self.settings;
        name(&mut states.camera, &self.devices.cameras, camera.as_deref());
        name(&mut states.microphone, &self.devices.microphones, microphone.as_deref());
        name(&mut states.speaker, &self.devices.speakers, speaker.as_deref());
        // Who asked for the twins works without devices, and a speaker that is not there is no news to them.
        if self.synthetic != Synthetic::No && states.speaker == DeviceState::Missing {
            states.speaker = DeviceState::Synthetic;
        }
        states
    }

    fn notices(&self, states: &DeviceStates) -> Vec<Notice> {
        let mut notices: Vec<Notice> = self.port_taken.iter().cloned().collect();
        if self.pipeline.audio.muted_but_speaking() {
            notices.push(Notice::MutedButSpeaking);
        }
        let DeviceStates { camera, microphone, speaker } = states;
        notices.extend(camera.is_wrong().then(|| Notice::Camera(camera.clone())));
        notices.extend(microphone.is_wrong().then(|| Notice::Microphone(microphone.clone())));
        notices.extend(speaker.is_wrong().then(|| Notice::Speaker(speaker.clone())));
        notices
    }
}

/// Gives the device in use the name it has in the list: the chosen one's, or that of the system's choice. Empty where it has
/// none.
fn name(state: &mut DeviceState, listed: &[DeviceInfo], chosen: Option<&str>) {
    if let Some(name) = state.name_mut() {
        let found = listed.iter().find(|d| chosen.map_or(d.default, |id| d.id == id));
        // An id says nothing to a person.
        *name = found.map(|d| d.name.clone()).unwrap_or_default();
    }
}

/// Asking the system may take a second, so it is asked elsewhere; an answer nobody has taken yet is new enough.
fn list_devices(listed: &mpsc::Sender<Devices>) {
    let listed = listed.clone();
    tokio::task::spawn_blocking(move || {
        let devices = Devices::list();
        if listed.try_send(devices).is_err() {
            tracing::debug!("a list of devices waits already");
        }
    });
}

fn answer<T>(reply: Reply<T>, result: Result<T, CommandError>) {
    if reply.send(result).is_err() {
        tracing::debug!("nobody waits for the answer any more");
    }
}
