//! A camera and a microphone made of arithmetic, for machines without and for tests; and the readers of what they show.
//!
//! Belongs here: test card, clock card, still card, beep, pacing, reading the clock and the beeps back from what somebody
//! received. Not here: devices, codecs.

mod bursts;
mod camera;
mod canvas;
mod clock_card;
mod paced;
mod sound;
mod speaker;
mod still_card;
mod test_card;

pub use bursts::{Burst, find_bursts};
pub use camera::{Pattern, SyntheticCamera, SyntheticConfig};
pub use clock_card::{ClockCard, ClockReading, read_clock, read_clock_luma};
pub use sound::{SyntheticMicrophone, beep_sample, burst_millis};
pub use speaker::SyntheticSpeaker;
pub use still_card::still_card;
pub use test_card::TestCard;
