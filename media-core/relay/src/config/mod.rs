//! The configuration file: MediaMTX's YAML, as far as this relay goes.
//!
//! Belongs here: which keys there are, what they mean, what a wrong one is told. Not here: YAML (`yaml`), what the settings do.

mod hls;
mod paths;
mod push;
mod srt;
mod tls;
mod values;
mod yaml;

use crate::relay::RelayConfig;
use crate::rtsp::{AuthMethods, RtspConfig};
use crate::tls::TlsFiles;
use crate::webrtc::WebRtcConfig;
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

fn read_top(mut top: Section<'_>) -> Result<Config, ConfigError> {
    let mut notes = Vec::new();
    let log_level = match top.done("logLevel", &mut notes) {
        Some(value) => value.parse::<LogLevel>()?.name(),
        None => "info",
    };
    let (rtmp, rtmps) = tls::servers(&mut top, &tls::RTMP, &mut notes)?;
    let (rtsp, rtsps) = rtsp(&mut top, &mut notes)?;
    let mut relay = RelayConfig {
        rtmp,
        rtmps,
        rtsp,
        rtsps,
        webrtc: webrtc(&mut top, &mut notes)?,
        hls_tls: tls::switched(&mut top, tls::HLS, &mut notes)?,
        webrtc_tls: tls::switched(&mut top, tls::WEBRTC, &mut notes)?,
        hls: hls::read(&mut top, &mut notes)?,
        srt: srt::read(&mut top, &mut notes)?,
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
    let mut paths = paths::read(&mut top, &mut notes)?;
    relay.sources = std::mem::take(&mut paths.sources);
    relay.pushes = std::mem::take(&mut paths.pushes);
    let paths = Arc::new(paths);
    if let Some((_, srt)) = &mut relay.srt {
        srt.passphrases = Arc::clone(&paths) as _;
    }
    relay.authorizer = paths;
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

type Rtsp = (Option<(SocketAddr, RtspConfig)>, Option<(SocketAddr, RtspConfig, TlsFiles)>);

fn rtsp(top: &mut Section<'_>, notes: &mut Vec<Note>) -> Result<Rtsp, ConfigError> {
    let (plain, secured) = tls::servers(top, &tls::RTSP, notes)?;
    let mut config = RtspConfig::default();
    let mut udp = config.udp;
    if let (Some(value), Some((rtp, rtcp))) = (top.done("rtpAddress", notes), &mut udp) {
        *rtp = value.parse::<ListenAddress>()?.0;
        // The next port, unless said otherwise (RFC 3550 §11).
        *rtcp = SocketAddr::new(rtp.ip(), rtp.port().checked_add(1).filter(|_| rtp.port() != 0).unwrap_or(0));
    }
    if let (Some(value), Some((rtp, rtcp))) = (top.done("rtcpAddress", notes), &mut udp) {
        *rtcp = value.parse::<ListenAddress>()?.0;
        // Players count one up from RTP's port and ask nobody.
        if rtp.port() != 0 && rtp.port().checked_add(1) != Some(rtcp.port()) {
            let why = format!("RTCP's port is the one after RTP's: write port {}", rtp.port().saturating_add(1));
            return Err(ConfigError::new(value.line, why));
        }
    }
    config.udp = udp;
    if let Some(value) = top.done("rtspTransports", notes) {
        (config.tcp, config.udp) = (false, None);
        for transport in value.list()? {
            match transport.as_str() {
                "tcp" => config.tcp = true,
                "udp" => config.udp = udp,
                "multicast" => {}
                other => {
                    let why = format!("'{other}' is no transport; write udp or tcp");
                    return Err(ConfigError::new(value.line, why));
                }
            }
        }
        if !config.tcp && config.udp.is_none() {
            let why = "there is no multicast here; write udp, tcp or both".into();
            return Err(ConfigError::new(value.line, why));
        }
    }
    for key in ["multicastIPRange", "multicastRTPPort", "multicastRTCPPort"] {
        top.ignore(key, "there is no multicast here", notes);
    }
    if let Some(value) = top.done("rtspAuthMethods", notes) {
        config.methods = AuthMethods { basic: false, digest: false };
        for method in value.list()? {
            match method.as_str() {
                "basic" => config.methods.basic = true,
                "digest" => config.methods.digest = true,
                other => {
                    let why = format!("'{other}' is no method; write basic or digest");
                    return Err(ConfigError::new(value.line, why));
                }
            }
        }
    }
    let secured = secured.map(|(address, files)| (address, config.clone(), files));
    Ok((plain.map(|address| (address, config)), secured))
}

fn webrtc(top: &mut Section<'_>, notes: &mut Vec<Note>) -> Result<Option<(SocketAddr, WebRtcConfig)>, ConfigError> {
    let http = server(top, "webrtc", "webrtcAddress", ":8889", true, notes)?;
    let mut config = WebRtcConfig::default();
    if let Some(value) = top.done("webrtcLocalUDPAddress", notes) {
        config.local_udp_address = value.parse::<ListenAddress>()?.0;
    }
    if let Some(value) = top.done("webrtcLocalTCPAddress", notes) {
        // MediaMTX's default is an empty text.
        let none = value.is_empty() || value.text()?.is_empty();
        config.local_tcp_address = if none { None } else { Some(value.parse::<ListenAddress>()?.0) };
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
    fn webrtc_by_tcp() {
        let check = |text: &str, want: Option<&str>| {
            let (_, webrtc) = Config::parse(text).unwrap().relay.webrtc.unwrap();
            assert_eq!(webrtc.local_tcp_address.map(|a| a.to_string()).as_deref(), want, "{text}");
        };
        check("api: no\n", None);
        check("webrtcLocalTCPAddress: ''\n", None);
        check("webrtcLocalTCPAddress:\n", None);
        check("webrtcLocalTCPAddress: 127.0.0.1:8189\n", Some("127.0.0.1:8189"));
        assert!(Config::parse("webrtcLocalTCPAddress: x\n").is_err());
    }

    #[test]
    fn a_file() {
        let config = Config::parse(
            "logLevel: debug\nrtmpAddress: 127.0.0.1:0\nhls: no\napi: yes\napiAddress: :9997\nrtspAddress: :8555\n\
             readerWait: 5s\npaths:\n  doctorStream:\n  patientStream:\n    source: publisher\n",
        )
        .unwrap();
        assert_eq!(config.relay.rtmp, Some("127.0.0.1:0".parse().unwrap()));
        assert!(config.relay.hls.is_none());
        assert_eq!(config.relay.rtsp.map(|(address, _)| address.port()), Some(8555));
        assert_eq!(config.relay.api, Some("127.0.0.1:9997".parse().unwrap()));
        let notes: Vec<String> = config.notes.iter().map(Note::to_string).collect();
        assert!(notes.contains(&"line 6: rtspAddress: done".into()), "{notes:?}");
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
    fn rtsp_keys() {
        let rtsp = |text: &str| Config::parse(text).unwrap().relay.rtsp.unwrap();
        let (address, config) = rtsp("");
        assert_eq!((address.port(), config.udp.map(|(a, b)| (a.port(), b.port()))), (8554, Some((8000, 8001))));
        let (_, config) = rtsp("rtpAddress: :9000\nrtspTransports: [udp, multicast]\nrtspAuthMethods: [digest]\n");
        assert_eq!((config.tcp, config.udp.map(|(a, b)| (a.port(), b.port()))), (false, Some((9000, 9001))));
        assert_eq!(config.methods, AuthMethods { basic: false, digest: true });
        assert!(Config::parse("rtsp: no\n").unwrap().relay.rtsp.is_none());
        assert_eq!(error("rtcpAddress: :9000\n"), "line 1: RTCP's port is the one after RTP's: write port 8001");
        assert_eq!(error("rtspTransports: [quic]\n"), "line 1: 'quic' is no transport; write udp or tcp");
        assert_eq!(
            error("rtspTransports: [multicast]\n"),
            "line 1: there is no multicast here; write udp, tcp or both"
        );
        assert_eq!(
            error("rtspAdress: :1\n"),
            "line 1: 'rtspAdress' is not a known key; the nearest known one is 'rtspAddress'"
        );
    }
}
