//! Judges for the tests that come from Python's and Node's registries, at pinned versions.
//!
//! Belongs here: `target/judges/venv` from `tests/support/requirements.txt`, `tests/support/judges` from its lock file.
//! Not here: judges from the system's packages (`tools`), what the tests do with them (`tests/`). The app uses none of this.

use std::{
    fs,
    hash::{DefaultHasher, Hash as _, Hasher as _},
    path::PathBuf,
};

use anyhow::{Context as _, Result, anyhow};

use crate::{
    cargo, process, progress,
    ui::{self, Stamp},
};

/// Tried in this order: the person's own choice first, then the system's, then names with a version.
const PYTHONS: [&str; 7] =
    ["python3", "/usr/bin/python3", "python3.14", "python3.13", "python3.12", "python3.11", "python3.10"];
/// The oldest Python that the pinned judges have wheels for.
const OLDEST: (u32, u32) = (3, 10);

/// Where the judges are, for the tests' environment.
pub(crate) struct Judges {
    /// A Python in which aiortc and PyAV import.
    pub(crate) python: PathBuf,
    /// The folder whose `node_modules` holds hls.js.
    pub(crate) node: PathBuf,
}

/// Where the judges are or would be.
pub(crate) fn places() -> Result<Judges> {
    let bin = if cfg!(windows) { "Scripts/python.exe" } else { "bin/python" };
    Ok(Judges { python: venv()?.join(bin), node: process::root().join("tests/support/judges") })
}

/// Installs what is missing.
pub(crate) fn ensure() -> Result<Judges> {
    let judges = places()?;
    python_judges(&judges)?;
    ui::npm_ci(&judges.node, "the tests' JavaScript judges", "npm-judges")?;
    Ok(judges)
}

/// A `python3` that can make a virtual environment with pip in it. Debian splits that off into python3-venv, so asking is not enough:
/// `import ensurepip` must work.
pub(crate) fn python() -> Option<&'static str> {
    let probe = format!("import sys, venv, ensurepip; sys.exit(sys.version_info[:2] < {OLDEST:?})");
    PYTHONS.into_iter().find(|name| process::succeeds(process::command(name).args(["-c", &probe])))
}

fn venv() -> Result<PathBuf> {
    Ok(cargo::target_dir()?.join("judges/venv"))
}

fn python_judges(judges: &Judges) -> Result<()> {
    let requirements = process::root().join("tests/support/requirements.txt");
    let python = python().ok_or_else(|| {
        anyhow!("no python3 here can make a virtual environment (on Debian: apt-get install python3-venv)")
    })?;
    let mut hasher = DefaultHasher::new();
    fs::read(&requirements).with_context(|| format!("cannot read {}", requirements.display()))?.hash(&mut hasher);
    process::text(process::command(python).args(["-c", "import sys; print(sys.version, sys.executable)"]))?
        .hash(&mut hasher);
    let stamp = Stamp::new("venv", hasher.finish())?;
    if stamp.is_fresh() && judges.python.is_file() {
        return Ok(());
    }
    let mut make = process::command(python);
    make.args(["-m", "venv", "--clear"]).arg(venv()?);
    progress::quiet("Making a Python environment for the tests", "venv", &mut make)?;
    let mut pip = process::command(&judges.python);
    pip.args([
        "-m",
        "pip",
        "install",
        "--disable-pip-version-check",
        "--no-input",
        "--only-binary=:all:",
        "--requirement",
    ]);
    progress::quiet("Installing the tests' Python judges (pip)", "pip", pip.arg(&requirements))?;
    stamp.set()
}
