//! `--self-test`: what a supporter asks first, answered by the program itself.
//!
//! Belongs here: devices, ports, codecs, and one round through a real relay. Not here: how it is printed (the shell).

use crate::consultation::Phase;
use crate::engine::{Engine, EngineConfig, EngineError};
use crate::network;
use crate::settings::Settings;
use codec::{
    AacEncoderConfig, EncoderConfig, H264Decoder, H264Encoder, OpusDecoder, OpusEncoder, OpusEncoderConfig, aac_encoder,
};
use device::{Devices, MonoClock};
use hub::{Hub, Item, Limits, PathName, ReaderInfo, Start};
use media::{AccessUnit, ClockRate, MediaTime, MonoTime, Picture, TrackId};
use relay::Clock;
use relay::rtmp::RtmpUrl;
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::time::Duration;

/// A round through the relay takes tens of milliseconds; a busy machine gets a hundred times that.
const ROUND: Duration = Duration::from_secs(10);

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Check {
    /// What, such as `camera` or `port rtmp`.
    pub name: String,
    /// Is it as it should be? A missing device is not, but the program runs without.
    pub ok: bool,
    /// Does the program work without it?
    pub optional: bool,
    /// What was found.
    pub detail: String,
}

impl Check {
    fn new(name: impl Into<String>, result: Result<String, String>) -> Self {
        let ok = result.is_ok();
        Self { name: name.into(), ok, optional: false, detail: result.unwrap_or_else(|e| e) }
    }

    fn optional(self) -> Self {
        Self { optional: true, ..self }
    }
}

/// Looks at everything. Takes a few seconds.
///
/// # Errors
/// [`EngineError`] where not even the engine starts.
pub fn self_test(config: EngineConfig) -> Result<Vec<Check>, EngineError> {
    let settings = Settings::load(config.profile.folder())?;
    let mut checks = devices();
    checks.extend(ports(&settings));
    checks.push(Check::new("H.264", h264()));
    checks.push(Check::new("Opus", opus()));
    checks.push(Check::new("AAC", aac()));
    let engine = Engine::start(config)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|source| EngineError::System { what: "runtime", source })?;
    checks.push(Check::new("relay loop", runtime.block_on(relay_loop(&engine, &settings))));
    Ok(checks)
}

fn devices() -> Vec<Check> {
    let found = Devices::list();
    [("camera", found.cameras), ("microphone", found.microphones), ("speaker", found.speakers)]
        .into_iter()
        .map(|(kind, list)| {
            let names: Vec<String> = list.into_iter().map(|d| d.name).collect();
            Check::new(kind, if names.is_empty() { Err("none".into()) } else { Ok(names.join(", ")) }).optional()
        })
        .collect()
}

fn ports(settings: &Settings) -> Vec<Check> {
    let address = network::choose(&network::networks(), settings.network.as_deref());
    let ports = settings.ports;
    let tcp = |port| TcpListener::bind(SocketAddr::new(address, port)).map(drop);
    let udp = |port| UdpSocket::bind(SocketAddr::new(address, port)).map(drop);
    [
        ("rtmp", ports.rtmp, tcp(ports.rtmp)),
        ("hls", ports.hls, tcp(ports.hls)),
        ("webrtcHttp", ports.webrtc_http, tcp(ports.webrtc_http)),
        ("webrtcUdp", ports.webrtc_udp, udp(ports.webrtc_udp)),
    ]
    .into_iter()
    .map(|(name, port, bound)| {
        let at = SocketAddr::new(address, port);
        Check::new(format!("port {name}"), bound.map(|()| format!("{at} is free")).map_err(|e| format!("{at}: {e}")))
    })
    .collect()
}

fn h264() -> Result<String, String> {
    let text = |e: codec::CodecError| e.to_string();
    let mut encoder = H264Encoder::new(EncoderConfig::new(320, 240, 30, 500_000)).map_err(text)?;
    let picture =
        Picture::new(320, 240, vec![128_u8; 320 * 240 * 3 / 2], MonoTime::default()).map_err(|e| e.to_string())?;
    let unit = encoder.encode(&picture, true).map_err(text)?.ok_or("the encoder gave nothing")?;
    let time = MediaTime::new(0, ClockRate::VIDEO);
    let unit = AccessUnit {
        track: TrackId(0),
        dts: time,
        pts: time,
        duration: None,
        kind: unit.kind,
        captured: None,
        params: unit.params,
        payload: unit.payload,
    };
    let decoded = H264Decoder::new().map_err(text)?.decode(&unit).map_err(text)?.ok_or("the decoder gave nothing")?;
    Ok(format!("{}×{} encoded and decoded", decoded.picture.width(), decoded.picture.height()))
}

fn opus() -> Result<String, String> {
    let text = |e: codec::CodecError| e.to_string();
    let packet = OpusEncoder::new(OpusEncoderConfig::default()).map_err(text)?.encode(&[0.1; 1920]).map_err(text)?;
    let frames = OpusDecoder::new().map_err(text)?.decode(&packet, &mut Vec::new()).map_err(text)?;
    Ok(format!("{frames} samples encoded and decoded"))
}

fn aac() -> Result<String, String> {
    let text = |e: codec::CodecError| e.to_string();
    let mut encoder = aac_encoder(AacEncoderConfig { rate: 48_000, channels: 2, bitrate: 128_000 }).map_err(text)?;
    encoder.encode(&[0.1; 2048]).map_err(text)?;
    Ok("encoded".into())
}

/// Starts a consultation and pulls the doctor's own stream from it by RTMP.
async fn relay_loop(engine: &Engine, settings: &Settings) -> Result<String, String> {
    engine.start_consultation().await.map_err(|e| e.to_string())?;
    let snapshot = engine.snapshot();
    let result = match &snapshot.patient {
        Some(urls) if snapshot.phase != Phase::Ready => one_round(&urls.play_rtmp, settings).await,
        _ => Err("the consultation did not start".into()),
    };
    engine.end_consultation().await.map_err(|e| e.to_string())?;
    result
}

async fn one_round(url: &str, settings: &Settings) -> Result<String, String> {
    let url = RtmpUrl::parse(url).map_err(|e| e.to_string())?;
    let path = PathName::parse(&settings.doctor_stream).map_err(|e| e.to_string())?;
    let (hub, began) = (Hub::new(Limits::default()), MonoClock::now());
    let info = ReaderInfo { kind: "selfTest", id: "self-test".into() };
    let mut reader = hub.read(&path, info, Start::Soonest, began).map_err(|e| e.to_string())?;
    let first = async {
        loop {
            match reader.next().await {
                Ok(Item::Unit(unit, _)) if unit.is_key() => return Ok(()),
                Ok(_) => {}
                Err(error) => return Err(error.to_string()),
            }
        }
    };
    let clock = Clock::new(MonoClock::now);
    tokio::select! {
        ended = relay::rtmp::pull(&url, relay::tls::Trust::System, &hub, &path, clock) => match ended {
            Ok(never) => match never {},
            Err(error) => Err(error.to_string()),
        },
        got = tokio::time::timeout(ROUND, first) => {
            got.map_err(|_| "no picture came back".to_owned())??;
            Ok(format!("a picture came back after {} ms", MonoClock::now().since(began).as_millis()))
        }
    }
}
