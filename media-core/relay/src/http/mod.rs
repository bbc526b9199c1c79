//! Serving HTTP: one listener, one router, a clean end.

mod wish;

pub(crate) use wish::wish;

use crate::tls::{Acceptor, TlsStream};
use axum::Router;
use axum::extract::connect_info::Connected;
use axum::serve::{IncomingStream, Listener};
use std::io;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_util::either::Either;
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

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

/// Most clients that may shake hands at once; further ones wait in the kernel.
const MAX_HANDSHAKES: usize = 256;

/// A connection in the clear, or in TLS.
type Stream = Either<TcpStream, TlsStream>;

/// A listener whose sockets send at once and hold little. One that shakes hands slowly holds up nobody.
#[derive(Debug)]
pub(crate) struct Tuned {
    tcp: TcpListener,
    tls: Option<Acceptor>,
    shaking: JoinSet<(io::Result<TlsStream>, SocketAddr)>,
}

impl Listener for Tuned {
    type Io = Stream;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Stream, SocketAddr) {
        loop {
            tokio::select! {
                // axum's own listener waits and tries again where accepting fails for a while.
                (stream, peer) = Listener::accept(&mut self.tcp), if self.shaking.len() < MAX_HANDSHAKES => {
                    let peer = SocketAddr::new(peer.ip().to_canonical(), peer.port());
                    tune(&stream, peer);
                    match self.tls.clone() {
                        Some(tls) => drop(self.shaking.spawn(async move { (tls.accept(stream).await, peer) })),
                        None => return (Either::Left(stream), peer),
                    }
                }
                Some(shaken) = self.shaking.join_next() => match shaken {
                    Ok((Ok(stream), peer)) => return (Either::Right(stream), peer),
                    Ok((Err(error), peer)) => debug!(%peer, %error, "no TLS"),
                    Err(error) => warn!(%error, "a handshake broke down"),
                },
            }
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.tcp.local_addr()
    }
}

fn tune(stream: &TcpStream, peer: SocketAddr) {
    let tuned = stream.set_nodelay(true);
    #[cfg(target_os = "linux")]
    let tuned = tuned.and_then(|()| socket2::SockRef::from(stream).set_tcp_notsent_lowat(KERNEL_UNSENT));
    if let Err(error) = tuned {
        warn!(%peer, %error, "cannot tune a socket");
    }
}

/// Serves `router` until `stop`, in TLS where there is a certificate.
pub(crate) async fn serve(tcp: TcpListener, tls: Option<Acceptor>, router: Router, stop: CancellationToken) {
    let service = router.into_make_service_with_connect_info::<Peer>();
    let stopping = stop.clone();
    let listener = Tuned { tcp, tls, shaking: JoinSet::new() };
    let server = axum::serve(listener, service).with_graceful_shutdown(async move { stopping.cancelled().await });
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
