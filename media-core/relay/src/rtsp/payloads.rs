//! RTP payloads of units, made once for all readers. Not here: how they are made (`proto::rtsp::payloads`).

use bytes::Bytes;
use media::{AccessUnit, UnitKind};
use parking_lot::Mutex;
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

/// Bytes kept: readers of a path are within a GOP of each other at most when one joins, and within a few units otherwise. A reader that
/// finds its unit gone makes the payloads again.
const MAX_BYTES: usize = 8 << 20;

/// Which unit: its payload's place in memory, which stays taken as long as it is kept here, and whether parameter sets stand in front.
type Key = (usize, usize, bool);

/// Shared by every reader of a server.
#[derive(Debug, Clone, Default)]
pub(crate) struct Payloads(Arc<Mutex<Kept>>);

#[derive(Debug, Default)]
struct Kept {
    made: HashMap<Key, (Bytes, Arc<[Bytes]>)>,
    order: VecDeque<Key>,
    bytes: usize,
}

impl Payloads {
    /// The payloads of `unit`.
    pub(super) fn of(&self, unit: &AccessUnit) -> Arc<[Bytes]> {
        let key = (unit.payload.as_ptr().addr(), unit.payload.len(), unit.kind == UnitKind::Key);
        if let Some((_, payloads)) = self.0.lock().made.get(&key) {
            return Arc::clone(payloads);
        }
        // Made without the lock: two readers at once do the work twice, which is better than one waiting for the other.
        let payloads: Arc<[Bytes]> = proto::rtsp::payloads(unit).into();
        self.0.lock().keep(key, unit.payload.clone(), &payloads);
        payloads
    }
}

impl Kept {
    fn keep(&mut self, key: Key, payload: Bytes, payloads: &Arc<[Bytes]>) {
        // The unit's own bytes are kept alive too.
        let size = |payload: &Bytes, payloads: &[Bytes]| payload.len() + payloads.iter().map(Bytes::len).sum::<usize>();
        let own = size(&payload, payloads);
        if self.made.insert(key, (payload, Arc::clone(payloads))).is_some() {
            return;
        }
        self.order.push_back(key);
        self.bytes += own;
        while self.bytes > MAX_BYTES {
            let Some(oldest) = self.order.pop_front() else { return };
            if let Some((payload, payloads)) = self.made.remove(&oldest) {
                self.bytes = self.bytes.saturating_sub(size(&payload, &payloads));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use media::{ClockRate, CodecParams, MediaTime, OpusParams, TrackId};

    fn unit(payload: Vec<u8>) -> AccessUnit {
        let time = MediaTime::new(0, ClockRate::AUDIO_48K);
        AccessUnit {
            track: TrackId(0),
            dts: time,
            pts: time,
            duration: None,
            kind: UnitKind::Audio,
            captured: None,
            params: Arc::new(CodecParams::Opus(OpusParams::WEBRTC)),
            payload: payload.into(),
        }
    }

    #[test]
    fn made_once_and_bounded() {
        let payloads = Payloads::default();
        let one = unit(vec![1; 100]);
        assert!(Arc::ptr_eq(&payloads.of(&one), &payloads.of(&one.clone())));
        for _ in 0..200 {
            payloads.of(&unit(vec![2; 100_000]));
        }
        let kept = payloads.0.lock();
        assert!(kept.bytes <= MAX_BYTES && kept.made.len() == kept.order.len() && !kept.made.is_empty());
    }
}
