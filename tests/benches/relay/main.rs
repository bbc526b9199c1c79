//! What the relay adds and costs: the figures of `cargo xtask bench relay`, each with its goal.
//!
//! Belongs here: which figures there are and in which order. Not here: how each is measured (the modules), tests (`tests/`): here nothing is
//! right or wrong but the numbers.
//!
//! A unit is recognised by its bytes, which leave the relay as they came in, so that the readers of this bench know to the microsecond how long
//! each took. All of it runs on one machine, so that all its clocks are one.
//!
//! Arguments name the groups to be measured (all without); `--quick` measures each for a moment, to see that the bench works.
#![allow(clippy::unwrap_used, clippy::print_stdout)] // A bench reports to whoever runs it.

mod added;
#[path = "../common/mod.rs"]
mod common;
mod hls;
mod join;
mod load;
mod paths;
mod peer;
mod rtp;
mod rtsp;
mod wire;

use common::{Group, transcode};
use std::process::ExitCode;

/// Every way in and out that is measured, as quiet as an operator runs it.
const EVERY_WAY: &str = "rtmpAddress: 127.0.0.1:0\nhlsAddress: 127.0.0.1:0\nrtspAddress: 127.0.0.1:0\nrtpAddress: 127.0.0.1:0\n\
    webrtcAddress: 127.0.0.1:0\nwebrtcLocalUDPAddress: 127.0.0.1:0\nsrt: no\napi: yes\napiAddress: 127.0.0.1:0\n\
    logLevel: error\npaths: {all_others: }\n";

/// In the order of the table.
const GROUPS: [Group; 10] = [
    ("added", added::added),
    ("hls", hls::hls),
    ("join", join::join),
    ("rtmp", |bench| common::load::rtmp(bench, &[10, 100, 400])),
    ("rtsp", load::rtsp),
    ("hls-readers", load::hls),
    ("whep", load::whep),
    ("memory", paths::memory),
    ("transcode", transcode::transcode),
    ("paths", paths::paths),
];

fn main() -> ExitCode {
    if common::run("relay", &GROUPS).failed { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}
