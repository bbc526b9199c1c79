//! The engine: commands in, its state out.
//!
//! One task owns everything that changes; commands are messages to it, and every change is a new [`Snapshot`].
//!
//! Belongs here: that task and its handle. Not here: what its state looks like (`snapshot`), what a visit is (`consultation`), devices (`pipeline`), the patient
//! (`player`), windows and their view models (the shell).

use crate::consultation::{Phase, Surroundings, Visit};
use crate::network::{self, Network};
use crate::pipeline::{DeviceState, DeviceStates, Pipeline, Synthetic, Wanted};
use crate::player::{PlayerSocket, SoundBuffer, Windows};
use crate::profile::Profile;
use crate::relays::{Embedded, RelayError, Relays};
use crate::secrets::{Kept, Secrets};
use crate::settings::{InvalidSetting, Server, Settings, SettingsError};
use crate::snapshot::{DelayParts, Delays, Notice, Remote, Snapshot};
use device::Devices;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use thiserror::Error;
use tokio::runtime::Runtime;
use tokio::sync::{Notify, mpsc, oneshot, watch};

/// Commands that may wait: a person clicks one at a time.
const COMMANDS: usize = 32;
/// How often the state is looked at where nobody rings: delays, networks, countdowns.
const LOOK: Duration = Duration::from_millis(500);
/// Looks between two of networks.
const NETWORKS_EVERY: u32 = 6;

/// How to start.
#[derive(Debug)]
pub struct EngineConfig {
    /// Where settings live.
    pub profile: Profile,
    /// What stands in for camera and microphone.
    pub synthetic: Synthetic,
    /// Passwords go to the system's keychain where there is one.
    pub keychain: bool,
}

/// Why the engine does not start.
#[derive(Debug, Error)]
pub enum EngineError {
    /// The settings cannot be read.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// No thread, no runtime, no loopback socket.
    #[error("the system gives no {what}: {source}")]
    System {
        /// What was asked of it.
        what: &'static str,
        /// What it said.
        source: std::io::Error,
    },
}

/// Why a command was not done.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum CommandError {
    /// Another program has a port.
    #[error("port {port} ({setting}) is taken")]
    PortTaken {
        /// The setting that names it.
        setting: String,
        /// The port.
        port: u16,
        /// Who has it, where the system tells.
        program: Option<String>,
        /// One that is free.
        free: Option<u16>,
    },
    /// A setting cannot be as it is.
    #[error(transparent)]
    InvalidSetting(#[from] InvalidSetting),
    /// Everything else.
    #[error("{0}")]
    Internal(String),
}

impl From<RelayError> for CommandError {
    fn from(error: RelayError) -> Self {
        match error {
            RelayError::PortTaken { setting, port, program, free } => Self::PortTaken { setting, port, program, free },
            RelayError::Other(detail) => Self::Internal(detail),
        }
    }
}

/// The handle. Dropping it ends everything.
pub struct Engine {
    commands: mpsc::Sender<Command>,
    snapshot: watch::Receiver<Snapshot>,
    runtime: Option<Runtime>,
}

type Reply<T> = oneshot::Sender<Result<T, CommandError>>;

enum Command {
    Start(Reply<()>),
    End(Reply<()>),
    SetMuted(bool, Reply<()>),
    SetCameraOff(bool, Reply<()>),
    RetryNow(Reply<()>),
    UpdateSettings(Box<Settings>, Option<String>, Reply<()>),
    RefreshDevices(Reply<()>),
    UsePort(String, u16, Reply<()>),
    Shutdown(Reply<()>),
}

impl Engine {
    /// Reads the settings, opens the devices and the player socket.
    ///
    /// # Errors
    /// [`EngineError`].
    pub fn start(config: EngineConfig) -> Result<Self, EngineError> {
        Self::start_with(config, Arc::new(Embedded))
    }

    pub(crate) fn start_with(config: EngineConfig, relays: Arc<dyn Relays>) -> Result<Self, EngineError> {
        let system = |what| move |source| EngineError::System { what, source };
        let settings = Settings::load(config.profile.folder())?;
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .thread_name("engine")
            .enable_all()
            .build()
            .map_err(system("runtime"))?;
        let (windows, sound, bell) = (Windows::new(), SoundBuffer::new(), Arc::new(Notify::new()));
        let socket = {
            let _within = runtime.enter();
            PlayerSocket::open(windows.clone()).map_err(system("loopback socket"))?
        };
        let wanted = Wanted::from(&settings);
        let pipeline = Pipeline::start(&wanted, config.synthetic, &windows, &sound, Arc::clone(&bell))
            .map_err(system("thread"))?;
        let outlet = pipeline.outlet.clone();
        let around = Surroundings { relays, windows, sound, outlet, bell };
        let secrets = Arc::new(if config.keychain { Secrets::new() } else { Secrets::in_memory() });
        let mut actor = Actor {
            profile: config.profile,
            synthetic: config.synthetic,
            settings,
            secrets,
            has_password: false,
            around,
            pipeline,
            socket,
            visit: None,
            passing: None,
            muted: false,
            camera_off: false,
            port_taken: None,
            devices: Devices::default(),
            networks: network::networks(),
            delay: Delays::default(),
            looks: 0,
        };
        let (commands, inbox) = mpsc::channel(COMMANDS);
        let (sender, snapshot) = watch::channel(actor.snapshot());
        runtime.spawn(async move { actor.run(inbox, sender).await });
        Ok(Self { commands, snapshot, runtime: Some(runtime) })
    }

    /// The state now.
    pub fn snapshot(&self) -> Snapshot {
        self.snapshot.borrow().clone()
    }

    /// The state as it changes.
    pub fn watch(&self) -> watch::Receiver<Snapshot> {
        self.snapshot.clone()
    }

    /// Starts the consultation; one that runs is left alone.
    ///
    /// # Errors
    /// [`CommandError::PortTaken`] and others; then everything is as before.
    pub async fn start_consultation(&self) -> Result<(), CommandError> {
        self.ask(Command::Start).await
    }

    /// Ends the consultation; every port is free afterwards.
    ///
    /// # Errors
    /// [`CommandError::Internal`] where the engine has ended.
    pub async fn end_consultation(&self) -> Result<(), CommandError> {
        self.ask(Command::End).await
    }

    /// Sends silence, or sound again.
    ///
    /// # Errors
    /// [`CommandError::Internal`] where the engine has ended.
    pub async fn set_muted(&self, muted: bool) -> Result<(), CommandError> {
        self.ask(|reply| Command::SetMuted(muted, reply)).await
    }

    /// Releases the camera, or takes it again.
    ///
    /// # Errors
    /// [`CommandError::Internal`] where the engine has ended.
    pub async fn set_camera_off(&self, off: bool) -> Result<(), CommandError> {
        self.ask(|reply| Command::SetCameraOff(off, reply)).await
    }

    /// Tries the server again now.
    ///
    /// # Errors
    /// [`CommandError::Internal`] where the engine has ended.
    pub async fn retry_now(&self) -> Result<(), CommandError> {
        self.ask(Command::RetryNow).await
    }

    /// Takes and keeps new settings; `password` is the server's, `None` leaves it as it is.
    ///
    /// # Errors
    /// [`CommandError::InvalidSetting`] names the field; then the old settings stay.
    pub async fn update_settings(&self, settings: Settings, password: Option<String>) -> Result<(), CommandError> {
        self.ask(|reply| Command::UpdateSettings(Box::new(settings), password, reply)).await
    }

    /// Lists the devices again and looks for those that are missing.
    ///
    /// # Errors
    /// [`CommandError::Internal`] where the engine has ended.
    pub async fn refresh_devices(&self) -> Result<(), CommandError> {
        self.ask(Command::RefreshDevices).await
    }

    /// Keeps `port` for `setting`; where the consultation could not start for that port, it starts now.
    ///
    /// # Errors
    /// [`CommandError`].
    pub async fn use_port(&self, setting: String, port: u16) -> Result<(), CommandError> {
        self.ask(|reply| Command::UsePort(setting, port, reply)).await
    }

    /// Ends the consultation and the engine's task.
    ///
    /// # Errors
    /// [`CommandError::Internal`] where it has ended already.
    pub async fn shut_down(&self) -> Result<(), CommandError> {
        self.ask(Command::Shutdown).await
    }

    async fn ask<T>(&self, command: impl FnOnce(Reply<T>) -> Command) -> Result<T, CommandError> {
        let gone = || CommandError::Internal("the engine has ended".into());
        let (reply, answer) = oneshot::channel();
        self.commands.send(command(reply)).await.map_err(|_| gone())?;
        answer.await.map_err(|_| gone())?
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Engine {:?}", self.snapshot.borrow().phase)
    }
}

struct Actor {
    profile: Profile,
    synthetic: Synthetic,
    settings: Settings,
    secrets: Arc<Secrets>,
    has_password: bool,
    around: Surroundings,
    pipeline: Pipeline,
    socket: PlayerSocket,
    visit: Option<Visit>,
    /// Starting or ending, while that lasts.
    passing: Option<Phase>,
    muted: bool,
    camera_off: bool,
    port_taken: Option<Notice>,
    devices: Devices,
    networks: Vec<Network>,
    delay: Delays,
    looks: u32,
}

impl Actor {
    async fn run(&mut self, mut inbox: mpsc::Receiver<Command>, out: watch::Sender<Snapshot>) {
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
                () = bell.notified() => {}
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
        if let Some(visit) = self.visit.take() {
            visit.end().await;
        }
        self.around.windows.forget_delays();
        self.delay = Delays::default();
    }

    async fn update(&mut self, settings: Settings, password: Option<String>) -> Result<(), CommandError> {
        settings.validate()?;
        settings.save(self.profile.folder()).map_err(|e| CommandError::Internal(e.to_string()))?;
        if let (Some(password), Server::Address { address, user }) = (password, &settings.server) {
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
        let Server::Address { address, user } = &self.settings.server else { return String::new() };
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
        let far = visit.round_trips();
        let one_way = |round_trip: Option<Duration>| round(round_trip.map(|rtt| millis(rtt) / 2.0));
        self.delay = Delays {
            incoming: DelayParts {
                network: one_way(far.patient),
                queue: round(window.queue_ms.filter(|_| remote.present())),
                jitter: round(remote.sound.then(|| millis(self.around.sound.fill() + speaker))),
                codec: round(window.decode_ms.filter(|_| remote.present())),
                display: round(window.display_ms.filter(|_| remote.present())),
            },
            outgoing: DelayParts {
                network: one_way(far.watcher),
                codec: round(self.pipeline.video.encode_ms()),
                ..DelayParts::default()
            },
            // Every patient of this version comes by RTMP or watches by a player with a buffer of its own.
            estimated: true,
        };
        tracing::trace!(stats = ?self.around.sound.stats(), "the patient's sound");
    }

    fn snapshot(&self) -> Snapshot {
        let states = self.pipeline.reports.states();
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

    fn notices(&self, states: &DeviceStates) -> Vec<Notice> {
        let wrong = |state: &DeviceState| {
            !matches!(state, DeviceState::Open { .. } | DeviceState::Synthetic | DeviceState::Off)
        };
        let mut notices: Vec<Notice> = self.port_taken.iter().cloned().collect();
        if self.pipeline.audio.muted_but_speaking() {
            notices.push(Notice::MutedButSpeaking);
        }
        if self.synthetic == Synthetic::No {
            notices.extend(Some(&states.camera).filter(|s| wrong(s)).cloned().map(Notice::Camera));
            notices.extend(Some(&states.microphone).filter(|s| wrong(s)).cloned().map(Notice::Microphone));
        }
        notices.extend(Some(&states.speaker).filter(|s| wrong(s)).cloned().map(Notice::Speaker));
        notices
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

/// The folder of the profile `--profile` names, or the default one.
pub fn profile_folder(given: Option<PathBuf>) -> PathBuf {
    given.unwrap_or_else(Profile::default_folder)
}
