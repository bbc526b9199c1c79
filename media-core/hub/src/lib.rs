//! The hub: paths, each with one publisher, one ring and any number of readers.
//!
//! Belongs here: who may write, what is kept, where a reader starts, what happens when it falls behind, how a publisher's
//! times are mended. Not here: codecs (`codec`), protocols (`proto`, `relay`), tasks and timers (`relay` calls
//! [`Hub::tick`]), transcoding (`relay::transcode` is a reader of one path and the publisher of another).
//!
//! Nobody can block the publisher: [`Publisher::write`] takes one lock for pointer work and returns. Readers hold a number
//! into the ring, so memory does not grow with their count.
#![forbid(unsafe_code)]

mod demand;
mod feedback;
#[doc(hidden)]
pub mod fuzz;
#[cfg(test)]
#[path = "../../fuzz/replay.rs"]
mod fuzz_replay;
mod hub;
mod name;
mod path;
mod publisher;
mod reader;
mod ring;
mod skipped;
mod timeline;

pub use demand::Waiting;
pub use feedback::Feedback;
pub use hub::{Hub, Limits, PathState, ReaderState};
pub use name::{PathName, PathNameError};
pub use publisher::{PublishError, Publisher, PublisherInfo, PublisherState};
pub use reader::{Changes, Ended, Item, Lagged, ReadError, Reader, ReaderInfo, Start};
pub use ring::RingLimits;
pub use skipped::SkippedTrack;
pub use timeline::Mended;
