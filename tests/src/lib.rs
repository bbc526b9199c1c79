//! What the end-to-end tests share: programs to start, streams to send, content to check.
//!
//! Belongs here: one module a capability. Not here: tests (`tests/`), anything the product uses.

pub mod app;
pub mod browser;
pub mod content;
pub mod desktop;
pub mod enhanced_rtmp;
pub mod ffmpeg;
pub mod firefox;
pub mod flv;
pub mod hls_js;
pub mod http;
pub mod impair;
pub mod matrix;
pub mod namespace;
pub mod nginx;
pub mod page;
pub mod patient;
pub mod profile;
pub mod program;
pub mod pulse;
pub mod relay;
pub mod rtsp_server;
pub mod rtsp_way;
pub mod stubborn;
pub mod stun;
pub mod tap;
pub mod tls;
pub mod tones;
pub mod vlc;
pub mod wait;
pub mod webdriver;
pub mod whep_server;
pub mod whip_server;
