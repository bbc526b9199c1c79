//! A reader of any protocol, as the measurements see it; and those of RTMP and HTTP-FLV.
//!
//! Not here: RTSP (`rtsp`), WHEP (`peer`), LL-HLS, which is asked and does not send (`common::ll_hls`).

use crate::common::player::{Arrival, Player};
use crate::common::publisher::now;
use anyhow::{Context, Result, ensure};
use container::flv::{Demuxer, Event, FileReader};
use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

/// How often a reader that hears nothing looks up.
const LOOK: Duration = Duration::from_millis(100);

/// Somebody who reads one stream.
pub(crate) trait Wire: Send {
    /// The units that have come, each with the time at which it was there whole; waits a moment where there are none.
    ///
    /// # Errors
    /// Where the stream is over.
    fn receive(&mut self) -> Result<Vec<Arrival>>;
}

/// By RTMP.
pub(crate) struct Rtmp {
    player: Player,
    taken: usize,
}

impl Rtmp {
    /// # Errors
    /// Where `url` is none.
    pub(crate) fn play(url: &str) -> Result<Self> {
        Ok(Self { player: Player::join(url)?, taken: 0 })
    }
}

impl Wire for Rtmp {
    fn receive(&mut self) -> Result<Vec<Arrival>> {
        let more = self.player.more(self.taken, LOOK);
        self.taken += more.len();
        Ok(more)
    }
}

/// By HTTP-FLV.
pub(crate) struct Flv {
    stream: BufReader<TcpStream>,
    file: FileReader,
    demuxer: Demuxer,
}

impl Flv {
    /// Gets `path` from `host` (`HOST:PORT`).
    ///
    /// # Errors
    /// Where it is not to be had.
    pub(crate) fn play(host: &str, path: &str) -> Result<Self> {
        let stream = TcpStream::connect(host).with_context(|| host.to_owned())?;
        let mut stream = BufReader::with_capacity(64 << 10, stream);
        // HTTP/1.0 knows no chunks, so that what follows the head is the file.
        write!(stream.get_mut(), "GET {path} HTTP/1.0\r\nHost: {host}\r\n\r\n")?;
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            ensure!(stream.read_line(&mut head)? > 0, "the server hung up");
        }
        ensure!(head.contains(" 200 "), "GET {path}: {head}");
        stream.get_ref().set_read_timeout(Some(LOOK))?;
        Ok(Self { stream, file: FileReader::new(), demuxer: Demuxer::new() })
    }
}

impl Wire for Flv {
    fn receive(&mut self) -> Result<Vec<Arrival>> {
        let mut buffer = [0; 64 << 10];
        let count = match self.stream.read(&mut buffer) {
            Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => return Ok(Vec::new()),
            count => count?,
        };
        let at = now();
        ensure!(count > 0, "the server hung up");
        self.file.push(&buffer[..count]);
        let mut arrivals = Vec::new();
        while let Some(tag) = self.file.next_tag()? {
            let events = self.demuxer.push(tag.kind, tag.timestamp, &tag.body)?;
            arrivals.extend(events.filter_map(|event| match event {
                Event::Unit(unit) => Some(Arrival { at, unit }),
                _ => None,
            }));
        }
        Ok(arrivals)
    }
}
