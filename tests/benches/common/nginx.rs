//! nginx with its RTMP module: what people use who need a plain RTMP relay, and so the yardstick.
//!
//! Belongs here: its configuration. Not here: what is measured (`load`).

use anyhow::{Context, Result};
use e2e::program::Program;
use e2e::wait::wait_for;
use std::fs;
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

/// Where Debian and Ubuntu put the module.
const MODULE: &str = "/usr/lib/nginx/modules/ngx_rtmp_module.so";

/// A running nginx with one worker. It ends with this.
#[derive(Debug)]
pub(crate) struct Nginx {
    pub(crate) program: Program,
    pub(crate) url: String,
}

impl Nginx {
    /// Starts it; `None` where it is not installed.
    ///
    /// # Errors
    /// Where it is, and does not come up.
    pub(crate) fn start(dir: &Path) -> Result<Option<Self>> {
        if !Path::new(MODULE).exists() {
            return Ok(None);
        }
        let dir = dir.canonicalize()?;
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let place = dir.to_str().context("a readable folder")?;
        // What an operator is told to write. It knows no TCP_NODELAY: Nagle's algorithm spares it packets and costs delay.
        let config = format!(
            "load_module {MODULE};\ndaemon off;\nworker_processes 1;\npid {place}/nginx.pid;\nerror_log stderr warn;\n\
             events {{ worker_connections 4096; }}\n\
             rtmp {{ access_log off; server {{ listen 127.0.0.1:{port}; chunk_size 4096; \
             application live {{ live on; }} }} }}\n"
        );
        let file = dir.join("nginx.conf");
        fs::write(&file, config)?;
        let mut command = Command::new("nginx");
        command.arg("-p").arg(&dir).arg("-e").arg("stderr").arg("-c").arg(&file);
        let program = Program::start("nginx", &dir, &mut command)?;
        wait_for("nginx", Duration::from_secs(10), || Ok(TcpStream::connect(("127.0.0.1", port)).ok()))?;
        Ok(Some(Self { program, url: format!("rtmp://127.0.0.1:{port}/live/bench") }))
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        // Its worker outlives a master that is killed; told to end, it takes it along.
        if self.program.signal("TERM").is_ok() {
            let _ended = self.program.wait(Duration::from_secs(5));
        }
    }
}
