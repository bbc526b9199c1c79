//! What the fuzzers call: bytes in, no panic, and the invariants hold.

use super::{Carried, Directives, split_url};

/// A playlist request's query: what is carried on is harmless inside a quoted string and reads back as itself.
pub fn fuzz_hls_directives(data: &[u8]) {
    let query = String::from_utf8_lossy(data);
    let Ok(directives) = Directives::parse(&query) else { return };
    let carried = directives.carried.as_str();
    assert!(carried.len() <= Carried::MAX);
    assert!(carried.bytes().all(|b| b.is_ascii_graphic() && b != b'"' && b != b'#'));
    let again = Directives::parse(carried).expect("what is carried on can be read");
    assert_eq!(again.carried, directives.carried);
}

/// The path of a URL: a name that was understood is the one spelling of itself.
pub fn fuzz_hls_url(data: &[u8]) {
    let url = String::from_utf8_lossy(data);
    if let Some((path, resource)) = split_url(&url) {
        assert_eq!(format!("/{path}/{resource}"), url);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seeds_and_corpora() {
        let replay = |name: &str, target: fn(&[u8]), seeds: &[&[u8]]| {
            crate::fuzz_replay::replay(name, target, seeds);
        };
        let queries: [&[u8]; 4] =
            [b"_HLS_msn=1&_HLS_part=2&_HLS_skip=YES&token=a", b"token=\xFF\"#%", b"&&==&token&token=", b"variant=fmp4"];
        replay("hls_directives", fuzz_hls_directives, &queries);
        replay("hls_url", fuzz_hls_url, &[b"/a/index.m3u8", b"/a/000000000001_part1.mp4", b"//", b"/a/_seg.mp4"]);
    }
}
