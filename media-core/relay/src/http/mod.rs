//! Serving HTTP: one listener, one router, a clean end.

mod wish;

pub(crate) use wish::wish;

use axum::Router;
use axum::extract::connect_info::Connected;
use axum::serve::{IncomingStream, Listener};
use std::net::SocketAddr;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tracing::warn;

/// What the kernel may hold unsent per connection, so that a slow listener is noticed by the hub and not by its delay.
const KERNEL_UNSENT: u32 = 128 << 10;

/// Streams without an end are cut this long after the stop; ordinary answers are long through by then.
const GOODBYE: Duration = Duration::from_millis(300);

/// The peer's address, for handlers.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Peer(pub(crate) SocketAddr);

impl Connected<IncomingStream<'_, Tuned>> for Peer {
    fn connect_info(stream: IncomingStream<'_, Tuned>) -> Self {
        Self(*stream.remote_addr())
    }
}

/// A listener whose sockets send at once and hold little.
#[derive(Debug)]
pub(crate) struct Tuned(pub(crate) TcpListener);

impl Listener for Tuned {
    type Io = TcpStream;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (TcpStream, SocketAddr) {
        // axum's own listener waits and tries again where accepting fails for a while.
        let (stream, peer) = Listener::accept(&mut self.0).await;
        let tuned = stream.set_nodelay(true);
        #[cfg(target_os = "linux")]
        let tuned = tuned.and_then(|()| socket2::SockRef::from(&stream).set_tcp_notsent_lowat(KERNEL_UNSENT));
        if let Err(error) = tuned {
            warn!(%peer, %error, "cannot tune a socket");
        }
        (stream, SocketAddr::new(peer.ip().to_canonical(), peer.port()))
    }

    fn local_addr(&self) -> std::io::Result<SocketAddr> {
        self.0.local_addr()
    }
}

/// Serves `router` until `stop`.
pub(crate) async fn serve(listener: TcpListener, router: Router, stop: CancellationToken) {
    let service = router.into_make_service_with_connect_info::<Peer>();
    let stopping = stop.clone();
    let server =
        axum::serve(Tuned(listener), service).with_graceful_shutdown(async move { stopping.cancelled().await });
    let cut = async {
        stop.cancelled().await;
        tokio::time::sleep(GOODBYE).await;
    };
    tokio::select! {
        served = server.into_future() => {
            if let Err(error) = served {
                warn!(%error, "HTTP server ended");
            }
        }
        () = cut => {}
    }
}

/// Decoded pairs of a URL's query.
pub(crate) fn query_pairs(query: &str) -> Vec<(String, String)> {
    /// More pairs than any URL of ours has.
    const MAX: usize = 64;
    form_urlencoded::parse(query.as_bytes()).take(MAX).map(|(k, v)| (k.into_owned(), v.into_owned())).collect()
}
