//! `cargo xtask licences`: `THIRD-PARTY.md`, generated from what is really linked and bundled.
//!
//! Belongs here: which packages reach a shipped program, their licences, the C sources inside some of them, refusing what we may not ship.
//! Not here: reading licence expressions (`spdx`), packing (`dist`).

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, bail};
use serde::Deserialize;

use crate::{
    cargo::{self, Metadata, Package},
    process, spdx, ui,
};

/// Write THIRD-PARTY.md: every package that reaches the app or the relay, with its licence.
///
/// Fails if one of them may not be shipped under MIT OR Apache-2.0 (GPL family only, unknown licence).
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Write nothing; fail if the file would change.
    #[arg(long)]
    check: bool,
    /// Write every licence text of every package into FILE instead, as it goes into the installers.
    #[arg(long, value_name = "FILE", conflicts_with = "check")]
    texts: Option<PathBuf>,
}

const FILE: &str = "THIRD-PARTY.md";
/// npm calls it a development package, but its run time ends up in the built page.
const BUNDLED: [&str; 1] = ["svelte"];
/// How licence files are named in packages.
const PAPER_NAMES: [&str; 6] = ["LICENSE", "LICENCE", "NOTICE", "COPYING", "COPYRIGHT", "UNLICENSE"];

/// C and C++ sources that a crate carries inside, under terms of their own whatever the crate's own field says.
struct Vendored {
    krate: &'static str,
    what: &'static str,
    licence: &'static str,
    /// Where the terms stand inside the crate.
    text: &'static str,
}

const VENDORED: [Vendored; 3] = [
    Vendored { krate: "openh264-sys2", what: "OpenH264 (H.264)", licence: "BSD-2-Clause", text: "upstream/LICENSE" },
    Vendored { krate: "opusic-sys", what: "libopus (Opus)", licence: "BSD-3-Clause", text: "opus/COPYING" },
    Vendored {
        krate: "fdk-aac-sys",
        what: "Fraunhofer FDK AAC",
        licence: "FDK-AAC (its own, below)",
        text: "aac/NOTICE",
    },
];

const ROYALTIES: &str = "\
## Who owes royalties

Copyright licences are one thing, patents another. H.264 (AVC) and parts of AAC are covered by patents that their owners license through pools.
None of the licences above grants them; FDK AAC's says so in words. Whoever *distributes* a program that encodes or decodes H.264 or AAC, or earns
money with streams in them, owes what the pools ask: that is the distributor of a binary made from this source, not its authors, and often
nobody at all (small numbers are free in the pools' terms, the base patents of AAC-LC have mostly expired; HE-AAC's have not). Ask the pools, not
this file. Cisco pays H.264's royalties for the OpenH264 binaries that it distributes itself, not for the OpenH264 that is compiled here.

GTK, WebKitGTK and GStreamer are libraries of the system (LGPL), found there at run time and not shipped with the program.
";

pub(crate) fn licences(args: &Args) -> Result<()> {
    match &args.texts {
        Some(path) => write_texts(path),
        None if args.check => check(),
        None => write(),
    }
}

/// Fails if the list is stale or something in it may not be shipped.
pub(crate) fn check() -> Result<()> {
    let path = process::root().join(FILE);
    // A checkout may have turned the line ends.
    let there = fs::read_to_string(&path).unwrap_or_default().replace("\r\n", "\n");
    if there != render()? {
        bail!("{FILE} is stale: run `cargo xtask licences` and commit it");
    }
    Ok(())
}

pub(crate) fn write() -> Result<()> {
    let path = process::root().join(FILE);
    fs::write(&path, render()?).with_context(|| format!("cannot write {}", path.display()))?;
    println!("{}", path.display());
    Ok(())
}

/// Every licence file of every shipped package, each text once, for what is handed to people.
pub(crate) fn write_texts(path: &Path) -> Result<()> {
    let metadata = read()?;
    let mut texts: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for package in shipped(&metadata)? {
        let mut files = papers(package.folder())?;
        files.extend(
            VENDORED
                .iter()
                .filter(|vendored| vendored.krate == package.name)
                .map(|vendored| package.folder().join(vendored.text)),
        );
        for file in files {
            let text = String::from_utf8_lossy(&fs::read(&file)?).replace("\r\n", "\n");
            texts.entry(text).or_default().push(format!("{} {}", package.name, package.version));
        }
    }
    ui::install()?;
    for module in modules()? {
        for file in papers(&ui::folder().join("node_modules").join(&module.name))? {
            let text = String::from_utf8_lossy(&fs::read(&file)?).replace("\r\n", "\n");
            texts.entry(text).or_default().push(format!("{} {} (npm)", module.name, module.version));
        }
    }
    let mut all = String::new();
    for (text, names) in texts {
        all += &format!("{}\n{}\n\n{}\n\n", "=".repeat(100), names.join(", "), text.trim_end());
    }
    fs::write(path, all).with_context(|| format!("cannot write {}", path.display()))
}

fn render() -> Result<String> {
    let metadata = read()?;
    let packages = shipped(&metadata)?;
    let mut refused = Vec::new();
    let mut text = String::from(
        "# Third-party software\n\nGenerated by `cargo xtask licences` from the lock files; `cargo xtask check` fails when it is stale. \
         Visavis itself is MIT OR Apache-2.0.\nListed is everything that takes part in building the app or the relay on any system, so more than any one program contains.\n\n\
         ## C and C++ sources, compiled in\n\n| what | inside the crate | licence |\n| --- | --- | --- |\n",
    );
    for vendored in &VENDORED {
        if let Some(package) = packages.iter().find(|package| package.name == vendored.krate) {
            text += &format!("| {} | {} {} | {} |\n", vendored.what, package.name, package.version, vendored.licence);
        }
    }
    text += &format!("\n{ROYALTIES}\n## Rust crates\n\n| crate | version | licence |\n| --- | --- | --- |\n");
    for package in &packages {
        let licence = licence(package);
        if !spdx::acceptable(&licence) {
            refused.push(format!("{} {} ({licence})", package.name, package.version));
        }
        text += &format!("| {} | {} | {licence} |\n", package.name, package.version);
    }
    text.push_str("\n## npm packages, in the page\n\n| package | version | licence |\n| --- | --- | --- |\n");
    for module in modules()? {
        if !spdx::acceptable(&module.licence) {
            refused.push(format!("{} {} ({})", module.name, module.version, module.licence));
        }
        text += &format!("| {} | {} | {} |\n", module.name, module.version, module.licence);
    }
    for vendored in &VENDORED {
        if let Some(package) = packages.iter().find(|package| package.name == vendored.krate) {
            let path = package.folder().join(vendored.text);
            let terms =
                fs::read(&path).with_context(|| format!("{} has no {} any more", vendored.krate, vendored.text))?;
            let terms = String::from_utf8_lossy(&terms).replace("\r\n", "\n");
            let terms: Vec<&str> = terms.trim().lines().map(str::trim_end).collect();
            text += &format!("\n## Terms of {}\n\n```text\n{}\n```\n", vendored.what, terms.join("\n"));
        }
    }
    if !refused.is_empty() {
        bail!("may not be shipped under MIT OR Apache-2.0: {}", refused.join(", "));
    }
    Ok(text)
}

fn read() -> Result<Metadata> {
    cargo::read_metadata(&process::root().join("Cargo.toml"), true)
}

/// Everything that the app and the relay reach by other than dev-dependencies, on any system, without our own crates; by name and version.
fn shipped(metadata: &Metadata) -> Result<Vec<&Package>> {
    let resolve = metadata.resolve.as_ref().context("cargo metadata resolved nothing")?;
    let nodes: BTreeMap<&str, _> = resolve.nodes.iter().map(|node| (node.id.as_str(), node)).collect();
    let mut waiting: Vec<&str> = [cargo::APP, cargo::RELAY]
        .into_iter()
        .filter_map(|name| metadata.member(name))
        .map(|package| package.id.as_str())
        .collect();
    let mut reached = BTreeSet::new();
    while let Some(id) = waiting.pop() {
        if !reached.insert(id) {
            continue;
        }
        let Some(node) = nodes.get(id) else { continue };
        for dependency in &node.deps {
            if dependency.dep_kinds.iter().any(|kind| kind.kind.as_deref() != Some("dev")) {
                waiting.push(&dependency.pkg);
            }
        }
    }
    let ours = |package: &&Package| !metadata.workspace_members.contains(&package.id);
    let mut packages: Vec<&Package> =
        metadata.packages.iter().filter(|package| reached.contains(package.id.as_str())).filter(ours).collect();
    packages.sort_by(|a, b| (&a.name, &a.version).cmp(&(&b.name, &b.version)));
    Ok(packages)
}

fn licence(package: &Package) -> String {
    match (&package.license, &package.license_file) {
        (Some(licence), _) => licence.clone(),
        (None, Some(file)) => format!("see {}", file.display()),
        (None, None) => "unknown".into(),
    }
}

struct Module {
    name: String,
    version: String,
    licence: String,
}

/// npm's packages that end up in the built page, by name.
fn modules() -> Result<Vec<Module>> {
    #[derive(Deserialize)]
    struct Lock {
        packages: BTreeMap<String, Entry>,
    }
    #[derive(Deserialize)]
    struct Entry {
        #[serde(default)]
        version: String,
        #[serde(default)]
        license: String,
        #[serde(default)]
        dev: bool,
    }
    let path = ui::folder().join("package-lock.json");
    let text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let lock: Lock = serde_json::from_str(&text).with_context(|| format!("cannot read {}", path.display()))?;
    let named = lock.packages.into_iter().filter_map(|(path, entry)| {
        let (_, name) = path.rsplit_once("node_modules/")?;
        Some((name.to_owned(), entry))
    });
    let bundled = named.filter(|(name, entry)| !entry.dev || BUNDLED.contains(&name.as_str()));
    Ok(bundled.map(|(name, entry)| Module { name, version: entry.version, licence: entry.license }).collect())
}

fn papers(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().to_uppercase();
        if entry.file_type()?.is_file() && PAPER_NAMES.iter().any(|start| name.starts_with(start)) {
            found.push(entry.path());
        }
    }
    found.sort();
    Ok(found)
}
