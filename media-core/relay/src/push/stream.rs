//! A connection that publishes, whatever it speaks.
//!
//! Belongs here: what wakes it, its bounds, its end. Not here: what is said (`rtmp`, `rtsp`), trying again (`keeper`).

use super::dial::dial;
use super::keeper::Attempt;
use super::{ANSWER, GOODBYE, PushError, STALLED, UNSENT};
use crate::tls::Trust;
use hub::{Item, ReadError};
use proto::rtmp::Output;
use std::io;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{Instant, MissedTickBehavior};
use tracing::warn;

/// One read: servers say little to publishers.
const READ: usize = 4 << 10;

/// How often a machine is told that time passes: RTSP's reports, and its signs of life.
const TICK: Duration = Duration::from_millis(2500);

/// What a protocol says and hears, and what it reads of the path.
pub(super) trait Machine: Send {
    /// What is to be sent.
    fn output(&mut self) -> &mut Output;
    /// Takes what the server sent.
    fn receive(&mut self, bytes: &[u8], attempt: &Attempt<'_>) -> Result<(), PushError>;
    /// Does the server take the stream?
    fn runs(&self) -> bool;
    /// The path's next item.
    fn next(&mut self) -> impl Future<Output = Result<Item, ReadError>> + Send;
    /// Sends an item, or leaves it where the server does not take the stream yet.
    fn send(&mut self, item: &Item) -> impl Future<Output = Result<(), PushError>> + Send;
    /// Time passes.
    fn tick(&mut self) -> impl Future<Output = ()> + Send;
    /// Ends the stream in good order.
    fn finish(&mut self);
}

/// Publishes at `host` until the path ends, the server does, or the attempt is stopped.
pub(super) async fn publish(
    (host, port): (&str, u16),
    tls: Option<Trust>,
    mut machine: impl Machine,
    attempt: &Attempt<'_>,
) -> Result<(), PushError> {
    let Some(stream) = attempt.stop.run_until_cancelled(dial(host, port, tls)).await else { return Ok(()) };
    let (mut input, mut output) = tokio::io::split(stream?);
    let mut unsent = Output::default();
    run(&mut machine, &mut unsent, &mut input, &mut output, attempt).await?;
    // The server is told, so that it ends the stream now and not when it notices.
    machine.finish();
    let goodbye = async {
        output.write_all_buf(&mut unsent).await?;
        output.write_all_buf(machine.output()).await?;
        output.shutdown().await
    };
    if !matches!(tokio::time::timeout(GOODBYE, goodbye).await, Ok(Ok(()))) {
        tracing::debug!("the server did not take the goodbye");
    }
    Ok(())
}

async fn run(
    machine: &mut impl Machine,
    unsent: &mut Output,
    input: &mut (impl AsyncReadExt + Unpin),
    output: &mut (impl AsyncWriteExt + Unpin),
    attempt: &Attempt<'_>,
) -> Result<(), PushError> {
    let mut buffer = vec![0; READ];
    let (asked, mut written_at) = (Instant::now(), Instant::now());
    let mut tick = tokio::time::interval_at(asked + TICK, TICK);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        if unsent.is_empty() {
            std::mem::swap(unsent, machine.output());
            written_at = if unsent.is_empty() { Instant::now() } else { written_at };
        }
        let waiting = unsent.len() + machine.output().len();
        let runs = machine.runs();
        tokio::select! {
            biased;
            () = attempt.stop.cancelled() => return Ok(()),
            written = output.write_buf(unsent), if waiting > 0 => {
                let written = written?;
                if written == 0 {
                    return Err(io::Error::from(io::ErrorKind::WriteZero).into());
                }
                written_at = Instant::now();
                attempt.listed.sent(written);
            }
            read = input.read(&mut buffer) => {
                let bytes = buffer.get(..read?).filter(|bytes| !bytes.is_empty());
                machine.receive(bytes.ok_or_else(|| PushError::Ended("connection closed".into()))?, attempt)?;
            }
            item = machine.next(), if waiting < UNSENT => match item {
                Ok(item) => machine.send(&item).await?,
                Err(ReadError::Lagged(lagged)) => warn!(missed = lagged.missed, "the server is too slow"),
                Err(ReadError::Ended(_)) => return Ok(()),
            },
            _ = tick.tick() => machine.tick().await,
            () = tokio::time::sleep_until(asked + ANSWER), if !runs => return Err(PushError::Timeout(ANSWER)),
            () = tokio::time::sleep_until(written_at + STALLED), if waiting > 0 => return Err(PushError::Stalled),
        }
    }
}
