//! The configuration file: MediaMTX's YAML, as far as this relay goes.
//!
//! Belongs here: which keys there are, what they mean, what a wrong one is told. Not here: YAML (`yaml`), what the settings do.

mod hls;
mod values;
mod yaml;

use crate::access::{AccessRequest, Authorizer, Refusal, Verdict};
use crate::relay::RelayConfig;
use crate::webrtc::WebRtcConfig;
use hub::PathName;
use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use thiserror::Error;
use values::{ListenAddress, LogLevel, Span};
use yaml::{Section, Value};

/// What is wrong with a file, and where.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("line {line}: {message}")]
pub struct ConfigError {
    /// Counted from 1; 0 for the file as a whole.
    pub line: usize,
    /// What is wrong and what to write instead.
    pub message: String,
}

impl ConfigError {
    const fn new(line: usize, message: String) -> Self {
        Self { line, message }
    }
}

/// What became of one key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    /// Where it stands.
    pub line: usize,
    /// The key, with its section.
    pub key: String,
    /// What it does here.
    pub done: Done,
}

/// What a key does here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Done {
    /// What it says.
    Yes,
    /// Nothing, for this reason.
    Ignored(&'static str),
}

impl std::fmt::Display for Note {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.done {
            Done::Yes => write!(f, "line {}: {}: done", self.line, self.key),
            Done::Ignored(why) => write!(f, "line {}: {}: ignored because {why}", self.line, self.key),
        }
    }
}

/// A file that was understood.
#[derive(Debug, Clone)]
pub struct Config {
    /// For [`crate::Relay::start`].
    pub relay: RelayConfig,
    /// For the log: `error`, `warn`, `info` or `debug`.
    pub log_level: &'static str,
    /// One note per key of the file, in the order of its lines.
    pub notes: Vec<Note>,
}

impl Config {
    /// The configuration without a file: every server, every path.
    ///
    /// # Errors
    /// Never; the defaults are tested.
    pub fn defaults() -> Result<Self, ConfigError> {
        Self::parse("paths: {all_others: }")
    }

    /// Reads `path`.
    ///
    /// # Errors
    /// [`ConfigError`], with line 0 where the file itself cannot be read.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let text = std::fs::read_to_string(path)
            .map_err(|e| ConfigError::new(0, format!("{} cannot be read: {e}", path.display())))?;
        Self::parse(&text)
    }

    /// Understands `text`.
    ///
    /// # Errors
    /// [`ConfigError`] for what is not YAML, not a known key, or not a value of its key.
    pub fn parse(text: &str) -> Result<Self, ConfigError> {
        yaml::read(text, read_top)
    }
}

/// Servers of protocols that this relay does not speak yet.
const NOT_YET: &str = "this protocol is not served yet";

fn read_top(mut top: Section<'_>) -> Result<Config, ConfigError> {
    let mut notes = Vec::new();
    let log_level = match top.done("logLevel", &mut notes) {
        Some(value) => value.parse::<LogLevel>()?.name(),
        None => "info",
    };
    let mut relay = RelayConfig {
        rtmp: server(&mut top, "rtmp", "rtmpAddress", ":1935", true, &mut notes)?,
        webrtc: webrtc(&mut top, &mut notes)?,
        hls: hls::read(&mut top, &mut notes)?,
        api: server(&mut top, "api", "apiAddress", ":9997", false, &mut notes)?.map(loopback),
        metrics: server(&mut top, "metrics", "metricsAddress", ":9998", false, &mut notes)?.map(loopback),
        ..RelayConfig::default()
    };
    if let Some(value) = top.done("readerWait", &mut notes) {
        relay.limits.reader_wait = value.parse::<Span>()?.0;
    }
    if let Some(value) = top.done("publisherGrace", &mut notes) {
        relay.limits.publisher_grace = value.parse::<Span>()?.0;
    }
    for key in ["rtsp", "rtspAddress"] {
        top.ignore(key, NOT_YET, &mut notes);
    }
    relay.authorizer = Arc::new(paths(&mut top, &mut notes)?);
    top.finish()?;
    notes.sort_by_key(|note| note.line);
    Ok(Config { relay, log_level, notes })
}

/// The address of a server that `switch` turns on or off; `None` where it is off.
fn server(
    top: &mut Section<'_>,
    switch: &'static str,
    key: &'static str,
    default: &str,
    on: bool,
    notes: &mut Vec<Note>,
) -> Result<Option<SocketAddr>, ConfigError> {
    let on = top.done(switch, notes).map_or(Ok(on), Value::flag)?;
    let address = match top.done(key, notes) {
        Some(value) => value.parse::<ListenAddress>()?,
        None => default.parse().map_err(|e: String| ConfigError::new(0, e))?,
    };
    Ok(on.then_some(address.0))
}

fn webrtc(top: &mut Section<'_>, notes: &mut Vec<Note>) -> Result<Option<(SocketAddr, WebRtcConfig)>, ConfigError> {
    let http = server(top, "webrtc", "webrtcAddress", ":8889", true, notes)?;
    let mut config = WebRtcConfig::default();
    if let Some(value) = top.done("webrtcLocalUDPAddress", notes) {
        config.local_udp_address = value.parse::<ListenAddress>()?.0;
    }
    if let Some(value) = top.done("webrtcAdditionalHosts", notes) {
        config.additional_hosts = value.list()?;
    }
    Ok(http.map(|http| (http, config)))
}

/// API and metrics answer this machine alone until credentials can be asked for.
fn loopback(address: SocketAddr) -> SocketAddr {
    if address.ip().is_unspecified() { SocketAddr::from(([127, 0, 0, 1], address.port())) } else { address }
}

/// The paths that may be used.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Paths {
    named: BTreeSet<PathName>,
    all_others: bool,
}

fn paths(top: &mut Section<'_>, notes: &mut Vec<Note>) -> Result<Paths, ConfigError> {
    let mut paths = Paths { named: BTreeSet::new(), all_others: false };
    let Some(section) = top.done("paths", notes) else {
        return Ok(Paths { all_others: true, ..paths });
    };
    for (name, value) in section.section("paths.".into())?.into_entries() {
        let line = value.line;
        if name == "all_others" || name == "all" {
            paths.all_others = true;
        } else {
            let name = PathName::parse(&name).map_err(|e| ConfigError::new(line, format!("path '{name}': {e}")))?;
            paths.named.insert(name);
        }
        notes.push(Note { line, key: format!("paths.{name}"), done: Done::Yes });
        if !value.is_empty() {
            let mut path = value.section(format!("paths.{name}."))?;
            if let Some(source) = path.done("source", notes) {
                let text = source.text()?;
                if text != "publisher" {
                    let why = format!("source '{text}' cannot be pulled yet; 'publisher' can");
                    return Err(ConfigError::new(source.line, why));
                }
            }
            path.finish()?;
        }
    }
    Ok(paths)
}

impl Paths {
    fn allow(&self, path: &PathName) -> bool {
        let base =
            ["_aac", "_opus"].into_iter().filter_map(|s| path.without_suffix(s)).find(|b| self.named.contains(b));
        self.all_others || self.named.contains(path) || base.is_some()
    }
}

impl Authorizer for Paths {
    fn authorize<'a>(&'a self, request: &'a AccessRequest) -> Verdict<'a> {
        let verdict = if self.allow(&request.path) { Ok(()) } else { Err(Refusal::NoSuchPath) };
        Box::pin(async move { verdict })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(text: &str) -> String {
        Config::parse(text).map(|c| format!("{c:?}")).unwrap_err().to_string()
    }

    #[test]
    fn defaults() {
        let config = Config::defaults().unwrap();
        assert_eq!(config.relay.rtmp.unwrap().port(), 1935);
        assert_eq!(config.relay.hls.unwrap().0.port(), 8888);
        assert_eq!((config.relay.api, config.log_level), (None, "info"));
    }

    #[test]
    fn a_file() {
        let config = Config::parse(
            "logLevel: debug\nrtmpAddress: 127.0.0.1:0\nhls: no\napi: yes\napiAddress: :9997\nrtspAddress: :8554\n\
             readerWait: 5s\npaths:\n  doctorStream:\n  patientStream:\n    source: publisher\n",
        )
        .unwrap();
        assert_eq!(config.relay.rtmp, Some("127.0.0.1:0".parse().unwrap()));
        assert!(config.relay.hls.is_none());
        assert_eq!(config.relay.api, Some("127.0.0.1:9997".parse().unwrap()));
        let notes: Vec<String> = config.notes.iter().map(Note::to_string).collect();
        assert!(
            notes.contains(&"line 6: rtspAddress: ignored because this protocol is not served yet".into()),
            "{notes:?}"
        );
        assert!(notes.contains(&"line 11: paths.patientStream.source: done".into()), "{notes:?}");
    }

    #[test]
    fn errors_name_the_line_and_the_nearest_key() {
        assert_eq!(
            error("logLevel: info\nrtmpAdress: :1935\n"),
            "line 2: 'rtmpAdress' is not a known key; the nearest known one is 'rtmpAddress'"
        );
        assert_eq!(error("api: perhaps\n"), "line 1: 'perhaps' is neither yes nor no");
        assert!(error("paths:\n  a//b:\n").starts_with("line 2: path 'a//b'"), "{}", error("paths:\n  a//b:\n"));
        assert!(error("a: [").starts_with("line "));
        assert!(error("rtmpAddress: nowhere\n").starts_with("line 1: "));
    }

    #[test]
    fn only_named_paths() {
        let check = |text: &str, path: &str, want: bool| {
            let paths = yaml::read(text, |mut top| paths(&mut top, &mut Vec::new())).unwrap();
            assert_eq!(paths.allow(&PathName::parse(path).unwrap()), want, "{text:?} {path}");
        };
        check("paths: {a: }", "a", true);
        check("paths: {a: }", "a_aac", true);
        check("paths: {a: }", "b", false);
        check("paths: {a: , all_others: }", "b", true);
        check("", "b", true);
    }
}
