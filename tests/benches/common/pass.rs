//! What a server adds to what it passes on from one RTMP publisher to one RTMP reader.
//!
//! Not here: sound that is translated on the way (`consult/hop`), other ways out (`relay/added`).

use super::clip::{Clip, Recipe, Sound};
use super::figure::{Figure, Goal, Samples};
use super::nginx::Nginx;
use super::player::Player;
use super::publisher::Publisher;
use super::{Bench, RTMP_ONLY, SETTLED};
use anyhow::{Result, ensure};
use e2e::relay::Relay;
use media::AccessUnit;
use std::sync::Arc;
use std::time::Duration;

/// RTMP in → RTMP out, pictures and sound.
pub(crate) fn rtmp(bench: &Bench, sound: Sound) -> Result<Vec<Figure>> {
    let seconds = bench.effort.seconds(30);
    let recipe = Recipe { size: Some((640, 480)), gop: 30, sound, length: seconds + Duration::from_secs(3) };
    let clip = Arc::new(recipe.make()?);
    let relay = Relay::start(&bench.dir, RTMP_ONLY)?;
    let added = pass(&relay.rtmp("bench")?, &clip, seconds)?;
    relay.stop()?;
    let mut figures = vec![
        Figure::of("RTMP in → RTMP out through the relay, added", &added, "ms", Goal::P95(2.0)),
        // Nagle's algorithm with delayed acknowledgements makes 40 ms.
        Figure::one("RTMP in → RTMP out, longest", added.longest(), "ms", Goal::Median(40.0)),
    ];
    if let Some(nginx) = Nginx::start(&bench.dir)? {
        let added = pass(&nginx.url, &clip, seconds)?;
        figures.push(Figure::of("… nginx-rtmp on the same, added", &added, "ms", Goal::Report));
        figures.push(Figure::one("… nginx-rtmp, longest", added.longest(), "ms", Goal::Report));
    }
    Ok(figures)
}

/// How long each unit of `clip` takes through the server at `url`.
fn pass(url: &str, clip: &Arc<Clip>, seconds: Duration) -> Result<Samples> {
    let publisher = Publisher::start(url, clip)?;
    let player = Player::join(url)?;
    let first = player.first(Duration::from_secs(10), AccessUnit::is_video)?;
    std::thread::sleep(seconds);
    let settled = player.arrivals().into_iter().filter(|a| a.at > first.at + SETTLED);
    let added: Samples = settled.filter_map(|a| Some((a.at - publisher.book.sent(&a.unit)?) * 1e3)).collect();
    ensure!(added.len() > 100, "only {} of {} units arrived", added.len(), publisher.book.len());
    Ok(added)
}
