//! Access units to fragments: one `moof` and one `mdat` each. An HLS part is a fragment; a segment is a few of them.
//!
//! Not here: where to cut (`relay`), the init segment (`init`).

use super::init::{file_id, init_segment, put, timescale};
use super::{Fmp4Error, MAX_BYTES, MAX_SAMPLES, NON_SYNC, SYNC};
use bytes::Bytes;
use media::{AccessUnit, ClockRate, CodecParams, MediaKind, MediaTime, TrackId, TrackSet, opus_packet_samples};
use mp4_atom::{Mfhd, Moof, Tfdt, Tfhd, Traf, Trun, TrunEntry, TrunSamples};
use std::sync::Arc;

/// A `moof` and its `mdat`.
#[derive(Debug, Clone)]
pub struct Fragment {
    /// Both boxes.
    pub bytes: Bytes,
    /// How long the leading track (the picture, else the first track) runs in it.
    pub duration: MediaTime,
    /// Where its leading track begins, counted from the writer's origin, on that track's clock.
    pub start: MediaTime,
    /// Does it begin with a key picture? True for sound alone.
    pub independent: bool,
    /// `mfhd.sequence_number`.
    pub sequence: u32,
}

/// Gathers units and cuts them into fragments, without holding one back for its duration.
///
/// The last picture's duration is not known when it has to go out. It is taken to last as long as the one before, and the
/// next fragment begins where this one ended; what was guessed wrong goes into its first durations, and the composition
/// offset keeps every picture at its exact time. Decode times thus add up without gap or overlap. Sound follows its own
/// sample count as long as the timestamps stay near it: clocks of milliseconds make no jitter.
#[derive(Debug)]
pub struct FragmentWriter {
    lanes: Vec<Lane>,
    init: Bytes,
    origin: MediaTime,
    sequence: u32,
    bytes: usize,
    samples: usize,
}

#[derive(Debug)]
struct Lane {
    track: TrackId,
    params: Arc<CodecParams>,
    clock: ClockRate,
    pending: Vec<Sample>,
    /// Where the last fragment ended.
    next: Option<i64>,
    /// Decode time of the last sample pushed.
    last: Option<i64>,
    /// From one picture to the next, lately: a guess for the one whose end is not known.
    interval: i64,
}

#[derive(Debug)]
struct Sample {
    dts: i64,
    pts: i64,
    /// How long, where the unit or its codec says so.
    duration: Option<i64>,
    key: bool,
    payload: Bytes,
}

/// A sample as it is written.
struct Timed {
    start: i64,
    duration: i64,
}

/// Pictures may come this much later than guessed and still join; what is longer is a real gap. Three pictures at 30 a second.
const VIDEO_JOIN_MS: i64 = 100;
/// Sound may stray this far from its sample count: more than a phone's timestamps jitter, less than lip sync allows (45 ms).
const AUDIO_JOIN_MS: i64 = 30;
/// A picture of whose rate nothing is known: 1/30 s at 90 kHz.
const USUAL_INTERVAL: i64 = 3000;

impl Timed {
    const fn end(&self) -> i64 {
        self.start.saturating_add(self.duration)
    }
}

impl FragmentWriter {
    /// A writer for `tracks`; `origin` becomes time zero, and what is older is moved there.
    ///
    /// # Errors
    /// As [`init_segment`].
    pub fn new(tracks: &TrackSet, origin: MediaTime) -> Result<Self, Fmp4Error> {
        let init = init_segment(tracks)?;
        let lanes = tracks.iter().map(|track| Lane::new(track.id, &track.params)).collect();
        Ok(Self { lanes, init, origin, sequence: 1, bytes: 0, samples: 0 })
    }

    /// The init segment of what is written now.
    pub const fn init(&self) -> &Bytes {
        &self.init
    }

    /// Goes on with other tracks or parameters behind a new [`Self::init`]; time and sequence numbers run on. Cut first:
    /// what was pushed and not cut is lost.
    ///
    /// # Errors
    /// As [`init_segment`]; nothing has changed then.
    pub fn replace_tracks(&mut self, tracks: &TrackSet) -> Result<(), Fmp4Error> {
        self.init = init_segment(tracks)?;
        let old = std::mem::take(&mut self.lanes);
        let resume = |mut lane: Lane| {
            if let Some(before) = old.iter().find(|before| before.track == lane.track) {
                let rescaled = |ticks| MediaTime::new(ticks, before.clock).rescale(lane.clock).ticks();
                lane.next = before.next.map(rescaled);
                lane.last = before.last.map(rescaled);
                lane.interval = rescaled(before.interval);
            }
            lane
        };
        self.lanes = tracks.iter().map(|track| resume(Lane::new(track.id, &track.params))).collect();
        (self.bytes, self.samples) = (0, 0);
        Ok(())
    }

    /// Does `unit` belong to the init segment? If not, cut and [`Self::replace_tracks`].
    pub fn fits(&self, unit: &AccessUnit) -> bool {
        self.lanes.iter().any(|lane| lane.fits(unit))
    }

    /// Adds `unit` to the fragment in the making.
    ///
    /// # Errors
    /// [`Fmp4Error::Changed`] where it does not fit, [`Fmp4Error::Full`] beyond 64 MiB or 16384 samples.
    pub fn push(&mut self, unit: &AccessUnit) -> Result<(), Fmp4Error> {
        let lane = self.lanes.iter_mut().find(|lane| lane.fits(unit)).ok_or(Fmp4Error::Changed)?;
        let bytes = self.bytes.saturating_add(unit.payload.len());
        if bytes > MAX_BYTES || self.samples >= MAX_SAMPLES {
            return Err(Fmp4Error::Full);
        }
        lane.push(unit, self.origin);
        self.bytes = bytes;
        self.samples += 1;
        Ok(())
    }

    /// Is nothing waiting to be cut?
    pub const fn is_empty(&self) -> bool {
        self.samples == 0
    }

    /// Bytes of payload waiting to be cut.
    pub const fn pending_bytes(&self) -> usize {
        self.bytes
    }

    /// About how long the leading track would run if it were cut now; exact to a sound frame or the guess of a picture's
    /// length. Cheap enough to ask after every unit.
    pub fn pending_duration(&self) -> MediaTime {
        self.lead().map_or(MediaTime::new(0, ClockRate::MILLI), |lane| MediaTime::new(lane.pending_span(), lane.clock))
    }

    /// Everything that was pushed as one fragment; `Ok(None)` if that is nothing.
    ///
    /// # Errors
    /// [`Fmp4Error::Content`] where the boxes cannot say it.
    pub fn cut(&mut self) -> Result<Option<Fragment>, Fmp4Error> {
        if self.is_empty() {
            return Ok(None);
        }
        let schedules: Vec<_> = self.lanes.iter().map(Lane::schedule).collect();
        let bytes = self.write(&schedules)?;
        let video = self.lanes.iter().position(|lane| lane.kind() == MediaKind::Video);
        let lead = video.unwrap_or(0);
        let (Some(lane), Some(timed)) = (self.lanes.get(lead), schedules.get(lead)) else { return Ok(None) };
        let independent = video.is_none() || lane.pending.first().is_some_and(|sample| sample.key);
        let start = timed.first().map(|timed| timed.start).or(lane.next).unwrap_or(0);
        let duration = timed.last().map_or(0, |last| last.end().saturating_sub(start));
        let fragment = Fragment {
            bytes,
            duration: MediaTime::new(duration, lane.clock),
            start: MediaTime::new(start, lane.clock),
            independent,
            sequence: self.sequence,
        };
        for (lane, timed) in self.lanes.iter_mut().zip(&schedules) {
            lane.finish(timed);
        }
        self.sequence = self.sequence.wrapping_add(1);
        (self.bytes, self.samples) = (0, 0);
        Ok(Some(fragment))
    }

    fn lead(&self) -> Option<&Lane> {
        self.lanes.iter().find(|lane| lane.kind() == MediaKind::Video).or_else(|| self.lanes.first())
    }

    fn write(&self, schedules: &[Vec<Timed>]) -> Result<Bytes, Fmp4Error> {
        let lanes = self.lanes.iter().zip(schedules).enumerate().filter(|(_, (lane, _))| !lane.pending.is_empty());
        let mut moof = Moof {
            mfhd: Mfhd { sequence_number: self.sequence },
            traf: lanes.clone().map(|(index, (lane, timed))| lane.traf(file_id(index), timed)).collect(),
        };
        let mut out = Vec::with_capacity(self.bytes + 32 * self.samples + 256);
        put(&mut out, "moof", &moof)?;
        // Offsets have a fixed width, so that the size of the first writing is that of the second.
        let mut offset = out.len() + 8;
        for (traf, (_, (lane, _))) in moof.traf.iter_mut().zip(lanes.clone()) {
            for run in &mut traf.trun {
                run.data_offset = i32::try_from(offset).ok();
            }
            offset += lane.pending.iter().map(|sample| sample.payload.len()).sum::<usize>();
        }
        out.clear();
        put(&mut out, "moof", &moof)?;
        let size = u32::try_from(self.bytes + 8).unwrap_or(u32::MAX);
        out.extend_from_slice(&size.to_be_bytes());
        out.extend_from_slice(b"mdat");
        for (_, (lane, _)) in lanes {
            for sample in &lane.pending {
                out.extend_from_slice(&sample.payload);
            }
        }
        Ok(out.into())
    }
}

impl Lane {
    fn new(track: TrackId, params: &Arc<CodecParams>) -> Self {
        let interval = match &**params {
            CodecParams::Aac(params) => i64::from(params.frame_samples()),
            CodecParams::Opus(_) => 960,
            CodecParams::MpegAudio(params) => i64::from(params.frame_samples),
            CodecParams::G711(params) => i64::from(params.rate.hz()) / 50,
            picture => picture.frame_rate().map_or(USUAL_INTERVAL, |rate| (90_000.0 / rate) as i64),
        };
        Self {
            track,
            params: Arc::clone(params),
            clock: timescale(params),
            pending: Vec::new(),
            next: None,
            last: None,
            interval,
        }
    }

    fn kind(&self) -> MediaKind {
        self.params.codec().kind()
    }

    fn fits(&self, unit: &AccessUnit) -> bool {
        self.track == unit.track && (Arc::ptr_eq(&self.params, &unit.params) || self.params == unit.params)
    }

    fn push(&mut self, unit: &AccessUnit, origin: MediaTime) {
        let ticks = |time: MediaTime| time.rescale(self.clock).minus(origin).ticks();
        let duration = match &*self.params {
            CodecParams::Aac(params) => Some(i64::from(params.frame_samples())),
            CodecParams::Opus(_) => opus_packet_samples(&unit.payload).ok().map(i64::from),
            CodecParams::MpegAudio(params) => Some(i64::from(params.frame_samples)),
            CodecParams::G711(params) => i64::try_from(params.samples(unit.payload.len())).ok(),
            _picture => unit.duration.map(|duration| duration.rescale(self.clock).ticks()),
        };
        let dts = ticks(unit.dts).max(0);
        let step = self.last.replace(dts).map_or(0, |last| dts.saturating_sub(last));
        if step > 0 {
            // A new rate is believed within a few pictures, and a gap is not mistaken for one.
            self.interval = step.min(self.interval.saturating_mul(2));
        }
        self.pending.push(Sample {
            dts,
            pts: ticks(unit.pts).max(0),
            duration: duration.filter(|&duration| duration > 0),
            key: unit.is_key(),
            payload: unit.payload.clone(),
        });
    }

    /// Start and duration of every pending sample. Starts rise; the first is where the last fragment ended, unless there is
    /// a gap.
    fn schedule(&self) -> Vec<Timed> {
        let (join, counted) = match self.kind() {
            MediaKind::Video => (VIDEO_JOIN_MS, false),
            MediaKind::Audio => (AUDIO_JOIN_MS, true),
        };
        let join = MediaTime::new(join, ClockRate::MILLI).rescale(self.clock).ticks();
        let mut timed: Vec<Timed> = Vec::with_capacity(self.pending.len());
        for sample in &self.pending {
            let start = match timed.last_mut() {
                None => match self.next {
                    Some(next) if sample.dts < next.saturating_add(join) => next,
                    _ => sample.dts,
                },
                Some(before) => {
                    let expected = before.start.saturating_add(before.duration);
                    let near = counted && sample.dts.abs_diff(expected) < join.unsigned_abs();
                    let start = if near { expected } else { sample.dts.max(before.start.saturating_add(1)) };
                    before.duration = start.saturating_sub(before.start);
                    start
                }
            };
            let duration = sample.duration.unwrap_or(self.interval).clamp(1, i64::from(u32::MAX));
            timed.push(Timed { start, duration });
        }
        timed
    }

    fn pending_span(&self) -> i64 {
        match (self.pending.first(), self.pending.last()) {
            (Some(first), Some(last)) => {
                last.dts.saturating_sub(first.dts).saturating_add(last.duration.unwrap_or(self.interval)).max(0)
            }
            _ => 0,
        }
    }

    fn finish(&mut self, timed: &[Timed]) {
        if let Some(last) = timed.last() {
            self.next = Some(last.end());
        }
        self.pending.clear();
    }

    fn traf(&self, id: u32, timed: &[Timed]) -> Traf {
        let video = self.kind() == MediaKind::Video;
        let same = |value: &dyn Fn(&Timed) -> i64| {
            let first = timed.first().map(value)?;
            timed.iter().all(|t| value(t) == first).then_some(to_u32(first))
        };
        let duration = same(&|t| t.duration);
        let offsets: Vec<_> = self.pending.iter().zip(timed).map(|(s, t)| s.pts.saturating_sub(t.start)).collect();
        let reordered = video && offsets.iter().any(|&offset| offset != 0);
        // The first sample's flags alone, unless a key picture stands elsewhere.
        let late_key = self.pending.iter().skip(1).any(|sample| sample.key);
        let flags = |index, sample: &Sample| {
            let flags = if sample.key { SYNC } else { NON_SYNC };
            (video && (late_key || index == 0 && sample.key)).then_some(flags)
        };
        let entries = self.pending.iter().zip(timed).zip(&offsets).enumerate();
        let entries = entries.map(|(index, ((sample, timed), offset))| TrunEntry {
            duration: duration.is_none().then_some(to_u32(timed.duration)),
            size: Some(u32::try_from(sample.payload.len()).unwrap_or(u32::MAX)),
            flags: flags(index, sample),
            cts: reordered.then_some((*offset).clamp(i64::from(i32::MIN), i64::from(i32::MAX))),
        });
        let start = timed.first().map_or(0, |timed| timed.start);
        Traf {
            tfhd: Tfhd {
                track_id: id,
                default_sample_duration: duration,
                default_sample_flags: Some(if video { NON_SYNC } else { SYNC }),
                default_base_is_moof: true,
                ..Tfhd::default()
            },
            tfdt: Some(Tfdt { base_media_decode_time: u64::try_from(start).unwrap_or(0) }),
            trun: vec![Trun { data_offset: Some(0), samples: TrunSamples::Explicit(entries.collect()) }],
            ..Traf::default()
        }
    }
}

fn to_u32(ticks: i64) -> u32 {
    u32::try_from(ticks.max(0)).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{aac, av, h264, other_h264, track, unit};
    use media::{Track, UnitKind};

    fn zero() -> MediaTime {
        MediaTime::new(0, ClockRate::MILLI)
    }

    fn video(params: CodecParams) -> Track {
        track(0, ClockRate::MILLI, params)
    }

    /// Start, durations and offsets of the one track of a fragment, read by the box layer.
    fn times(fragment: &Fragment) -> (u64, Vec<u32>, Vec<i64>) {
        use mp4_atom::Decode;
        let moof = Moof::decode(&mut &fragment.bytes[..]).unwrap();
        let traf = &moof.traf[0];
        let default = traf.tfhd.default_sample_duration;
        let entries: Vec<_> = traf.trun[0].samples.iter().collect();
        let start = traf.tfdt.as_ref().unwrap().base_media_decode_time;
        let durations = entries.iter().map(|e| e.duration.or(default).unwrap()).collect();
        (start, durations, entries.iter().map(|e| e.cts.unwrap_or(0)).collect())
    }

    #[test]
    fn pictures_keep_their_time_and_leave_no_gap() {
        let track = video(CodecParams::H264(h264()));
        let mut writer = FragmentWriter::new(&TrackSet::new([track.clone()]), zero()).unwrap();
        let mut cut = |dts: &[i64]| {
            for (i, &dts) in dts.iter().enumerate() {
                let kind = if i == 0 { UnitKind::Key } else { UnitKind::Delta };
                writer.push(&unit(&track, kind, dts, dts, &[1])).unwrap();
            }
            let fragment = writer.cut().unwrap().unwrap();
            assert!(fragment.independent);
            times(&fragment)
        };
        // 33 and 34 ms apart; the last is taken for as long as the one before.
        assert_eq!(cut(&[0, 33, 67]), (0, vec![2970, 3060, 3060], vec![0; 3]));
        // It ended at 9090 and goes on at 100 ms = 9000: the first is 90 late in decoding and exact in presentation.
        assert_eq!(cut(&[100, 133]), (9090, vec![2880, 2970], vec![-90, 0]));
        // A gap of a second stays one.
        assert_eq!(cut(&[1133, 1166]), (101_970, vec![2970, 2970], vec![0, 0]));
    }

    #[test]
    fn sound_counts_samples() {
        let track = track(1, ClockRate::MILLI, CodecParams::Aac(aac()));
        let mut writer = FragmentWriter::new(&TrackSet::new([track.clone()]), zero()).unwrap();
        let mut cut = |dts: &[i64]| {
            for &dts in dts {
                writer.push(&unit(&track, UnitKind::Audio, dts, dts, &[1])).unwrap();
            }
            times(&writer.cut().unwrap().unwrap())
        };
        // 21.333 ms in milliseconds, with a phone's jitter.
        assert_eq!(cut(&[0, 21, 50, 64]), (0, vec![1024; 4], vec![0; 4]));
        assert_eq!(cut(&[85, 106]), (4096, vec![1024; 2], vec![0; 2]));
        // Half a second is missing.
        assert_eq!(cut(&[628, 649]), (30_144, vec![1024; 2], vec![0; 2]));
        // And again, within a fragment.
        assert_eq!(cut(&[671, 1171]), (32_192, vec![24_016, 1024], vec![0; 2]));
    }

    #[test]
    fn key_flags_independence_and_bookkeeping() {
        let tracks = av();
        let (video, audio) = (tracks.get(TrackId(0)).unwrap(), tracks.get(TrackId(1)).unwrap());
        let mut writer = FragmentWriter::new(&tracks, MediaTime::new(1000, ClockRate::MILLI)).unwrap();
        assert!(writer.cut().unwrap().is_none());
        writer.push(&unit(video, UnitKind::Delta, 90_000, 90_000, &[1, 2])).unwrap();
        writer.push(&unit(audio, UnitKind::Audio, 48_000, 48_000, &[3])).unwrap();
        writer.push(&unit(video, UnitKind::Key, 93_000, 93_000, &[1])).unwrap();
        assert_eq!((writer.pending_bytes(), writer.pending_duration().ticks()), (14, 6000));
        let fragment = writer.cut().unwrap().unwrap();
        assert_eq!((fragment.independent, fragment.sequence), (false, 1));
        assert_eq!((fragment.start.ticks(), fragment.duration.ticks()), (0, 6000));
        assert!(writer.is_empty());
        writer.push(&unit(video, UnitKind::Key, 96_000, 96_000, &[1])).unwrap();
        let fragment = writer.cut().unwrap().unwrap();
        assert_eq!((fragment.independent, fragment.sequence, fragment.start.ticks()), (true, 2, 6000));
        // Sound alone, while there is a picture track: a player cannot start here.
        writer.push(&unit(audio, UnitKind::Audio, 49_024, 49_024, &[3])).unwrap();
        assert!(!writer.cut().unwrap().unwrap().independent);
    }

    #[test]
    fn changed_parameters_need_a_new_init() {
        let (old, new) = (video(CodecParams::H264(h264())), video(CodecParams::H264(other_h264())));
        let mut writer = FragmentWriter::new(&TrackSet::new([old.clone()]), zero()).unwrap();
        let before = writer.init().clone();
        writer.push(&unit(&old, UnitKind::Key, 0, 0, &[1])).unwrap();
        let changed = unit(&new, UnitKind::Key, 33, 33, &[1]);
        assert!(!writer.fits(&changed));
        assert_eq!(writer.push(&changed), Err(Fmp4Error::Changed));
        writer.cut().unwrap().unwrap();
        writer.replace_tracks(&TrackSet::new([new])).unwrap();
        assert_ne!(writer.init(), &before);
        writer.push(&changed).unwrap();
        let fragment = writer.cut().unwrap().unwrap();
        assert_eq!((fragment.sequence, times(&fragment).0), (2, 3000));
        assert_eq!(writer.replace_tracks(&TrackSet::default()), Err(Fmp4Error::NoTracks));
    }

    #[test]
    fn a_fragment_is_bounded() {
        let track = track(1, ClockRate::MILLI, CodecParams::Aac(aac()));
        let mut writer = FragmentWriter::new(&TrackSet::new([track.clone()]), zero()).unwrap();
        for i in 0..MAX_SAMPLES {
            let dts = i64::try_from(i).unwrap() * 21;
            writer.push(&unit(&track, UnitKind::Audio, dts, dts, &[1])).unwrap();
        }
        assert_eq!(writer.push(&unit(&track, UnitKind::Audio, 0, 0, &[1])), Err(Fmp4Error::Full));
        assert!(writer.cut().unwrap().is_some());
        assert!(writer.push(&unit(&track, UnitKind::Audio, 0, 0, &[1])).is_ok());
    }
}
