//! The window: the one module that knows Tauri.
//!
//! Belongs here: building it, its commands (each forwards one request), its event. Not here: what a request does (`controller`).

#![allow(clippy::let_underscore_must_use, reason = "what the command macro expands to")]

use crate::controller::{Action, Controller, REQUESTS, Reply, Request, Ui, update};
use crate::launch::Launch;
use crate::view::{AppError, AppView, SettingsView};
use engine::{Engine, EngineConfig};
use std::io::Write;
use std::sync::Arc;
use std::time::Duration;
use tauri::{AppHandle, Emitter, Manager, RunEvent, State};
use tokio::sync::{mpsc, oneshot};

/// The window's name in `tauri.conf.json`.
const WINDOW: &str = "main";
/// The event that carries every new view.
const CHANGED: &str = "app-changed";
/// Ending a consultation is a few closed sockets; a server that does not answer is not waited for at the program's end.
const FAREWELL: Duration = Duration::from_secs(4);

type Requests = mpsc::Sender<Request>;

/// Starts the engine, opens the window and runs until it is closed; then the consultation has ended.
///
/// # Errors
/// Where the engine does not start, there is no display, or no web view.
pub(crate) fn run(config: EngineConfig, launch: Launch) -> anyhow::Result<()> {
    let told = Told::listen()?;
    let engine = Arc::new(Engine::start(config)?);
    let (requests, inbox) = mpsc::channel::<Request>(REQUESTS);
    let core = Arc::clone(&engine);
    let app = tauri::Builder::default()
        .manage(requests)
        .invoke_handler(tauri::generate_handler![
            snapshot,
            start_consultation,
            end_consultation,
            set_muted,
            set_camera_off,
            retry_now,
            update_settings,
            refresh_devices,
            use_port,
            set_fullscreen,
        ])
        .setup(move |app| {
            let controller = Controller::new(Window(app.handle().clone()), core, launch);
            tauri::async_runtime::spawn(controller.run(inbox));
            // A program that is told to end ends as if its window had been closed.
            let window = app.handle().clone();
            tauri::async_runtime::spawn(async move {
                told.wait().await;
                window.exit(0);
            });
            Ok(())
        })
        .build(tauri::generate_context!())?;
    app.run(move |_, event| {
        if matches!(event, RunEvent::Exit) {
            let ended =
                tauri::async_runtime::block_on(async { tokio::time::timeout(FAREWELL, engine.shut_down()).await });
            if !matches!(ended, Ok(Ok(()))) {
                tracing::warn!("the consultation did not end in time");
            }
        }
    });
    Ok(())
}

/// Writes one line of JSON to standard output. Nobody listening is no failure.
pub(crate) fn print_line(line: &serde_json::Value) {
    let mut out = std::io::stdout().lock();
    if let Err(error) = writeln!(out, "{line}").and_then(|()| out.flush()) {
        tracing::warn!(%error, "standard output");
    }
}

struct Window(AppHandle);

impl Ui for Window {
    fn show(&self, view: &AppView) {
        if let Err(error) = self.0.emit(CHANGED, view) {
            tracing::warn!(%error, "the window was not told of a change");
        }
    }

    fn set_fullscreen(&self, on: bool) -> Result<(), String> {
        let window = self.0.get_webview_window(WINDOW).ok_or("the window has gone")?;
        window.set_fullscreen(on).map_err(|e| e.to_string())
    }

    fn ready(&self, line: &serde_json::Value) {
        print_line(line);
    }
}

/// The system's requests to end. They are listened to before anything else happens: until then, and only until then, such a
/// request ends the process as the system does it.
#[cfg(unix)]
struct Told {
    terminate: tokio::signal::unix::Signal,
    interrupt: tokio::signal::unix::Signal,
}

#[cfg(unix)]
impl Told {
    fn listen() -> std::io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        let _within = tauri::async_runtime::handle().inner().enter();
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    async fn wait(mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

#[cfg(not(unix))]
struct Told;

#[cfg(not(unix))]
impl Told {
    fn listen() -> std::io::Result<Self> {
        Ok(Self)
    }

    async fn wait(self) {
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

async fn ask<T>(requests: &Requests, request: impl FnOnce(Reply<T>) -> Request) -> Result<T, AppError> {
    let gone = || AppError::Internal { detail: "the program is ending".into() };
    let (reply, answer) = oneshot::channel();
    requests.send(request(reply)).await.map_err(|_| gone())?;
    answer.await.map_err(|_| gone())?
}

async fn act(requests: &Requests, action: Action) -> Result<(), AppError> {
    ask(requests, |reply| Request::Act(action, reply)).await
}

#[tauri::command]
async fn snapshot(requests: State<'_, Requests>) -> Result<AppView, AppError> {
    ask(&requests, Request::Snapshot).await
}

#[tauri::command]
async fn start_consultation(requests: State<'_, Requests>) -> Result<(), AppError> {
    act(&requests, Action::Start).await
}

#[tauri::command]
async fn end_consultation(requests: State<'_, Requests>) -> Result<(), AppError> {
    act(&requests, Action::End).await
}

#[tauri::command]
async fn set_muted(requests: State<'_, Requests>, muted: bool) -> Result<(), AppError> {
    act(&requests, Action::SetMuted(muted)).await
}

#[tauri::command]
async fn set_camera_off(requests: State<'_, Requests>, off: bool) -> Result<(), AppError> {
    act(&requests, Action::SetCameraOff(off)).await
}

#[tauri::command]
async fn retry_now(requests: State<'_, Requests>) -> Result<(), AppError> {
    act(&requests, Action::RetryNow).await
}

#[tauri::command]
async fn update_settings(requests: State<'_, Requests>, settings: SettingsView) -> Result<AppView, AppError> {
    ask(&requests, |reply| Request::ActAndShow(update(settings), reply)).await
}

#[tauri::command]
async fn refresh_devices(requests: State<'_, Requests>) -> Result<AppView, AppError> {
    ask(&requests, |reply| Request::ActAndShow(Action::RefreshDevices, reply)).await
}

#[tauri::command]
async fn use_port(requests: State<'_, Requests>, setting: String, port: u16) -> Result<(), AppError> {
    act(&requests, Action::UsePort(setting, port)).await
}

#[tauri::command]
async fn set_fullscreen(requests: State<'_, Requests>, on: bool) -> Result<(), AppError> {
    ask(&requests, |reply| Request::SetFullscreen(on, reply)).await
}
