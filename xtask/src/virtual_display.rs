//! A display in memory, and a session bus, for systems without.
//!
//! Belongs here: Xvfb with a key of its own, dbus-daemon, what the display shows.
//! Not here: the app that is shown (`run`), the picture's format (`framebuffer`).

use std::{
    env,
    ffi::OsString,
    fs::{self, File},
    io::Read as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use anyhow::{Context as _, Result, anyhow};

use crate::{children::Background, framebuffer::Shot, process};

/// Xvfb and dbus-daemon say their address at once; a machine under load may take a while.
const START: Duration = Duration::from_secs(20);

/// A running Xvfb.
pub(crate) struct VirtualDisplay {
    name: String,
    folder: PathBuf,
    authority: PathBuf,
    server: Option<Background>,
}

impl VirtualDisplay {
    /// Starts one on a display number that the server finds free, open only to holders of its key.
    pub(crate) fn start(size: &str) -> Result<Self> {
        // One program may run several displays at a time; each takes its folder along when it ends.
        static DISPLAYS: AtomicU32 = AtomicU32::new(0);
        let number = DISPLAYS.fetch_add(1, Ordering::Relaxed);
        let folder = process::scratch()?.join(format!("display-{}-{number}", std::process::id()));
        fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
        let key = random_key()?;
        let server_authority = folder.join("server-authority");
        // The server takes any entry of its file for its own, whatever display it names.
        add_key(&server_authority, ":0", &key)?;
        let mut command = process::command("Xvfb");
        command.args(["-displayfd", "1", "-nolisten", "tcp", "-noreset", "-screen", "0", &format!("{size}x24")]);
        command.arg("-fbdir").arg(&folder).arg("-auth").arg(&server_authority);
        command.stdout(Stdio::piped()).stderr(Stdio::null());
        let mut server = Background::start(&mut command)?;
        let number = first_line(&mut server).context("Xvfb did not start")?;
        let name = format!(":{number}");
        let authority = folder.join("authority");
        add_key(&authority, &name, &key)?;
        Ok(Self { name, folder, authority, server: Some(server) })
    }

    /// `:99`
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Points a program at this display.
    pub(crate) fn show(&self, command: &mut Command) {
        command.env("DISPLAY", &self.name).env("XAUTHORITY", &self.authority).env_remove("WAYLAND_DISPLAY");
        command.env("GDK_BACKEND", "x11");
    }

    /// What it shows now.
    pub(crate) fn shot(&self) -> Result<Shot> {
        let path = self.folder.join("Xvfb_screen0");
        Shot::parse(&fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?)
    }
}

impl Drop for VirtualDisplay {
    fn drop(&mut self) {
        // The server writes into the folder until it has ended.
        drop(self.server.take());
        fs::remove_dir_all(&self.folder).ok();
    }
}

/// A session bus, started only where there is none.
pub(crate) struct SessionBus {
    address: String,
    _daemon: Background,
}

impl SessionBus {
    /// `None` where the person's session has one.
    pub(crate) fn start_if_absent() -> Result<Option<Self>> {
        if has_session_bus() || process::find("dbus-daemon").is_none() {
            return Ok(None);
        }
        let mut command = process::command("dbus-daemon");
        command.args(["--session", "--nofork", "--nopidfile", "--nosyslog", "--print-address=1"]);
        command.stdout(Stdio::piped()).stderr(Stdio::null());
        let mut daemon = Background::start(&mut command)?;
        let address = first_line(&mut daemon).context("dbus-daemon did not start")?;
        Ok(Some(Self { address, _daemon: daemon }))
    }

    /// Points a program at this bus.
    pub(crate) fn connect(&self, command: &mut Command) {
        command.env("DBUS_SESSION_BUS_ADDRESS", &self.address);
    }
}

/// True if a window can be opened on the person's own screen.
pub(crate) fn has_display() -> bool {
    let set = |name| env::var_os(name).is_some_and(|value: OsString| !value.is_empty());
    !cfg!(target_os = "linux") || set("DISPLAY") || set("WAYLAND_DISPLAY")
}

fn has_session_bus() -> bool {
    !cfg!(target_os = "linux")
        || env::var_os("DBUS_SESSION_BUS_ADDRESS").is_some_and(|value| !value.is_empty())
        || env::var_os("XDG_RUNTIME_DIR").is_some_and(|folder| Path::new(&folder).join("bus").exists())
}

fn first_line(child: &mut Background) -> Result<String> {
    let line = child
        .lines()?
        .recv_timeout(START)
        .map_err(|_| anyhow!("it printed no address within {} s", START.as_secs()))?;
    Ok(line.trim().to_owned())
}

fn random_key() -> Result<String> {
    let mut bytes = [0_u8; 16];
    File::open("/dev/urandom").and_then(|mut file| file.read_exact(&mut bytes)).context("cannot read /dev/urandom")?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

fn add_key(file: &Path, display: &str, key: &str) -> Result<()> {
    let mut command = process::command("xauth");
    process::text(command.arg("-q").arg("-f").arg(file).args(["add", display, ".", key])).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_blank_screen_is_read_from_memory() {
        if process::find("Xvfb").is_none() || process::find("xauth").is_none() {
            eprintln!("no Xvfb here");
            return;
        }
        let display = VirtualDisplay::start("320x240").unwrap();
        let shot = display.shot().unwrap();
        assert_eq!((shot.width, shot.height), (320, 240));
        assert!(shot.is_blank());
        assert!(display.name().starts_with(':'));
    }
}
