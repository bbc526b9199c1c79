//! Pictures of every codec: packets to coded pictures, and coded pictures to packets.
//!
//! Belongs here: which codec is packed how, that nothing is passed on which lacks its reference. Not here: the formats themselves (the
//! codecs' modules), waiting for packets (`reorder`), times (`timeline`).

use super::av1::{Av1Depayloader, payload_av1};
use super::cut::unit_nals;
use super::gather::{Depayloaded, Depayloader, Packing};
use super::h264::{H264Depayloader, H264Payloader};
use super::h265::{H265Depayloader, H265Payloader};
use super::jpeg::{JpegDepayloader, payload_jpeg};
use super::vp8::{Vp8Depayloader, payload_vp8};
use super::vp9::{Vp9Depayloader, payload_vp9};
use bytes::Bytes;
use media::{
    AccessUnit, Av1Entrance, Codec, CodecParams, H264Entrance, H265Entrance, MjpegEntrance, UnitKind, VideoUnit,
    Vp8Entrance, Vp9Entrance,
};
use std::sync::Arc;

/// One picture track's way in.
#[derive(Debug)]
pub struct PictureDepayloader {
    coding: Coding,
    /// Nothing is passed on before a key picture, at the beginning and after every loss: what lacks its reference is seen as smear.
    needs_key: bool,
}

#[derive(Debug)]
enum Coding {
    H264(H264Depayloader, H264Entrance),
    H265(H265Depayloader, H265Entrance),
    Vp8(Vp8Depayloader, Vp8Entrance),
    Vp9(Vp9Depayloader, Vp9Entrance),
    Av1(Av1Depayloader, Av1Entrance),
    Mjpeg(JpegDepayloader, MjpegEntrance),
}

/// A picture of which something is missing, or that is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Damaged;

/// `whole`: the first packet begins a picture.
fn gather<P: Packing>(whole: bool) -> Depayloader<P> {
    if whole { Depayloader::from_the_beginning() } else { Depayloader::new() }
}

impl PictureDepayloader {
    /// For a track of `codec`; `None` for what is not carried. `whole`: the first packet begins a picture. Many senders put parameter sets
    /// into the description alone, so nothing else shows that the first picture is whole.
    pub fn new(codec: Codec, whole: bool) -> Option<Self> {
        let coding = match codec {
            Codec::H264 => Coding::H264(gather(whole), H264Entrance::new()),
            Codec::H265 => Coding::H265(gather(whole), H265Entrance::new()),
            Codec::Vp8 => Coding::Vp8(gather(whole), Vp8Entrance::new()),
            Codec::Vp9 => Coding::Vp9(gather(whole), Vp9Entrance::new()),
            Codec::Av1 => Coding::Av1(gather(whole), Av1Entrance::new()),
            Codec::Mjpeg => Coding::Mjpeg(JpegDepayloader::new(), MjpegEntrance::new()),
            Codec::Aac | Codec::Opus | Codec::G711 | Codec::MpegAudio => return None,
        };
        Some(Self { coding, needs_key: true })
    }

    /// Parameters that came out of band; those of another codec change nothing.
    pub fn set_params(&mut self, params: &CodecParams) {
        match (&mut self.coding, params) {
            (Coding::H264(_, entrance), CodecParams::H264(params)) => entrance.set_params(params),
            (Coding::H265(_, entrance), CodecParams::H265(params)) => entrance.set_params(params),
            (Coding::Vp9(_, entrance), CodecParams::Vp9(params)) => entrance.set_params(*params),
            (Coding::Av1(_, entrance), CodecParams::Av1(params)) => entrance.set_params(params.clone()),
            _ => {}
        }
    }

    /// What is known; parameter sets may not be yet.
    pub fn params(&mut self) -> Option<Arc<CodecParams>> {
        match &mut self.coding {
            Coding::H264(_, entrance) => entrance.params(),
            Coding::H265(_, entrance) => entrance.params(),
            Coding::Vp8(_, entrance) => entrance.params(),
            Coding::Vp9(_, entrance) => entrance.params(),
            Coding::Av1(_, entrance) => entrance.params(),
            Coding::Mjpeg(_, entrance) => entrance.params(),
        }
    }

    /// Is a key picture needed before anything can be passed on?
    pub const fn needs_key(&self) -> bool {
        self.needs_key
    }

    /// Takes the next packet in sequence. `gap`: packets before it are missing. Ask [`Self::poll`] afterwards.
    pub fn push(&mut self, timestamp: u32, marker: bool, payload: &Bytes, gap: bool) {
        match &mut self.coding {
            Coding::H264(depayloader, _) => depayloader.push(timestamp, marker, payload, gap),
            Coding::H265(depayloader, _) => depayloader.push(timestamp, marker, payload, gap),
            Coding::Vp8(depayloader, _) => depayloader.push(timestamp, marker, payload, gap),
            Coding::Vp9(depayloader, _) => depayloader.push(timestamp, marker, payload, gap),
            Coding::Av1(depayloader, _) => depayloader.push(timestamp, marker, payload, gap),
            Coding::Mjpeg(depayloader, _) => depayloader.push(timestamp, marker, payload, gap),
        }
    }

    /// The next picture that can be decoded with its RTP timestamp, or that one was damaged.
    ///
    /// # Errors
    /// [`Damaged`], within the answer; the pictures behind it are held back until the next key picture.
    pub fn poll(&mut self) -> Option<Result<(u32, VideoUnit), Damaged>> {
        loop {
            let (timestamp, parts) = match self.gathered()? {
                Depayloaded::Unit { timestamp, parts } => (timestamp, parts),
                Depayloaded::Lost { .. } => return Some(Err(self.damaged())),
            };
            match self.unit(&parts) {
                Ok(Some(unit)) => {
                    self.needs_key &= unit.kind != UnitKind::Key;
                    if !self.needs_key {
                        return Some(Ok((timestamp, unit)));
                    }
                }
                Ok(None) => {}
                Err(Damaged) => return Some(Err(self.damaged())),
            }
        }
    }

    const fn damaged(&mut self) -> Damaged {
        self.needs_key = true;
        Damaged
    }

    fn gathered(&mut self) -> Option<Depayloaded> {
        match &mut self.coding {
            Coding::H264(depayloader, _) => depayloader.poll(),
            Coding::H265(depayloader, _) => depayloader.poll(),
            Coding::Vp8(depayloader, _) => depayloader.poll(),
            Coding::Vp9(depayloader, _) => depayloader.poll(),
            Coding::Av1(depayloader, _) => depayloader.poll(),
            Coding::Mjpeg(depayloader, _) => depayloader.poll(),
        }
    }

    fn unit(&mut self, parts: &[Bytes]) -> Result<Option<VideoUnit>, Damaged> {
        let slices = parts.iter().map(|part| &part[..]);
        // One part, of codecs whose pictures are one.
        let whole = parts.first();
        match &mut self.coding {
            Coding::H264(_, entrance) => entrance.unit(slices).map_err(|_e| Damaged),
            Coding::H265(_, entrance) => entrance.unit(slices).map_err(|_e| Damaged),
            Coding::Vp8(_, entrance) => whole.map_or(Ok(None), |frame| entrance.unit(frame)).map_err(|_e| Damaged),
            Coding::Vp9(_, entrance) => whole.map_or(Ok(None), |frame| entrance.unit(frame)).map_err(|_e| Damaged),
            Coding::Av1(_, entrance) => entrance.unit_of(slices).map_err(|_e| Damaged),
            Coding::Mjpeg(_, entrance) => whole.map(|jpeg| entrance.unit(jpeg)).transpose().map_err(|_e| Damaged),
        }
    }
}

/// The RTP payloads of a picture, of at most `max` bytes each (RTP header not included); the last one gets the marker. None for sound and
/// for what RTP does not carry here.
pub fn payload_picture(unit: &AccessUnit, max: usize) -> Vec<Bytes> {
    match &*unit.params {
        CodecParams::H264(_) => H264Payloader::new(max).payload(unit_nals(unit)),
        CodecParams::H265(_) => H265Payloader::new(max).payload(unit_nals(unit)),
        CodecParams::Vp8(_) => payload_vp8(&unit.payload, max),
        CodecParams::Vp9(params) => payload_vp9(&unit.payload, params, unit.is_key(), max),
        CodecParams::Av1(params) => payload_av1(&params.unsized_obus(&unit.payload, unit.is_key()), unit.is_key(), max),
        CodecParams::Mjpeg(_) => payload_jpeg(&unit.payload, max),
        CodecParams::Aac(_) | CodecParams::Opus(_) | CodecParams::G711(_) | CodecParams::MpegAudio(_) => Vec::new(),
    }
}
