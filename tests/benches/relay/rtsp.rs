//! RTSP with the media in the connection, either way.
//!
//! Belongs here: a reader that asks for every track and takes the frames apart, a publisher that sends each unit when it is due. Not here: that
//! ffmpeg and others can do so (`tests/tests/rtsp.rs`).

use crate::common::clip::Clip;
use crate::common::crowd::Member;
use crate::common::player::Arrival;
use crate::common::publisher::{Outlet, drain, now};
use crate::rtp::Track;
use crate::wire::Wire;
use anyhow::{Context, Result, anyhow, bail, ensure};
use bytes::{Buf, Bytes, BytesMut};
use device::MonoClock;
use media::AccessUnit;
use proto::rtp::Packet;
use proto::rtsp::{ClientEvent, ClientSession, Egress, Presentation, RtspUrl, payloads};
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tokio::io::AsyncReadExt;

/// Longer than this no server here takes to answer.
const PATIENCE: Duration = Duration::from_secs(10);
/// How often a reader that hears nothing looks up.
const LOOK: Duration = Duration::from_millis(100);
/// How often a publisher says what wall clock its tracks stand for.
const REPORT: Duration = Duration::from_secs(2);
/// Before the length of an interleaved frame, and with it (RFC 2326 §10.12).
const FRAME: usize = 4;

/// A reader that plays.
pub(crate) struct Reader {
    stream: TcpStream,
    input: BytesMut,
    /// In the order of the description; their packets have channel 2n.
    tracks: Vec<Option<Track>>,
    cseq: u32,
}

impl Reader {
    /// Plays `url`, `rtsp://HOST:PORT/PATH`.
    ///
    /// # Errors
    /// Where the server refuses.
    pub(crate) fn play(url: &str) -> Result<Self> {
        let host = url.strip_prefix("rtsp://").and_then(|rest| rest.split('/').next()).context("a URL of RTSP")?;
        let stream = TcpStream::connect(host).with_context(|| host.to_owned())?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let mut reader = Self { stream, input: BytesMut::new(), tracks: Vec::new(), cseq: 0 };
        let (_, body) = reader.ask("DESCRIBE", url, "Accept: application/sdp\r\n")?;
        let presentation = Presentation::parse(&body)?;
        let mut session = String::new();
        for (n, media) in presentation.media.iter().enumerate() {
            let transport = format!("Transport: RTP/AVP/TCP;unicast;interleaved={}-{}\r\n", 2 * n, 2 * n + 1);
            let (head, _) = reader.ask("SETUP", &format!("{url}/{}", media.control), &(transport + &session))?;
            let id = head.lines().find_map(|line| line.strip_prefix("Session: ")).context("no session")?;
            session = format!("Session: {}\r\n", id.split(';').next().unwrap_or_default());
            reader.tracks.push(Track::new(media.payload_type, &media.format, media.clock));
        }
        reader.ask("PLAY", url, &session)?;
        reader.stream.set_read_timeout(Some(LOOK))?;
        Ok(reader)
    }

    /// Head and body of the answer.
    fn ask(&mut self, method: &str, url: &str, lines: &str) -> Result<(String, Bytes)> {
        self.cseq += 1;
        write!(self.stream, "{method} {url} RTSP/1.0\r\nCSeq: {}\r\n{lines}\r\n", self.cseq)?;
        let end = loop {
            if let Some(end) = self.input.windows(4).position(|bytes| bytes == b"\r\n\r\n") {
                break end + 4;
            }
            self.read()?;
        };
        let head = String::from_utf8(self.input.split_to(end).to_vec())?;
        let length = head.lines().find_map(|line| line.strip_prefix("Content-Length: "));
        let length = length.map_or(Ok(0), |length| length.trim().parse::<usize>())?;
        while self.input.len() < length {
            self.read()?;
        }
        let body = self.input.split_to(length).freeze();
        ensure!(head.starts_with("RTSP/1.0 200 "), "{method} {url}: {head}");
        Ok((head, body))
    }

    fn read(&mut self) -> Result<()> {
        let mut buffer = [0; 64 << 10];
        let count = self.stream.read(&mut buffer)?;
        ensure!(count > 0, "the server hung up");
        self.input.extend_from_slice(&buffer[..count]);
        Ok(())
    }

    /// Channel and packet of the next frame that is whole.
    fn frame(&mut self) -> Option<(u8, Bytes)> {
        let &[_, channel, high, low] = self.input.first_chunk::<FRAME>()?;
        let length = usize::from(u16::from_be_bytes([high, low]));
        if self.input.len() < FRAME + length {
            return None;
        }
        self.input.advance(FRAME);
        Some((channel, self.input.split_to(length).freeze()))
    }

    /// Reads and throws away for ever.
    pub(crate) async fn count(self, mut member: Member) -> Result<()> {
        self.stream.set_nonblocking(true)?;
        let mut stream = tokio::net::TcpStream::from_std(self.stream)?;
        let mut buffer = vec![0; 64 << 10];
        loop {
            let count = stream.read(&mut buffer).await?;
            ensure!(count > 0, "the server hung up");
            member.got(count);
        }
    }
}

impl Wire for Reader {
    fn receive(&mut self) -> Result<Vec<Arrival>> {
        match self.read() {
            Err(error) if waits(&error) => return Ok(Vec::new()),
            read => read?,
        }
        let (at, mut arrivals) = (now(), Vec::new());
        while let Some((channel, packet)) = self.frame() {
            // Odd channels carry reports.
            let track = self.tracks.get_mut(usize::from(channel / 2)).filter(|_| channel % 2 == 0);
            if let Some(track) = track.and_then(Option::as_mut) {
                track.push(&Packet::parse(&packet)?, at, |arrival| arrivals.push(arrival))?;
            }
        }
        Ok(arrivals)
    }
}

/// Did a read end because nothing came?
fn waits(error: &anyhow::Error) -> bool {
    let kind = error.downcast_ref::<std::io::Error>().map(std::io::Error::kind);
    matches!(kind, Some(ErrorKind::WouldBlock | ErrorKind::TimedOut))
}

/// A publisher that was let in.
pub(crate) struct Push {
    stream: TcpStream,
    session: ClientSession,
    egress: Egress,
    begun: bool,
    reported: Option<Instant>,
}

impl Push {
    /// Announces `clip` at `url`.
    ///
    /// # Errors
    /// Where the server refuses.
    pub(crate) fn open(url: &str, clip: &Clip) -> Result<Self> {
        let url: RtspUrl = RtspUrl::parse(url).map_err(|e| anyhow!("{url}: {e}"))?;
        let mut stream = TcpStream::connect((url.host.as_str(), url.port)).with_context(|| url.host.clone())?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let mut session = ClientSession::new(url, Presentation::of(&clip.tracks), 7);
        let mut buffer = [0; 4096];
        loop {
            flush(&mut stream, &mut session)?;
            let count = stream.read(&mut buffer)?;
            ensure!(count > 0, "the server hung up");
            session.handle_input(&buffer[..count])?;
            match session.poll_event() {
                Some(ClientEvent::Publishing) => break,
                Some(ClientEvent::Refused { status, reason }) => bail!("refused: {status} {reason}"),
                // The others are of a session that plays.
                Some(_) | None => {}
            }
        }
        drain(&stream)?;
        let mut egress = Egress::new(session.presentation(), session.setups(), 7);
        egress.tracks(&clip.tracks);
        Ok(Self { stream, session, egress, begun: false, reported: None })
    }
}

impl Outlet for Push {
    fn send(&mut self, unit: &AccessUnit) -> Result<()> {
        let Self { session, egress, .. } = self;
        if !std::mem::replace(&mut self.begun, true) {
            begin(egress, unit)?;
        }
        let channel = |media: usize, control: bool| u8::try_from(2 * media + usize::from(control));
        if self.reported.is_none_or(|at| at.elapsed() >= REPORT) {
            self.reported = Some(Instant::now());
            for (media, report) in egress.reports(MonoClock::now()) {
                session.send(channel(media, true)?, &[], &report);
            }
        }
        let mut packets = Vec::new();
        egress.packets(unit, &payloads(unit), |packet| packets.push(packet));
        for packet in packets {
            session.send(channel(packet.media, false)?, &packet.header, &packet.payload);
        }
        flush(&mut self.stream, &mut self.session)
    }

    fn finish(&mut self) -> Result<()> {
        self.session.finish();
        flush(&mut self.stream, &mut self.session)?;
        Ok(self.stream.shutdown(std::net::Shutdown::Both)?)
    }
}

/// Times begin with `unit`, now.
pub(crate) fn begin(egress: &mut Egress, unit: &AccessUnit) -> Result<()> {
    let wall = u64::try_from(SystemTime::now().duration_since(UNIX_EPOCH)?.as_micros())?;
    egress.begin(unit, MonoClock::now(), MonoClock::now(), wall);
    Ok(())
}

fn flush(stream: &mut TcpStream, session: &mut ClientSession) -> Result<()> {
    let output = std::mem::take(session.output()).to_vec();
    Ok(stream.write_all(&output)?)
}
