//! LL-HLS of a stream that came in by RTMP.
//!
//! Not here: how it is measured (`common::ll_hls`), the other inputs (the bench `relay`).

use crate::common::Bench;
use crate::common::clip::{Recipe, Sound};
use crate::common::figure::Figure;
use crate::common::ll_hls::follow;
use crate::common::publisher::Publisher;
use anyhow::Result;
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
    let followed = follow(&relay.address("hls")?, "bench", &publisher.book, seconds)?;
    relay.stop()?;
    Ok(followed.figures(""))
}
