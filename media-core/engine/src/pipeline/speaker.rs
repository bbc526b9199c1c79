//! The speaker: plays what the sound buffer holds.
//!
//! Belongs here: the speaker's keeper. Not here: what is played (`player::sound`).

use super::keeper::{Keeper, Kept};
use super::source::Hardware;
use super::{DeviceState, Reports};
use crate::player::{SoundBuffer, SpeakerFeed};
use device::synthetic::SyntheticSpeaker;
use device::{AudioSink, DeviceError, SinkEvent};
use parking_lot::Mutex;
use std::sync::Arc;
use std::time::Duration;

/// The speaker and its thread.
pub(crate) struct SpeakerPipeline {
    keeper: Keeper<Option<String>>,
    sink: Arc<Mutex<Option<Box<dyn AudioSink>>>>,
}

impl SpeakerPipeline {
    /// Starts the thread; no speaker is opened yet.
    ///
    /// # Errors
    /// What the system says where no thread can be started.
    pub(crate) fn start(hardware: Arc<dyn Hardware>, sound: SoundBuffer, reports: Reports) -> std::io::Result<Self> {
        let sink = Arc::new(Mutex::new(None));
        let keeper = Keeper::start("speaker", KeptSpeaker { hardware, sound, sink: Arc::clone(&sink), reports })?;
        Ok(Self { keeper, sink })
    }

    /// Changes the speaker.
    pub(crate) fn want(&self, id: Option<String>) {
        self.keeper.want(Some(id));
    }

    /// Looks for the speaker now.
    pub(crate) fn probe(&self) {
        self.keeper.probe();
    }

    /// From rendering to sound, as the device knows it.
    pub(crate) fn latency(&self) -> Option<Duration> {
        self.sink.lock().as_ref().map(|sink| sink.playout().latency)
    }
}

struct KeptSpeaker {
    hardware: Arc<dyn Hardware>,
    sound: SoundBuffer,
    sink: Arc<Mutex<Option<Box<dyn AudioSink>>>>,
    reports: Reports,
}

impl KeptSpeaker {
    fn start(&mut self, mut sink: Box<dyn AudioSink>) -> Result<String, DeviceError> {
        let name = sink.name().to_owned();
        let sound = self.sound.clone();
        // The format is known once the sink has started, which is when it first asks.
        let format = Arc::new(Mutex::new(None));
        let known = Arc::clone(&format);
        let mut feed: Option<SpeakerFeed> = None;
        let render = Box::new(move |block: &mut [f32], at| {
            if feed.is_none() {
                let Some(format) = *known.lock() else { return };
                feed = SpeakerFeed::new(sound.clone(), format).ok();
            }
            if let Some(feed) = &mut feed {
                feed.fill(block, at);
            }
        });
        let (sound, reports, lost_name) = (self.sound.clone(), self.reports.clone(), name.clone());
        let events = Box::new(move |event| match event {
            SinkEvent::Lost(error) => {
                tracing::warn!(%error, "the speaker was lost");
                sound.speaker_gone();
                reports.update(|s| s.speaker = DeviceState::Lost { name: lost_name.clone() });
            }
            SinkEvent::Restored => reports.update(|s| s.speaker = DeviceState::Open { name: lost_name.clone() }),
        });
        sink.start(render, events)?;
        *format.lock() = Some(sink.format());
        self.close();
        *self.sink.lock() = Some(sink);
        Ok(name)
    }
}

impl Kept for KeptSpeaker {
    type Want = Option<String>;

    fn open(&mut self, want: &Option<String>) -> Result<String, DeviceError> {
        self.start(self.hardware.speaker(want.as_deref()))
    }

    /// A sink nobody hears keeps the patient's sound draining and its meter alive.
    fn stand_in(&mut self, _want: &Option<String>) -> bool {
        self.start(Box::new(SyntheticSpeaker::new())).is_ok()
    }

    fn wants_twin(_want: &Option<String>) -> bool {
        false
    }

    fn close(&mut self) {
        let sink = self.sink.lock().take();
        if let Some(mut sink) = sink {
            sink.stop();
            self.sound.speaker_gone();
        }
    }

    fn report(&mut self, state: DeviceState) {
        self.reports.update(|s| s.speaker = state);
    }
}
