//! What listeners hear: bursts stay where they were and as loud, through losses, damage, jumps and new parameters.

mod to_aac;
mod to_opus;
