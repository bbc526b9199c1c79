//! What it costs to turn one path's Opus into AAC.
//!
//! Not here: how long that takes (`hop`).

use super::clip::{Recipe, Sound};
use super::figure::{Figure, Goal};
use super::machine::Tree;
use super::player::Player;
use super::publisher::Publisher;
use super::{Bench, RTMP_ONLY};
use anyhow::Result;
use e2e::relay::Relay;
use media::AccessUnit;
use std::sync::Arc;
use std::time::Duration;

/// As many paths as make the cost of one visible beside the relay's own.
const PATHS: usize = 10;

/// CPU time of the relay with a reader of AAC on each path, less that of the same relay that only receives the Opus.
pub(crate) fn transcode(bench: &Bench) -> Result<Vec<Figure>> {
    let seconds = bench.effort.seconds(15);
    let recipe = Recipe { size: None, gop: 30, sound: Sound::Opus, length: seconds * 2 + Duration::from_secs(20) };
    let clip = Arc::new(recipe.make()?);
    let relay = Relay::start(&bench.dir, RTMP_ONLY)?;
    let urls = (0..PATHS).map(|n| relay.rtmp(&format!("path{n}"))).collect::<Result<Vec<_>>>()?;
    let _publishers = urls.iter().map(|url| Publisher::start(url, &clip)).collect::<Result<Vec<_>>>()?;
    for n in 0..PATHS {
        relay.path_ready(&format!("path{n}"))?;
    }
    let tree = Tree::of(relay.program.id());
    let idle = tree.cpu(seconds)?;
    let players = urls.iter().map(|url| Player::join(&format!("{url}_aac"))).collect::<Result<Vec<_>>>()?;
    for player in &players {
        player.first(Duration::from_secs(10), |unit: &AccessUnit| !unit.is_video())?;
    }
    let busy = tree.cpu(seconds)?;
    let each = (busy - idle) / PATHS as f64;
    Ok(vec![Figure::one("Opus → AAC, a path", Some(each), "% of a core", Goal::Median(1.5))])
}
