//! hls.js in a Chromium without a window.
//!
//! Not here: what it plays, and what is expected of it (`tests/`).

use crate::program::Program;
use crate::wait::wait_for;
use anyhow::{Context, Result, bail};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// A page that plays a playlist.
#[derive(Debug)]
pub struct Player {
    _program: Program,
    log: PathBuf,
}

/// The address of a page in `dir` that plays `url`, and reports after so many `samples`, two a second.
///
/// # Errors
/// Where hls.js cannot be had.
pub fn page(dir: &Path, url: &str, samples: u32) -> Result<String> {
    let support = Path::new(env!("CARGO_MANIFEST_DIR")).join("support");
    let judges = std::env::var_os("VISAVIS_JUDGES").map_or_else(|| support.join("judges"), PathBuf::from);
    let library = judges.join("node_modules/hls.js/dist/hls.min.js");
    for file in [&support.join("hls_player.html"), &support.join("clock_card.js"), &library] {
        let name = file.file_name().context("no file")?;
        std::fs::copy(file, dir.join(name)).with_context(|| file.display().to_string())?;
    }
    let page = dir.join("hls_player.html").canonicalize()?;
    Ok(format!("file://{}?src={url}&samples={samples}", page.display()))
}

impl Player {
    /// Plays `url`, and reports after so many `samples`, two a second.
    ///
    /// # Errors
    /// Where Chromium or hls.js cannot be had.
    pub fn open(dir: &Path, url: &str, samples: u32) -> Result<Self> {
        let page = page(dir, url, samples)?;
        let mut command = Command::new("chromium");
        command.args(["--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run", "--enable-logging=stderr"]);
        command.arg("--autoplay-policy=no-user-gesture-required");
        command.arg(format!("--user-data-dir={}", dir.join("player-profile").display()));
        command.arg(page);
        let program = Program::start("chromium", dir, &mut command)?;
        Ok(Self { _program: program, log: dir.join("chromium.err") })
    }

    /// Waits for a line on the page's console that begins with `HLS word`; its detail.
    ///
    /// # Errors
    /// Where it does not come in time, or hls.js gave up.
    pub fn said(&self, word: &str, limit: Duration) -> Result<Value> {
        wait_for(&format!("the page to say {word}"), limit, || {
            let log = String::from_utf8_lossy(&std::fs::read(&self.log)?).into_owned();
            let detail = |word: &str| {
                let (_, rest) = log.split_once(&format!("\"HLS {word} "))?;
                rest.split_once("\", source:").map(|(detail, _)| detail.to_owned())
            };
            match (detail(word), detail("failed")) {
                (Some(detail), _) => Ok(Some(serde_json::from_str(&detail)?)),
                (None, Some(error)) => bail!("hls.js failed: {error}"),
                (None, None) => Ok(None),
            }
        })
    }
}
