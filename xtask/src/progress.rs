//! What a person sees while a long step runs.
//!
//! Belongs here: a line per step with its time, a spinner on a terminal, a sign of life elsewhere, a log file with its tail shown on failure.
//! Not here: what the steps do.

use std::{
    fs::File,
    io::{IsTerminal as _, Write as _},
    path::Path,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};

use crate::process;

/// How often the spinner turns.
const TURN: Duration = Duration::from_millis(120);
/// How often a step that says nothing shows that it lives, where there is no terminal.
const SIGN_OF_LIFE: Duration = Duration::from_secs(30);
/// So much of a log's beginning and end is shown when its step fails.
const HEAD_LINES: usize = 20;
const TAIL_LINES: usize = 40;

/// Runs a step whose programs speak for themselves (cargo, a test runner): a line before it, a line after it.
pub(crate) fn step<T>(title: &str, work: impl FnOnce() -> Result<T>) -> Result<T> {
    let begun = Instant::now();
    eprintln!("==> {title}");
    let result = work();
    let word = if result.is_ok() { "done" } else { "FAILED" };
    eprintln!("==> {title}: {word} ({})", elapsed(begun.elapsed()));
    result
}

/// Runs one command quietly: a spinner or a sign of life, everything it says in `target/xtask/NAME.log`.
pub(crate) fn quiet(title: &str, log_name: &str, command: &mut Command) -> Result<()> {
    let begun = Instant::now();
    let path = process::scratch()?.join(format!("{log_name}.log"));
    let log = File::create(&path).with_context(|| format!("cannot write {}", path.display()))?;
    let mut child = command
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        .spawn()
        .with_context(|| format!("cannot start `{}`", process::line(command)))?;
    let terminal = std::io::stderr().is_terminal();
    if !terminal {
        eprintln!("==> {title}");
    }
    let mut said = Instant::now();
    let mut turn = 0;
    let status = loop {
        if let Some(status) = child.try_wait()? {
            break status;
        }
        if terminal {
            const FACES: [char; 4] = ['|', '/', '-', '\\'];
            eprint!("\r {} {title} ({})   ", FACES[turn % FACES.len()], elapsed(begun.elapsed()));
            std::io::stderr().flush()?;
            turn += 1;
        } else if said.elapsed() >= SIGN_OF_LIFE {
            eprintln!("    … {title} ({})", elapsed(begun.elapsed()));
            said = Instant::now();
        }
        std::thread::sleep(TURN);
    };
    let word = if status.success() { "done" } else { "FAILED" };
    eprintln!("{}==> {title}: {word} ({})   ", if terminal { "\r" } else { "" }, elapsed(begun.elapsed()));
    if !status.success() {
        eprint!("{}", excerpt(&path));
        bail!("`{}` ended with {status}; all it said is in {}", process::line(command), path.display());
    }
    Ok(())
}

/// `12 s`, `3 min 04 s`.
pub(crate) fn elapsed(time: Duration) -> String {
    let seconds = time.as_secs();
    match seconds {
        0..60 => format!("{}.{} s", seconds, time.subsec_millis() / 100),
        _ => format!("{} min {:02} s", seconds / 60, seconds % 60),
    }
}

/// The beginning and the end of a log: some programs say first what went wrong, some last.
fn excerpt(path: &Path) -> String {
    let text = std::fs::read(path).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    let cut = lines.len().saturating_sub(HEAD_LINES + TAIL_LINES);
    let mut shown = String::new();
    for (number, line) in lines.iter().enumerate() {
        if cut > 0 && number == HEAD_LINES {
            shown += &format!("    … {cut} lines …\n");
        }
        if number < HEAD_LINES || number >= HEAD_LINES + cut {
            shown += &format!("    {line}\n");
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_read_well() {
        for (millis, text) in
            [(0, "0.0 s"), (1_250, "1.2 s"), (59_999, "59.9 s"), (60_000, "1 min 00 s"), (184_000, "3 min 04 s")]
        {
            assert_eq!(elapsed(Duration::from_millis(millis)), text);
        }
    }

    #[test]
    fn long_logs_are_cut_in_the_middle() -> Result<()> {
        let folder = tempfile::tempdir()?;
        let path = folder.path().join("log");
        let write =
            |count: usize| std::fs::write(&path, (0..count).map(|number| format!("<{number}>\n")).collect::<String>());
        write(HEAD_LINES + TAIL_LINES)?;
        assert_eq!(excerpt(&path).lines().count(), HEAD_LINES + TAIL_LINES);
        write(1000)?;
        let shown = excerpt(&path);
        assert_eq!(shown.lines().count(), HEAD_LINES + TAIL_LINES + 1);
        assert!(
            shown.contains("<19>")
                && !shown.contains("<20>")
                && shown.contains("… 940 lines …")
                && shown.contains("<960>"),
            "{shown}"
        );
        Ok(())
    }

    #[test]
    fn a_failing_step_names_its_log() {
        let error =
            quiet("failing on purpose", "progress-test", process::command("cargo").arg("--no-such-flag")).unwrap_err();
        assert!(error.to_string().contains("progress-test.log"), "{error}");
    }
}
