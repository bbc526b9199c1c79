//! What a recording shows and says: the clock of each picture, the beeps, and how far apart they are.
//!
//! Everything is decoded by FFmpeg; only the card and the tone are read here.

use crate::ffmpeg::{ffmpeg, probe};
use crate::program::run;
use anyhow::{Context, Result, ensure};
use device::synthetic::{Burst, ClockReading, find_bursts, read_clock_luma};
use serde_json::Value;
use std::path::Path;

/// A decoded recording.
#[derive(Debug)]
pub struct Content {
    /// ffprobe's streams and packets.
    pub probe: Value,
    /// Time of each picture in seconds, and what its clock says.
    pub pictures: Vec<(f64, Option<ClockReading>)>,
    /// Beeps, their starts in the recording's seconds.
    pub bursts: Vec<Burst>,
}

const RATE: u32 = 48_000;

impl Content {
    /// Decodes `file`.
    ///
    /// # Errors
    /// Where FFmpeg cannot, or a stream is missing.
    pub fn read(file: &Path) -> Result<Self> {
        let probe = probe(file)?;
        let video = stream(&probe, "video").context("no picture")?;
        let side = |name: &str| video[name].as_u64().and_then(|n| usize::try_from(n).ok()).context("no size");
        let (width, height) = (side("width")?, side("height")?);
        let times = frame_times(file)?;
        let mut decode = ffmpeg();
        decode.arg("-i").arg(file).args([
            "-map",
            "0:v:0",
            "-vsync",
            "passthrough",
            "-f",
            "rawvideo",
            "-pix_fmt",
            "gray",
            "-",
        ]);
        let pixels = run(&mut decode)?;
        let pictures = pixels
            .chunks_exact(width * height)
            .zip(times)
            .map(|(luma, time)| (time, read_clock_luma(luma, width, height, width)))
            .collect();
        let bursts = bursts(file, &probe)?;
        Ok(Self { probe, pictures, bursts })
    }

    /// The codec names, picture first.
    pub fn codecs(&self) -> (&str, &str) {
        let name = |kind| stream(&self.probe, kind).and_then(|s| s["codec_name"].as_str()).unwrap_or("none");
        (name("video"), name("audio"))
    }

    /// A field of the stream of this kind.
    pub fn field(&self, kind: &str, name: &str) -> &Value {
        stream(&self.probe, kind).map_or(&Value::Null, |s| &s[name])
    }

    /// Checks that DTS rises strictly within each stream.
    ///
    /// # Errors
    /// Where it does not, with the place.
    pub fn dts_rises(&self) -> Result<()> {
        for index in 0..2 {
            let packets = self.probe["packets"].as_array().context("no packets")?;
            let dts: Vec<i64> =
                packets.iter().filter(|p| p["stream_index"] == index).filter_map(|p| p["dts"].as_i64()).collect();
            ensure!(dts.len() > 5, "stream {index} has {} packets", dts.len());
            for pair in dts.windows(2) {
                ensure!(pair[0] < pair[1], "stream {index}: DTS {} after {}", pair[1], pair[0]);
            }
        }
        Ok(())
    }

    /// Share of pictures whose clock could be read.
    pub fn readable(&self) -> f64 {
        let read = self.pictures.iter().filter(|(_, clock)| clock.is_some()).count();
        read as f64 / self.pictures.len().max(1) as f64
    }

    /// Sound minus picture in seconds, for every beep whose picture is here: positive where sound is late.
    pub fn offsets(&self) -> Vec<f64> {
        let marks = self.pictures.iter().filter(|(_, clock)| clock.is_some_and(|c| c.beep)).map(|(time, _)| *time);
        marks
            .filter_map(|mark| {
                let nearest = self.bursts.iter().map(|b| b.start - mark).min_by(|a, b| a.abs().total_cmp(&b.abs()))?;
                (nearest.abs() < 0.4).then_some(nearest)
            })
            .collect()
    }

    /// Checks that every beep is within `limit` seconds of its picture, is 1 kHz, and that there are at least `count`.
    ///
    /// # Errors
    /// Where not, with the numbers.
    pub fn in_sync(&self, count: usize, limit: f64) -> Result<()> {
        let offsets = self.offsets();
        ensure!(
            offsets.len() >= count,
            "{} beeps with their picture, {count} wanted: {:?}",
            offsets.len(),
            self.bursts
        );
        for offset in &offsets {
            ensure!(offset.abs() <= limit, "a beep is {offset:+.3} s from its picture: {offsets:?}");
        }
        for burst in self.whole_bursts() {
            ensure!((burst.frequency - 1000.0).abs() < 15.0, "a beep of {:.0} Hz", burst.frequency);
        }
        Ok(())
    }

    /// The beeps that are not cut off by the beginning of the recording.
    fn whole_bursts(&self) -> impl Iterator<Item = &Burst> {
        let first = self.pictures.first().map_or(0.0, |(time, _)| *time);
        self.bursts.iter().filter(move |b| b.start > first + 0.2 && b.length > 0.05)
    }

    /// Checks that the clocks run forwards without a gap of more than `limit` frames.
    ///
    /// # Errors
    /// Where not, with the numbers.
    pub fn clock_runs(&self, limit: u32) -> Result<()> {
        let frames: Vec<u32> = self.pictures.iter().filter_map(|(_, clock)| clock.map(|c| c.frame)).collect();
        ensure!(frames.len() > 10, "{} clocks read", frames.len());
        for pair in frames.windows(2) {
            let step = pair[1].wrapping_sub(pair[0]);
            ensure!((1..=limit).contains(&step), "frame {} after {}", pair[1], pair[0]);
        }
        Ok(())
    }
}

/// Sound and picture may be this far apart: what a viewer does not notice (ITU-R BT.1359).
pub const LIP_SYNC: f64 = 0.045;

/// Checks that `file` is the patient's stream, whole and in step for this many beeps.
///
/// # Errors
/// Where not, with the file and the numbers.
pub fn whole(file: &Path, codecs: (&str, &str), beeps: usize) -> Result<()> {
    judge(file, codecs, |content| content.in_sync(beeps, LIP_SYNC))
}

/// As [`whole`], in step as `in_step` finds.
///
/// # Errors
/// Where not, with the file and the numbers.
pub fn judge(file: &Path, codecs: (&str, &str), in_step: impl Fn(&Content) -> Result<()>) -> Result<()> {
    let check = || -> Result<()> {
        let content = Content::read(file)?;
        ensure!(content.codecs() == codecs, "{:?}", content.codecs());
        content.dts_rises()?;
        content.clock_runs(1)?;
        in_step(&content)?;
        ensure!(content.readable() > 0.99, "{} clocks are readable", content.readable());
        let mut clocks = content.pictures.iter().filter_map(|(_, clock)| *clock);
        ensure!(clocks.all(|clock| clock.stream == 7), "it is the patient's card");
        Ok(())
    };
    check().with_context(|| file.display().to_string())
}

/// The beeps in `file`, which holds sound and no picture.
///
/// # Errors
/// Where it cannot be read, or holds a picture or no sound.
pub fn sound_alone(file: &Path) -> Result<Vec<Burst>> {
    let probe = probe(file)?;
    let kinds: Vec<_> = probe["streams"].as_array().into_iter().flatten().map(|s| s["codec_type"].as_str()).collect();
    ensure!(kinds == [Some("audio")], "{}: {kinds:?}", file.display());
    bursts(file, &probe)
}

fn stream<'a>(probe: &'a Value, kind: &str) -> Option<&'a Value> {
    probe["streams"].as_array()?.iter().find(|s| s["codec_type"] == kind)
}

fn frame_times(file: &Path) -> Result<Vec<f64>> {
    let mut command = std::process::Command::new("ffprobe");
    command
        .args(["-v", "error", "-select_streams", "v:0", "-show_entries", "frame=pts_time", "-of", "csv=p=0"])
        .arg(file);
    let text = String::from_utf8(run(&mut command)?)?;
    Ok(text.lines().filter_map(|l| l.trim_matches(',').parse().ok()).collect())
}

/// The recording's sound from its own zero: what is missing at the start is silence, so that places are times.
fn bursts(file: &Path, probe: &Value) -> Result<Vec<Burst>> {
    if stream(probe, "audio").is_none() {
        return Ok(Vec::new());
    }
    let rate = RATE.to_string();
    let mut decode = ffmpeg();
    decode.args(["-copyts", "-i"]).arg(file);
    decode.args([
        "-map",
        "0:a:0",
        "-af",
        "aresample=async=1:first_pts=0",
        "-ac",
        "1",
        "-ar",
        &rate,
        "-f",
        "f32le",
        "-",
    ]);
    let bytes = run(&mut decode)?;
    let samples: Vec<f32> = bytes.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect();
    Ok(find_bursts(&samples, 1, RATE))
}
