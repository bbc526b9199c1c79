//! Access units to packets.
//!
//! Not here: where a segment ends (`chunk`, `proto::hls`).

use super::packet::{self, Adaptation, PACKET, Packet};
use super::pes::{self, CLOCK_MASK};
use super::psi::{self, Entry, ProgramMap};
use super::{MAX_TRACKS, SECOND, TsError, carries, opus, stream_type};
use media::{AccessUnit, ClockRate, CodecParams, MediaKind, MediaTime, TrackId, TrackSet, opus_packet_samples};
use std::sync::Arc;
use std::time::Duration;

/// Where the map is, and the first stream: ffmpeg's numbers, known to be liked by every player.
const MAP_PID: u16 = 0x1000;
const FIRST_PID: u16 = 0x100;
/// The origin's time in the stream, so that the clock, which runs ahead of it, is not negative.
const START: i64 = SECOND;
/// The clock runs so far ahead of decoding: what is interleaved within this arrives in time (ticks).
const LEAD: i64 = SECOND / 5;
/// A clock at least so often; 100 ms is the most that §2.7.2 allows.
const CLOCK_EVERY: i64 = SECOND * 8 / 100;
/// A pause in which nothing came is filled with so many clocks at most.
const MOST_CLOCKS: i64 = 25;
/// Tables at least so often: DVB asks for half a second (ETSI TR 101 290 §5.2.1).
const TABLES_EVERY: i64 = SECOND * 4 / 10;
/// Sound gathered in one PES at most: nine frames of 128 kbps.
const MAX_GATHERED: usize = 3_000;
/// A sound frame at most: with its header it fits the 16 bits of a PES' length.
const MAX_FRAME: usize = 1 << 15;
/// Frames that begin so far from where the one before ended do not share its PES (ticks).
const GATHER_JITTER: i64 = SECOND / 50;

/// Writes one program. The caller chooses what to do with the bytes, whole packets all.
#[derive(Debug)]
pub struct Muxer {
    lanes: Vec<Lane>,
    origin: MediaTime,
    gather: i64,
    version: u8,
    counters: [u8; 2],
    /// The lane whose packets carry the clock.
    clock_lane: usize,
    last_clock: Option<i64>,
    last_tables: Option<i64>,
    scratch: Vec<u8>,
}

#[derive(Debug)]
struct Lane {
    track: TrackId,
    params: Arc<CodecParams>,
    pid: u16,
    counter: u8,
    gathered: Vec<u8>,
    /// Times of the first gathered frame, and of the end of the last.
    from: i64,
    until: i64,
}

impl Muxer {
    /// A muxer of `tracks`, in which `origin` is one second; what is older is moved there.
    ///
    /// # Errors
    /// [`TsError::NotCarried`], [`TsError::Tracks`].
    pub fn new(tracks: &TrackSet, origin: MediaTime) -> Result<Self, TsError> {
        let mut muxer = Self {
            lanes: Vec::new(),
            origin: origin.rescale(ClockRate::VIDEO),
            gather: 0,
            version: 31,
            counters: [0; 2],
            clock_lane: 0,
            last_clock: None,
            last_tables: None,
            scratch: Vec::new(),
        };
        muxer.replace_tracks(tracks)?;
        Ok(muxer)
    }

    /// Sound is held until it lasts this long, so that a frame does not cost a packet of its own: for files and segments, not for
    /// a conversation.
    #[must_use]
    pub fn with_gather(mut self, longest: Duration) -> Self {
        self.gather = MediaTime::from_duration(longest, ClockRate::VIDEO).ticks();
        self
    }

    /// Goes on with other tracks or parameters: a new version of the map. Flush first: sound that was held is lost.
    ///
    /// # Errors
    /// As [`Self::new`]; nothing has changed then.
    pub fn replace_tracks(&mut self, tracks: &TrackSet) -> Result<(), TsError> {
        if tracks.is_empty() || tracks.len() > MAX_TRACKS {
            return Err(TsError::Tracks(tracks.len()));
        }
        if let Some(track) = tracks.iter().find(|track| !carries(track.codec())) {
            return Err(TsError::NotCarried(track.codec().label()));
        }
        let old = std::mem::take(&mut self.lanes);
        let counter = |pid| old.iter().find(|lane| lane.pid == pid).map_or(0, |lane| lane.counter);
        let lanes = tracks.iter().zip(FIRST_PID..).map(|(track, pid)| Lane {
            track: track.id,
            params: Arc::clone(&track.params),
            pid,
            counter: counter(pid),
            gathered: Vec::new(),
            from: 0,
            until: 0,
        });
        self.lanes = lanes.collect();
        let video = |lane: &Lane| lane.params.codec().kind() == MediaKind::Video;
        self.clock_lane = self.lanes.iter().position(video).unwrap_or(0);
        self.version = (self.version + 1) & 31;
        self.last_tables = None;
        Ok(())
    }

    /// Does `unit` belong to the tables? If not, [`Self::replace_tracks`].
    pub fn fits(&self, unit: &AccessUnit) -> bool {
        self.lanes.iter().any(|lane| lane.fits(unit))
    }

    /// Begins whatever comes next with the tables, as every HLS segment does (RFC 8216 §3.2).
    pub const fn repeat_tables(&mut self) {
        self.last_tables = None;
    }

    /// Appends the packets of `unit` to `out`.
    ///
    /// # Errors
    /// [`TsError::Changed`] where it does not fit, [`TsError::Frame`] for sound that its framing cannot carry.
    pub fn write(&mut self, unit: &AccessUnit, out: &mut Vec<u8>) -> Result<(), TsError> {
        let index = self.lanes.iter().position(|lane| lane.fits(unit)).ok_or(TsError::Changed)?;
        let dts = self.time(unit.dts);
        if unit.is_video() {
            let pts = self.time(unit.pts);
            self.before(dts, unit.is_key(), out);
            let mut payload = std::mem::take(&mut self.scratch);
            payload.clear();
            unit.append_delimited_annex_b(&mut payload);
            self.write_pes(index, &payload, pts, dts, unit.is_key(), out);
            self.scratch = payload;
            return Ok(());
        }
        let Some(lane) = self.lanes.get_mut(index) else { return Err(TsError::Changed) };
        let held = !lane.gathered.is_empty();
        let strays = dts.abs_diff(lane.until) > GATHER_JITTER.unsigned_abs();
        if held && (strays || lane.gathered.len() + unit.payload.len() > MAX_GATHERED) {
            self.flush_lane(index, out);
        }
        let Some(lane) = self.lanes.get_mut(index) else { return Err(TsError::Changed) };
        lane.gather(unit, dts)?;
        if lane.until - lane.from >= self.gather {
            self.flush_lane(index, out);
        }
        Ok(())
    }

    /// Appends sound that is held.
    pub fn flush(&mut self, out: &mut Vec<u8>) {
        for index in 0..self.lanes.len() {
            self.flush_lane(index, out);
        }
    }

    fn flush_lane(&mut self, index: usize, out: &mut Vec<u8>) {
        let Some(lane) = self.lanes.get_mut(index).filter(|lane| !lane.gathered.is_empty()) else { return };
        let (from, mut payload) = (lane.from, std::mem::take(&mut lane.gathered));
        self.before(from, false, out);
        self.write_pes(index, &payload, from, from, false, out);
        payload.clear();
        if let Some(lane) = self.lanes.get_mut(index) {
            // The allocation serves again.
            lane.gathered = payload;
        }
    }

    /// Tables and clocks that are due at `dts`.
    fn before(&mut self, dts: i64, key: bool, out: &mut Vec<u8>) {
        if key || self.last_tables.is_none_or(|last| dts.saturating_sub(last) >= TABLES_EVERY) {
            self.last_tables = Some(dts);
            self.write_tables(out);
        }
        let Some(lane) = self.lanes.get(self.clock_lane) else { return };
        if let Some(mut last) = self.last_clock {
            last = last.max(dts.saturating_sub(MOST_CLOCKS * CLOCK_EVERY));
            while dts.saturating_sub(last) > CLOCK_EVERY {
                last += CLOCK_EVERY;
                packet::write_clock(out, lane.pid, lane.counter, wrapped(last - LEAD));
                self.last_clock = Some(last);
            }
        }
    }

    pub(super) fn write_tables(&mut self, out: &mut Vec<u8>) {
        let [pat, map] = &mut self.counters;
        packet::write(out, 0, pat, Adaptation::default(), &psi::write_pat(MAP_PID));
        let table = ProgramMap {
            version: self.version,
            clock_pid: self.lanes.get(self.clock_lane).map_or(FIRST_PID, |lane| lane.pid),
            entries: self.lanes.iter().map(Lane::entry).collect(),
        };
        packet::write(out, MAP_PID, map, Adaptation::default(), &psi::write_pmt(&table));
    }

    /// Is it one of those that [`Self::write_tables`] writes?
    pub(super) fn is_table(packet: &[u8; PACKET]) -> bool {
        Packet::parse(packet).is_some_and(|packet| matches!(packet.pid, 0 | MAP_PID))
    }

    fn write_pes(&mut self, index: usize, payload: &[u8], pts: i64, dts: i64, key: bool, out: &mut Vec<u8>) {
        // Sound that comes a little later than the picture does not turn the clock back.
        let clock = self.last_clock.map_or(dts, |last| last.max(dts));
        let carries_clock = index == self.clock_lane;
        if carries_clock {
            self.last_clock = Some(clock);
        }
        let Some(lane) = self.lanes.get_mut(index) else { return };
        let id = match &*lane.params {
            CodecParams::H264(_) | CodecParams::H265(_) => pes::VIDEO,
            CodecParams::Aac(_) | CodecParams::MpegAudio(_) => pes::AUDIO,
            // The rest of them is not written.
            _ => pes::PRIVATE,
        };
        let mut bytes = Vec::with_capacity(payload.len() + 19);
        pes::write(&mut bytes, id, payload.len(), wrapped(pts), wrapped(dts));
        bytes.extend_from_slice(payload);
        let first = Adaptation { clock: carries_clock.then(|| wrapped(clock - LEAD)), random_access: key };
        packet::write(out, lane.pid, &mut lane.counter, first, &bytes);
    }

    fn time(&self, time: MediaTime) -> i64 {
        time.rescale(ClockRate::VIDEO).minus(self.origin).ticks().max(0).saturating_add(START)
    }
}

/// The 33 bits that are written.
fn wrapped(ticks: i64) -> u64 {
    u64::try_from(ticks).unwrap_or(0) & CLOCK_MASK
}

impl Lane {
    fn fits(&self, unit: &AccessUnit) -> bool {
        self.track == unit.track && (Arc::ptr_eq(&self.params, &unit.params) || self.params == unit.params)
    }

    fn entry(&self) -> Entry {
        let (kind, descriptors) = match &*self.params {
            CodecParams::H264(_) => (stream_type::H264, Vec::new()),
            CodecParams::H265(_) => (stream_type::H265, Vec::new()),
            CodecParams::Aac(_) => (stream_type::ADTS, Vec::new()),
            CodecParams::MpegAudio(params) if params.rate.hz() >= 32_000 => (stream_type::MPEG1_AUDIO, Vec::new()),
            CodecParams::MpegAudio(_) => (stream_type::MPEG2_AUDIO, Vec::new()),
            CodecParams::Opus(params) => (stream_type::PRIVATE, opus::descriptors(params)),
            _ => (stream_type::PRIVATE, Vec::new()),
        };
        Entry { kind, pid: self.pid, descriptors }
    }

    fn gather(&mut self, unit: &AccessUnit, dts: i64) -> Result<(), TsError> {
        let length = unit.payload.len();
        let mut header = Vec::new();
        let (samples, rate) = match &*self.params {
            CodecParams::Aac(params) => {
                header.extend_from_slice(&params.adts_header(length).ok_or(TsError::Frame(length))?);
                (params.frame_samples(), params.rate())
            }
            CodecParams::Opus(_) => {
                opus::put_header(&mut header, length);
                let samples = opus_packet_samples(&unit.payload).map_err(|_broken| TsError::Frame(length))?;
                (samples, ClockRate::AUDIO_48K)
            }
            CodecParams::MpegAudio(params) => (u32::from(params.frame_samples), params.rate),
            _ => return Err(TsError::NotCarried(self.params.codec().label())),
        };
        if length > MAX_FRAME {
            return Err(TsError::Frame(length));
        }
        if self.gathered.is_empty() {
            (self.from, self.until) = (dts, dts);
        }
        self.gathered.extend_from_slice(&header);
        self.gathered.extend_from_slice(&unit.payload);
        self.until += MediaTime::new(i64::from(samples), rate).rescale(ClockRate::VIDEO).ticks();
        Ok(())
    }
}
