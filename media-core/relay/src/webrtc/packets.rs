//! RTP payloads of a path's pictures, cut once for all of its readers.
//!
//! Belongs here: what is kept, and how long. Not here: the payload format (`proto::rtp`), sequence numbers and times, which are
//! each reader's own (`egress`).

use bytes::Bytes;
use hub::PathName;
use media::AccessUnit;
use parking_lot::Mutex;
use proto::rtp::payload_picture;
use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Weak};

/// 1200 bytes pass every network that WebRTC passes; less RTP header, extensions, the retransmission's number and the
/// authentication tag.
const MAX_PAYLOAD: usize = 1160;
/// Readers of one path are within a few pictures of each other; one that joins reads the newest GOP again.
const MAX_KEPT: usize = 512;
/// And no more than this, however large the pictures are: two seconds of 16 Mbit/s.
const MAX_KEPT_BYTES: usize = 4 << 20;

/// The payloads of one access unit, in order.
pub(crate) type Payloads = Arc<[Bytes]>;

/// What was cut for one path, newest last.
#[derive(Debug, Default)]
pub(crate) struct PathPackets(Mutex<Kept>);

#[derive(Debug, Default)]
struct Kept {
    units: HashMap<Key, (Bytes, Payloads)>,
    order: VecDeque<Key>,
    bytes: usize,
}

/// A payload by where it lies: it is kept beside the key, so no other one can come to lie there.
type Key = (usize, usize);

impl PathPackets {
    /// The payloads of a picture, cut now or found.
    pub(crate) fn of(&self, unit: &AccessUnit) -> Payloads {
        let key = (unit.payload.as_ptr() as usize, unit.payload.len());
        if let Some((_, payloads)) = self.0.lock().units.get(&key) {
            return Arc::clone(payloads);
        }
        // Outside the lock: two readers may cut the same picture at the same moment, but none waits for another's scissors.
        let payloads: Payloads = payload_picture(unit, MAX_PAYLOAD).into();
        if !unit.payload.is_empty() {
            self.0.lock().keep(key, unit.payload.clone(), Arc::clone(&payloads));
        }
        payloads
    }
}

impl Kept {
    fn keep(&mut self, key: Key, unit: Bytes, payloads: Payloads) {
        if self.units.insert(key, (unit, payloads)).is_none() {
            self.order.push_back(key);
            self.bytes += key.1;
        }
        while self.order.len() > MAX_KEPT || self.bytes > MAX_KEPT_BYTES {
            let Some(oldest) = self.order.pop_front() else { break };
            self.units.remove(&oldest);
            self.bytes = self.bytes.saturating_sub(oldest.1);
        }
    }
}

/// Those of every path that is read now.
#[derive(Debug, Default)]
pub(crate) struct Packets(Mutex<HashMap<PathName, Weak<PathPackets>>>);

impl Packets {
    /// Those of `path`, shared by its readers and gone with the last of them.
    pub(crate) fn path(&self, path: &PathName) -> Arc<PathPackets> {
        let mut paths = self.0.lock();
        if let Some(found) = paths.get(path).and_then(Weak::upgrade) {
            return found;
        }
        paths.retain(|_, packets| packets.strong_count() > 0);
        let made = Arc::new(PathPackets::default());
        paths.insert(path.clone(), Arc::downgrade(&made));
        made
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::webrtc::egress::tests::picture;

    #[test]
    fn a_picture_is_cut_once() {
        let packets = Packets::default();
        let path = PathName::parse("cam").unwrap();
        let (one, other) = (packets.path(&path), packets.path(&path));
        let unit = picture(0, true, 5000);
        let cut = one.of(&unit);
        assert!(cut.len() >= 5 && cut.iter().all(|p| p.len() <= MAX_PAYLOAD), "{}", cut.len());
        assert!(Arc::ptr_eq(&cut, &other.of(&unit.clone())), "the same payloads for the second reader");
        let again = picture(0, true, 5000);
        assert!(!Arc::ptr_eq(&cut, &one.of(&again)), "another picture");
    }

    #[test]
    fn bounded() {
        let packets = PathPackets::default();
        for n in 0..2 * MAX_KEPT as i64 {
            packets.of(&picture(n, false, 40));
        }
        assert_eq!(packets.0.lock().units.len(), MAX_KEPT);
        for n in 0..20 {
            packets.of(&picture(n, true, 1 << 20));
        }
        let kept = packets.0.lock();
        assert!(kept.bytes <= MAX_KEPT_BYTES && kept.units.len() == kept.order.len(), "{}", kept.bytes);
    }
}
