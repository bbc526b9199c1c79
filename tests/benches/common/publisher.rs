//! A publisher that knows to the microsecond when it sent what.
//!
//! Belongs here: sending a clip in real time, by RTMP or another outlet, and the book of what was sent. Not here: what is sent (`clip`), how
//! long it took (the measurements). That ffmpeg, Chromium and others can publish is the tests' matter.

use super::clip::Clip;
use anyhow::{Context, Result, anyhow, ensure};
use bytes::Bytes;
use container::flv::{Message, Muxer, Signalling, TagKind};
use device::MonoClock;
use media::AccessUnit;
use proto::rtmp::{ClientConfig, ClientEvent, ClientSession, Kind, Purpose, RtmpUrl};
use std::collections::HashMap;
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Longer than this no server here takes to answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// When units were sent, by their payload: seconds of the machine's monotonic clock, just before they were made to bytes and written.
#[derive(Debug, Clone, Default)]
pub(crate) struct Book(Arc<Mutex<HashMap<Bytes, (usize, f64)>>>);

impl Book {
    /// When what is in `unit` was sent.
    pub(crate) fn sent(&self, unit: &AccessUnit) -> Option<f64> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(&unit.payload).map(|(_, time)| *time)
    }

    /// How much was sent, in units.
    pub(crate) fn len(&self) -> usize {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// When the pictures were sent, by their number.
    pub(crate) fn pictures(&self, clip: &Clip) -> Vec<Option<f64>> {
        clip.units.iter().filter(|(_, unit)| unit.is_video()).map(|(_, unit)| self.sent(unit)).collect()
    }

    fn enter(&self, unit: &AccessUnit) {
        let mut book = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let entry = (book.len(), now());
        book.insert(unit.payload.clone(), entry);
    }
}

/// Seconds of the machine's monotonic clock, the one the clock card shows.
pub(crate) fn now() -> f64 {
    MonoClock::now().micros() as f64 / 1e6
}

/// A connection to a server that takes what is published.
pub(crate) trait Outlet: Send + 'static {
    /// Sends a unit, at once.
    ///
    /// # Errors
    /// Where the server has gone.
    fn send(&mut self, unit: &AccessUnit) -> Result<()>;

    /// Does nothing, or what the connection needs, until then.
    ///
    /// # Errors
    /// Where the server has gone.
    fn wait(&mut self, until: Instant) -> Result<()> {
        std::thread::sleep(until.saturating_duration_since(Instant::now()));
        Ok(())
    }

    /// Ends the stream in good order.
    ///
    /// # Errors
    /// Where the server has gone.
    fn finish(&mut self) -> Result<()>;
}

/// Publishes until its clip is over or it is dropped.
#[derive(Debug)]
pub(crate) struct Publisher {
    pub(crate) book: Book,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Publisher {
    /// Begins to publish `clip` at `url` by RTMP; the server has agreed when this returns.
    ///
    /// # Errors
    /// Where the server cannot be reached, or refuses.
    pub(crate) fn start(url: &str, clip: &Arc<Clip>) -> Result<Self> {
        Self::by(Wire::publish(url, clip)?, clip)
    }

    /// The same by an outlet that is open.
    ///
    /// # Errors
    /// Where there is no thread to be had.
    pub(crate) fn by(mut outlet: impl Outlet, clip: &Arc<Clip>) -> Result<Self> {
        let (book, stop) = (Book::default(), Arc::new(AtomicBool::new(false)));
        let send = {
            let (book, stop, clip) = (book.clone(), Arc::clone(&stop), Arc::clone(clip));
            move || {
                // A server that has gone shows in what readers get.
                let _ended = send(&mut outlet, &clip, &book, &stop);
                let _finished = outlet.finish();
            }
        };
        let thread = Some(std::thread::Builder::new().name("publisher".into()).spawn(send)?);
        Ok(Self { book, stop, thread })
    }
}

impl Drop for Publisher {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ended = thread.join();
        }
    }
}

fn send(outlet: &mut impl Outlet, clip: &Clip, book: &Book, stop: &AtomicBool) -> Result<()> {
    let begun = Instant::now();
    for (due, unit) in &clip.units {
        // Pacing is what makes it live.
        outlet.wait(begun + *due)?;
        if stop.load(Ordering::Relaxed) {
            break;
        }
        book.enter(unit);
        outlet.send(unit)?;
    }
    Ok(())
}

/// Reads and throws away what a server says, so that it does not fill the server's way out. It ends with the connection.
///
/// # Errors
/// Where there is no thread to be had.
pub(crate) fn drain(stream: &TcpStream) -> Result<()> {
    let mut input = stream.try_clone()?;
    let drain = move || {
        let mut buffer = [0; 4096];
        while matches!(input.read(&mut buffer), Ok(1..))
            || matches!(input.peek(&mut buffer), Err(e) if e.kind() == ErrorKind::WouldBlock)
        {}
    };
    std::thread::Builder::new().name("publisher-in".into()).spawn(drain)?;
    Ok(())
}

struct Wire {
    stream: TcpStream,
    session: ClientSession,
    muxer: Muxer,
}

impl Wire {
    fn publish(url: &str, clip: &Clip) -> Result<Self> {
        let url = RtmpUrl::parse(url).map_err(|e| anyhow!("{url}: {e}"))?;
        let stream = TcpStream::connect((url.host.as_str(), url.port)).with_context(|| url.host.clone())?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let session = ClientSession::new(ClientConfig::new(url, Purpose::Publish), 1);
        let mut wire = Self { stream, session, muxer: Muxer::new(Signalling::Enhanced) };
        let mut buffer = [0; 4096];
        loop {
            wire.flush()?;
            let count = wire.stream.read(&mut buffer)?;
            ensure!(count > 0, "the server hung up");
            wire.session.handle_input(&buffer[..count])?;
            while let Some(event) = wire.session.poll_event() {
                match event {
                    ClientEvent::Publishing => {
                        drain(&wire.stream)?;
                        wire.muxer.announce(&clip.tracks).iter().for_each(|message| put(&mut wire.session, message));
                        wire.flush()?;
                        return Ok(wire);
                    }
                    ClientEvent::Refused { code, description, .. } => anyhow::bail!("refused: {code} {description}"),
                    _ => {}
                }
            }
        }
    }

    fn flush(&mut self) -> Result<()> {
        let output = self.session.take_output().to_vec();
        Ok(self.stream.write_all(&output)?)
    }
}

impl Outlet for Wire {
    fn send(&mut self, unit: &AccessUnit) -> Result<()> {
        let Self { muxer, session, .. } = self;
        muxer.write(unit).for_each(|message| put(session, &message));
        self.flush()
    }

    fn finish(&mut self) -> Result<()> {
        self.session.finish();
        self.flush()?;
        Ok(self.stream.shutdown(std::net::Shutdown::Both)?)
    }
}

fn put(session: &mut ClientSession, message: &Message) {
    let kind = match message.kind {
        TagKind::Audio => Kind::Audio,
        TagKind::Video => Kind::Video,
        TagKind::Script => Kind::Data,
    };
    session.send(kind, message.timestamp, &message.header, &message.payload);
}
