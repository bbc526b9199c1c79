//! Bytes on their way to the peer: small ones gathered, large payloads shared.
//!
//! Belongs here: the queue a driver writes from with vectored writes. Not here: its bound, which is the driver's
//! (`pending_output_bytes` says how much waits).

use bytes::{Buf, Bytes, BytesMut};
use std::collections::VecDeque;
use std::io::IoSlice;

/// From this size on a payload is shared instead of copied: below it an `iovec` of its own costs more than the copy.
const SHARE_FROM: usize = 1024;

/// An empty queue keeps room for small pieces up to this: the GOP a reader joins with leaves more, and there may be hundreds of readers.
const KEEP: usize = 2048;

/// A queue of bytes to send. It is a [`Buf`], so `AsyncWriteExt::write_buf` sends it with vectored writes and takes off
/// what was sent.
#[derive(Debug, Default)]
pub struct Output {
    queue: VecDeque<Bytes>,
    tail: BytesMut,
    length: usize,
}

impl Output {
    /// Bytes waiting.
    pub const fn len(&self) -> usize {
        self.length
    }

    /// Does nothing wait?
    pub const fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// Everything in one piece, for tests and for callers without vectored writes.
    pub fn to_vec(mut self) -> Vec<u8> {
        let mut all = Vec::with_capacity(self.length);
        while self.has_remaining() {
            let piece = self.chunk();
            let taken = piece.len();
            all.extend_from_slice(piece);
            self.advance(taken);
        }
        all
    }

    /// Appends a copy.
    pub(crate) fn extend(&mut self, bytes: &[u8]) {
        self.tail.extend_from_slice(bytes);
        self.length += bytes.len();
    }

    /// Appends a share of `bytes`, or a copy where that is cheaper.
    pub(crate) fn share(&mut self, bytes: Bytes) {
        if bytes.len() < SHARE_FROM {
            self.extend(&bytes);
            return;
        }
        self.length += bytes.len();
        if !self.tail.is_empty() {
            self.queue.push_back(self.tail.split().freeze());
        }
        self.queue.push_back(bytes);
    }

    /// Appends an interleaved frame (RFC 2326 §10.12).
    pub(crate) fn frame(&mut self, channel: u8, header: &[u8], payload: &Bytes) {
        // RTP packets are made to fit a datagram.
        let Ok(length) = u16::try_from(header.len() + payload.len()) else { return };
        let [high, low] = length.to_be_bytes();
        self.extend(&[b'$', channel, high, low]);
        self.extend(header);
        self.share(payload.clone());
    }
}

impl Buf for Output {
    fn remaining(&self) -> usize {
        self.length
    }

    fn chunk(&self) -> &[u8] {
        self.queue.front().map_or(&self.tail, |front| front)
    }

    fn chunks_vectored<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
        let pieces = self.queue.iter().map(|b| &b[..]).chain(std::iter::once(&self.tail[..]));
        let mut filled = 0;
        for (slice, piece) in slices.iter_mut().zip(pieces.filter(|p| !p.is_empty())) {
            *slice = IoSlice::new(piece);
            filled += 1;
        }
        filled
    }

    /// # Panics
    /// When `count` is more than waits, as [`Buf`] has it; the count is the socket's, not the peer's.
    fn advance(&mut self, mut count: usize) {
        assert!(count <= self.length, "no more sent than waited");
        self.length -= count;
        while let Some(front) = self.queue.front_mut() {
            if front.len() > count {
                front.advance(count);
                return;
            }
            count -= front.len();
            self.queue.pop_front();
        }
        self.tail.advance(count);
        if self.length == 0 && self.tail.capacity() > KEEP {
            self.tail = BytesMut::new();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_is_kept_through_sharing_and_partial_writes() {
        let big = Bytes::from(vec![9_u8; SHARE_FROM]);
        let mut out = Output::default();
        let mut want = Vec::new();
        for n in 0..4_u8 {
            out.extend(&[n, n]);
            out.share(big.clone());
            out.share(Bytes::from_static(b"small"));
            want.extend([n, n]);
            want.extend(&big[..]);
            want.extend(b"small");
        }
        assert_eq!(out.len(), want.len());
        let mut slices = [IoSlice::new(&[]); 64];
        let filled = out.chunks_vectored(&mut slices);
        let joined: Vec<u8> = slices.iter().take(filled).flat_map(|s| s.to_vec()).collect();
        assert_eq!(joined, want);
        for step in [1, 2, 1000, 30, 2000] {
            out.advance(step);
            want.drain(..step);
        }
        assert_eq!(out.to_vec(), want);
    }

    #[test]
    fn what_was_sent_is_given_back() {
        let mut out = Output::default();
        (0..100).for_each(|_| out.extend(&[7; 1000]));
        assert!(out.tail.capacity() >= 100_000);
        out.advance(99_999);
        out.advance(1);
        assert!(out.tail.capacity() <= KEEP);
        out.extend(&[1, 2]);
        assert_eq!(out.to_vec(), [1, 2]);
    }
}
