//! The workspace's shape: which crate may name which, and what the headless relay must never need.
//!
//! Belongs here: everything that `cargo metadata` can tell about the crates' edges.
//! Not here: rules about single files (`house.rs`), what a crate may call (its own `clippy.toml`).

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};
use cargo_metadata::{DependencyKind, Metadata, MetadataCommand, PackageId};

/// What the relay must build without: a window, sound devices, cameras.
const NEVER_UNDER_RELAY: [&str; 12] = [
    "alsa",
    "alsa-sys",
    "cpal",
    "device",
    "gtk",
    "gtk-sys",
    "nokhwa",
    "tauri",
    "v4l",
    "v4l2-sys-mit",
    "webkit2gtk",
    "wry",
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn metadata() -> Result<Metadata> {
    MetadataCommand::new().manifest_path(root().join("Cargo.toml")).exec().context("cargo metadata")
}

/// The block ```` ```edges ```` in `media-core/ARCHITECTURE.md`: `name -> name name …`, one line a package.
fn table(architecture: &str) -> Result<BTreeMap<String, BTreeSet<String>>> {
    let (_, rest) = architecture.split_once("```edges\n").context("no block ```edges in ARCHITECTURE.md")?;
    let (block, _) = rest.split_once("```").context("the block ```edges has no end")?;
    let mut table = BTreeMap::new();
    for line in block.lines().filter(|line| !line.trim().is_empty()) {
        let (name, below) = line.split_once("->").with_context(|| format!("no arrow in {line:?}"))?;
        let below = below.split_whitespace().map(str::to_owned).collect();
        anyhow::ensure!(table.insert(name.trim().to_owned(), below).is_none(), "{name:?} stands twice");
    }
    Ok(table)
}

#[test]
fn crates_know_only_the_crates_below_them() -> Result<()> {
    let table = table(&std::fs::read_to_string(root().join("media-core/ARCHITECTURE.md"))?)?;
    let metadata = metadata()?;
    let members: BTreeSet<String> =
        metadata.workspace_packages().iter().map(|package| package.name.to_string()).collect();
    assert_eq!(members, table.keys().cloned().collect(), "the table names every package of the workspace and no other");
    let mut wrong = Vec::new();
    for package in metadata.workspace_packages() {
        let allowed = &table[package.name.as_str()];
        for dependency in &package.dependencies {
            if members.contains(&dependency.name) && !allowed.contains(&dependency.name) {
                wrong.push(format!("{} -> {} ({})", package.name, dependency.name, dependency.kind));
            }
        }
    }
    assert!(wrong.is_empty(), "edges outside the table in media-core/ARCHITECTURE.md: {wrong:#?}");
    Ok(())
}

#[test]
fn the_table_has_no_circle() -> Result<()> {
    let mut table = table(&std::fs::read_to_string(root().join("media-core/ARCHITECTURE.md"))?)?;
    while !table.is_empty() {
        let lowest: Vec<String> =
            table.iter().filter(|(_, below)| below.is_empty()).map(|(name, _)| name.clone()).collect();
        assert!(!lowest.is_empty(), "a circle, or a package that is not in the table, among {table:?}");
        table.retain(|name, _| !lowest.contains(name));
        for below in table.values_mut() {
            below.retain(|name| !lowest.contains(name));
        }
    }
    Ok(())
}

#[test]
fn the_headless_relay_needs_no_window_and_no_devices() -> Result<()> {
    let metadata = metadata()?;
    let resolve = metadata.resolve.as_ref().context("nothing resolved")?;
    let nodes: BTreeMap<&PackageId, _> = resolve.nodes.iter().map(|node| (&node.id, node)).collect();
    let relay =
        metadata.workspace_packages().into_iter().find(|package| package.name == "relay").context("no relay")?;
    // From each package to the one that asked for it, so that a finding says how it came in.
    let mut asked_by: BTreeMap<&PackageId, Option<&PackageId>> = BTreeMap::from([(&relay.id, None)]);
    let mut waiting = vec![&relay.id];
    while let Some(id) = waiting.pop() {
        for dependency in &nodes[id].deps {
            let needed = dependency.dep_kinds.iter().any(|kind| kind.kind != DependencyKind::Development);
            if needed && !asked_by.contains_key(&dependency.pkg) {
                asked_by.insert(&dependency.pkg, Some(id));
                waiting.push(&dependency.pkg);
            }
        }
    }
    assert!(asked_by.len() > 10, "only {} packages under relay: the graph was not read", asked_by.len());
    for id in asked_by.keys() {
        let name = metadata[*id].name.as_str();
        if NEVER_UNDER_RELAY.contains(&name) {
            let mut way = vec![name.to_owned()];
            let mut at = *id;
            while let Some(Some(above)) = asked_by.get(at) {
                way.push(metadata[*above].name.to_string());
                at = above;
            }
            panic!("the relay must build without {name}: {}", way.join(" <- "));
        }
    }
    Ok(())
}

/// Crates that are told the time and fed bytes.
const INNER: [&str; 4] = ["media", "container", "proto", "hub"];
/// What their `clippy.toml` must forbid; clippy itself then finds every use.
const FORBIDDEN: [&str; 7] = [
    "std::time::Instant::now",
    "std::time::SystemTime::now",
    "std::thread::sleep",
    "std::net::UdpSocket",
    "std::net::TcpStream",
    "tokio::net::UdpSocket",
    "tokio::net::TcpStream",
];

#[test]
fn the_inner_crates_forbid_clocks_and_sockets() -> Result<()> {
    for name in INNER {
        let folder = root().join("media-core").join(name);
        let rules =
            std::fs::read_to_string(folder.join("clippy.toml")).with_context(|| format!("{name}/clippy.toml"))?;
        for path in FORBIDDEN {
            assert!(rules.contains(&format!("path = \"{path}\"")), "{name}/clippy.toml does not forbid {path}");
        }
        let mut waiting = vec![folder.join("src")];
        while let Some(folder) = waiting.pop() {
            for entry in std::fs::read_dir(&folder)? {
                let path = entry?.path();
                if path.is_dir() {
                    waiting.push(path);
                } else {
                    let text = std::fs::read_to_string(&path)?;
                    assert!(!text.contains("clippy::disallowed"), "{} switches the rule off", path.display());
                }
            }
        }
    }
    Ok(())
}

/// Package and its features, as cargo would compile them for these kinds of dependency.
fn features(edges: &str) -> Result<BTreeSet<(String, String)>> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut tree = std::process::Command::new(cargo);
    tree.current_dir(root()).args(["tree", "--workspace", "--prefix", "none", "--format", "{p}|{f}", "--edges", edges]);
    let output = tree.output().context("cargo tree")?;
    anyhow::ensure!(output.status.success(), "cargo tree: {}", String::from_utf8_lossy(&output.stderr));
    let lines = String::from_utf8(output.stdout)?;
    let pairs = lines.lines().filter_map(|line| line.trim_end_matches(" (*)").split_once('|'));
    Ok(pairs.map(|(package, features)| (package.replace(" (proc-macro)", ""), features.to_owned())).collect())
}

/// A feature that only a dev-dependency switches on makes cargo compile that package, and everything above it, once for tests and once for
/// documentation and programs.
#[test]
fn tests_compile_the_same_packages_as_programs() -> Result<()> {
    let plain = features("normal,build")?;
    let known: BTreeSet<&String> = plain.iter().map(|(package, _)| package).collect();
    assert!(known.len() > 50, "only {} packages: the tree was not read", known.len());
    let tests = features("normal,build,dev")?;
    let differing: Vec<String> = tests
        .iter()
        .filter(|pair| known.contains(&pair.0) && !plain.contains(*pair))
        .map(|(package, features)| format!("{package}: {features}"))
        .collect();
    assert!(
        differing.is_empty(),
        "only dev-dependencies ask for some of these features; name them under [dependencies] in tests/Cargo.toml too, where the reason stands: {differing:#?}"
    );
    Ok(())
}

#[test]
fn a_table_is_read_line_by_line() -> Result<()> {
    let read = table("words\n```edges\nmedia ->\n\nrelay -> hub  media\n```\nwords")?;
    assert_eq!(read["relay"], BTreeSet::from(["hub".to_owned(), "media".to_owned()]));
    assert!(read["media"].is_empty());
    assert!(table("```edges\nmedia\n```").is_err());
    assert!(table("```edges\nmedia ->\nmedia ->\n```").is_err());
    assert!(table("no block").is_err());
    Ok(())
}
