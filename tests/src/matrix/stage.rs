//! A relay with one stream on it, and what its API says of tracks that somebody does not get.
//!
//! Belongs here: how each kind of stream is published. Not here: who listens (`listener`).

use super::PATIENCE;
use crate::enhanced_rtmp::recode;
use crate::patient::{Patient, Phone};
use crate::program::Program;
use crate::relay::{EVERYTHING, Relay};
use crate::wait::wait_for;
use anyhow::Result;
use serde_json::Value;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// The path of the stream.
pub(super) const PATH: &str = "stream";

/// How a stream gets into the relay; options are those of ffmpeg.
#[derive(Debug)]
pub enum Source {
    /// By RTMP.
    Rtmp(&'static [&'static str]),
    /// By RTSP.
    Rtsp(&'static [&'static str]),
    /// By SRT.
    Srt(&'static [&'static str]),
    /// By Enhanced RTMP, from these encoders of FFmpeg 8 for picture and sound.
    Enhanced(&'static str, &'static str),
    /// By RTMP, the sound from this file in `support`.
    Recorded(&'static str),
}

/// The stream and the relay.
#[derive(Debug)]
pub(super) struct Stage {
    pub(super) relay: Relay,
    pub(super) dir: PathBuf,
    _phone: Patient,
    _recoder: Option<Program>,
}

impl Stage {
    pub(super) fn open(dir: &Path, source: &Source) -> Result<Self> {
        let relay = Relay::start(dir, EVERYTHING)?;
        let mut phone = Phone { size: (320, 240), ..Phone::default() };
        let (phone, recoder) = match source {
            Source::Rtmp(options) => (Patient::push_as("phone", dir, &relay.rtmp(PATH)?, &phone, options)?, None),
            Source::Rtsp(options) => {
                (Patient::push_rtsp("phone", dir, &relay.rtsp(PATH)?, "tcp", &phone, options)?, None)
            }
            Source::Srt(options) => {
                (Patient::push_srt("phone", dir, &relay.srt(&format!("publish:{PATH}"))?, &phone, options)?, None)
            }
            Source::Enhanced(video, audio) => {
                let raw = relay.rtmp("raw")?;
                let phone = Patient::push("phone", dir, &raw, &phone)?;
                relay.path_ready("raw")?;
                (phone, Some(recode(dir, &raw, &relay.rtmp(PATH)?, video, audio)?))
            }
            Source::Recorded(file) => {
                phone.recorded = Some(Path::new(env!("CARGO_MANIFEST_DIR")).join("support").join(file));
                phone.sound = "copy";
                (Patient::push("phone", dir, &relay.rtmp(PATH)?, &phone)?, None)
            }
        };
        relay.path_until(PATH, |path| path["tracks"].as_array().is_some_and(|tracks| tracks.len() == 2))?;
        Ok(Self { relay, dir: dir.to_owned(), _phone: phone, _recoder: recoder })
    }

    /// Waits until it is `over`; which tracks which kinds of readers were without meanwhile, by the API: codec and kind of reader.
    pub(super) fn watch(&self, mut over: impl FnMut() -> Result<bool>) -> Result<BTreeSet<(String, String)>> {
        let mut told = BTreeSet::new();
        wait_for("the listeners", PATIENCE, || {
            let paths = self.relay.paths()?;
            // Who gets a rendition of the sound is a reader of that.
            for skipped in paths.iter().filter_map(|path| path["skippedTracks"].as_array()).flatten() {
                let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
                told.insert((text(&skipped["codec"]), text(&skipped["reader"]["type"])));
            }
            Ok(over()?.then_some(()))
        })?;
        Ok(told)
    }
}
