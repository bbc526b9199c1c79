//! The keys of servers that are encrypted, or not, or both.
//!
//! Not here: certificates (`crate::tls`), how values are written (`values`).

use super::values::ListenAddress;
use super::yaml::{Section, Value};
use super::{ConfigError, Note, server};
use crate::tls::TlsFiles;
use std::net::SocketAddr;
use std::str::FromStr;

/// A server's keys, and its addresses where they are not set.
pub(super) struct Keys {
    pub(super) switch: &'static str,
    pub(super) plain: (&'static str, &'static str),
    pub(super) tls: (&'static str, &'static str),
    pub(super) encryption: &'static str,
    pub(super) cert: &'static str,
    pub(super) key: &'static str,
}

pub(super) const RTMP: Keys = Keys {
    switch: "rtmp",
    plain: ("rtmpAddress", ":1935"),
    tls: ("rtmpsAddress", ":1936"),
    encryption: "rtmpEncryption",
    cert: "rtmpServerCert",
    key: "rtmpServerKey",
};

pub(super) const RTSP: Keys = Keys {
    switch: "rtsp",
    plain: ("rtspAddress", ":8554"),
    tls: ("rtspsAddress", ":8322"),
    encryption: "rtspEncryption",
    cert: "rtspServerCert",
    key: "rtspServerKey",
};

/// Which of the two is served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Encryption {
    No,
    Optional,
    Strict,
}

impl FromStr for Encryption {
    type Err = String;

    /// MediaMTX's words, and those that YAML makes of them.
    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "no" | "false" => Ok(Self::No),
            "optional" => Ok(Self::Optional),
            "strict" | "yes" | "true" => Ok(Self::Strict),
            other => Err(format!("'{other}' is none of no, optional and strict")),
        }
    }
}

/// The server in the clear, and the one in TLS.
pub(super) type Servers = (Option<SocketAddr>, Option<(SocketAddr, TlsFiles)>);

/// Reads `keys`.
pub(super) fn servers(top: &mut Section<'_>, keys: &Keys, notes: &mut Vec<Note>) -> Result<Servers, ConfigError> {
    let (address, default) = keys.plain;
    let plain = server(top, keys.switch, address, default, true, notes)?;
    let (address, default) = keys.tls;
    let tls = match top.done(address, notes) {
        Some(value) => value.parse::<ListenAddress>()?.0,
        None => default.parse::<ListenAddress>().map_err(|e| ConfigError::new(0, e))?.0,
    };
    let encryption = top.done(keys.encryption, notes).map_or(Ok(Encryption::No), Value::parse)?;
    let files = files(top, keys.switch, (keys.cert, keys.key), notes)?;
    let secured = (plain.is_some() && encryption != Encryption::No).then_some((tls, files));
    Ok((plain.filter(|_| encryption != Encryption::Strict), secured))
}

fn files(
    top: &mut Section<'_>,
    settings: &'static str,
    (cert, key): (&'static str, &'static str),
    notes: &mut Vec<Note>,
) -> Result<TlsFiles, ConfigError> {
    let mut file = |key, default: &str| top.done(key, notes).map_or_else(|| Ok(default.to_owned()), Value::text);
    // MediaMTX's own names where none are given.
    let (cert, key) = (file(cert, "server.crt")?, file(key, "server.key")?);
    Ok(TlsFiles { cert: cert.into(), key: key.into(), settings })
}

/// Keys of a server that is either encrypted or not: `xEncryption`, `xServerCert` and `xServerKey`.
pub(super) type Switch = (&'static str, &'static str, &'static str, &'static str);

pub(super) const HLS: Switch = ("hls", "hlsEncryption", "hlsServerCert", "hlsServerKey");
pub(super) const WEBRTC: Switch = ("webrtc", "webrtcEncryption", "webrtcServerCert", "webrtcServerKey");

/// Reads them; `None` for a server in the clear.
pub(super) fn switched(
    top: &mut Section<'_>,
    (settings, encryption, cert, key): Switch,
    notes: &mut Vec<Note>,
) -> Result<Option<TlsFiles>, ConfigError> {
    let on = top.done(encryption, notes).map_or(Ok(false), Value::flag)?;
    let files = files(top, settings, (cert, key), notes)?;
    Ok(on.then_some(files))
}

#[cfg(test)]
mod tests {
    use crate::config::Config;

    #[test]
    fn keys() {
        let check = |text: &str, rtmp: Option<u16>, rtmps: Option<u16>| {
            let relay = Config::parse(text).unwrap().relay;
            assert_eq!(relay.rtmp.map(|a| a.port()), rtmp, "{text}");
            assert_eq!(relay.rtmps.map(|(a, _)| a.port()), rtmps, "{text}");
        };
        check("", Some(1935), None);
        check("rtmpsAddress: :2000\nrtmpEncryption: no\n", Some(1935), None);
        check("rtmpEncryption: \"no\"\n", Some(1935), None);
        check("rtmpEncryption: optional\n", Some(1935), Some(1936));
        check("rtmpsAddress: :2000\nrtmpEncryption: strict\n", None, Some(2000));
        check("rtmp: no\nrtmpEncryption: strict\n", None, None);
        let text = "rtspEncryption: optional\nrtspServerCert: a.pem\nrtspServerKey: b.pem\nrtspAuthMethods: [digest]\n";
        let (address, config, files) = Config::parse(text).unwrap().relay.rtsps.unwrap();
        assert_eq!((address.port(), config.methods.basic), (8322, false));
        assert_eq!((files.cert.to_str(), files.key.to_str()), (Some("a.pem"), Some("b.pem")));
        let relay = Config::parse("hlsEncryption: yes\nwebrtcEncryption: no\nhlsServerCert: c\n").unwrap().relay;
        assert_eq!(relay.hls_tls.map(|files| (files.cert, files.key)), Some(("c".into(), "server.key".into())));
        assert_eq!(relay.webrtc_tls, None);
        let error = Config::parse("rtmpEncryption: perhaps\n").unwrap_err().to_string();
        assert_eq!(error, "line 1: 'perhaps' is none of no, optional and strict");
    }
}
