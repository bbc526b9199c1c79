//! Programs that run beside us and must not outlive us.
//!
//! Belongs here: start in the background, end politely and then firmly, Ctrl-C.
//! Not here: programs that we wait for (`process`), which programs (`run`, `virtual_display`).

use std::{
    io::{BufRead as _, BufReader},
    process::{Child, ChildStdout, Command, ExitStatus, Stdio},
    sync::{
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};

use crate::process;

/// A program gets this long to end by itself before it is killed: longer than the app takes to close its recordings.
const GRACE: Duration = Duration::from_secs(8);
/// How often an ending program is looked at.
const LOOK: Duration = Duration::from_millis(20);
/// Lines a program may print before we take them; it waits beyond that.
const LINES: usize = 256;

static INTERRUPTED: AtomicBool = AtomicBool::new(false);

/// From here on Ctrl-C and SIGTERM only set a flag; whoever waits looks at [`interrupted`] and leaves, which ends the children.
pub(crate) fn catch_interrupts() -> Result<()> {
    ctrlc::set_handler(|| INTERRUPTED.store(true, Ordering::SeqCst)).context("cannot catch Ctrl-C")
}

pub(crate) fn interrupted() -> bool {
    INTERRUPTED.load(Ordering::SeqCst)
}

/// A running program that ends when this is dropped.
pub(crate) struct Background {
    child: Child,
}

impl Background {
    /// Starts it outside our terminal's foreground group: Ctrl-C reaches us alone, and we end the children in the right order.
    pub(crate) fn start(command: &mut Command) -> Result<Self> {
        #[cfg(unix)]
        std::os::unix::process::CommandExt::process_group(command, 0);
        let child = command
            .stdin(Stdio::null())
            .spawn()
            .with_context(|| format!("cannot start `{}`", process::line(command)))?;
        Ok(Self { child })
    }

    /// Its exit status, once it has ended.
    pub(crate) fn ended(&mut self) -> Result<Option<ExitStatus>> {
        Ok(self.child.try_wait()?)
    }

    /// Its standard output, line by line, if it was started with one.
    pub(crate) fn lines(&mut self) -> Result<mpsc::Receiver<String>> {
        let stdout: ChildStdout = self.child.stdout.take().context("the program's output is not ours to read")?;
        let (sender, receiver) = mpsc::sync_channel(LINES);
        std::thread::Builder::new().name("child-lines".into()).spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    break;
                }
            }
        })?;
        Ok(receiver)
    }

    fn ask_to_end(&mut self) {
        #[cfg(unix)]
        if let Ok(id) = i32::try_from(self.child.id()) {
            // Gone already is as good as ended.
            nix::sys::signal::kill(nix::unistd::Pid::from_raw(id), nix::sys::signal::Signal::SIGTERM).ok();
        }
        #[cfg(not(unix))]
        self.child.kill().ok();
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(Some(_))) {
            return;
        }
        self.ask_to_end();
        let begun = Instant::now();
        while begun.elapsed() < GRACE {
            if !matches!(self.child.try_wait(), Ok(None)) {
                return;
            }
            std::thread::sleep(LOOK);
        }
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn dropping_ends_the_program() {
        let mut child = Background::start(process::command("sleep").arg("600")).unwrap();
        assert!(child.ended().unwrap().is_none());
        let id = i32::try_from(child.child.id()).unwrap();
        let begun = Instant::now();
        drop(child);
        assert!(begun.elapsed() < GRACE, "it needed no killing");
        assert!(nix::sys::signal::kill(nix::unistd::Pid::from_raw(id), None).is_err(), "it is gone");
    }

    #[test]
    fn lines_arrive() {
        let mut child = Background::start(process::command("printf").arg("a\\nb\\n").stdout(Stdio::piped())).unwrap();
        assert_eq!(child.lines().unwrap().iter().collect::<Vec<_>>(), ["a", "b"]);
    }
}
