//! Packets to coded pictures, whichever codec.
//!
//! Belongs here: where a picture begins and ends, what becomes of one of which something is missing, limits. Not here: how a picture
//! lies in packets (`nals` and the codecs' modules), what its parts mean (`media`), waiting for packets (`reorder`).

use bytes::{Bytes, BytesMut};
use std::collections::VecDeque;
use std::marker::PhantomData;

/// Largest picture taken: one of 8K within itself at broadcast quality stays below it.
const MAX_UNIT: usize = 8 << 20;
/// Most NAL units or OBUs in one picture, as everywhere in the workspace.
const MAX_PARTS: usize = 8192;

/// What the depayloader has to say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Depayloaded {
    /// A whole picture.
    Unit {
        /// Its RTP timestamp.
        timestamp: u32,
        /// What it consists of, in order: NAL units, parameter sets included; OBUs; or the one frame.
        parts: Vec<Bytes>,
    },
    /// A picture was damaged and is dropped: what follows may lack its reference until the next key picture.
    Lost {
        /// Its RTP timestamp, or that of the first packet behind the hole.
        timestamp: u32,
    },
}

/// How a codec's pictures lie in packets.
pub trait Packing {
    /// Takes one payload that is not empty. `None`: it breaks the format, or the limits.
    fn take(gathered: &mut Gathered, payload: &Bytes) -> Option<()>;

    /// The last packet is there. `None`: what it should have ended goes on.
    fn finish(gathered: &mut Gathered) -> Option<()> {
        (!gathered.is_in_fragment()).then_some(())
    }

    /// Does this begin a picture that needs none before it? Only such a one is taken where packets before it are missing.
    fn begins(part: &[u8]) -> bool;
}

/// Gathers packets, in order, into whole pictures. A damaged one is never passed on.
#[derive(Debug)]
pub struct Depayloader<P> {
    packing: PhantomData<P>,
    open: Option<Open>,
    /// The packet before this one ended its picture, so the next begins one.
    boundary: bool,
    ready: VecDeque<Depayloaded>,
}

/// The picture being gathered.
#[derive(Debug)]
struct Open {
    timestamp: u32,
    gathered: Gathered,
    damaged: bool,
    /// Its beginning was not seen, and pictures before it may be missing.
    headless: bool,
}

/// What is there of it.
#[derive(Debug, Default)]
pub struct Gathered {
    parts: Vec<Bytes>,
    fragment: Option<BytesMut>,
    size: usize,
}

impl<P> Default for Depayloader<P> {
    fn default() -> Self {
        Self { packing: PhantomData, open: None, boundary: false, ready: VecDeque::new() }
    }
}

impl<P: Packing> Depayloader<P> {
    /// A depayloader that has seen nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// A depayloader whose first packet is known to begin a picture: that of a sender that has just begun, over a transport that
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
        let Some(Open { timestamp, mut gathered, damaged, headless }) = self.open.take() else { return };
        let whole = !damaged && P::finish(&mut gathered).is_some();
        let parts = gathered.parts;
        let known_start = parts.first().is_some_and(|part| P::begins(part));
        if !whole || (headless && !known_start && !parts.is_empty()) {
            self.ready.push_back(Depayloaded::Lost { timestamp });
        } else if !parts.is_empty() {
            self.ready.push_back(Depayloaded::Unit { timestamp, parts });
        }
    }
}

impl Gathered {
    fn fits(&mut self, length: usize) -> bool {
        self.size = self.size.saturating_add(length);
        self.size <= MAX_UNIT
    }

    /// Is there nothing yet?
    pub(super) const fn is_empty(&self) -> bool {
        self.parts.is_empty() && self.fragment.is_none()
    }

    /// Is a part in the middle of its fragments?
    pub(super) const fn is_in_fragment(&self) -> bool {
        self.fragment.is_some()
    }

    /// A whole part.
    pub(super) fn keep(&mut self, part: Bytes) -> Option<()> {
        if self.parts.len() >= MAX_PARTS {
            return None;
        }
        self.parts.push(part);
        Some(())
    }

    /// Begins a part with its first piece, behind `header`.
    pub(super) fn open(&mut self, header: &[u8], piece: &[u8]) {
        let mut part = BytesMut::with_capacity(header.len() + piece.len() * 4);
        part.extend_from_slice(header);
        part.extend_from_slice(piece);
        self.fragment = Some(part);
    }

    /// The next piece. `None`: nothing was begun.
    pub(super) fn append(&mut self, piece: &[u8]) -> Option<()> {
        self.fragment.as_mut()?.extend_from_slice(piece);
        Some(())
    }

    /// The part that was begun, if there is one.
    pub(super) fn close(&mut self) -> Option<Bytes> {
        self.fragment.take().map(BytesMut::freeze)
    }
}
