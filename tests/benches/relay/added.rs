//! What the relay adds to a stream that comes in by RTMP, by the way it goes out.
//!
//! Not here: joining late (`join`), many readers (`load`).

use crate::common::clip::{Clip, Recipe, Sound};
use crate::common::figure::{Figure, Goal, Samples};
use crate::common::publisher::Publisher;
use crate::common::{Bench, SETTLED};
use crate::wire::{Rtmp, Wire};
use crate::{EVERY_WAY, peer, rtsp};
use anyhow::{Result, ensure};
use e2e::relay::Relay;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The first unit is there by then.
const PATIENCE: Duration = Duration::from_secs(20);

/// RTMP in; RTMP, WHEP and RTSP out: pictures and sound, which is Opus, so that it passes as it is.
pub(crate) fn added(bench: &Bench) -> Result<Vec<Figure>> {
    let seconds = bench.effort.seconds(30);
    let recipe =
        Recipe { size: Some((640, 480)), gop: 30, sound: Sound::Opus, length: seconds + Duration::from_secs(5) };
    let clip = Arc::new(recipe.make()?);
    let relay = Relay::start(&bench.dir, EVERY_WAY)?;
    let (rtmp, rtsp, webrtc) = (relay.rtmp("by-rtmp")?, relay.rtsp("by-rtsp")?, relay.address("webrtc")?);
    let pass = |path: &str, join: &dyn Fn() -> Result<Box<dyn Wire>>| pass(&relay, path, &clip, seconds, join);
    let ways = [
        ("RTMP", 2.0, pass("by-rtmp", &|| Ok(Box::new(Rtmp::play(&rtmp)?)))?),
        ("WHEP", 3.0, pass("by-whep", &|| Ok(Box::new(peer::Reader::play(&webrtc, "/by-whep/whep")?)))?),
        ("RTSP (TCP)", 5.0, pass("by-rtsp", &|| Ok(Box::new(rtsp::Reader::play(&rtsp)?)))?),
    ];
    relay.stop()?;
    let mut figures = Vec::new();
    for (way, goal, added) in ways {
        figures.push(Figure::of(format!("RTMP in → {way} out, added"), &added, "ms", Goal::P95(goal)));
        figures.push(Figure::one("… the longest", added.longest(), "ms", Goal::Report));
    }
    Ok(figures)
}

/// How long each unit of `clip` takes through the relay to the reader that `join` makes.
fn pass(
    relay: &Relay,
    path: &str,
    clip: &Arc<Clip>,
    seconds: Duration,
    join: &dyn Fn() -> Result<Box<dyn Wire>>,
) -> Result<Samples> {
    let publisher = Publisher::start(&relay.rtmp(path)?, clip)?;
    relay.path_ready(path)?;
    let mut reader = join()?;
    let (mut begun, mut added, mut strange) = (None, Samples::default(), 0);
    let patience = Instant::now() + PATIENCE;
    while begun.is_none_or(|begun: Instant| begun.elapsed() < seconds) {
        ensure!(begun.is_some() || Instant::now() < patience, "nothing came");
        for arrival in reader.receive()? {
            let begun = *begun.get_or_insert_with(Instant::now);
            if begun.elapsed().as_secs_f64() < SETTLED {
                continue;
            }
            match publisher.book.sent(&arrival.unit) {
                Some(sent) => added.push((arrival.at - sent) * 1e3),
                None => strange += 1,
            }
        }
    }
    let book = publisher.book.len();
    ensure!(strange == 0, "{strange} units came that nobody sent");
    ensure!(added.len() > 100, "only {} of {book} units arrived", added.len());
    Ok(added)
}
