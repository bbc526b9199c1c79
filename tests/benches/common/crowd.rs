//! Many readers that throw away what they get.
//!
//! Belongs here: that all of them are there, and how much they got. Not here: how one reads (its caller).

use anyhow::{Context, Result, bail};
use e2e::wait::wait_for;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;
use tokio::runtime::Runtime;
use tokio::task::JoinHandle;

/// A crowd that is not complete by then never is.
const COMPLETE: Duration = Duration::from_secs(60);

/// What a crowd has.
#[derive(Debug, Default)]
struct Counts {
    received: AtomicU64,
    joined: AtomicUsize,
}

/// One of a crowd.
#[derive(Debug)]
pub(crate) struct Member {
    counts: Arc<Counts>,
    joined: bool,
}

impl Member {
    /// It has got so much more of its stream. Handshakes do not count.
    pub(crate) fn got(&mut self, bytes: usize) {
        self.counts.received.fetch_add(bytes as u64, Ordering::Relaxed);
        if !std::mem::replace(&mut self.joined, true) {
            self.counts.joined.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// Readers that throw away what they get, until it is dropped.
#[derive(Debug)]
pub(crate) struct Crowd {
    counts: Arc<Counts>,
    tasks: Vec<JoinHandle<Result<()>>>,
}

impl Crowd {
    /// Joins so many, and waits until each has got something.
    ///
    /// # Errors
    /// Where one does not.
    pub(crate) fn gather<R>(runtime: &Runtime, count: usize, read: impl Fn(usize, Member) -> Result<R>) -> Result<Self>
    where
        R: Future<Output = Result<()>> + Send + 'static,
    {
        let mut crowd = Self { counts: Arc::default(), tasks: Vec::new() };
        for number in 0..count {
            let member = Member { counts: Arc::clone(&crowd.counts), joined: false };
            let reader = read(number, member)?;
            crowd.tasks.push(runtime.spawn(reader));
        }
        let joined = || crowd.counts.joined.load(Ordering::Relaxed);
        let complete = wait_for("every reader's stream", COMPLETE, || Ok((joined() == count).then_some(())));
        if let Err(error) = complete {
            let ended = crowd.tasks.iter().position(JoinHandle::is_finished);
            if let Some(ended) = ended.map(|n| crowd.tasks.swap_remove(n)) {
                runtime.block_on(ended)?.context("a reader ended")?;
            }
            bail!("{error:#}: {} of {count}", joined());
        }
        Ok(crowd)
    }

    /// Bytes that all of them have got.
    pub(crate) fn received(&self) -> u64 {
        self.counts.received.load(Ordering::Relaxed)
    }
}

impl Drop for Crowd {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}
