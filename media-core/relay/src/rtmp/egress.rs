//! Units of a path to tags, for RTMP players, HTTP-FLV and pushes alike.

use container::flv::{Message, Muxer, Signalling, VideoCodec};
use hub::Item;
use media::Codec;
use proto::rtmp::Caps;
use std::time::Duration;

/// A player this far behind loses whole GOPs until it is near live again: beyond it a conversation is none.
pub(crate) const PATIENCE: Duration = Duration::from_millis(1500);

/// Pictures that have a FourCC and nothing else: only for players that know it.
pub(crate) const BY_FOUR_CC: [Codec; 3] = [Codec::H265, Codec::Av1, Codec::Vp9];

/// Pictures besides H.264 whose FourCC a peer with these abilities takes.
pub(crate) fn pictures(caps: &Caps) -> Vec<Codec> {
    let named = |codec: &Codec| {
        let four_cc = VideoCodec::of(*codec).map(VideoCodec::four_cc);
        four_cc.is_some_and(|name| std::str::from_utf8(&name).is_ok_and(|name| caps.takes(name)))
    };
    BY_FOUR_CC.into_iter().filter(named).collect()
}

/// One player's tags.
#[derive(Debug)]
pub(crate) struct Egress(Muxer);

impl Egress {
    /// For a player that understands `signalling`.
    pub(crate) const fn new(signalling: Signalling) -> Self {
        Self(Muxer::new(signalling))
    }

    /// The messages of `item`, in order.
    pub(crate) fn messages(&mut self, item: &Item) -> Vec<Message> {
        match item {
            Item::Tracks(tracks) => self.0.announce(tracks),
            Item::Unit(unit, _) => self.0.write(unit).collect(),
        }
    }
}
