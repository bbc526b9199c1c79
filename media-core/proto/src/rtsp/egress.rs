//! Units of a path to a reader's packets.
//!
//! Belongs here: which track of the path goes as which of the session, sequence numbers and times, sender reports. Not here: payloads
//! of a unit, which all readers of a path share ([`payloads`] makes them once), sockets (`relay::rtsp`).

use super::sdp::{Format, Presentation};
use super::server::{Setup, Started};
use crate::rtp::rtcp::{NtpTime, Rtcp};
use crate::rtp::{AacPayloader, Header, payload_mpa, payload_picture};
use bytes::Bytes;
use media::{AccessUnit, ClockRate, CodecParams, MediaTime, MonoTime, TrackId, TrackSet};
use std::time::Duration;

/// Payloads of at most this: with every header it fits 1440 bytes, which tunnels and PPPoE let through.
const MAX_PAYLOAD: usize = 1400;

/// The RTP payloads of one unit, for all readers.
pub fn payloads(unit: &AccessUnit) -> Vec<Bytes> {
    match &*unit.params {
        CodecParams::H264(_)
        | CodecParams::H265(_)
        | CodecParams::Vp8(_)
        | CodecParams::Vp9(_)
        | CodecParams::Av1(_)
        | CodecParams::Mjpeg(_) => payload_picture(unit, MAX_PAYLOAD),
        CodecParams::Aac(_) => AacPayloader::new(MAX_PAYLOAD).payload(&unit.payload),
        CodecParams::Opus(_) => vec![unit.payload.clone()],
        CodecParams::MpegAudio(_) => payload_mpa(&unit.payload, MAX_PAYLOAD),
        CodecParams::G711(_) => {
            let cuts = (0..unit.payload.len()).step_by(MAX_PAYLOAD);
            cuts.map(|at| unit.payload.slice(at..unit.payload.len().min(at + MAX_PAYLOAD))).collect()
        }
    }
}

/// One packet on its way.
#[derive(Debug, Clone)]
pub struct Outgoing {
    /// Which track of the presentation.
    pub media: usize,
    /// In front of the payload.
    pub header: [u8; Header::LEN],
    /// Shared with other readers.
    pub payload: Bytes,
}

/// One reader's way out.
#[derive(Debug)]
pub struct Egress {
    tracks: Vec<TrackOut>,
    /// The first unit's time, and the wall clock it stands for.
    zero: Option<Zero>,
}

#[derive(Debug, Clone, Copy)]
struct Zero {
    media: MediaTime,
    mono: MonoTime,
    /// Microseconds since 1970.
    wall: u64,
}

#[derive(Debug)]
struct TrackOut {
    media: usize,
    format: Format,
    payload_type: u8,
    clock: ClockRate,
    ssrc: u32,
    sequence: u16,
    base: u32,
    source: Option<TrackId>,
    packets: u32,
    octets: u32,
}

impl Egress {
    /// For the tracks that were set up. `seed` must be unpredictable: sequence numbers and times begin there (RFC 3550 §5.1).
    pub fn new(presentation: &Presentation, setups: &[Setup], seed: u64) -> Self {
        let tracks = setups.iter().filter_map(|setup| {
            let media = presentation.media.get(setup.media)?;
            // Bits on purpose, others for each track.
            let bits = seed.rotate_left(u32::from(media.payload_type)).wrapping_mul(0x9E37_79B9_7F4A_7C15);
            Some(TrackOut {
                media: setup.media,
                format: media.format.clone(),
                payload_type: media.payload_type,
                clock: media.clock,
                ssrc: setup.ssrc,
                // Below half of the range, so that no receiver meets a wrap at once.
                sequence: (bits >> 48) as u16 & 0x7FFF,
                base: bits as u32 & 0x7FFF_FFFF,
                source: None,
                packets: 0,
                octets: 0,
            })
        });
        Self { tracks: tracks.collect(), zero: None }
    }

    /// Takes the path's tracks, first of all and on every change. True if some track of the session is among them.
    pub fn tracks(&mut self, tracks: &TrackSet) -> bool {
        let mut used: Vec<TrackId> = Vec::new();
        for out in &mut self.tracks {
            let fits = |track: &&media::Track| !used.contains(&track.id) && out.format.carries(&track.params);
            out.source = tracks.iter().find(fits).map(|t| t.id);
            used.extend(out.source);
        }
        !used.is_empty()
    }

    /// Does the path carry pictures for the session?
    pub fn has_pictures(&self) -> bool {
        self.tracks.iter().any(|track| track.source.is_some() && track.format.picture().is_some())
    }

    /// The first unit decides where times begin. It came in at `arrived`; now it is `now`, `wall` µs since 1970.
    pub fn begin(&mut self, unit: &AccessUnit, arrived: MonoTime, now: MonoTime, wall: u64) {
        let age = u64::try_from(now.since(arrived).as_micros()).unwrap_or(0);
        self.zero.get_or_insert(Zero { media: unit.dts, mono: arrived, wall: wall.saturating_sub(age) });
    }

    /// For `RTP-Info`.
    pub fn started(&self) -> Vec<Started> {
        let timestamp = |track: &TrackOut| self.zero.map(|_| track.base);
        let one =
            |track: &TrackOut| Started { media: track.media, sequence: track.sequence, timestamp: timestamp(track) };
        self.tracks.iter().map(one).collect()
    }

    /// The packets of a unit, whose `payloads` were made before. None of a track that the session has not, or before [`Self::begin`].
    pub fn packets(&mut self, unit: &AccessUnit, payloads: &[Bytes], mut send: impl FnMut(Outgoing)) {
        let (Some(zero), Some(track)) = (self.zero, self.tracks.iter_mut().find(|t| t.source == Some(unit.track)))
        else {
            return;
        };
        // Sound that came later than its picture, and belongs before the first one: players would begin with it.
        if (!unit.is_video() && unit.pts < zero.media) || !track.format.carries(&unit.params) {
            return;
        }
        // The low bits on purpose: RTP times wrap.
        let timestamp = track.base.wrapping_add(unit.pts.minus(zero.media).rescale(track.clock).ticks() as u32);
        let last = payloads.len().saturating_sub(1);
        for (i, payload) in payloads.iter().enumerate() {
            // In these only the first packet after silence would have it (RFC 3551 §4.1), and nothing here is silent.
            let talk = matches!(track.format, Format::Opus(_) | Format::G711(_) | Format::MpegAudio);
            let marker = i == last && !talk;
            let (payload_type, sequence, ssrc) = (track.payload_type, track.sequence, track.ssrc);
            // Only samples that stand by themselves go on counting within a unit.
            let timestamp = match &track.format {
                Format::G711(params) => {
                    timestamp.wrapping_add(u32::try_from(params.samples(i * MAX_PAYLOAD)).unwrap_or(0))
                }
                _ => timestamp,
            };
            let header = Header { marker, payload_type, sequence, timestamp, ssrc };
            track.sequence = track.sequence.wrapping_add(1);
            track.packets = track.packets.wrapping_add(1);
            track.octets = track.octets.wrapping_add(u32::try_from(payload.len()).unwrap_or(0));
            send(Outgoing { media: track.media, header: header.to_bytes(), payload: payload.clone() });
        }
    }

    /// A sender report for every track, with its number; none before [`Self::begin`]. All name one instant, so that receivers bring
    /// the tracks into step by the first.
    pub fn reports(&self, now: MonoTime) -> Vec<(usize, Bytes)> {
        let Some(zero) = self.zero else { return Vec::new() };
        let since = now.since(zero.mono);
        let wall = zero.wall.saturating_add(u64::try_from(since.as_micros()).unwrap_or(0));
        self.tracks.iter().map(|track| (track.media, track.report(since, wall))).collect()
    }

    /// Does a report of a receiver concern us? Its keyframe request is then to be passed on.
    pub fn wants_keyframe(&self, compound: &[u8]) -> bool {
        let packets = Rtcp::parse_compound(compound).unwrap_or_default();
        packets.iter().any(|p| matches!(p, Rtcp::KeyframeRequest { .. }))
    }

    /// Packets sent so far.
    pub fn sent(&self) -> u64 {
        self.tracks.iter().map(|track| u64::from(track.packets)).sum()
    }
}

impl TrackOut {
    fn report(&self, since: Duration, wall: u64) -> Bytes {
        let ticks = MediaTime::from_duration(since, self.clock).ticks();
        let report = Rtcp::SenderReport {
            ssrc: self.ssrc,
            ntp: NtpTime::from_unix_micros(wall),
            // The low bits on purpose: RTP times wrap.
            timestamp: self.base.wrapping_add(ticks as u32),
            packets: self.packets,
            octets: self.octets,
            reports: Vec::new(),
        };
        Rtcp::compound(&[report, Rtcp::Cname { ssrc: self.ssrc, name: "visavis".into() }])
    }
}

impl Format {
    /// Can a unit with these parameters go under this description? Parameter sets of pictures travel in the stream.
    fn carries(&self, params: &CodecParams) -> bool {
        match (self, params) {
            (Self::H264(_), CodecParams::H264(_)) | (Self::Opus(_), CodecParams::Opus(_)) => true,
            (Self::H265(_), CodecParams::H265(_)) | (Self::MpegAudio, CodecParams::MpegAudio(_)) => true,
            (Self::Vp8, CodecParams::Vp8(_)) | (Self::Vp9 { .. }, CodecParams::Vp9(_)) => true,
            (Self::Av1 { .. }, CodecParams::Av1(_)) | (Self::Jpeg, CodecParams::Mjpeg(_)) => true,
            (Self::G711(described), CodecParams::G711(now)) => described == now,
            (Self::Aac(described, _), CodecParams::Aac(now)) => described.config() == now.config(),
            _ => false,
        }
    }
}
