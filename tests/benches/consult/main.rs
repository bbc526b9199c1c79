//! What a consultation costs and how late it is: the figures of `cargo xtask bench consult`, each with its goal.
//!
//! Belongs here: which figures there are and in which order. Not here: how each is measured (the modules), tests (`tests/`): here nothing is
//! right or wrong but the numbers.
//!
//! Times are read from what is inside the streams: the clock card in the picture, or the access unit itself, which comes out of the
//! relay byte for byte as it went in. All of it runs on one machine, so that all its clocks are one.
//!
//! Arguments name the groups to be measured (all without); `--quick` measures each for a moment, to see that the bench works.
#![allow(clippy::unwrap_used, clippy::print_stdout)] // A bench reports to whoever runs it.

#[path = "../common/mod.rs"]
mod common;
mod doctor;
mod hls;
mod hop;
mod join;
mod package;
mod window;

use common::{Group, load, transcode};
use std::process::ExitCode;

/// In the order of the table.
const GROUPS: [Group; 11] = [
    ("start", doctor::start),
    ("doctor", doctor::picture),
    ("sound", doctor::sound),
    ("hop", hop::sound),
    ("rtmp", hop::rtmp),
    ("hls", hls::hls),
    ("join", join::join),
    ("window", window::pixels),
    ("app", window::cost),
    ("transcode", transcode::transcode),
    ("load", |bench| load::rtmp(bench, &[1, 100, 400])),
];

fn main() -> ExitCode {
    let outcome = common::run("consult", &GROUPS);
    if outcome.all {
        package::package().print();
    }
    if outcome.failed { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}
