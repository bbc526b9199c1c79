//! What crosses to the window: view models, typed errors and events.
//!
//! Belongs here: the shapes the UI draws, and nothing but shapes.
//! Not here: decisions (`engine`), wiring (`gui`), media (pictures and meters go over the player socket).

use serde::{Deserialize, Serialize};

/// Everything the window draws, sent whole on every change. Small, so no diffing.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
#[serde(rename_all = "camelCase")]
pub(crate) struct AppView {
    pub(crate) version: String,
    pub(crate) settings: SettingsView,
    pub(crate) devices: DevicesView,
    pub(crate) networks: Vec<NetworkView>,
    pub(crate) visit: VisitView,
    /// `ws://127.0.0.1:PORT/player?token=…`: pictures, meters and their acknowledgements.
    pub(crate) player_url: String,
}

/// Where the consultation stands. The UI turns this into one line of words.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
#[serde(rename_all = "camelCase")]
pub(crate) struct VisitView {
    pub(crate) phase: Phase,
    /// Milliseconds since the Unix epoch at which the visit began; absent outside a visit.
    pub(crate) started_at_ms: Option<u64>,
    pub(crate) muted: bool,
    pub(crate) camera_off: bool,
    pub(crate) remote: RemoteView,
    pub(crate) delay: DelayView,
    /// What the patient opens; empty outside a visit.
    pub(crate) patient: Option<PatientUrls>,
    /// Things that need a look, most urgent first; each says what happened and offers at most one cure.
    pub(crate) notices: Vec<Notice>,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
#[serde(tag = "kind", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub(crate) enum Phase {
    /// Nothing is bound, nothing is sent.
    Ready,
    Starting,
    /// The doctor is on air; nobody has joined yet.
    Waiting,
    /// Both sides are there.
    Live,
    /// The server does not answer; another try follows by itself.
    Reconnecting {
        attempt: u32,
        retry_in_ms: u64,
        error: AppError,
    },
    Ending,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
#[serde(rename_all = "camelCase")]
pub(crate) struct RemoteView {
    pub(crate) picture: PictureState,
    pub(crate) sound: bool,
    pub(crate) width: u32,
    pub(crate) height: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
#[serde(rename_all = "camelCase")]
pub(crate) enum PictureState {
    None,
    Live,
    /// No new picture for a while; sound may go on.
    Frozen,
}

/// Delay in milliseconds, as far as each part is known.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
#[serde(rename_all = "camelCase")]
pub(crate) struct DelayView {
    pub(crate) incoming: DelayParts,
    pub(crate) outgoing: DelayParts,
    /// The other side is an RTMP phone: its own buffer is unknown, so the total is an estimate.
    pub(crate) estimated: bool,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
#[serde(rename_all = "camelCase")]
pub(crate) struct DelayParts {
    pub(crate) network_ms: Option<f32>,
    pub(crate) queue_ms: Option<f32>,
    /// The picture waits for its sound.
    pub(crate) hold_ms: Option<f32>,
    pub(crate) codec_ms: Option<f32>,
    pub(crate) display_ms: Option<f32>,
    /// The sound's own: while the picture takes the four before, it takes this.
    pub(crate) jitter_ms: Option<f32>,
    pub(crate) total_ms: Option<f32>,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
#[serde(rename_all = "camelCase")]
pub(crate) struct PatientUrls {
    /// For `live-pusher`: where the patient's picture and sound go.
    pub(crate) push_rtmp: String,
    /// For `live-player`: the doctor, sound as AAC.
    pub(crate) play_rtmp: String,
    pub(crate) play_flv: String,
    pub(crate) play_hls: String,
    pub(crate) validity: Validity,
}

/// How long the patient's addresses work, and for whom.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
#[serde(rename_all = "camelCase")]
pub(crate) enum Validity {
    /// They carry the visit's token.
    ThisVisit,
    /// They carry none: whoever knows the names can join.
    OpenNames,
    /// They are a server's, the same in every visit.
    Server,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
#[serde(rename_all = "camelCase")]
pub(crate) struct DevicesView {
    pub(crate) cameras: Vec<DeviceView>,
    pub(crate) microphones: Vec<DeviceView>,
    pub(crate) speakers: Vec<DeviceView>,
    pub(crate) camera: DeviceState,
    pub(crate) microphone: DeviceState,
    pub(crate) speaker: DeviceState,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
#[serde(rename_all = "camelCase")]
pub(crate) struct DeviceView {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) is_default: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
#[serde(tag = "kind", rename_all = "camelCase")]
pub(crate) enum DeviceState {
    Open {
        name: String,
    },
    /// No such device: the test card or the beep stands in.
    Synthetic,
    Off,
    Missing,
    Busy {
        name: String,
    },
    Denied,
    Lost {
        name: String,
    },
    Hung {
        name: String,
    },
    Failed {
        name: String,
    },
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
#[serde(rename_all = "camelCase")]
pub(crate) struct NetworkView {
    /// The interface's own name, such as `wlan0`.
    pub(crate) interface: String,
    pub(crate) address: String,
    pub(crate) kind: NetworkKind,
    pub(crate) suggested: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
#[serde(rename_all = "camelCase")]
pub(crate) enum NetworkKind {
    Cable,
    Wifi,
    Vpn,
    Virtual,
    Loopback,
}

/// What the user may change. Sent whole in both directions; kept at once.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
#[serde(rename_all = "camelCase")]
pub(crate) struct SettingsView {
    pub(crate) language: Language,
    pub(crate) appearance: Appearance,
    pub(crate) server: Server,
    pub(crate) doctor_stream: String,
    pub(crate) patient_stream: String,
    /// Token-free stream names, for clients that cannot carry one. Off unless asked for.
    pub(crate) open_names: bool,
    /// `None` follows the suggestion.
    pub(crate) network: Option<String>,
    pub(crate) ports: Ports,
    /// `None` follows the system.
    pub(crate) camera: Option<String>,
    pub(crate) microphone: Option<String>,
    pub(crate) speaker: Option<String>,
    pub(crate) width: u32,
    pub(crate) height: u32,
    pub(crate) fps: u32,
    pub(crate) bitrate_kbps: u32,
    /// Close the microphone while muted, at the price of the meter.
    pub(crate) release_microphone: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub(crate) enum Language {
    #[serde(rename = "zh-CN")]
    ZhCn,
    #[serde(rename = "en")]
    En,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
#[serde(rename_all = "camelCase")]
pub(crate) enum Appearance {
    System,
    Light,
    Dark,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
#[serde(tag = "kind", rename_all = "camelCase")]
pub(crate) enum Server {
    ThisComputer,
    /// `address` is a host, `host:port` or a whole `http(s)://` address.
    Address {
        address: String,
        user: String,
        password: String,
        ports: ServerPorts,
    },
}

/// Ports of a server elsewhere; `whip` counts only where the address is a bare host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
#[serde(rename_all = "camelCase")]
pub(crate) struct ServerPorts {
    pub(crate) whip: u16,
    pub(crate) rtmp: u16,
    pub(crate) hls: u16,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
#[serde(rename_all = "camelCase")]
pub(crate) struct Ports {
    pub(crate) rtmp: u16,
    pub(crate) hls: u16,
    pub(crate) webrtc_http: u16,
    pub(crate) webrtc_udp: u16,
}

/// One thing to say beside the picture.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
#[serde(tag = "kind", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub(crate) enum Notice {
    /// Something is wrong with a device; `name` is empty where nobody knows it.
    Device {
        device: DeviceKind,
        trouble: Trouble,
        name: String,
    },
    MutedButSpeaking,
    /// `program` where the system tells it; `free` is a port that can be used at once.
    PortTaken {
        setting: String,
        port: u16,
        program: Option<String>,
        free: Option<u16>,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
#[serde(rename_all = "camelCase")]
pub(crate) enum DeviceKind {
    Camera,
    Microphone,
    Speaker,
}

/// What can be wrong with a device, each with another next step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
#[serde(rename_all = "camelCase")]
pub(crate) enum Trouble {
    /// There is none.
    Missing,
    /// Another program has it.
    Busy,
    /// The system refuses access.
    Denied,
    /// It was unplugged.
    Lost,
    /// It is there and does not answer.
    Hung,
    /// It gives nothing that can be used.
    Failed,
}

/// What a command may answer instead of success; the UI owns the words.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
#[serde(tag = "kind", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub(crate) enum AppError {
    PortTaken { setting: String, port: u16, program: Option<String>, free: Option<u16> },
    ServerRefused { address: String },
    ServerTimeout { address: String },
    ServerUnauthorized { address: String },
    ServerNotFound { address: String },
    ServerOther { address: String, detail: String },
    InvalidSetting { field: String },
    Internal { detail: String },
}
