//! Joining a stream whose key pictures are ten seconds apart, by every way out: how soon there is a picture, and how far behind live one is then.
//!
//! Not here: streams that pass (`added`).

use crate::common::Bench;
use crate::common::clip::{FPS, Recipe, Sound};
use crate::common::figure::{Figure, Goal, Samples};
use crate::common::ll_hls::Stream;
use crate::common::player::Arrival;
use crate::common::publisher::{Publisher, now};
use crate::wire::{Flv, Rtmp, Wire};
use crate::{EVERY_WAY, peer, rtsp};
use anyhow::{Context, Result, ensure};
use codec::H264Decoder;
use e2e::relay::Relay;
use media::AccessUnit;
use std::sync::Arc;
use std::time::Duration;

/// Key pictures are this far apart.
const GOP: Duration = Duration::from_secs(10);
/// When it is asked how far behind one is.
const LATER: Duration = Duration::from_secs(3);
/// Of one way's joins: a tenth of the GOP and a little, so that each of ten finds another place in it.
const APART: Duration = Duration::from_millis(1100);
/// A picture that is not there by then does not come.
const PATIENCE: f64 = 15.0;
/// What is behind live by more than this does not feel like talking to somebody, ms.
const CONVERSATION: f64 = 300.0;

/// How a reader gets its first pictures.
type Join = Arc<dyn Fn() -> Result<Box<dyn Wire>> + Send + Sync>;

/// First picture, and the distance to live afterwards.
pub(crate) fn join(bench: &Bench) -> Result<Vec<Figure>> {
    let runs = u32::try_from(bench.effort.runs())?;
    let before = Duration::from_secs(6);
    let gop = u32::try_from(GOP.as_secs())? * FPS;
    let length = before + (APART * runs + LATER + Duration::from_secs(2)) * 5 + Duration::from_secs(5);
    let clip = Arc::new(Recipe { size: Some((640, 480)), gop, sound: Sound::Opus, length }.make()?);
    let relay = Relay::start(&bench.dir, EVERY_WAY)?;
    let (rtmp, rtsp) = (relay.rtmp("bench")?, relay.rtsp("bench")?);
    let (webrtc, http) = (relay.address("webrtc")?, relay.address("hls")?);
    let publisher = Publisher::start(&rtmp, &clip)?;
    // The listener of HLS keeps what a player asks for; without it the first one would wait for it to begin.
    std::thread::sleep(before);
    let (flv, parts) = (http.clone(), http);
    let ways: [(&str, bool, Join); 5] = [
        ("RTMP", true, Arc::new(move || Ok(Box::new(Rtmp::play(&rtmp)?)))),
        ("HTTP-FLV", true, Arc::new(move || Ok(Box::new(Flv::play(&flv, "/bench.flv")?)))),
        ("RTSP", true, Arc::new(move || Ok(Box::new(rtsp::Reader::play(&rtsp)?)))),
        ("WHEP", false, Arc::new(move || Ok(Box::new(peer::Reader::play(&webrtc, "/bench/whep")?)))),
        ("LL-HLS", true, Arc::new(move || Ok(Box::new(Parts::open(&parts)?)))),
    ];
    let mut figures = Vec::new();
    for (way, by_timestamps, join) in ways {
        let joined = (0..runs).map(|_| {
            let join = Arc::clone(&join);
            let reader = std::thread::spawn(move || Joined::join(&*join));
            std::thread::sleep(APART);
            reader
        });
        let (mut first, mut played, mut received) = (Samples::default(), Samples::default(), Samples::default());
        for reader in joined.collect::<Vec<_>>() {
            let joined = reader.join().ok().context("a reader panicked")?.with_context(|| way.to_owned())?;
            first.push(joined.first * 1e3);
            let newest = publisher.book.sent(&joined.newest).context("a unit nobody sent")?;
            received.push((joined.asked - newest) * 1e3);
            played.push(joined.behind * 1e3);
        }
        let what = format!("{way} reader joining in a 10 s GOP: first picture, decoded");
        figures.push(Figure::of(what, &first, "ms", Goal::P95(150.0)));
        figures.push(Figure::of("… age of the newest picture it has, 3 s later", &received, "ms", Goal::Report));
        let goal = if by_timestamps { Goal::Report } else { Goal::P95(CONVERSATION) };
        figures.push(Figure::of("… behind live if it plays by the timestamps, 3 s later", &played, "ms", goal));
    }
    relay.stop()?;
    Ok(figures)
}

struct Joined {
    /// From dialling to the first decoded picture, in seconds.
    first: f64,
    /// When the rest was asked.
    asked: f64,
    newest: AccessUnit,
    /// How far a player is behind the newest picture that shows each one as long after the first as its timestamp says.
    behind: f64,
}

impl Joined {
    fn join(join: &dyn Fn() -> Result<Box<dyn Wire>>) -> Result<Self> {
        let begun = now();
        let mut reader = join()?;
        let mut decoder = H264Decoder::new()?;
        let (mut first, mut newest) = (None, None);
        while first.is_none_or(|(shown, _)| now() < shown + LATER.as_secs_f64()) {
            ensure!(first.is_some() || now() < begun + PATIENCE, "no picture came");
            for Arrival { unit, .. } in reader.receive()?.into_iter().filter(|arrival| arrival.unit.is_video()) {
                if first.is_none() && unit.is_key() && decoder.decode(&unit)?.is_some() {
                    first = Some((now(), unit.pts.seconds()));
                }
                newest = Some(unit);
            }
        }
        let (asked, (shown, zero)) = (now(), first.context("no picture")?);
        let newest = newest.context("no picture")?;
        let behind = (newest.pts.seconds() - zero) - (asked - shown);
        Ok(Self { first: shown - begun, asked, newest, behind })
    }
}

/// By LL-HLS: the newest part that can be begun with, and what comes behind it.
struct Parts {
    stream: Stream,
    begun: bool,
}

impl Parts {
    fn open(host: &str) -> Result<Self> {
        Ok(Self { stream: Stream::open(host, "bench")?, begun: false })
    }
}

impl Wire for Parts {
    fn receive(&mut self) -> Result<Vec<Arrival>> {
        let begun = std::mem::replace(&mut self.begun, true);
        let part = if begun { self.stream.next()? } else { self.stream.newest_key()? };
        Ok(part.pictures.into_iter().map(|unit| Arrival { at: part.at, unit }).collect())
    }
}
