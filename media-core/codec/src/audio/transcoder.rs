//! The transcoder: intake, timeline, outlet.
//!
//! Belongs here: the order of things for one unit. Not here: decoding (`intake`), time (`timeline`), encoding (`outlet`).

use super::intake::Intake;
use super::outlet::Outlet;
use super::timeline::{CLOCK, Stamp, Step, Timeline};
use super::{TranscodeConfig, TranscodeStats};
use crate::CodecError;
use media::{AccessUnit, ClockRate, Codec, CodecParams, MediaTime, UnitKind};
use std::sync::Arc;

/// Turns the units of one sound track into units of another codec, 48 kHz stereo.
///
/// Times are exact: the first unit out carries the first unit's own time (what decoder, resampler and encoder hold back is taken
/// off); from there they rise by one frame. Lost packets are concealed where the codec can, gaps up to a second are silence, longer
/// ones begin anew at the new time after the rest of the old stretch was given out. Parameters, and even the codec, may change at
/// any unit.
pub struct SoundTranscoder {
    config: TranscodeConfig,
    intake: Option<Intake>,
    outlet: Outlet,
    params: Arc<CodecParams>,
    timeline: Timeline,
    pcm: Vec<f32>,
    block: Vec<f32>,
}

impl SoundTranscoder {
    /// A transcoder to `codec` that has seen nothing.
    ///
    /// # Errors
    /// [`CodecError::WrongCodec`] for what is no sound, [`CodecError`] in a build without that encoder, or for an impossible bitrate.
    pub fn new(codec: Codec, config: TranscodeConfig) -> Result<Self, CodecError> {
        let outlet = Outlet::new(codec, config)?;
        Ok(Self {
            config,
            intake: None,
            params: Arc::new(outlet.params()),
            timeline: Timeline::new(outlet.frame(), outlet.delay()),
            outlet,
            pcm: Vec::new(),
            block: Vec::new(),
        })
    }

    /// What the result decodes with, known before the first unit.
    pub const fn params(&self) -> &Arc<CodecParams> {
        &self.params
    }

    /// The clock of the result's times: 48 kHz.
    pub const fn clock(&self) -> ClockRate {
        CLOCK
    }

    /// What was done so far.
    pub const fn stats(&self) -> TranscodeStats {
        self.timeline.stats
    }

    /// Takes one unit, answers the units that are ready: none, one or two of them, more after a gap.
    ///
    /// # Errors
    /// [`CodecError::WrongCodec`] for what is no sound, [`CodecError::Unsupported`] for sound that no decoder here takes,
    /// [`CodecError`] where the encoder fails. A damaged unit is not an error: something takes its place and it is counted.
    pub fn push(&mut self, unit: &AccessUnit) -> Result<Vec<AccessUnit>, CodecError> {
        let (mut intake, fresh) = match self.intake.take().filter(|intake| intake.takes(&unit.params)) {
            Some(intake) => (intake, false),
            None => (Intake::new(&unit.params)?, true),
        };
        let outcome = self.push_through(&mut intake, fresh, unit);
        self.intake = Some(intake);
        outcome
    }

    fn push_through(
        &mut self,
        intake: &mut Intake,
        fresh: bool,
        unit: &AccessUnit,
    ) -> Result<Vec<AccessUnit>, CodecError> {
        let mut units = Vec::new();
        self.timeline.stats.units_in += 1;
        // How far a decoder trails shows with its first unit. From then on what was lost must be concealed before the next is decoded.
        if fresh {
            self.decode(intake, unit)?;
        }
        let own = unit.pts.rescale(CLOCK).ticks();
        let pts = own.saturating_sub(intake.behind());
        let mut trim = 0;
        match self.timeline.step(pts) {
            Step::Start => self.timeline.anchor(pts),
            Step::Continue => {}
            Step::Trim(frames) => trim = frames,
            Step::Fill(frames) => {
                intake.conceal(frames, unit, &mut self.pcm);
                self.timeline.take(&self.pcm);
                self.drain(&mut units)?;
            }
            Step::Break => {
                self.timeline.flush();
                self.drain(&mut units)?;
                if !fresh {
                    intake.restart()?;
                }
                self.timeline.anchor(pts);
            }
        }
        self.timeline.captured(own, unit.captured);
        if !fresh {
            self.decode(intake, unit)?;
        }
        intake.give(&mut self.pcm)?;
        let trim = trim.min(self.pcm.len() / 2);
        self.timeline.stats.trimmed += trim as u64;
        self.timeline.take(self.pcm.get(trim * 2..).unwrap_or_default());
        self.drain(&mut units)?;
        Ok(units)
    }

    fn decode(&mut self, intake: &mut Intake, unit: &AccessUnit) -> Result<(), CodecError> {
        self.timeline.stats.damaged += u64::from(!intake.decode(unit)?);
        Ok(())
    }

    /// The end: answers what is still inside.
    ///
    /// # Errors
    /// [`CodecError`] where the encoder fails.
    pub fn finish(mut self) -> Result<Vec<AccessUnit>, CodecError> {
        let mut units = Vec::new();
        self.timeline.flush();
        self.drain(&mut units)?;
        Ok(units)
    }

    fn drain(&mut self, units: &mut Vec<AccessUnit>) -> Result<(), CodecError> {
        while let Some(stamp) = self.timeline.block(&mut self.block) {
            let payload = self.outlet.encode(&self.block)?;
            if let Some(Stamp { pts, captured }) = stamp {
                units.push(AccessUnit {
                    track: self.config.track,
                    dts: pts,
                    pts,
                    duration: Some(MediaTime::new(i64::try_from(self.outlet.frame()).unwrap_or(0), CLOCK)),
                    kind: UnitKind::Audio,
                    captured,
                    params: Arc::clone(&self.params),
                    payload,
                });
            }
        }
        Ok(())
    }
}

impl std::fmt::Debug for SoundTranscoder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SoundTranscoder {:?} {:?}", self.config, self.timeline.stats)
    }
}
