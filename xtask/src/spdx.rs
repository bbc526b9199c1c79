//! Licence expressions as crates write them (SPDX 2.3 annex D, and cargo's old `A/B`).
//!
//! Belongs here: reading an expression and asking whether we may ship under it.
//! Not here: which licences those are for which package (`licences`).

/// Families whose terms would reach beyond the package itself into ours.
const REFUSED: [&str; 8] = ["GPL-", "AGPL-", "LGPL-", "SSPL-", "BUSL-", "CC-BY-NC", "CC-BY-SA", "EUPL-"];

/// True if one of the ways to satisfy the expression has no refused licence in it.
///
/// `WITH` belongs to the licence before it: an exception of the GPL family (the classpath exception) does not help static linking
/// of Rust, so it changes nothing here.
pub(crate) fn acceptable(expression: &str) -> bool {
    let spaced = expression.replace('(', " ( ").replace(')', " ) ").replace('/', " OR ");
    let mut words = spaced.split_whitespace().peekable();
    let verdict = either(&mut words);
    verdict == Some(true) && words.next().is_none()
}

type Words<'a> = std::iter::Peekable<std::str::SplitWhitespace<'a>>;

fn either(words: &mut Words<'_>) -> Option<bool> {
    let mut verdict = both(words)?;
    while words.next_if_eq(&"OR").is_some() {
        verdict |= both(words)?;
    }
    Some(verdict)
}

fn both(words: &mut Words<'_>) -> Option<bool> {
    let mut verdict = one(words)?;
    while words.next_if_eq(&"AND").is_some() {
        verdict &= one(words)?;
    }
    Some(verdict)
}

fn one(words: &mut Words<'_>) -> Option<bool> {
    match words.next()? {
        "(" => {
            let verdict = either(words)?;
            words.next_if_eq(&")")?;
            Some(verdict)
        }
        ")" | "OR" | "AND" | "WITH" => None,
        name => {
            if words.next_if_eq(&"WITH").is_some() {
                words.next()?;
            }
            Some(!REFUSED.iter().any(|family| name.starts_with(family)))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expressions() {
        for (expression, expected) in [
            ("MIT", true),
            ("MIT OR Apache-2.0", true),
            ("MIT/Apache-2.0", true),
            ("Apache-2.0 WITH LLVM-exception OR Apache-2.0 OR MIT", true),
            ("MIT OR Apache-2.0 OR LGPL-2.1-or-later", true),
            ("(MIT OR Apache-2.0) AND Unicode-3.0", true),
            ("MPL-2.0", true),
            ("GPL-3.0-only", false),
            ("LGPL-2.1-or-later", false),
            ("MIT AND GPL-2.0-only", false),
            ("(MIT OR GPL-2.0-only) AND (AGPL-3.0-only)", false),
            ("GPL-2.0-only WITH Classpath-exception-2.0", false),
            ("", false),
            ("MIT OR", false),
            ("(MIT", false),
            ("MIT Apache-2.0", false),
        ] {
            assert_eq!(acceptable(expression), expected, "{expression:?}");
        }
    }
}
