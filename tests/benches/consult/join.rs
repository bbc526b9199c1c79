//! Joining a stream whose key pictures are ten seconds apart: how soon there is a picture, and how far behind live one is then.
//!
//! Not here: streams that pass (`hop`).

use crate::common::clip::{FPS, Recipe, Sound};
use crate::common::figure::{Figure, Goal, Samples};
use crate::common::player::Player;
use crate::common::publisher::{Publisher, now};
use crate::common::{Bench, RTMP_ONLY};
use anyhow::{Context, Result};
use codec::H264Decoder;
use e2e::relay::Relay;
use media::AccessUnit;
use std::sync::Arc;
use std::time::Duration;

/// Key pictures are this far apart.
const GOP: Duration = Duration::from_secs(10);
/// When it is asked how far behind one is.
const LATER: Duration = Duration::from_secs(3);
/// A tenth of the GOP and a little, so that each of ten joins finds another place in it.
const APART: Duration = Duration::from_millis(1100);

/// First picture, and the distance to live afterwards.
pub(crate) fn join(bench: &Bench) -> Result<Vec<Figure>> {
    let runs = u32::try_from(bench.effort.runs())?;
    let before = Duration::from_secs(6);
    let length = before + APART * runs + LATER + Duration::from_secs(3);
    let gop = u32::try_from(GOP.as_secs())? * FPS;
    let recipe = Recipe { size: Some((640, 480)), gop, sound: Sound::Aac, length };
    let clip = Arc::new(recipe.make()?);
    let relay = Relay::start(&bench.dir, RTMP_ONLY)?;
    let url = relay.rtmp("bench")?;
    let publisher = Publisher::start(&url, &clip)?;
    std::thread::sleep(before);
    let joined: Vec<_> = (0..runs)
        .map(|_| {
            let url = url.clone();
            let reader = std::thread::spawn(move || Joined::join(&url));
            std::thread::sleep(APART);
            reader
        })
        .collect();
    let (mut first, mut played, mut received) = (Samples::default(), Samples::default(), Samples::default());
    for reader in joined {
        let joined = reader.join().ok().context("a reader panicked")??;
        first.push(joined.first * 1e3);
        let newest = publisher.book.sent(&joined.newest).context("a unit nobody sent")?;
        received.push((joined.asked - newest) * 1e3);
        played.push(joined.behind * 1e3);
    }
    relay.stop()?;
    Ok(vec![
        Figure::of("RTMP reader joining in a 10 s GOP: first picture, decoded", &first, "ms", Goal::P95(150.0)),
        Figure::of("… age of the newest unit it has, 3 s later", &received, "ms", Goal::Report),
        Figure::of("… behind live if it plays by the timestamps, 3 s later", &played, "ms", Goal::Report),
    ])
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
    fn join(url: &str) -> Result<Self> {
        let begun = now();
        let player = Player::join(url)?;
        let key = player.first(Duration::from_secs(15), AccessUnit::is_key)?;
        H264Decoder::new()?.decode(&key.unit)?.context("no picture")?;
        let shown = now();
        std::thread::sleep(LATER);
        let asked = now();
        let newest = player.arrivals().into_iter().rfind(|a| a.unit.is_video()).context("no picture")?.unit;
        let behind = (newest.pts.seconds() - key.unit.pts.seconds()) - (asked - shown);
        Ok(Self { first: shown - begun, asked, newest, behind })
    }
}
