//! What cameras answer to DESCRIBE, as recorded by the authors of Retina (`testdata/cameras`, with its licence beside it), against our
//! reading of descriptions.

use super::sdp::{Format, Presentation};

/// What one camera's answer is read as: track by track.
const CAMERAS: &[(&str, &[u8], &str)] = &[
    ("anjvision", include_bytes!("../../testdata/cameras/anjvision.txt"), "H265 1280x704"),
    ("anpviz", include_bytes!("../../testdata/cameras/anpviz.txt"), "H264 704x576, AAC 16000 1"),
    ("bunny", include_bytes!("../../testdata/cameras/bunny.txt"), "AAC 12000 2, H264 240x160"),
    (
        "dahua, H.264",
        include_bytes!("../../testdata/cameras/dahua_h264_aac_onvif.txt"),
        "H264 704x480, AAC 48000 1, (VND.ONVIF.METADATA)",
    ),
    ("dahua, H.265", include_bytes!("../../testdata/cameras/dahua_h265_pcma.txt"), "H265 704x480, G711 A 8000 1"),
    ("foscam", include_bytes!("../../testdata/cameras/foscam.txt"), "H264 1280x720, G711 Mu 8000 1"),
    ("geovision", include_bytes!("../../testdata/cameras/geovision.txt"), "H264 2688x1520, (VND.ONVIF.METADATA)"),
    ("gw, main", include_bytes!("../../testdata/cameras/gw_main.txt"), "H264 1920x1080, G711 Mu 8000 1"),
    ("gw, sub", include_bytes!("../../testdata/cameras/gw_sub.txt"), "H264 720x480"),
    ("h264dvr", include_bytes!("../../testdata/cameras/h264dvr.txt"), "H264 1920x1080, G711 A 8000 1"),
    ("hikvision", include_bytes!("../../testdata/cameras/hikvision.txt"), "H264 1920x1080, (VND.ONVIF.METADATA)"),
    ("ipcam", include_bytes!("../../testdata/cameras/ipcam.txt"), "H264 1280x960"),
    ("macrovideo", include_bytes!("../../testdata/cameras/macrovideo.txt"), "H264 1280x720"),
    ("without a type", include_bytes!("../../testdata/cameras/missing_content_type.txt"), "H264 320x180, AAC 48000 2"),
    ("reolink", include_bytes!("../../testdata/cameras/reolink.txt"), "H264 2560x1440, AAC 16000 1"),
    (
        "reolink, control first",
        include_bytes!("../../testdata/cameras/reolink_control_first.txt"),
        "H264 2560x1440, AAC 16000 1",
    ),
    ("tplink", include_bytes!("../../testdata/cameras/tplink.txt"), "H265 2560x1440, G711 A 8000 1, (UNKNOWN)"),
    ("ubiquiti", include_bytes!("../../testdata/cameras/ubiquiti.txt"), "AAC 48000 1, Opus 2, H264 1920x1080"),
    ("vstarcam", include_bytes!("../../testdata/cameras/vstarcam.txt"), "H264 1920x1080, G711 A 8000 1"),
];

/// The description in what was recorded: some with the answer's head, some without.
fn description(recorded: &[u8]) -> &[u8] {
    let at = recorded.windows(4).position(|w| w == b"\r\n\r\n").filter(|_| recorded.starts_with(b"RTSP/"));
    at.map_or(recorded, |at| &recorded[at + 4..])
}

fn shown(format: &Format) -> String {
    match format {
        Format::H264(Some(p)) => format!("H264 {}x{}", p.width(), p.height()),
        Format::H264(None) => "H264".into(),
        Format::H265(Some(p)) => format!("H265 {}x{}", p.width(), p.height()),
        Format::H265(None) => "H265".into(),
        Format::Vp8 | Format::Vp9 { .. } | Format::Av1 { .. } | Format::Jpeg => format!("{format:?}"),
        Format::Aac(p, _) | Format::Latm(p) => format!("AAC {} {}", p.rate().hz(), p.channels()),
        Format::Opus(p) => format!("Opus {}", p.channels),
        Format::G711(p) => format!("G711 {:?} {} {}", p.law, p.rate.hz(), p.channels),
        Format::MpegAudio => "MPEG audio".into(),
        Format::Other(name) => format!("({name})"),
    }
}

#[test]
fn recorded_descriptions() {
    let mut wrong = Vec::new();
    for (camera, recorded, want) in CAMERAS {
        let got = match Presentation::parse(description(recorded)) {
            Ok(parsed) => parsed.media.iter().map(|m| shown(&m.format)).collect::<Vec<_>>().join(", "),
            Err(error) => error.to_string(),
        };
        if got != *want {
            wrong.push(format!("{camera}: {got}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
