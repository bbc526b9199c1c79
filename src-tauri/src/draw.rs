//! The engine's state as the window draws it, and the window's wishes as the engine takes them.
//!
//! Belongs here: one value into another. Not here: the shapes (`view`), decisions (`engine`).

use crate::view::{
    AppError, AppView, Appearance, DelayParts, DelayView, DeviceKind, DeviceState, DeviceView, DevicesView, Language,
    NetworkKind, NetworkView, Notice, PatientUrls, Phase, PictureState, Ports, RemoteView, Server, ServerPorts,
    SettingsView, Trouble, Validity, VisitView,
};
use engine::settings::{self, Settings};
use engine::{CommandError, DeviceInfo, ServerError, Snapshot};
use std::time::{SystemTime, UNIX_EPOCH};

/// Stands in the window for a password that is known: the password itself never leaves this process's side of the window.
const KNOWN_PASSWORD: &str = "••••••••";

/// What the window draws of `snapshot` at `now`.
pub(crate) fn app(snapshot: &Snapshot, now: SystemTime) -> AppView {
    AppView {
        version: env!("CARGO_PKG_VERSION").into(),
        settings: settings_view(&snapshot.settings, snapshot.has_password),
        devices: devices(snapshot),
        networks: snapshot.networks.iter().map(network).collect(),
        visit: visit(snapshot, now),
        player_url: snapshot.player_url.clone(),
    }
}

/// Settings as the window sends them, and the server's password where it was changed.
pub(crate) fn settings(view: SettingsView) -> (Settings, Option<String>) {
    let (server, password) = match view.server {
        Server::ThisComputer => (settings::Server::ThisComputer, None),
        Server::Address { address, user, password, ports: ServerPorts { whip, rtmp, hls } } => {
            let ports = settings::ServerPorts { whip, rtmp, hls };
            (settings::Server::Address { address, user, ports }, (password != KNOWN_PASSWORD).then_some(password))
        }
    };
    let settings = Settings {
        language: match view.language {
            Language::ZhCn => settings::Language::ZhCn,
            Language::En => settings::Language::En,
        },
        appearance: match view.appearance {
            Appearance::System => settings::Appearance::System,
            Appearance::Light => settings::Appearance::Light,
            Appearance::Dark => settings::Appearance::Dark,
        },
        doctor_stream: view.doctor_stream,
        patient_stream: view.patient_stream,
        open_names: view.open_names,
        network: view.network,
        camera: view.camera,
        microphone: view.microphone,
        speaker: view.speaker,
        width: view.width,
        height: view.height,
        fps: view.fps,
        bitrate_kbps: view.bitrate_kbps,
        release_microphone: view.release_microphone,
        server,
        ports: settings::Ports {
            rtmp: view.ports.rtmp,
            hls: view.ports.hls,
            webrtc_http: view.ports.webrtc_http,
            webrtc_udp: view.ports.webrtc_udp,
        },
    };
    (settings, password)
}

/// Why a command was not done, as the window has words for it.
pub(crate) fn error(error: CommandError) -> AppError {
    match error {
        CommandError::PortTaken { setting, port, program, free } => {
            AppError::PortTaken { setting, port, program, free }
        }
        CommandError::InvalidSetting(invalid) => AppError::InvalidSetting { field: invalid.0.into() },
        CommandError::Internal(detail) => AppError::Internal { detail },
    }
}

fn settings_view(settings: &Settings, has_password: bool) -> SettingsView {
    let settings = settings.clone();
    SettingsView {
        language: match settings.language {
            settings::Language::ZhCn => Language::ZhCn,
            settings::Language::En => Language::En,
        },
        appearance: match settings.appearance {
            settings::Appearance::System => Appearance::System,
            settings::Appearance::Light => Appearance::Light,
            settings::Appearance::Dark => Appearance::Dark,
        },
        server: match settings.server {
            settings::Server::ThisComputer => Server::ThisComputer,
            settings::Server::Address { address, user, ports } => {
                let settings::ServerPorts { whip, rtmp, hls } = ports;
                let password = if has_password { KNOWN_PASSWORD.into() } else { String::new() };
                Server::Address { address, user, password, ports: ServerPorts { whip, rtmp, hls } }
            }
        },
        doctor_stream: settings.doctor_stream,
        patient_stream: settings.patient_stream,
        open_names: settings.open_names,
        network: settings.network,
        ports: Ports {
            rtmp: settings.ports.rtmp,
            hls: settings.ports.hls,
            webrtc_http: settings.ports.webrtc_http,
            webrtc_udp: settings.ports.webrtc_udp,
        },
        camera: settings.camera,
        microphone: settings.microphone,
        speaker: settings.speaker,
        width: settings.width,
        height: settings.height,
        fps: settings.fps,
        bitrate_kbps: settings.bitrate_kbps,
        release_microphone: settings.release_microphone,
    }
}

fn devices(snapshot: &Snapshot) -> DevicesView {
    let list = |infos: &[DeviceInfo]| {
        let one = |d: &DeviceInfo| DeviceView { id: d.id.clone(), name: d.name.clone(), is_default: d.default };
        infos.iter().map(one).collect()
    };
    DevicesView {
        cameras: list(&snapshot.devices.cameras),
        microphones: list(&snapshot.devices.microphones),
        speakers: list(&snapshot.devices.speakers),
        camera: stood_in(&snapshot.states.camera),
        microphone: stood_in(&snapshot.states.microphone),
        speaker: device_state(&snapshot.states.speaker),
    }
}

/// Where there is no camera or microphone, test card and beep stand in, and that is what the window shows; the notice beside it
/// says why.
fn stood_in(state: &engine::DeviceState) -> DeviceState {
    match state {
        engine::DeviceState::Missing => DeviceState::Synthetic,
        other => device_state(other),
    }
}

fn device_state(state: &engine::DeviceState) -> DeviceState {
    match state.clone() {
        engine::DeviceState::Open { name } => DeviceState::Open { name },
        engine::DeviceState::Synthetic => DeviceState::Synthetic,
        engine::DeviceState::Off => DeviceState::Off,
        engine::DeviceState::Missing => DeviceState::Missing,
        engine::DeviceState::Busy { name } => DeviceState::Busy { name },
        engine::DeviceState::Denied => DeviceState::Denied,
        engine::DeviceState::Lost { name } => DeviceState::Lost { name },
        engine::DeviceState::Hung { name } => DeviceState::Hung { name },
        engine::DeviceState::Failed { name } => DeviceState::Failed { name },
    }
}

fn network(network: &engine::Network) -> NetworkView {
    NetworkView {
        interface: network.interface.clone(),
        address: network.address.to_string(),
        kind: match network.kind {
            engine::NetworkKind::Cable => NetworkKind::Cable,
            engine::NetworkKind::Wifi => NetworkKind::Wifi,
            engine::NetworkKind::Vpn => NetworkKind::Vpn,
            engine::NetworkKind::Virtual => NetworkKind::Virtual,
            engine::NetworkKind::Loopback => NetworkKind::Loopback,
        },
        suggested: network.suggested,
    }
}

fn visit(snapshot: &Snapshot, now: SystemTime) -> VisitView {
    let millis = |at: SystemTime| at.duration_since(UNIX_EPOCH).ok().and_then(|d| u64::try_from(d.as_millis()).ok());
    let remote = snapshot.remote;
    VisitView {
        phase: phase(&snapshot.phase, now),
        started_at_ms: snapshot.started_at.and_then(millis),
        muted: snapshot.muted,
        camera_off: snapshot.camera_off,
        remote: RemoteView {
            picture: match remote.picture {
                engine::PictureState::None => PictureState::None,
                engine::PictureState::Live => PictureState::Live,
                engine::PictureState::Frozen => PictureState::Frozen,
            },
            sound: remote.sound,
            width: remote.width,
            height: remote.height,
        },
        delay: DelayView {
            incoming: delay(&snapshot.delay.incoming),
            outgoing: delay(&snapshot.delay.outgoing),
            estimated: snapshot.delay.estimated,
        },
        patient: snapshot.patient.clone().map(|urls| PatientUrls {
            push_rtmp: urls.push_rtmp,
            play_rtmp: urls.play_rtmp,
            play_flv: urls.play_flv,
            play_hls: urls.play_hls,
            validity: match urls.validity {
                engine::Validity::ThisVisit => Validity::ThisVisit,
                engine::Validity::OpenNames => Validity::OpenNames,
                engine::Validity::Server => Validity::Server,
            },
        }),
        notices: snapshot.notices.iter().filter_map(notice).collect(),
    }
}

fn phase(phase: &engine::Phase, now: SystemTime) -> Phase {
    match phase {
        engine::Phase::Ready => Phase::Ready,
        engine::Phase::Starting => Phase::Starting,
        engine::Phase::Waiting => Phase::Waiting,
        engine::Phase::Live => Phase::Live,
        engine::Phase::Reconnecting { attempt, retry_at, error } => Phase::Reconnecting {
            attempt: *attempt,
            retry_in_ms: retry_at.duration_since(now).ok().and_then(|d| u64::try_from(d.as_millis()).ok()).unwrap_or(0),
            error: server_error(error),
        },
        engine::Phase::Ending => Phase::Ending,
    }
}

fn server_error(error: &ServerError) -> AppError {
    match error.clone() {
        ServerError::Refused { address } => AppError::ServerRefused { address },
        ServerError::Timeout { address } => AppError::ServerTimeout { address },
        ServerError::Unauthorized { address } => AppError::ServerUnauthorized { address },
        ServerError::NotFound { address } => AppError::ServerNotFound { address },
        ServerError::Other { address, detail } => AppError::ServerOther { address, detail },
    }
}

fn delay(parts: &engine::DelayParts) -> DelayParts {
    DelayParts {
        network_ms: parts.network,
        queue_ms: parts.queue,
        hold_ms: parts.hold,
        codec_ms: parts.codec,
        display_ms: parts.display,
        jitter_ms: parts.jitter,
        total_ms: parts.total(),
    }
}

/// `None` for a device that is as it should be.
fn notice(notice: &engine::Notice) -> Option<Notice> {
    use engine::DeviceState::{Busy, Denied, Failed, Hung, Lost, Missing, Off, Open, Synthetic};
    let (device, state) = match notice.clone() {
        engine::Notice::Camera(state) => (DeviceKind::Camera, state),
        engine::Notice::Microphone(state) => (DeviceKind::Microphone, state),
        engine::Notice::Speaker(state) => (DeviceKind::Speaker, state),
        engine::Notice::MutedButSpeaking => return Some(Notice::MutedButSpeaking),
        engine::Notice::PortTaken { setting, port, program, free } => {
            return Some(Notice::PortTaken { setting, port, program, free });
        }
    };
    let (trouble, name) = match state {
        Missing => (Trouble::Missing, String::new()),
        Denied => (Trouble::Denied, String::new()),
        Busy { name } => (Trouble::Busy, name),
        Lost { name } => (Trouble::Lost, name),
        Hung { name } => (Trouble::Hung, name),
        Failed { name } => (Trouble::Failed, name),
        Open { .. } | Synthetic | Off => return None,
    };
    Some(Notice::Device { device, trouble, name })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::controller::tests::snapshot;
    use std::time::Duration;

    #[test]
    fn settings_cross_and_come_back() {
        let mut there = snapshot();
        there.settings.fps = 25;
        let ports = settings::ServerPorts { rtmp: 1936, ..settings::ServerPorts::default() };
        there.settings.server = settings::Server::Address { address: "10.0.0.5".into(), user: "doc".into(), ports };
        let check = |has_password: bool, typed: Option<&str>, want: Option<&str>| {
            let mut view = settings_view(&there.settings, has_password);
            if let (Server::Address { password, .. }, Some(typed)) = (&mut view.server, typed) {
                *password = typed.into();
            }
            let (back, password) = settings(view);
            assert_eq!((back, password.as_deref()), (there.settings.clone(), want));
        };
        check(true, None, None);
        check(true, Some("new"), Some("new"));
        check(true, Some(""), Some(""));
        check(false, None, Some(""));
    }

    #[test]
    fn every_trouble_of_a_device_is_said() {
        use engine::DeviceState::{Busy, Denied, Failed, Hung, Lost, Missing, Off, Open, Synthetic};
        let name = || String::from("C920");
        let check = |state: engine::DeviceState, want: Option<(Trouble, &str)>| {
            let want = |device| want.map(|(trouble, name)| Notice::Device { device, trouble, name: name.into() });
            assert_eq!(notice(&engine::Notice::Camera(state.clone())), want(DeviceKind::Camera));
            assert_eq!(notice(&engine::Notice::Microphone(state.clone())), want(DeviceKind::Microphone));
            assert_eq!(notice(&engine::Notice::Speaker(state)), want(DeviceKind::Speaker));
        };
        check(Missing, Some((Trouble::Missing, "")));
        check(Denied, Some((Trouble::Denied, "")));
        check(Busy { name: name() }, Some((Trouble::Busy, "C920")));
        check(Lost { name: name() }, Some((Trouble::Lost, "C920")));
        check(Hung { name: name() }, Some((Trouble::Hung, "C920")));
        check(Failed { name: name() }, Some((Trouble::Failed, "C920")));
        check(Open { name: name() }, None);
        check(Synthetic, None);
        check(Off, None);
    }

    #[test]
    fn countdowns_are_spans() {
        let now = UNIX_EPOCH + Duration::from_secs(100);
        let error = ServerError::Timeout { address: "a".into() };
        let check = |retry_at, want| {
            let phase = phase(&engine::Phase::Reconnecting { attempt: 2, retry_at, error: error.clone() }, now);
            let error = AppError::ServerTimeout { address: "a".into() };
            assert_eq!(phase, Phase::Reconnecting { attempt: 2, retry_in_ms: want, error });
        };
        check(now + Duration::from_millis(1500), 1500);
        check(now - Duration::from_secs(1), 0);
    }
}
