//! LL-HLS: how long after it was sent a picture can be had, and when a player at the hold-back shows it.
//!
//! Belongs here: a player that reloads blocking, takes each part at once, and reads nothing else from a playlist. Not here: whether real players
//! get along with it (`tests/tests/hls.rs`).

use crate::Bench;
use crate::clip::{FPS, Recipe, Sound};
use crate::figure::{Figure, Goal, Samples};
use crate::http::Connection;
use crate::publisher::{Publisher, now};
use anyhow::{Context, Result, ensure};
use container::fmp4::Demuxer;
use e2e::relay::Relay;
use std::sync::Arc;
use std::time::Duration;

const CONFIG: &str = "rtmpAddress: 127.0.0.1:0\nhlsAddress: 127.0.0.1:0\nrtsp: no\nsrt: no\nwebrtc: no\napi: yes\napiAddress: 127.0.0.1:0\n\
    logLevel: error\npaths: {all_others: }\n";

/// Available, and played at the hold-back.
pub(crate) fn hls(bench: &Bench) -> Result<Vec<Figure>> {
    let seconds = bench.effort.seconds(30);
    let recipe =
        Recipe { size: Some((640, 480)), gop: 30, sound: Sound::Aac, length: seconds + Duration::from_secs(6) };
    let clip = Arc::new(recipe.make()?);
    let relay = Relay::start(&bench.dir, CONFIG)?;
    let publisher = Publisher::start(&relay.rtmp("bench")?, &clip)?;
    relay.path_ready("bench")?;

    let mut server = Connection::open(&relay.address("hls")?)?;
    server.get("/bench/index.m3u8")?;
    let mut playlist = Playlist::read(&server.get("/bench/stream.m3u8")?)?;
    let init = server.get(&format!("/bench/{}", playlist.init))?;
    let mut demuxer = Demuxer::new(&init)?;
    let (mut available, mut edges, mut zeros) = (Samples::default(), Vec::new(), Samples::default());
    let end = now() + seconds.as_secs_f64();
    while now() < end {
        let (segment, part) = playlist.next;
        let text = server.get(&format!("/bench/stream.m3u8?_HLS_msn={segment}&_HLS_part={part}"))?;
        let listed = now();
        playlist = Playlist::read(&text)?;
        let newest = playlist.newest.clone().context("no part is listed")?;
        let body = server.get(&format!("/bench/{newest}"))?;
        let at = now();
        let units = demuxer.fragments(&body)?;
        let pictures = units.iter().filter(|unit| unit.is_video());
        for picture in pictures.clone() {
            let sent = publisher.book.sent(picture).context("a picture nobody sent")?;
            available.push((at - sent) * 1e3);
            zeros.push(sent - picture.pts.seconds());
        }
        edges.extend(pictures.last().map(|last| listed - (last.pts.seconds() + 1.0 / f64::from(FPS))));
    }
    relay.stop()?;
    ensure!(available.len() > 30, "only {} pictures came", available.len());
    // A picture of time t is sent at t + zero. When a part is listed whose end is e, a player at the hold-back shows e - hold-back. It
    // plays evenly, so of all that the parts say the median counts.
    let (zero, hold_back) = (zeros.median().context("no picture")?, playlist.hold_back);
    let played: Samples = edges.into_iter().map(|edge| (edge - zero + hold_back) * 1e3).collect();
    Ok(vec![
        Figure::of("LL-HLS, 200 ms parts: available", &available, "ms", Goal::P95(190.0)),
        Figure::of(format!("LL-HLS: played at hold-back ({hold_back} s)"), &played, "ms", Goal::Median(570.0)),
    ])
}

/// What a playlist of parts says (RFC 8216bis §4.4).
#[derive(Debug)]
struct Playlist {
    /// `EXT-X-MAP`.
    init: String,
    /// `PART-HOLD-BACK`, in seconds.
    hold_back: f64,
    /// The last `EXT-X-PART`.
    newest: Option<String>,
    /// Media sequence number and part that come next.
    next: (u64, u64),
}

impl Playlist {
    fn read(text: &[u8]) -> Result<Self> {
        let text = std::str::from_utf8(text)?;
        let (mut init, mut hold_back, mut newest, mut next) = (None, None, None, (0, 0));
        for line in text.lines() {
            if let Some(number) = line.strip_prefix("#EXT-X-MEDIA-SEQUENCE:") {
                next.0 = number.parse()?;
            } else if line.starts_with("#EXT-X-MAP:") {
                init = attribute(line, "URI").map(str::to_owned);
            } else if line.starts_with("#EXT-X-SERVER-CONTROL:") {
                hold_back = attribute(line, "PART-HOLD-BACK").and_then(|value| value.parse().ok());
            } else if line.starts_with("#EXT-X-PART:") {
                newest = attribute(line, "URI").map(str::to_owned);
                next.1 += 1;
            } else if !line.is_empty() && !line.starts_with('#') {
                next = (next.0 + 1, 0);
            }
        }
        let hold_back = hold_back.with_context(|| format!("no PART-HOLD-BACK in {text}"))?;
        Ok(Self { init: init.context("no EXT-X-MAP")?, hold_back, newest, next })
    }
}

/// The value of an attribute, without its quotes.
fn attribute<'a>(line: &'a str, name: &str) -> Option<&'a str> {
    let (_, list) = line.split_once(':')?;
    let (_, rest) = list.split_once(&format!("{name}="))?;
    rest.strip_prefix('"').map_or_else(|| rest.split(',').next(), |quoted| quoted.split('"').next())
}
