//! VLC without a window, under a user of its own: it refuses to be root.
//!
//! Not here: what it plays, and what is expected of it (`tests/`).

use crate::program::Program;
use anyhow::{Context, Result};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// `nobody`, as which it runs where we are root.
const NOBODY: &str = "65534";

/// Plays `url` for so many `seconds` and writes what it got, as MPEG-TS, into the file that is answered.
///
/// # Errors
/// Where it cannot be started.
pub fn record(name: &str, dir: &Path, url: &str, seconds: u32) -> Result<(Program, PathBuf)> {
    let root = std::fs::metadata("/proc/self").context("/proc")?.uid() == 0;
    let mut command = Command::new(if root { "setpriv" } else { "env" });
    if root {
        command.args(["--reuid", NOBODY, "--regid", NOBODY, "--clear-groups", "env"]);
    }
    // It writes to its standard output, which we have opened: its user may write nowhere else.
    command.args(["HOME=/nonexistent", "cvlc", "-I", "dummy", "--no-color", "--no-interact", "--play-and-exit"]);
    command.args(["--run-time", &seconds.to_string(), "--sout", "#std{access=file,mux=ts,dst=-}", url, "vlc://quit"]);
    Ok((Program::start(name, dir, &mut command)?, dir.join(format!("{name}.out"))))
}
