//! Pulling Motion JPEG by HTTP into a path: what an ESP32-CAM, mjpg-streamer or Motion shows under `/stream`.
//!
//! Belongs here: one answer's life, and why it ended. Not here: trying again (`source`), an answer's parts (`proto::multipart`), what a JPEG
//! says (`media`), the picture that everybody plays (`transcode`).
//!
//! Such an answer has no clock: a picture is of the time it comes in at.

use crate::clock::Clock;
use crate::tls::Trust;
use hub::{Hub, PathName, PublishError, Publisher, PublisherInfo, PublisherState};
use media::{AccessUnit, ClockRate, JpegError, MediaTime, MjpegEntrance, MonoTime, Track, TrackId, TrackSet};
use proto::multipart::{MultipartError, Parts};
use reqwest::header::CONTENT_TYPE;
use reqwest::{Client, StatusCode, Url};
use std::convert::Infallible;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;
use thiserror::Error;
use tracing::warn;

/// A camera that has not begun to answer within this is not there, and one that sends nothing for as long is gone.
const SILENCE: Duration = Duration::from_secs(10);
/// So many parts in a row that are no JPEG are another kind of stream.
const MAX_OTHERS: u32 = 30;
const TRACK: TrackId = TrackId(0);

/// Where a camera answers. `Display` and `Debug` leave credentials, path and query out.
#[derive(Clone, PartialEq, Eq)]
pub struct MjpegUrl(Url);

/// The address is none.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("the address is malformed: {0}")]
pub struct MjpegUrlError(String);

impl FromStr for MjpegUrl {
    type Err = MjpegUrlError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Url::parse(text).map(Self).map_err(|error| MjpegUrlError(error.to_string()))
    }
}

impl fmt::Display for MjpegUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let port = self.0.port().map_or_else(String::new, |port| format!(":{port}"));
        write!(f, "{}://{}{port}", self.0.scheme(), self.0.host_str().unwrap_or_default())
    }
}

impl fmt::Debug for MjpegUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MjpegUrl({self})")
    }
}

/// Why a pull ended.
#[derive(Debug, Error)]
pub enum PullError {
    /// The camera cannot be reached, or answers no more.
    #[error("HTTP: {0}")]
    Http(#[source] reqwest::Error),
    /// The camera says no.
    #[error("the camera answers {0}")]
    Status(StatusCode),
    /// Something else answers, or more than pictures are.
    #[error("{0}; what is fetched by HTTP is HLS (addresses that end in .m3u8) or Motion JPEG")]
    Answer(#[from] MultipartError),
    /// The parts are no pictures.
    #[error("no pictures come: {0}")]
    Pictures(JpegError),
    /// TLS cannot be had.
    #[error("TLS: {0}")]
    Tls(rustls::Error),
    /// The path cannot be had here.
    #[error(transparent)]
    Publish(#[from] PublishError),
    /// The answer is over, or another publisher took over.
    #[error("the stream has ended")]
    Ended,
}

impl From<reqwest::Error> for PullError {
    fn from(error: reqwest::Error) -> Self {
        // The address may hold a password.
        Self::Http(error.without_url())
    }
}

/// Pulls `url` into `path` until something ends it; `trust` is for `https://`. Dropping the future ends it at once.
///
/// # Errors
/// Always ends with the reason.
pub async fn pull(
    url: &MjpegUrl,
    trust: Trust,
    hub: &Hub,
    path: &PathName,
    clock: Clock,
) -> Result<Infallible, PullError> {
    let tls = trust.client_config().map_err(PullError::Tls)?;
    let builder = Client::builder().tls_backend_preconfigured(tls).user_agent("visavis");
    let client = builder.connect_timeout(SILENCE).read_timeout(SILENCE).build()?;
    let mut response = client.get(url.0.clone()).send().await?;
    if !response.status().is_success() {
        return Err(PullError::Status(response.status()));
    }
    let content_type = response.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let mut parts = Parts::new(content_type.unwrap_or_default())?;
    let (mut pictures, mut publisher, mut others) = (Pictures::default(), None::<Publisher>, 0);
    while let Some(chunk) = response.chunk().await? {
        parts.push(&chunk);
        while let Some(part) = parts.next_part()? {
            let now = clock.now();
            let (unit, tracks) = match pictures.take(&part, now) {
                Ok(taken) => taken,
                Err(error) if others < MAX_OTHERS => {
                    others += 1;
                    warn!(%error, "a part is no picture");
                    continue;
                }
                Err(error) => return Err(PullError::Pictures(error)),
            };
            others = 0;
            let publisher = match &mut publisher {
                Some(publisher) => publisher,
                none => none.insert(hub.publish(path, info(url), TrackSet::default(), now)?),
            };
            if let Some(tracks) = tracks {
                publisher.set_tracks(tracks);
            }
            publisher.write(unit, now);
            if publisher.state() != PublisherState::Live {
                return Err(PullError::Ended);
            }
        }
    }
    Err(PullError::Ended)
}

fn info(url: &MjpegUrl) -> PublisherInfo {
    PublisherInfo { kind: "mjpegSource", id: url.to_string(), answers_keyframes: false }
}

/// Parts to units.
#[derive(Debug, Default)]
struct Pictures {
    entrance: MjpegEntrance,
    /// The time of the last one.
    last: Option<MediaTime>,
}

impl Pictures {
    /// The unit of one part that came in now, and the tracks where they have changed.
    fn take(&mut self, part: &bytes::Bytes, now: MonoTime) -> Result<(AccessUnit, Option<TrackSet>), JpegError> {
        let before = self.entrance.params();
        let picture = self.entrance.unit(part)?;
        let at = i64::try_from(now.micros()).unwrap_or(i64::MAX);
        let at = MediaTime::new(at, ClockRate::MICRO).rescale(ClockRate::VIDEO);
        // Those that come in one piece are of one time, and times rise.
        let tick = MediaTime::new(1, ClockRate::VIDEO);
        let at = self.last.map_or(at, |last| at.max(last.plus(tick)));
        self.last = Some(at);
        let changed = !before.is_some_and(|before| Arc::ptr_eq(&before, &picture.params));
        let track = || Track { id: TRACK, clock: ClockRate::VIDEO, params: Arc::clone(&picture.params) };
        let tracks = changed.then(|| TrackSet::new([track()]));
        let unit = AccessUnit {
            track: TRACK,
            dts: at,
            pts: at,
            duration: None,
            kind: picture.kind,
            captured: None,
            params: picture.params.clone(),
            payload: picture.payload,
        };
        Ok((unit, tracks))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use media::{JpegHead, JpegSampling};

    #[test]
    fn pictures_are_of_when_they_come() {
        let jpeg = |width: u16| -> Bytes {
            let sampling = JpegSampling::Yuv422;
            let head = JpegHead { width, height: 240, sampling, restart: 0, tables: [[2; 64]; 2] };
            [&head.write()[..], &[1, 2], &JpegHead::END].concat().into()
        };
        let mut pictures = Pictures::default();
        let mut take = |width, ms: u64| {
            let (unit, tracks) = pictures.take(&jpeg(width), MonoTime::from_micros(ms * 1000)).unwrap();
            assert!(unit.is_key() && unit.dts == unit.pts);
            (unit.dts.ticks(), tracks.map(|tracks| tracks.len()))
        };
        assert_eq!(take(320, 1000), (90_000, Some(1)));
        assert_eq!(take(320, 1000), (90_001, None));
        assert_eq!(take(640, 1040), (93_600, Some(1)));
        assert!(pictures.take(&Bytes::from_static(b"no JPEG"), MonoTime::default()).is_err());
    }

    #[test]
    fn urls_hide_what_is_secret() {
        let url: MjpegUrl = "http://me:secret@cam:81/stream?secret".parse().unwrap();
        assert_eq!(format!("{url} {url:?}"), "http://cam:81 MjpegUrl(http://cam:81)");
        assert!("http://".parse::<MjpegUrl>().is_err());
    }
}
