//! `cargo xtask dist`: what is handed to people.
//!
//! Belongs here: the installers (through Tauri's own packager) and the relay's archive, licences inside both.
//! Not here: publishing them anywhere.

use std::{env::consts, fs, path::Path};

use anyhow::{Context as _, Result, bail};

use crate::{
    cargo::{self, Profile},
    licences, process, progress,
    tools::{self, Install, Need},
    ui,
};

/// Files that go beside the relay's program.
const PAPERS: [&str; 5] = ["LICENSE-MIT", "LICENSE-APACHE", "THIRD-PARTY.md", "README.md", "CHANGELOG.md"];

/// Every licence text of every package, written here by `licences`.
const TEXTS: &str = "THIRD-PARTY-TEXTS.txt";

/// Make the installers (.deb and .rpm on Linux) and the relay's archive, in target/dist.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Which installers, as Tauri names them; default: deb and rpm on Linux, what the system has elsewhere.
    #[arg(long, value_name = "LIST")]
    bundles: Option<String>,
    /// Only the relay's archive.
    #[arg(long, conflicts_with_all = ["app_only", "bundles"])]
    relay_only: bool,
    /// Only the app's installers.
    #[arg(long)]
    app_only: bool,
    /// Install nothing; trust that everything is there.
    #[arg(long)]
    skip_install: bool,
}

pub(crate) fn dist(args: &Args) -> Result<()> {
    tools::ensure(&[Need::Build], if args.skip_install { Install::Skip } else { Install::Missing })?;
    licences::check()?;
    let folder = cargo::target_dir()?.join("dist");
    fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    licences::write_texts(&folder.join(TEXTS))?;
    if !args.app_only {
        relay(&folder)?;
    }
    if !args.relay_only {
        app(args, &folder)?;
    }
    for entry in fs::read_dir(&folder)? {
        let entry = entry?;
        println!("{:>8.1} MB  {}", entry.metadata()?.len() as f64 / 1e6, entry.path().display());
    }
    Ok(())
}

fn relay(folder: &Path) -> Result<()> {
    progress::step("Building the relay (release)", || {
        let mut build = cargo::cargo("build");
        build.args(["--package", cargo::RELAY, "--bin", cargo::RELAY_BIN, "--locked"]).args(Profile::Release.args());
        process::run(&mut build)
    })?;
    let version = &cargo::metadata()?.member(cargo::RELAY).context("the workspace has no relay")?.version;
    let name = format!("{}-{version}-{}-{}", cargo::RELAY_BIN, consts::OS, consts::ARCH);
    let staging = process::scratch()?.join("dist");
    let inside = staging.join(&name);
    if inside.exists() {
        fs::remove_dir_all(&inside)?;
    }
    fs::create_dir_all(&inside)?;
    let program = Profile::Release.program(cargo::RELAY_BIN)?;
    fs::copy(&program, inside.join(program.file_name().context("the relay has no name")?))?;
    for paper in PAPERS {
        fs::copy(process::root().join(paper), inside.join(paper)).with_context(|| format!("cannot copy {paper}"))?;
    }
    fs::copy(folder.join(TEXTS), inside.join(TEXTS))?;
    let mut tar = process::command("tar");
    tar.arg("--create")
        .arg("--gzip")
        .arg("--file")
        .arg(folder.join(format!("{name}.tar.gz")))
        .arg("-C")
        .arg(&staging)
        .arg(&name);
    progress::quiet("Packing the relay", "dist-tar", &mut tar)
}

/// Tauri's configuration for this packing alone: the papers go into the installers. In `tauri.conf.json` itself they would have to exist for
/// every build.
fn with_papers(folder: &Path) -> String {
    let mut resources = serde_json::Map::new();
    let mut add = |file: &Path, name: &str| {
        resources.insert(file.to_string_lossy().into_owned(), format!("papers/{name}").into());
    };
    for paper in PAPERS {
        add(&process::root().join(paper), paper);
    }
    add(&folder.join(TEXTS), TEXTS);
    serde_json::json!({"bundle": {"resources": resources}}).to_string()
}

fn app(args: &Args, folder: &Path) -> Result<()> {
    ui::build()?;
    let cli = ui::folder().join("node_modules/@tauri-apps/cli/tauri.js");
    if !cli.is_file() {
        bail!("ui/package.json does not name @tauri-apps/cli, which packs the installers");
    }
    let bundles = args.bundles.clone().or_else(|| cfg!(target_os = "linux").then(|| "deb,rpm".to_owned()));
    progress::step("Packing the app", || {
        let mut pack = process::command("node");
        // Everything was fetched while it was built; the packager must fetch nothing more.
        pack.arg(&cli).args(["build", "--ci", "--config", &with_papers(folder)]).env("CARGO_NET_OFFLINE", "true");
        if let Some(bundles) = &bundles {
            pack.args(["--bundles", bundles]);
        }
        process::run(&mut pack)
    })?;
    let made = cargo::target_dir()?.join("release/bundle");
    for kind in fs::read_dir(&made).with_context(|| format!("cannot read {}", made.display()))? {
        for file in fs::read_dir(kind?.path())? {
            let file = file?;
            let wanted = [".deb", ".rpm", ".dmg", ".msi", ".exe"];
            let name = file.file_name();
            if !file.file_type()?.is_file() || !wanted.iter().any(|end| name.to_string_lossy().ends_with(end)) {
                continue;
            }
            if name.to_string_lossy().ends_with(".deb") && process::find("dpkg-deb").is_some() {
                smaller(&file.path(), &folder.join(name))?;
            } else {
                fs::copy(file.path(), folder.join(name))?;
            }
        }
    }
    Ok(())
}

/// Packs a .deb again by Debian's own tool, with xz, which is its default: three quarters of what Tauri's gzip makes of it, and Tauri can do no other.
fn smaller(deb: &Path, to: &Path) -> Result<()> {
    let inside = process::scratch()?.join("deb");
    if inside.exists() {
        fs::remove_dir_all(&inside)?;
    }
    let mut unpack = process::command("dpkg-deb");
    unpack.arg("--raw-extract").arg(deb).arg(&inside);
    progress::quiet("Opening the .deb", "dist-deb-open", &mut unpack)?;
    let mut pack = process::command("dpkg-deb");
    pack.args(["--root-owner-group", "-Zxz", "--build"]).arg(&inside).arg(to);
    progress::quiet("Packing the .deb", "dist-deb", &mut pack)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_paper_is_there_and_goes_in() {
        let config: serde_json::Value = serde_json::from_str(&with_papers(Path::new("/d"))).unwrap();
        let resources = config["bundle"]["resources"].as_object().unwrap();
        assert_eq!(resources.len(), PAPERS.len() + 1);
        assert_eq!(resources["/d/THIRD-PARTY-TEXTS.txt"], "papers/THIRD-PARTY-TEXTS.txt");
        assert!(PAPERS.iter().all(|paper| process::root().join(paper).is_file()));
    }
}
