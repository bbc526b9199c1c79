//! Where an SRT server is, and what to say to it.
//!
//! Belongs here: `srt://HOST:PORT?streamid=…&passphrase=…&latency=…&pbkeylen=…`, as libsrt's tools write it. Not here: dialling.

use super::passphrase::{Passphrase, PassphraseError};
use crate::http::query_pairs;
use std::str::FromStr;
use std::time::Duration;
use thiserror::Error;

/// SRT's field of milliseconds has 16 bits.
const MAX_LATENCY: u64 = 65_535;

/// Where to call, and with what.
#[derive(Clone, PartialEq, Eq)]
pub struct SrtUrl {
    /// A name or an address, without brackets.
    pub host: String,
    /// UDP.
    pub port: u16,
    /// Told to the server as it is.
    pub stream_id: Option<String>,
    /// What the stream is encrypted with, if it is.
    pub passphrase: Option<Passphrase>,
    /// Bytes of the key: 16, 24 or 32.
    pub key_length: u8,
    /// How late payloads come out, at least.
    pub latency: Duration,
}

/// Why an address is none.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum SrtUrlError {
    /// Another scheme, or no host and port.
    #[error("write srt://HOST:PORT?streamid=…")]
    Shape,
    /// Servers are called; nobody is waited for.
    #[error("mode '{0}' is not done here; write mode=caller, or nothing")]
    Mode(String),
    /// Too short or too long.
    #[error(transparent)]
    Passphrase(#[from] PassphraseError),
    /// Neither 16, 24 nor 32.
    #[error("pbkeylen is 16, 24 or 32")]
    KeyLength,
    /// No number of milliseconds.
    #[error("latency is 0 to {MAX_LATENCY} milliseconds")]
    Latency,
}

impl FromStr for SrtUrl {
    type Err = SrtUrlError;

    fn from_str(text: &str) -> Result<Self, SrtUrlError> {
        let rest = text.strip_prefix("srt://").ok_or(SrtUrlError::Shape)?;
        let (authority, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (host, port) = authority.trim_end_matches('/').rsplit_once(':').ok_or(SrtUrlError::Shape)?;
        let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        let port = port.parse().ok().filter(|port| *port != 0).ok_or(SrtUrlError::Shape)?;
        if host.is_empty() || host.contains(['/', '@', ' ']) {
            return Err(SrtUrlError::Shape);
        }
        let mut url = Self {
            host: host.to_owned(),
            port,
            stream_id: None,
            passphrase: None,
            key_length: 16,
            latency: Duration::from_millis(120),
        };
        for (key, value) in query_pairs(query) {
            match key.as_str() {
                "streamid" => url.stream_id = Some(value).filter(|value| !value.is_empty()),
                "passphrase" => url.passphrase = (!value.is_empty()).then(|| value.parse()).transpose()?,
                "latency" => {
                    let millis = value.parse().ok().filter(|millis| *millis <= MAX_LATENCY);
                    url.latency = Duration::from_millis(millis.ok_or(SrtUrlError::Latency)?);
                }
                "pbkeylen" => {
                    let length = value.parse().ok().filter(|length| [16, 24, 32].contains(length));
                    url.key_length = length.ok_or(SrtUrlError::KeyLength)?;
                }
                "mode" if value != "caller" => return Err(SrtUrlError::Mode(value)),
                // libsrt's many others tune libsrt.
                _ => {}
            }
        }
        Ok(url)
    }
}

/// Host and port alone: the rest is nobody's concern.
impl std::fmt::Display for SrtUrl {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.host.contains(':') {
            write!(f, "srt://[{}]:{}", self.host, self.port)
        } else {
            write!(f, "srt://{}:{}", self.host, self.port)
        }
    }
}

impl std::fmt::Debug for SrtUrl {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SrtUrl({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls() {
        let url: SrtUrl =
            "srt://example.com:8890?streamid=%23!::r=cam,m=publish&passphrase=0123456789&latency=300&pbkeylen=32"
                .parse()
                .unwrap();
        assert_eq!(
            (url.host.as_str(), url.port, url.stream_id.as_deref()),
            ("example.com", 8890, Some("#!::r=cam,m=publish"))
        );
        assert_eq!((url.key_length, url.latency.as_millis(), url.passphrase.is_some()), (32, 300, true));
        assert_eq!(format!("{url} {url:?}"), "srt://example.com:8890 SrtUrl(srt://example.com:8890)");
        let url: SrtUrl = "srt://[::1]:9000/?mode=caller&tlpktdrop=1".parse().unwrap();
        assert_eq!((url.to_string().as_str(), url.stream_id, url.latency.as_millis()), ("srt://[::1]:9000", None, 120));
        let check = |text: &str, want: SrtUrlError| assert_eq!(text.parse::<SrtUrl>(), Err(want), "{text}");
        check("rtmp://h:1", SrtUrlError::Shape);
        check("srt://h", SrtUrlError::Shape);
        check("srt://:1", SrtUrlError::Shape);
        check("srt://h:1?mode=listener", SrtUrlError::Mode("listener".into()));
        check("srt://h:1?latency=soon", SrtUrlError::Latency);
        check("srt://h:1?pbkeylen=17", SrtUrlError::KeyLength);
        assert!(matches!("srt://h:1?passphrase=short".parse::<SrtUrl>(), Err(SrtUrlError::Passphrase(_))));
    }
}
