//! FFmpeg as a stranger: it pulls, probes and decodes.

use crate::program::{Program, run};
use anyhow::{Context, Result};
use serde_json::Value;
use std::path::Path;
use std::process::Command;

/// `ffmpeg` with little to say.
pub fn ffmpeg() -> Command {
    let mut command = Command::new("ffmpeg");
    command.args(["-hide_banner", "-loglevel", "warning", "-nostdin", "-y"]);
    command
}

/// Pulls `seconds` of `url` into `file`, as it comes.
///
/// # Errors
/// Where ffmpeg cannot be started.
pub fn pull(name: &str, dir: &Path, url: &str, seconds: f64, file: &Path) -> Result<Program> {
    let seconds = format!("{seconds}");
    let mut command = ffmpeg();
    command.args(["-rw_timeout", "30000000", "-i", url, "-t", &seconds, "-c", "copy"]).arg(file);
    Program::start(name, dir, &mut command)
}

/// Pulls `seconds` of `url` by RTSP, over `transport` (`tcp` or `udp`), into `file`, as it comes.
///
/// FFmpeg's parser loses the first picture's time, because packets by RTP have no place in a file, and writes zero. Which it is, as the
/// answer to PLAY says; so the times of all others must not be moved (`-copyts`).
///
/// # Errors
/// Where ffmpeg cannot be started.
pub fn pull_rtsp(name: &str, dir: &Path, url: &str, transport: &str, seconds: f64, file: &Path) -> Result<Program> {
    let seconds = format!("{seconds}");
    let mut command = ffmpeg();
    command.args(["-rtsp_transport", transport, "-timeout", "30000000", "-i", url, "-t", &seconds]);
    Program::start(name, dir, command.args(["-copyts", "-c", "copy"]).arg(file))
}

/// `ffprobe -show_streams -show_packets` of `file` as JSON.
///
/// # Errors
/// Where ffprobe does not understand it.
pub fn probe(file: &Path) -> Result<Value> {
    let mut command = Command::new("ffprobe");
    command.args(["-v", "error", "-of", "json", "-show_streams", "-show_packets"]).arg(file);
    let output = run(&mut command)?;
    serde_json::from_slice(&output).context("ffprobe's JSON")
}

/// The sizes of `file`'s decoded pictures, as `WIDTH,HEIGHT`, in the order they change.
///
/// # Errors
/// Where ffprobe does not understand it.
pub fn picture_sizes(file: &Path) -> Result<Vec<String>> {
    let mut command = Command::new("ffprobe");
    command.args(["-v", "error", "-select_streams", "v:0", "-show_entries", "frame=width,height", "-of", "csv=p=0"]);
    let text = String::from_utf8(run(command.arg(file))?)?;
    // Side data of a picture is a line of its own, empty here.
    let lines = text.lines().map(|line| line.trim_matches(',')).filter(|line| !line.is_empty());
    let mut sizes: Vec<String> = lines.map(str::to_owned).collect();
    sizes.dedup();
    Ok(sizes)
}
