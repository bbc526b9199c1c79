//! Which URL is which protocol. Not here: what is behind it.

use crate::hls::pull::{HlsUrl, HlsUrlError};
use crate::mjpeg::{MjpegUrl, MjpegUrlError};
use crate::mpegts::{UdpUrl, UdpUrlError};
use crate::rtsp::{RtspUrl, RtspUrlError};
use crate::srt::{SrtUrl, SrtUrlError};
use crate::webrtc::client::{WhipAuth, WhipTarget};
use proto::rtmp::{RtmpUrl, UrlError};
use std::fmt;
use std::str::FromStr;
use thiserror::Error;

/// What is fetched, for whoever wrote something else.
const SCHEMES: &str =
    "rtmp://, rtmps://, rtsp://, rtsps://, srt://, udp+mpegts://, whep://, wheps://, http:// or https://";

/// Where a source is. `Display` and `Debug` leave credentials out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SourceUrl {
    /// `rtmp://` or `rtmps://`.
    Rtmp(RtmpUrl),
    /// `rtsp://`.
    Rtsp(RtspUrl),
    /// `rtsps://`.
    Rtsps(proto::rtsp::RtspUrl),
    /// `srt://`, of a server that is called.
    Srt(SrtUrl),
    /// `udp+mpegts://` or `udp://`.
    MpegTs(UdpUrl),
    /// `http://` or `https://`, of a playlist.
    Hls(HlsUrl),
    /// `http://` or `https://`, of a camera that answers with one picture after another.
    Mjpeg(MjpegUrl),
    /// `whep://` or `wheps://`, which is HTTP.
    Whep(WhipTarget),
}

/// What is wrong with the URL of a source.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum SourceUrlError {
    /// MediaMTX's own word.
    #[error("readers are not sent elsewhere here; write the other address itself, and the stream is fetched")]
    Redirect,
    /// A protocol that is not fetched.
    #[error("'{0}' is no source; write 'publisher', or an address that begins with {SCHEMES}")]
    Scheme(String),
    /// Not an RTMP URL.
    #[error(transparent)]
    Rtmp(#[from] UrlError),
    /// Not an RTSP URL.
    #[error(transparent)]
    Rtsp(#[from] RtspUrlError),
    /// As above.
    #[error(transparent)]
    Rtsps(#[from] proto::rtsp::RtspUrlError),
    /// Not an SRT server's URL.
    #[error(transparent)]
    Srt(#[from] SrtUrlError),
    /// Not a place to listen.
    #[error(transparent)]
    MpegTs(#[from] UdpUrlError),
    /// Not a playlist's URL.
    #[error(transparent)]
    Hls(#[from] HlsUrlError),
    /// Not a camera's.
    #[error(transparent)]
    Mjpeg(#[from] MjpegUrlError),
    /// Not a WHEP server's URL.
    #[error("the address is malformed: {0}")]
    Whep(#[from] url::ParseError),
    /// A token for a protocol that has none.
    #[error("a bearer token goes with whep:// and wheps://")]
    Token,
}

impl SourceUrl {
    /// What MediaMTX's API calls such a source.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Rtmp(_) => "rtmpSource",
            Self::Rtsp(_) | Self::Rtsps(_) => "rtspSource",
            Self::Srt(_) => "srtSource",
            Self::MpegTs(_) => "mpegtsSource",
            Self::Hls(_) => "hlsSource",
            Self::Mjpeg(_) => "mjpegSource",
            Self::Whep(_) => "webRTCSource",
        }
    }

    /// With a token that is shown to the server.
    ///
    /// # Errors
    /// [`SourceUrlError::Token`] for all but WHEP.
    pub fn with_token(self, token: String) -> Result<Self, SourceUrlError> {
        match self {
            Self::Whep(target) => Ok(Self::Whep(WhipTarget { auth: WhipAuth::Bearer(token), ..target })),
            _ => Err(SourceUrlError::Token),
        }
    }
}

impl FromStr for SourceUrl {
    type Err = SourceUrlError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == "redirect" {
            return Err(SourceUrlError::Redirect);
        }
        // Only the scheme is told back: the rest may hold a password.
        let (scheme, rest) = text.split_once("://").unwrap_or_default();
        let scheme = scheme.to_ascii_lowercase();
        match scheme.as_str() {
            "rtmp" | "rtmps" => Ok(Self::Rtmp(RtmpUrl::parse(text)?)),
            "rtsp" => Ok(Self::Rtsp(text.parse()?)),
            "rtsps" => Ok(Self::Rtsps(proto::rtsp::RtspUrl::parse(text)?)),
            "srt" => Ok(Self::Srt(text.parse()?)),
            "udp" | "udp+mpegts" => Ok(Self::MpegTs(text.parse()?)),
            "http" | "https" => match text.parse() {
                Ok(url) => Ok(Self::Hls(url)),
                Err(HlsUrlError::Playlist) => Ok(Self::Mjpeg(text.parse()?)),
                Err(error) => Err(error.into()),
            },
            "whep" => Ok(Self::Whep(WhipTarget::parse("http", rest)?)),
            "wheps" => Ok(Self::Whep(WhipTarget::parse("https", rest)?)),
            "" => Err(SourceUrlError::Scheme(text.chars().take_while(char::is_ascii_alphanumeric).collect())),
            _ => Err(SourceUrlError::Scheme(format!("{scheme}://"))),
        }
    }
}

impl fmt::Display for SourceUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rtmp(url) => url.fmt(f),
            Self::Rtsp(url) => url.fmt(f),
            Self::Rtsps(url) => write!(f, "rtsps://{}:{}", url.host, url.port),
            Self::Srt(url) => url.fmt(f),
            Self::MpegTs(url) => url.fmt(f),
            Self::Hls(url) => url.fmt(f),
            Self::Mjpeg(url) => url.fmt(f),
            Self::Whep(target) => write!(f, "{}", target.to_string().replacen("http", "whep", 1)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls() {
        let check = |text: &str, want: &str| {
            let got = match text.parse::<SourceUrl>() {
                Ok(url) => {
                    let (shown, debugged) = (url.to_string(), format!("{url:?}"));
                    assert!(!shown.contains("secret") && !debugged.contains("secret"), "{debugged}");
                    format!("{} {shown}", url.kind())
                }
                Err(error) => error.to_string(),
            };
            assert_eq!(got, want, "{text}");
        };
        check("rtmp://me:secret@h/live/key-secret", "rtmpSource rtmp://h/live");
        check("RTMPS://h:99/live/x?token=secret", "rtmpSource rtmps://h:99/live");
        check("rtmp://h", "the address ends behind the server; a path such as /live/key is missing");
        check(
            "redirect",
            "readers are not sent elsewhere here; write the other address itself, and the stream is fetched",
        );
        check("rtsp://me:secret@h/a?b=secret", "rtspSource rtsp://h:554");
        check("rtsps://me:secret@h/a?b=secret", "rtspSource rtsps://h:322");
        check("srt://h:9000?streamid=read:a:me:secret&passphrase=secretsecret", "srtSource srt://h:9000");
        check("srt://h:9000?mode=listener", "mode 'listener' is not done here; write mode=caller, or nothing");
        check("udp://:5000", "mpegtsSource udp+mpegts://0.0.0.0:5000");
        check("https://me:secret@h/a.m3u8?secret", "hlsSource https://h");
        check("whep://me:secret@h:8889/cam/whep?token=secret", "webRTCSource whep://h:8889");
        check("WHEPS://h/secret/whep", "webRTCSource wheps://h");
        check("whep://", "the address is malformed: empty host");
        check("https://me:secret@h/a?secret", "mjpegSource https://h");
        check(
            "gopher://me:secret@h/a",
            "'gopher://' is no source; write 'publisher', or an address that begins with rtmp://, rtmps://, rtsp://, rtsps://, \
             srt://, udp+mpegts://, whep://, wheps://, http:// or https://",
        );
    }
}
