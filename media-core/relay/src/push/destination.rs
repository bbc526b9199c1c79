//! Where to push: a URL, and whom to believe there.
//!
//! Belongs here: which scheme is which protocol, and what of a URL may be shown. Not here: going there (`rtmp` and its like).

use crate::srt::{SrtUrl, SrtUrlError};
use crate::tls::Trust;
use crate::webrtc::client::{WhipAuth, WhipTarget};
use proto::rtmp::{RtmpUrl, UrlError};
use proto::rtsp::{RtspUrl, RtspUrlError};
use std::fmt;
use std::str::FromStr;
use thiserror::Error;

/// Why a text names no destination.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum DestinationError {
    /// A protocol that is not pushed by.
    #[error("nothing is pushed to '{0}://'; write rtmp(s)://, rtsp(s)://, srt:// or whip(s)://")]
    Scheme(String),
    /// No scheme at all.
    #[error("a destination is a URL such as rtmps://host/app/key")]
    NoUrl,
    /// The URL is not of its scheme's form.
    #[error(transparent)]
    Rtmp(#[from] UrlError),
    /// As above.
    #[error(transparent)]
    Rtsp(#[from] RtspUrlError),
    /// As above.
    #[error("the address is malformed: {0}")]
    Http(#[from] url::ParseError),
    /// SRT has no certificates.
    #[error("a fingerprint goes with rtmps://, rtsps:// and whips://")]
    Fingerprint,
    /// Only WHIP takes a token.
    #[error("a token goes with whip:// and whips://")]
    Token,
    /// The URL is not of its scheme's form.
    #[error(transparent)]
    Srt(#[from] SrtUrlError),
}

/// Where a path is pushed to. `Display` and `Debug` leave out keys, passwords and queries.
#[derive(Clone, PartialEq, Eq)]
pub struct Destination {
    pub(super) to: To,
    pub(super) trust: Trust,
}

/// By protocol.
#[derive(Clone, PartialEq, Eq)]
pub(super) enum To {
    Rtmp(RtmpUrl),
    Rtsp(RtspUrl),
    Whip(WhipTarget),
    Srt(SrtUrl),
}

impl Destination {
    /// Sets whom to believe where the connection is encrypted.
    ///
    /// # Errors
    /// [`DestinationError::Fingerprint`] for SRT, which has no certificates.
    pub fn with_trust(mut self, trust: Trust) -> Result<Self, DestinationError> {
        match &mut self.to {
            To::Srt(_) if trust != Trust::System => return Err(DestinationError::Fingerprint),
            To::Whip(target) => target.trust = trust,
            To::Srt(_) | To::Rtmp(_) | To::Rtsp(_) => {}
        }
        self.trust = trust;
        Ok(self)
    }

    /// Sets the token that is shown to a WHIP server.
    ///
    /// # Errors
    /// [`DestinationError::Token`] for other protocols.
    pub fn with_token(mut self, token: String) -> Result<Self, DestinationError> {
        let To::Whip(target) = &mut self.to else { return Err(DestinationError::Token) };
        target.auth = WhipAuth::Bearer(token);
        Ok(self)
    }

    /// Server and key apart, as platforms hand them out.
    ///
    /// # Errors
    /// [`DestinationError`] where `server` is no RTMP URL.
    pub fn rtmp(server: &str, key: &str) -> Result<Self, DestinationError> {
        Ok(Self { to: To::Rtmp(RtmpUrl::with_key(server, key)?), trust: Trust::System })
    }

    /// For lists of readers.
    pub(super) const fn kind(&self) -> &'static str {
        match &self.to {
            To::Rtmp(_) => "rtmpPush",
            To::Rtsp(_) => "rtspPush",
            To::Whip(_) => "webRTCPush",
            To::Srt(_) => "srtPush",
        }
    }
}

impl FromStr for Destination {
    type Err = DestinationError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (scheme, rest) = text.trim().split_once("://").ok_or(DestinationError::NoUrl)?;
        let to = match scheme.to_ascii_lowercase().as_str() {
            "rtmp" | "rtmps" => To::Rtmp(RtmpUrl::parse(text)?),
            "rtsp" | "rtsps" => To::Rtsp(RtspUrl::parse(text)?),
            "whip" | "http" => To::Whip(WhipTarget::parse("http", rest)?),
            "whips" | "https" => To::Whip(WhipTarget::parse("https", rest)?),
            "srt" => To::Srt(text.trim().parse()?),
            _ => return Err(DestinationError::Scheme(scheme.to_owned())),
        };
        Ok(Self { to, trust: Trust::System })
    }
}

impl fmt::Display for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.to {
            To::Rtmp(url) => fmt::Display::fmt(url, f),
            To::Rtsp(url) => fmt::Display::fmt(url, f),
            To::Whip(target) => fmt::Display::fmt(target, f),
            To::Srt(url) => fmt::Display::fmt(url, f),
        }
    }
}

impl fmt::Debug for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Destination({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn destinations() {
        let check = |text: &str, want: &str| {
            let got = text.parse::<Destination>().map_or_else(|e| e.to_string(), |d| format!("{d} {d:?}"));
            assert_eq!(got, want, "{text}");
        };
        check("rtmp://h/live/key?token=t", "rtmp://h/live Destination(rtmp://h/live)");
        check("rtmps://u:p@h:1936/live/key", "rtmps://h:1936/live Destination(rtmps://h:1936/live)");
        check("ftp://h/x", "nothing is pushed to 'ftp://'; write rtmp(s)://, rtsp(s)://, srt:// or whip(s)://");
        check("h/live/key", "a destination is a URL such as rtmps://host/app/key");
        check("rtsps://u:p@h/cam?t=x", "rtsps://h/cam Destination(rtsps://h/cam)");
        check("whips://u:p@h/x/hush/whip?t=x", "https://h Destination(https://h)");
        check("http://h:8889/x/whip", "http://h:8889 Destination(http://h:8889)");
        check("srt://h:9000?streamid=publish:key&passphrase=0123456789", "srt://h:9000 Destination(srt://h:9000)");
        check("rtmp:///x", "the address names no server");
    }
}
