//! GStreamer's RTSP server, in Python by the system's own interpreter: the distribution packs its bindings for no other.

use crate::program::Program;
use anyhow::Result;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

/// A running server.
#[derive(Debug)]
pub struct RtspServer {
    /// `HOST:PORT`.
    pub address: String,
    _program: Program,
}

impl RtspServer {
    /// Serves `pipeline`, whose payloaders are called `pay0` and on, at `/cam`. `options` are those of the script.
    ///
    /// # Errors
    /// Where it does not come up.
    pub fn start(dir: &Path, pipeline: &str, options: &[&str]) -> Result<Self> {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("support/rtsp_server.py");
        let mut command = Command::new("/usr/bin/python3");
        command.arg(script).arg(pipeline).args(options);
        let mut program = Program::start("rtsp_server", dir, &mut command)?;
        let port = program.first_line(Duration::from_secs(20))?;
        Ok(Self { address: format!("127.0.0.1:{port}"), _program: program })
    }
}
