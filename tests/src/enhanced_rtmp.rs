//! FFmpeg's newest RTMP on both sides of the relay: it publishes what no phone here can encode, and pulls it back.
//!
//! Not here: which codec goes where (`tests/`), the encoders themselves (`support/enhanced_rtmp.py`).

use crate::browser::{judge_says, python};
use crate::program::Program;
use anyhow::Result;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

fn start(name: &str, dir: &Path, arguments: &[&str]) -> Result<Program> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("support/enhanced_rtmp.py");
    Program::start(name, dir, Command::new(python()).arg(script).args(arguments))
}

/// Plays `source`, encodes it with these FFmpeg encoders and publishes it to `target`, for as long as the source lasts.
///
/// # Errors
/// Where nothing was published in time.
pub fn recode(dir: &Path, source: &str, target: &str, video: &str, audio: &str) -> Result<Program> {
    let program = start("recoder", dir, &["recode", source, target, video, audio])?;
    judge_says(&dir.join("recoder.out"), "publishing", Duration::from_secs(30))?;
    Ok(program)
}

/// Pulls `seconds` of `source` and decodes them into `file`, naming these FourCCs. Says `pulled` and the codecs in the end.
///
/// # Errors
/// Where it cannot be started.
pub fn pull(name: &str, dir: &Path, source: &str, seconds: u32, file: &Path, four_ccs: &str) -> Result<Program> {
    start(name, dir, &["pull", source, &seconds.to_string(), &file.to_string_lossy(), four_ccs])
}
