//! Entry points for the fuzzers: HTTP answers of many parts.

use super::Parts;

/// An answer: its type to the first line feed, then its bytes; the same parts in whatever pieces it comes.
pub fn fuzz_multipart(data: &[u8]) {
    let end = data.iter().position(|byte| *byte == b'\n').unwrap_or(data.len());
    let (content_type, answer) = data.split_at(end);
    let content_type = String::from_utf8_lossy(content_type);
    let read = |piece: usize| {
        let mut parts = Parts::new(&content_type).ok()?;
        let mut out = Vec::new();
        for piece in answer.chunks(piece) {
            parts.push(piece);
            loop {
                match parts.next_part() {
                    Ok(Some(part)) => out.push(part),
                    Ok(None) => break,
                    Err(_) => return Some(out),
                }
            }
        }
        Some(out)
    };
    let whole = read(answer.len().max(1));
    if let Some(parts) = &whole {
        assert!(parts.iter().map(|part| part.len()).sum::<usize>() <= answer.len(), "no more than there was");
    }
    // Too large a part may be refused before or behind what came with it.
    if answer.len() < 4096 {
        assert_eq!(whole, read(3), "pieces make no difference");
    }
}

#[cfg(test)]
mod tests {
    use crate::fuzz_replay::replay;
    use proptest::prelude::*;

    const ANSWER: &[u8] =
        b"multipart/x-mixed-replace; boundary=f\n--f\r\nContent-Length: 3\r\n\r\nabc\r\n--f\r\n\r\ndef\r\n--f--";

    #[test]
    fn corpora() {
        replay("multipart", super::fuzz_multipart, &[ANSWER]);
    }

    proptest! {
        #[test]
        fn nothing_panics(text in "multipart/x-mixed-replace; boundary=a\n[-a:\r\n0-9]{0,200}", bytes in prop::collection::vec(any::<u8>(), 0..100)) {
            super::fuzz_multipart(text.as_bytes());
            super::fuzz_multipart(&bytes);
        }
    }
}
