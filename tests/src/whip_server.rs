//! aiortc as a WHIP server, and what it decoded.

use crate::browser::{judge_says, python};
use crate::program::Program;
use anyhow::{Context, Result, ensure};
use device::synthetic::{ClockReading, read_clock_luma};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// A running server that keeps what it decodes.
#[derive(Debug)]
pub struct WhipServer {
    /// `HOST:PORT`.
    pub address: String,
    _program: Program,
    judge: PathBuf,
    record: tempfile::TempDir,
}

impl WhipServer {
    /// Starts one with these arguments besides.
    ///
    /// # Errors
    /// Where it does not come up.
    pub fn start(dir: &Path, arguments: &[&str]) -> Result<Self> {
        let record = tempfile::tempdir()?;
        let mut command = Command::new(python());
        command.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("support/whip_server.py"));
        command.args(arguments).arg("--record").arg(record.path());
        let program = Program::start("aiortc", dir, &mut command)?;
        let judge = dir.join("aiortc.out");
        let ready = judge_says(&judge, "ready", Duration::from_secs(30))?;
        let url = ready["url"].as_str().and_then(|u| u.strip_prefix("http://")?.strip_suffix("/doctorStream/whip"));
        let address = url.context("no address")?.to_owned();
        Ok(Self { address, _program: program, judge, record })
    }

    /// Waits for an event of this name.
    ///
    /// # Errors
    /// Where it does not come.
    pub fn says(&self, event: &str, limit: Duration) -> Result<Value> {
        judge_says(&self.judge, event, limit)
    }

    /// What it decoded so far, of pictures of this size: the clock of every picture, and the sound at 48 kHz.
    ///
    /// # Errors
    /// Where there is none, or of another size.
    pub fn recorded(&self, size: (usize, usize)) -> Result<(Vec<Option<ClockReading>>, Vec<f32>)> {
        let first = self.says("video", Duration::from_secs(20))?;
        let side = |name: &str| first[name].as_u64().and_then(|n| usize::try_from(n).ok()).context("no size");
        let (width, height) = (side("width")?, side("height")?);
        ensure!((width, height) == size, "pictures of {width} by {height}");
        let luma = std::fs::read(self.record.path().join("pictures.y"))?;
        let clocks = luma.chunks_exact(width * height).map(|p| read_clock_luma(p, width, height, width)).collect();
        let sound = std::fs::read(self.record.path().join("sound.s16"))?;
        let sound = sound.chunks_exact(2).map(|s| f32::from(i16::from_le_bytes([s[0], s[1]])) / 32_768.0).collect();
        Ok((clocks, sound))
    }
}
