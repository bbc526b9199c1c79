//! Replays seeds and corpora in ordinary tests. Each crate's tests include this file by its path, so that there is one of it and no
//! crate ships it.
//!
//! Belongs here: reading `corpus/TARGET`, writing seeds into it when asked. Not here: the targets (each crate's `fuzz` module),
//! growing and minimising the corpora (`cargo xtask fuzz`).

use std::fs;
use std::path::{Path, PathBuf};

/// Set by `cargo xtask fuzz --seeds`: seeds that the corpus does not hold are written into it.
const WRITE_SEEDS: &str = "FUZZ_WRITE_SEEDS";
/// Bytes; longer seeds stay in code, or beside it.
const LONGEST: usize = 16 << 10;

/// Calls `target` with every seed and with every file of `media-core/fuzz/corpus/NAME`.
///
/// # Panics
/// As `target` does, saying for which input; and where there is no corpus, because then nothing would have been replayed.
pub(crate) fn replay(name: &str, target: fn(&[u8]), seeds: &[&[u8]]) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus").join(name);
    if std::env::var_os(WRITE_SEEDS).is_some() {
        write(&folder, seeds);
    }
    for (number, seed) in seeds.iter().enumerate() {
        run(target, seed, &format!("seed {number} of {name}"));
    }
    let files = corpus(&folder);
    assert!(!files.is_empty(), "{} is missing or empty: `cargo xtask fuzz --seeds` begins it", folder.display());
    for path in files {
        let bytes = fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        run(target, &bytes, &path.display().to_string());
    }
}

/// A panic is caught by the test's harness; here it only gets the name of the input it came from.
fn run(target: fn(&[u8]), input: &[u8], name: &str) {
    struct Named<'a>(&'a str);
    impl Drop for Named<'_> {
        fn drop(&mut self) {
            if std::thread::panicking() {
                eprintln!("the input is {}", self.0);
            }
        }
    }
    let _named = Named(name);
    target(input);
}

fn corpus(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten();
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.expect("a corpus folder can be listed").path()).collect();
    files.sort();
    files
}

fn write(folder: &Path, seeds: &[&[u8]]) {
    fs::create_dir_all(folder).expect("the corpus folder can be made");
    let there: Vec<Vec<u8>> = corpus(folder).iter().filter_map(|path| fs::read(path).ok()).collect();
    let short = seeds.iter().filter(|seed| seed.len() <= LONGEST);
    for seed in short.filter(|seed| !there.iter().any(|bytes| bytes == *seed)) {
        // FNV-1a names the content, as the fuzzer's own names do.
        let hash =
            seed.iter().fold(0xCBF2_9CE4_8422_2325_u64, |h, b| (h ^ u64::from(*b)).wrapping_mul(0x100_0000_01B3));
        fs::write(folder.join(format!("seed-{hash:016x}")), seed).expect("a seed can be written");
    }
}
