//! Units of a path to tags, for RTMP players and HTTP-FLV alike.

use container::flv::{Message, Muxer, Signalling};
use hub::Item;
use std::time::Duration;

/// A player this far behind loses whole GOPs until it is near live again: beyond it a conversation is none.
pub(crate) const PATIENCE: Duration = Duration::from_millis(1500);

/// One player's tags.
#[derive(Debug)]
pub(crate) struct Egress(Muxer);

impl Egress {
    pub(crate) const fn new() -> Self {
        Self(Muxer::new(Signalling::Legacy))
    }

    /// The messages of `item`, in order.
    pub(crate) fn messages(&mut self, item: &Item) -> Vec<Message> {
        match item {
            Item::Tracks(tracks) => self.0.announce(tracks),
            Item::Unit(unit, _) => self.0.write(unit).collect(),
        }
    }
}
