//! Secrets that are made here: for the player socket and for each visit.
//!
//! Not here: passwords that people type (`secrets`).

use rand::RngCore;

/// A new token: 256 random bits, written so that it stands in a URL as it is.
pub(crate) fn random() -> String {
    let mut bits = [0_u8; 32];
    rand::rng().fill_bytes(&mut bits);
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    // Six bits of each byte: 42 and two thirds characters would do, 43 hold 258 bits.
    let mut more = [0_u8; 11];
    rand::rng().fill_bytes(&mut more);
    bits.iter().chain(&more).map(|b| char::from(DIGITS[usize::from(b & 63)])).collect()
}

/// Are they equal? Takes as long for a near miss as for a far one.
pub(crate) fn equal(given: &str, wanted: &str) -> bool {
    let (given, wanted) = (given.as_bytes(), wanted.as_bytes());
    let difference = given.iter().zip(wanted).fold(given.len() ^ wanted.len(), |sum, (a, b)| sum | usize::from(a ^ b));
    std::hint::black_box(difference) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens() {
        let (a, b) = (random(), random());
        assert!(a.len() == 43 && a != b && a.bytes().all(|c| c.is_ascii_alphanumeric() || b"-_".contains(&c)));
        assert!(equal(&a, &a.clone()) && !equal(&a, &b) && !equal(&a, &a[..42]) && !equal("", &a) && equal("", ""));
    }
}
