//! LL-HLS of streams that came in by RTMP, RTSP and WHIP.
//!
//! Not here: how it is measured (`common::ll_hls`), many readers (`load`).

use crate::common::Bench;
use crate::common::clip::{Recipe, Sound};
use crate::common::figure::Figure;
use crate::common::ll_hls::follow;
use crate::common::publisher::Publisher;
use crate::{EVERY_WAY, peer, rtsp};
use anyhow::Result;
use e2e::relay::Relay;
use std::sync::Arc;
use std::time::Duration;

/// Available, and played at the hold-back.
pub(crate) fn hls(bench: &Bench) -> Result<Vec<Figure>> {
    let seconds = bench.effort.seconds(20);
    let clip = |sound| {
        let recipe = Recipe { size: Some((640, 480)), gop: 30, sound, length: seconds + Duration::from_secs(6) };
        recipe.make().map(Arc::new)
    };
    let (aac, opus) = (clip(Sound::Aac)?, clip(Sound::Opus)?);
    let relay = Relay::start(&bench.dir, EVERY_WAY)?;
    let (host, webrtc) = (relay.address("hls")?, relay.address("webrtc")?);
    let mut figures = Vec::new();
    let mut measure = |input: &str, path: &str, publisher: Publisher| -> Result<()> {
        relay.path_ready(path)?;
        figures.extend(follow(&host, path, &publisher.book, seconds)?.figures(&format!(" of {input}")));
        Ok(())
    };
    measure("RTMP", "by-rtmp", Publisher::start(&relay.rtmp("by-rtmp")?, &aac)?)?;
    measure("RTSP", "by-rtsp", Publisher::by(rtsp::Push::open(&relay.rtsp("by-rtsp")?, &aac)?, &aac)?)?;
    measure("WHIP", "by-whip", Publisher::by(peer::Push::open(&webrtc, "/by-whip/whip", &opus)?, &opus)?)?;
    relay.stop()?;
    Ok(figures)
}
