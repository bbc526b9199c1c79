//! nginx as a cache in front of a server, with the configuration anybody would write.

use crate::program::Program;
use crate::wait::wait_for;
use anyhow::{Context, Result};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// A running nginx.
#[derive(Debug)]
pub struct Nginx {
    /// `HOST:PORT` it answers on.
    pub address: String,
    _program: Program,
    log: PathBuf,
}

impl Nginx {
    /// Starts one that caches what `origin` (`HOST:PORT`) allows to be cached, and nothing by rules of its own.
    ///
    /// # Errors
    /// Where it does not come up.
    pub fn cache(dir: &Path, origin: &str) -> Result<Self> {
        let home = dir.canonicalize()?.join("nginx");
        // What another run has cached would be hits of that one.
        if home.exists() {
            std::fs::remove_dir_all(&home)?;
        }
        std::fs::create_dir_all(&home)?;
        let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?.to_string();
        let place = home.display();
        // One process, so that it ends with the test.
        let config = format!(
            "daemon off; master_process off; pid {place}/pid; error_log {place}/error.log;\n\
             events {{}}\n\
             http {{\n\
             client_body_temp_path {place}/body; proxy_temp_path {place}/temp; fastcgi_temp_path {place}/fastcgi;\n\
             uwsgi_temp_path {place}/uwsgi; scgi_temp_path {place}/scgi;\n\
             log_format cache '$upstream_cache_status $uri'; access_log {place}/access.log cache;\n\
             proxy_cache_path {place}/cache keys_zone=hls:1m;\n\
             server {{\n\
             listen {address};\n\
             location / {{ proxy_pass http://{origin}; proxy_cache hls; proxy_cache_lock on; proxy_cache_key $request_uri; }}\n\
             }}\n}}\n"
        );
        let file = home.join("nginx.conf");
        std::fs::write(&file, config)?;
        let mut command = Command::new("nginx");
        command.arg("-p").arg(&home).arg("-c").arg(&file);
        let program = Program::start("nginx", dir, &mut command)?;
        wait_for("nginx", Duration::from_secs(10), || Ok(TcpStream::connect(&address).ok().map(drop)))?;
        Ok(Self { address, _program: program, log: home.join("access.log") })
    }

    /// What was answered so far: `HIT`, `MISS` and the like, and the path.
    ///
    /// # Errors
    /// Where there is no log.
    pub fn answers(&self) -> Result<Vec<(String, String)>> {
        let text = std::fs::read_to_string(&self.log).context("nginx's log")?;
        Ok(text.lines().filter_map(|line| line.split_once(' ')).map(|(s, u)| (s.to_owned(), u.to_owned())).collect())
    }
}
