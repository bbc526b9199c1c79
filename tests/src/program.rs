//! A program that a test starts, watches and ends.

use crate::wait::wait_for;
use anyhow::{Context, Result, bail};
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

/// A child process. Its output goes to files under `tests/output`; it is killed when dropped.
#[derive(Debug)]
pub struct Program {
    name: String,
    child: Child,
    stdout: PathBuf,
    stderr: PathBuf,
}

/// Where tests leave what one may want to look at.
///
/// # Errors
/// Where the folder cannot be made.
pub fn output_dir(test: &str) -> Result<PathBuf> {
    let root = std::env::var_os("VISAVIS_OUTPUT")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("output"), PathBuf::from);
    let dir = root.join(test);
    std::fs::create_dir_all(&dir).with_context(|| dir.display().to_string())?;
    Ok(dir)
}

impl Program {
    /// Starts `command` as `name`, its output in `dir`.
    ///
    /// # Errors
    /// Where it cannot be started, as when it is not installed.
    pub fn start(name: &str, dir: &Path, command: &mut Command) -> Result<Self> {
        let (stdout, stderr) = (dir.join(format!("{name}.out")), dir.join(format!("{name}.err")));
        let child = command
            .stdin(Stdio::null())
            .stdout(File::create(&stdout)?)
            .stderr(File::create(&stderr)?)
            .spawn()
            .with_context(|| format!("cannot start {name}: {command:?}"))?;
        Ok(Self { name: name.into(), child, stdout, stderr })
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// The first line of its standard output, once it is there.
    ///
    /// # Errors
    /// Where it ends before, or says nothing in time.
    pub fn first_line(&mut self, limit: Duration) -> Result<String> {
        let (stdout, name) = (self.stdout.clone(), self.name.clone());
        wait_for(&format!("the first line of {name}"), limit, || {
            let text = std::fs::read_to_string(&stdout)?;
            if let Some((line, _)) = text.split_once('\n') {
                return Ok(Some(line.to_owned()));
            }
            match self.child.try_wait()? {
                Some(status) => bail!("{name} ended with {status}: {}", self.errors()),
                None => Ok(None),
            }
        })
    }

    /// Has it ended?
    ///
    /// # Errors
    /// Where the system does not tell.
    pub fn ended(&mut self) -> Result<Option<ExitStatus>> {
        Ok(self.child.try_wait()?)
    }

    /// Waits until it ends by itself.
    ///
    /// # Errors
    /// Where it does not in time.
    pub fn wait(&mut self, limit: Duration) -> Result<ExitStatus> {
        let what = format!("the end of {}", self.name);
        wait_for(&what, limit, || Ok(self.child.try_wait()?))
    }

    /// Waits until it ends well.
    ///
    /// # Errors
    /// Where it does not, with the end of what it said.
    pub fn succeed(&mut self, limit: Duration) -> Result<()> {
        let status = self.wait(limit)?;
        if !status.success() {
            bail!("{} ended with {status}: {}", self.name, self.errors());
        }
        Ok(())
    }

    /// Sends it a signal by its name, such as `TERM` or `STOP`.
    ///
    /// # Errors
    /// Where there is no such process any more.
    pub fn signal(&self, signal: &str) -> Result<()> {
        let status = Command::new("kill").arg(format!("-{signal}")).arg(self.id().to_string()).status()?;
        if !status.success() {
            bail!("cannot signal {}", self.name);
        }
        Ok(())
    }

    /// Kills it at once.
    ///
    /// # Errors
    /// Where the system does not let us.
    pub fn kill(&mut self) -> Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// The end of what it wrote to standard error.
    pub fn errors(&self) -> String {
        let mut bytes = Vec::new();
        if let Ok(mut file) = File::open(&self.stderr) {
            // What cannot be read is shown as far as it could.
            let _read = file.read_to_end(&mut bytes);
        }
        let text = String::from_utf8_lossy(&bytes);
        let tail: Vec<&str> = text.lines().rev().take(12).collect();
        tail.into_iter().rev().collect::<Vec<_>>().join("\n")
    }

    /// All that it wrote to standard output.
    ///
    /// # Errors
    /// Where the file cannot be read.
    pub fn output(&self) -> Result<String> {
        Ok(std::fs::read_to_string(&self.stdout)?)
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // Already ended is as good.
        let _killed = self.child.kill();
        let _reaped = self.child.wait();
    }
}

/// Runs `command` to its end and answers its standard output.
///
/// # Errors
/// Where it cannot be started or ends badly, with what it said.
pub fn run(command: &mut Command) -> Result<Vec<u8>> {
    let output = command.stdin(Stdio::null()).output().with_context(|| format!("{command:?}"))?;
    if !output.status.success() {
        bail!("{command:?} ended with {}: {}", output.status, String::from_utf8_lossy(&output.stderr));
    }
    Ok(output.stdout)
}
