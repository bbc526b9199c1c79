//! The engine: commands in, its state out.
//!
//! Commands are messages to the one task that owns everything that changes, and every change is a new [`Snapshot`].
//!
//! Belongs here: the handle, the commands, why they fail. Not here: who does them (`actor`), what the state looks like
//! (`snapshot`), windows and their view models (the shell).

use crate::actor::{Actor, Parts};
use crate::consultation::Surroundings;
use crate::pipeline::{Hardware, Pipeline, Plugged, Synthetic, Wanted};
use crate::player::{PlayerSocket, SoundBuffer, Windows};
use crate::profile::Profile;
use crate::relays::{Embedded, RelayError, Relays};
use crate::secrets::Secrets;
use crate::settings::{InvalidSetting, Settings, SettingsError};
use crate::snapshot::Snapshot;
use std::path::PathBuf;
use std::sync::Arc;
use thiserror::Error;
use tokio::runtime::Runtime;
use tokio::sync::{Notify, mpsc, oneshot, watch};

/// Commands that may wait: a person clicks one at a time.
const COMMANDS: usize = 32;

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

/// Where a command's answer goes.
pub(crate) type Reply<T> = oneshot::Sender<Result<T, CommandError>>;

/// What the task is asked for.
pub(crate) enum Command {
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
        Self::start_with(config, Arc::new(Embedded), Arc::new(Plugged))
    }

    pub(crate) fn start_with(
        config: EngineConfig,
        relays: Arc<dyn Relays>,
        hardware: Arc<dyn Hardware>,
    ) -> Result<Self, EngineError> {
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
        let pipeline = Pipeline::start(hardware, &wanted, config.synthetic, &windows, &sound, Arc::clone(&bell))
            .map_err(system("thread"))?;
        let outlet = pipeline.outlet.clone();
        let around = Surroundings { relays, windows, sound, outlet, bell };
        let secrets = Arc::new(if config.keychain { Secrets::new() } else { Secrets::in_memory() });
        let parts =
            Parts { profile: config.profile, synthetic: config.synthetic, settings, secrets, around, pipeline, socket };
        let mut actor = Actor::new(parts);
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

/// The folder of the profile `--profile` names, or the default one.
pub fn profile_folder(given: Option<PathBuf>) -> PathBuf {
    given.unwrap_or_else(Profile::default_folder)
}
