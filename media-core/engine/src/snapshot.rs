//! The engine's state, whole: what the shell draws.
//!
//! Belongs here: those values. Not here: how they come about (`engine`), how they cross to the window (the shell's view models).

use crate::consultation::{PatientUrls, Phase};
use crate::network::Network;
use crate::pipeline::{DeviceState, DeviceStates};
use crate::player::PictureState;
use crate::settings::Settings;
use device::Devices;
use std::time::SystemTime;

/// Everything the window draws.
#[derive(Debug, Clone, PartialEq)]
pub struct Snapshot {
    /// What the user may change.
    pub settings: Settings,
    /// A password for the server is known.
    pub has_password: bool,
    /// Which devices there are.
    pub devices: Devices,
    /// How those in use are.
    pub states: DeviceStates,
    /// This computer's addresses.
    pub networks: Vec<Network>,
    /// Where the consultation stands.
    pub phase: Phase,
    /// When it began.
    pub started_at: Option<SystemTime>,
    /// Silence is sent.
    pub muted: bool,
    /// The camera is released.
    pub camera_off: bool,
    /// How the patient is.
    pub remote: Remote,
    /// Delay towards the doctor and away.
    pub delay: Delays,
    /// What the patient opens.
    pub patient: Option<PatientUrls>,
    /// The visit's token.
    pub token: Option<String>,
    /// Things that need a look, most urgent first.
    pub notices: Vec<Notice>,
    /// Where the window gets pictures and levels.
    pub player_url: String,
}

/// How the patient is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Remote {
    /// The picture.
    pub picture: PictureState,
    /// There is sound.
    pub sound: bool,
    /// Width in pixels.
    pub width: u32,
    /// Height in pixels.
    pub height: u32,
}

/// Delay in milliseconds, as far as each part is known.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct DelayParts {
    /// On the wire.
    pub network: Option<f32>,
    /// In our queues.
    pub queue: Option<f32>,
    /// In the jitter buffer and the speaker.
    pub jitter: Option<f32>,
    /// Encoding or decoding.
    pub codec: Option<f32>,
    /// Until it is on screen.
    pub display: Option<f32>,
}

impl DelayParts {
    /// The sum of what is known; `None` where nothing is.
    pub fn total(&self) -> Option<f32> {
        let known: Vec<f32> =
            [self.network, self.queue, self.jitter, self.codec, self.display].into_iter().flatten().collect();
        (!known.is_empty()).then(|| known.iter().sum())
    }
}

/// Delay in both directions.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Delays {
    /// From the patient.
    pub incoming: DelayParts,
    /// To the patient.
    pub outgoing: DelayParts,
    /// The other side is a phone whose own buffer is unknown.
    pub estimated: bool,
}

/// One thing to say beside the picture.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Notice {
    /// The camera is in this state.
    Camera(DeviceState),
    /// The microphone is in this state.
    Microphone(DeviceState),
    /// The speaker is in this state.
    Speaker(DeviceState),
    /// Somebody speaks into a muted microphone.
    MutedButSpeaking,
    /// A port is taken.
    PortTaken {
        /// The setting that names it.
        setting: String,
        /// The port.
        port: u16,
        /// Who has it, where the system tells.
        program: Option<String>,
        /// One that is free.
        free: Option<u16>,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn totals_are_of_what_is_known() {
        assert_eq!(DelayParts::default().total(), None);
        let parts = DelayParts { queue: Some(2.0), jitter: Some(40.0), ..DelayParts::default() };
        assert_eq!(parts.total(), Some(42.0));
    }
}
