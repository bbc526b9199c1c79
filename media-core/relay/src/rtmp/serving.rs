//! Serving one RTMP connection: what wakes it, from handshake to close, and whether its own task serves it or its path's writer.
//!
//! Not here: what the peer's events do (`connection`), the writers (`fanout`).

use super::connection::{Connection, ConnectionError, Role};
use super::fanout::Place;
use super::output::Output;
use super::server::Traffic;
use crate::listen::{ListenError, Listener};
use crate::tls::Acceptor;
use bytes::Buf;
use hub::{Changes, Item, PublisherState, ReadError};
use media::MonoTime;
use proto::rtmp::StreamEnd;
use socket2::SockRef;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, Interval, Sleep};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};
use tracing::{debug, info};

/// A peer that says nothing for this long is gone: publishers send tens of messages a second, players acknowledge.
pub(super) const SILENCE: Duration = Duration::from_secs(10);

/// Past this much unsent media a player is not fed; the hub then decides what it loses. A second of 2 Mbit/s.
pub(super) const UNSENT: usize = 256 << 10;

/// What the kernel may hold unsent, so that a slow player is noticed here and not megabytes later.
const KERNEL_UNSENT: u32 = 128 << 10;

/// One read of a publisher's. Large enough for a key frame in a few reads.
const READ: usize = 32 << 10;

/// One read of anybody else's: commands and acknowledgements, and there may be hundreds of players.
const READ_LITTLE: usize = 512;

/// Pieces of a writer's one write. A unit is two or three.
const PIECES: usize = 16;

/// A closing connection may take this long to say goodbye.
const GOODBYE: Duration = Duration::from_secs(1);

/// How often the round trip is measured while something runs.
const PING: Duration = Duration::from_secs(2);

/// A connection and its way out: all that serving a player takes.
pub(super) struct Held {
    connection: Box<Connection>,
    output: Output,
}

/// How a seated player was served.
#[derive(Debug)]
pub(super) enum Served {
    /// It has everything.
    Level,
    /// It could not take everything at once.
    Behind,
    /// It listens to another path now.
    Elsewhere,
    /// Its stream is over.
    Over,
    /// Its connection failed.
    Failed(io::Error),
}

/// Everything that can wake a connection.
pub(super) enum Wake {
    Stop,
    Read(io::Result<usize>),
    /// Everything is sent, or nothing more can be.
    Sent(io::Result<()>),
    /// It is time to see whether the peer has spoken.
    Silence,
    Ping,
    Opened(Result<Listener, ListenError>),
    Item(Result<Item, ReadError>),
    Publisher,
    /// What it played is over.
    Over,
}

/// What a connection goes on with.
enum Turn {
    /// It ends.
    End,
    /// It plays what these are the changes of, and has everything: the path's writer can serve it.
    Sit(Changes),
}

/// What a connection waits with, whoever serves it. Made once: with hundreds of players, each registering anew for every unit is most of
/// what a unit costs.
struct Waits {
    stopped: Pin<Box<WaitForCancellationFutureOwned>>,
    silence: Pin<Box<Sleep>>,
    ping: Interval,
    heard: Instant,
    buffer: Vec<u8>,
}

impl Connection {
    /// Serves `stream` until either side ends it.
    pub(super) async fn run(
        self: Box<Self>,
        stream: TcpStream,
        stop: CancellationToken,
    ) -> Result<(), ConnectionError> {
        stream.set_nodelay(true)?;
        #[cfg(target_os = "linux")]
        SockRef::from(&stream).set_tcp_notsent_lowat(KERNEL_UNSENT)?;
        let connection = self;
        match connection.server.tls.clone() {
            None => {
                let (input, output) = stream.into_split();
                Held { connection, output: Output::Plain(output) }.serve_all(input, stop).await
            }
            // Apart, so that the many in clear need no room for it.
            Some(tls) => Box::pin(connection.run_in_tls(tls, stream, stop)).await,
        }
    }

    async fn run_in_tls(
        self: Box<Self>,
        tls: Acceptor,
        stream: TcpStream,
        stop: CancellationToken,
    ) -> Result<(), ConnectionError> {
        let Some(accepted) = stop.run_until_cancelled(tls.accept(stream)).await else { return Ok(()) };
        let (input, output) = tokio::io::split(accepted?);
        Held { connection: self, output: Output::Tls(Box::new(output)) }.serve_all(input, stop).await
    }

    /// Where it listens, if it plays and its path's writer may serve it. Not in TLS: to encrypt for one after another is work for many
    /// tasks.
    fn seat(&self) -> Option<Changes> {
        match &self.role {
            Role::Playing(playing) if !playing.paused && self.server.tls.is_none() => Some(playing.listener.changes()),
            _ => None,
        }
    }
}

impl Held {
    async fn serve_all(
        mut self,
        mut input: impl AsyncRead + Unpin,
        stop: CancellationToken,
    ) -> Result<(), ConnectionError> {
        let (mut waits, mut wake, mut place) = (Waits::new(stop), None, None);
        let result = loop {
            let changes = match self.work(&mut input, &mut waits, wake.take()).await {
                Ok(Turn::Sit(changes)) => changes,
                Ok(Turn::End) => break Ok(()),
                Err(error) => break Err(error),
            };
            let here = place.take().filter(|place: &Place| place.serves(&changes));
            let seated = here.unwrap_or_else(|| self.connection.server.fanout.place(&changes));
            seated.sit(self);
            wake = waits.seated(&mut input, &seated).await;
            // Whoever sat down is there.
            let Some((held, served)) = seated.stand() else { return Ok(()) };
            self = held;
            wake = match served {
                Served::Failed(error) => Some(Wake::Sent(Err(error))),
                Served::Over => Some(Wake::Over),
                Served::Level | Served::Behind | Served::Elsewhere => wake,
            };
            place = Some(seated);
        };
        // What is queued, such as the reason for the end, still goes out; a peer that does not take it is left.
        let Self { connection, output } = &mut self;
        let queue = connection.session.output();
        let goodbye = async {
            while !queue.is_empty() && output.write_buf(queue).await.is_ok_and(|n| n > 0) {}
            output.shutdown().await
        };
        if let Ok(Err(error)) = tokio::time::timeout(GOODBYE, goodbye).await {
            debug!(%error, "the peer was gone already");
        }
        result
    }

    /// Serves the connection by itself, until it ends or can be seated. `first` has woken it already.
    async fn work(
        &mut self,
        input: &mut (impl AsyncReadExt + Unpin),
        waits: &mut Waits,
        mut first: Option<Wake>,
    ) -> Result<Turn, ConnectionError> {
        let Self { connection, output } = self;
        let connection = &mut **connection;
        loop {
            let waiting = connection.session.pending_output_bytes();
            let seat = connection.seat().filter(|_| first.is_none());
            let (feed, sits) = (waiting < UNSENT, seat.is_some());
            if let Some(changes) = seat.filter(|_| waiting == 0) {
                return Ok(Turn::Sit(changes));
            }
            let wake = match first.take() {
                Some(wake) => wake,
                None => tokio::select! {
                    biased;
                    () = &mut waits.stopped => Wake::Stop,
                    sent = send(connection.session.output(), output, &connection.traffic, sits || !feed), if waiting > 0 => Wake::Sent(sent),
                    read = input.read(&mut waits.buffer) => Wake::Read(read),
                    wake = connection.role.wake(feed) => wake,
                    _ = waits.ping.tick(), if connection.role.runs() => Wake::Ping,
                    () = &mut waits.silence, if connection.role.must_speak() => Wake::Silence,
                },
            };
            match wake {
                Wake::Stop => {
                    connection.session.finish(StreamEnd::Kicked, "The relay is stopping.");
                    return Ok(Turn::End);
                }
                Wake::Read(read) => {
                    waits.heard = Instant::now();
                    let count = read?;
                    let Some(bytes) = waits.buffer.get(..count).filter(|b| !b.is_empty()) else {
                        return Ok(Turn::End);
                    };
                    connection.received(bytes).await?;
                    if matches!(connection.role, Role::Publishing { .. }) {
                        waits.buffer.resize(READ, 0);
                    }
                }
                Wake::Sent(sent) => sent?,
                // The stamp wraps after 49 days; a round trip does not last so long.
                Wake::Ping => connection.session.ping(millis(connection.server.clock.now())),
                Wake::Silence if waits.heard.elapsed() >= SILENCE => return Err(ConnectionError::Silent),
                Wake::Silence => waits.silence.as_mut().reset(waits.heard + SILENCE),
                Wake::Opened(opened) => connection.opened(opened),
                Wake::Item(item) => {
                    if connection.play_on(item).is_break() {
                        return Ok(Turn::End);
                    }
                }
                Wake::Over => return Ok(Turn::End),
                Wake::Publisher => {
                    if let Role::Publishing { publisher, path, .. } = &connection.role
                        && publisher.state() != PublisherState::Live
                    {
                        info!(%path, state = ?publisher.state(), "publisher ended by the relay");
                        connection.session.finish(StreamEnd::Kicked, "Another publisher has taken over.");
                        return Ok(Turn::End);
                    }
                }
            }
        }
    }

    /// Serves a seated player whatever there is, without waiting.
    pub(super) fn serve(&mut self, changes: &Changes) -> Served {
        loop {
            let Role::Playing(playing) = &mut self.connection.role else { return Served::Behind };
            let Some(item) = playing.listener.try_next().transpose() else { break };
            if self.connection.play_on(item).is_break() {
                return Served::Over;
            }
            let full = self.connection.session.pending_output_bytes() >= UNSENT;
            match self.try_send() {
                Ok(true) if !full => break,
                Ok(true) => {}
                Ok(false) => return Served::Behind,
                Err(error) => return Served::Failed(error),
            }
        }
        match &self.connection.role {
            Role::Playing(playing) if playing.listener.changes() == *changes => Served::Level,
            _ => Served::Elsewhere,
        }
    }

    /// Sends what the socket takes now. Is that all?
    fn try_send(&mut self) -> io::Result<bool> {
        let Self { connection, output } = self;
        let queue = connection.session.output();
        while queue.has_remaining() {
            let mut pieces = [IoSlice::new(&[]); PIECES];
            let filled = queue.chunks_vectored(&mut pieces);
            match output.try_send(pieces.get(..filled).unwrap_or_default()) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                sent => {
                    let count = sent?;
                    queue.advance(count);
                    connection.traffic.sent(count);
                }
            }
        }
        Ok(true)
    }
}

impl Waits {
    fn new(stop: CancellationToken) -> Self {
        let heard = Instant::now();
        Self {
            stopped: Box::pin(stop.cancelled_owned()),
            silence: Box::pin(tokio::time::sleep_until(heard + SILENCE)),
            ping: tokio::time::interval(PING),
            heard,
            buffer: vec![0; READ_LITTLE],
        }
    }

    /// Waits until a seated player's own task is needed. `None`: for what the writer left.
    async fn seated(&mut self, input: &mut (impl AsyncReadExt + Unpin), place: &Place) -> Option<Wake> {
        tokio::select! {
            biased;
            () = &mut self.stopped => Some(Wake::Stop),
            () = place.left() => None,
            read = input.read(&mut self.buffer) => Some(Wake::Read(read)),
            _ = self.ping.tick() => Some(Wake::Ping),
        }
    }
}

impl Role {
    /// What this role waits for besides its socket. Without `feed` a player is not given more.
    async fn wake(&mut self, feed: bool) -> Wake {
        match self {
            Self::Publishing { publisher, .. } => {
                publisher.changed().await;
                Wake::Publisher
            }
            Self::Waiting { opening, .. } => Wake::Opened(opening.as_mut().await),
            Self::Playing(playing) if feed => Wake::Item(playing.listener.next().await),
            Self::Playing(_) | Self::Idle => std::future::pending().await,
        }
    }

    /// Does media run?
    const fn runs(&self) -> bool {
        matches!(self, Self::Publishing { .. } | Self::Playing(_))
    }

    /// Must the peer say something now and then? A waiting or playing one need not.
    const fn must_speak(&self) -> bool {
        matches!(self, Self::Idle | Self::Publishing { .. })
    }
}

/// Sends all of `queue`, and then waits for ever, so that a unit leaves in the turn that brought it; with `report` it
/// returns when the queue is empty.
async fn send(
    queue: &mut impl Buf,
    output: &mut (impl AsyncWriteExt + Unpin),
    traffic: &Traffic,
    report: bool,
) -> io::Result<()> {
    while queue.has_remaining() {
        match output.write_buf(queue).await? {
            0 => return Err(io::ErrorKind::WriteZero.into()),
            count => traffic.sent(count),
        }
    }
    if report { Ok(()) } else { std::future::pending().await }
}

/// A stamp for pings.
pub(super) fn millis(now: MonoTime) -> u32 {
    // Deliberately the low bits: the peer sends them back as they are.
    (now.micros() / 1000) as u32
}
