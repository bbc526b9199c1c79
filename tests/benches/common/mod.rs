//! What every bench of this folder measures with: publishers and readers that know to the microsecond, crowds of readers, the yardstick, and
//! the rows of the table.
//!
//! Belongs here: what two benches use. Not here: which figures there are (their `main`).
#![allow(dead_code)] // No bench uses all of it.

pub(crate) mod clip;
pub(crate) mod crowd;
pub(crate) mod figure;
pub(crate) mod http;
pub(crate) mod ll_hls;
pub(crate) mod load;
pub(crate) mod machine;
pub(crate) mod nginx;
pub(crate) mod pass;
pub(crate) mod player;
pub(crate) mod publisher;
pub(crate) mod transcode;

use anyhow::Result;
use e2e::program::output_dir;
use figure::Figure;
use std::path::PathBuf;
use std::time::Duration;

/// RTMP alone, as quiet as an operator runs it.
pub(crate) const RTMP_ONLY: &str = "rtmpAddress: 127.0.0.1:0\nrtsp: no\nsrt: no\nhls: no\nwebrtc: no\napi: yes\napiAddress: 127.0.0.1:0\nlogLevel: error\npaths: {all_others: }\n";

/// What a join brings at once says nothing of what passes afterwards; seconds.
pub(crate) const SETTLED: f64 = 1.0;

/// How long and how often.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Effort {
    quick: bool,
}

impl Effort {
    /// `full` of measuring, or a moment of it.
    pub(crate) const fn seconds(self, full: u64) -> Duration {
        Duration::from_secs(if self.quick { 3 } else { full })
    }

    /// How often something that happens once is done again.
    pub(crate) const fn runs(self) -> usize {
        if self.quick { 2 } else { 10 }
    }

    /// `full` of many, or `few`.
    pub(crate) const fn many<T: Copy>(self, full: T, few: T) -> T {
        if self.quick { few } else { full }
    }
}

/// What a group measures with: its folder for what programs say, and how much of it.
#[derive(Debug)]
pub(crate) struct Bench {
    pub(crate) dir: PathBuf,
    pub(crate) effort: Effort,
}

/// Figures that are measured together, by their name.
pub(crate) type Group = (&'static str, fn(&Bench) -> Result<Vec<Figure>>);

/// What was asked for, and how it went.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Outcome {
    /// Every group was.
    pub(crate) all: bool,
    /// Some group could not be measured.
    pub(crate) failed: bool,
}

/// Measures the groups of `groups` that the arguments name, all without; their figures are printed as they come. `--quick` measures each for a
/// moment, to see that the bench works.
pub(crate) fn run(bench: &str, groups: &[Group]) -> Outcome {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let effort = Effort { quick: arguments.iter().any(|a| a == "--quick") };
    // Cargo adds `--bench`.
    let wanted: Vec<&String> = arguments.iter().filter(|a| !a.starts_with("--")).collect();
    let mut outcome = Outcome { all: wanted.is_empty(), failed: false };
    for name in &wanted {
        if groups.iter().all(|(group, _)| group != name) {
            let known: Vec<&str> = groups.iter().map(|(group, _)| *group).collect();
            eprintln!("there is no group {name}; there are {}", known.join(", "));
            outcome.failed = true;
        }
    }
    for (name, measure) in groups {
        if !outcome.all && !wanted.iter().any(|w| w == name) {
            continue;
        }
        eprintln!("{name} …");
        let measured = output_dir(&format!("bench_{bench}_{name}")).and_then(|dir| measure(&Bench { dir, effort }));
        match measured {
            Ok(figures) => figures.iter().for_each(Figure::print),
            Err(error) => {
                outcome.failed = true;
                eprintln!("{name}: {error:#}");
                Figure::missing(name).print();
            }
        }
    }
    outcome
}
