//! `cargo xtask test`: every test there is.
//!
//! Belongs here: what must be there and built before them, their environment, one count over all runners.
//! Not here: lints and formats (`check`), the tests themselves.

use std::{
    fmt, fs,
    io::{BufRead as _, BufReader, IsTerminal as _, Read},
    path::Path,
    process::{Command, Stdio},
};

use anyhow::{Context as _, Result, bail};

use crate::{
    cargo::{self, Profile},
    judges, process, progress,
    tools::{self, Install, Need},
    ui,
};

/// The package of the tests that drive real programs.
pub(crate) const END_TO_END: &str = "e2e";

/// Run every test: units, properties, replayed fuzz corpora, the page's, and end to end with real programs.
///
/// Installs what is missing first (system packages through apt; Python's and Node's judges at pinned versions), builds
/// the page, the app and the relay, and runs everything. What the tests leave to look at is in tests/output.
///
/// Examples:
///   cargo xtask test                      everything
///   cargo xtask test --quick              without the end-to-end tests
///   cargo xtask test rtmp takeover        tests with `rtmp` or `takeover` in their name
///   cargo xtask test -p hub               one package
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Args {
    /// Only tests whose name contains one of these.
    names: Vec<String>,
    /// Only this package's tests.
    #[arg(short, long, value_name = "NAME")]
    package: Vec<String>,
    /// Leave out the end-to-end tests and what only they need.
    #[arg(long)]
    quick: bool,
    /// Install nothing; trust that everything is there.
    #[arg(long)]
    skip_install: bool,
    /// Install what is missing and end.
    #[arg(long, conflicts_with = "skip_install")]
    install_only: bool,
    /// Say which packages and judges are there and which would be installed, and end.
    #[arg(long)]
    plan: bool,
}

/// How many tests did what.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) passed: u64,
    pub(crate) failed: u64,
    pub(crate) skipped: u64,
}

impl std::ops::AddAssign for Counts {
    fn add_assign(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.skipped += other.skipped;
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} passed, {} failed, {} skipped", self.passed, self.failed, self.skipped)
    }
}

impl Args {
    /// Whether programs none of us wrote take part.
    fn end_to_end(&self) -> bool {
        !self.quick && (self.package.is_empty() || self.package.iter().any(|name| name == END_TO_END))
    }

    /// Whether the app is compiled, which needs the page.
    fn app(&self) -> bool {
        self.end_to_end() || self.package.is_empty() || self.package.iter().any(|name| name == cargo::APP)
    }

    /// The packages that cargo compiles. The whole workspace in one go unless told otherwise: the features of
    /// dev-dependencies then hold for programs and tests alike, and nothing is compiled twice.
    fn selection(&self) -> Vec<String> {
        let mut words = Vec::new();
        if self.end_to_end() || self.package.is_empty() {
            words.push("--workspace".to_owned());
        } else {
            words.extend(self.package.iter().flat_map(|name| ["--package".to_owned(), name.clone()]));
        }
        if self.quick && self.package.is_empty() {
            words.extend(["--exclude".into(), END_TO_END.into()]);
        }
        words
    }
}

pub(crate) fn test(args: &Args) -> Result<()> {
    let needs: &[Need] = if args.end_to_end() {
        &[Need::Build, Need::Window, Need::VirtualDisplay, Need::Tests, Need::EndToEnd]
    } else {
        &[Need::Build, Need::Tests]
    };
    if args.plan {
        return plan(needs);
    }
    tools::ensure(needs, if args.skip_install { Install::Skip } else { Install::Missing })?;
    if args.end_to_end() && !args.skip_install {
        judges::ensure()?;
    }
    if args.install_only {
        return ui::install();
    }
    let everything = args.names.is_empty() && args.package.is_empty();
    if args.app() {
        // The app carries the page inside, so it comes before any cargo.
        ui::build()?;
    }
    let mut counts = Counts::default();
    if everything {
        counts += ui::test()?;
    }
    progress::step("Building programs and tests", || process::run(&mut build(args)))?;
    counts += progress::step("Running the tests", || run(args))?;
    if everything && has_examples(&process::root().join("media-core"))? {
        counts += progress::step("Examples in the documentation", documentation)?;
    }
    println!("{counts}");
    if counts.failed > 0 {
        bail!("{} tests failed", counts.failed);
    }
    if counts.passed == 0 {
        bail!("no test ran");
    }
    Ok(())
}

fn plan(needs: &[Need]) -> Result<()> {
    println!("System packages:\n{}", tools::plan(needs));
    if needs.contains(&Need::EndToEnd) {
        let judges = judges::places()?;
        println!(
            "Python's judges: {} made with {}",
            judges.python.display(),
            judges::python().unwrap_or("python3, once python3-venv is there")
        );
        println!("Node's judges: {}", judges.node.display());
    }
    Ok(())
}

fn build(args: &Args) -> Command {
    let mut command = cargo::cargo("build");
    command.args(args.selection()).arg("--tests");
    if args.end_to_end() {
        // By name: `--bins` would replace the very program that is running, which Windows refuses.
        command.args(["--bin", cargo::APP, "--bin", cargo::RELAY_BIN]);
    }
    command
}

fn run(args: &Args) -> Result<Counts> {
    let nextest = process::succeeds(process::command("cargo").args(["nextest", "--version"]));
    let mut command = if nextest { cargo::cargo("nextest") } else { cargo::cargo("test") };
    if nextest {
        command.arg("run");
        if std::io::stderr().is_terminal() {
            command.args(["--color", "always"]);
        }
        if args.end_to_end() && !args.package.is_empty() {
            let packages: Vec<String> = args.package.iter().map(|name| format!("package(={name})")).collect();
            command.args(["--filterset", &packages.join(" | ")]);
        }
        command.args(args.selection());
    } else {
        eprintln!(
            "cargo-nextest is not installed (`cargo install cargo-nextest --locked`): cargo test runs everything in one row instead."
        );
        command.arg("--no-fail-fast").args(args.selection()).arg("--tests");
    }
    command.args(["--"].iter().filter(|_| !nextest)).args(&args.names);
    if !nextest {
        command.arg("--test-threads=1");
    }
    environment(&mut command)?;
    let mut counts = Counts::default();
    let status = if nextest {
        follow(&mut command, Stream::Error, |line| {
            if let Some(found) = nextest_summary(line) {
                counts = found;
            }
        })?
    } else {
        follow(&mut command, Stream::Output, |line| counts += cargo_test_result(line).unwrap_or_default())?
    };
    // A runner that failed without counting a failed test could not run them: that is its own error.
    if !status && counts.failed == 0 {
        bail!("`{}` failed", process::line(&command));
    }
    Ok(counts)
}

/// What the tests are told.
fn environment(command: &mut Command) -> Result<()> {
    let output = process::root().join("tests/output");
    fs::create_dir_all(&output).with_context(|| format!("cannot make {}", output.display()))?;
    let judges = judges::places()?;
    command.env("VISAVIS_BIN", Profile::Dev.program(cargo::APP)?);
    command.env("VISAVIS_RELAY_BIN", Profile::Dev.program(cargo::RELAY_BIN)?);
    command.env("VISAVIS_PYTHON", judges.python);
    command.env("VISAVIS_JUDGES", judges.node);
    command.env("VISAVIS_OUTPUT", output);
    Ok(())
}

/// True if some documentation holds code that rustdoc would run. Asking rustdoc itself takes the better part of a minute.
fn has_examples(folder: &Path) -> Result<bool> {
    for entry in fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))? {
        let path = entry?.path();
        let found = if path.is_dir() {
            !path.ends_with("target") && has_examples(&path)?
        } else {
            path.extension().is_some_and(|extension| extension == "rs") && opens_example(&fs::read_to_string(&path)?)
        };
        if found {
            return Ok(true);
        }
    }
    Ok(false)
}

fn opens_example(source: &str) -> bool {
    let comments = source
        .lines()
        .filter_map(|line| line.trim_start().strip_prefix("///").or_else(|| line.trim_start().strip_prefix("//!")));
    // An opening fence names its language, a closing one nothing; so does an opening one of Rust, but then there are two.
    comments.map(str::trim).any(|line| matches!(line, "```rust" | "```no_run" | "```should_panic"))
        || source.lines().filter(|line| matches!(line.trim_start(), "/// ```" | "//! ```")).count() >= 2
}

fn documentation() -> Result<Counts> {
    let mut command = cargo::cargo("test");
    command.args(["--doc", "--quiet", "--workspace", "--no-fail-fast"]);
    let mut counts = Counts::default();
    let status = follow(&mut command, Stream::Output, |line| counts += cargo_test_result(line).unwrap_or_default())?;
    if !status && counts.failed == 0 {
        bail!("`{}` failed", process::line(&command));
    }
    Ok(counts)
}

/// On which of its streams a runner counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stream {
    Output,
    Error,
}

/// Runs a test runner, shows everything it says as it says it, and hands each line of one stream to `read`. True if it ended well.
fn follow(command: &mut Command, stream: Stream, mut read: impl FnMut(&str)) -> Result<bool> {
    command.stdin(Stdio::null());
    match stream {
        Stream::Output => command.stdout(Stdio::piped()),
        Stream::Error => command.stderr(Stdio::piped()),
    };
    let mut child = command.spawn().with_context(|| format!("cannot start `{}`", process::line(command)))?;
    let pipe: Box<dyn Read> = match stream {
        Stream::Output => Box::new(child.stdout.take().context("no output to follow")?),
        Stream::Error => Box::new(child.stderr.take().context("no output to follow")?),
    };
    // Tests may print bytes that are no text.
    for line in BufReader::new(pipe).split(b'\n') {
        let line = line?;
        let line = String::from_utf8_lossy(&line);
        match stream {
            Stream::Output => println!("{line}"),
            Stream::Error => eprintln!("{line}"),
        }
        read(&without_colours(&line));
    }
    Ok(child.wait()?.success())
}

/// Takes `ESC [ … m` out.
fn without_colours(line: &str) -> String {
    let mut text = String::new();
    let mut rest = line;
    while let Some((before, after)) = rest.split_once("\x1b[") {
        text.push_str(before);
        rest = after.split_once('m').map_or("", |(_, rest)| rest);
    }
    text + rest
}

/// `Summary [ 0.1s] 5 tests run: 3 passed (1 slow), 1 failed, 1 timed out, 2 skipped`
fn nextest_summary(line: &str) -> Option<Counts> {
    let (_, rest) = line.trim().strip_prefix("Summary [")?.split_once(']')?;
    let (_, list) = rest.split_once("run:")?;
    let mut counts = Counts::default();
    for part in list.split(',') {
        let mut words = part.split_whitespace();
        // Inside parentheses stands a remark on the count before it.
        let Some(number) = words.next().and_then(|word| word.parse::<u64>().ok()) else { continue };
        match words.next() {
            Some("passed") => counts.passed += number,
            Some("skipped") => counts.skipped += number,
            Some("failed" | "timed" | "exec" | "leaky") => counts.failed += number,
            _ => {}
        }
    }
    Some(counts)
}

/// `test result: ok. 3 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.00s`
fn cargo_test_result(line: &str) -> Option<Counts> {
    let (_, list) = line.trim().strip_prefix("test result:")?.split_once(". ")?;
    let mut counts = Counts::default();
    for part in list.split(';') {
        let mut words = part.split_whitespace();
        let Some(number) = words.next().and_then(|word| word.parse::<u64>().ok()) else { continue };
        match words.next() {
            Some("passed") => counts.passed = number,
            Some("failed") => counts.failed = number,
            Some("ignored") => counts.skipped = number,
            _ => {}
        }
    }
    Some(counts)
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn counts(passed: u64, failed: u64, skipped: u64) -> Option<Counts> {
        Some(Counts { passed, failed, skipped })
    }

    #[test]
    fn both_runners_are_counted() {
        for (line, expected) in [
            ("     Summary [   0.012s] 5 tests run: 5 passed, 0 skipped", counts(5, 0, 0)),
            (
                "     Summary [ 120.5s] 9 tests run: 6 passed (1 slow, 1 leaky), 2 failed, 1 timed out, 3 skipped",
                counts(6, 3, 3),
            ),
            ("     Summary [   1.0s] 2/9 tests run: 1 passed, 1 failed, 0 skipped", counts(1, 1, 0)),
            ("        PASS [   0.012s] hub ring::tests::bounded", None),
        ] {
            assert_eq!(nextest_summary(line), expected, "{line}");
        }
        for (line, expected) in [
            (
                "test result: ok. 3 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.00s",
                counts(3, 0, 1),
            ),
            ("test result: FAILED. 1 passed; 2 failed; 0 ignored; 0 measured; 7 filtered out", counts(1, 2, 0)),
            ("running 3 tests", None),
        ] {
            assert_eq!(cargo_test_result(line), expected, "{line}");
        }
    }

    #[test]
    fn colours_do_not_hide_the_summary() {
        let line = "\x1b[32;1m     Summary\x1b[0m [   0.1s] \x1b[1m2\x1b[0m tests run: \x1b[1m2\x1b[0m \x1b[32;1mpassed\x1b[0m, \x1b[1m0\x1b[0m skipped";
        assert_eq!(nextest_summary(&without_colours(line)), counts(2, 0, 0));
    }

    #[test]
    fn examples_are_seen() {
        for (source, expected) in [
            ("/// Words.\nfn f() {}", false),
            ("/// ```text\n/// a -> b\n/// ```", false),
            ("    /// ```\n    /// assert!(true);\n    /// ```", true),
            ("//! ```rust\n//! f();\n//! ```", true),
        ] {
            assert_eq!(opens_example(source), expected, "{source}");
        }
    }

    #[test]
    fn the_last_line_is_plain() {
        assert_eq!(Counts { passed: 12, failed: 0, skipped: 3 }.to_string(), "12 passed, 0 failed, 3 skipped");
    }
}
