//! aiortc as a WHEP server.

use crate::browser::{judge_says, python};
use crate::program::Program;
use anyhow::{Context, Result};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// A running server.
#[derive(Debug)]
pub struct WhepServer {
    /// `HOST:PORT`; it serves `/ANYTHING/whep`.
    pub address: String,
    _program: Program,
    judge: PathBuf,
}

impl WhepServer {
    /// Starts one with these arguments.
    ///
    /// # Errors
    /// Where it does not come up.
    pub fn start(dir: &Path, arguments: &[&str]) -> Result<Self> {
        let mut command = Command::new(python());
        command.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("support/whep_server.py")).args(arguments);
        let program = Program::start("aiortc", dir, &mut command)?;
        let judge = dir.join("aiortc.out");
        let ready = judge_says(&judge, "ready", Duration::from_secs(30))?;
        let url = ready["url"].as_str().and_then(|u| u.strip_prefix("http://")?.strip_suffix("/cam/whep"));
        Ok(Self { address: url.context("no address")?.to_owned(), _program: program, judge })
    }

    /// Waits for an event of this name.
    ///
    /// # Errors
    /// Where it does not come.
    pub fn says(&self, event: &str, limit: Duration) -> Result<Value> {
        judge_says(&self.judge, event, limit)
    }
}
