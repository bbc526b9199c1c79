//! Fragmented MP4 to access units: recordings that are played back, and what other programs wrote.
//!
//! Not here: MP4 with its samples in the `moov` (nobody here writes it), edit lists (ours have none; a foreign one is
//! passed over, and time counts from the track's own zero).

use super::boxes::{BoxAt, Boxes, find};
use super::init::timescale;
use super::{Fmp4Error, MAX_SAMPLES};
use crate::entrance::VideoEntrance;
use bytes::Bytes;
use media::{
    AacError, AacParams, AccessUnit, ClockRate, Codec, CodecParams, MediaTime, OpusParams, Track, TrackId, TrackSet,
    UnitKind,
};
use mp4_atom::{Dops, Mdhd, Tfdt, Tfhd, Tkhd, Trex, Trun, esds::Esds};
use std::sync::Arc;

/// Tracks in one file; what has more is no recording of ours and no stream.
const MAX_TRACKS: usize = 16;
/// An `esds` with the longest AudioSpecificConfig stays far below; descriptors nest, and this bounds how deep.
const MAX_ESDS: usize = 256;
/// Some writers count from 1970; nobody from before 1700. Below this, no clock of 24 bits overflows.
const MAX_SECONDS: i64 = 1 << 33;
/// And room to add to a time on any other.
const MAX_TICKS: i64 = 1 << 60;
/// Bytes of the fixed part of a `VisualSampleEntry` (ISO/IEC 14496-12 §12.1.3).
const VISUAL_ENTRY: usize = 78;
/// Bytes of the fixed part of an `AudioSampleEntry` (§12.2.3); QuickTime's version 1 has 16 more.
const AUDIO_ENTRY: usize = 28;
const AUDIO_ENTRY_V1: usize = AUDIO_ENTRY + 16;

/// Reads the fragments that belong to one init segment. Payloads are slices of what was given.
#[derive(Debug)]
pub struct Demuxer {
    lanes: Vec<Lane>,
    skipped: Vec<String>,
}

#[derive(Debug)]
struct Lane {
    file_id: u32,
    track: Track,
    /// Pictures go through it; sound needs none.
    entrance: Option<VideoEntrance>,
    default_duration: u32,
    default_size: u32,
    /// Where a fragment without `tfdt` begins.
    next: i64,
}

/// Where the data of one `traf` lies and how its samples default.
struct Run {
    base: usize,
    duration: u32,
    size: u32,
}

/// A whole file: init segment and fragments.
///
/// # Errors
/// [`Fmp4Error`].
pub fn read(file: &Bytes) -> Result<(TrackSet, Vec<AccessUnit>), Fmp4Error> {
    let mut demuxer = Demuxer::new(file)?;
    let units = demuxer.fragments(file)?;
    Ok((demuxer.tracks(), units))
}

impl Demuxer {
    /// Takes the `moov` in `init`; tracks of other codecs are skipped by name.
    ///
    /// # Errors
    /// [`Fmp4Error`] for what is malformed, [`Fmp4Error::TooMany`] beyond 16 tracks.
    pub fn new(init: &Bytes) -> Result<Self, Fmp4Error> {
        let moov = find(Boxes::new(init), b"moov")?.ok_or(Fmp4Error::Missing("moov"))?;
        let defaults = track_defaults(&moov)?;
        let (mut lanes, mut skipped) = (Vec::new(), Vec::new());
        for child in moov.children() {
            let child = child?;
            if child.kind != *b"trak" {
                continue;
            }
            if lanes.len() + skipped.len() >= MAX_TRACKS {
                return Err(Fmp4Error::TooMany("tracks"));
            }
            let id = TrackId(u8::try_from(lanes.len()).unwrap_or(u8::MAX));
            match Lane::parse(init, id, &child, &defaults)? {
                Ok(lane) => lanes.push(lane),
                Err(name) => skipped.push(name),
            }
        }
        Ok(Self { lanes, skipped })
    }

    /// What the init segment describes, on the clocks of the file. Ids count from 0 in the order of the file.
    pub fn tracks(&self) -> TrackSet {
        self.lanes.iter().map(|lane| lane.track.clone()).collect()
    }

    /// Sample entries that are not carried.
    pub fn skipped_tracks(&self) -> &[String] {
        &self.skipped
    }

    /// The units of every fragment in `bytes`, whole ones only, by decode time within each. Other boxes are passed over.
    ///
    /// # Errors
    /// [`Fmp4Error`] for what is malformed; what came before it in `bytes` is lost with it.
    pub fn fragments(&mut self, bytes: &Bytes) -> Result<Vec<AccessUnit>, Fmp4Error> {
        let mut units = Vec::new();
        // No writer stores a sample once and names it twice; whoever does wants our memory.
        let mut budget = bytes.len();
        for found in Boxes::new(bytes) {
            let found = found?;
            if found.kind == *b"moof" {
                let from = units.len();
                self.fragment(bytes, &found, &mut budget, &mut units)?;
                if let Some(new) = units.get_mut(from..) {
                    new.sort_by_key(|unit| unit.dts);
                }
            }
        }
        Ok(units)
    }

    fn fragment(
        &mut self,
        bytes: &Bytes,
        moof: &BoxAt<'_>,
        budget: &mut usize,
        units: &mut Vec<AccessUnit>,
    ) -> Result<(), Fmp4Error> {
        let mut samples = 0;
        // Without any flag, the data of a later traf follows that of the one before (§8.8.7.1).
        let mut data_end = moof.at;
        for child in moof.children() {
            let child = child?;
            if child.kind != *b"traf" {
                continue;
            }
            let tfhd: Tfhd = child.need("tfhd")?.decode("tfhd")?;
            let Some(lane) = self.lanes.iter_mut().find(|lane| lane.file_id == tfhd.track_id) else { continue };
            if let Some(tfdt) = child.find(b"tfdt")? {
                let tfdt: Tfdt = tfdt.decode("tfdt")?;
                lane.next = i64::try_from(tfdt.base_media_decode_time).unwrap_or(i64::MAX);
                lane.check_time(moof.at)?;
            }
            let base = match tfhd.base_data_offset {
                Some(base) => usize::try_from(base).map_err(|_| Fmp4Error::Samples { at: moof.at })?,
                None if tfhd.default_base_is_moof => moof.at,
                None => data_end,
            };
            let run = Run {
                base,
                duration: tfhd.default_sample_duration.unwrap_or(lane.default_duration),
                size: tfhd.default_sample_size.unwrap_or(lane.default_size),
            };
            data_end = base;
            for grandchild in child.children() {
                let grandchild = grandchild?;
                if grandchild.kind != *b"trun" {
                    continue;
                }
                let trun: Trun = grandchild.decode("trun")?;
                samples += trun.samples.len();
                if samples > MAX_SAMPLES {
                    return Err(Fmp4Error::TooMany("samples"));
                }
                let outside = || Fmp4Error::Samples { at: moof.at };
                if let Some(offset) = trun.data_offset {
                    let offset = isize::try_from(offset).map_err(|_| outside())?;
                    data_end = run.base.checked_add_signed(offset).ok_or_else(outside)?;
                }
                data_end = lane.run(bytes, &run, data_end, &trun, budget, units, moof.at)?;
            }
        }
        Ok(())
    }
}

impl Lane {
    /// A track of a codec that is carried, or the name of the other.
    fn parse(
        init: &Bytes,
        id: TrackId,
        trak: &BoxAt<'_>,
        defaults: &[Trex],
    ) -> Result<Result<Self, String>, Fmp4Error> {
        let tkhd: Tkhd = trak.need("tkhd")?.decode("tkhd")?;
        let mdia = trak.need("mdia")?;
        let mdhd: Mdhd = mdia.need("mdhd")?.decode("mdhd")?;
        let stsd = mdia.need("minf")?.need("stbl")?.need("stsd")?;
        // Version and flags, then the number of entries; ours have one, and of several the first is taken.
        let entry = stsd.children_after(8).next().ok_or(Fmp4Error::Missing("sample entry"))??;
        let mut entrance = None;
        let params = match &entry.kind {
            b"avc1" | b"avc3" => picture(init, &entry, Codec::H264, "avcC", &mut entrance)?,
            b"hvc1" | b"hev1" => picture(init, &entry, Codec::H265, "hvcC", &mut entrance)?,
            b"vp09" => picture(init, &entry, Codec::Vp9, "vpcC", &mut entrance)?,
            b"av01" => match picture(init, &entry, Codec::Av1, "av1C", &mut entrance) {
                Err(Fmp4Error::Missing(_)) => return Ok(Err("AV1 without a sequence header".into())),
                params => params?,
            },
            b"mp4a" => match aac(&entry)? {
                Ok(params) => Arc::new(CodecParams::Aac(params)),
                Err(name) => return Ok(Err(name)),
            },
            b"Opus" => {
                let dops = find(entry.children_after(AUDIO_ENTRY), b"dOps")?.ok_or(Fmp4Error::Missing("dOps"))?;
                let dops: Dops = dops.decode("dOps")?;
                if dops.channel_mapping.is_some() || !matches!(dops.output_channel_count, 1 | 2) {
                    return Ok(Err("Opus surround".into()));
                }
                let params = OpusParams { channels: dops.output_channel_count, pre_skip: dops.pre_skip };
                Arc::new(CodecParams::Opus(params))
            }
            other => return Ok(Err(other.escape_ascii().to_string())),
        };
        let clock = ClockRate::new(mdhd.timescale).unwrap_or_else(|| timescale(&params));
        let trex = defaults.iter().find(|trex| trex.track_id == tkhd.track_id);
        Ok(Ok(Self {
            file_id: tkhd.track_id,
            track: Track { id, clock, params },
            entrance,
            default_duration: trex.map_or(0, |trex| trex.default_sample_duration),
            default_size: trex.map_or(0, |trex| trex.default_sample_size),
            next: 0,
        }))
    }

    /// The samples of one run, whose data begins at `at`; answers where it ends.
    fn run(
        &mut self,
        bytes: &Bytes,
        run: &Run,
        mut at: usize,
        trun: &Trun,
        budget: &mut usize,
        units: &mut Vec<AccessUnit>,
        moof: usize,
    ) -> Result<usize, Fmp4Error> {
        let outside = || Fmp4Error::Samples { at: moof };
        for entry in &trun.samples {
            let size = usize::try_from(entry.size.unwrap_or(run.size)).map_err(|_| outside())?;
            let end = at.checked_add(size).filter(|&end| end <= bytes.len()).ok_or_else(outside)?;
            *budget = budget.checked_sub(size).ok_or_else(outside)?;
            let payload = bytes.slice(at..end);
            at = end;
            let duration = i64::from(entry.duration.unwrap_or(run.duration));
            let dts = self.next;
            self.next = dts.saturating_add(duration);
            self.check_time(moof)?;
            if let Some(unit) = self.unit(payload, dts, entry.cts.unwrap_or(0), duration)? {
                units.push(unit);
            }
        }
        Ok(at)
    }

    /// Is the time one that can be reckoned with on any clock?
    fn check_time(&self, at: usize) -> Result<(), Fmp4Error> {
        if self.next > MAX_SECONDS.saturating_mul(i64::from(self.track.clock.hz())).min(MAX_TICKS) {
            return Err(Fmp4Error::Content { kind: "tfdt", at, reason: "decode time in the far future".into() });
        }
        Ok(())
    }

    fn unit(&mut self, payload: Bytes, dts: i64, offset: i64, duration: i64) -> Result<Option<AccessUnit>, Fmp4Error> {
        if payload.is_empty() {
            return Ok(None);
        }
        let (kind, params, payload) = match &mut self.entrance {
            None => (UnitKind::Audio, Arc::clone(&self.track.params), payload),
            Some(entrance) => {
                let Some(unit) = entrance.unit(&payload)? else { return Ok(None) };
                // The pictures say where decoding can start; sample flags are what some program thought of them.
                (unit.kind, unit.params, unit.payload)
            }
        };
        let time = |ticks| MediaTime::new(ticks, self.track.clock);
        Ok(Some(AccessUnit {
            track: self.track.id,
            dts: time(dts),
            pts: time(dts.saturating_add(offset)),
            duration: (duration > 0).then(|| time(duration)),
            kind,
            captured: None,
            params,
            payload,
        }))
    }
}

/// The `trex` boxes; a file without any has its defaults in the fragments.
fn track_defaults(moov: &BoxAt<'_>) -> Result<Vec<Trex>, Fmp4Error> {
    let Some(mvex) = moov.find(b"mvex")? else { return Ok(Vec::new()) };
    let mut defaults = Vec::new();
    for child in mvex.children() {
        let child = child?;
        if child.kind == *b"trex" {
            if defaults.len() >= MAX_TRACKS {
                return Err(Fmp4Error::TooMany("trex boxes"));
            }
            defaults.push(child.decode("trex")?);
        }
    }
    Ok(defaults)
}

/// What a picture's sample entry says, and where its samples enter.
fn picture(
    init: &Bytes,
    entry: &BoxAt<'_>,
    codec: Codec,
    kind: &'static str,
    entrance: &mut Option<VideoEntrance>,
) -> Result<Arc<CodecParams>, Fmp4Error> {
    let missing = Fmp4Error::Missing(kind);
    let Ok(four) = kind.as_bytes().try_into() else { return Err(missing) };
    let found = find(entry.children_after(VISUAL_ENTRY), four)?.ok_or(missing.clone())?;
    let record = init.slice(found.body_at..found.body_at + found.body.len());
    let size = entry
        .body
        .get(24..28)
        .map(|s| (u32::from(s[0]) << 8 | u32::from(s[1]), u32::from(s[2]) << 8 | u32::from(s[3])));
    *entrance = VideoEntrance::new(codec);
    entrance.as_mut().ok_or(missing.clone())?.configure(&record, size)?.ok_or(missing)
}

/// AAC out of an `mp4a` entry, or the name of what it is instead. QuickTime hides the `esds` in a `wave`.
fn aac(entry: &BoxAt<'_>) -> Result<Result<AacParams, String>, Fmp4Error> {
    let version = entry.body.get(8..10);
    let fixed = if version == Some(&[0, 1]) { AUDIO_ENTRY_V1 } else { AUDIO_ENTRY };
    let esds = match find(entry.children_after(fixed), b"esds")? {
        Some(esds) => Some(esds),
        None => match find(entry.children_after(fixed), b"wave")? {
            Some(wave) => wave.find(b"esds")?,
            None => None,
        },
    };
    let esds = esds.ok_or(Fmp4Error::Missing("esds"))?;
    if esds.body.len() > MAX_ESDS {
        return Err(Fmp4Error::Content { kind: "esds", at: esds.at, reason: "too long".into() });
    }
    let esds: Esds = esds.decode("esds")?;
    let config = esds.es_desc.dec_config;
    // 0x40 is MPEG-4 Audio, 0x67 MPEG-2 AAC-LC; 0x69 and 0x6B are MP3 (ISO/IEC 14496-1 table 5).
    if !matches!(config.object_type_indication, 0x40 | 0x67) {
        return Ok(Err(format!("mp4a object type {:#04x}", config.object_type_indication)));
    }
    let specific = config.dec_specific.ok_or(Fmp4Error::Missing("AudioSpecificConfig"))?;
    match AacParams::parse(specific.raw.into()) {
        Ok(params) => Ok(Ok(params)),
        Err(AacError::ObjectType(object)) => Ok(Err(format!("MPEG-4 Audio object type {object}"))),
        Err(AacError::Channels(config)) => Ok(Err(format!("MPEG-4 Audio channel configuration {config}"))),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fmp4::{FragmentWriter, init_segment};
    use crate::testing::{av, h264, newer_codecs, opus, track, unit};
    use proptest::prelude::*;

    #[test]
    fn init_round_trips() {
        let check = |tracks: TrackSet| {
            let init = init_segment(&tracks).unwrap();
            let demuxer = Demuxer::new(&init).unwrap();
            assert_eq!(demuxer.tracks(), tracks);
            assert!(demuxer.skipped_tracks().is_empty());
        };
        check(av());
        check(TrackSet::new([Track { id: TrackId(0), ..opus() }]));
        check(TrackSet::new([track(0, ClockRate::VIDEO, CodecParams::H264(h264()))]));
        for (rate, channels) in [(16_000, 1), (96_000, 6)] {
            let params = AacParams::lc(rate, channels).unwrap();
            check(TrackSet::new([track(0, params.rate(), CodecParams::Aac(params))]));
        }
        let he = AacParams::parse(Bytes::from_static(&[0x2B, 0x11, 0x88, 0x00])).unwrap();
        check(TrackSet::new([track(0, he.rate(), CodecParams::Aac(he))]));
        assert_eq!(init_segment(&TrackSet::default()), Err(Fmp4Error::NoTracks));
    }

    #[test]
    fn newer_codecs_round_trip() {
        for (track, key, delta) in newer_codecs() {
            let tracks = TrackSet::new([track.clone()]);
            let mut writer = FragmentWriter::new(&tracks, MediaTime::new(0, ClockRate::MILLI)).unwrap();
            let mut file = writer.init().to_vec();
            for (kind, at, payload) in [(UnitKind::Key, 0, &key), (UnitKind::Delta, 3000, &delta)] {
                writer.push(&AccessUnit { payload: payload.clone(), ..unit(&track, kind, at, at, &[]) }).unwrap();
            }
            file.extend_from_slice(&writer.cut().unwrap().unwrap().bytes);
            let (read_tracks, units) = read(&file.into()).unwrap();
            assert_eq!(read_tracks, tracks);
            let got: Vec<_> = units.into_iter().map(|u| (u.kind, u.dts.ticks(), u.payload)).collect();
            assert_eq!(got, [(UnitKind::Key, 0, key), (UnitKind::Delta, 3000, delta)]);
        }
    }

    #[test]
    fn one_track_is_a_cmaf_header() {
        let brands = |tracks| init_segment(&tracks).unwrap()[..32].windows(4).any(|w| w == b"cmfc");
        assert!(brands(TrackSet::new([opus()])));
        assert!(!brands(av()));
    }

    /// A file with one fragment of one picture and one sound.
    fn file() -> (Bytes, usize) {
        let tracks = av();
        let mut writer = FragmentWriter::new(&tracks, MediaTime::new(0, ClockRate::MILLI)).unwrap();
        writer.push(&unit(tracks.get(TrackId(0)).unwrap(), UnitKind::Key, 0, 0, &[1, 2, 3])).unwrap();
        writer.push(&unit(tracks.get(TrackId(1)).unwrap(), UnitKind::Audio, 0, 0, &[4, 5])).unwrap();
        let init = writer.init().clone();
        let fragment = writer.cut().unwrap().unwrap();
        ([&init[..], &fragment.bytes].concat().into(), init.len())
    }

    #[test]
    fn payloads_are_slices() {
        let (file, _) = file();
        let (_, units) = read(&file).unwrap();
        let range = file.as_ptr_range();
        assert_eq!(units.len(), 2);
        assert!(units.iter().all(|unit| range.contains(&unit.payload.as_ptr())));
    }

    #[test]
    fn every_cut_is_an_error_or_less() {
        let (file, init) = file();
        for end in 0..file.len() {
            match read(&file.slice(..end)) {
                // Less than a box header may be left over.
                Ok((_, units)) => assert!(units.is_empty() && (init..init + 8).contains(&end), "cut at {end}"),
                Err(_) => assert!(end != init, "cut at {end}"),
            }
        }
    }

    #[test]
    fn every_flipped_byte_is_survived() {
        let (file, _) = file();
        for at in 0..file.len() {
            for value in [0, 1, 0x7F, 0xFF] {
                let mut bytes = file.to_vec();
                bytes[at] = value;
                let _result = read(&bytes.into());
            }
        }
    }

    #[test]
    fn deep_nesting_is_no_stack() {
        // 50 000 boxes, each inside the one before.
        let kinds = [b"moov", b"trak", b"mdia", b"moof", b"traf", b"meta"];
        let bytes: Vec<u8> = (0..50_000_u32)
            .zip(kinds.iter().cycle())
            .flat_map(|(level, kind)| [((50_000 - level) * 8).to_be_bytes(), **kind].concat())
            .collect();
        assert!(read(&bytes.into()).is_err());
    }

    #[test]
    fn the_far_future_is_refused() {
        let (file, init) = file();
        let mut bytes = file.to_vec();
        let at = init + bytes[init..].windows(4).position(|w| w == b"tfdt").unwrap() + 8;
        let mut check = |time: u64, want: bool| {
            bytes[at..at + 8].copy_from_slice(&time.to_be_bytes());
            assert_eq!(read(&bytes.clone().into()).is_ok(), want, "{time}");
        };
        check(1_800_000_000 * 90_000, true);
        check(1 << 60, false);
        check(u64::MAX, false);
    }

    #[test]
    fn samples_named_twice_are_refused() {
        let (file, init) = file();
        let twice = |bytes: &[u8]| {
            let mut moof = bytes.to_vec();
            let runs: Vec<_> = moof.windows(4).enumerate().filter(|(_, w)| *w == b"trun").map(|(i, _)| i).collect();
            // The run of the sound claims the data of the picture, and far more of it.
            let at = runs[1] + 12;
            moof[at..at + 4].copy_from_slice(&0_u32.to_be_bytes());
            let size = u32::try_from(bytes.len()).unwrap();
            moof[at + 4..at + 8].copy_from_slice(&size.to_be_bytes());
            Bytes::from(moof)
        };
        let mut demuxer = Demuxer::new(&file).unwrap();
        assert!(matches!(demuxer.fragments(&twice(&file[init..])), Err(Fmp4Error::Samples { .. })));
    }

    #[derive(Debug, Clone)]
    struct Step(bool, i64, i64, bool, Vec<u8>, bool);

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let step = (
            any::<bool>(),
            1..9000_i64,
            -3000..9000_i64,
            any::<bool>(),
            prop::collection::vec(any::<u8>(), 1..30),
            prop::bool::weighted(0.2),
        );
        prop::collection::vec(step.prop_map(|(v, by, c, k, b, cut)| Step(v, by, c, k, b, cut)), 1..60)
    }

    proptest! {
        /// Payloads, kinds and presentation times come back exactly; decode times rise and join.
        #[test]
        fn what_goes_in_comes_out(steps in steps()) {
            let tracks = av();
            let (video, audio) = (tracks.get(TrackId(0)).unwrap(), tracks.get(TrackId(1)).unwrap());
            let mut writer = FragmentWriter::new(&tracks, MediaTime::new(0, ClockRate::MILLI)).unwrap();
            let (mut file, mut now, mut samples, mut want) = (writer.init().to_vec(), 0, 0, Vec::new());
            let mut cut = |writer: &mut FragmentWriter| {
                if let Some(fragment) = writer.cut().unwrap() {
                    file.extend_from_slice(&fragment.bytes);
                }
            };
            for Step(is_video, by, offset, key, body, ends) in steps {
                let unit = if is_video {
                    now += by;
                    let kind = if key { UnitKind::Key } else { UnitKind::Delta };
                    unit(video, kind, now, (now + offset).max(0), &body)
                } else {
                    samples += 1024;
                    unit(audio, UnitKind::Audio, samples, samples, &body)
                };
                writer.push(&unit).unwrap();
                want.push(unit);
                if ends {
                    cut(&mut writer);
                }
            }
            cut(&mut writer);
            let (read_tracks, got) = read(&file.into()).unwrap();
            prop_assert_eq!(&read_tracks, &tracks);
            for track in &tracks {
                let of = |units: &[AccessUnit]| {
                    let mine = units.iter().filter(|u| u.track == track.id);
                    mine.map(|u| (u.kind, u.pts.ticks(), u.payload.clone())).collect::<Vec<_>>()
                };
                prop_assert_eq!(of(&got), of(&want));
                let times: Vec<_> = got.iter().filter(|u| u.track == track.id).map(|u| u.dts.ticks()).collect();
                prop_assert!(times.is_sorted_by(|a, b| a < b), "{:?}", times);
            }
        }
    }

    #[test]
    fn foreign_length_sizes_become_four_bytes() {
        // The init segment says two-byte lengths, and so the sample has them.
        let tracks = TrackSet::new([track(0, ClockRate::VIDEO, CodecParams::H264(h264()))]);
        let mut init = init_segment(&tracks).unwrap().to_vec();
        let avcc = init.windows(4).position(|w| w == b"avcC").unwrap();
        init[avcc + 8] = 0xFD;
        let mut writer = FragmentWriter::new(&tracks, MediaTime::new(0, ClockRate::MILLI)).unwrap();
        let mut unit = unit(tracks.get(TrackId(0)).unwrap(), UnitKind::Key, 0, 0, &[]);
        unit.payload = Bytes::from_static(&[0, 2, 0x65, 7]);
        writer.push(&unit).unwrap();
        let fragment = writer.cut().unwrap().unwrap();
        let units = Demuxer::new(&init.into()).unwrap().fragments(&fragment.bytes).unwrap();
        assert_eq!(units[0].payload, Bytes::from_static(&[0, 0, 0, 2, 0x65, 7]));
    }
}
