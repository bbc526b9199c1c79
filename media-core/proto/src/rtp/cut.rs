//! NAL units to RTP payloads, in the way that H.264 (RFC 6184, non-interleaved mode) and H.265 (RFC 7798) share: alone, several in one
//! payload, or one in fragments.
//!
//! Not here: the headers of the two (`h264`, `h265`), the way back (`nals`), what a NAL unit means (`media`).

use bytes::{Bytes, BytesMut};
use media::{AccessUnit, CodecParams, UnitKind};
use std::marker::PhantomData;

/// How one codec's NAL units are grouped and cut.
pub trait NalCutting {
    /// Bytes of a NAL unit's header.
    const HEADER: usize;

    /// May a payload carry `nal`, by its type?
    fn carries(nal: &[u8]) -> bool;

    /// The header in front of several NAL units.
    fn group(nals: &[&[u8]]) -> Vec<u8>;

    /// What stands in front of a fragment of the NAL unit with `header`.
    fn fragment(header: &[u8], start: bool, end: bool) -> Vec<u8>;
}

/// Cuts access units into RTP payloads.
#[derive(Debug)]
pub struct NalPayloader<F> {
    max: usize,
    format: PhantomData<F>,
}

impl<F: NalCutting> NalPayloader<F> {
    /// Smallest payload that still makes progress.
    const MIN: usize = 16;

    /// Payloads of at most `max` bytes (RTP header not included); values below 16 count as 16.
    pub const fn new(max: usize) -> Self {
        Self { max: if max < Self::MIN { Self::MIN } else { max }, format: PhantomData }
    }

    /// The payloads of one access unit, in order; the last one gets the marker. Small neighbours share a packet. NAL units that
    /// cannot be carried (empty, or of the types the format uses itself) are left out.
    pub fn payload<'a>(&self, nals: impl IntoIterator<Item = &'a [u8]>) -> Vec<Bytes> {
        let mut out = Vec::new();
        let mut group: Vec<&[u8]> = Vec::new();
        let mut size = F::HEADER;
        for nal in nals {
            if nal.len() < F::HEADER || !F::carries(nal) {
                continue;
            }
            let fits = nal.len() + 2 <= usize::from(u16::MAX) && size + 2 + nal.len() <= self.max;
            if !fits {
                flush::<F>(&mut out, &mut group);
                size = F::HEADER;
            }
            if nal.len() > self.max {
                self.fragments(&mut out, nal);
            } else {
                size += 2 + nal.len();
                group.push(nal);
            }
        }
        flush::<F>(&mut out, &mut group);
        out
    }

    fn fragments(&self, out: &mut Vec<Bytes>, nal: &[u8]) {
        let Some((header, body)) = nal.split_at_checked(F::HEADER) else { return };
        let pieces = body.chunks(self.max - F::HEADER - 1);
        let last = pieces.len().saturating_sub(1);
        for (i, piece) in pieces.enumerate() {
            let front = F::fragment(header, i == 0, i == last);
            let mut payload = BytesMut::with_capacity(piece.len() + front.len());
            payload.extend_from_slice(&front);
            payload.extend_from_slice(piece);
            out.push(payload.freeze());
        }
    }
}

/// Writes the gathered NAL units: alone as they are, several as one packet.
fn flush<F: NalCutting>(out: &mut Vec<Bytes>, group: &mut Vec<&[u8]>) {
    match group.as_slice() {
        [] => {}
        [nal] => out.push(Bytes::copy_from_slice(nal)),
        nals => {
            let header = F::group(nals);
            let mut payload = BytesMut::with_capacity(F::HEADER + nals.iter().map(|n| n.len() + 2).sum::<usize>());
            payload.extend_from_slice(&header);
            for nal in nals {
                // Grouped NAL units fit the MTU, which fits 16 bits.
                payload.extend_from_slice(&u16::try_from(nal.len()).unwrap_or(u16::MAX).to_be_bytes());
                payload.extend_from_slice(nal);
            }
            out.push(payload.freeze());
        }
    }
    group.clear();
}

/// The NAL units of a picture as RTP carries them: parameter sets in front of a key picture.
pub(super) fn unit_nals(unit: &AccessUnit) -> impl Iterator<Item = &[u8]> {
    let sets: Vec<&[u8]> = match (unit.kind, &*unit.params) {
        (UnitKind::Key, CodecParams::H264(params)) => {
            std::iter::once(params.sps()).chain(params.pps()).map(|set| &**set).collect()
        }
        (UnitKind::Key, CodecParams::H265(params)) => params.sets().map(|set| &**set).collect(),
        _ => Vec::new(),
    };
    sets.into_iter().chain(unit.nals())
}

/// A frame in pieces of at most `max` bytes, each behind what `descriptor` says of it, told whether it is the first and the last.
/// `longest` is the length of the longest descriptor.
pub(super) fn cut_frame(
    frame: &[u8],
    max: usize,
    longest: usize,
    descriptor: impl Fn(bool, bool) -> Vec<u8>,
) -> Vec<Bytes> {
    let pieces = frame.chunks(max.saturating_sub(longest).max(1));
    let last = pieces.len().saturating_sub(1);
    pieces.enumerate().map(|(i, piece)| [&descriptor(i == 0, i == last)[..], piece].concat().into()).collect()
}
