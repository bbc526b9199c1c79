//! A profile of a test's own: English, light, patients on loopback, ports that are free.
//!
//! Belongs here: its folder and settings. Not here: the app that runs in it (`app`).

use anyhow::{Context, Result, ensure};
use std::net::{TcpListener, UdpSocket};
use std::path::{Path, PathBuf};

/// Below what systems give to outgoing connections (32768 on Linux), one of which could have a port before the app does.
const LAST: u16 = 32_000;
/// Tests of several processes begin at different ports from here on.
const FIRST: u16 = 20_000;

/// A fresh profile.
#[derive(Debug)]
pub struct Profile {
    folder: PathBuf,
    /// RTMP, HLS and WHIP over TCP, WebRTC's media over UDP.
    pub ports: Vec<u16>,
}

impl Profile {
    /// Makes it in `dir`; one that is there from before goes.
    ///
    /// # Errors
    /// Where the folder or a port cannot be had.
    pub fn new(dir: &Path) -> Result<Self> {
        let folder = dir.join("profile");
        if folder.exists() {
            std::fs::remove_dir_all(&folder)?;
        }
        std::fs::create_dir_all(&folder)?;
        let begin = FIRST + u16::try_from(std::process::id() % 1_000)? * 10;
        let ports: Vec<u16> = (begin..LAST).filter(|port| is_free(*port)).take(4).collect();
        ensure!(ports.len() == 4, "no four ports are free from {begin} on");
        let text = format!(
            "version = 1\nlanguage = \"en\"\nappearance = \"light\"\nnetwork = \"lo\"\n\
             [ports]\nrtmp = {}\nhls = {}\nwebrtc_http = {}\nwebrtc_udp = {}\n",
            ports[0], ports[1], ports[2], ports[3]
        );
        std::fs::write(folder.join("settings.toml"), text)?;
        Ok(Self { folder, ports })
    }

    /// Its folder, for `--profile`.
    ///
    /// # Errors
    /// Where its name is not UTF-8.
    pub fn folder(&self) -> Result<&str> {
        self.folder.to_str().context("a readable folder")
    }
}

fn is_free(port: u16) -> bool {
    TcpListener::bind(("127.0.0.1", port)).is_ok() && UdpSocket::bind(("127.0.0.1", port)).is_ok()
}
