//! From units to parts of a window.
//!
//! Belongs here: which tracks are carried, where the stream breaks, what time of day a segment begins. Not here: waiting
//! (`muxer`), where parts and segments end (`proto::hls::Cutter`), boxes and packets (`writer`, `container`).

use super::HlsConfig;
use super::writer::{WriteError, Writer, carries};
use bytes::Bytes;
use media::{AccessUnit, ClockRate, MediaKind, MediaTime, Track, TrackId, TrackSet, UnitKind};
use proto::hls::{Cut, Cutter, Packaging, Seam, Seed, VideoTraits, Window, WindowConfig};
use std::sync::Arc;

/// The first unit gets this time, so that what is a little older, sound above all, keeps a positive one.
const FIRST_TIME: i64 = 10_000_000;
/// Pictures that are this much late do not come within the GOP: the publisher was away.
const BREAK: i64 = 1_000_000;
/// Without a picture for this long, sound goes on alone.
const STALL: i64 = 400_000;
/// A picture that was announced is waited for this long before sound starts alone.
const PICTURE_WAIT: i64 = 2_000_000;
/// The time of day is set anew where it has run away from the stream's by more than this.
const DATE_DRIFT: u64 = 1_000_000;
/// Muxers of one path that begin this far apart differ in their first discontinuity sequence number: less than the grace of a
/// publisher, without whose end no second muxer begins.
const DISCONTINUITY_STEP: u64 = 8_000_000;
/// A day has more steps, but a player that slept so long begins anew anyway.
const DISCONTINUITIES: u64 = 8192;
/// Bytes of one part; the boxes can take four times as much.
const MAX_PART: usize = 16 << 20;

/// Makes parts.
#[derive(Debug)]
pub(super) struct Segmenter {
    config: Arc<HlsConfig>,
    seed: Seed,
    packaging: Packaging,
    /// What is announced; carried from the next start point on.
    announced: TrackSet,
    running: Option<Running>,
    first_sound: Option<i64>,
}

#[derive(Debug)]
struct Running {
    tracks: TrackSet,
    lead: TrackId,
    writer: Writer,
    cutter: Cutter,
    origin: MediaTime,
    window: Window,
    /// End of the last part, µs of the writer's time.
    edge: Option<i64>,
    /// End of what the leading track has given.
    lead_end: Option<i64>,
    /// A time of the writer, and its time of day in µs since 1970.
    anchor: (i64, u64),
    segment_target: u64,
    segment_max: usize,
}

impl Segmenter {
    pub(super) fn new(config: Arc<HlsConfig>, seed: Seed, packaging: Packaging) -> Self {
        Self { config, seed, packaging, announced: TrackSet::default(), running: None, first_sound: None }
    }

    /// The window, as soon as there is one.
    pub(super) fn window(&self) -> Option<&Window> {
        self.running.as_ref().map(|r| &r.window)
    }

    /// RFC 6381 names of what is carried, and the picture.
    pub(super) fn traits(&self) -> Option<(Vec<String>, Option<VideoTraits>)> {
        let running = self.running.as_ref()?;
        let codecs = running.tracks.iter().map(|t| t.params.codec_string()).collect();
        let video = running.tracks.first(MediaKind::Video).and_then(|track| {
            let (width, height) = track.params.size()?;
            let measured = || running.cutter.interval().map(|micros| 1e6 / micros.max(1) as f64);
            Some(VideoTraits { width, height, frame_rate: track.params.frame_rate().or_else(measured) })
        });
        Some((codecs, video))
    }

    /// Tracks were announced, or changed.
    pub(super) fn announce(&mut self, tracks: &TrackSet) {
        self.announced = carried(tracks, self.packaging);
    }

    /// Takes a unit whose time of day is `date`, µs since 1970; true if there is something new to serve.
    pub(super) fn push(&mut self, unit: &AccessUnit, date: u64) -> Result<bool, WriteError> {
        self.learn(unit);
        let starts = unit.kind != UnitKind::Delta;
        let leads = |tracks: &TrackSet| lead(tracks).is_some_and(|t| t.id == unit.track);
        match &mut self.running {
            None => {
                let tracks = if starts && leads(&self.announced) {
                    Some(self.announced.clone())
                } else {
                    self.sound_alone(unit)
                };
                let Some(tracks) = tracks else { return Ok(false) };
                let mut running = Running::start(&self.config, self.seed, self.packaging, tracks, unit.dts, date)?;
                let new = running.push(unit, date)?;
                self.running = Some(running);
                Ok(new)
            }
            Some(running) => {
                let changed = running.tracks != self.announced && starts && leads(&self.announced);
                let mut new = false;
                if changed {
                    new = running.change(&self.announced, unit.dts, date)?;
                }
                if !running.writer.fits(unit) {
                    // Of a track or with parameters that start later.
                    return Ok(new);
                }
                Ok(running.push(unit, date)? || new)
            }
        }
    }

    /// Makes a segment of what there is of the first GOP, if that is well longer than a segment need be: with another key frame
    /// it would be complete already.
    pub(super) fn present_early(&mut self) {
        let Some(running) = &mut self.running else { return };
        let enough = (running.segment_target / 2 * 3).max(running.window.part_target() * 4);
        if !running.window.is_presentable() && running.window.open_duration() >= enough {
            let date = running.window.edge_date();
            running.writer.begin_segment();
            running.window.begin_segment(Seam::Continues, None, date);
        }
    }

    /// Has the segment in the making lasted twice as long as one need last? Its end then waits for a key frame that may have to
    /// be asked for.
    pub(super) fn is_overdue(&self) -> bool {
        self.running.as_ref().is_some_and(|r| r.window.open_duration() >= r.segment_target.saturating_mul(2))
    }

    /// The stream is over.
    pub(super) fn end(&mut self) {
        if let Some(running) = &mut self.running {
            // What cannot be written is missed by nobody now.
            let _written = running.cut_part();
            running.window.end();
        }
    }

    /// A unit may know better than the announcement what its track decodes with.
    fn learn(&mut self, unit: &AccessUnit) {
        let stale = |t: &Track| t.id == unit.track && !Arc::ptr_eq(&t.params, &unit.params) && t.params != unit.params;
        if self.announced.iter().any(stale) {
            let learnt = self.announced.iter().cloned().map(|mut track| {
                if track.id == unit.track {
                    track.params = Arc::clone(&unit.params);
                }
                track
            });
            self.announced = learnt.collect();
        }
    }

    /// Sound alone, where the announced picture does not come.
    fn sound_alone(&mut self, unit: &AccessUnit) -> Option<TrackSet> {
        if unit.kind != UnitKind::Audio {
            return None;
        }
        let at = unit.dts.micros();
        let since = *self.first_sound.get_or_insert(at);
        let sound = || self.announced.iter().filter(|t| t.id == unit.track).cloned().collect::<TrackSet>();
        (at.saturating_sub(since) > PICTURE_WAIT).then(sound).filter(|tracks| !tracks.is_empty())
    }
}

impl Running {
    fn start(
        config: &HlsConfig,
        seed: Seed,
        packaging: Packaging,
        tracks: TrackSet,
        first: MediaTime,
        date: u64,
    ) -> Result<Self, WriteError> {
        let micros = |d: std::time::Duration| u64::try_from(d.as_micros()).unwrap_or(u64::MAX / 4);
        let (part, segment_target) = (micros(config.part_duration), micros(config.segment_duration).max(1));
        let origin = first.minus(MediaTime::new(FIRST_TIME, ClockRate::MICRO));
        let writer = Writer::new(packaging, &tracks, origin)?;
        let cutter = Cutter::new(part, segment_target);
        let window_config = WindowConfig {
            seed,
            // No faster than segments can be made, so that the next muxer's numbers are above this one's.
            first_msn: date / segment_target,
            first_discontinuity: date / DISCONTINUITY_STEP % DISCONTINUITIES,
            segments: config.segment_count,
            segment_target,
            // Four of the largest; ordinary streams stay far below.
            max_bytes: config.segment_max_size.saturating_mul(4),
        };
        let window = Window::new(window_config, writer.init(), cutter.target(), date);
        let lead = lead(&tracks).map_or(TrackId(0), |t| t.id);
        let anchor = (FIRST_TIME, date);
        let segment_max = config.segment_max_size;
        let (edge, lead_end) = (None, None);
        Ok(Self { tracks, lead, writer, cutter, origin, window, edge, lead_end, anchor, segment_target, segment_max })
    }

    /// Goes on with other tracks or parameters, in a new segment.
    fn change(&mut self, tracks: &TrackSet, dts: MediaTime, date: u64) -> Result<bool, WriteError> {
        let new = self.cut_part()?;
        self.writer.replace_tracks(tracks)?;
        self.tracks = tracks.clone();
        self.lead = lead(tracks).map_or(TrackId(0), |t| t.id);
        let at = self.time(dts);
        self.cutter.restart();
        self.begin(Seam::Breaks, Some(self.writer.init()), at, date);
        Ok(new)
    }

    fn push(&mut self, unit: &AccessUnit, date: u64) -> Result<bool, WriteError> {
        let at = self.time(unit.dts);
        let mut new =
            if unit.track == self.lead { self.before_lead(unit, at, date)? } else { self.before_sound(at, date)? };
        let pending = self.writer.pending_bytes().saturating_add(unit.payload.len());
        if pending > MAX_PART {
            new |= self.cut_part()?;
        }
        if self.window.open_bytes().saturating_add(pending) > self.segment_max && self.window.open_duration() > 0 {
            new |= self.cut_part()?;
            self.begin(Seam::Continues, None, at, date);
        }
        self.writer.push(unit)?;
        if unit.track == self.lead {
            let pending = self.pending();
            self.lead_end = Some(at.saturating_add(unit.duration.map_or(0, MediaTime::micros)));
            if self.cutter.is_full(pending) {
                new |= self.cut_part()?;
            }
        }
        Ok(new)
    }

    fn before_lead(&mut self, unit: &AccessUnit, at: i64, date: u64) -> Result<bool, WriteError> {
        let starts = unit.kind != UnitKind::Delta;
        let heard = self.lead_end.max(self.edge);
        if starts && heard.is_some_and(|end| at.saturating_sub(end) > BREAK) {
            let new = self.cut_part()?;
            self.cutter.restart();
            self.begin(Seam::Breaks, None, at, date);
            return Ok(new);
        }
        match self.cutter.before(starts, at, self.pending(), self.window.open_duration()) {
            Cut::No => Ok(false),
            Cut::Part => self.cut_part(),
            Cut::Segment => {
                // Sound that waits alone goes into the next segment with its picture.
                let new = if self.pending() > 0 { self.cut_part()? } else { false };
                self.begin(Seam::Continues, None, at, date);
                Ok(new)
            }
        }
    }

    /// Sound does not wait for pictures that do not come.
    fn before_sound(&mut self, at: i64, date: u64) -> Result<bool, WriteError> {
        let pending = i64::try_from(self.pending()).unwrap_or(i64::MAX);
        let Some(edge) = self.edge.filter(|edge| at.saturating_sub(edge.saturating_add(pending)) > STALL) else {
            return Ok(false);
        };
        if pending > 0 {
            return self.cut_part();
        }
        let Some(fragment) = self.writer.cut()? else { return Ok(false) };
        if self.window.open_duration() >= self.segment_target {
            self.begin(Seam::Continues, None, edge, date);
        }
        let length = self.cutter.target();
        self.window.push_part(fragment.bytes, length, false);
        self.edge = Some(edge.saturating_add(i64::try_from(length).unwrap_or(0)));
        Ok(true)
    }

    /// Cuts what was gathered; true if that was something.
    fn cut_part(&mut self) -> Result<bool, WriteError> {
        let alone = self.pending() == 0;
        let Some(fragment) = self.writer.cut()? else { return Ok(false) };
        let (start, length) = (fragment.start.micros(), fragment.duration.micros());
        let end = start.saturating_add(length);
        // Fragments meet exactly on the leading track's clock; in microseconds they may miss by one.
        let from = self.edge.filter(|edge| !alone && start.saturating_sub(*edge) < STALL).unwrap_or(start);
        let least = 1_000;
        let duration = u64::try_from(end.saturating_sub(from)).unwrap_or(0).max(least);
        self.window.raise_part_target(self.cutter.target());
        self.window.push_part(fragment.bytes, duration, fragment.independent);
        self.edge = Some(if alone { self.edge.unwrap_or(start) } else { end.max(from) });
        Ok(true)
    }

    /// Begins a segment with the unit at `at`.
    fn begin(&mut self, seam: Seam, init: Option<Bytes>, at: i64, date: u64) {
        let since = at.saturating_sub(self.anchor.0);
        let mapped = self.anchor.1.saturating_add_signed(since);
        if seam == Seam::Breaks {
            self.edge = None;
            self.lead_end = None;
        }
        let mapped = if seam == Seam::Breaks || mapped.abs_diff(date) > DATE_DRIFT {
            self.anchor = (at, date);
            date
        } else {
            mapped
        };
        self.writer.begin_segment();
        self.window.begin_segment(seam, init, mapped);
    }

    fn time(&self, time: MediaTime) -> i64 {
        time.rescale(ClockRate::MICRO).minus(self.origin).ticks()
    }

    fn pending(&self) -> u64 {
        u64::try_from(self.writer.pending_duration().micros()).unwrap_or(0)
    }
}

/// One picture and one sound, the first of each: what every player takes.
fn carried(tracks: &TrackSet, packaging: Packaging) -> TrackSet {
    let first = |kind| tracks.iter().find(|track| track.kind() == kind && carries(packaging, track.codec()));
    [MediaKind::Video, MediaKind::Audio].into_iter().filter_map(|kind| first(kind).cloned()).collect()
}

/// The track that decides where to cut: the picture, else the sound.
fn lead(tracks: &TrackSet) -> Option<&Track> {
    tracks.first(MediaKind::Video).or_else(|| tracks.first(MediaKind::Audio))
}
