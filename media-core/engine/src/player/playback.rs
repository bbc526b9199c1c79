//! Reading the patient's path for as long as the visit lasts.
//!
//! Belongs here: the task that reads, decodes sound, lets pictures go when lip sync says so, and knows how the patient is doing.
//! Not here: those decisions themselves (`sync`, `jitter`), where the stream comes from (`consultation`).

use super::sound::{SoundBuffer, SoundDecoder};
use super::sync::LipSync;
use super::windows::Windows;
use device::MonoClock;
use hub::{Hub, Item, PathName, ReadError, Reader, ReaderInfo, SkippedTrack, Start};
use media::{AccessUnit, Codec, CodecParams, MediaKind, MonoTime, TrackSet};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;

/// Pictures every two seconds are a slide show; a doctor should know that what is seen stands still.
const FROZEN_AFTER: Duration = Duration::from_secs(2);
/// Sound comes at least fifteen times a second.
const SILENT_AFTER: Duration = Duration::from_secs(1);
/// How often the state is looked at where nothing comes.
const LOOK: Duration = Duration::from_millis(250);
/// Behind this much, whole GOPs are passed over on the way from the ring.
const PATIENCE: Duration = Duration::from_millis(500);
/// Before a path that was closed under us is read again.
const AGAIN: Duration = Duration::from_millis(250);

/// The patient's picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum PictureState {
    /// None yet, or no more.
    #[default]
    None,
    /// It moves.
    Live,
    /// No new picture for a while.
    Frozen,
}

/// Pictures the window cannot show: told in the log and the API, while the sound plays on.
fn not_shown(tracks: &TrackSet) -> Vec<SkippedTrack> {
    let foreign = tracks.iter().filter(|track| track.kind() == MediaKind::Video && track.codec() != Codec::H264);
    foreign
        .map(|track| {
            let codec = track.codec().label();
            tracing::warn!(codec, "the patient's picture cannot be shown: ask for H.264");
            SkippedTrack { codec: codec.into(), reason: "the consultation shows H264 alone".into() }
        })
        .collect()
}

/// How the patient is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct RemoteState {
    pub(crate) picture: PictureState,
    pub(crate) sound: bool,
    pub(crate) width: u32,
    pub(crate) height: u32,
}

impl RemoteState {
    /// Is anybody there?
    pub(crate) fn present(&self) -> bool {
        self.picture != PictureState::None || self.sound
    }
}

/// The task; dropping it ends it.
#[derive(Debug)]
pub(crate) struct Playback {
    stop: CancellationToken,
    state: watch::Receiver<RemoteState>,
}

impl Playback {
    /// Begins to play `path`, published already or not. Within the engine's runtime.
    pub(crate) fn start(hub: Hub, path: PathName, windows: Windows, sound: SoundBuffer, bell: Arc<Notify>) -> Self {
        let stop = CancellationToken::new();
        let (sender, state) = watch::channel(RemoteState::default());
        let task = Playing {
            hub,
            path,
            decoder: SoundDecoder::new(sound.clone()),
            windows,
            sound,
            sync: LipSync::default(),
            last_picture: None,
            last_sound: None,
            size: (0, 0),
            state: sender,
            bell,
        };
        let stopped = stop.clone();
        tokio::spawn(async move {
            let mut task = task;
            tokio::select! {
                () = stopped.cancelled() => {}
                () = task.run() => {}
            }
            task.windows.break_stream();
            task.decoder.restart();
        });
        Self { stop, state }
    }

    /// How the patient is doing now.
    pub(crate) fn state(&self) -> RemoteState {
        *self.state.borrow()
    }
}

impl Drop for Playback {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

struct Playing {
    hub: Hub,
    path: PathName,
    windows: Windows,
    sound: SoundBuffer,
    decoder: SoundDecoder,
    sync: LipSync,
    last_picture: Option<MonoTime>,
    last_sound: Option<MonoTime>,
    size: (u32, u32),
    state: watch::Sender<RemoteState>,
    bell: Arc<Notify>,
}

impl Playing {
    async fn run(&mut self) {
        loop {
            let info = ReaderInfo { kind: "visavisPlayer", id: "window".into() };
            match self.hub.read(&self.path, info, Start::Soonest, MonoClock::now()) {
                Ok(reader) => self.play(reader.with_patience(PATIENCE)).await,
                Err(error) => tracing::error!(%error, "the patient's path cannot be read"),
            }
            self.forget();
            tokio::time::sleep(AGAIN).await;
        }
    }

    /// Until the reader ends: nobody published in time, or the publisher is gone for good.
    async fn play(&mut self, mut reader: Reader) {
        let windows = self.windows.clone();
        loop {
            let now = MonoClock::now();
            let wait = self.sync.deadline(now).map_or(LOOK, |at| at.since(now).min(LOOK));
            tokio::select! {
                item = reader.next() => match item {
                    Ok(Item::Unit(unit, arrived)) => self.take(unit, arrived),
                    Ok(Item::Tracks(tracks)) => {
                        tracing::info!(tracks = tracks.len(), "the patient's tracks");
                        reader.set_skipped_tracks(not_shown(&tracks));
                    }
                    Err(ReadError::Lagged(lagged)) => {
                        tracing::warn!(missed = lagged.missed, "playback fell behind");
                        self.sync.clear();
                        self.windows.break_stream();
                    }
                    Err(ReadError::Ended(ended)) => {
                        tracing::info!(%ended, "the patient's stream");
                        return;
                    }
                },
                () = windows.key_wanted() => reader.request_keyframe(),
                () = tokio::time::sleep(wait) => {}
            }
            self.show();
            self.tell();
        }
    }

    fn take(&mut self, unit: AccessUnit, arrived: MonoTime) {
        let now = MonoClock::now();
        if unit.is_video() && unit.params.codec() != Codec::H264 {
            return;
        }
        if unit.is_video() {
            self.last_picture = Some(now);
            if let CodecParams::H264(params) = &*unit.params {
                self.size = (params.width(), params.height());
            }
            self.sync.push(unit, arrived);
        } else {
            self.last_sound = Some(now);
            if let Err(error) = self.decoder.push(&unit, arrived) {
                tracing::debug!(%error, "a unit of the patient's sound");
            }
        }
    }

    fn show(&mut self) {
        match self.sound.heard() {
            Some((pts, at)) => self.sync.sound_heard(pts, at),
            // Without a speaker or a sound track there is nothing to wait for. Within a stall monotonic time carries on.
            None if self.last_sound.is_none_or(|at| MonoClock::now().since(at) > SILENT_AFTER) => {
                self.sync.sound_gone()
            }
            None => {}
        }
        let now = MonoClock::now();
        while let Some((unit, held)) = self.sync.pop(now) {
            if let Some(offset) = self.sync.offset_ms(unit.pts, now) {
                tracing::trace!(offset, "sound trails the picture by, ms");
            }
            self.windows.held(held);
            self.windows.send_unit(unit, now);
        }
    }

    fn tell(&self) {
        let now = MonoClock::now();
        let picture = match self.last_picture {
            None => PictureState::None,
            Some(at) if now.since(at) > FROZEN_AFTER => PictureState::Frozen,
            Some(_) => PictureState::Live,
        };
        let sound = self.last_sound.is_some_and(|at| now.since(at) <= SILENT_AFTER);
        self.windows
            .update_levels(|levels| levels.remote = if sound { self.sound.level() } else { codec::Level::default() });
        let state = RemoteState { picture, sound, width: self.size.0, height: self.size.1 };
        if self.state.send_if_modified(|old| std::mem::replace(old, state) != state) {
            self.bell.notify_one();
        }
    }

    fn forget(&mut self) {
        self.sync.clear();
        self.decoder.restart();
        self.windows.break_stream();
        self.last_picture = None;
        self.last_sound = None;
        self.size = (0, 0);
        self.tell();
    }
}
