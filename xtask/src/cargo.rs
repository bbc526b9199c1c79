//! Cargo, as this workspace uses it.
//!
//! Belongs here: names of packages and programs, profiles, what `cargo metadata` says.
//! Not here: what is built when (`run`, `test`, `check`, …).

use std::{
    env,
    path::{Path, PathBuf},
    process::Command,
    sync::OnceLock,
};

use anyhow::{Context as _, Result};
use serde::Deserialize;

use crate::process;

/// The package that is the desktop app.
pub(crate) const APP: &str = "visavis";
/// The package that holds the relay, and the program it makes.
pub(crate) const RELAY: &str = "relay";
pub(crate) const RELAY_BIN: &str = "visavis-relay";

#[derive(Debug, Deserialize)]
pub(crate) struct Metadata {
    pub(crate) packages: Vec<Package>,
    pub(crate) workspace_members: Vec<String>,
    pub(crate) target_directory: PathBuf,
    pub(crate) resolve: Option<Resolve>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Package {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) version: String,
    pub(crate) license: Option<String>,
    pub(crate) license_file: Option<PathBuf>,
    pub(crate) manifest_path: PathBuf,
    pub(crate) targets: Vec<Target>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Target {
    pub(crate) name: String,
    pub(crate) kind: Vec<String>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Resolve {
    pub(crate) nodes: Vec<Node>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Node {
    pub(crate) id: String,
    pub(crate) deps: Vec<Dependency>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Dependency {
    pub(crate) pkg: String,
    pub(crate) dep_kinds: Vec<DependencyKind>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct DependencyKind {
    /// `None` is a normal dependency, else `dev` or `build`.
    pub(crate) kind: Option<String>,
}

impl Metadata {
    /// The workspace's own packages.
    pub(crate) fn members(&self) -> impl Iterator<Item = &Package> {
        self.packages.iter().filter(|package| self.workspace_members.contains(&package.id))
    }

    pub(crate) fn member(&self, name: &str) -> Option<&Package> {
        self.members().find(|package| package.name == name)
    }
}

impl Package {
    /// The folder of its `Cargo.toml`.
    pub(crate) fn folder(&self) -> &Path {
        self.manifest_path.parent().unwrap_or(&self.manifest_path)
    }
}

/// A cargo of the toolchain this was started with.
pub(crate) fn cargo(subcommand: &str) -> Command {
    let mut command = process::command("cargo");
    command.arg(subcommand);
    command
}

/// Reads a manifest's metadata; with `dependencies`, the resolved graph too.
pub(crate) fn read_metadata(manifest: &Path, dependencies: bool) -> Result<Metadata> {
    let mut command = cargo("metadata");
    command.args(["--format-version", "1", "--manifest-path"]).arg(manifest);
    if !dependencies {
        command.arg("--no-deps");
    }
    serde_json::from_str(&process::text(&mut command)?).context("cannot read what `cargo metadata` printed")
}

/// The workspace's metadata without its dependencies, asked for once.
pub(crate) fn metadata() -> Result<&'static Metadata> {
    static METADATA: OnceLock<Metadata> = OnceLock::new();
    if let Some(metadata) = METADATA.get() {
        return Ok(metadata);
    }
    let read = read_metadata(&process::root().join("Cargo.toml"), false)?;
    Ok(METADATA.get_or_init(|| read))
}

/// Cargo's target folder.
pub(crate) fn target_dir() -> Result<PathBuf> {
    Ok(metadata()?.target_directory.clone())
}

/// Which set of compiler settings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Profile {
    /// Quick to build; codecs, crypto and RTP are optimised all the same.
    Dev,
    /// What is shipped and measured.
    Release,
}

impl Profile {
    pub(crate) fn args(self) -> &'static [&'static str] {
        match self {
            Self::Dev => &[],
            Self::Release => &["--release"],
        }
    }

    /// Where a built program lies.
    pub(crate) fn program(self, name: &str) -> Result<PathBuf> {
        let folder = match self {
            Self::Dev => "debug",
            Self::Release => "release",
        };
        Ok(target_dir()?.join(folder).join(format!("{name}{}", env::consts::EXE_SUFFIX)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_workspace_holds_the_app_and_the_relay() {
        let metadata = metadata().unwrap();
        assert!(metadata.member(APP).is_some());
        assert!(metadata.member(RELAY).is_some());
        assert!(metadata.member("serde").is_none());
    }
}
