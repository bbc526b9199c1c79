//! Packets to units, as a reader by RTSP or WHEP puts them together.
//!
//! Not here: how packets come (`rtsp`, `peer`).

use crate::common::player::Arrival;
use anyhow::Result;
use bytes::Bytes;
use media::{AccessUnit, ClockRate, CodecParams, H264Entrance, MediaTime, OpusParams, TrackId, UnitKind, Unwrapper};
use proto::rtp::{AacDepayloader, Depayloaded, H264Depayloader, Packet, depayload_opus};
use proto::rtsp::Format;
use std::sync::Arc;

/// One track of a reader.
#[derive(Debug)]
pub(crate) struct Track {
    pub(crate) payload_type: u8,
    coding: Coding,
    clock: ClockRate,
    times: Unwrapper<32>,
}

#[derive(Debug)]
enum Coding {
    H264(Box<(H264Depayloader, H264Entrance)>),
    Aac(AacDepayloader, Arc<CodecParams>),
    Opus(Arc<CodecParams>),
}

impl Track {
    /// Of a description's track; `None` for what is not read here.
    pub(crate) fn new(payload_type: u8, format: &Format, clock: ClockRate) -> Option<Self> {
        let coding = match format {
            Format::H264(params) => {
                let mut entrance = H264Entrance::new();
                if let Some(params) = params {
                    entrance.set_params(params);
                }
                Coding::H264(Box::new((H264Depayloader::from_the_beginning(), entrance)))
            }
            Format::Aac(params, layout) => {
                Coding::Aac(AacDepayloader::new(*layout), Arc::new(CodecParams::Aac(params.clone())))
            }
            Format::Opus(_) => Coding::Opus(Arc::new(CodecParams::Opus(OpusParams::WEBRTC))),
            _ => return None,
        };
        Some(Self { payload_type, coding, clock, times: Unwrapper::new() })
    }

    /// Takes a packet that came at `at`, and hands on the units that are whole with it.
    ///
    /// # Errors
    /// Where it is not what the description says.
    pub(crate) fn push(&mut self, packet: &Packet, at: f64, mut whole: impl FnMut(Arrival)) -> Result<()> {
        let Self { coding, clock, times, .. } = self;
        let (timestamp, payload) = (packet.header.timestamp, &packet.payload);
        let mut unit = |timestamp: u32, kind, params: &Arc<CodecParams>, payload: Bytes| {
            let time = MediaTime::new(times.unwrap(u64::from(timestamp)), *clock);
            let track = TrackId(u8::from(kind == UnitKind::Audio));
            let params = Arc::clone(params);
            let unit =
                AccessUnit { track, dts: time, pts: time, duration: None, kind, captured: None, params, payload };
            whole(Arrival { at, unit });
        };
        match coding {
            Coding::H264(pictures) => {
                let (depayloader, entrance) = &mut **pictures;
                depayloader.push(timestamp, packet.header.marker, payload, false);
                while let Some(depayloaded) = depayloader.poll() {
                    // A reader that joins in the middle of a picture drops it.
                    let Depayloaded::Unit { timestamp, parts: nals } = depayloaded else { continue };
                    if let Some(picture) = entrance.unit(nals.iter().map(|nal| &nal[..]))? {
                        unit(timestamp, picture.kind, &picture.params, picture.payload);
                    }
                }
            }
            Coding::Aac(depayloader, params) => {
                for frame in depayloader.push(timestamp, payload, false)? {
                    unit(timestamp, UnitKind::Audio, params, frame);
                }
            }
            Coding::Opus(params) => unit(timestamp, UnitKind::Audio, params, depayload_opus(payload)?.0),
        }
        Ok(())
    }
}
