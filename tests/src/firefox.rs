//! Firefox without a window. Pages tell how it goes on their console, which its preferences send to standard output.
//!
//! Not here: what it plays, and what is expected of it (`tests/`).

use crate::browser::serve;
use crate::program::Program;
use crate::pulse::Pulse;
use crate::wait::wait_for;
use anyhow::{Result, bail};
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// Media begin without a click, peers on this machine are reached, pages of files may load what lies beside them, nothing is asked or sent.
const PREFERENCES: &str = r#"
user_pref("devtools.console.stdout.content", true);
user_pref("media.autoplay.default", 0);
user_pref("media.autoplay.blocking_policy", 0);
user_pref("media.peerconnection.ice.loopback", true);
user_pref("media.peerconnection.ice.obfuscate_host_addresses", false);
user_pref("security.fileuri.strict_origin_policy", false);
user_pref("browser.aboutwelcome.enabled", false);
user_pref("browser.shell.checkDefaultBrowser", false);
user_pref("datareporting.policy.dataSubmissionEnabled", false);
user_pref("media.gmp-manager.url", "");
user_pref("app.normandy.enabled", false);
user_pref("extensions.update.enabled", false);
"#;

/// An open page.
#[derive(Debug)]
pub struct Firefox {
    program: Program,
    console: PathBuf,
}

impl Firefox {
    /// Opens `url`. What it plays goes to `speaker`: without one, its sound has no clock.
    ///
    /// # Errors
    /// Where Firefox cannot be started.
    pub fn open(name: &str, dir: &Path, url: &str, speaker: &Pulse) -> Result<Self> {
        let home = dir.canonicalize()?.join(format!("{name}-home"));
        // What another run has learnt is not to help this one.
        if home.exists() {
            fs::remove_dir_all(&home)?;
        }
        let profile = home.join("profile");
        fs::create_dir_all(&profile)?;
        fs::write(profile.join("user.js"), PREFERENCES)?;
        let mut command =
            Command::new(if Path::new("/usr/bin/firefox-esr").exists() { "firefox-esr" } else { "firefox" });
        command.args(["--headless", "--no-remote", "--profile"]).arg(&profile).arg(url);
        command.env("HOME", &home).env("PULSE_SERVER", speaker.address());
        let program = Program::start(name, dir, &mut command)?;
        Ok(Self { program, console: dir.join(format!("{name}.out")) })
    }

    /// Opens the page in the file `page` with `query`, served from a port of its own on loopback.
    ///
    /// # Errors
    /// Where Firefox cannot be started.
    pub fn open_page(name: &str, dir: &Path, page: &Path, query: &str, speaker: &Pulse) -> Result<Self> {
        Self::open(name, dir, &format!("{}?{query}", serve(page)?), speaker)
    }

    /// Waits for a line on the page's console that begins with `kind word`; its detail.
    ///
    /// # Errors
    /// Where it does not come in time, or the page says that it failed.
    pub fn said(&self, kind: &str, word: &str) -> Result<Value> {
        wait_for(&format!("the page to say {word}"), Duration::from_secs(60), || {
            let console = fs::read(&self.console)?;
            let lines: Vec<String> = String::from_utf8_lossy(&console)
                .lines()
                .filter_map(|line| serde_json::from_str(line.strip_prefix("console.log: ")?).ok())
                .collect();
            let detail = |word: &str| lines.iter().find_map(|line| line.strip_prefix(&format!("{kind} {word} ")));
            match (detail(word), detail("failed")) {
                (Some(detail), _) => Ok(Some(serde_json::from_str(detail)?)),
                (None, Some(error)) => bail!("the page failed: {error}"),
                (None, None) => Ok(None),
            }
        })
    }

    /// The end of what it complains of.
    pub fn errors(&self) -> String {
        self.program.errors()
    }
}
