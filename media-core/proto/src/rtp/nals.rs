//! What the packings of H.264 and H.265 share: NAL units alone, several in one payload, in fragments.
//!
//! Not here: their packet types (`h264`, `h265`), where pictures begin and end (`gather`), what a NAL unit means (`media`).

use super::gather::{Gathered, Packing};
use bytes::Bytes;
use media::AnnexB;

/// Bits of an FU header; those below them are the NAL unit's type.
const FU_START: u8 = 0x80;
const FU_END: u8 = 0x40;

/// How a codec's NAL units lie in packets.
pub trait NalPacking: Packing {
    /// Is this the first byte of a NAL unit that packets can hold?
    fn is_nal(first: u8) -> bool;
}

impl Gathered {
    /// One NAL unit; several, where a camera has packed its byte stream as it was, start codes and all. Such begin with parameter sets.
    pub(super) fn nal<P: NalPacking>(&mut self, nal: &Bytes) -> Option<()> {
        if !P::begins(nal) {
            return self.keep(nal.clone());
        }
        let pieces =
            AnnexB::behind_a_start_code(nal).filter(|piece| piece.first().is_some_and(|first| P::is_nal(*first)));
        pieces.map(|piece| self.keep(nal.slice_ref(piece))).collect()
    }

    /// NAL units behind each other, each with its length in front.
    pub(super) fn aggregate<P: NalPacking>(&mut self, mut rest: Bytes) -> Option<()> {
        if rest.is_empty() {
            return None;
        }
        while !rest.is_empty() {
            let length = usize::from(u16::from_be_bytes(rest.get(..2)?.try_into().ok()?));
            if length == 0 || rest.len() < 2 + length {
                return None;
            }
            let nal = rest.slice(2..2 + length);
            if !P::is_nal(*nal.first()?) {
                return None;
            }
            self.nal::<P>(&nal)?;
            rest = rest.slice(2 + length..);
        }
        Some(())
    }

    /// A piece of a NAL unit, behind its FU header; `nal_header` is what the first piece's NAL unit begins with.
    pub(super) fn fragment<P: NalPacking>(&mut self, fu_header: u8, nal_header: &[u8], body: &[u8]) -> Option<()> {
        match (self.is_in_fragment(), fu_header & FU_START != 0) {
            (false, true) => self.open(nal_header, body),
            // Some cameras give later fragments another type; the first one's counts.
            (true, false) => self.append(body)?,
            _ => return None,
        }
        if fu_header & FU_END != 0 {
            let nal = self.close()?;
            return self.nal::<P>(&nal);
        }
        Some(())
    }
}
