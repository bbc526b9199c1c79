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

/// Make the installers (.deb and .rpm on Linux) and the relay's archive, in target/dist.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Which installers, as Tauri names them; default: deb and rpm on Linux, what the system has elsewhere.
    #[arg(long, value_name = "LIST")]
    bundles: Option<String>,
    /// Only the relay's archive.
    #[arg(long)]
    relay_only: bool,
    /// Install nothing; trust that everything is there.
    #[arg(long)]
    skip_install: bool,
}

pub(crate) fn dist(args: &Args) -> Result<()> {
    tools::ensure(&[Need::Build], if args.skip_install { Install::Skip } else { Install::Missing })?;
    licences::check()?;
    let folder = cargo::target_dir()?.join("dist");
    fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    licences::write_texts(&folder.join("THIRD-PARTY-TEXTS.txt"))?;
    relay(&folder)?;
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
    fs::copy(folder.join("THIRD-PARTY-TEXTS.txt"), inside.join("THIRD-PARTY-TEXTS.txt"))?;
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
        pack.arg(&cli).args(["build", "--ci"]).env("CARGO_NET_OFFLINE", "true");
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
            if file.file_type()?.is_file() && wanted.iter().any(|end| file.file_name().to_string_lossy().ends_with(end))
            {
                fs::copy(file.path(), folder.join(file.file_name()))?;
            }
        }
    }
    Ok(())
}
