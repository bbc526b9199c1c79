//! From RTP to access units: one sound and one picture track of a publisher.
//!
//! Belongs here: reordering, depayloading, the common timeline, what to do after loss. Not here: the stack that decrypts and
//! asks for packets again (`peer`), the path written to (`session`).

use media::{
    AccessUnit, ClockRate, Codec, CodecParams, G711Law, G711Params, MediaKind, MediaTime, MonoTime, OpusParams, Track,
    TrackId, TrackSet, UnitKind, VideoUnit,
};
use proto::rtp::rtcp::NtpTime;
use proto::rtp::{
    Damaged, Packet, PictureDepayloader, ReorderBuffer, ReorderStats, SyncTimeline, TrackHandle, depayload_opus,
};
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

/// Where picture and sound stand in the path's track set.
pub(crate) const VIDEO: TrackId = TrackId(0);
pub(crate) const AUDIO: TrackId = TrackId(1);

/// How long a picture waits for a missing packet: three rounds of asking (every 50 ms) at a round trip of 100 ms.
const VIDEO_WAIT: Duration = Duration::from_millis(250);
/// Sound is not asked for again; this is for packets that overtook each other.
const AUDIO_WAIT: Duration = Duration::from_millis(60);

/// Counts of one publisher.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct IngestStats {
    pub(crate) packets: u64,
    pub(crate) bytes: u64,
    pub(crate) lost: u64,
    pub(crate) damaged_units: u64,
}

/// A packet with its arrival.
type Arrived = (Packet, MonoTime);

/// Makes access units of what a publisher sends.
pub(crate) struct Ingest {
    timeline: SyncTimeline,
    video: Option<Video>,
    audio: Option<Audio>,
    ready: VecDeque<AccessUnit>,
    stats: IngestStats,
}

struct Video {
    handle: TrackHandle,
    reorder: ReorderBuffer<Arrived>,
    depayloader: PictureDepayloader,
}

struct Audio {
    handle: TrackHandle,
    reorder: ReorderBuffer<Arrived>,
    clock: ClockRate,
    params: Arc<CodecParams>,
}

impl Ingest {
    /// For the tracks that were negotiated, the picture in this codec.
    pub(crate) fn new(video: Option<Codec>, audio: bool) -> Self {
        let mut timeline = SyncTimeline::new();
        let video = video.and_then(|codec| PictureDepayloader::new(codec, false)).map(|depayloader| Video {
            handle: timeline.add(MediaKind::Video, ClockRate::VIDEO),
            reorder: ReorderBuffer::new(VIDEO_WAIT),
            depayloader,
        });
        let audio = audio.then(|| Audio {
            handle: timeline.add(MediaKind::Audio, ClockRate::AUDIO_48K),
            reorder: ReorderBuffer::new(AUDIO_WAIT),
            clock: ClockRate::AUDIO_48K,
            params: Arc::new(CodecParams::Opus(OpusParams::WEBRTC)),
        });
        Self { timeline, video, audio, ready: VecDeque::new(), stats: IngestStats::default() }
    }

    /// With sound as telephones have it, where that was negotiated in place of Opus.
    #[must_use]
    pub(crate) fn with_telephone(mut self, law: Option<G711Law>) -> Self {
        if let Some(law) = law {
            let params = G711Params::telephone(law);
            self.audio = Some(Audio {
                handle: self.timeline.add(MediaKind::Audio, params.rate),
                reorder: ReorderBuffer::new(AUDIO_WAIT),
                clock: params.rate,
                params: Arc::new(CodecParams::G711(params)),
            });
        }
        self
    }

    /// One packet, in whatever order.
    pub(crate) fn packet(&mut self, kind: MediaKind, packet: Packet, now: MonoTime) {
        self.stats.packets += 1;
        self.stats.bytes += packet.payload.len() as u64;
        let sequence = packet.header.sequence;
        match (kind, &mut self.video, &mut self.audio) {
            (MediaKind::Video, Some(video), _) => video.reorder.push(sequence, (packet, now), now),
            (MediaKind::Audio, _, Some(audio)) => audio.reorder.push(sequence, (packet, now), now),
            _ => {}
        }
        self.advance(now);
    }

    /// The sender's clocks for one track.
    pub(crate) fn sender_report(&mut self, kind: MediaKind, ntp: NtpTime, timestamp: u32) {
        let handle = match kind {
            MediaKind::Video => self.video.as_ref().map(|v| v.handle),
            MediaKind::Audio => self.audio.as_ref().map(|a| a.handle),
        };
        if let Some(handle) = handle {
            self.timeline.sender_report(handle, ntp, timestamp);
        }
    }

    /// Gives up waiting where it is time.
    pub(crate) fn advance(&mut self, now: MonoTime) {
        if let Some(video) = &mut self.video {
            while let Some(ordered) = video.reorder.pop(now) {
                let (packet, arrived) = ordered.item;
                let header = packet.header;
                video.depayloader.push(header.timestamp, header.marker, &packet.payload, ordered.gap);
                while let Some(picture) = video.depayloader.poll() {
                    match picture {
                        Ok((timestamp, unit)) => {
                            let time = self.timeline.time(video.handle, timestamp, arrived);
                            self.ready.extend(time.map(|time| shown(unit, time)));
                        }
                        Err(Damaged) => self.stats.damaged_units += 1,
                    }
                }
            }
        }
        if let Some(audio) = &mut self.audio {
            while let Some(ordered) = audio.reorder.pop(now) {
                self.ready.extend(audio.unit(&ordered.item, &mut self.timeline));
            }
        }
    }

    /// The next access unit, in order of arrival.
    pub(crate) fn poll(&mut self) -> Option<AccessUnit> {
        self.ready.pop_front()
    }

    /// When to call [`Self::advance`] though nothing came.
    pub(crate) fn deadline(&self) -> Option<MonoTime> {
        let video = self.video.as_ref().and_then(|v| v.reorder.deadline());
        let audio = self.audio.as_ref().and_then(|a| a.reorder.deadline());
        video.into_iter().chain(audio).min()
    }

    /// Is a key picture needed before anything can be passed on?
    pub(crate) fn needs_key(&self) -> bool {
        self.video.as_ref().is_some_and(|v| v.depayloader.needs_key())
    }

    /// The tracks as far as their parameters are known, and whether these are all that were negotiated.
    pub(crate) fn tracks(&mut self) -> (TrackSet, bool) {
        let video = self.video.as_mut().map(|v| v.depayloader.params());
        let all = video.as_ref().is_none_or(Option::is_some);
        let video = video.flatten().map(|params| Track { id: VIDEO, clock: ClockRate::VIDEO, params });
        let audio = self.audio.as_ref().map(|a| Track { id: AUDIO, clock: a.clock, params: Arc::clone(&a.params) });
        (video.into_iter().chain(audio).collect(), all)
    }

    /// Counts so far.
    pub(crate) fn stats(&self) -> IngestStats {
        let of = |stats: Option<ReorderStats>| stats.map_or(0, |s| s.lost);
        let lost =
            of(self.video.as_ref().map(|v| v.reorder.stats())) + of(self.audio.as_ref().map(|a| a.reorder.stats()));
        IngestStats { lost, ..self.stats }
    }
}

/// A picture at its time; none is reordered here.
fn shown(unit: VideoUnit, time: MediaTime) -> AccessUnit {
    AccessUnit {
        track: VIDEO,
        dts: time,
        pts: time,
        duration: None,
        kind: unit.kind,
        captured: None,
        params: unit.params,
        payload: unit.payload,
    }
}

impl Audio {
    fn unit(&self, (packet, arrived): &Arrived, timeline: &mut SyncTimeline) -> Option<AccessUnit> {
        let time = timeline.time(self.handle, packet.header.timestamp, *arrived)?;
        let (payload, samples) = match &*self.params {
            CodecParams::G711(params) => {
                let samples = params.samples(packet.payload.len());
                (packet.payload.clone(), u32::try_from(samples).ok().filter(|samples| *samples > 0)?)
            }
            _ => depayload_opus(&packet.payload).ok()?,
        };
        Some(AccessUnit {
            track: AUDIO,
            dts: time,
            pts: time,
            duration: Some(MediaTime::new(i64::from(samples), self.clock)),
            kind: UnitKind::Audio,
            captured: None,
            params: Arc::clone(&self.params),
            payload,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use proto::rtp::{H264Payloader, Header};

    /// Constrained baseline, 640×480.
    const SPS: &[u8] = &[
        0x67, 0x42, 0xC0, 0x1E, 0xDA, 0x02, 0x80, 0xF6, 0x84, 0x00, 0x00, 0x03, 0x00, 0x04, 0x00, 0x00, 0x03, 0x00,
        0xF2, 0x3C, 0x58, 0xBA, 0x80,
    ];
    const PPS: &[u8] = &[0x68, 0xCE, 0x0F, 0x2C, 0x80];

    fn at(ms: u64) -> MonoTime {
        MonoTime::from_micros(ms * 1000)
    }

    struct Sender {
        ingest: Ingest,
        sequence: u16,
    }

    impl Sender {
        /// Sends a picture without the packets in `missing`.
        fn picture(&mut self, ms: u32, key: bool, missing: &[usize]) {
            let slice = [if key { 0x65 } else { 0x41 }; 3000];
            let nals: Vec<&[u8]> = if key { vec![SPS, PPS, &slice] } else { vec![&slice] };
            let payloads = H264Payloader::new(1200).payload(nals);
            let last = payloads.len() - 1;
            for (i, payload) in payloads.into_iter().enumerate() {
                let marker = i == last;
                let header = Header { marker, sequence: self.sequence, timestamp: ms * 90, ..Header::default() };
                self.sequence = self.sequence.wrapping_add(1);
                if !missing.contains(&i) {
                    self.ingest.packet(MediaKind::Video, Packet { header, payload }, at(u64::from(ms)));
                }
            }
        }

        fn got(&mut self) -> Vec<(UnitKind, i64)> {
            std::iter::from_fn(|| self.ingest.poll()).map(|u| (u.kind, u.dts.millis())).collect()
        }
    }

    #[test]
    fn after_loss_pictures_wait_for_a_key() {
        let mut s = Sender { ingest: Ingest::new(Some(Codec::H264), true), sequence: 65_530 };
        assert!(s.ingest.needs_key());
        s.picture(0, true, &[]);
        s.picture(40, false, &[]);
        assert_eq!(s.got(), [(UnitKind::Key, 0), (UnitKind::Delta, 40)]);
        s.picture(80, false, &[1]);
        s.picture(120, false, &[]);
        assert_eq!(s.got(), []);
        s.ingest.advance(at(400));
        assert_eq!((s.got(), s.ingest.needs_key()), (vec![], true));
        s.picture(440, true, &[]);
        s.picture(480, false, &[]);
        assert_eq!(s.got(), [(UnitKind::Key, 440), (UnitKind::Delta, 480)]);
        assert_eq!(s.ingest.stats().lost, 1);
        let (tracks, all) = s.ingest.tracks();
        assert_eq!((tracks.len(), all), (2, true));
    }

    #[test]
    fn sound() {
        let mut ingest = Ingest::new(None, true);
        for i in 0..3_u16 {
            let header = Header { sequence: i, timestamp: u32::from(i) * 960, ..Header::default() };
            let payload = Bytes::from_static(&[0xFC, 1, 2]);
            ingest.packet(MediaKind::Audio, Packet { header, payload }, at(u64::from(i) * 20));
        }
        let got: Vec<_> = std::iter::from_fn(|| ingest.poll()).map(|u| u.dts.millis()).collect();
        assert_eq!(got, [0, 20, 40]);
    }
}
