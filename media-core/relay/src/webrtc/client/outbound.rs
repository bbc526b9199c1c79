//! Access units into RTP packets of a connection, with the sender reports that keep its tracks in step.
//!
//! Not here: payload formats (`proto::rtp`), encryption and retransmission (the stack).

use super::connection::Connection;
use super::{Offered, WhipError};
use bytes::Bytes;
use media::{AccessUnit, ClockRate, Codec, MediaKind, MediaTime};
use proto::rtp::payload_picture;
use proto::rtp::rtcp::NtpTime;
use rtc::rtcp::sender_report::SenderReport;
use rtc::rtp;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use webrtc::media_stream::track_local::TrackLocal;
use webrtc::media_stream::track_local::static_rtp::TrackLocalStaticRTP;

/// 1200 bytes pass every network WebRTC passes; less RTP header, extensions and the authentication tag.
const MAX_PAYLOAD: usize = 1160;
/// Receivers bring tracks together by sender reports; one a second is little and quick enough.
const REPORT_INTERVAL: Duration = Duration::from_secs(1);
/// Media time that leaves the wall clock by this has jumped.
const JUMP_MICROS: u64 = 1_000_000;

/// Wall-clock time that does not jump: read once, then counted.
#[derive(Debug, Clone, Copy)]
pub(super) struct WallClock {
    unix_micros: u64,
    at: Instant,
}

impl WallClock {
    pub(super) fn now() -> Self {
        let unix = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self { unix_micros: u64::try_from(unix.as_micros()).unwrap_or(0), at: Instant::now() }
    }

    pub(super) fn ntp(&self) -> NtpTime {
        self.ntp_at(Instant::now())
    }

    fn ntp_at(&self, at: Instant) -> NtpTime {
        let since = u64::try_from(at.saturating_duration_since(self.at).as_micros()).unwrap_or(0);
        NtpTime::from_unix_micros(self.unix_micros.saturating_add(since))
    }
}

/// The tracks of one connection.
pub(super) struct Outbound {
    tracks: Vec<OutboundTrack>,
    /// One instant in wall-clock and media time, the same for all tracks: that is what keeps lips and voice together.
    anchor: Option<Anchor>,
}

/// Where media time stands on the wall clock.
type Anchor = (Instant, i64);

/// One negotiated track.
pub(super) struct OutboundTrack {
    kind: MediaKind,
    track: Arc<TrackLocalStaticRTP>,
    ssrc: u32,
    payload_type: u8,
    sequence: u16,
    /// RTP time of media time zero (RFC 3550 §5.1: random).
    origin: u32,
    packets: u32,
    octets: u32,
    reported: Option<Instant>,
    pace: Pace,
}

/// How media time of one track goes beside the clock.
#[derive(Debug, Default)]
struct Pace {
    /// The latest unit.
    last: Option<Anchor>,
}

impl Pace {
    /// Takes note of a unit; true if media time has jumped. A track that makes up for lost time has not, however far it is behind others.
    fn jumps(&mut self, micros: i64, now: Instant) -> bool {
        let last = self.last.replace((now, micros));
        last.is_some_and(|(at, media)| {
            let since = i64::try_from(now.saturating_duration_since(at).as_micros()).unwrap_or(i64::MAX);
            micros.abs_diff(media.saturating_add(since)) >= JUMP_MICROS
        })
    }
}

impl OutboundTrack {
    pub(super) fn new(kind: MediaKind, track: Arc<TrackLocalStaticRTP>, ssrc: u32, payload_type: u8) -> Self {
        Self {
            kind,
            track,
            ssrc,
            payload_type,
            sequence: rand::random(),
            origin: rand::random(),
            packets: 0,
            octets: 0,
            reported: None,
            pace: Pace::default(),
        }
    }

    fn timestamp(&self, time: MediaTime) -> u32 {
        let rate = match self.kind {
            MediaKind::Video => ClockRate::VIDEO,
            MediaKind::Audio => ClockRate::AUDIO_48K,
        };
        // RTP time is this modulo 2^32.
        self.origin.wrapping_add(time.rescale(rate).ticks() as u32)
    }

    fn header(&mut self, timestamp: u32, marker: bool) -> rtp::Header {
        let sequence_number = self.sequence;
        self.sequence = self.sequence.wrapping_add(1);
        rtp::Header {
            version: 2,
            marker,
            payload_type: self.payload_type,
            sequence_number,
            timestamp,
            ssrc: self.ssrc,
            ..rtp::Header::default()
        }
    }
}

impl Outbound {
    pub(super) const fn new(tracks: Vec<OutboundTrack>) -> Self {
        Self { tracks, anchor: None }
    }

    pub(super) fn offered(&self) -> Offered {
        let has = |kind| self.tracks.iter().any(|t| t.kind == kind);
        Offered { video: has(MediaKind::Video), audio: has(MediaKind::Audio) }
    }

    /// Sends one unit, and a sender report where it is time.
    pub(super) async fn write(
        &mut self,
        unit: &AccessUnit,
        now: Instant,
        connection: &Connection,
    ) -> Result<(), WhipError> {
        let kind = match unit.params.codec() {
            Codec::H264 => MediaKind::Video,
            Codec::Opus => MediaKind::Audio,
            _ => return Ok(()),
        };
        let Some(track) = self.tracks.iter_mut().find(|t| t.kind == kind) else { return Ok(()) };
        let micros = unit.pts.micros();
        let anchor = match self.anchor.filter(|_| !track.pace.jumps(micros, now)) {
            Some(anchor) => anchor,
            None => *self.anchor.insert((now, micros)),
        };
        let payloads = match kind {
            MediaKind::Video => payload_picture(unit, MAX_PAYLOAD),
            MediaKind::Audio => vec![unit.payload.clone()],
        };
        let timestamp = track.timestamp(unit.pts);
        let last = payloads.len().saturating_sub(1);
        let mut bytes = 0;
        for (i, payload) in payloads.into_iter().enumerate() {
            bytes += payload.len() as u64;
            let header = track.header(timestamp, kind == MediaKind::Video && i == last);
            track.send(header, payload).await?;
        }
        if track.reported.is_none_or(|at| now.duration_since(at) >= REPORT_INTERVAL) {
            track.report(anchor, now, connection).await;
        }
        let packets = last as u64 + 1;
        connection.status.send_if_modified(|status| {
            status.packets += packets;
            status.bytes += bytes;
            // Counters alone wake nobody.
            false
        });
        Ok(())
    }
}

impl OutboundTrack {
    async fn send(&mut self, header: rtp::Header, payload: Bytes) -> Result<(), WhipError> {
        self.packets = self.packets.wrapping_add(1);
        self.octets = self.octets.wrapping_add(u32::try_from(payload.len()).unwrap_or(0));
        self.track.write_rtp(rtp::Packet { header, payload }).await.map_err(|error| {
            tracing::debug!(%error, "RTP not sent");
            WhipError::Lost
        })
    }

    async fn report(&mut self, (at, media): Anchor, now: Instant, connection: &Connection) {
        self.reported = Some(now);
        let since = i64::try_from(now.saturating_duration_since(at).as_micros()).unwrap_or(0);
        let time = MediaTime::new(media.saturating_add(since), ClockRate::MICRO);
        let report = SenderReport {
            ssrc: self.ssrc,
            ntp_time: connection.clock.ntp_at(now).0,
            rtp_time: self.timestamp(time),
            packet_count: self.packets,
            octet_count: self.octets,
            ..SenderReport::default()
        };
        if let Err(error) = self.track.write_rtcp(vec![Box::new(report)]).await {
            tracing::debug!(%error, "sender report not sent");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_track_that_catches_up_has_not_jumped() {
        let mut track = Pace::default();
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        assert!(!track.jumps(5_000_000, at(0)));
        // Two seconds of the past, at once.
        for n in 1..60 {
            assert!(!track.jumps(5_000_000 + n * 33_000, at(1)), "{n}");
        }
        assert!(!track.jumps(7_000_000, at(200)));
        assert!(track.jumps(90_000_000, at(233)));
        assert!(!track.jumps(90_033_000, at(266)));
    }
}
