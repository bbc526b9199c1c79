//! `visavis-relay` under test: started with a configuration on free ports, known by its ready line.

use crate::http::get;
use crate::namespace::Namespace;
use crate::program::Program;
use crate::wait::wait_for;
use anyhow::{Context, Result};
use serde_json::Value;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// A running relay.
#[derive(Debug)]
pub struct Relay {
    /// The process.
    pub program: Program,
    ready: Value,
}

/// Every server on a free loopback port, every path allowed.
pub const EVERYTHING: &str = "rtmpAddress: 127.0.0.1:0\nhlsAddress: 127.0.0.1:0\nwebrtcAddress: 127.0.0.1:0\n\
    rtspAddress: 127.0.0.1:0\nrtpAddress: 127.0.0.1:0\nsrtAddress: 127.0.0.1:0\nwebrtcLocalUDPAddress: 127.0.0.1:0\napi: yes\napiAddress: 127.0.0.1:0\nmetrics: yes\nmetricsAddress: 127.0.0.1:0\n\
    logLevel: debug\npaths: {all_others: }\n";

/// The program, as the test runner built it or as cargo leaves it.
pub fn binary(variable: &str, name: &str) -> PathBuf {
    std::env::var_os(variable).map_or_else(
        || {
            let mut path = std::env::current_exe().unwrap_or_default();
            path.pop();
            path.pop();
            path.join(name)
        },
        PathBuf::from,
    )
}

impl Relay {
    /// Starts it with `config`, and waits until it is up.
    ///
    /// # Errors
    /// Where it does not come up.
    pub fn start(dir: &Path, config: &str) -> Result<Self> {
        Self::start_by(dir, config, Command::new)
    }

    /// The same, in a network namespace of its own. Its addresses are those of the namespace.
    ///
    /// # Errors
    /// Where it does not come up.
    pub fn start_in(dir: &Path, config: &str, namespace: &Namespace) -> Result<Self> {
        Self::start_by(dir, config, |program| namespace.command(program))
    }

    fn start_by(dir: &Path, config: &str, command: impl FnOnce(PathBuf) -> Command) -> Result<Self> {
        let file = dir.join("relay.yml");
        std::fs::write(&file, config)?;
        let mut command = command(binary("VISAVIS_RELAY_BIN", "visavis-relay"));
        let mut program = Program::start("relay", dir, command.arg("--ready-json").arg(&file))?;
        let line = program.first_line(Duration::from_secs(20))?;
        let ready = serde_json::from_str(&line).with_context(|| line.clone())?;
        Ok(Self { program, ready })
    }

    /// `HOST:PORT` of a server, by its name in the ready line.
    ///
    /// # Errors
    /// Where that server does not run.
    pub fn address(&self, server: &str) -> Result<String> {
        let address = self.ready.get(server).and_then(Value::as_str);
        address.map(str::to_owned).with_context(|| format!("{server} does not run: {}", self.ready))
    }

    /// Where WebRTC's media goes by UDP.
    ///
    /// # Errors
    /// Where WebRTC does not run.
    pub fn webrtc_udp(&self) -> Result<SocketAddr> {
        let port = self.ready.get("webrtcUdp").and_then(Value::as_u64).context("WebRTC does not run")?;
        Ok(SocketAddr::from(([127, 0, 0, 1], u16::try_from(port)?)))
    }

    /// Where RTSP's RTP goes by UDP; RTCP goes to the next port.
    ///
    /// # Errors
    /// Where RTSP does not run.
    pub fn rtsp_udp(&self) -> Result<u16> {
        let port = self.ready.get("rtspUdp").and_then(Value::as_u64).context("RTSP does not run")?;
        Ok(u16::try_from(port)?)
    }

    /// `rtmp://HOST:PORT/path`.
    ///
    /// # Errors
    /// Where RTMP does not run.
    pub fn rtmp(&self, path: &str) -> Result<String> {
        Ok(format!("rtmp://{}/{path}", self.address("rtmp")?))
    }

    /// `rtsp://HOST:PORT/path`.
    ///
    /// # Errors
    /// Where RTSP does not run.
    pub fn rtsp(&self, path: &str) -> Result<String> {
        Ok(format!("rtsp://{}/{path}", self.address("rtsp")?))
    }

    /// `srt://HOST:PORT?streamid=ID`.
    ///
    /// # Errors
    /// Where SRT does not run.
    pub fn srt(&self, stream_id: &str) -> Result<String> {
        Ok(format!("srt://{}?streamid={stream_id}", self.address("srt")?))
    }

    /// `http://HOST:PORT/path` on the port of HLS and HTTP-FLV.
    ///
    /// # Errors
    /// Where HLS does not run.
    pub fn hls(&self, path: &str) -> Result<String> {
        Ok(format!("http://{}/{path}", self.address("hls")?))
    }

    /// `/v3/paths/list`, its items.
    ///
    /// # Errors
    /// Where the API does not answer.
    pub fn paths(&self) -> Result<Vec<Value>> {
        self.list("paths")
    }

    /// `/v3/WHAT/list`, its items.
    ///
    /// # Errors
    /// Where the API does not answer.
    pub fn list(&self, what: &str) -> Result<Vec<Value>> {
        let body = get(&self.address("api")?, &format!("/v3/{what}/list"))?;
        let list: Value = serde_json::from_str(&body)?;
        Ok(list["items"].as_array().cloned().unwrap_or_default())
    }

    /// Waits until `path` satisfies `condition`.
    ///
    /// # Errors
    /// Where it does not in 15 s.
    pub fn path_until(&self, path: &str, condition: impl Fn(&Value) -> bool) -> Result<Value> {
        wait_for(&format!("path {path}"), Duration::from_secs(15), || {
            Ok(self.paths()?.into_iter().find(|p| p["name"] == path && condition(p)))
        })
    }

    /// Waits until `path` has a publisher and tracks.
    ///
    /// # Errors
    /// Where it does not in 15 s.
    pub fn path_ready(&self, path: &str) -> Result<Value> {
        self.path_until(path, |p| p["ready"] == true)
    }

    /// Ends it as a service manager does, and waits.
    ///
    /// # Errors
    /// Where it does not end well.
    pub fn stop(mut self) -> Result<()> {
        self.program.signal("TERM")?;
        self.program.succeed(Duration::from_secs(10))
    }
}
