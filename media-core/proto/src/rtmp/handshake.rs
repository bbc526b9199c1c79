//! The opening exchange of 1 + 1536 + 1536 bytes each way (§5.2).
//!
//! Only the plain form is spoken. A client whose C1 carries a version and a digest (Flash, ffmpeg, OBS) is answered with
//! version 0 in S1, which tells it to go on without digests; all of them do. Contents of C2 and S2 are not compared:
//! librtmp and ffmpeg only warn, and a wrong echo says nothing about what follows.
//! Not here: RTMPE, which needs the digest form.

use super::error::{Error, ErrorKind};
use crate::output::Output;

/// Bytes of C1, S1, C2 and S2.
pub const HANDSHAKE_BLOCK: usize = 1536;

/// The only version in use; 0–2 are obsolete, 6, 8 and 9 are RTMPE, 32 and above would be text (§5.2.2).
const VERSION: u8 = 3;

/// Which side of the connection a machine plays.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// Answers.
    Server,
    /// Speaks first.
    Client,
}

/// The handshake of one side.
#[derive(Debug)]
pub struct Handshake {
    side: Side,
    seed: u64,
    step: Step,
    received: u64,
}

#[derive(Debug)]
enum Step {
    /// The client has not spoken yet.
    Unsent,
    Version,
    Block(Vec<u8>),
    /// Bytes of C2 or S2 still to come.
    Echo(usize),
    Done,
}

impl Handshake {
    /// A handshake that has seen nothing. `seed` fills the random part; it need not be secret.
    pub const fn new(side: Side, seed: u64) -> Self {
        let step = match side {
            Side::Server => Step::Version,
            Side::Client => Step::Unsent,
        };
        Self { side, seed, step, received: 0 }
    }

    /// Is it over, so that chunks follow?
    pub const fn is_done(&self) -> bool {
        matches!(self.step, Step::Done)
    }

    /// Bytes taken so far.
    pub const fn received(&self) -> u64 {
        self.received
    }

    /// What a client says first; nothing for a server, and nothing the second time.
    pub fn start(&mut self, out: &mut Output) {
        if matches!(self.step, Step::Unsent) {
            out.extend(&[VERSION]);
            self.write_block(out);
            self.step = Step::Version;
        }
    }

    /// Takes what belongs to the handshake from the front of `input`; what is left are chunks.
    ///
    /// # Errors
    /// A first byte that is not RTMP.
    pub fn receive(&mut self, input: &mut &[u8], out: &mut Output) -> Result<(), Error> {
        self.start(out);
        loop {
            match &mut self.step {
                Step::Unsent | Step::Done => return Ok(()),
                Step::Version => {
                    let Some((&version, rest)) = input.split_first() else { return Ok(()) };
                    match version {
                        VERSION => {}
                        6 | 8 | 9 => return Err(ErrorKind::Encrypted(version).at(self.received)),
                        _ => return Err(ErrorKind::Version(version).at(self.received)),
                    }
                    *input = rest;
                    self.received += 1;
                    self.step = Step::Block(Vec::with_capacity(HANDSHAKE_BLOCK));
                }
                Step::Block(block) => {
                    let taken = take(input, HANDSHAKE_BLOCK - block.len());
                    block.extend_from_slice(taken);
                    self.received += taken.len() as u64;
                    if block.len() < HANDSHAKE_BLOCK {
                        return Ok(());
                    }
                    let block = std::mem::take(block);
                    if self.side == Side::Server {
                        out.extend(&[VERSION]);
                        self.write_block(out);
                    }
                    // The echo is exact, times included: librtmp compares all of it.
                    out.extend(&block);
                    self.step = Step::Echo(HANDSHAKE_BLOCK);
                }
                Step::Echo(left) => {
                    let taken = take(input, *left);
                    *left -= taken.len();
                    self.received += taken.len() as u64;
                    if *left > 0 {
                        return Ok(());
                    }
                    self.step = Step::Done;
                }
            }
        }
    }

    /// C1 or S1: time 0, version 0 (no digest), and bytes that look random (SplitMix64).
    fn write_block(&self, out: &mut Output) {
        let mut block = [0_u8; HANDSHAKE_BLOCK];
        let mut state = self.seed;
        let (_, random) = block.split_at_mut(8);
        for eight in random.chunks_mut(8) {
            state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
            let mut z = state;
            z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
            for (byte, value) in eight.iter_mut().zip((z ^ (z >> 31)).to_be_bytes()) {
                *byte = value;
            }
        }
        out.extend(&block);
    }
}

fn take<'a>(input: &mut &'a [u8], most: usize) -> &'a [u8] {
    let (taken, rest) = input.split_at(most.min(input.len()));
    *input = rest;
    taken
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drain(out: &mut Output) -> Vec<u8> {
        std::mem::take(out).to_vec()
    }

    #[test]
    fn both_sides_meet_whatever_the_pieces() {
        for piece in [1, 7, 1536, 1537, 4000] {
            let (mut server, mut client) = (Handshake::new(Side::Server, 1), Handshake::new(Side::Client, 2));
            let (mut from_server, mut from_client) = (Output::default(), Output::default());
            client.start(&mut from_client);
            client.start(&mut from_client);
            assert_eq!(from_client.len(), 1 + HANDSHAKE_BLOCK, "C0 and C1 are sent once");
            while !(server.is_done() && client.is_done()) {
                for bytes in drain(&mut from_client).chunks(piece) {
                    let mut input = bytes;
                    server.receive(&mut input, &mut from_server).unwrap();
                    assert_eq!(input, b"");
                }
                for bytes in drain(&mut from_server).chunks(piece) {
                    let mut input = bytes;
                    client.receive(&mut input, &mut from_client).unwrap();
                    assert_eq!(input, b"");
                }
            }
            assert_eq!((server.received(), client.received()), (3073, 3073));
            assert!(from_client.is_empty() && from_server.is_empty());
        }
    }

    #[test]
    fn a_digest_client_gets_the_plain_answer() {
        let mut hello = vec![3];
        // ffmpeg's C1: time 0, version 9.0.124.2, digest somewhere inside.
        hello.extend([0, 0, 0, 0, 9, 0, 124, 2]);
        hello.extend((0..HANDSHAKE_BLOCK - 8).map(|i| (i % 251) as u8));
        let (mut server, mut out) = (Handshake::new(Side::Server, 5), Output::default());
        server.receive(&mut &hello[..], &mut out).unwrap();
        let answer = drain(&mut out);
        assert_eq!(answer.len(), 1 + 2 * HANDSHAKE_BLOCK);
        assert_eq!(&answer[..9], &[3, 0, 0, 0, 0, 0, 0, 0, 0], "version 3, time 0, no digest");
        assert_eq!(&answer[1 + HANDSHAKE_BLOCK..], &hello[1..], "S2 is C1");
        let mut rest: &[u8] = &[7; HANDSHAKE_BLOCK + 2];
        server.receive(&mut rest, &mut out).unwrap();
        assert!(server.is_done());
        assert_eq!(rest, &[7, 7], "the chunks behind C2 are left");
    }

    #[test]
    fn other_protocols_are_told_at_the_first_byte() {
        let check = |first: u8, want: ErrorKind| {
            let got = Handshake::new(Side::Server, 0).receive(&mut &[first, 0][..], &mut Output::default());
            assert_eq!(got, Err(Error { offset: 0, kind: want }));
        };
        check(b'G', ErrorKind::Version(b'G'));
        check(0x16, ErrorKind::Version(0x16));
        check(0, ErrorKind::Version(0));
        check(6, ErrorKind::Encrypted(6));
    }
}
