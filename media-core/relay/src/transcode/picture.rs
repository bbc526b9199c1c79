//! The picture of a rendition, decoded and encoded on a thread of its own.
//!
//! Belongs here: the queue to that thread, making up for lost time, wishes for key frames. Not here: decoding and encoding (`codec`), the
//! rendition's life (`super`).
//!
//! Nobody waits for an encoder but the rendition itself. Its queue is bounded; while it is full nothing is read from the path, where whole
//! GOPs are passed over then, and counted, as for any reader that is too slow. Short of that, a picture that is old already when its turn
//! comes is decoded, because others refer to it, and not encoded.

use super::PICTURE;
use crate::clock::Clock;
use codec::{CodecError, PictureTranscoder};
use hub::{PathName, Publisher};
use media::{AccessUnit, CodecParams, MonoTime, Track};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;
use tokio::sync::mpsc;
use tracing::{debug, info, warn};

/// Two seconds of pictures; beyond that the path's ring decides what is lost.
const QUEUE: usize = 64;
/// A picture that came in longer ago is only decoded: the GOP a rendition starts in, and what it fell behind with.
const STALE: Duration = Duration::from_millis(400);

/// A transcoder that has not begun.
pub(super) struct PicturePart {
    transcoder: PictureTranscoder,
    /// The rendition's track, its parameters known before its first picture.
    pub(super) track: Track,
}

impl PicturePart {
    /// Prepares to transcode what `source` describes; takes some ten milliseconds, off the runtime's threads.
    pub(super) async fn prepare(source: Arc<CodecParams>) -> Result<Self, CodecError> {
        let made = tokio::task::spawn_blocking(move || PictureTranscoder::new(&source)).await;
        let transcoder = made.map_err(|_panicked| CodecError::Damaged("the transcoder panicked".into()))??;
        let track = Track { id: PICTURE, clock: media::ClockRate::VIDEO, params: Arc::clone(transcoder.params()) };
        Ok(Self { transcoder, track })
    }

    /// Starts the thread. It writes to `publisher` as long as that lives.
    pub(super) fn start(self, publisher: &Arc<Publisher>, name: &PathName, clock: Clock) -> std::io::Result<Worker> {
        let (queue, jobs) = mpsc::channel(QUEUE);
        let wishes = Arc::new(Wishes::default());
        let thread = Encoding {
            transcoder: self.transcoder,
            jobs,
            wishes: Arc::clone(&wishes),
            publisher: Arc::downgrade(publisher),
            name: name.clone(),
            clock,
        };
        std::thread::Builder::new().name("rendition".into()).spawn(move || thread.run())?;
        Ok(Worker { queue, wishes })
    }
}

#[derive(Debug, Default)]
struct Wishes {
    /// A listener needs a key frame of the encoder.
    from_encoder: AtomicBool,
    /// The decoder needs one of the path.
    from_path: AtomicBool,
}

/// The rendition's end of the queue; the thread ends with it.
#[derive(Debug)]
pub(super) struct Worker {
    queue: mpsc::Sender<(AccessUnit, MonoTime)>,
    wishes: Arc<Wishes>,
}

impl Worker {
    /// Waits until one more unit fits.
    pub(super) async fn room(&self) {
        // Where the thread has gone, units go nowhere.
        drop(self.queue.reserve().await);
    }

    /// Hands a unit over; there is room.
    pub(super) fn push(&self, unit: AccessUnit, arrived: MonoTime) {
        if self.queue.try_send((unit, arrived)).is_err() {
            debug!("a picture found no room");
        }
    }

    pub(super) fn request_keyframe(&self) {
        self.wishes.from_encoder.store(true, Ordering::Relaxed);
    }

    /// Does the decoder need a key frame of the path? Answers once.
    pub(super) fn needs_key(&self) -> bool {
        self.wishes.from_path.swap(false, Ordering::Relaxed)
    }
}

/// What the thread holds.
struct Encoding {
    transcoder: PictureTranscoder,
    jobs: mpsc::Receiver<(AccessUnit, MonoTime)>,
    wishes: Arc<Wishes>,
    publisher: Weak<Publisher>,
    name: PathName,
    clock: Clock,
}

impl Encoding {
    fn run(mut self) {
        let (mut waits, mut late) = (false, 0_u64);
        while let Some((unit, arrived)) = self.jobs.blocking_recv() {
            let Some(publisher) = self.publisher.upgrade() else { break };
            if self.wishes.from_encoder.swap(false, Ordering::Relaxed) {
                self.transcoder.request_keyframe();
            }
            let live = self.clock.now().since(arrived) <= STALE;
            if live && late > 0 {
                debug!(path = %self.name, pictures = late, "caught up by leaving pictures out");
            }
            late = if live { 0 } else { late + 1 };
            match self.transcoder.push(&unit, PICTURE, live) {
                Ok(units) => {
                    waits = false;
                    // They come in now: readers judge by that what is live.
                    let now = self.clock.now();
                    units.into_iter().for_each(|unit| publisher.write(unit, now));
                }
                Err(CodecError::NeedKey) if waits => {}
                Err(error) => {
                    warn!(path = %self.name, %error, "a picture was not transcoded; the next key frame is waited for");
                    waits = true;
                    self.wishes.from_path.store(true, Ordering::Relaxed);
                }
            }
        }
        let stats = self.transcoder.stats();
        info!(path = %self.name, encoded = stats.encoded, left_out = stats.left_out, "pictures of a rendition");
    }
}
