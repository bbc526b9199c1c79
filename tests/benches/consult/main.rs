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

mod clip;
mod doctor;
mod figure;
mod hls;
mod hop;
mod http;
mod join;
mod load;
mod machine;
mod nginx;
mod package;
mod player;
mod publisher;
mod transcode;
mod window;

use anyhow::Result;
use e2e::program::output_dir;
use figure::Figure;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

/// How long and how often.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Effort {
    quick: bool,
}

impl Effort {
    /// `full` of measuring, or a moment of it.
    const fn seconds(self, full: u64) -> Duration {
        Duration::from_secs(if self.quick { 3 } else { full })
    }

    /// How often something that happens once is done again.
    const fn runs(self) -> usize {
        if self.quick { 2 } else { 10 }
    }
}

/// What a group measures with: its folder for what programs say, and how much of it.
#[derive(Debug)]
pub(crate) struct Bench {
    dir: PathBuf,
    effort: Effort,
}

type Group = (&'static str, fn(&Bench) -> Result<Vec<Figure>>);

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
    ("load", load::load),
];

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let effort = Effort { quick: arguments.iter().any(|a| a == "--quick") };
    // Cargo adds `--bench`.
    let wanted: Vec<&String> = arguments.iter().filter(|a| !a.starts_with("--")).collect();
    let mut failed = false;
    for (name, measure) in GROUPS {
        if !wanted.is_empty() && !wanted.iter().any(|w| *w == name) {
            continue;
        }
        eprintln!("{name} …");
        let measured = output_dir(&format!("bench_{name}")).and_then(|dir| measure(&Bench { dir, effort }));
        match measured {
            Ok(figures) => figures.iter().for_each(Figure::print),
            Err(error) => {
                failed = true;
                eprintln!("{name}: {error:#}");
                Figure::missing(name).print();
            }
        }
    }
    if wanted.is_empty() {
        package::package().print();
    }
    if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}
