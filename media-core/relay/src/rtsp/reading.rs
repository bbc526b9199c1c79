//! One reader's stream: from the path to its packets.
//!
//! Belongs here: what goes by which way, the pace of datagrams. Not here: the connection (`connection`, `crate::push`), packets (`proto::rtsp`).

use super::payloads::Payloads;
use super::udp::UdpPair;
use crate::clock::Clock;
use crate::listen::Listener;
use bytes::Bytes;
use hub::{Hub, Item, PathName, ReadError};
use media::{AccessUnit, MediaKind, MonoTime, TrackSet};
use proto::rtsp::{ClientSession, Egress, Outgoing, Presentation, ServerSession, Setup, Started, Transport};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use tokio::time::Instant;

/// A reader this far behind loses whole GOPs until it is near live again, as players by RTMP do.
pub(super) const PATIENCE: Duration = Duration::from_millis(1500);

/// Datagrams go in bursts of at most this in each [`TICK`]: 100 Mbit/s, so that a GOP that is handed over at once does not overrun the
/// receiver's buffer, of which Linux gives 208 KiB unasked.
const BURST: usize = 64 << 10;
const TICK: Duration = Duration::from_millis(5);

/// Sound waits this long for the first picture: players take the time of whatever comes first for the beginning of both, and FFmpeg
/// shows a picture that comes later as if it were of that time.
const FIRST_PICTURE: Duration = Duration::from_secs(2);

/// Publishers announce their tracks one after another, RTSP describes them once: within this time of a publisher's coming, picture
/// waits for sound and sound for picture before either is described alone.
const COMPLETE: Duration = Duration::from_secs(1);

/// The machine that packets go through: the server's to a reader, the client's to a server that is pushed to.
pub(crate) trait Sink {
    /// The session's tracks.
    fn presentation(&self) -> &Presentation;
    /// Those that were set up.
    fn setups(&self) -> &[Setup];
    /// Sends a packet in the connection.
    fn send(&mut self, channel: u8, header: &[u8], payload: &Bytes);
}

impl Sink for ServerSession {
    fn presentation(&self) -> &Presentation {
        Self::presentation(self)
    }

    fn setups(&self) -> &[Setup] {
        Self::setups(self)
    }

    fn send(&mut self, channel: u8, header: &[u8], payload: &Bytes) {
        Self::send(self, channel, header, payload);
    }
}

impl Sink for ClientSession {
    fn presentation(&self) -> &Presentation {
        Self::presentation(self)
    }

    fn setups(&self) -> &[Setup] {
        Self::setups(self)
    }

    fn send(&mut self, channel: u8, header: &[u8], payload: &Bytes) {
        Self::send(self, channel, header, payload);
    }
}

/// Waits for the tracks of `path` to be described.
pub(crate) async fn known_tracks(
    listener: &mut Listener,
    hub: &Hub,
    path: &PathName,
    clock: Clock,
) -> Result<Arc<TrackSet>, ReadError> {
    let since = hub.path(path).and_then(|path| path.publisher).map(|(_, since)| since);
    let complete = Instant::now() + COMPLETE.saturating_sub(since.map_or(Duration::ZERO, |s| clock.now().since(s)));
    let mut known = None;
    loop {
        let item = match &known {
            None => listener.next().await?,
            Some(tracks) => match tokio::time::timeout_at(complete, listener.next()).await {
                Ok(item) => item?,
                Err(_elapsed) => return Ok(Arc::clone(tracks)),
            },
        };
        match item {
            Item::Tracks(tracks) if both(&tracks) => return Ok(tracks),
            Item::Tracks(tracks) if !tracks.is_empty() => known = Some(tracks),
            Item::Tracks(_) | Item::Unit(..) => {}
        }
    }
}

/// Is there a picture and a sound?
fn both(tracks: &TrackSet) -> bool {
    tracks.first(MediaKind::Video).is_some() && tracks.first(MediaKind::Audio).is_some()
}

/// A stream that runs, or is paused.
pub(crate) struct Reading {
    pub(super) listener: Listener,
    egress: Egress,
    setups: Vec<Setup>,
    /// Taken from the path before the answer to PLAY, which tells where times begin.
    first: Option<(AccessUnit, MonoTime)>,
    begun: bool,
    /// Since when there is something to send.
    since: Option<MonoTime>,
    payloads: Payloads,
    clock: Clock,
    udp: Option<(UdpPair, IpAddr)>,
    pub(super) paused: bool,
    window: (Instant, usize),
    pub(super) sent_bytes: u64,
    pub(super) sent_reports: u64,
}

/// What an item did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sent {
    /// The stream goes on.
    Going,
    /// The path carries none of the session's tracks any more: a player must ask for the new description.
    Changed,
}

impl Reading {
    pub(crate) fn new(
        session: &impl Sink,
        listener: Listener,
        payloads: Payloads,
        clock: Clock,
        udp: Option<(UdpPair, IpAddr)>,
    ) -> Self {
        let egress = Egress::new(session.presentation(), session.setups(), rand::random());
        Self {
            listener: listener.with_patience(PATIENCE),
            egress,
            setups: session.setups().to_vec(),
            first: None,
            begun: false,
            since: None,
            payloads,
            clock,
            udp,
            paused: false,
            window: (Instant::now(), 0),
            sent_bytes: 0,
            sent_reports: 0,
        }
    }

    /// Looks for the first unit, so that the answer to PLAY can say where times begin. They do not begin anew after a pause.
    pub(super) fn look(&mut self) -> Result<Vec<Started>, ReadError> {
        let resumed = self.begun;
        while self.first.is_none()
            && let Some(item) = self.listener.try_next()?
        {
            match item {
                Item::Tracks(tracks) => {
                    self.egress.tracks(&tracks);
                }
                Item::Unit(unit, arrived) if resumed || self.opens(&unit) => {
                    self.begin(&unit, arrived);
                    self.first = Some((unit, arrived));
                }
                Item::Unit(..) => {}
            }
        }
        let mut started = self.egress.started();
        if resumed {
            started.iter_mut().for_each(|start| start.timestamp = None);
        }
        Ok(started)
    }

    /// May the stream begin with this unit?
    fn opens(&mut self, unit: &AccessUnit) -> bool {
        let now = self.clock.now();
        let waited = now.since(*self.since.get_or_insert(now));
        unit.is_video() || !self.egress.has_pictures() || waited >= FIRST_PICTURE
    }

    fn begin(&mut self, unit: &AccessUnit, arrived: MonoTime) {
        let wall = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let wall = u64::try_from(wall.as_micros()).unwrap_or(0);
        self.egress.begin(unit, arrived, self.clock.now(), wall);
    }

    /// The next item of the path.
    pub(crate) async fn next(&mut self) -> Result<Item, ReadError> {
        match self.first.take() {
            Some((unit, arrived)) => Ok(Item::Unit(unit, arrived)),
            None => self.listener.next().await,
        }
    }

    /// Sends an item.
    pub(crate) async fn send(&mut self, item: &Item, session: &mut impl Sink) -> Sent {
        match item {
            Item::Tracks(tracks) => {
                let known = self.egress.tracks(tracks) || tracks.is_empty();
                return if known { Sent::Going } else { Sent::Changed };
            }
            Item::Unit(unit, arrived) => {
                if !self.begun {
                    if !self.opens(unit) {
                        return Sent::Going;
                    }
                    self.begun = true;
                    self.begin(unit, *arrived);
                    self.report(session).await;
                }
                let payloads = self.payloads.of(unit);
                let mut packets = Vec::with_capacity(payloads.len());
                self.egress.packets(unit, &payloads, |packet| packets.push(packet));
                for packet in packets {
                    self.packet(packet, session).await;
                }
            }
        }
        Sent::Going
    }

    async fn packet(&mut self, packet: Outgoing, session: &mut impl Sink) {
        self.sent_bytes += (packet.header.len() + packet.payload.len()) as u64;
        match self.transport(packet.media) {
            Some(Transport::Interleaved { rtp, .. }) => session.send(rtp, &packet.header, &packet.payload),
            Some(Transport::Udp { rtp, .. }) => {
                let datagram = [&packet.header[..], &packet.payload].concat();
                self.pace(datagram.len()).await;
                self.datagram(false, rtp, &datagram).await;
            }
            None => {}
        }
    }

    /// Sender reports for every track.
    pub(crate) async fn report(&mut self, session: &mut impl Sink) {
        for (media, report) in self.egress.reports(self.clock.now()) {
            self.sent_reports += 1;
            match self.transport(media) {
                Some(Transport::Interleaved { rtcp, .. }) => session.send(rtcp, &[], &report),
                Some(Transport::Udp { rtcp, .. }) => self.datagram(true, rtcp, &report).await,
                None => {}
            }
        }
    }

    /// What a receiver reports.
    pub(crate) fn reported(&self, compound: &Bytes) {
        if self.egress.wants_keyframe(compound) {
            self.listener.request_keyframe();
        }
    }

    /// RTP packets sent.
    pub(super) fn sent_packets(&self) -> u64 {
        self.egress.sent()
    }

    fn transport(&self, media: usize) -> Option<Transport> {
        self.setups.iter().find(|s| s.media == media).map(|s| s.transport)
    }

    async fn datagram(&self, control: bool, port: u16, bytes: &[u8]) {
        if let Some((udp, peer)) = &self.udp {
            udp.send(control, SocketAddr::new(*peer, port), bytes).await;
        }
    }

    async fn pace(&mut self, bytes: usize) {
        let (since, sent) = &mut self.window;
        if since.elapsed() >= TICK {
            (*since, *sent) = (Instant::now(), 0);
        }
        if *sent > 0 && *sent + bytes > BURST {
            tokio::time::sleep_until(*since + TICK).await;
            (*since, *sent) = (Instant::now(), 0);
        }
        *sent += bytes;
    }
}
