//! Pulling a stream by HLS into a path.
//!
//! Belongs here: one playlist's life, from fetching it first to its end, and why it ended; the pace at which segments become a stream
//! again. Not here: trying again (`source`), what playlists say (`playlist`), segments' insides (`container`), our own origin (`super`).
//!
//! Segments come in lumps of seconds. Readers want a stream, so units go out when their times say, two segments behind the newest: that
//! is as far as a server promises to keep them, and what a slow answer may take.

pub(crate) mod playlist;
mod rendition;

use crate::clock::Clock;
use crate::tls::Trust;
use bytes::{Bytes, BytesMut};
use container::fmp4::Fmp4Error;
use hub::{Hub, PathName, PublishError, PublisherInfo};
use parking_lot::Mutex;
use playlist::{Choice, MediaPlaylist, Place, Playlist, PlaylistError};
use rendition::{Output, Pace};
use reqwest::header::RANGE;
use reqwest::{Client, StatusCode, Url};
use std::convert::Infallible;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;
use thiserror::Error;

/// A server that has not begun to answer within this is not there, and one that sends nothing for as long is gone.
const SILENCE: Duration = Duration::from_secs(10);
/// An answer that takes longer comes slower than it plays.
const REQUEST: Duration = Duration::from_secs(30);
/// Playlists at most: a day of two seconds each has four megabytes.
const MAX_PLAYLIST: usize = 8 << 20;
/// Segments at most: ten seconds of 50 Mbit/s.
const MAX_SEGMENT: usize = 64 << 20;

/// Where a stream is pulled from: a playlist's address. `Display` and `Debug` leave credentials, path and query out.
#[derive(Clone, PartialEq, Eq)]
pub struct HlsUrl(Url);

/// What is wrong with a URL.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum HlsUrlError {
    /// Not a URL.
    #[error("the address is malformed: {0}")]
    Syntax(String),
    /// Not a playlist's.
    #[error("only HLS is pulled by HTTP, and its addresses end in .m3u8")]
    Playlist,
}

impl FromStr for HlsUrl {
    type Err = HlsUrlError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let url = Url::parse(text).map_err(|error| HlsUrlError::Syntax(error.to_string()))?;
        let ending = url.path().rsplit('.').next().unwrap_or_default().to_ascii_lowercase();
        if matches!(ending.as_str(), "m3u8" | "m3u") { Ok(Self(url)) } else { Err(HlsUrlError::Playlist) }
    }
}

impl fmt::Display for HlsUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let port = self.0.port().map_or_else(String::new, |port| format!(":{port}"));
        write!(f, "{}://{}{port}", self.0.scheme(), self.0.host_str().unwrap_or_default())
    }
}

impl fmt::Debug for HlsUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "HlsUrl({self})")
    }
}

/// Why a pull ended.
#[derive(Debug, Error)]
pub enum PullError {
    /// The server cannot be reached, or answers no more.
    #[error("HTTP: {0}")]
    Http(#[source] reqwest::Error),
    /// The server says no.
    #[error("the server answers {0}")]
    Status(StatusCode),
    /// An answer larger than such a thing is.
    #[error("the {0} is too large")]
    TooLarge(&'static str),
    /// What the playlist says.
    #[error("playlist: {0}")]
    Playlist(#[from] PlaylistError),
    /// An address in the playlist is none.
    #[error("an address in the playlist is malformed")]
    Address,
    /// A playlist that points to playlists that point to playlists.
    #[error("the playlist of a rendition lists renditions")]
    Nested,
    /// Neither MPEG-TS nor fragmented MP4.
    #[error("a segment is neither MPEG-TS nor fragmented MP4")]
    Segment,
    /// The segments are malformed.
    #[error("MP4: {0}")]
    Fmp4(#[from] Fmp4Error),
    /// TLS cannot be had.
    #[error("TLS: {0}")]
    Tls(rustls::Error),
    /// The path cannot be had here.
    #[error(transparent)]
    Publish(#[from] PublishError),
    /// The playlist grows no more.
    #[error("no new segment for {0:?}")]
    Stalled(Duration),
    /// The stream is over, or another publisher took over.
    #[error("the stream has ended")]
    Ended,
}

impl From<reqwest::Error> for PullError {
    fn from(error: reqwest::Error) -> Self {
        // The address may hold a token.
        Self::Http(error.without_url())
    }
}

/// Pulls `url` into `path` until something ends it; `trust` is for `https://`. Dropping the future ends it at once.
///
/// # Errors
/// Always ends with the reason.
pub async fn pull(
    url: &HlsUrl,
    trust: Trust,
    hub: &Hub,
    path: &PathName,
    clock: Clock,
) -> Result<Infallible, PullError> {
    let server = Server::new(trust)?;
    let (first, at) = server.playlist(&url.0).await?;
    let renditions = match first {
        Playlist::Media(playlist) => vec![(at, Some(playlist))],
        Playlist::Multivariant(Choice { variant, audio }) => {
            let join = |uri: String| at.join(&uri).map(|url| (url, None)).map_err(|_e| PullError::Address);
            std::iter::once(variant).chain(audio).map(join).collect::<Result<_, _>>()?
        }
    };
    let info = PublisherInfo { kind: "hlsSource", id: url.to_string(), answers_keyframes: false };
    let publisher = hub.publish(path, info, media::TrackSet::default(), clock.now())?;
    let (output, pace) = (Output::new(publisher, clock, renditions.len()), Mutex::new(Pace::default()));
    let run = |index: usize, (url, known): (Url, Option<MediaPlaylist>)| {
        rendition::run(index, &server, url, known, &output, &pace)
    };
    let mut renditions = renditions.into_iter().enumerate().map(|(index, rendition)| run(index, rendition));
    match (renditions.next(), renditions.next()) {
        (Some(only), None) => only.await,
        (Some(picture), Some(sound)) => tokio::select! {
            ended = picture => ended,
            ended = sound => ended,
        },
        (None, _) => Err(PullError::Ended),
    }
}

/// One server's answers, within bounds.
struct Server {
    client: Client,
}

impl Server {
    fn new(trust: Trust) -> Result<Self, PullError> {
        let tls = trust.client_config().map_err(PullError::Tls)?;
        let builder = Client::builder().tls_backend_preconfigured(tls).user_agent("visavis");
        let client = builder.connect_timeout(SILENCE).read_timeout(SILENCE).timeout(REQUEST).build()?;
        Ok(Self { client })
    }

    /// A playlist, and where it was found in the end.
    async fn playlist(&self, url: &Url) -> Result<(Playlist, Url), PullError> {
        let (text, at) = self.get(url, None, MAX_PLAYLIST, "playlist").await?;
        Ok((Playlist::parse(&text)?, at))
    }

    async fn segment(&self, base: &Url, place: &Place) -> Result<Bytes, PullError> {
        let url = base.join(&place.uri).map_err(|_e| PullError::Address)?;
        Ok(self.get(&url, place.range, MAX_SEGMENT, "segment").await?.0)
    }

    async fn get(
        &self,
        url: &Url,
        range: Option<(u64, u64)>,
        most: usize,
        what: &'static str,
    ) -> Result<(Bytes, Url), PullError> {
        let mut request = self.client.get(url.clone());
        if let Some((offset, length)) = range {
            let last = offset.saturating_add(length).saturating_sub(1);
            request = request.header(RANGE, format!("bytes={offset}-{last}"));
        }
        let mut response = request.send().await?;
        if !response.status().is_success() {
            return Err(PullError::Status(response.status()));
        }
        let whole = range.filter(|_| response.status() != StatusCode::PARTIAL_CONTENT);
        let mut body = BytesMut::new();
        while let Some(chunk) = response.chunk().await? {
            if body.len().saturating_add(chunk.len()) > most {
                return Err(PullError::TooLarge(what));
            }
            body.extend_from_slice(&chunk);
        }
        let (mut body, at) = (body.freeze(), response.url().clone());
        if let Some((offset, length)) = whole {
            // A server that knows no ranges has sent all.
            let from = usize::try_from(offset).unwrap_or(usize::MAX).min(body.len());
            let to = from.saturating_add(usize::try_from(length).unwrap_or(usize::MAX)).min(body.len());
            body = body.slice(from..to);
        }
        Ok((body, at))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls() {
        let shown = |text: &str| text.parse::<HlsUrl>().map(|url| format!("{url} {url:?}"));
        let want = "https://h:8443 HlsUrl(https://h:8443)";
        assert_eq!(shown("https://me:secret@h:8443/cam/index.m3u8?token=secret"), Ok(want.into()));
        assert_eq!(shown("http://h/cam.mp4"), Err(HlsUrlError::Playlist));
    }
}
