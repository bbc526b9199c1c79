//! `cargo xtask fuzz`: the fuzz targets of `media-core/fuzz`.
//!
//! Belongs here: listing and running them. Not here: the targets, their corpora (both `media-core/fuzz`), the replay of the corpora (each crate's tests).

use std::io::{BufRead as _, IsTerminal as _, Write as _};

use anyhow::{Context as _, Result, bail};

use crate::{
    cargo, process, progress,
    tools::{self, Install, Need},
};

/// Fuzz a parser of foreign bytes, or list which there are.
///
/// Needs the nightly toolchain (`rustup toolchain install nightly`) and cargo-fuzz, which it offers to install.
///
/// Examples:
///   cargo xtask fuzz                             list the targets
///   cargo xtask fuzz rtmp_chunk --seconds 60     one target
///   cargo xtask fuzz --all --seconds 60          every target, so long each
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Args {
    /// Which target; none lists them.
    target: Option<String>,
    /// Every target, one after another.
    #[arg(long, conflicts_with = "target", requires = "seconds")]
    all: bool,
    /// Stop after so long; without it, on the first finding or Ctrl-C.
    #[arg(long, value_name = "N")]
    seconds: Option<u64>,
    /// Install cargo-fuzz without asking.
    #[arg(long)]
    yes: bool,
}

const FOLDER: &str = "media-core/fuzz";

pub(crate) fn fuzz(args: &Args) -> Result<()> {
    let targets = targets()?;
    let chosen: Vec<&String> = match &args.target {
        Some(name) => targets.iter().filter(|target| *target == name).collect(),
        None if args.all => targets.iter().collect(),
        None => {
            for target in &targets {
                println!("{target}");
            }
            return Ok(());
        }
    };
    if chosen.is_empty() {
        bail!("no such target; there are: {}", targets.join(", "));
    }
    tools::ensure(&[Need::Build], Install::Missing)?;
    ready(args.yes)?;
    for target in chosen {
        progress::step(&format!("Fuzzing {target}"), || run(target, args.seconds))?;
    }
    Ok(())
}

fn targets() -> Result<Vec<String>> {
    let manifest = process::root().join(FOLDER).join("Cargo.toml");
    if !manifest.is_file() {
        bail!("{FOLDER} has no Cargo.toml, so there is no fuzz target");
    }
    let metadata = cargo::read_metadata(&manifest, false)?;
    let bins = metadata.packages.iter().flat_map(|package| &package.targets);
    Ok(bins.filter(|target| target.kind.iter().any(|kind| kind == "bin")).map(|target| target.name.clone()).collect())
}

fn ready(yes: bool) -> Result<()> {
    if !process::succeeds(process::command("rustup").args(["run", "nightly", "rustc", "--version"])) {
        bail!("fuzzing needs the nightly toolchain: rustup toolchain install nightly");
    }
    if process::succeeds(process::command("cargo").args(["fuzz", "--version"])) {
        return Ok(());
    }
    if !yes && !agreed("cargo-fuzz is not installed. Build and install it now (cargo install cargo-fuzz --locked)?")? {
        bail!("fuzzing needs cargo-fuzz: cargo install cargo-fuzz --locked (or --yes here)");
    }
    progress::step("Installing cargo-fuzz", || process::run(cargo::cargo("install").args(["cargo-fuzz", "--locked"])))
}

fn agreed(question: &str) -> Result<bool> {
    if !std::io::stdin().is_terminal() {
        return Ok(false);
    }
    eprint!("{question} [y/N] ");
    std::io::stderr().flush()?;
    let mut answer = String::new();
    std::io::stdin().lock().read_line(&mut answer).context("cannot read the answer")?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}

fn run(target: &str, seconds: Option<u64>) -> Result<()> {
    let mut command = process::command("rustup");
    // rustup's proxy hands its own choice of toolchain down; here it must be nightly all the way.
    command.env_remove("RUSTUP_TOOLCHAIN");
    command.args(["run", "nightly", "cargo", "fuzz", "run", "--fuzz-dir", FOLDER, target, "--"]);
    if let Some(seconds) = seconds {
        command.arg(format!("-max_total_time={seconds}"));
    }
    process::run(&mut command)
}
