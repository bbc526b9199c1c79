//! A player of LL-HLS that reloads blocking, takes each part at once, and reads nothing else from a playlist.
//!
//! Belongs here: how long after it was sent a picture can be had, and when a player at the hold-back shows it. Not here: whether real players
//! get along with it (`tests/tests/hls.rs`).

use super::clip::FPS;
use super::figure::{Figure, Goal, Samples};
use super::http::Connection;
use super::publisher::{Book, now};
use anyhow::{Context, Result, ensure};
use container::fmp4::Demuxer;
use media::AccessUnit;
use std::time::Duration;

/// What following a stream showed.
#[derive(Debug, Default)]
pub(crate) struct Followed {
    /// From when a picture was sent until the part that holds it was there, ms.
    available: Samples,
    /// From when a picture was sent until a player at the hold-back shows it, ms.
    played: Samples,
    /// What the playlist says, s.
    hold_back: f64,
}

impl Followed {
    /// The rows of the table, of a stream that came in by `input`.
    pub(crate) fn figures(&self, input: &str) -> Vec<Figure> {
        let played = format!("LL-HLS{input}: played at hold-back ({} s)", self.hold_back);
        vec![
            Figure::of(format!("LL-HLS{input}, 200 ms parts: available"), &self.available, "ms", Goal::P95(190.0)),
            Figure::of(played, &self.played, "ms", Goal::Median(570.0)),
        ]
    }
}

/// Follows `path` at `host` (`HOST:PORT`) for `time`; `book` says when its pictures were sent.
///
/// # Errors
/// Where it cannot be followed, or holds pictures nobody sent.
pub(crate) fn follow(host: &str, path: &str, book: &Book, time: Duration) -> Result<Followed> {
    let mut stream = Stream::open(host, path)?;
    let (mut followed, mut edges, mut zeros) = (Followed::default(), Vec::new(), Samples::default());
    let end = now() + time.as_secs_f64();
    while now() < end {
        let part = stream.next()?;
        for picture in &part.pictures {
            let sent = book.sent(picture).context("a picture nobody sent")?;
            followed.available.push((part.at - sent) * 1e3);
            zeros.push(sent - picture.pts.seconds());
        }
        edges.extend(part.pictures.last().map(|last| part.listed - (last.pts.seconds() + 1.0 / f64::from(FPS))));
    }
    ensure!(followed.available.len() > 30, "only {} pictures came", followed.available.len());
    // A picture of time t is sent at t + zero. When a part is listed whose end is e, a player at the hold-back shows e - hold-back. It
    // plays evenly, so of all that the parts say the median counts.
    let zero = zeros.median().context("no picture")?;
    followed.hold_back = stream.playlist.hold_back;
    followed.played = edges.into_iter().map(|edge| (edge - zero + followed.hold_back) * 1e3).collect();
    Ok(followed)
}

/// A part, and when it was to be had.
#[derive(Debug)]
pub(crate) struct Part {
    /// When the playlist that names it was there, in seconds of the machine's monotonic clock.
    pub(crate) listed: f64,
    /// When it was there itself.
    pub(crate) at: f64,
    pub(crate) pictures: Vec<AccessUnit>,
}

/// A stream that is followed part by part.
pub(crate) struct Stream {
    server: Connection,
    path: String,
    demuxer: Demuxer,
    playlist: Playlist,
}

impl Stream {
    /// As a player begins: the multivariant playlist, the media playlist, the header.
    ///
    /// # Errors
    /// Where any of them is not to be had.
    pub(crate) fn open(host: &str, path: &str) -> Result<Self> {
        let mut server = Connection::open(host)?;
        server.get(&format!("/{path}/index.m3u8"))?;
        let playlist = Playlist::read(&server.get(&format!("/{path}/stream.m3u8"))?)?;
        let init = server.get(&format!("/{path}/{}", playlist.init))?;
        Ok(Self { server, path: path.to_owned(), demuxer: Demuxer::new(&init)?, playlist })
    }

    /// The newest part that begins with a key picture, of those that are listed now.
    ///
    /// # Errors
    /// Where none is.
    pub(crate) fn newest_key(&mut self) -> Result<Part> {
        let key = self.playlist.key.clone().context("no part begins with a key picture")?;
        self.part(&key, now())
    }

    /// The part that comes next, as soon as it is there.
    ///
    /// # Errors
    /// Where it does not come.
    pub(crate) fn next(&mut self) -> Result<Part> {
        let (segment, part) = self.playlist.next;
        let text = self.server.get(&format!("/{}/stream.m3u8?_HLS_msn={segment}&_HLS_part={part}", self.path))?;
        let listed = now();
        self.playlist = Playlist::read(&text)?;
        let newest = self.playlist.newest.clone().context("no part is listed")?;
        self.part(&newest, listed)
    }

    fn part(&mut self, name: &str, listed: f64) -> Result<Part> {
        let body = self.server.get(&format!("/{}/{name}", self.path))?;
        let at = now();
        let pictures = self.demuxer.fragments(&body)?.into_iter().filter(AccessUnit::is_video).collect();
        Ok(Part { listed, at, pictures })
    }
}

/// What a playlist of parts says (RFC 8216bis §4.4).
#[derive(Debug)]
pub(crate) struct Playlist {
    /// `EXT-X-MAP`.
    init: String,
    /// `PART-HOLD-BACK`, in seconds.
    hold_back: f64,
    /// The last `EXT-X-PART`.
    pub(crate) newest: Option<String>,
    /// The last of them that can be begun with.
    key: Option<String>,
    /// Media sequence number and part that come next.
    pub(crate) next: (u64, u64),
}

impl Playlist {
    pub(crate) fn read(text: &[u8]) -> Result<Self> {
        let text = std::str::from_utf8(text)?;
        let (mut init, mut hold_back, mut newest, mut key, mut next) = (None, None, None, None, (0, 0));
        for line in text.lines() {
            if let Some(number) = line.strip_prefix("#EXT-X-MEDIA-SEQUENCE:") {
                next.0 = number.parse()?;
            } else if line.starts_with("#EXT-X-MAP:") {
                init = attribute(line, "URI").map(str::to_owned);
            } else if line.starts_with("#EXT-X-SERVER-CONTROL:") {
                hold_back = attribute(line, "PART-HOLD-BACK").and_then(|value| value.parse().ok());
            } else if line.starts_with("#EXT-X-PART:") {
                newest = attribute(line, "URI").map(str::to_owned);
                if attribute(line, "INDEPENDENT") == Some("YES") {
                    key.clone_from(&newest);
                }
                next.1 += 1;
            } else if !line.is_empty() && !line.starts_with('#') {
                next = (next.0 + 1, 0);
            }
        }
        let hold_back = hold_back.with_context(|| format!("no PART-HOLD-BACK in {text}"))?;
        Ok(Self { init: init.context("no EXT-X-MAP")?, hold_back, newest, key, next })
    }
}

/// The value of an attribute, without its quotes.
fn attribute<'a>(line: &'a str, name: &str) -> Option<&'a str> {
    let (_, list) = line.split_once(':')?;
    let (_, rest) = list.split_once(&format!("{name}="))?;
    rest.strip_prefix('"').map_or_else(|| rest.split(',').next(), |quoted| quoted.split('"').next())
}
