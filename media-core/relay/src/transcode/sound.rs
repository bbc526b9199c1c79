//! The sound of a rendition.
//!
//! Belongs here: whether it is passed through or made. Not here: decoding and encoding (`codec`), the rendition's life (`super`).

use super::SOUND;
use codec::{CodecError, SoundTranscoder, TranscodeConfig};
use hub::PathName;
use media::{AccessUnit, Codec, Track};
use std::sync::Arc;
use tracing::warn;

/// What turns the path's sound into the rendition's.
pub(super) struct SoundPart {
    /// The codec that is wanted; `None` for whatever the path has.
    wanted: Option<Codec>,
    config: TranscodeConfig,
    engine: Engine,
}

enum Engine {
    /// No sound seen yet, or none that can be made.
    Unknown,
    /// It is right already.
    Pass,
    Make(Box<SoundTranscoder>),
}

impl SoundPart {
    pub(super) const fn new(wanted: Option<Codec>, config: TranscodeConfig) -> Self {
        Self { wanted, config, engine: Engine::Unknown }
    }

    /// The rendition's track for the path's, its parameters known before its first packet.
    pub(super) fn track(&mut self, of: &Track, path: &PathName) -> Option<Track> {
        self.engine = match self.wanted {
            Some(wanted) if wanted != of.codec() => self.make(wanted, path),
            _ => Engine::Pass,
        };
        let (clock, params) = match &self.engine {
            Engine::Unknown => return None,
            Engine::Pass => (of.clock, Arc::clone(&of.params)),
            Engine::Make(transcoder) => (transcoder.clock(), Arc::clone(transcoder.params())),
        };
        Some(Track { id: SOUND, clock, params })
    }

    fn make(&self, wanted: Codec, path: &PathName) -> Engine {
        match SoundTranscoder::new(wanted, self.config) {
            Ok(transcoder) => Engine::Make(Box::new(transcoder)),
            Err(error) => {
                warn!(%path, %error, "this sound cannot be transcoded; pictures go on");
                Engine::Unknown
            }
        }
    }

    /// The rendition's units for one of the path's.
    pub(super) fn units(&mut self, unit: AccessUnit) -> Result<Vec<AccessUnit>, CodecError> {
        match &mut self.engine {
            Engine::Unknown => Ok(Vec::new()),
            Engine::Pass => Ok(vec![AccessUnit { track: SOUND, ..unit }]),
            Engine::Make(transcoder) => transcoder.push(&unit),
        }
    }
}
