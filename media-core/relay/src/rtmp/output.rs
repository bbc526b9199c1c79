//! A connection's way out, in clear or in TLS.
//!
//! Belongs here: how bytes leave. Not here: which (`proto::rtmp`), when (`serving`).

use crate::tls::TlsStream;
use socket2::SockRef;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::io::{AsyncWrite, Interest, WriteHalf};
use tokio::net::TcpStream;
use tokio::net::tcp::OwnedWriteHalf;

/// One connection's way out.
pub(super) enum Output {
    Plain(OwnedWriteHalf),
    Tls(Box<WriteHalf<TlsStream>>),
}

impl Output {
    /// Sends without waiting; nobody is woken when more can be sent.
    pub(super) fn try_send(&self, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
        // TLS would have to wait.
        let Self::Plain(output) = self else { return Err(io::ErrorKind::WouldBlock.into()) };
        let stream: &TcpStream = output.as_ref();
        // By `send`: `writev` goes by the way of files, which costs a tenth more.
        stream.try_io(Interest::WRITABLE, || match pieces {
            [piece] => SockRef::from(stream).send(piece),
            pieces => SockRef::from(stream).send_vectored(pieces),
        })
    }
}

impl AsyncWrite for Output {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match &mut *self {
            Self::Plain(output) => Pin::new(output).poll_write(context, bytes),
            Self::Tls(output) => Pin::new(output).poll_write(context, bytes),
        }
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match &mut *self {
            Self::Plain(output) => Pin::new(output).poll_write_vectored(context, pieces),
            Self::Tls(output) => Pin::new(output).poll_write_vectored(context, pieces),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Plain(output) => output.is_write_vectored(),
            Self::Tls(output) => output.is_write_vectored(),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut *self {
            Self::Plain(output) => Pin::new(output).poll_flush(context),
            Self::Tls(output) => Pin::new(output).poll_flush(context),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut *self {
            Self::Plain(output) => Pin::new(output).poll_shutdown(context),
            Self::Tls(output) => Pin::new(output).poll_shutdown(context),
        }
    }
}
