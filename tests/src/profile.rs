//! A profile of a test's own: English, light, patients on loopback, ports that are free.
//!
//! Belongs here: its folder and settings. Not here: the app that runs in it (`app`).

use anyhow::{Context, Result};
use std::net::{TcpListener, UdpSocket};
use std::path::{Path, PathBuf};

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
        let listeners: Vec<TcpListener> =
            (0..3).map(|_| TcpListener::bind("127.0.0.1:0")).collect::<std::io::Result<_>>()?;
        let mut ports: Vec<u16> =
            listeners.iter().map(|l| Ok(l.local_addr()?.port())).collect::<std::io::Result<_>>()?;
        ports.push(UdpSocket::bind("127.0.0.1:0")?.local_addr()?.port());
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
