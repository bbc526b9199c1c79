//! The engine of the app: consultation, player, capture, supervision, settings. The only crate the shell sees.
//!
//! Belongs here: composition. Camera and microphone ([`pipeline`]) go to a path of a hub, the patient's path goes to window and
//! speaker ([`player`]); a visit ([`consultation`]) puts a relay on this computer ([`relays`]) or a server elsewhere
//! ([`server`]) between the two. [`Engine`] is the handle.
//! Not here: protocols (`relay`), codecs (`codec`), devices (`device`), windows and their view models (the shell).
#![forbid(unsafe_code)]

mod actor;
mod consultation;
#[cfg(test)]
mod device_tests;
mod engine;
#[doc(hidden)]
pub mod fuzz;
#[cfg(test)]
#[path = "../../fuzz/replay.rs"]
mod fuzz_replay;
mod network;
mod pipeline;
mod player;
mod profile;
mod relays;
mod secrets;
mod self_test;
mod server;
pub mod settings;
mod snapshot;
mod token;

pub use consultation::{PatientUrls, Phase, Validity};
pub use device::{DeviceInfo, Devices};
pub use engine::{CommandError, Engine, EngineConfig, EngineError, profile_folder};
pub use network::{Network, NetworkKind};
pub use pipeline::{DeviceState, DeviceStates, Synthetic};
pub use player::PictureState;
pub use profile::{Profile, ProfileError};
pub use self_test::{Check, self_test};
pub use server::ServerError;
pub use snapshot::{DelayParts, Delays, Notice, Remote, Snapshot};
