//! What all windows are shown: the patient's units, the own picture, the levels; and what they report back.
//!
//! Belongs here: the state between capture, playback and sockets. Not here: one window's queue (`feed`), the connection
//! (`socket`).

use super::feed::{LastGop, Outgoing, WindowQueue};
use super::wire::Levels;
use media::{AccessUnit, MonoTime, Picture};
use parking_lot::Mutex;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;
use tokio::sync::{Notify, watch};

/// A window with its screens is one connection; a second during a reload, a third for a test that looks on.
const MAX_WINDOWS: usize = 4;
/// Share of the newest value in a running mean: settles within a second of pictures.
const MEAN_SHARE: f32 = 0.1;

/// The own picture, no larger than it is drawn.
#[derive(Debug, Clone)]
pub(crate) struct OwnPicture {
    pub(crate) picture: Picture,
    pub(crate) sequence: u32,
    pub(crate) mirrored: bool,
}

/// Means of what the window reports and of what waits on the way to it, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(crate) struct WindowDelays {
    /// From its arrival until lip sync let it go.
    pub(crate) hold_ms: Option<f32>,
    /// In the queue of the window.
    pub(crate) queue_ms: Option<f32>,
    /// From here into the window's own thread.
    pub(crate) way_ms: Option<f32>,
    pub(crate) decode_ms: Option<f32>,
    pub(crate) display_ms: Option<f32>,
}

/// State shared with every window. A clone is another handle to the same.
#[derive(Debug, Clone)]
pub(crate) struct Windows(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    windows: Mutex<Vec<Arc<Window>>>,
    remote: Mutex<Remote>,
    own: watch::Sender<Option<OwnPicture>>,
    own_sequence: AtomicU32,
    own_height: AtomicU32,
    levels: Mutex<Levels>,
    delays: Mutex<WindowDelays>,
    key_wanted: Notify,
}

#[derive(Debug, Default)]
struct Remote {
    last_gop: LastGop,
    sequence: u32,
    discontinuity: bool,
}

/// One connected window.
#[derive(Debug)]
pub(crate) struct Window {
    pub(crate) queue: Mutex<WindowQueue>,
    pub(crate) wake: Notify,
    /// Units are sent only once the window has said how it wants them.
    pub(crate) tested: AtomicBool,
}

impl Windows {
    /// No window yet.
    pub(crate) fn new() -> Self {
        Self(Arc::new(Inner {
            windows: Mutex::default(),
            remote: Mutex::default(),
            own: watch::channel(None).0,
            own_sequence: AtomicU32::new(0),
            own_height: AtomicU32::new(0),
            levels: Mutex::default(),
            delays: Mutex::default(),
            key_wanted: Notify::new(),
        }))
    }

    /// Hands a unit of the patient's picture to every window.
    pub(crate) fn send_unit(&self, unit: AccessUnit, now: MonoTime) {
        let mut remote = self.0.remote.lock();
        let discontinuity = std::mem::take(&mut remote.discontinuity);
        let outgoing = Outgoing { unit, sequence: remote.sequence, discontinuity, queued: now };
        remote.sequence = remote.sequence.wrapping_add(1);
        remote.last_gop.push(&outgoing);
        drop(remote);
        let mut key_wanted = false;
        for window in self.0.windows.lock().iter() {
            if window.tested.load(Ordering::Relaxed) {
                key_wanted |= window.queue.lock().push(outgoing.clone());
                window.wake.notify_one();
            }
        }
        if key_wanted {
            self.want_key();
        }
    }

    /// The patient's stream breaks here.
    pub(crate) fn break_stream(&self) {
        let mut remote = self.0.remote.lock();
        remote.last_gop.clear();
        remote.discontinuity = true;
        drop(remote);
        for window in self.0.windows.lock().iter() {
            window.queue.lock().restart();
        }
    }

    /// Shows the own picture; one that no window has taken yet is replaced.
    pub(crate) fn show_own(&self, picture: Picture, mirrored: bool) {
        let sequence = self.0.own_sequence.fetch_add(1, Ordering::Relaxed);
        self.0.own.send_replace(Some(OwnPicture { picture, sequence, mirrored }));
    }

    /// A window draws the own picture so many pixels high.
    pub(crate) fn draw_own(&self, pixels: u32) {
        self.0.own_height.store(pixels, Ordering::Relaxed);
    }

    /// How high the own picture is drawn, in pixels; 0 before a window has said.
    pub(crate) fn own_height(&self) -> u32 {
        self.0.own_height.load(Ordering::Relaxed)
    }

    /// Is there a window to show anything to?
    pub(crate) fn any(&self) -> bool {
        !self.0.windows.lock().is_empty()
    }

    /// The own picture as it changes.
    pub(crate) fn own(&self) -> watch::Receiver<Option<OwnPicture>> {
        self.0.own.subscribe()
    }

    /// Changes the levels.
    pub(crate) fn update_levels(&self, change: impl FnOnce(&mut Levels)) {
        change(&mut self.0.levels.lock());
    }

    /// The levels now.
    pub(crate) fn levels(&self) -> Levels {
        *self.0.levels.lock()
    }

    /// Somebody cannot go on without a key unit.
    pub(crate) fn want_key(&self) {
        self.0.key_wanted.notify_one();
    }

    /// Waits until a key unit is wanted.
    pub(crate) async fn key_wanted(&self) {
        self.0.key_wanted.notified().await;
    }

    /// A picture was let go that had been held this long.
    pub(crate) fn held(&self, held: Duration) {
        mean(&mut self.0.delays.lock().hold_ms, millis(held));
    }

    /// A unit was sent that had waited this long.
    pub(crate) fn sent(&self, waited: Duration) {
        mean(&mut self.0.delays.lock().queue_ms, millis(waited));
    }

    /// A picture is on screen; its unit was sent `since` ago, where that is known.
    pub(crate) fn shown(&self, since: Option<Duration>, decode_ms: f32, display_ms: f32) {
        let sensible = |ms: f32| ms.is_finite() && (0.0..10_000.0).contains(&ms);
        if sensible(decode_ms) && sensible(display_ms) {
            let mut delays = self.0.delays.lock();
            mean(&mut delays.decode_ms, decode_ms);
            mean(&mut delays.display_ms, display_ms);
            if let Some(since) = since {
                // What is neither decoding nor drawing went by on the way there and, with this word of it, back.
                mean(&mut delays.way_ms, ((millis(since) - decode_ms - display_ms) / 2.0).max(0.0));
            }
        }
    }

    /// What the way to the screen costs.
    pub(crate) fn delays(&self) -> WindowDelays {
        *self.0.delays.lock()
    }

    /// The visit is over: what was measured in it means nothing any more.
    pub(crate) fn forget_delays(&self) {
        *self.0.delays.lock() = WindowDelays::default();
    }

    /// Adds a window; `None` where there are too many.
    pub(crate) fn open(&self) -> Option<Arc<Window>> {
        let mut windows = self.0.windows.lock();
        if windows.len() >= MAX_WINDOWS {
            return None;
        }
        let queue = Mutex::new(WindowQueue::new());
        let window = Arc::new(Window { queue, wake: Notify::new(), tested: AtomicBool::new(false) });
        windows.push(Arc::clone(&window));
        Some(window)
    }

    /// The window has said how it wants units: it gets the newest GOP and everything after.
    pub(crate) fn begin(&self, window: &Window) {
        let remote = self.0.remote.lock();
        if !window.tested.swap(true, Ordering::Relaxed) {
            let mut queue = window.queue.lock();
            for unit in remote.last_gop.iter() {
                queue.push(unit.clone());
            }
        }
        drop(remote);
        window.wake.notify_one();
        self.want_key();
    }

    /// Removes a window.
    pub(crate) fn close(&self, window: &Arc<Window>) {
        self.0.windows.lock().retain(|w| !Arc::ptr_eq(w, window));
    }
}

fn millis(duration: Duration) -> f32 {
    duration.as_secs_f32() * 1000.0
}

fn mean(value: &mut Option<f32>, newest: f32) {
    *value = Some(value.map_or(newest, |old| old + (newest - old) * MEAN_SHARE));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::player::feed::tests::outgoing;

    fn sequences(window: &Window) -> Vec<(u32, bool)> {
        let mut queue = window.queue.lock();
        std::iter::from_fn(|| queue.pop()).map(|u| (u.sequence, u.discontinuity)).collect()
    }

    #[test]
    fn a_window_that_opens_late_gets_the_newest_gop() {
        let windows = Windows::new();
        let early = windows.open().unwrap();
        windows.begin(&early);
        let send = |n: u32, key| windows.send_unit(outgoing(n, key, u64::from(n) * 33, 1).unit, MonoTime::default());
        for n in 0..8 {
            send(n, n % 5 == 0);
        }
        let late = windows.open().unwrap();
        send(8, false);
        windows.begin(&late);
        send(9, false);
        assert_eq!(sequences(&late), [(5, true), (6, false), (7, false), (8, false), (9, false)]);
        assert_eq!(sequences(&early).len(), 10);
        windows.break_stream();
        send(10, false);
        send(11, true);
        assert_eq!(sequences(&late), [(11, true)]);
        windows.close(&early);
        windows.close(&late);
        assert!(!windows.any());
    }

    #[test]
    fn windows_are_bounded() {
        let windows = Windows::new();
        let open: Vec<_> = (0..MAX_WINDOWS + 1).map(|_| windows.open()).collect();
        assert_eq!(open.iter().flatten().count(), MAX_WINDOWS);
    }

    #[test]
    fn nonsense_is_no_delay() {
        let windows = Windows::new();
        windows.shown(None, f32::NAN, 1.0);
        windows.shown(None, -1.0, 1.0);
        assert_eq!(windows.delays(), WindowDelays::default());
        windows.shown(Some(Duration::from_millis(16)), 2.0, 4.0);
        let delays = windows.delays();
        assert_eq!((delays.way_ms, delays.decode_ms, delays.display_ms), (Some(5.0), Some(2.0), Some(4.0)));
    }
}
