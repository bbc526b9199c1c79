//! Where a client connects: an RTSP URL with its credentials taken out.
//!
//! Not here: what a server makes of a URL (`target`).

use crate::rtmp::percent_decode;
use std::fmt;
use thiserror::Error;

/// What is wrong with a URL.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum RtspUrlError {
    /// Neither `rtsp://` nor `rtsps://`.
    #[error("the address must begin with rtsp:// or rtsps://")]
    Scheme,
    /// No host.
    #[error("the address names no server")]
    Host,
    /// Not a port.
    #[error("{0:?} is not a port")]
    Port(String),
    /// A space, a line break or the like.
    #[error("the address has a character that no URL has")]
    Character,
}

/// A server and a path. `Debug` and `Display` leave credentials and the query out.
#[derive(Clone, PartialEq, Eq)]
pub struct RtspUrl {
    /// In TLS.
    pub secure: bool,
    /// Name or address; an IPv6 address without brackets.
    pub host: String,
    /// Port.
    pub port: u16,
    /// As requests name it: without credentials.
    pub(super) text: String,
    pub(super) user: Option<(String, String)>,
}

impl RtspUrl {
    /// Reads a whole URL.
    ///
    /// # Errors
    /// [`RtspUrlError`].
    pub fn parse(url: &str) -> Result<Self, RtspUrlError> {
        let url = url.trim();
        if url.chars().any(|c| c.is_whitespace() || c.is_control()) {
            return Err(RtspUrlError::Character);
        }
        let (scheme, rest) = url.split_once("://").ok_or(RtspUrlError::Scheme)?;
        let (secure, default) = match scheme.to_ascii_lowercase().as_str() {
            "rtsp" => (false, 554),
            "rtsps" => (true, 322),
            _ => return Err(RtspUrlError::Scheme),
        };
        let (authority, path) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
        let (user, authority) = match authority.rsplit_once('@') {
            Some((info, authority)) => {
                let (user, password) = info.split_once(':').unwrap_or((info, ""));
                (Some((percent_decode(user), percent_decode(password))), authority)
            }
            None => (None, authority),
        };
        let (host, port) = match authority.strip_prefix('[').and_then(|a| a.split_once(']')) {
            Some((host, rest)) => (host, rest.strip_prefix(':')),
            None => authority.split_once(':').map_or((authority, None), |(host, port)| (host, Some(port))),
        };
        if host.is_empty() {
            return Err(RtspUrlError::Host);
        }
        let port = match port {
            None | Some("") => default,
            Some(text) => text.parse().ok().filter(|p| *p > 0).ok_or_else(|| RtspUrlError::Port(text.into()))?,
        };
        let scheme = if secure { "rtsps" } else { "rtsp" };
        let text = format!("{scheme}://{authority}{path}");
        Ok(Self { secure, host: host.to_owned(), port, text, user })
    }
}

impl fmt::Display for RtspUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text.split('?').next().unwrap_or_default())
    }
}

impl fmt::Debug for RtspUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RtspUrl({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls() {
        let check = |url: &str, host: &str, port: u16, text: &str, user: Option<(&str, &str)>| {
            let got = RtspUrl::parse(url).unwrap();
            let user = user.map(|(u, p)| (u.to_owned(), p.to_owned()));
            assert_eq!((got.host.as_str(), got.port, got.text.as_str(), got.user), (host, port, text, user), "{url}");
        };
        check("rtsp://h/cam", "h", 554, "rtsp://h/cam", None);
        check("RTSPS://u:p%40w@h:8322/a/b?t=1", "h", 8322, "rtsps://h:8322/a/b?t=1", Some(("u", "p@w")));
        check("rtsp://[::1]:8554/cam", "::1", 8554, "rtsp://[::1]:8554/cam", None);
        check("rtsps://h", "h", 322, "rtsps://h", None);
        let refused = |url: &str, want| assert_eq!(RtspUrl::parse(url), Err(want), "{url}");
        refused("rtmp://h/x", RtspUrlError::Scheme);
        refused("rtsp:///x", RtspUrlError::Host);
        refused("rtsp://h:0/x", RtspUrlError::Port("0".into()));
        refused("rtsp://h/x\r\ny", RtspUrlError::Character);
        let shown = format!("{0} {0:?}", RtspUrl::parse("rtsp://u:hush@h/x?token=hush").unwrap());
        assert!(!shown.contains("hush"), "{shown}");
    }
}
