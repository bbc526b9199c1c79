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

/// Delay in milliseconds, as far as each part is known. Picture and sound share the network; then the picture takes its way and the
/// sound its own, and the later of both is what a conversation waits for.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct DelayParts {
    /// On the wire.
    pub network: Option<f32>,
    /// The picture's: in our queues.
    pub queue: Option<f32>,
    /// The picture's: held until its sound is near.
    pub hold: Option<f32>,
    /// The picture's: encoding or decoding.
    pub codec: Option<f32>,
    /// The picture's: until it is on screen.
    pub display: Option<f32>,
    /// The sound's: in the jitter buffer and the speaker.
    pub jitter: Option<f32>,
}

impl DelayParts {
    /// The network and the later of both ways, as far as they are known; `None` where nothing is.
    pub fn total(&self) -> Option<f32> {
        let sum = |parts: &[Option<f32>]| parts.iter().copied().flatten().reduce(|a, b| a + b);
        let picture = sum(&[self.queue, self.hold, self.codec, self.display]);
        let later = [picture, self.jitter].into_iter().flatten().reduce(f32::max);
        sum(&[self.network, later])
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
        let parts = DelayParts { network: Some(5.0), queue: Some(2.0), hold: Some(30.0), ..DelayParts::default() };
        assert_eq!(parts.total(), Some(37.0));
        assert_eq!(DelayParts { jitter: Some(40.0), ..parts }.total(), Some(45.0), "the sound is later");
        assert_eq!(DelayParts { jitter: Some(20.0), ..parts }.total(), Some(37.0), "the picture is later");
    }
}
