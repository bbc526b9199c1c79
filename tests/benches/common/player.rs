//! A reader by RTMP that notes when each access unit was there whole.
//!
//! Belongs here: playing, and reading the clock from what was played. Not here: what follows from the times (the measurements). That
//! ffmpeg and others can play is the tests' matter.

use super::publisher::now;
use anyhow::{Result, anyhow};
use codec::H264Decoder;
use container::flv::{Demuxer, Event, TagKind};
use device::synthetic::{ClockReading, read_clock};
use media::AccessUnit;
use proto::rtmp::{ClientConfig, ClientEvent, ClientSession, Kind, Purpose, RtmpUrl};
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

/// How often a player that hears nothing looks whether it shall end.
const LOOK: Duration = Duration::from_millis(100);
/// How often one that nobody answers knocks.
const KNOCK: Duration = Duration::from_millis(1);

/// A unit, and when it was there whole, in seconds of the machine's monotonic clock.
#[derive(Debug, Clone)]
pub(crate) struct Arrival {
    pub(crate) at: f64,
    pub(crate) unit: AccessUnit,
}

type Arrivals = (Mutex<Vec<Arrival>>, Condvar);

/// Plays until it is dropped.
#[derive(Debug)]
pub(crate) struct Player {
    arrivals: Arc<Arrivals>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Player {
    /// Plays `url` from now on. Where nobody listens yet it knocks until somebody does.
    ///
    /// # Errors
    /// Where `url` is none.
    pub(crate) fn join(url: &str) -> Result<Self> {
        let url = RtmpUrl::parse(url).map_err(|e| anyhow!("{url}: {e}"))?;
        let (arrivals, stop) = (Arc::new(Arrivals::default()), Arc::new(AtomicBool::new(false)));
        let thread = {
            let (arrivals, stop) = (Arc::clone(&arrivals), Arc::clone(&stop));
            let run = move || {
                while !stop.load(Ordering::Relaxed) {
                    // Nobody there, or gone again: that shows in what did not arrive.
                    let _ended = play(&url, &arrivals, &stop);
                    std::thread::sleep(KNOCK);
                }
            };
            std::thread::Builder::new().name("player".into()).spawn(run)?
        };
        Ok(Self { arrivals, stop, thread: Some(thread) })
    }

    /// The first unit that satisfies `condition`, as soon as it is there.
    ///
    /// # Errors
    /// Where it does not come within `limit`.
    pub(crate) fn first(&self, limit: Duration, condition: impl Fn(&AccessUnit) -> bool) -> Result<Arrival> {
        let (list, grown) = &*self.arrivals;
        let mut looked = 0;
        let mut found = None;
        let more = |list: &mut Vec<Arrival>| {
            found = list[looked..].iter().find(|arrival| condition(&arrival.unit)).cloned();
            looked = list.len();
            found.is_none()
        };
        let list = list.lock().unwrap_or_else(PoisonError::into_inner);
        drop(grown.wait_timeout_while(list, limit, more).unwrap_or_else(PoisonError::into_inner));
        found.ok_or_else(|| anyhow!("nothing of that kind came within {} s", limit.as_secs()))
    }

    /// What has arrived behind the first `known` units, waiting up to `limit` for it.
    pub(crate) fn more(&self, known: usize, limit: Duration) -> Vec<Arrival> {
        let (list, grown) = &*self.arrivals;
        let list = list.lock().unwrap_or_else(PoisonError::into_inner);
        let (list, _) =
            grown.wait_timeout_while(list, limit, |list| list.len() <= known).unwrap_or_else(PoisonError::into_inner);
        list.get(known..).unwrap_or_default().to_vec()
    }

    /// What has arrived.
    pub(crate) fn arrivals(&self) -> Vec<Arrival> {
        self.arrivals.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for Player {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ended = thread.join();
        }
    }
}

fn play(url: &RtmpUrl, arrivals: &Arrivals, stop: &AtomicBool) -> Result<()> {
    let mut stream = TcpStream::connect((url.host.as_str(), url.port))?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(LOOK))?;
    let mut session = ClientSession::new(ClientConfig::new(url.clone(), Purpose::Play), 1);
    let (mut demuxer, mut buffer) = (Demuxer::new(), vec![0; 64 << 10]);
    while !stop.load(Ordering::Relaxed) {
        let output = session.take_output().to_vec();
        stream.write_all(&output)?;
        let count = match stream.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(count) => count,
            Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => continue,
            Err(e) => return Err(e.into()),
        };
        let at = now();
        session.handle_input(&buffer[..count])?;
        let mut units = Vec::new();
        while let Some(event) = session.poll_event() {
            match event {
                ClientEvent::Media(media) => {
                    let kind = match media.kind {
                        Kind::Audio => TagKind::Audio,
                        Kind::Video => TagKind::Video,
                        Kind::Data => TagKind::Script,
                    };
                    let events = demuxer.push(kind, media.timestamp, &media.body)?;
                    units.extend(events.filter_map(|event| match event {
                        Event::Unit(unit) => Some(Arrival { at, unit }),
                        _ => None,
                    }));
                }
                ClientEvent::Refused { .. } | ClientEvent::Ended { .. } => return Ok(()),
                _ => {}
            }
        }
        if !units.is_empty() {
            arrivals.0.lock().unwrap_or_else(PoisonError::into_inner).append(&mut units);
            arrivals.1.notify_all();
        }
    }
    Ok(())
}

/// The clocks of the pictures among `arrivals`, with their times; those that cannot be read are left out.
pub(crate) fn clocks(arrivals: &[Arrival]) -> Result<Vec<(f64, ClockReading)>> {
    let mut decoder = H264Decoder::new()?;
    let mut read = Vec::new();
    for arrival in arrivals.iter().filter(|arrival| arrival.unit.is_video()) {
        let clock = decoder.decode(&arrival.unit)?.and_then(|decoded| read_clock(&decoded.picture));
        read.extend(clock.map(|clock| (arrival.at, clock)));
    }
    Ok(read)
}
