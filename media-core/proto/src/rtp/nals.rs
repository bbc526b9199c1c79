//! Packets to access units, for codecs whose access units are NAL units.
//!
//! Belongs here: where an access unit begins and ends, what becomes of one of which something is missing, limits. Not here: how NAL units
//! lie in packets (`h264`, `h265`), what one means (`media`), waiting for packets (`reorder`).

use bytes::{Bytes, BytesMut};
use media::AnnexB;
use std::collections::VecDeque;
use std::marker::PhantomData;

/// Largest access unit taken: an 8K intra picture at broadcast quality stays below it.
const MAX_UNIT: usize = 8 << 20;
/// Most NAL units in one access unit, as everywhere in the workspace.
const MAX_NALS: usize = 8192;
/// Bits of an FU header; those below them are the NAL unit's type.
const FU_START: u8 = 0x80;
const FU_END: u8 = 0x40;

/// What the depayloader has to say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Depayloaded {
    /// A whole access unit.
    Unit {
        /// Its RTP timestamp.
        timestamp: u32,
        /// Its NAL units in order, parameter sets included.
        nals: Vec<Bytes>,
    },
    /// An access unit was damaged and is dropped: what follows may lack its reference until the next key picture.
    Lost {
        /// Its RTP timestamp, or that of the first packet behind the hole.
        timestamp: u32,
    },
}

/// How a codec's NAL units lie in packets.
pub trait NalPacking {
    /// Takes one payload that is not empty. `None`: it breaks the format, or the limits.
    fn take(gathered: &mut Gathered, payload: &Bytes) -> Option<()>;

    /// Is this a NAL unit that only the beginning of an access unit has?
    fn begins(nal: &[u8]) -> bool;

    /// Is this the first byte of a NAL unit that packets can hold?
    fn is_nal(first: u8) -> bool;
}

/// Gathers packets, in order, into whole access units. A damaged one is never passed on.
#[derive(Debug)]
pub struct NalDepayloader<P> {
    packing: PhantomData<P>,
    open: Option<Open>,
    /// The packet before this one ended its access unit, so the next begins one.
    boundary: bool,
    ready: VecDeque<Depayloaded>,
}

/// The access unit being gathered.
#[derive(Debug)]
struct Open {
    timestamp: u32,
    gathered: Gathered,
    damaged: bool,
    /// Its beginning was not seen: only an access unit that starts with an access unit delimiter or a sequence parameter set
    /// is known to be whole then.
    headless: bool,
}

/// What is there of it.
#[derive(Debug, Default)]
pub struct Gathered {
    nals: Vec<Bytes>,
    fragment: Option<BytesMut>,
    size: usize,
}

impl<P> Default for NalDepayloader<P> {
    fn default() -> Self {
        Self { packing: PhantomData, open: None, boundary: false, ready: VecDeque::new() }
    }
}

impl<P: NalPacking> NalDepayloader<P> {
    /// A depayloader that has seen nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// A depayloader whose first packet is known to begin an access unit: that of a sender that has just begun, over a transport that
    /// loses nothing.
    pub fn from_the_beginning() -> Self {
        Self { boundary: true, ..Self::default() }
    }

    /// Takes the next packet in sequence. `gap`: packets before it are missing. Ask [`Self::poll`] afterwards.
    pub fn push(&mut self, timestamp: u32, marker: bool, payload: &Bytes, gap: bool) {
        if gap {
            self.boundary = false;
            if let Some(open) = &mut self.open {
                open.damaged = true;
            }
        }
        if self.open.as_ref().is_some_and(|open| open.timestamp != timestamp) {
            // No marker came, but a new picture begins; unless packets are missing, the old one is whole.
            self.close();
            self.boundary = !gap;
        }
        let headless = !self.boundary;
        self.boundary = false;
        let open = self.open.get_or_insert_with(|| Open {
            timestamp,
            gathered: Gathered::default(),
            damaged: false,
            headless,
        });
        // Padding-only packets keep the sequence going and carry nothing.
        if !payload.is_empty() && !open.damaged {
            open.damaged = !open.gathered.fits(payload.len()) || P::take(&mut open.gathered, payload).is_none();
            if open.damaged {
                open.gathered = Gathered::default();
            }
        }
        if marker {
            self.close();
            self.boundary = true;
        }
    }

    /// What is finished, oldest first.
    pub fn poll(&mut self) -> Option<Depayloaded> {
        self.ready.pop_front()
    }

    fn close(&mut self) {
        let Some(Open { timestamp, gathered, damaged, headless }) = self.open.take() else { return };
        let Gathered { nals, fragment, .. } = gathered;
        let known_start = nals.first().is_some_and(|nal| P::begins(nal));
        if damaged || fragment.is_some() || (headless && !known_start && !nals.is_empty()) {
            self.ready.push_back(Depayloaded::Lost { timestamp });
        } else if !nals.is_empty() {
            self.ready.push_back(Depayloaded::Unit { timestamp, nals });
        }
    }
}

impl Gathered {
    fn fits(&mut self, length: usize) -> bool {
        self.size = self.size.saturating_add(length);
        self.size <= MAX_UNIT
    }

    /// Is a NAL unit in the middle of its fragments?
    pub(super) const fn is_in_fragment(&self) -> bool {
        self.fragment.is_some()
    }

    /// One NAL unit; several, where a camera has packed its byte stream as it was, start codes and all. Such begin with parameter sets.
    pub(super) fn nal<P: NalPacking>(&mut self, nal: &Bytes) -> Option<()> {
        if !P::begins(nal) {
            return self.keep(nal.clone());
        }
        let pieces =
            AnnexB::behind_a_start_code(nal).filter(|piece| piece.first().is_some_and(|first| P::is_nal(*first)));
        pieces.map(|piece| self.keep(nal.slice_ref(piece))).collect()
    }

    fn keep(&mut self, nal: Bytes) -> Option<()> {
        if self.nals.len() >= MAX_NALS {
            return None;
        }
        self.nals.push(nal);
        Some(())
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
        match (&mut self.fragment, fu_header & FU_START != 0) {
            (None, true) => {
                let mut nal = BytesMut::with_capacity(body.len() * 4);
                nal.extend_from_slice(nal_header);
                nal.extend_from_slice(body);
                self.fragment = Some(nal);
            }
            // Some cameras give later fragments another type; the first one's counts.
            (Some(nal), false) => nal.extend_from_slice(body),
            _ => return None,
        }
        if fu_header & FU_END != 0 {
            let nal = self.fragment.take()?.freeze();
            return self.nal::<P>(&nal);
        }
        Some(())
    }
}
