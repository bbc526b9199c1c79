//! Replays the fuzzers' corpora in ordinary tests.

/// Calls `target` with every file of `media-core/fuzz/corpus/NAME`, where there is one, and with `seeds`.
pub(crate) fn replay(name: &str, target: fn(&[u8]), seeds: &[&[u8]]) {
    seeds.iter().for_each(|seed| target(seed));
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus").join(name);
    let Ok(files) = std::fs::read_dir(&folder) else { return };
    for file in files {
        let path = file.expect("a corpus folder that can be listed").path();
        target(&std::fs::read(&path).expect("a corpus file that can be read"));
    }
}
