//! One reader's stream: from the path to its packets.
//!
//! Belongs here: what goes by which way, the pace of datagrams. Not here: the connection (`connection`), packets (`proto::rtsp`).

use super::payloads::Payloads;
use super::udp::UdpPair;
use crate::clock::Clock;
use crate::listen::Listener;
use bytes::Bytes;
use hub::{Item, ReadError};
use media::{AccessUnit, MonoTime};
use proto::rtsp::{Egress, Outgoing, ServerSession, Setup, Started, Transport};
use std::net::{IpAddr, SocketAddr};
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

/// A stream that runs, or is paused.
pub(super) struct Reading {
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
pub(super) enum Sent {
    /// The stream goes on.
    Going,
    /// The path carries none of the session's tracks any more: a player must ask for the new description.
    Changed,
}

impl Reading {
    pub(super) fn new(
        session: &ServerSession,
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
    pub(super) async fn next(&mut self) -> Result<Item, ReadError> {
        match self.first.take() {
            Some((unit, arrived)) => Ok(Item::Unit(unit, arrived)),
            None => self.listener.next().await,
        }
    }

    /// Sends an item.
    pub(super) async fn send(&mut self, item: &Item, session: &mut ServerSession) -> Sent {
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

    async fn packet(&mut self, packet: Outgoing, session: &mut ServerSession) {
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
    pub(super) async fn report(&mut self, session: &mut ServerSession) {
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
    pub(super) fn reported(&self, compound: &Bytes) {
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
