//! Which devices there are.

use crate::sound::alsa_quiet::quietly;
use crate::sound::host;
use cpal::traits::{DeviceTrait, HostTrait};
use nokhwa::utils::ApiBackend;

/// One device, as a list shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceInfo {
    /// Stable as far as the system makes it; what settings store.
    pub id: String,
    /// For people.
    pub name: String,
    /// Is it what the system would choose?
    pub default: bool,
}

/// All devices of this machine, now.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Devices {
    /// Cameras.
    pub cameras: Vec<DeviceInfo>,
    /// Microphones; recordings of what a speaker plays are left out.
    pub microphones: Vec<DeviceInfo>,
    /// Speakers.
    pub speakers: Vec<DeviceInfo>,
}

impl Devices {
    /// Asks the system. A kind that cannot be asked for has no devices. May take a second; not for a thread that paints.
    pub fn list() -> Self {
        let (microphones, speakers) = quietly(|| {
            let host = host::open();
            let (input, output) = (host.default_input_device(), host.default_output_device());
            let microphones = host.input_devices().map(|d| infos(d, input.as_ref())).unwrap_or_default();
            let speakers = host.output_devices().map(|d| infos(d, output.as_ref())).unwrap_or_default();
            (microphones, speakers)
        });
        Self { cameras: cameras(), microphones, speakers }
    }
}

fn infos(devices: impl Iterator<Item = cpal::Device>, default: Option<&cpal::Device>) -> Vec<DeviceInfo> {
    let default = default.and_then(|d| d.id().ok());
    devices
        .filter_map(|device| {
            let id = device.id().ok()?;
            if !is_device(&id.to_string()) {
                return None;
            }
            let name = device.description().map_or_else(|_| id.id().to_owned(), |d| d.name().to_owned());
            Some(DeviceInfo { default: default.as_ref() == Some(&id), id: id.to_string(), name })
        })
        .collect()
}

/// What ALSA lists beside devices: plugins, of which some are not even paced.
const ALSA_PLUGINS: [&str; 11] =
    ["null", "lavrate", "samplerate", "speexrate", "jack", "oss", "pulse", "speex", "upmix", "vdownmix", "usbstream"];

/// Is it something that can be plugged in? PulseAudio also offers what a sink plays, as a source to record.
fn is_device(id: &str) -> bool {
    match id.split_once(':') {
        Some(("alsa", name)) => !ALSA_PLUGINS.contains(&name.split(':').next().unwrap_or(name)),
        _ => !id.ends_with(".monitor"),
    }
}

fn cameras() -> Vec<DeviceInfo> {
    let found = nokhwa::query(ApiBackend::Auto).unwrap_or_else(|e| {
        tracing::warn!("cameras cannot be listed: {e}");
        Vec::new()
    });
    let mut cameras: Vec<DeviceInfo> = found
        .iter()
        .map(|camera| DeviceInfo { id: camera.index().as_string(), name: camera.human_name(), default: false })
        .collect();
    if let Some(first) = cameras.first_mut() {
        first.default = true;
    }
    cameras
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plugins_and_monitors_are_no_devices() {
        let check = |id: &str, want: bool| assert_eq!(is_device(id), want, "{id}");
        check("alsa:null", false);
        check("alsa:usbstream:CARD=PCH", false);
        check("alsa:default", true);
        check("alsa:hw:CARD=PCH,DEV=0", true);
        check("pulseaudio:alsa_output.pci.analog-stereo.monitor", false);
        check("pulseaudio:alsa_input.usb-mic", true);
    }
}
