//! A picture track's packets to units. Not here: reordering packets, other tracks, times (`ingest`).

use crate::rtp::{DecodeOrder, Depayloaded, H264Depayloader, H265Depayloader};
use bytes::Bytes;
use media::{
    AccessUnit, CodecParams, H264Entrance, H264Params, H265Entrance, H265Params, MediaTime, TrackId, UnitKind,
    VideoUnit,
};
use std::sync::Arc;

#[derive(Debug)]
pub(super) struct Pictures {
    coding: Coding,
    order: DecodeOrder,
    /// Nothing is passed on before a key picture, at the beginning and after every loss.
    needs_key: bool,
}

#[derive(Debug)]
enum Coding {
    H264(H264Depayloader, H264Entrance),
    H265(H265Depayloader, H265Entrance),
}

/// A picture that cannot be shown.
pub(super) struct Damaged;

impl Pictures {
    /// `whole`: the first packet begins a picture. Many senders put parameter sets into the description alone, so nothing else shows that
    /// the first picture is whole.
    pub(super) fn h264(params: Option<&H264Params>, whole: bool) -> Self {
        let mut entrance = H264Entrance::new();
        if let Some(params) = params {
            entrance.set_params(params);
        }
        let depayloader = if whole { H264Depayloader::from_the_beginning() } else { H264Depayloader::new() };
        Self::new(Coding::H264(depayloader, entrance))
    }

    /// As [`Self::h264`].
    pub(super) fn h265(params: Option<&H265Params>, whole: bool) -> Self {
        let mut entrance = H265Entrance::new();
        if let Some(params) = params {
            entrance.set_params(params);
        }
        let depayloader = if whole { H265Depayloader::from_the_beginning() } else { H265Depayloader::new() };
        Self::new(Coding::H265(depayloader, entrance))
    }

    const fn new(coding: Coding) -> Self {
        Self { coding, order: DecodeOrder::new(), needs_key: true }
    }

    /// What is known; parameter sets may not be yet.
    pub(super) fn params(&mut self) -> Option<Arc<CodecParams>> {
        match &mut self.coding {
            Coding::H264(_, entrance) => entrance.params(),
            Coding::H265(_, entrance) => entrance.params(),
        }
    }

    /// Takes the next packet in sequence. Ask [`Self::poll`] afterwards.
    pub(super) fn push(&mut self, timestamp: u32, marker: bool, payload: &Bytes, gap: bool) {
        match &mut self.coding {
            Coding::H264(depayloader, _) => depayloader.push(timestamp, marker, payload, gap),
            Coding::H265(depayloader, _) => depayloader.push(timestamp, marker, payload, gap),
        }
    }

    /// What became of it: a picture on track 0, or nothing to show, or a loss.
    pub(super) fn poll(
        &mut self,
        time: impl FnOnce(u32) -> Option<MediaTime>,
    ) -> Option<Result<Option<AccessUnit>, Damaged>> {
        let depayloaded = match &mut self.coding {
            Coding::H264(depayloader, _) => depayloader.poll(),
            Coding::H265(depayloader, _) => depayloader.poll(),
        };
        Some(self.picture(depayloaded?, time))
    }

    fn picture(
        &mut self,
        depayloaded: Depayloaded,
        time: impl FnOnce(u32) -> Option<MediaTime>,
    ) -> Result<Option<AccessUnit>, Damaged> {
        let Depayloaded::Unit { timestamp, nals } = depayloaded else {
            self.needs_key = true;
            return Err(Damaged);
        };
        let unit = match self.unit(&nals) {
            Ok(Some(unit)) => unit,
            Ok(None) => return Ok(None),
            Err(damaged) => {
                self.needs_key = true;
                return Err(damaged);
            }
        };
        if unit.kind == UnitKind::Key {
            self.needs_key = false;
        }
        let Some(pts) = time(timestamp).filter(|_| !self.needs_key) else { return Ok(None) };
        let depth = match &*unit.params {
            CodecParams::H264(params) => params.reorder(),
            CodecParams::H265(params) => params.reorder(),
            _ => 0,
        };
        let dts = self.order.dts(pts, depth);
        Ok(Some(AccessUnit {
            track: TrackId(0),
            dts,
            // A sender whose times step back is decoded on, and shows nothing before it is decoded.
            pts: if pts < dts { dts } else { pts },
            duration: None,
            kind: unit.kind,
            captured: None,
            params: unit.params,
            payload: unit.payload,
        }))
    }

    fn unit(&mut self, nals: &[Bytes]) -> Result<Option<VideoUnit>, Damaged> {
        let nals = nals.iter().map(|nal| &nal[..]);
        match &mut self.coding {
            Coding::H264(_, entrance) => entrance.unit(nals).map_err(|_e| Damaged),
            Coding::H265(_, entrance) => entrance.unit(nals).map_err(|_e| Damaged),
        }
    }
}
