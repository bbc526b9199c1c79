//! The patient: picture to the window, sound to the speaker, lips in step.
//!
//! A reader of the patient's path (`playback`) hands sound to the decoder and its jitter buffer (`sound`, `jitter`), pictures
//! through lip sync (`sync`) to the windows (`windows`, `feed`), which are fed over the loopback socket (`socket`, `wire`).
//! Pictures are not decoded here: the window does that, in step with its own drawing; only where it cannot are they.
//!
//! Belongs here: everything between the hub and what is seen and heard. Not here: the speaker itself and capture (`pipeline`,
//! `device`), which path (`consultation`).

mod feed;
mod jitter;
mod playback;
mod socket;
mod sound;
mod sync;
mod windows;
mod wire;

pub use playback::PictureState;
pub(crate) use playback::{Playback, RemoteState};
pub(crate) use socket::PlayerSocket;
pub(crate) use sound::{SoundBuffer, SpeakerFeed};
pub(crate) use windows::Windows;
pub(crate) use wire::FromWindow;
