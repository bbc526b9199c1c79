//! What the user may change, kept in one versioned file of the profile.
//!
//! Belongs here: the values, their limits, the file and its migrations. Not here: secrets (`secrets`), what the window shows of
//! them (the shell's view models).
//!
//! The file is TOML. A key nobody knows is an error with the nearest known one, because a mistyped setting that is ignored is a
//! setting that is believed. It is written beside itself and renamed, so that a killed program leaves the old file or the new one.

use hub::PathName;
use serde::{Deserialize, Serialize};
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use thiserror::Error;

/// The file's format; raised when the meaning of a key changes.
const VERSION: i64 = 1;
/// Name of the file in the profile.
const FILE: &str = "settings.toml";

/// Everything the user may change, passwords aside.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Language of the window.
    pub language: Language,
    /// Light, dark, or as the system has it.
    pub appearance: Appearance,
    /// Path of the doctor's stream.
    pub doctor_stream: String,
    /// Path of the patient's stream.
    pub patient_stream: String,
    /// Names work without a token too.
    pub open_names: bool,
    /// Name of the interface whose address patients use; `None` follows the suggestion.
    pub network: Option<String>,
    /// Camera id; `None` follows the system.
    pub camera: Option<String>,
    /// Microphone id; `None` follows the system.
    pub microphone: Option<String>,
    /// Speaker id; `None` follows the system.
    pub speaker: Option<String>,
    /// Picture width in pixels.
    pub width: u32,
    /// Picture height in pixels.
    pub height: u32,
    /// Pictures per second.
    pub fps: u32,
    /// Picture bitrate in kbit/s.
    pub bitrate_kbps: u32,
    /// Close the microphone while muted.
    pub release_microphone: bool,
    /// Where the consultation runs.
    pub server: Server,
    /// Ports of the relay on this computer.
    pub ports: Ports,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            language: Language::ZhCn,
            appearance: Appearance::System,
            doctor_stream: "doctorStream".into(),
            patient_stream: "patientStream".into(),
            open_names: false,
            network: None,
            camera: None,
            microphone: None,
            speaker: None,
            width: 640,
            height: 480,
            fps: 30,
            bitrate_kbps: 1200,
            release_microphone: false,
            server: Server::ThisComputer,
            ports: Ports::default(),
        }
    }
}

/// Language of the window.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Language {
    /// 简体中文.
    #[serde(rename = "zh-CN")]
    ZhCn,
    /// English.
    #[serde(rename = "en")]
    En,
}

/// Colours of the window.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Appearance {
    /// As the system has it.
    System,
    /// Light.
    Light,
    /// Dark.
    Dark,
}

/// Where the consultation runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Server {
    /// The relay inside this program.
    ThisComputer,
    /// A relay elsewhere.
    Address {
        /// A host, `host:port`, or a whole `http(s)://` address.
        address: String,
        /// User name; empty for none. With a password but no user, the password is a bearer token.
        #[serde(default)]
        user: String,
        /// Its ports, where the address does not name one.
        #[serde(default)]
        ports: ServerPorts,
    },
}

/// Ports of a server elsewhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ServerPorts {
    /// WHIP, TCP; of no meaning where the address names a port or a scheme.
    pub whip: u16,
    /// RTMP, TCP: the patient comes from there, and is told to go there.
    pub rtmp: u16,
    /// HLS and HTTP-FLV, TCP: only told to the patient.
    pub hls: u16,
}

impl Default for ServerPorts {
    fn default() -> Self {
        let Ports { rtmp, hls, webrtc_http, .. } = Ports::default();
        Self { whip: webrtc_http, rtmp, hls }
    }
}

/// Ports of the relay on this computer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Ports {
    /// RTMP, TCP.
    pub rtmp: u16,
    /// HLS and HTTP-FLV, TCP.
    pub hls: u16,
    /// WHIP and WHEP, TCP.
    pub webrtc_http: u16,
    /// WebRTC media, UDP.
    pub webrtc_udp: u16,
}

impl Default for Ports {
    fn default() -> Self {
        Self { rtmp: 1935, hls: 8888, webrtc_http: 8889, webrtc_udp: 8189 }
    }
}

impl Ports {
    /// The port a setting's name stands for.
    pub fn by_name(&mut self, setting: &str) -> Option<&mut u16> {
        match setting {
            "rtmp" => Some(&mut self.rtmp),
            "hls" => Some(&mut self.hls),
            "webrtcHttp" => Some(&mut self.webrtc_http),
            "webrtcUdp" => Some(&mut self.webrtc_udp),
            _ => None,
        }
    }
}

/// A setting that cannot be; the field's name is the window's.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("the setting {0} cannot be as it is")]
pub struct InvalidSetting(pub &'static str);

/// Why settings cannot be read or written.
#[derive(Debug, Error)]
pub enum SettingsError {
    /// The file system refused.
    #[error("{path}: {source}")]
    Io {
        /// Which file.
        path: PathBuf,
        /// What it said.
        source: std::io::Error,
    },
    /// Not TOML, or a value of the wrong kind.
    #[error("{path}: {detail}")]
    Format {
        /// Which file.
        path: PathBuf,
        /// What is wrong, with line and column.
        detail: String,
    },
    /// A key nobody knows.
    #[error("{path}: the key {key:?} is not known{}", nearest.as_ref().map_or(String::new(), |n| format!("; did you mean {n:?}?")))]
    UnknownKey {
        /// Which file.
        path: PathBuf,
        /// The key, with its table.
        key: String,
        /// The nearest known one.
        nearest: Option<String>,
    },
    /// Written by a newer program.
    #[error("{path}: version {version} is newer than this program understands ({VERSION})")]
    Newer {
        /// Which file.
        path: PathBuf,
        /// Its version.
        version: i64,
    },
}

impl Settings {
    /// Reads the profile's settings; those of a profile that has none are the defaults.
    ///
    /// # Errors
    /// [`SettingsError`] with the file and what is wrong in it. The file is left as it is.
    pub fn load(profile: &Path) -> Result<Self, SettingsError> {
        let path = profile.join(FILE);
        match fs::read_to_string(&path) {
            Ok(text) => Self::parse(&text, &path),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(Self::default()),
            Err(source) => Err(SettingsError::Io { path, source }),
        }
    }

    /// Writes the settings into the profile, whole or not at all.
    ///
    /// # Errors
    /// [`SettingsError::Io`].
    pub fn save(&self, profile: &Path) -> Result<(), SettingsError> {
        let path = profile.join(FILE);
        let io = |source| SettingsError::Io { path: path.clone(), source };
        let text = self.to_text().map_err(|e| SettingsError::Format { path: path.clone(), detail: e.to_string() })?;
        let beside = profile.join(format!("{FILE}.new"));
        let mut file = fs::File::create(&beside).map_err(io)?;
        file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).map_err(io)?;
        drop(file);
        fs::rename(&beside, &path).map_err(io)
    }

    /// Are all values possible?
    ///
    /// # Errors
    /// [`InvalidSetting`] names the first that is not.
    pub fn validate(&self) -> Result<(), InvalidSetting> {
        let stream = |name: &str| PathName::parse(name).is_ok() && !name.ends_with("_aac") && !name.ends_with("_opus");
        let side = |n: u32, low, high| (low..=high).contains(&n) && n.is_multiple_of(2);
        let server = match &self.server {
            Server::Address { ports, .. } => Some(ports),
            Server::ThisComputer => None,
        };
        let checks = [
            ("doctorStream", stream(&self.doctor_stream)),
            ("patientStream", stream(&self.patient_stream) && self.patient_stream != self.doctor_stream),
            ("width", side(self.width, 160, 1920)),
            ("height", side(self.height, 120, 1920)),
            ("fps", (1..=60).contains(&self.fps)),
            ("bitrateKbps", (100..=20_000).contains(&self.bitrate_kbps)),
            ("ports.rtmp", self.ports.rtmp != 0),
            ("ports.hls", self.ports.hls != 0 && self.ports.hls != self.ports.rtmp),
            ("ports.webrtcHttp", {
                let port = self.ports.webrtc_http;
                port != 0 && port != self.ports.rtmp && port != self.ports.hls
            }),
            ("ports.webrtcUdp", self.ports.webrtc_udp != 0),
            ("server", !matches!(&self.server, Server::Address { address, .. } if address.trim().is_empty())),
            ("serverPorts.whip", server.is_none_or(|p| p.whip != 0 && p.whip != p.rtmp)),
            ("serverPorts.rtmp", server.is_none_or(|p| p.rtmp != 0)),
            ("serverPorts.hls", server.is_none_or(|p| p.hls != 0 && p.hls != p.rtmp)),
        ];
        match checks.iter().find(|(_, good)| !good) {
            Some((field, _)) => Err(InvalidSetting(field)),
            None => Ok(()),
        }
    }

    pub(crate) fn to_text(&self) -> Result<String, toml::ser::Error> {
        Ok(format!("version = {VERSION}\n{}", toml::to_string(self)?))
    }

    pub(crate) fn parse(text: &str, path: &Path) -> Result<Self, SettingsError> {
        let format = |detail: String| SettingsError::Format { path: path.to_owned(), detail };
        let mut table: toml::Table = text.parse().map_err(|e: toml::de::Error| format(e.to_string()))?;
        let version = match table.remove("version") {
            None => return Err(format("the key \"version\" is missing".into())),
            Some(value) => value.as_integer().ok_or_else(|| format("\"version\" is not a number".into()))?,
        };
        if version > VERSION {
            return Err(SettingsError::Newer { path: path.to_owned(), version });
        }
        migrate(&mut table, version);
        if let Some((key, nearest)) = unknown_key(&table, &Self::reference(), "") {
            return Err(SettingsError::UnknownKey { path: path.to_owned(), key, nearest });
        }
        let settings: Self = table.try_into().map_err(|e: toml::de::Error| format(e.to_string()))?;
        settings.validate().map_err(|e| format(e.to_string()))?;
        Ok(settings)
    }

    /// A table in which every key there is occurs.
    fn reference() -> toml::Table {
        let some = || Some(String::new());
        let full = Self {
            network: some(),
            camera: some(),
            microphone: some(),
            speaker: some(),
            server: Server::Address { address: String::new(), user: String::new(), ports: ServerPorts::default() },
            ..Self::default()
        };
        toml::Table::try_from(full).unwrap_or_default()
    }
}

/// Brings a table of an older version to the newest, one version at a time.
fn migrate(_table: &mut toml::Table, from: i64) {
    // Version 1 is the first; a step for each later one goes here, in order.
    tracing::debug!(from, to = VERSION, "settings read");
}

fn unknown_key(table: &toml::Table, known: &toml::Table, prefix: &str) -> Option<(String, Option<String>)> {
    for (key, value) in table {
        let Some(reference) = known.get(key) else {
            let nearest = known
                .keys()
                .map(|k| (strsim::damerau_levenshtein(k, key), k))
                .min()
                .filter(|(distance, k)| *distance <= k.len().div_ceil(2));
            return Some((format!("{prefix}{key}"), nearest.map(|(_, k)| format!("{prefix}{k}"))));
        };
        if let (toml::Value::Table(inner), toml::Value::Table(reference)) = (value, reference) {
            let found = unknown_key(inner, reference, &format!("{prefix}{key}."));
            if found.is_some() {
                return found;
            }
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn round_trip_through_the_file() {
        let profile = tempfile::tempdir().unwrap();
        assert_eq!(Settings::load(profile.path()).unwrap(), Settings::default());
        let changed = Settings {
            language: Language::En,
            camera: Some("v4l2:0".into()),
            server: Server::Address {
                address: "https://relay.example:9000".into(),
                user: "doctor".into(),
                ports: ServerPorts { rtmp: 1936, ..ServerPorts::default() },
            },
            ports: Ports { rtmp: 1999, ..Ports::default() },
            ..Settings::default()
        };
        changed.save(profile.path()).unwrap();
        assert_eq!(Settings::load(profile.path()).unwrap(), changed);
        assert!(!profile.path().join("settings.toml.new").exists());
    }

    #[test]
    fn what_is_refused_and_how() {
        let check = |text: &str, want: &str| {
            let got = Settings::parse(text, Path::new("s.toml")).unwrap_err().to_string();
            assert!(got.contains(want), "{text}: {got}");
        };
        check("version = 1\nfsp = 30\n", "the key \"fsp\" is not known; did you mean \"fps\"?");
        check("version = 1\n[ports]\nrtpm = 1\n", "did you mean \"ports.rtmp\"?");
        check("version = 1\nzzzzzzzzzzzz = 1\n", "is not known");
        check("version = 2\n", "newer");
        check("fps = 30\n", "missing");
        check(
            "version = 1\n[server]\nkind = \"address\"\naddress = \"h\"\n[server.ports]\nrtpm = 1\n",
            "\"server.ports.rtmp\"?",
        );
        check("version = 1\nfps = \"fast\"\n", "fps");
        check("version = 1\nfps = 0\n", "fps");
        check("nonsense", "s.toml");
    }

    #[test]
    fn missing_keys_are_defaults() {
        let got = Settings::parse("version = 1\nfps = 25\n[ports]\nhls = 8000\n", Path::new("s")).unwrap();
        assert_eq!((got.fps, got.ports.hls, got.ports.rtmp, got.width), (25, 8000, 1935, 640));
    }

    fn elsewhere(address: &str, ports: ServerPorts) -> Server {
        Server::Address { address: address.into(), user: String::new(), ports }
    }

    #[test]
    fn impossible_values() {
        let check = |change: &dyn Fn(&mut Settings), want: &'static str| {
            let mut settings = Settings::default();
            change(&mut settings);
            assert_eq!(settings.validate(), Err(InvalidSetting(want)));
        };
        check(&|s| s.doctor_stream = "a b".into(), "doctorStream");
        check(&|s| s.patient_stream = s.doctor_stream.clone(), "patientStream");
        check(&|s| s.patient_stream = "x_aac".into(), "patientStream");
        check(&|s| s.width = 641, "width");
        check(&|s| s.fps = 61, "fps");
        check(&|s| s.ports.hls = s.ports.rtmp, "ports.hls");
        check(&|s| s.server = elsewhere(" ", ServerPorts::default()), "server");
        check(&|s| s.server = elsewhere("h", ServerPorts { rtmp: 0, ..ServerPorts::default() }), "serverPorts.rtmp");
        check(&|s| s.server = elsewhere("h", ServerPorts { whip: 1935, ..ServerPorts::default() }), "serverPorts.whip");
        assert_eq!(Settings::default().validate(), Ok(()));
    }
}
