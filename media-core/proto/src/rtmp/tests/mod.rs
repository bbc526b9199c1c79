//! The machines against each other in virtual time, against `rml_rtmp`, and against clients made of single commands.
//!
//! Not here: programs of others over real sockets (`tests/rtmp_programs.rs`, since nothing below `src` knows sockets).

mod commands;
mod oracle;
mod pair;

use super::*;

/// A small generator for pieces and delays: SplitMix64.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        usize::try_from((z ^ (z >> 31)) % (sides as u64)).unwrap()
    }
}

fn url(url: &str) -> RtmpUrl {
    RtmpUrl::parse(url).unwrap()
}

fn media(kind: Kind, timestamp: u32, body: &[u8]) -> Media {
    Media { kind, timestamp, body: Bytes::copy_from_slice(body) }
}
