//! The house rules that a program can check on every file we wrote.
//!
//! Belongs here: borders, sizes, lints switched on, lock files without addresses, characters that hide.
//! Not here: the crates' edges (`layering.rs`), formats and lints themselves (`cargo xtask check`), the page's texts (`ui/`).

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};
use cargo_metadata::MetadataCommand;

/// Past this a file is no longer read as one; most stay far below.
const LONGEST: usize = 900;
/// Folders that are made, fetched or not ours to write.
const MADE: [&str; 7] = ["target", "node_modules", "dist", ".git", "output", ".svelte-kit", "gen"];
/// Bytes are kept as they came in these: recorded streams, pictures, fuzz corpora.
const BINARY: [&str; 12] = ["png", "ico", "icns", "jpg", "mp4", "flv", "aac", "h264", "bin", "ogg", "wav", "woff2"];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize().expect("this test lies in the repository")
}

/// Every file we wrote, in a stable order.
fn files() -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut waiting = vec![root()];
    while let Some(folder) = waiting.pop() {
        for entry in fs::read_dir(&folder).with_context(|| folder.display().to_string())? {
            let entry = entry?;
            let name = entry.file_name();
            let kind = entry.file_type()?;
            if kind.is_dir()
                && !MADE.iter().any(|made| name == *made)
                && !entry.path().ends_with("media-core/fuzz/corpus")
            {
                waiting.push(entry.path());
            } else if kind.is_file() {
                found.push(entry.path());
            }
        }
    }
    found.sort();
    Ok(found)
}

fn has_extension(path: &Path, extensions: &[&str]) -> bool {
    path.extension().is_some_and(|extension| extensions.iter().any(|other| extension == *other))
}

fn shown(path: &Path) -> String {
    path.strip_prefix(root()).unwrap_or(path).display().to_string()
}

/// Collects what breaks a rule and fails once, with all of it.
fn none(rule: &str, broken: &[String]) {
    assert!(broken.is_empty(), "{rule}:\n  {}", broken.join("\n  "));
}

/// True if a Rust file begins with a border comment: `//!`, after an attribute or a shebang at most.
fn has_border(text: &str) -> bool {
    text.lines()
        .find(|line| !line.trim().is_empty())
        .is_some_and(|line| line.starts_with("//! ") && line.len() > "//! ".len())
}

#[test]
fn every_module_opens_with_its_border() -> Result<()> {
    let mut broken = Vec::new();
    for path in files()?.iter().filter(|path| has_extension(path, &["rs"])) {
        if !has_border(&fs::read_to_string(path)?) {
            broken.push(shown(path));
        }
    }
    none("a module says in its first line (`//! …`) what it is", &broken);
    Ok(())
}

#[test]
fn every_member_takes_the_workspace_lints() -> Result<()> {
    let metadata = MetadataCommand::new().manifest_path(root().join("Cargo.toml")).no_deps().exec()?;
    let mut broken = Vec::new();
    for package in metadata.workspace_packages() {
        let manifest = fs::read_to_string(&package.manifest_path)?;
        let lints: Vec<&str> = manifest.lines().map(str::trim).skip_while(|line| *line != "[lints]").skip(1).collect();
        if lints.first() != Some(&"workspace = true") {
            broken.push(package.name.to_string());
        }
    }
    none("every member's Cargo.toml has `[lints]` with `workspace = true`", &broken);
    Ok(())
}

#[test]
fn files_stay_readable() -> Result<()> {
    let mut broken = Vec::new();
    for path in files()?.iter().filter(|path| has_extension(path, &["rs", "ts", "svelte", "js", "py"])) {
        let lines = fs::read_to_string(path)?.lines().count();
        if lines > LONGEST {
            broken.push(format!("{}: {lines} lines", shown(path)));
        }
    }
    none(&format!("no file has more than {LONGEST} lines"), &broken);
    Ok(())
}

#[test]
fn lock_files_name_no_addresses() -> Result<()> {
    let mut broken = Vec::new();
    for path in files()?.iter().filter(|path| path.ends_with("package-lock.json")) {
        let count =
            fs::read_to_string(path)?.lines().filter(|line| line.trim_start().starts_with("\"resolved\":")).count();
        if count > 0 {
            broken.push(format!("{}: {count} addresses", shown(path)));
        }
        let settings = path.with_file_name(".npmrc");
        if !fs::read_to_string(&settings).unwrap_or_default().contains("omit-lockfile-registry-resolved=true") {
            broken.push(format!("{} does not say omit-lockfile-registry-resolved=true", shown(&settings)));
        }
    }
    none("package-lock.json holds versions and hashes, no addresses", &broken);
    Ok(())
}

/// Characters that make text read in another order than it is compiled in, or that cannot be seen at all.
fn hides(character: char) -> bool {
    matches!(character, '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}' | '\u{200E}' | '\u{200F}' | '\u{200B}' | '\u{061C}' | '\u{FEFF}')
}

#[test]
fn no_character_hides() -> Result<()> {
    let mut broken = Vec::new();
    for path in files()?.iter().filter(|path| !has_extension(path, &BINARY)) {
        // What is not text has nothing to hide from a reader.
        let Ok(text) = fs::read_to_string(path) else { continue };
        for (number, line) in text.lines().enumerate() {
            if let Some(character) = line.chars().find(|character| hides(*character)) {
                broken.push(format!("{}:{}: U+{:04X}", shown(path), number + 1, character as u32));
            }
        }
    }
    none("no direction marks, no zero-width characters, no byte order mark", &broken);
    Ok(())
}

#[test]
fn the_rules_recognise_what_they_forbid() {
    for (text, expected) in [
        ("//! A thing.\n", true),
        ("\n//! A thing.\n", true),
        ("//!\nfn main() {}", false),
        ("// A thing.\n", false),
        ("use std::fs;\n", false),
        ("", false),
    ] {
        assert_eq!(has_border(text), expected, "{text:?}");
    }
    assert!(hides('\u{202E}') && hides('\u{200B}') && !hides('面') && !hides('é'));
    assert!(has_extension(Path::new("a/b.rs"), &["rs"]) && !has_extension(Path::new("a/rs"), &["rs"]));
}
