//! Which sound system, which device, which format.

use crate::DeviceError;
use cpal::traits::{DeviceTrait, HostTrait};
use cpal::{BufferSize, SampleFormat, StreamConfig, SupportedBufferSize, SupportedStreamConfigRange};

/// What everything here is coded at; devices that can, run at it.
const RATE: u32 = 48_000;

/// PulseAudio where it can be reached (PipeWire answers to it too), else what the system has.
pub(crate) fn open() -> cpal::Host {
    #[cfg(target_os = "linux")]
    if let Ok(host) = cpal::host_from_id(cpal::HostId::PulseAudio) {
        return host;
    }
    cpal::default_host()
}

/// Is it a sound server, a program beside this one? Its callbacks are then ordinary threads of ours.
#[cfg(target_os = "linux")]
fn is_server(host: &cpal::Host) -> bool {
    host.id() == cpal::HostId::PulseAudio
}

#[cfg(not(target_os = "linux"))]
fn is_server(_host: &cpal::Host) -> bool {
    false
}

/// To the microphone or from the speaker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Direction {
    Input,
    Output,
}

/// A device and how it will be run.
pub(crate) struct Chosen {
    pub(crate) device: cpal::Device,
    pub(crate) config: StreamConfig,
    pub(crate) format: SampleFormat,
    pub(crate) name: String,
    /// A sound server calls back.
    pub(crate) served: bool,
}

/// The device called `id`, or the system's choice, to be called back every so many milliseconds if it can: `width` says how many, told
/// whether a sound server calls back.
pub(crate) fn choose(
    id: Option<&str>,
    direction: Direction,
    width: impl FnOnce(bool) -> u32,
) -> Result<Chosen, DeviceError> {
    let host = open();
    let served = is_server(&host);
    let device = match id {
        None => match direction {
            Direction::Input => host.default_input_device(),
            Direction::Output => host.default_output_device(),
        },
        Some(id) => {
            let mut devices = host.devices().map_err(|e| DeviceError::from(&e))?;
            devices.find(|d| d.id().is_ok_and(|known| known.to_string() == id))
        }
    };
    let device = device.ok_or_else(|| DeviceError::Missing(id.unwrap_or("no default device").to_owned()))?;
    let (default, ranges): (_, Vec<SupportedStreamConfigRange>) = match direction {
        Direction::Input => {
            (device.default_input_config(), device.supported_input_configs().map(Iterator::collect).unwrap_or_default())
        }
        Direction::Output => (
            device.default_output_config(),
            device.supported_output_configs().map(Iterator::collect).unwrap_or_default(),
        ),
    };
    let default = default.map_err(|e| DeviceError::from(&e))?;
    let wanted = match direction {
        Direction::Input => default.channels().clamp(1, 2),
        Direction::Output => 2,
    };
    let best = ranges.into_iter().filter_map(|r| r.try_with_sample_rate(RATE)).min_by_key(|config| {
        let format = [SampleFormat::F32, SampleFormat::I16, SampleFormat::I32, SampleFormat::I24, SampleFormat::U8]
            .iter()
            .position(|f| *f == config.sample_format());
        (format.is_none(), config.channels().abs_diff(wanted), format)
    });
    let supported =
        best.filter(|c| c.sample_format() != SampleFormat::U8 && !is_exotic(c.sample_format())).unwrap_or(default);
    if is_exotic(supported.sample_format()) {
        return Err(DeviceError::Format(format!("{:?} samples", supported.sample_format())));
    }
    let mut config = supported.config();
    let block = config.sample_rate / 1000 * width(served);
    config.buffer_size = match supported.buffer_size() {
        SupportedBufferSize::Range { min, max } if (*min..=*max).contains(&block) => BufferSize::Fixed(block),
        _ => BufferSize::Default,
    };
    let name = device.description().map_or_else(|_| "sound device".into(), |d| d.name().to_owned());
    Ok(Chosen { device, config, format: supported.sample_format(), name, served })
}

fn is_exotic(format: SampleFormat) -> bool {
    use SampleFormat as F;
    !matches!(format, F::F32 | F::F64 | F::I16 | F::I24 | F::I32 | F::U8 | F::U16)
}

/// Is this the end of a stream, or only something to count?
pub(crate) fn is_fatal(error: &cpal::Error) -> bool {
    use cpal::ErrorKind as Kind;
    !matches!(error.kind(), Kind::Xrun | Kind::RealtimeDenied | Kind::DeviceChanged)
}
