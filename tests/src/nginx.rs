//! nginx as a cache in front of a server, as a server of files, and as an RTMP server, with the configuration anybody would write.

use crate::program::Program;
use crate::wait::wait_for;
use anyhow::{Context, Result};
use std::fmt::Display;
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

/// Where Debian puts the module.
const RTMP_MODULE: &str = "/usr/lib/nginx/modules/ngx_rtmp_module.so";

/// Where what is received or made in between goes.
fn temporary(place: impl Display) -> String {
    format!(
        "client_body_temp_path {place}/body; proxy_temp_path {place}/temp; fastcgi_temp_path {place}/fastcgi;\n\
         uwsgi_temp_path {place}/uwsgi; scgi_temp_path {place}/scgi;\n"
    )
}

/// An address on which nobody listens.
///
/// # Errors
/// Where the system has none.
pub fn free_address() -> Result<String> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.to_string())
}

impl Nginx {
    /// Starts one that caches what `origin` (`HOST:PORT`) allows to be cached, and nothing by rules of its own.
    ///
    /// # Errors
    /// Where it does not come up.
    pub fn cache(dir: &Path, origin: &str) -> Result<Self> {
        let address = free_address()?;
        Self::start(dir, &address.clone(), "", |place| {
            format!(
                "http {{\n{}\
                 log_format cache '$upstream_cache_status $uri'; access_log {place}/access.log cache;\n\
                 proxy_cache_path {place}/cache keys_zone=hls:1m;\n\
                 server {{\n\
                 listen {address};\n\
                 location / {{ proxy_pass http://{origin}; proxy_cache hls; proxy_cache_lock on; proxy_cache_key $request_uri; }}\n\
                 }}\n}}\n",
                temporary(place)
            )
        })
    }

    /// Starts one that serves RTMP on `address`, with one application, `live`, and tells about it by HTTP on `status`.
    ///
    /// # Errors
    /// Where it does not come up.
    pub fn rtmp(dir: &Path, address: &str, status: &str) -> Result<Self> {
        Self::rtmp_with(dir, address, status, "")
    }

    /// The same, and whoever wants `live/NAME` there gets what it pulls from `origin`, an `rtmp://` address.
    ///
    /// # Errors
    /// Where it does not come up.
    pub fn rtmp_pulling(dir: &Path, address: &str, status: &str, origin: &str) -> Result<Self> {
        Self::rtmp_with(dir, address, status, &format!("pull {origin};"))
    }

    fn rtmp_with(dir: &Path, address: &str, status: &str, more: &str) -> Result<Self> {
        Self::start(dir, address, &format!("load_module {RTMP_MODULE};"), |place| {
            format!(
                "rtmp {{ access_log off; server {{ listen {address}; application live {{ live on; {more} }} }} }}\n\
                 http {{\n{}access_log off;\n\
                 server {{ listen {status}; location /stat {{ rtmp_stat all; }} }}\n}}\n",
                temporary(place)
            )
        })
    }

    /// Starts one that serves what is in `files`, and sends clients from `/hop/…` on to it.
    ///
    /// # Errors
    /// Where it does not come up.
    pub fn files(dir: &Path, files: &Path) -> Result<Self> {
        let (address, files) = (free_address()?, files.canonicalize()?.display().to_string());
        Self::start(dir, &address.clone(), "", |place| {
            format!(
                "http {{\n{}access_log {place}/access.log combined;\n\
                 server {{ listen {address}; root {files}; location /hop/ {{ rewrite ^/hop/(.*) /$1 redirect; }} }}\n}}\n",
                temporary(place)
            )
        })
    }

    fn start(dir: &Path, address: &str, modules: &str, servers: impl FnOnce(&str) -> String) -> Result<Self> {
        let home = dir.canonicalize()?.join("nginx");
        // What another run has cached would be hits of that one.
        if home.exists() {
            std::fs::remove_dir_all(&home)?;
        }
        std::fs::create_dir_all(&home)?;
        let place = home.display().to_string();
        // One process, so that it ends with the test.
        let config = format!(
            "{modules} daemon off; master_process off; pid {place}/pid; error_log {place}/error.log;\nevents {{}}\n{}",
            servers(&place)
        );
        let file = home.join("nginx.conf");
        std::fs::write(&file, config)?;
        let mut command = Command::new("nginx");
        command.arg("-p").arg(&home).arg("-c").arg(&file);
        let program = Program::start("nginx", dir, &mut command)?;
        wait_for("nginx", Duration::from_secs(10), || Ok(TcpStream::connect(address).ok().map(drop)))?;
        Ok(Self { address: address.to_owned(), _program: program, log: home.join("access.log") })
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
