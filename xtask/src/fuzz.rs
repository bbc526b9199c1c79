//! `cargo xtask fuzz`: the fuzz targets of `media-core/fuzz`.
//!
//! Belongs here: listing and running them, with which toolchain, beginning and minimising their corpora. Not here: the targets
//! (each crate's `fuzz` module), the replay of the corpora in ordinary tests (`media-core/fuzz/replay.rs`).

use std::{
    fs,
    io::{BufRead as _, IsTerminal as _, Write as _},
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, bail};

use crate::{
    cargo, process, progress,
    tools::{self, Install, Need},
};

/// Fuzz a parser of foreign bytes, or list which there are.
///
/// Runs with the nightly toolchain where there is one. Elsewhere it runs with the toolchain in use and sets RUSTC_BOOTSTRAP=1, which lets
/// a stable compiler take the flags that the fuzzer's instrumentation needs; nothing but the fuzz targets is built so. Where the
/// toolchain lacks the address sanitizer's run time, it goes on without and says so. cargo-fuzz is installed if missing.
///
/// What a run finds grows in media-core/fuzz/target/corpus; --minimise puts the smallest set that reaches as much into
/// media-core/fuzz/corpus, which is committed and replayed by ordinary tests. An input that breaks its target stays in
/// media-core/fuzz/artifacts.
///
/// Examples:
///   cargo xtask fuzz                             list the targets
///   cargo xtask fuzz rtmp_chunk                  one target, until it finds something or Ctrl-C
///   cargo xtask fuzz --all --seconds 60          every target, so long each; then a table
///   cargo xtask fuzz --all --minimise            renew the committed corpora from what has grown
///   cargo xtask fuzz --seeds                     write the seeds of the crates' tests into the corpora
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Args {
    /// Which target; none lists them.
    target: Option<String>,
    /// Every target, one after another.
    #[arg(long, conflicts_with = "target")]
    all: bool,
    /// Stop after so long; without it, on the first finding or Ctrl-C.
    #[arg(long, value_name = "N")]
    seconds: Option<u64>,
    /// Renew the committed corpus, after fuzzing if --seconds is given too.
    #[arg(long)]
    minimise: bool,
    /// Write the seeds that are in code into the committed corpora.
    #[arg(long, conflicts_with_all = ["target", "all", "seconds", "minimise"])]
    seeds: bool,
    /// Install cargo-fuzz without asking.
    #[arg(long)]
    yes: bool,
}

const FOLDER: &str = "media-core/fuzz";
/// Tests write seeds where this is set; `replay.rs` reads it.
const WRITE_SEEDS: &str = "FUZZ_WRITE_SEEDS";
/// Crates whose tests replay corpora: all that the fuzz package depends on.
const CRATES: [&str; 8] = ["media", "container", "proto", "hub", "codec", "device", "relay", "engine"];
/// Longer inputs reach nothing that these do not, and cost the replay time.
const MAX_INPUT: usize = 8192;
/// Seconds for one input: with the sanitizer, on a busy machine, a good one takes milliseconds.
const HANG: u64 = 15;
/// Megabytes that one allocation may take. The largest real one is a picture.
const MAX_ALLOCATION: u64 = 256;

pub(crate) fn fuzz(args: &Args) -> Result<()> {
    if args.seeds {
        return seeds();
    }
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
    if args.all && args.seconds.is_none() && !args.minimise {
        bail!("--all needs --seconds N, --minimise or both");
    }
    tools::ensure(&[Need::Build], Install::Missing)?;
    let toolchain = Toolchain::find()?;
    toolchain.explain();
    install(args.yes)?;
    progress::step("Building the fuzz targets", || process::run(&mut toolchain.cargo_fuzz("build", &[])))?;
    let (mut reports, mut broken) = (Vec::new(), Vec::new());
    for target in chosen {
        if args.seconds.is_some() || !args.minimise {
            let run = || run(&toolchain, target, args.seconds, args.all);
            match progress::step(&format!("Fuzzing {target}"), run) {
                Ok(report) => reports.extend(report),
                // One broken parser is no reason to leave the others in peace.
                Err(error) if args.all => {
                    eprintln!("    {error:#}");
                    broken.push(target.as_str());
                    continue;
                }
                Err(error) => return Err(error),
            }
        }
        if args.minimise {
            progress::step(&format!("Minimising {target}"), || minimise(&toolchain, target))?;
        }
    }
    if !reports.is_empty() {
        println!("| target | executions | edges | features |\n|---|---|---|---|");
    }
    for report in reports {
        println!("| {} | {} | {} | {} |", report.target, report.executions, report.edges, report.features);
    }
    if !broken.is_empty() {
        bail!("inputs that break {} are in {FOLDER}/artifacts", broken.join(", "));
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

/// The crates' own tests know their seeds and write them.
fn seeds() -> Result<()> {
    progress::step("Writing the seeds", || {
        let mut test = cargo::cargo("test");
        test.args(CRATES.iter().flat_map(|name| ["--package", name])).args(["--lib", "corpora"]);
        process::run(test.env(WRITE_SEEDS, "1"))
    })
}

/// Who compiles the targets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Toolchain {
    /// rustup's nightly; else the toolchain in use, told to take unstable flags.
    nightly: bool,
    /// Its address sanitizer is there to be linked.
    sanitizer: bool,
}

impl Toolchain {
    fn find() -> Result<Self> {
        let nightly = process::succeeds(rustup_nightly().args(["rustc", "--version"]));
        let mut rustc = if nightly {
            let mut command = rustup_nightly();
            command.arg("rustc");
            command
        } else {
            process::command("rustc")
        };
        let libraries = process::text(rustc.args(["--print", "target-libdir"]))?;
        Ok(Self { nightly, sanitizer: has_sanitizer(Path::new(libraries.trim())) })
    }

    fn explain(self) {
        if !self.nightly {
            eprintln!(
                "There is no nightly toolchain: fuzzing with the one in use and RUSTC_BOOTSTRAP=1, for the fuzz targets alone \
                 (`rustup toolchain install nightly` is the other way)."
            );
        }
        if !self.sanitizer {
            eprintln!(
                "This toolchain has no address sanitizer: panics and hangs are found, errors of memory in C are not."
            );
        }
    }

    /// `cargo fuzz SUBCOMMAND`, and what follows.
    fn cargo_fuzz(self, subcommand: &str, more: &[&str]) -> Command {
        let mut command = if self.nightly {
            let mut command = rustup_nightly();
            command.arg("cargo");
            command
        } else {
            let mut command = process::command("cargo");
            command.env("RUSTC_BOOTSTRAP", "1");
            command
        };
        command.args(["fuzz", subcommand, "--fuzz-dir", FOLDER]);
        if !self.sanitizer {
            command.args(["--sanitizer", "none"]);
        }
        command.args(more);
        command
    }
}

fn rustup_nightly() -> Command {
    let mut command = process::command("rustup");
    // rustup's proxy hands its own choice of toolchain down; here it must be nightly all the way.
    command.env_remove("RUSTUP_TOOLCHAIN").args(["run", "nightly"]);
    command
}

fn has_sanitizer(libraries: &Path) -> bool {
    let names = fs::read_dir(libraries).into_iter().flatten().flatten();
    names
        .filter_map(|entry| entry.file_name().into_string().ok())
        .any(|name| name.starts_with("librustc") && (name.contains("_rt.asan.") || name.contains("_rt.asan_")))
}

fn install(yes: bool) -> Result<()> {
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

/// The committed corpus of a target.
fn corpus(target: &str) -> PathBuf {
    process::root().join(FOLDER).join("corpus").join(target)
}

/// Where what the fuzzer finds new is kept between runs.
fn growing(target: &str) -> PathBuf {
    process::root().join(FOLDER).join("target/corpus").join(target)
}

/// What the fuzzer said of a run.
#[derive(Debug, PartialEq, Eq)]
struct Report {
    target: String,
    executions: u64,
    edges: u64,
    features: u64,
}

impl Report {
    /// Reads the fuzzer's last line of progress and its statistics.
    fn read(target: &str, log: &str) -> Option<Self> {
        let number_after = |text: &str, mark: &str| {
            let rest = text.rsplit_once(mark)?.1.trim_start();
            rest.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
        };
        Some(Self {
            target: target.to_owned(),
            executions: number_after(log, "stat::number_of_executed_units:")?,
            edges: number_after(log, " cov: ")?,
            features: number_after(log, " ft: ")?,
        })
    }
}

/// Fuzzes one target; with `quiet`, into a log, and reports.
fn run(toolchain: &Toolchain, target: &str, seconds: Option<u64>, quiet: bool) -> Result<Option<Report>> {
    let (growing, corpus) = (growing(target), corpus(target));
    for folder in [&growing, &corpus] {
        fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    }
    // The fuzzer writes into the first folder and reads all.
    let folders = [&growing, &corpus].map(|folder| folder.to_string_lossy().into_owned());
    let mut command = toolchain.cargo_fuzz("run", &[target, &folders[0], &folders[1], "--"]);
    command.arg(format!("-max_len={MAX_INPUT}")).arg(format!("-timeout={HANG}"));
    command.arg(format!("-malloc_limit_mb={MAX_ALLOCATION}")).arg("-print_final_stats=1");
    if let Some(seconds) = seconds {
        command.arg(format!("-max_total_time={seconds}"));
    }
    if !quiet {
        process::run(&mut command)?;
        return Ok(None);
    }
    let name = format!("fuzz-{target}");
    progress::quiet(target, &name, &mut command)?;
    let log = process::scratch()?.join(format!("{name}.log"));
    let said = fs::read(&log).with_context(|| format!("cannot read {}", log.display()))?;
    Ok(Report::read(target, &String::from_utf8_lossy(&said)))
}

/// Replaces the committed corpus by the smallest set of inputs, committed or grown, that reaches every edge they reach together.
fn minimise(toolchain: &Toolchain, target: &str) -> Result<()> {
    let corpus = corpus(target);
    let chosen = process::scratch()?.join("fuzz-minimised").join(target);
    if chosen.exists() {
        fs::remove_dir_all(&chosen)?;
    }
    fs::create_dir_all(&chosen)?;
    let growing = growing(target);
    fs::create_dir_all(&growing)?;
    let folders = [&chosen, &corpus, &growing].map(|folder| folder.to_string_lossy().into_owned());
    let mut command = toolchain.cargo_fuzz("run", &[target, &folders[0], &folders[1], &folders[2], "--"]);
    // Counters would keep an input for every number of times an edge is passed.
    command.args(["-set_cover_merge=1", "-use_counters=0"]).arg(format!("-max_len={MAX_INPUT}"));
    progress::quiet(target, &format!("fuzz-minimise-{target}"), &mut command)?;
    if fs::read_dir(&chosen)?.next().is_none() {
        bail!("nothing of {} would be left", corpus.display());
    }
    fs::remove_dir_all(&corpus)?;
    fs::create_dir_all(&corpus)?;
    for file in fs::read_dir(&chosen)? {
        let file = file?;
        fs::copy(file.path(), corpus.join(file.file_name()))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Bytes in all corpora together: they are in every clone.
    const MAX_CORPORA: u64 = 2 << 20;

    fn names(folder: &str, end: &str) -> Vec<String> {
        let entries = fs::read_dir(process::root().join(FOLDER).join(folder)).unwrap();
        let name = |entry: std::io::Result<fs::DirEntry>| entry.unwrap().file_name().into_string().unwrap();
        let mut names: Vec<String> = entries.map(name).filter_map(|n| n.strip_suffix(end).map(str::to_owned)).collect();
        names.sort();
        names
    }

    #[test]
    fn every_target_has_a_shim_a_corpus_and_a_replay() {
        let mut targets = targets().unwrap();
        targets.sort();
        assert_eq!(names("fuzz_targets", ".rs"), targets, "shims and Cargo.toml");
        assert_eq!(names("corpus", ""), targets, "corpora and Cargo.toml");
        let mut sources = String::new();
        let mut waiting: Vec<PathBuf> =
            CRATES.iter().map(|name| process::root().join("media-core").join(name).join("src")).collect();
        while let Some(path) = waiting.pop() {
            if path.is_dir() {
                waiting.extend(fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()));
            } else if path.file_name().is_some_and(|name| name == "fuzz.rs") {
                sources += &fs::read_to_string(path).unwrap();
            }
        }
        let replays: String = sources.split_whitespace().collect();
        for target in &targets {
            assert!(sources.contains(&format!("pub fn fuzz_{target}(")), "{target} is a function of a crate");
            assert!(replays.contains(&format!("replay(\"{target}\",")), "{target} is replayed by its crate's tests");
        }
    }

    #[test]
    fn corpora_stay_small() {
        let mut all = 0;
        for target in targets().unwrap() {
            for file in fs::read_dir(corpus(&target)).unwrap() {
                let file = file.unwrap();
                let size = file.metadata().unwrap().len();
                assert!(size <= 2 * MAX_INPUT as u64, "{} has {size} bytes", file.path().display());
                all += size;
            }
        }
        assert!(all < MAX_CORPORA, "all corpora have {all} bytes");
    }

    #[test]
    fn stable_is_told_to_take_unstable_flags_and_nightly_is_not() {
        let stable = Toolchain { nightly: false, sanitizer: false }.cargo_fuzz("run", &["nal"]);
        assert_eq!(process::line(&stable), "cargo fuzz run --fuzz-dir media-core/fuzz --sanitizer none nal");
        assert!(stable.get_envs().any(|(name, value)| name == "RUSTC_BOOTSTRAP" && value.is_some()));
        let nightly = Toolchain { nightly: true, sanitizer: true }.cargo_fuzz("run", &["nal"]);
        assert_eq!(process::line(&nightly), "rustup run nightly cargo fuzz run --fuzz-dir media-core/fuzz nal");
        assert!(!nightly.get_envs().any(|(name, _)| name == "RUSTC_BOOTSTRAP"));
    }

    #[test]
    fn a_run_is_summed_up() {
        let log = "#9\tREDUCE cov: 10 ft: 20 corp: 1/1b\n#4096\tDONE   cov: 129 ft: 301 corp: 9/99b exec/s: 1\n\
                   stat::number_of_executed_units: 4096\nstat::peak_rss_mb: 50\n";
        let report = Report { target: "t".into(), executions: 4096, edges: 129, features: 301 };
        assert_eq!(Report::read("t", log), Some(report));
        assert_eq!(Report::read("t", "INFO: nothing"), None);
    }
}
