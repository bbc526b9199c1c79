//! A publisher's packets to units of a path.
//!
//! Belongs here: reordering, depayloading, the tracks' common timeline, when the tracks are known well enough to be announced, receiver
//! reports. Not here: sockets, and where units go (`relay::rtsp`).
//!
//! At the beginning packets are held until each track has sent one and said what wall clock it stands for, so that the very first
//! units are in step; a publisher that does not say goes by arrival after a moment, and slides into step when it does.

use super::pictures::Pictures;
use super::sdp::{Format, Media, Presentation};
use crate::rtp::rtcp::{NtpTime, Rtcp};
use crate::rtp::{
    AacDepayloader, Damaged, LatmDepayloader, MpaDepayloader, Packet, Reception, ReorderBuffer, SyncTimeline,
    TrackHandle, depayload_opus,
};
use bytes::Bytes;
use media::{
    AccessUnit, ClockRate, CodecParams, G711Params, MediaKind, MediaTime, MonoTime, Track, TrackId, TrackSet, UnitKind,
};
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

/// How long the beginning waits for every track's packet and sender report. FFmpeg and GStreamer send both at once.
const GATHER: Duration = Duration::from_millis(600);
/// As much is held meanwhile: 20 Mbit/s for that time.
const HELD: usize = 2048;
/// How long a picture's parameter sets are waited for where the description has none: a key frame every two seconds is common.
const PARAMS: Duration = Duration::from_secs(4);

/// What comes out.
#[derive(Debug, Clone)]
pub enum Ingested {
    /// The tracks are known, or changed.
    Tracks(TrackSet),
    /// A unit, and when the packet that ended it arrived.
    Unit(AccessUnit, MonoTime),
}

/// Counts of one track.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TrackStats {
    /// RTP packets received.
    pub packets: u64,
    /// Missing for good.
    pub lost: u64,
    /// That were no RTP, or held nothing that decodes.
    pub in_error: u64,
    /// RTCP packets received.
    pub reports: u64,
    /// In ticks.
    pub jitter: u32,
}

/// One publisher's way in.
#[derive(Debug)]
pub struct Ingest {
    timeline: SyncTimeline,
    /// By the presentation's numbers; `None` for what is not carried or not set up.
    tracks: Vec<Option<TrackIn>>,
    gathering: Option<Gathering>,
    ready: VecDeque<Ingested>,
    /// Units held until the tracks are announced.
    unannounced: Vec<(AccessUnit, MonoTime)>,
    announced: Option<TrackSet>,
    began: Option<MonoTime>,
    ssrc: u32,
}

#[derive(Debug, Default)]
struct Gathering {
    held: Vec<(usize, Packet, MonoTime)>,
    since: Option<MonoTime>,
}

#[derive(Debug)]
struct TrackIn {
    id: TrackId,
    kind: MediaKind,
    payload_type: u8,
    clock: ClockRate,
    handle: TrackHandle,
    reorder: ReorderBuffer<(Packet, MonoTime)>,
    coding: Coding,
    reception: Reception,
    report: Option<(NtpTime, u32)>,
    stats: TrackStats,
}

#[derive(Debug)]
enum Coding {
    Pictures(Box<Pictures>),
    Aac {
        depayloader: AacDepayloader,
        params: Arc<CodecParams>,
        step: u32,
    },
    Latm {
        depayloader: LatmDepayloader,
        params: Arc<CodecParams>,
        step: u32,
    },
    Opus {
        params: Arc<CodecParams>,
    },
    G711 {
        law: G711Params,
        params: Arc<CodecParams>,
    },
    MpegAudio {
        depayloader: MpaDepayloader,
        /// Of the latest frame.
        params: Option<Arc<CodecParams>>,
    },
}

impl Ingest {
    /// For the tracks `set_up` of `presentation`. `wait` is how long a missing packet is waited for: zero where the transport keeps
    /// order. `ssrc` names us in reports.
    pub fn new(presentation: &Presentation, set_up: &[usize], wait: Duration, ssrc: u32) -> Self {
        let mut timeline = SyncTimeline::new();
        let tracks = (0_u8..).zip(&presentation.media).enumerate().map(|(n, (id, media))| {
            let carried = set_up.contains(&n);
            carried.then(|| TrackIn::new(TrackId(id), media, wait, &mut timeline)).flatten()
        });
        let tracks = tracks.collect();
        Self {
            timeline,
            tracks,
            gathering: Some(Gathering::default()),
            ready: VecDeque::new(),
            unannounced: Vec::new(),
            announced: None,
            began: None,
            ssrc,
        }
    }

    /// One RTP packet of a track, in whatever order.
    pub fn rtp(&mut self, media: usize, bytes: &Bytes, now: MonoTime) {
        let Some(Some(track)) = self.tracks.get_mut(media) else { return };
        let packet = match Packet::parse(bytes) {
            Ok(packet) if packet.header.payload_type == track.payload_type => packet,
            Ok(_) | Err(_) => {
                track.stats.in_error += 1;
                return;
            }
        };
        track.stats.packets += 1;
        track.reception.packet(&packet.header, now);
        match &mut self.gathering {
            Some(gathering) => {
                gathering.since.get_or_insert(now);
                gathering.held.push((media, packet, now));
            }
            None => track.reorder.push(packet.header.sequence, (packet, now), now),
        }
        self.advance(now);
    }

    /// A compound RTCP packet of a track.
    pub fn rtcp(&mut self, media: usize, bytes: &[u8], now: MonoTime) {
        let Some(Some(track)) = self.tracks.get_mut(media) else { return };
        track.stats.reports += 1;
        for packet in Rtcp::parse_compound(bytes).unwrap_or_default() {
            if let Rtcp::SenderReport { ntp, timestamp, .. } = packet {
                track.reception.sender_report(ntp, now);
                // A sender without a clock says zero (RFC 3550 §6.4.1).
                if ntp.0 != 0 {
                    track.report = Some((ntp, timestamp));
                    if self.gathering.is_none() {
                        self.timeline.sender_report(track.handle, ntp, timestamp);
                    }
                }
            }
        }
        self.advance(now);
    }

    /// Gives up waiting where it is time.
    pub fn advance(&mut self, now: MonoTime) {
        self.begin(now);
        if self.gathering.is_some() {
            return;
        }
        for track in self.tracks.iter_mut().flatten() {
            while let Some(ordered) = track.reorder.pop(now) {
                let (packet, arrived) = ordered.item;
                let units = &mut self.unannounced;
                track.packet(&packet, ordered.gap, arrived, &mut self.timeline, |unit| units.push((unit, arrived)));
            }
        }
        self.announce(now);
    }

    /// The next thing that came of it.
    pub fn poll(&mut self) -> Option<Ingested> {
        self.ready.pop_front()
    }

    /// When to call [`Self::advance`] though nothing came.
    pub fn deadline(&self) -> Option<MonoTime> {
        if let Some(gathering) = &self.gathering {
            return gathering.since.map(|since| since + GATHER);
        }
        let missing = self.tracks.iter().flatten().filter_map(|t| t.reorder.deadline());
        let params = self.began.filter(|_| self.announced.is_none()).map(|began| began + PARAMS);
        missing.chain(params).min()
    }

    /// A receiver report for each track that sends, with its number.
    pub fn reports(&mut self, now: MonoTime) -> Vec<(usize, Bytes)> {
        let ssrc = self.ssrc;
        let tracks = self.tracks.iter_mut().enumerate();
        let blocks = tracks.filter_map(|(n, track)| Some((n, track.as_mut()?.reception.report(now)?)));
        blocks
            .map(|(n, block)| {
                let report = Rtcp::ReceiverReport { ssrc, reports: vec![block] };
                (n, Rtcp::compound(&[report, Rtcp::Cname { ssrc, name: "visavis".into() }]))
            })
            .collect()
    }

    /// Counts of all tracks.
    pub fn stats(&self) -> TrackStats {
        self.tracks.iter().flatten().fold(TrackStats::default(), |sum, track| TrackStats {
            packets: sum.packets + track.stats.packets,
            lost: sum.lost + track.reorder.stats().lost,
            in_error: sum.in_error + track.stats.in_error,
            reports: sum.reports + track.stats.reports,
            jitter: sum.jitter.max(track.reception.jitter()),
        })
    }

    /// Lets the held packets go when the tracks can be brought into step, or have had their time.
    fn begin(&mut self, now: MonoTime) {
        let Some(gathering) = &self.gathering else { return };
        let Some(since) = gathering.since else { return };
        let seen = |n: usize| gathering.held.iter().find(|(media, ..)| *media == n);
        let mut wanted = self.tracks.iter().enumerate().filter_map(|(n, t)| Some((n, t.as_ref()?)));
        let all = wanted.all(|(n, track)| track.report.is_some() && seen(n).is_some());
        if !all && now.since(since) < GATHER && gathering.held.len() < HELD {
            return;
        }
        let mut firsts: Vec<(usize, u32, MonoTime)> = Vec::new();
        for (media, packet, arrived) in &gathering.held {
            if firsts.iter().all(|(n, ..)| n != media) {
                firsts.push((*media, packet.header.timestamp, *arrived));
            }
        }
        for (media, timestamp, arrived) in &firsts {
            if let Some(Some(track)) = self.tracks.get(*media) {
                self.timeline.time(track.handle, *timestamp, *arrived);
            }
        }
        for track in self.tracks.iter().flatten() {
            if let Some((ntp, timestamp)) = track.report {
                self.timeline.sender_report(track.handle, ntp, timestamp);
            }
        }
        self.timeline.settle();
        let held = self.gathering.take().map(|gathering| gathering.held).unwrap_or_default();
        for (media, packet, arrived) in held {
            if let Some(Some(track)) = self.tracks.get_mut(media) {
                track.reorder.push(packet.header.sequence, (packet, arrived), arrived);
            }
        }
    }

    /// Announces the tracks as soon as all are known or have had their time, and lets units go behind that.
    fn announce(&mut self, now: MonoTime) {
        if self.unannounced.is_empty() {
            return;
        }
        let began = *self.began.get_or_insert(now);
        let known: Vec<Option<Track>> = self.tracks.iter_mut().flatten().map(TrackIn::track).collect();
        let all = known.iter().all(Option::is_some);
        let count = known.iter().flatten().count();
        let more = self.announced.as_ref().is_none_or(|announced| announced.len() < count);
        if self.announced.is_none() && !all && now.since(began) < PARAMS && self.unannounced.len() < HELD {
            return;
        }
        if more {
            let tracks: TrackSet = known.into_iter().flatten().collect();
            self.ready.push_back(Ingested::Tracks(tracks.clone()));
            self.announced = Some(tracks);
        }
        self.ready.extend(self.unannounced.drain(..).map(|(unit, arrived)| Ingested::Unit(unit, arrived)));
    }
}

impl TrackIn {
    fn new(id: TrackId, media: &Media, wait: Duration, timeline: &mut SyncTimeline) -> Option<Self> {
        let step = |params: &media::AacParams| {
            let samples = MediaTime::new(i64::from(params.frame_samples()), params.rate()).rescale(media.clock);
            u32::try_from(samples.ticks()).unwrap_or(media::AacParams::FRAME)
        };
        let coding = match &media.format {
            Format::H264(_)
            | Format::H265(_)
            | Format::Vp8
            | Format::Vp9 { .. }
            | Format::Av1 { .. }
            | Format::Jpeg => {
                let (codec, params) = media.format.picture()?;
                Coding::Pictures(Box::new(Pictures::new(codec, params.as_ref(), wait.is_zero())?))
            }
            Format::Aac(params, layout) => Coding::Aac {
                depayloader: AacDepayloader::new(*layout),
                step: step(params),
                params: Arc::new(CodecParams::Aac(params.clone())),
            },
            Format::Latm(params) => Coding::Latm {
                depayloader: LatmDepayloader::new(),
                step: step(params),
                params: Arc::new(CodecParams::Aac(params.clone())),
            },
            Format::Opus(params) => Coding::Opus { params: Arc::new(CodecParams::Opus(*params)) },
            Format::G711(law) => Coding::G711 { law: *law, params: Arc::new(CodecParams::G711(*law)) },
            Format::MpegAudio => Coding::MpegAudio { depayloader: MpaDepayloader::new(), params: None },
            Format::Other(_) => return None,
        };
        let kind = media.kind?;
        Some(Self {
            id,
            kind,
            payload_type: media.payload_type,
            clock: media.clock,
            handle: timeline.add(kind, media.clock),
            reorder: ReorderBuffer::new(wait),
            coding,
            reception: Reception::new(media.clock),
            report: None,
            stats: TrackStats::default(),
        })
    }

    /// What is known of it; a picture's parameters may not be yet.
    fn track(&mut self) -> Option<Track> {
        let params = match &mut self.coding {
            Coding::Pictures(pictures) => pictures.params()?,
            Coding::Aac { params, .. } | Coding::Latm { params, .. } | Coding::Opus { params } => Arc::clone(params),
            Coding::G711 { params, .. } => Arc::clone(params),
            Coding::MpegAudio { params, .. } => Arc::clone(params.as_ref()?),
        };
        Some(Track { id: self.id, clock: self.clock, params })
    }

    /// One packet in its turn.
    fn packet(
        &mut self,
        packet: &Packet,
        gap: bool,
        arrived: MonoTime,
        timeline: &mut SyncTimeline,
        mut unit: impl FnMut(AccessUnit),
    ) {
        let (timestamp, marker, payload) = (packet.header.timestamp, packet.header.marker, &packet.payload);
        let (id, handle, clock) = (self.id, self.handle, self.clock);
        let errors = &mut self.stats.in_error;
        let mut sound = |frames: Vec<Bytes>, params: &Arc<CodecParams>, step: u32| {
            for (n, frame) in (0_u32..).zip(frames) {
                let at = timestamp.wrapping_add(step.wrapping_mul(n));
                if let Some(time) = timeline.time(handle, at, arrived) {
                    unit(AccessUnit {
                        track: id,
                        dts: time,
                        pts: time,
                        duration: Some(MediaTime::new(i64::from(step), clock)),
                        kind: UnitKind::Audio,
                        captured: None,
                        params: Arc::clone(params),
                        payload: frame,
                    });
                }
            }
        };
        match &mut self.coding {
            Coding::Pictures(pictures) => {
                pictures.push(timestamp, marker, payload, gap);
                while let Some(picture) = pictures.poll(|timestamp| timeline.time(handle, timestamp, arrived)) {
                    match picture {
                        Ok(Some(picture)) => unit(AccessUnit { track: id, ..picture }),
                        Ok(None) => {}
                        Err(Damaged) => *errors += 1,
                    }
                }
            }
            Coding::Aac { depayloader, params, step } => match depayloader.push(timestamp, payload, gap) {
                Ok(frames) => sound(frames, params, *step),
                Err(_) => *errors += 1,
            },
            Coding::Latm { depayloader, params, step } => match depayloader.push(timestamp, marker, payload, gap) {
                Ok(frames) => sound(frames, params, *step),
                Err(_) => *errors += 1,
            },
            Coding::Opus { params } => match depayload_opus(payload) {
                Ok((packet, samples)) => sound(vec![packet], params, samples),
                Err(_) => *errors += 1,
            },
            Coding::G711 { law, params } => {
                let samples = u32::try_from(law.samples(payload.len())).unwrap_or(0);
                // Padding-only packets keep the sequence going and carry nothing.
                if samples > 0 {
                    sound(vec![payload.clone()], params, samples);
                }
            }
            Coding::MpegAudio { depayloader, params } => match depayloader.push(timestamp, payload, gap) {
                Ok(frames) => {
                    let Some(now) = frames.first().map(|(now, _)| *now) else { return };
                    let known = params.take().filter(|known| **known == CodecParams::MpegAudio(now));
                    let known = params.insert(known.unwrap_or_else(|| Arc::new(CodecParams::MpegAudio(now))));
                    let samples = MediaTime::new(i64::from(now.frame_samples), now.rate).rescale(clock);
                    let step = u32::try_from(samples.ticks()).unwrap_or(0);
                    sound(frames.into_iter().map(|(_, frame)| frame).collect(), known, step);
                }
                Err(_) => *errors += 1,
            },
        }
        debug_assert!(self.kind == MediaKind::Video || !matches!(self.coding, Coding::Pictures(_)));
    }
}
