// Generated from `src-tauri/src/view.rs` by `BLESS=1 cargo test -p visavis bindings`. Do not edit.

/**
 * Everything the window draws, sent whole on every change. Small, so no diffing.
 */
export type AppView = { version: string, settings: SettingsView, devices: DevicesView, networks: Array<NetworkView>, visit: VisitView,
/**
 * `ws://127.0.0.1:PORT/player?token=…`: pictures, meters and their acknowledgements.
 */
playerUrl: string, };

/**
 * Where the consultation stands. The UI turns this into one line of words.
 */
export type VisitView = { phase: Phase,
/**
 * Milliseconds since the Unix epoch at which the visit began; absent outside a visit.
 */
startedAtMs: number | null, muted: boolean, cameraOff: boolean, remote: RemoteView, delay: DelayView,
/**
 * What the patient opens; empty outside a visit.
 */
patient: PatientUrls | null,
/**
 * Things that need a look, most urgent first; each says what happened and offers at most one cure.
 */
notices: Array<Notice>, };

export type Phase = { "kind": "ready" } | { "kind": "starting" } | { "kind": "waiting" } | { "kind": "live" } | { "kind": "reconnecting", attempt: number, retryInMs: number, error: AppError, } | { "kind": "ending" };

export type RemoteView = { picture: PictureState, sound: boolean, width: number, height: number, };

export type PictureState = "none" | "live" | "frozen";

/**
 * Delay in milliseconds, as far as each part is known.
 */
export type DelayView = { incoming: DelayParts, outgoing: DelayParts,
/**
 * The other side is an RTMP phone: its own buffer is unknown, so the total is an estimate.
 */
estimated: boolean, };

export type DelayParts = { networkMs: number | null, queueMs: number | null,
/**
 * The picture waits for its sound.
 */
holdMs: number | null, codecMs: number | null, displayMs: number | null,
/**
 * The sound's own: while the picture takes the four before, it takes this.
 */
jitterMs: number | null, totalMs: number | null, };

export type PatientUrls = {
/**
 * For `live-pusher`: where the patient's picture and sound go.
 */
pushRtmp: string,
/**
 * For `live-player`: the doctor, sound as AAC.
 */
playRtmp: string, playFlv: string, playHls: string, validity: Validity, };

/**
 * How long the patient's addresses work, and for whom.
 */
export type Validity = "thisVisit" | "openNames" | "server";

export type DevicesView = { cameras: Array<DeviceView>, microphones: Array<DeviceView>, speakers: Array<DeviceView>, camera: DeviceState, microphone: DeviceState, speaker: DeviceState, };

export type DeviceView = { id: string, name: string, isDefault: boolean, };

export type DeviceState = { "kind": "open", name: string, } | { "kind": "synthetic" } | { "kind": "off" } | { "kind": "missing" } | { "kind": "busy", name: string, } | { "kind": "denied" } | { "kind": "lost", name: string, } | { "kind": "hung", name: string, } | { "kind": "failed", name: string, };

export type NetworkView = {
/**
 * The interface's own name, such as `wlan0`.
 */
interface: string, address: string, kind: NetworkKind, suggested: boolean, };

export type NetworkKind = "cable" | "wifi" | "vpn" | "virtual" | "loopback";

/**
 * What the user may change. Sent whole in both directions; kept at once.
 */
export type SettingsView = { language: Language, appearance: Appearance, server: Server, doctorStream: string, patientStream: string,
/**
 * Token-free stream names, for clients that cannot carry one. Off unless asked for.
 */
openNames: boolean,
/**
 * `None` follows the suggestion.
 */
network: string | null, ports: Ports,
/**
 * `None` follows the system.
 */
camera: string | null, microphone: string | null, speaker: string | null, width: number, height: number, fps: number, bitrateKbps: number,
/**
 * Close the microphone while muted, at the price of the meter.
 */
releaseMicrophone: boolean, };

export type Language = "zh-CN" | "en";

export type Appearance = "system" | "light" | "dark";

export type Server = { "kind": "thisComputer" } | { "kind": "address", address: string, user: string, password: string, ports: ServerPorts, };

export type Ports = { rtmp: number, hls: number, webrtcHttp: number, webrtcUdp: number, };

/**
 * Ports of a server elsewhere; `whip` counts only where the address is a bare host.
 */
export type ServerPorts = { whip: number, rtmp: number, hls: number, };

/**
 * One thing to say beside the picture.
 */
export type Notice = { "kind": "device", device: DeviceKind, trouble: Trouble, name: string, } | { "kind": "mutedButSpeaking" } | { "kind": "portTaken", setting: string, port: number, program: string | null, free: number | null, };

export type DeviceKind = "camera" | "microphone" | "speaker";

/**
 * What can be wrong with a device, each with another next step.
 */
export type Trouble = "missing" | "busy" | "denied" | "lost" | "hung" | "failed";

/**
 * What a command may answer instead of success; the UI owns the words.
 */
export type AppError = { "kind": "portTaken", setting: string, port: number, program: string | null, free: number | null, } | { "kind": "serverRefused", address: string, } | { "kind": "serverTimeout", address: string, } | { "kind": "serverUnauthorized", address: string, } | { "kind": "serverNotFound", address: string, } | { "kind": "serverOther", address: string, detail: string, } | { "kind": "invalidSetting", field: string, } | { "kind": "internal", detail: string, };
