//! From the order pictures are decoded in to the order they are shown in.
//!
//! Not here: decoding (`decoder`), what a stream says of itself (`media`).

use super::DecodedPicture;
use media::{AccessUnit, CodecParams, MediaTime};
use std::collections::VecDeque;

/// H.264 reorders over at most 16 pictures (A.3.1), so no more can wait for their turn.
const MAX_WAITING: usize = 16;

/// Holds pictures until nothing that is still to come can be shown before them.
#[derive(Debug, Default)]
pub(crate) struct DisplayOrder {
    /// Sorted by presentation.
    waiting: VecDeque<DecodedPicture>,
    /// How many the stream says may wait.
    reorder: usize,
    /// Nothing that is still to come is shown before this.
    floor: Option<MediaTime>,
    shown: Option<MediaTime>,
    late: u64,
}

impl DisplayOrder {
    /// Hears of the unit whose picture comes next, if it has one.
    pub(crate) fn unit(&mut self, unit: &AccessUnit) {
        if let CodecParams::H264(params) = &*unit.params {
            self.reorder = usize::try_from(params.reorder()).unwrap_or(MAX_WAITING).min(MAX_WAITING);
        }
        self.floor = Some(unit.dts);
        if unit.is_key() {
            // Nothing behind an IDR is shown before it (7.4.1.2.4): all that waits has its turn.
            self.floor = Some(unit.pts);
        }
    }

    /// Takes a picture in decode order. One that should have been shown already is left out, and counted.
    pub(crate) fn push(&mut self, picture: DecodedPicture) {
        if self.shown.is_some_and(|shown| picture.pts <= shown) {
            self.late += 1;
            return;
        }
        let place = self.waiting.partition_point(|other| other.pts <= picture.pts);
        self.waiting.insert(place, picture);
    }

    /// The next picture to be shown, if it is known to be the next.
    pub(crate) fn pop(&mut self) -> Option<DecodedPicture> {
        let first = self.waiting.front()?.pts;
        // Units come with rising decode times, and none is shown before it is decoded.
        let due = self.waiting.len() > self.reorder || self.floor.is_some_and(|floor| first <= floor);
        if !due {
            return None;
        }
        self.shown = Some(first);
        self.waiting.pop_front()
    }

    /// Pictures that came too late to be shown.
    pub(crate) const fn late(&self) -> u64 {
        self.late
    }
}
