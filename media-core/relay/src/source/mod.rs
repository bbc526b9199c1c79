//! Sources: streams that the relay fetches from other servers into paths of its own.
//!
//! Belongs here: which URL is which protocol ([`SourceUrl`]), when to fetch (`keeper`), what the API shows of it. Not here: the
//! protocols, each of which has its client in its own folder and tries once (`rtmp::client`), and configuration keys (`config::paths`).

mod keeper;
#[cfg(test)]
mod tests;
mod url;

pub use url::{SourceUrl, SourceUrlError};

use crate::clock::Clock;
use crate::rtsp::PullTransport;
use crate::tls::Trust;
use crate::webrtc::client::{self, Farewells, WhepError, WhipTarget, Wish};
use crate::{hls, mjpeg, mpegts, rtmp, rtsp, srt};
use hub::{Hub, PathName};
use std::convert::Infallible;
use std::time::Duration;
use thiserror::Error;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// What one path is fed from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceConfig {
    /// The path.
    pub path: PathName,
    /// Where the stream is.
    pub url: SourceUrl,
    /// Fetched while somebody wants it; `None` fetches it always.
    pub on_demand: Option<OnDemand>,
    /// Whose certificate is good, where the URL has TLS.
    pub trust: Trust,
    /// How packets come, where the URL is RTSP's.
    pub transport: PullTransport,
}

/// The times of a source that is fetched on demand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OnDemand {
    /// A reader is held so long until the stream is there.
    pub start_timeout: Duration,
    /// Fetching goes on so long after the last reader.
    pub close_after: Duration,
}

impl Default for OnDemand {
    /// MediaMTX's.
    fn default() -> Self {
        Self { start_timeout: Duration::from_secs(10), close_after: Duration::from_secs(10) }
    }
}

/// Why fetching ended.
#[derive(Debug, Error)]
pub enum SourceError {
    /// By RTMP.
    #[error(transparent)]
    Rtmp(#[from] rtmp::PullError),
    /// By RTSP.
    #[error(transparent)]
    Rtsp(#[from] rtsp::PullError),
    /// By SRT.
    #[error(transparent)]
    Srt(#[from] srt::PullError),
    /// By MPEG-TS over UDP.
    #[error(transparent)]
    MpegTs(#[from] mpegts::PullError),
    /// By HLS.
    #[error(transparent)]
    Hls(#[from] hls::pull::PullError),
    /// By WHEP.
    #[error(transparent)]
    Whep(#[from] WhepError),
    /// Motion JPEG by HTTP.
    #[error(transparent)]
    Mjpeg(#[from] mjpeg::PullError),
    /// A client broke off; what it read is to blame, and the next attempt may read something else.
    #[error("the client broke off")]
    Panicked,
}

impl SourceConfig {
    /// How long readers of the path are held, where that is the source's to say.
    pub(crate) fn wait(&self) -> Option<(PathName, Duration)> {
        self.on_demand.map(|times| (self.path.clone(), times.start_timeout))
    }

    /// One connection, from dialling to its end. A new protocol is added here, in [`SourceUrl`] and in [`SourceError`].
    async fn fetch(&self, hub: &Hub, clock: Clock, farewells: &Farewells) -> Result<Infallible, SourceError> {
        let path = &self.path;
        match &self.url {
            SourceUrl::Rtmp(url) => Ok(rtmp::pull(url, self.trust, hub, path, clock).await?),
            SourceUrl::Rtsp(url) => Ok(rtsp::pull(url, self.transport, hub, path, clock).await?),
            SourceUrl::Rtsps(url) => Ok(rtsp::pull_secure(url, self.trust, hub, path, clock).await?),
            SourceUrl::Srt(url) => Ok(srt::pull(url, hub, path, clock).await?),
            SourceUrl::MpegTs(url) => Ok(mpegts::pull(url, hub, path, clock).await?),
            SourceUrl::Hls(url) => Ok(hls::pull::pull(url, self.trust, hub, path, clock).await?),
            SourceUrl::Mjpeg(url) => Ok(mjpeg::pull(url, self.trust, hub, path, clock).await?),
            SourceUrl::Whep(target) => {
                let target = WhipTarget { trust: self.trust, ..target.clone() };
                let status = watch::Sender::default();
                Ok(client::pull(&target, Wish::Anything, hub, path, clock, &status, farewells).await?)
            }
        }
    }
}

/// Fetches `sources` until `stop`.
pub(crate) async fn run(sources: Vec<SourceConfig>, hub: Hub, clock: Clock, stop: CancellationToken) {
    let (mut tasks, farewells) = (JoinSet::new(), Farewells::default());
    for source in sources {
        tasks.spawn(keeper::keep(source, hub.clone(), clock, farewells.clone()));
    }
    stop.cancelled().await;
    // A fetch may be dropped wherever it is.
    tasks.shutdown().await;
    farewells.ended().await;
}
