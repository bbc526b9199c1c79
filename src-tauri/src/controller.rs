//! Who does what when: the window's requests, the engine's changes, the launch.
//!
//! One task with a closed set of things that wake it. It decides nothing about consultations; it forwards, draws, and says once
//! that the program is up.
//!
//! Belongs here: that task. Not here: Tauri (`gui`), conversion (`draw`).

use crate::draw;
use crate::launch::{Button, Launch};
use crate::view::{AppError, AppView, Language, SettingsView};
use engine::{CommandError, Engine, Phase, Snapshot};
use std::future::Future;
use std::sync::Arc;
use std::time::SystemTime;
use tokio::sync::{mpsc, oneshot, watch};

/// Requests that may wait; a person makes one at a time.
pub(crate) const REQUESTS: usize = 64;

/// The window, as the controller sees it.
pub(crate) trait Ui: Send + 'static {
    /// Draws `view`.
    fn show(&self, view: &AppView);

    /// Fills the screen, or stops to.
    ///
    /// # Errors
    /// What the system says.
    fn set_fullscreen(&self, on: bool) -> Result<(), String>;

    /// The launch has reached its goal: one line for whoever started the program.
    fn ready(&self, line: &serde_json::Value);
}

/// The engine, as the controller sees it.
pub(crate) trait Core: Send + Sync + 'static {
    /// The state as it changes.
    fn watch(&self) -> watch::Receiver<Snapshot>;

    /// Does `action`.
    fn act(&self, action: Action) -> impl Future<Output = Result<(), CommandError>> + Send;
}

/// What the engine can be asked for.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Action {
    Start,
    End,
    SetMuted(bool),
    SetCameraOff(bool),
    RetryNow,
    UpdateSettings(Box<engine::settings::Settings>, Option<String>),
    RefreshDevices,
    UsePort(String, u16),
}

impl Core for Engine {
    fn watch(&self) -> watch::Receiver<Snapshot> {
        Self::watch(self)
    }

    async fn act(&self, action: Action) -> Result<(), CommandError> {
        match action {
            Action::Start => self.start_consultation().await,
            Action::End => self.end_consultation().await,
            Action::SetMuted(muted) => self.set_muted(muted).await,
            Action::SetCameraOff(off) => self.set_camera_off(off).await,
            Action::RetryNow => self.retry_now().await,
            Action::UpdateSettings(settings, password) => self.update_settings(*settings, password).await,
            Action::RefreshDevices => self.refresh_devices().await,
            Action::UsePort(setting, port) => self.use_port(setting, port).await,
        }
    }
}

/// Where an answer goes.
pub(crate) type Reply<T> = oneshot::Sender<Result<T, AppError>>;

/// What the window asks.
#[derive(Debug)]
pub(crate) enum Request {
    Snapshot(Reply<AppView>),
    Act(Action, Reply<()>),
    /// Acts, and answers with what is then.
    ActAndShow(Action, Reply<AppView>),
    SetFullscreen(bool, Reply<()>),
}

/// Everything that wakes the controller.
enum Wake {
    Request(Request),
    Changed,
    /// The action of the launch is done.
    Launched(Result<(), CommandError>),
    /// Window or engine have gone.
    Gone,
}

/// The controller's state.
pub(crate) struct Controller<U, C> {
    ui: U,
    core: Arc<C>,
    launch: Launch,
    language: Option<Language>,
    snapshot: watch::Receiver<Snapshot>,
}

impl<U: Ui, C: Core> Controller<U, C> {
    /// A controller between `ui` and `core`.
    pub(crate) fn new(ui: U, core: Arc<C>, launch: Launch) -> Self {
        let snapshot = core.watch();
        Self { ui, core, launch, language: launch.language, snapshot }
    }

    /// Runs until window or engine have gone.
    pub(crate) async fn run(mut self, mut requests: mpsc::Receiver<Request>) {
        let (launched, mut launching) = oneshot::channel();
        let mut launched = Some(launched);
        match self.launch.start {
            Some(Button::Consult) => {
                let core = Arc::clone(&self.core);
                let launched = launched.take();
                tokio::spawn(async move {
                    let done = core.act(Action::Start).await;
                    launched.map(|l| l.send(done))
                });
            }
            None => self.ready(),
        }
        let mut waits = self.launch.start.is_some();
        loop {
            let wake = tokio::select! {
                request = requests.recv() => request.map_or(Wake::Gone, Wake::Request),
                changed = self.snapshot.changed() => if changed.is_ok() { Wake::Changed } else { Wake::Gone },
                done = &mut launching, if waits => {
                    waits = false;
                    Wake::Launched(done.unwrap_or(Ok(())))
                }
            };
            match wake {
                Wake::Request(request) => self.take(request),
                Wake::Changed => {
                    let view = self.view();
                    self.ui.show(&view);
                }
                Wake::Launched(Ok(())) => self.ready(),
                Wake::Launched(Err(error)) => tracing::error!(%error, "the consultation was not started at launch"),
                Wake::Gone => return,
            }
        }
    }

    fn take(&mut self, request: Request) {
        match request {
            Request::Snapshot(reply) => answer(reply, Ok(self.view())),
            Request::SetFullscreen(on, reply) => {
                answer(reply, self.ui.set_fullscreen(on).map_err(|detail| AppError::Internal { detail }));
            }
            Request::Act(action, reply) => self.act(action, |done, _| answer(reply, done)),
            Request::ActAndShow(action, reply) => {
                if matches!(action, Action::UpdateSettings(..)) {
                    // From now on the window's own choice counts, which came with the settings.
                    self.language = None;
                }
                self.act(action, |done, view| answer(reply, done.map(|()| view)));
            }
        }
    }

    /// Does `action` without keeping anybody waiting, then tells `done` how it went and what is.
    fn act(&self, action: Action, done: impl FnOnce(Result<(), AppError>, AppView) + Send + 'static) {
        let (core, snapshot, language) = (Arc::clone(&self.core), self.snapshot.clone(), self.language);
        tokio::spawn(async move {
            let result = core.act(action).await.map_err(draw::error);
            let view = view(&snapshot.borrow(), language);
            done(result, view);
        });
    }

    fn view(&mut self) -> AppView {
        view(&self.snapshot.borrow_and_update(), self.language)
    }

    fn ready(&self) {
        if self.launch.ready_json {
            self.ui.ready(&ready_line(&self.snapshot.borrow()));
        }
    }
}

/// Settings as the window sends them, as an action.
pub(crate) fn update(settings: SettingsView) -> Action {
    let (settings, password) = draw::settings(settings);
    Action::UpdateSettings(Box::new(settings), password)
}

fn view(snapshot: &Snapshot, language: Option<Language>) -> AppView {
    let mut view = draw::app(snapshot, SystemTime::now());
    view.settings.language = language.unwrap_or(view.settings.language);
    view
}

/// Every URL, port and token.
fn ready_line(snapshot: &Snapshot) -> serde_json::Value {
    let ports = snapshot.settings.ports;
    let in_visit = snapshot.phase != Phase::Ready;
    serde_json::json!({
        "ready": true,
        "player": snapshot.player_url,
        "phase": if in_visit { "visit" } else { "ready" },
        "token": snapshot.token,
        "ports": { "rtmp": ports.rtmp, "hls": ports.hls, "webrtcHttp": ports.webrtc_http, "webrtcUdp": ports.webrtc_udp },
        "patient": snapshot.patient.as_ref().map(|urls| serde_json::json!({
            "pushRtmp": urls.push_rtmp,
            "playRtmp": urls.play_rtmp,
            "playFlv": urls.play_flv,
            "playHls": urls.play_hls,
        })),
    })
}

fn answer<T>(reply: Reply<T>, result: Result<T, AppError>) {
    if reply.send(result).is_err() {
        tracing::debug!("the window does not wait for the answer any more");
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use engine::settings::{InvalidSetting, Settings};
    use engine::{Delays, DeviceState, DeviceStates, Devices, PatientUrls, Remote};
    use parking_lot::Mutex;

    pub(crate) fn snapshot() -> Snapshot {
        let off = || DeviceState::Synthetic;
        Snapshot {
            settings: Settings::default(),
            has_password: false,
            devices: Devices::default(),
            states: DeviceStates { camera: off(), microphone: off(), speaker: off() },
            networks: Vec::new(),
            phase: Phase::Ready,
            started_at: None,
            muted: false,
            camera_off: false,
            remote: Remote::default(),
            delay: Delays::default(),
            patient: None,
            token: None,
            notices: Vec::new(),
            player_url: "ws://127.0.0.1:1/player?token=t".into(),
        }
    }

    struct MockUi(mpsc::UnboundedSender<String>);

    impl Ui for MockUi {
        fn show(&self, view: &AppView) {
            self.0.send(format!("show {}", serde_json::json!(view.visit.phase)["kind"])).unwrap();
        }

        fn set_fullscreen(&self, on: bool) -> Result<(), String> {
            if on { Ok(()) } else { Err("no".into()) }
        }

        fn ready(&self, line: &serde_json::Value) {
            self.0.send(format!("ready {} {}", line["phase"], line["patient"]["pushRtmp"])).unwrap();
        }
    }

    struct MockCore {
        state: watch::Sender<Snapshot>,
        done: Mutex<Vec<Action>>,
        fails: bool,
    }

    impl Core for MockCore {
        fn watch(&self) -> watch::Receiver<Snapshot> {
            self.state.subscribe()
        }

        async fn act(&self, action: Action) -> Result<(), CommandError> {
            self.done.lock().push(action.clone());
            if self.fails {
                return Err(CommandError::InvalidSetting(InvalidSetting("fps")));
            }
            if action == Action::Start {
                let url = String::from("rtmp://h/p");
                self.state.send_modify(|s| {
                    s.phase = Phase::Waiting;
                    s.patient = Some(PatientUrls {
                        push_rtmp: url.clone(),
                        play_rtmp: url.clone(),
                        play_flv: url.clone(),
                        play_hls: url,
                        validity: engine::Validity::ThisVisit,
                    });
                });
            }
            Ok(())
        }
    }

    struct Bench {
        requests: mpsc::Sender<Request>,
        said: mpsc::UnboundedReceiver<String>,
        core: Arc<MockCore>,
    }

    fn bench(launch: Launch, fails: bool) -> Bench {
        let (said_tx, said) = mpsc::unbounded_channel();
        let core = Arc::new(MockCore { state: watch::channel(snapshot()).0, done: Mutex::default(), fails });
        let (requests, inbox) = mpsc::channel(REQUESTS);
        tokio::spawn(Controller::new(MockUi(said_tx), Arc::clone(&core), launch).run(inbox));
        Bench { requests, said, core }
    }

    async fn ask<T>(bench: &Bench, request: impl FnOnce(Reply<T>) -> Request) -> Result<T, AppError> {
        let (reply, answer) = oneshot::channel();
        bench.requests.send(request(reply)).await.unwrap();
        answer.await.unwrap()
    }

    #[tokio::test]
    async fn ready_at_once_without_a_button() {
        let mut bench = bench(Launch { ready_json: true, ..Launch::default() }, false);
        assert_eq!(bench.said.recv().await.unwrap(), "ready \"ready\" null");
        assert!(bench.core.done.lock().is_empty());
    }

    #[tokio::test]
    async fn ready_once_the_button_has_worked() {
        let launch = Launch { ready_json: true, start: Some(Button::Consult), ..Launch::default() };
        let mut bench = bench(launch, false);
        let mut said = [bench.said.recv().await.unwrap(), bench.said.recv().await.unwrap()];
        said.sort();
        assert_eq!(said, ["ready \"visit\" \"rtmp://h/p\"", "show \"waiting\""]);
    }

    #[tokio::test]
    async fn requests_are_forwarded_and_answered() {
        let bench = bench(Launch { language: Some(Language::En), ..Launch::default() }, false);
        let view = ask(&bench, Request::Snapshot).await.unwrap();
        assert_eq!(view.settings.language, Language::En, "the launch's language");
        ask(&bench, |r| Request::Act(Action::SetMuted(true), r)).await.unwrap();
        assert!(ask(&bench, |r| Request::SetFullscreen(true, r)).await.is_ok());
        assert!(ask(&bench, |r| Request::SetFullscreen(false, r)).await.is_err());
        let after = ask(&bench, |r| Request::ActAndShow(update(view.settings.clone()), r)).await.unwrap();
        assert_eq!(after.settings.language, Language::ZhCn, "what the engine keeps");
        let done = bench.core.done.lock().clone();
        assert!(matches!(&done[..], [Action::SetMuted(true), Action::UpdateSettings(..)]), "{done:?}");
    }

    #[tokio::test]
    async fn failures_have_names() {
        let bench = bench(Launch::default(), true);
        let error = ask(&bench, |r| Request::Act(Action::Start, r)).await.unwrap_err();
        assert_eq!(error, AppError::InvalidSetting { field: "fps".into() });
    }
}
