//! A picture track's packets to units. Not here: gathering packets (`rtp`), reordering them, other tracks, times (`ingest`).

use crate::rtp::{Damaged, DecodeOrder, PictureDepayloader};
use bytes::Bytes;
use media::{AccessUnit, Codec, CodecParams, MediaTime, TrackId};
use std::sync::Arc;

#[derive(Debug)]
pub(super) struct Pictures {
    depayloader: PictureDepayloader,
    order: DecodeOrder,
}

impl Pictures {
    /// `whole` as for [`PictureDepayloader::new`]; `params` where the description has them.
    pub(super) fn new(codec: Codec, params: Option<&CodecParams>, whole: bool) -> Option<Self> {
        let mut depayloader = PictureDepayloader::new(codec, whole)?;
        if let Some(params) = params {
            depayloader.set_params(params);
        }
        Some(Self { depayloader, order: DecodeOrder::new() })
    }

    /// What is known; parameter sets may not be yet.
    pub(super) fn params(&mut self) -> Option<Arc<CodecParams>> {
        self.depayloader.params()
    }

    /// Takes the next packet in sequence. Ask [`Self::poll`] afterwards.
    pub(super) fn push(&mut self, timestamp: u32, marker: bool, payload: &Bytes, gap: bool) {
        self.depayloader.push(timestamp, marker, payload, gap);
    }

    /// What became of it: a picture on track 0, or nothing to show, or a loss.
    pub(super) fn poll(
        &mut self,
        time: impl FnOnce(u32) -> Option<MediaTime>,
    ) -> Option<Result<Option<AccessUnit>, Damaged>> {
        let picture = self.depayloader.poll()?;
        Some(picture.map(|(timestamp, unit)| {
            let pts = time(timestamp)?;
            let depth = match &*unit.params {
                CodecParams::H264(params) => params.reorder(),
                CodecParams::H265(params) => params.reorder(),
                _ => 0,
            };
            let dts = self.order.dts(pts, depth);
            Some(AccessUnit {
                track: TrackId(0),
                dts,
                // A sender whose times step back is decoded on, and shows nothing before it is decoded.
                pts: if pts < dts { dts } else { pts },
                duration: None,
                kind: unit.kind,
                captured: None,
                params: unit.params,
                payload: unit.payload,
            })
        }))
    }
}
