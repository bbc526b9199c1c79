//! From access units to one reader's RTP: sequence numbers, times and sender reports.
//!
//! Belongs here: everything that is this reader's own. Not here: cutting pictures (`packets`), encryption and sending again (the
//! stack, `peer`), where units come from and which of them the reader can play (`crate::listen`).

use super::packets::PathPackets;
use super::transport::{Report, Transport};
use bytes::Bytes;
use hub::Item;
use media::{AccessUnit, ClockRate, Codec, CodecParams, MediaKind, MediaTime, MonoTime, TrackId};
use proto::rtp::Header;
use proto::rtp::rtcp::NtpTime;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// What came in longer ago than this is not live: a reader that joins gets it to decode, not to watch.
const STALE: Duration = Duration::from_millis(250);
/// Stamps of a track are this far apart at least, µs. A GOP of ten seconds that is run through ends 30 ms after it began.
const LEAST_STEP: i64 = 100;
/// Media time that leaves arrival by this much has jumped; sender reports then start from a new anchor.
const JUMP_MICROS: u64 = 1_000_000;
/// Readers bring tracks together by sender reports; one a second is little and quick enough.
const REPORT_INTERVAL: Duration = Duration::from_secs(1);
/// G.711 goes in packets of 20 ms, as telephones and browsers send it; cameras make them longer. Bytes, and µs.
const TELEPHONE_PACKET: (usize, i64) = (160, 20_000);

/// One packet that waits for its turn.
type Waiting = (Codec, Header, Bytes);

/// One reader's side of a path.
pub(crate) struct Egress {
    packets: Arc<PathPackets>,
    video: Line,
    audio: Line,
    /// Media time and its arrival, µs, the same pair for both tracks: that is what keeps lips and voice together.
    anchor: Option<(i64, i64)>,
    /// Unix time of the monotonic clock's zero, µs.
    epoch: u64,
    waiting: VecDeque<Waiting>,
}

/// One track that is sent.
struct Line {
    rate: ClockRate,
    /// Which of the path's.
    track: Option<TrackId>,
    sequence: u16,
    /// RTP time of media time zero (RFC 3550 §5.1: random).
    origin: u32,
    /// Latest stamp, µs of media time.
    stamped: i64,
    packets: u32,
    octets: u32,
    reported: Option<Instant>,
}

/// What went out, for the API.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Sent {
    pub(crate) packets: u64,
    pub(crate) bytes: u64,
}

impl Line {
    fn new(rate: ClockRate) -> Self {
        Self {
            rate,
            track: None,
            sequence: rand::random(),
            origin: rand::random(),
            stamped: i64::MIN,
            packets: 0,
            octets: 0,
            reported: None,
        }
    }

    fn timestamp(&self, micros: i64) -> u32 {
        // RTP time is this modulo 2^32.
        self.origin.wrapping_add(MediaTime::new(micros, ClockRate::MICRO).rescale(self.rate).ticks() as u32)
    }

    fn header(&mut self, timestamp: u32, marker: bool) -> Header {
        let sequence = self.sequence;
        self.sequence = self.sequence.wrapping_add(1);
        Header { marker, sequence, timestamp, ..Header::default() }
    }
}

impl Egress {
    /// `now` is the monotonic time that units' arrivals are told in.
    pub(crate) fn new(packets: Arc<PathPackets>, now: MonoTime) -> Self {
        let unix = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let unix = u64::try_from(unix.as_micros()).unwrap_or(0);
        Self {
            packets,
            video: Line::new(ClockRate::VIDEO),
            audio: Line::new(ClockRate::AUDIO_48K),
            anchor: None,
            epoch: unix.saturating_sub(now.micros()),
            waiting: VecDeque::new(),
        }
    }

    /// Takes what the path has to say.
    ///
    /// What is not live any more (the GOP a reader joins in, or what it fell behind with) is for decoding, not for watching:
    /// its pictures are stamped with the time that is live now, its sound is left out.
    pub(crate) fn take(&mut self, item: &Item, now: MonoTime) {
        match item {
            Item::Tracks(tracks) => {
                self.video.track = tracks.first(MediaKind::Video).map(|track| track.id);
                let sound = tracks.first(MediaKind::Audio);
                self.audio.track = sound.map(|track| track.id);
                self.audio.rate = match sound.map(|track| &*track.params) {
                    Some(CodecParams::G711(params)) => params.rate,
                    _ => ClockRate::AUDIO_48K,
                };
            }
            Item::Unit(unit, arrived) => {
                let age = now.since(*arrived);
                if age <= STALE {
                    self.unit(unit, *arrived, None);
                } else if unit.is_video() {
                    let live = i64::try_from((age - STALE / 2).as_micros()).unwrap_or(0);
                    self.unit(unit, *arrived, Some(unit.pts.micros().saturating_add(live)));
                }
            }
        }
    }

    /// Queues one unit. `stamp`: its time, where that is not its own.
    fn unit(&mut self, unit: &AccessUnit, arrived: MonoTime, stamp: Option<i64>) {
        let pts = unit.pts.micros();
        let kind = match unit.track {
            track if Some(track) == self.video.track => MediaKind::Video,
            track if Some(track) == self.audio.track => MediaKind::Audio,
            _ => return,
        };
        if stamp.is_none() {
            self.keep_anchor(pts, arrived);
        }
        let payloads = match kind {
            MediaKind::Video => self.packets.of(unit),
            MediaKind::Audio => Arc::from(sounds(unit)),
        };
        // Pieces of a picture are of one time, pieces of sound follow each other.
        let step = if kind == MediaKind::Audio { TELEPHONE_PACKET.1 } else { 0 };
        let line = match kind {
            MediaKind::Video => &mut self.video,
            MediaKind::Audio => &mut self.audio,
        };
        let stamp = stamp.unwrap_or(pts).max(line.stamped.saturating_add(LEAST_STEP));
        let last = payloads.len().saturating_sub(1);
        for (i, payload) in payloads.iter().enumerate() {
            line.stamped = stamp.saturating_add(step.saturating_mul(i64::try_from(i).unwrap_or(0)));
            let header = line.header(line.timestamp(line.stamped), kind == MediaKind::Video && i == last);
            self.waiting.push_back((unit.params.codec(), header, payload.clone()));
        }
    }

    fn keep_anchor(&mut self, pts: i64, arrived: MonoTime) {
        let arrived = i64::try_from(arrived.micros()).unwrap_or(i64::MAX);
        let holds = self
            .anchor
            .is_some_and(|(media, at)| pts.abs_diff(media.saturating_add(arrived.saturating_sub(at))) < JUMP_MICROS);
        if !holds {
            self.anchor = Some((pts, arrived));
        }
    }

    /// Packets that wait.
    pub(crate) fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// Sends at most `count` packets, and sender reports where it is time.
    pub(crate) fn send<T: Transport>(&mut self, transport: &mut T, count: usize, now: Instant, mono: MonoTime) -> Sent {
        let mut sent = Sent::default();
        for (codec, header, payload) in self.waiting.drain(..count.min(self.waiting.len())) {
            let line = match codec.kind() {
                MediaKind::Video => &mut self.video,
                MediaKind::Audio => &mut self.audio,
            };
            line.packets = line.packets.wrapping_add(1);
            line.octets = line.octets.wrapping_add(u32::try_from(payload.len()).unwrap_or(0));
            sent.packets += 1;
            sent.bytes += payload.len() as u64;
            transport.send(codec, header, payload, now);
        }
        if sent.packets > 0 {
            self.report(transport, now, mono);
        }
        sent
    }

    fn report<T: Transport>(&mut self, transport: &mut T, now: Instant, mono: MonoTime) {
        let Some((media, at)) = self.anchor else { return };
        let since = i64::try_from(mono.micros()).unwrap_or(i64::MAX).saturating_sub(at);
        let ntp = NtpTime::from_unix_micros(self.epoch.saturating_add(mono.micros()));
        for (kind, line) in [(MediaKind::Video, &mut self.video), (MediaKind::Audio, &mut self.audio)] {
            if line.packets == 0 || line.reported.is_some_and(|at| now.duration_since(at) < REPORT_INTERVAL) {
                continue;
            }
            line.reported = Some(now);
            let timestamp = line.timestamp(media.saturating_add(since));
            let report = Report { ntp, timestamp, packets: line.packets, octets: line.octets };
            transport.report(kind, report, now);
        }
    }
}

/// The payloads of a sound unit.
fn sounds(unit: &AccessUnit) -> Vec<Bytes> {
    let payload = &unit.payload;
    match unit.params.codec() {
        Codec::G711 => {
            let cuts = (0..payload.len()).step_by(TELEPHONE_PACKET.0);
            cuts.map(|at| payload.slice(at..payload.len().min(at + TELEPHONE_PACKET.0))).collect()
        }
        _ => vec![payload.clone()],
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use media::{G711Law, G711Params, H264Params, OpusParams, Track, UnitKind, append_length_prefixed};
    use std::sync::LazyLock;

    /// Constrained baseline, 640×480.
    const SPS: &[u8] = &[
        0x67, 0x42, 0xC0, 0x1E, 0xDA, 0x02, 0x80, 0xF6, 0x84, 0x00, 0x00, 0x03, 0x00, 0x04, 0x00, 0x00, 0x03, 0x00,
        0xF2, 0x3C, 0x58, 0xBA, 0x80,
    ];
    const PPS: &[u8] = &[0x68, 0xCE, 0x0F, 0x2C, 0x80];

    pub(crate) static VIDEO: LazyLock<Arc<CodecParams>> = LazyLock::new(|| {
        Arc::new(CodecParams::H264(H264Params::new(Bytes::from_static(SPS), vec![Bytes::from_static(PPS)]).unwrap()))
    });
    static AUDIO: LazyLock<Arc<CodecParams>> = LazyLock::new(|| Arc::new(CodecParams::Opus(OpusParams::WEBRTC)));

    /// A picture of one slice.
    pub(crate) fn picture(ms: i64, key: bool, size: usize) -> AccessUnit {
        let mut payload = Vec::new();
        append_length_prefixed(&mut payload, &vec![if key { 0x65 } else { 0x41 }; size]);
        let time = MediaTime::new(ms * 90, ClockRate::VIDEO);
        AccessUnit {
            track: TrackId(0),
            dts: time,
            pts: time,
            duration: None,
            kind: if key { UnitKind::Key } else { UnitKind::Delta },
            captured: None,
            params: Arc::clone(&VIDEO),
            payload: payload.into(),
        }
    }

    fn sound(ms: i64) -> AccessUnit {
        let time = MediaTime::new(ms * 48, ClockRate::AUDIO_48K);
        let (kind, params) = (UnitKind::Audio, Arc::clone(&AUDIO));
        AccessUnit { track: TrackId(1), dts: time, pts: time, kind, params, ..picture(ms, false, 10) }
    }

    fn tracks() -> Item {
        let video = Track { id: TrackId(0), clock: ClockRate::VIDEO, params: Arc::clone(&VIDEO) };
        let audio = Track { id: TrackId(1), clock: ClockRate::AUDIO_48K, params: Arc::clone(&AUDIO) };
        Item::Tracks(Arc::new([video, audio].into_iter().collect()))
    }

    const fn at(ms: u64) -> MonoTime {
        MonoTime::from_micros(ms * 1000)
    }

    fn egress() -> Egress {
        Egress::new(Arc::default(), at(0))
    }

    /// Stamps of the units that wait, in ms of media time.
    fn stamps(egress: &mut Egress, kind: MediaKind) -> Vec<i64> {
        let (line, hz) = match kind {
            MediaKind::Video => (&egress.video, 90),
            MediaKind::Audio => (&egress.audio, 48),
        };
        let origin = line.origin;
        let of_kind = egress.waiting.iter().filter(|(codec, ..)| codec.kind() == kind);
        let mut stamps: Vec<i64> =
            of_kind.map(|(_, h, _)| i64::from(h.timestamp.wrapping_sub(origin).cast_signed()) / hz).collect();
        stamps.dedup();
        stamps
    }

    #[test]
    fn a_joining_reader_runs_through_what_is_not_live() {
        let mut e = egress();
        e.take(&tracks(), at(7000));
        for n in 0..50 {
            let arrived = at(5000 + n as u64 * 40);
            e.take(&Item::Unit(picture(n * 40, n == 0, 100), arrived), at(7000));
            e.take(&Item::Unit(sound(n * 40), arrived), at(7000));
        }
        let video = stamps(&mut e, MediaKind::Video);
        assert!(video.windows(2).all(|w| w[0] <= w[1]), "{video:?}");
        assert!(video.last() == Some(&1960) && video[0] > 1800, "old ones are stamped as live: {video:?}");
        assert_eq!(e.waiting.iter().filter(|(codec, ..)| *codec == Codec::H264).count(), 50, "every picture is sent");
        let audio = stamps(&mut e, MediaKind::Audio);
        assert!(audio.len() <= 7 && audio.last() == Some(&1960), "old sound is not: {audio:?}");
    }

    #[test]
    fn telephones_get_packets_of_twenty_milliseconds() {
        let params = Arc::new(CodecParams::G711(G711Params::telephone(G711Law::A)));
        let track = Track { id: TrackId(1), clock: ClockRate::TELEPHONE, params: Arc::clone(&params) };
        let mut e = egress();
        e.take(&Item::Tracks(Arc::new([track].into_iter().collect())), at(0));
        for n in 0..3 {
            let time = MediaTime::new(n * 400, ClockRate::TELEPHONE);
            let payload = Bytes::from(vec![0xD5; 400]);
            let unit = AccessUnit { dts: time, pts: time, params: Arc::clone(&params), payload, ..sound(0) };
            e.take(&Item::Unit(unit, at(n as u64 * 50)), at(n as u64 * 50));
        }
        let origin = e.waiting[0].1.timestamp;
        let got: Vec<_> = e.waiting.iter().map(|(_, h, p)| (h.timestamp.wrapping_sub(origin), p.len())).collect();
        let third = [(0, 160), (160, 160), (320, 80)];
        let want: Vec<_> = (0..3).flat_map(|n| third.map(|(at, length)| (n * 400 + at, length))).collect();
        assert_eq!(got, want);
    }

    #[test]
    fn numbers_rise_and_the_last_packet_is_marked() {
        let mut e = egress();
        e.take(&tracks(), at(0));
        e.take(&Item::Unit(picture(0, true, 4000), at(0)), at(0));
        e.take(&Item::Unit(picture(40, false, 10), at(40)), at(50));
        let headers: Vec<_> = e.waiting.iter().map(|(_, h, _)| *h).collect();
        assert!(headers.windows(2).all(|w| w[1].sequence == w[0].sequence.wrapping_add(1)));
        let marked: Vec<_> = headers.iter().enumerate().filter(|(_, h)| h.marker).map(|(i, _)| i).collect();
        assert_eq!(marked, [headers.len() - 2, headers.len() - 1]);
    }
}
