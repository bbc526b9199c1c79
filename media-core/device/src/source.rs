//! What every camera, microphone and speaker promises, real or synthetic.

use crate::DeviceError;
use media::{MonoTime, Pcm, Picture};
use std::time::Duration;

/// What a running camera says. `Lost`, and once more where the reason changes, is followed by `Restored` when the device is back;
/// nothing needs to be done in between.
#[derive(Debug, Clone)]
pub enum VideoEvent {
    /// A picture with its capture time.
    Picture(Picture),
    /// The camera failed or hangs; it is being reopened with growing pauses.
    Lost(DeviceError),
    /// The first picture after a loss follows.
    Restored,
}

/// What a running microphone says.
#[derive(Debug, Clone)]
pub enum AudioEvent {
    /// 10 ms of sound; `captured` is when its first sample met the microphone.
    Sound(Pcm),
    /// The microphone failed or went silent for good; it is being reopened with growing pauses.
    Lost(DeviceError),
    /// The first sound after a loss follows.
    Restored,
}

/// What a running speaker says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SinkEvent {
    /// The speaker failed; sound is not asked for until it is back. Until then monotonic time leads.
    Lost(DeviceError),
    /// Sound is asked for again.
    Restored,
}

/// Takes pictures on a thread of its own. Dropping it stops it.
pub trait VideoSource: Send {
    /// A name for people.
    fn name(&self) -> &str;

    /// Starts delivering to `deliver`, which is called on the source's thread and must not wait. Answers when the device is
    /// open, or why it is not; started again, it stops first.
    ///
    /// # Errors
    /// [`DeviceError`] where the device cannot be opened now.
    fn start(&mut self, deliver: Box<dyn FnMut(VideoEvent) + Send>) -> Result<(), DeviceError>;

    /// Stops and releases the device; no delivery after it returns.
    fn stop(&mut self);
}

/// Records sound on a thread of its own. Dropping it stops it.
pub trait AudioSource: Send {
    /// A name for people.
    fn name(&self) -> &str;

    /// Starts delivering to `deliver`, which is called on the source's thread and must not wait for long. Answers when the
    /// device is open, or why it is not; started again, it stops first.
    ///
    /// # Errors
    /// [`DeviceError`] where the device cannot be opened now.
    fn start(&mut self, deliver: Box<dyn FnMut(AudioEvent) + Send>) -> Result<(), DeviceError>;

    /// Stops and releases the device; no delivery after it returns.
    fn stop(&mut self);
}

/// What sound a sink asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AudioFormat {
    /// Samples per second per channel.
    pub rate: u32,
    /// Channels, interleaved.
    pub channels: u8,
}

/// Fills a block of 10 ms (interleaved, zeroed before) that will be heard from the given time on. Called on the sink's thread;
/// must not wait.
pub type Render = Box<dyn FnMut(&mut [f32], MonoTime) + Send>;

/// How far a sink has played.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Playout {
    /// Frames (samples per channel) asked of the renderer so far.
    pub rendered: u64,
    /// From a block's rendering to its sound, as last known.
    pub latency: Duration,
    /// Frames of silence played because the renderer or the machine was late.
    pub underruns: u64,
}

/// Plays sound, asking for it in the device's own time: what is asked for is the clock that lip sync follows. Dropping it stops
/// it.
pub trait AudioSink: Send {
    /// A name for people.
    fn name(&self) -> &str;

    /// What blocks look like; known once started.
    fn format(&self) -> AudioFormat;

    /// Starts asking `render` for sound on a thread of its own; `events` is called there too. Answers when the device is open, or
    /// why it is not; started again, it stops first.
    ///
    /// # Errors
    /// [`DeviceError`] where the device cannot be opened now.
    fn start(&mut self, render: Render, events: Box<dyn FnMut(SinkEvent) + Send>) -> Result<(), DeviceError>;

    /// How far it is.
    fn playout(&self) -> Playout;

    /// Stops and releases the device; nothing is asked for after it returns.
    fn stop(&mut self);
}
