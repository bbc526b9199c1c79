//! Which URL is which protocol. Not here: what is behind it.

use proto::rtmp::{RtmpUrl, UrlError};
use std::fmt;
use std::str::FromStr;
use thiserror::Error;

/// Where a source is. `Display` and `Debug` leave credentials out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SourceUrl {
    /// `rtmp://` or `rtmps://`.
    Rtmp(RtmpUrl),
}

/// What is wrong with the URL of a source.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum SourceUrlError {
    /// MediaMTX's own word.
    #[error("readers are not sent elsewhere here; write the other address itself, and the stream is fetched")]
    Redirect,
    /// A protocol that is not fetched.
    #[error("'{0}' is no source; write 'publisher', or an address that begins with rtmp:// or rtmps://")]
    Scheme(String),
    /// Not an RTMP URL.
    #[error(transparent)]
    Rtmp(#[from] UrlError),
}

impl SourceUrl {
    /// What MediaMTX's API calls such a source.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Rtmp(_) => "rtmpSource",
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
        let scheme = text.split_once("://").map_or("", |(scheme, _)| scheme).to_ascii_lowercase();
        match scheme.as_str() {
            "rtmp" | "rtmps" => Ok(Self::Rtmp(RtmpUrl::parse(text)?)),
            "" => Err(SourceUrlError::Scheme(text.chars().take_while(char::is_ascii_alphanumeric).collect())),
            _ => Err(SourceUrlError::Scheme(format!("{scheme}://"))),
        }
    }
}

impl fmt::Display for SourceUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rtmp(url) => url.fmt(f),
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
        check(
            "gopher://me:secret@h/a",
            "'gopher://' is no source; write 'publisher', or an address that begins with rtmp:// or rtmps://",
        );
    }
}
