//! A connection to a server, in the clear or in TLS, as one type. Not here: whom to believe (`crate::tls`), what is said on it.

use super::PushError;
use crate::tls::Trust;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

/// A server that does not answer the dialling within this is not there.
const DIAL: Duration = Duration::from_secs(5);

/// What the kernel may hold unsent, so that a slow server is noticed here and not megabytes later.
#[cfg(target_os = "linux")]
const KERNEL_UNSENT: u32 = 128 << 10;

/// Both ways of a connection.
pub(super) trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Duplex for T {}

/// Dials `host`; with somebody to believe, in TLS.
pub(super) async fn dial(host: &str, port: u16, tls: Option<Trust>) -> Result<Box<dyn Duplex>, PushError> {
    let dialling = tokio::time::timeout(DIAL, TcpStream::connect((host, port)));
    let stream = dialling.await.map_err(|_elapsed| PushError::Timeout(DIAL))??;
    stream.set_nodelay(true)?;
    #[cfg(target_os = "linux")]
    socket2::SockRef::from(&stream).set_tcp_notsent_lowat(KERNEL_UNSENT)?;
    Ok(match tls {
        Some(trust) => Box::new(trust.connect(host, stream).await?),
        None => Box::new(stream),
    })
}
