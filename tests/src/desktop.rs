//! A desktop in memory: Xvfb, a session bus, and what is to be seen on it.

use crate::ffmpeg::ffmpeg;
use crate::program::{Program, run};
use anyhow::{Context, Result, ensure};
use device::synthetic::{ClockReading, read_clock_luma};
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// Xvfb and a bus; both end with it.
#[derive(Debug)]
pub struct Desktop {
    display: String,
    bus: String,
    framebuffer: tempfile::TempDir,
    _programs: [Program; 2],
}

/// A part of the screen, in pixels.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Area {
    /// From the left.
    pub x: usize,
    /// From the top.
    pub y: usize,
    /// Width.
    pub width: usize,
    /// Height.
    pub height: usize,
}

/// The screen's size.
pub const SIZE: (usize, usize) = (1280, 800);

impl Desktop {
    /// Starts a screen of [`SIZE`].
    ///
    /// # Errors
    /// Where Xvfb or dbus-daemon do not start.
    pub fn start(dir: &Path) -> Result<Self> {
        let framebuffer = tempfile::tempdir()?;
        let mut command = Command::new("Xvfb");
        let screen = format!("{}x{}x24", SIZE.0, SIZE.1);
        command.args(["-displayfd", "1", "-nolisten", "tcp", "-noreset", "-screen", "0", &screen, "-fbdir"]);
        let mut xvfb = Program::start("xvfb", dir, command.arg(framebuffer.path()))?;
        let display = format!(":{}", xvfb.first_line(Duration::from_secs(20))?.trim());
        let mut command = Command::new("dbus-daemon");
        command.args(["--session", "--nofork", "--nopidfile", "--nosyslog", "--print-address=1"]);
        let mut daemon = Program::start("dbus", dir, &mut command)?;
        let bus = daemon.first_line(Duration::from_secs(20))?.trim().to_owned();
        Ok(Self { display, bus, framebuffer, _programs: [xvfb, daemon] })
    }

    /// Points `command` at this desktop.
    pub fn show(&self, command: &mut Command) {
        command.env("DISPLAY", &self.display).env("DBUS_SESSION_BUS_ADDRESS", &self.bus);
        command.env("GDK_BACKEND", "x11").env_remove("WAYLAND_DISPLAY").env_remove("XAUTHORITY");
    }

    /// Saves what is to be seen as a PNG.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub fn screenshot(&self, dir: &Path, name: &str) -> Result<PathBuf> {
        let file = dir.join(format!("{name}.png"));
        let mut convert = ffmpeg();
        convert.args(["-f", "xwd_pipe", "-i"]).arg(self.dump(dir)?).args(["-frames:v", "1"]).arg(&file);
        run(&mut convert)?;
        Ok(file)
    }

    /// The clock card in `area` of the screen, if there is one.
    ///
    /// # Errors
    /// Where the screen cannot be read.
    pub fn read_clock(&self, dir: &Path, area: Area) -> Result<Option<ClockReading>> {
        let mut convert = ffmpeg();
        convert.args(["-f", "xwd_pipe", "-i"]).arg(self.dump(dir)?);
        convert.args(["-frames:v", "1", "-f", "rawvideo", "-pix_fmt", "gray", "-"]);
        let luma = run(&mut convert)?;
        let rows = luma.get(area.y * SIZE.0 + area.x..).context("the area is not on the screen")?;
        Ok(read_clock_luma(rows, area.width.min(SIZE.0 - area.x), area.height.min(SIZE.1 - area.y), SIZE.0))
    }

    /// As [`Self::read_clock`], within a few milliseconds: for those who ask when a picture appears. It reads the framebuffer itself.
    ///
    /// # Errors
    /// Where the screen cannot be read, or is not of 32 bits a pixel.
    pub fn glance(&self, area: Area) -> Result<Option<ClockReading>> {
        let screen = File::open(self.framebuffer.path().join("Xvfb_screen0"))?;
        let mut header = [0; 100];
        screen.read_exact_at(&mut header, 0)?;
        // An X window dump: big-endian words, then its colours of 12 bytes each, then the rows.
        let word = |n: usize| header.chunks_exact(4).nth(n).map_or(0, |b| u32::from_be_bytes([b[0], b[1], b[2], b[3]]));
        let (size, bits, row, colours) = (word(0), word(11), word(12), word(19));
        ensure!(bits == 32, "{bits} bits a pixel");
        let (width, height) = (area.width.min(SIZE.0 - area.x), area.height.min(SIZE.1 - area.y));
        let mut bytes = vec![0; row as usize * height];
        let begin = u64::from(size) + u64::from(colours) * 12 + u64::from(row) * area.y as u64;
        screen.read_exact_at(&mut bytes, begin)?;
        // The card is black and white, so green is luma; its cells are large, so every other pixel of every other row tells enough.
        let rows = bytes.chunks_exact(row as usize).step_by(2);
        let green = rows.flat_map(|row| row.iter().skip(area.x * 4 + 1).step_by(8).take(width / 2).copied());
        let luma: Vec<u8> = green.collect();
        Ok(read_clock_luma(&luma, width / 2, height / 2, width / 2))
    }

    /// A copy of the framebuffer, which Xvfb keeps as an X window dump.
    fn dump(&self, dir: &Path) -> Result<PathBuf> {
        let copy = dir.join("screen.xwd");
        std::fs::copy(self.framebuffer.path().join("Xvfb_screen0"), &copy)?;
        Ok(copy)
    }
}
