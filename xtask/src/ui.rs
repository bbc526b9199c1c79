//! The page in the window: npm, its build, its checks and unit tests.
//!
//! Belongs here: everything that runs in `ui/`, and knowing when it need not run again.
//! Not here: the page itself (`ui/`), packaging (`dist`).

use std::{
    fs,
    hash::{DefaultHasher, Hash as _, Hasher as _},
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, anyhow, bail};
use serde::Deserialize;

use crate::{process, progress, test::Counts};

/// The oldest Node that the page's tools run on.
const NODE: (u32, u32) = (20, 19);
/// Folders below `ui/` that are made, not written.
const MADE: [&str; 3] = ["node_modules", "dist", ".svelte-kit"];

/// Installs the packages that `package-lock.json` names, if it changed since the last time.
pub(crate) fn install() -> Result<()> {
    require_node()?;
    npm_ci(&folder(), "the page's packages", "npm-ui")
}

/// Builds `ui/dist`, if anything in `ui/` changed since the last time.
pub(crate) fn build() -> Result<()> {
    install()?;
    let stamp = Stamp::new("ui-build", fingerprint()?)?;
    if stamp.is_fresh() && folder().join("dist/index.html").is_file() {
        return Ok(());
    }
    progress::quiet("Building the page", "ui-build", npm(&folder()).args(["run", "build"]))?;
    stamp.set()
}

/// Types and lints.
pub(crate) fn check() -> Result<()> {
    install()?;
    for script in ["check", "lint"] {
        if scripts()?.contains_key(script) {
            progress::step(&format!("The page: npm run {script}"), || {
                process::run(npm(&folder()).args(["run", "--silent", script]))
            })?;
        }
    }
    Ok(())
}

/// Runs the page's unit tests, unless they passed already for exactly these files, and counts them.
pub(crate) fn test() -> Result<Counts> {
    install()?;
    let report = process::scratch()?.join("ui-test.json");
    let stamp = Stamp::new("ui-test", fingerprint()?)?;
    if !stamp.is_fresh() || !report.is_file() {
        progress::step("The page's unit tests", || {
            let mut vitest = npm(&folder());
            vitest.args(["run", "--silent", "test", "--", "--reporter=default", "--reporter=json"]);
            vitest.arg(format!("--outputFile.json={}", report.display()));
            // Failed tests are counted below; a runner that broke leaves no fresh report.
            fs::remove_file(&report).ok();
            process::run(&mut vitest).or_else(|error| if report.is_file() { Ok(()) } else { Err(error) })
        })?;
    } else {
        eprintln!("==> The page's unit tests: unchanged since they passed");
    }
    let counts = read_report(&fs::read_to_string(&report).context("the page's tests left no report")?)?;
    if counts.failed == 0 {
        stamp.set()?;
    }
    Ok(counts)
}

/// `npm ci` in a folder, if its lock file changed since the last time.
pub(crate) fn npm_ci(folder: &Path, what: &str, name: &str) -> Result<()> {
    let lock = folder.join("package-lock.json");
    let mut hasher = DefaultHasher::new();
    fs::read(&lock).with_context(|| format!("cannot read {}", lock.display()))?.hash(&mut hasher);
    let stamp = Stamp::new(name, hasher.finish())?;
    if stamp.is_fresh() && folder.join("node_modules").is_dir() {
        return Ok(());
    }
    progress::quiet(&format!("Installing {what} (npm ci)"), name, npm(folder).args(["ci", "--no-audit", "--no-fund"]))?;
    stamp.set()
}

/// The folder of the page.
pub(crate) fn folder() -> PathBuf {
    process::root().join("ui")
}

/// npm, working in a folder.
pub(crate) fn npm(folder: &Path) -> Command {
    let mut command = process::command(if cfg!(windows) { "npm.cmd" } else { "npm" });
    command.current_dir(folder);
    command
}

fn require_node() -> Result<()> {
    let said = process::text(process::command("node").arg("--version")).map_err(|_| {
        anyhow!("Node is not installed: get {}.{} or newer from your system or nodejs.org", NODE.0, NODE.1)
    })?;
    let version = parse_version(&said).ok_or_else(|| anyhow!("cannot read Node's version from {said:?}"))?;
    if version < NODE {
        bail!("Node {} is too old for the page's tools: {}.{} or newer is needed", said.trim(), NODE.0, NODE.1);
    }
    Ok(())
}

fn parse_version(said: &str) -> Option<(u32, u32)> {
    let mut numbers = said.trim().trim_start_matches('v').split('.').map(str::parse);
    Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
}

fn scripts() -> Result<std::collections::BTreeMap<String, String>> {
    #[derive(Deserialize)]
    struct Manifest {
        #[serde(default)]
        scripts: std::collections::BTreeMap<String, String>,
    }
    let text = fs::read_to_string(folder().join("package.json")).context("cannot read ui/package.json")?;
    Ok(serde_json::from_str::<Manifest>(&text).context("cannot read ui/package.json")?.scripts)
}

fn read_report(text: &str) -> Result<Counts> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Report {
        num_passed_tests: u64,
        num_failed_tests: u64,
        num_failed_test_suites: u64,
        num_pending_tests: u64,
        #[serde(default)]
        num_todo_tests: u64,
    }
    let report: Report = serde_json::from_str(text).context("cannot read the page's test report")?;
    // A file that does not load counts no test, and is a failure all the same.
    let failed = report.num_failed_tests.max(report.num_failed_test_suites.min(1));
    Ok(Counts { passed: report.num_passed_tests, failed, skipped: report.num_pending_tests + report.num_todo_tests })
}

/// A hash over every file that was written by hand in `ui/`.
fn fingerprint() -> Result<u64> {
    let mut files = Vec::new();
    collect(&folder(), &mut files)?;
    files.sort();
    let mut hasher = DefaultHasher::new();
    for file in files {
        file.hash(&mut hasher);
        fs::read(&file).with_context(|| format!("cannot read {}", file.display()))?.hash(&mut hasher);
    }
    Ok(hasher.finish())
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    for entry in fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))? {
        let entry = entry?;
        if MADE.iter().any(|made| entry.file_name() == *made) {
            continue;
        }
        if entry.file_type()?.is_dir() {
            collect(&entry.path(), files)?;
        } else {
            files.push(entry.path());
        }
    }
    Ok(())
}

/// Remembers under `target/xtask` for which input a step last went well.
pub(crate) struct Stamp {
    path: PathBuf,
    input: String,
}

impl Stamp {
    pub(crate) fn new(name: &str, input: u64) -> Result<Self> {
        Ok(Self { path: process::scratch()?.join(format!("{name}.stamp")), input: format!("{input:016x}") })
    }

    pub(crate) fn is_fresh(&self) -> bool {
        fs::read_to_string(&self.path).is_ok_and(|text| text == self.input)
    }

    pub(crate) fn set(&self) -> Result<()> {
        fs::write(&self.path, &self.input).with_context(|| format!("cannot write {}", self.path.display()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn node_versions() {
        for (said, version) in [("v20.20.2\n", Some((20, 20))), ("v8.0.0", Some((8, 0))), ("", None), ("vx.y", None)] {
            assert_eq!(parse_version(said), version, "{said}");
        }
    }

    #[test]
    fn a_test_file_that_does_not_load_is_a_failure() {
        let report = |suites, failed| {
            format!(
                r#"{{"numPassedTests":3,"numFailedTests":{failed},"numFailedTestSuites":{suites},"numPendingTests":1,"numTodoTests":1}}"#
            )
        };
        assert_eq!(read_report(&report(0, 0)).unwrap(), Counts { passed: 3, failed: 0, skipped: 2 });
        assert_eq!(read_report(&report(2, 0)).unwrap(), Counts { passed: 3, failed: 1, skipped: 2 });
        assert_eq!(read_report(&report(1, 2)).unwrap(), Counts { passed: 3, failed: 2, skipped: 2 });
    }
}
