//! The support matrix: what every listener gets of every kind of stream, as data, as a run of all listeners at once, as the README's table.
//!
//! Belongs here: words for it and the table's text. Not here: which cell says what (`tests/matrix.rs`).

mod listener;
mod stage;

pub use stage::Source;

use crate::program::output_dir;
use anyhow::{Context, Result, ensure};
use listener::Listener;
use stage::Stage;
use std::path::Path;
use std::time::Duration;

/// A codec, as each of those who name it names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Codec {
    /// In the README.
    pub said: &'static str,
    /// In the API.
    pub label: &'static str,
    /// FFmpeg's.
    pub ffmpeg: &'static str,
    /// The subtype of WebRTC's media type, as in `video/VP8`.
    pub mime: &'static str,
    /// Picture or sound?
    pub picture: bool,
}

impl Codec {
    /// A codec of pictures.
    pub const fn picture(said: &'static str, label: &'static str, ffmpeg: &'static str, mime: &'static str) -> Self {
        Self { said, label, ffmpeg, mime, picture: true }
    }

    /// A codec of sound.
    pub const fn sound(said: &'static str, label: &'static str, ffmpeg: &'static str, mime: &'static str) -> Self {
        Self { picture: false, ..Self::picture(said, label, ffmpeg, mime) }
    }
}

/// What listeners of one kind get of a track.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cell {
    /// The track as it came.
    AsIs,
    /// The track in this codec.
    As(Codec),
    /// Those who say that they play it get it as it came, the others this.
    Asked(&'static Self),
    /// The other track alone; the API names this one and why.
    Told,
}

impl Cell {
    fn text(self) -> String {
        match self {
            Self::AsIs => "yes".into(),
            Self::As(codec) => format!("as {}", codec.said),
            Self::Asked(otherwise) => format!("asked: yes; else {}", otherwise.text()),
            Self::Told => "told".into(),
        }
    }
}

/// The columns.
pub const OUT: [&str; 7] = ["RTMP", "HTTP-FLV", "WHEP", "HLS TS", "HLS fMP4, LL", "RTSP", "SRT"];

/// One kind of stream: the track in question beside another that everybody plays.
#[derive(Debug)]
pub struct Row {
    /// In the README.
    pub name: &'static str,
    /// The track in question.
    pub codec: Codec,
    /// The other track.
    pub beside: Codec,
    /// How it gets into the relay.
    pub source: Source,
    /// The columns, as [`OUT`].
    pub cells: [Cell; 7],
    /// Do pictures come in another order than they are shown in?
    pub reordered: bool,
}

/// What one listener should get: picture and sound, none for the one that it is told of.
#[derive(Debug, Clone, Copy)]
struct Expected {
    picture: Option<Codec>,
    sound: Option<Codec>,
}

/// Listeners do not all begin with the same beep.
const SECONDS: u32 = 5;
/// The beeps that everybody hears in that time.
const BEEPS: usize = 3;

impl Row {
    /// The row's cells as text.
    fn text(&self) -> String {
        let cells: Vec<String> = self.cells.iter().map(|cell| cell.text()).collect();
        format!("| {} | {} |", self.name, cells.join(" | "))
    }

    /// A name for files.
    fn file_name(&self) -> String {
        let word = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '_' };
        self.name.chars().map(word).collect()
    }

    fn expected(&self, got: Option<Codec>, opus: Codec) -> Expected {
        // By WebRTC the sound beside a picture is Opus.
        let beside = if self.codec.picture { opus } else { self.beside };
        let (picture, sound) = if self.codec.picture { (got, Some(beside)) } else { (Some(beside), got) };
        Expected { picture, sound }
    }

    /// Publishes it once, lets every kind of listener read it at the same time, and judges what each of them got; with the row and a
    /// line a listener.
    ///
    /// # Errors
    /// Where any of them got something else than its cell says; with all of them.
    pub fn holds(&self) -> Result<String> {
        let dir = output_dir(&format!("matrix_{}", self.file_name()))?;
        let stage = Stage::open(&dir, &self.source)?;
        let mut listeners = Vec::new();
        for (column, cell) in self.cells.iter().enumerate() {
            listeners.extend(Listener::of(self, column, *cell, &stage)?);
        }
        let told =
            stage.watch(|| listeners.iter_mut().try_fold(true, |over, listener| Ok(listener.is_over()? && over)))?;
        stage.relay.stop()?;
        let outcomes: Vec<(String, Result<String>)> = std::thread::scope(|scope| {
            let judged: Vec<_> = listeners
                .iter()
                .map(|listener| (listener.name(), scope.spawn(|| listener.judge(&dir, &told))))
                .collect();
            judged.into_iter().map(|(name, thread)| (name, joined(thread.join()))).collect()
        });
        let report: String = outcomes.iter().map(|(name, outcome)| line(name, outcome)).collect();
        let report = format!("{}\n{report}", table(std::slice::from_ref(self)));
        std::fs::write(dir.join("outcome.md"), &report)?;
        ensure!(outcomes.iter().all(|(_, outcome)| outcome.is_ok()), "{report}");
        Ok(report)
    }
}

fn joined(outcome: std::thread::Result<Result<String>>) -> Result<String> {
    outcome.unwrap_or_else(|_| Err(anyhow::anyhow!("the judge gave up")))
}

fn line(name: &str, outcome: &Result<String>) -> String {
    match outcome {
        Ok(detail) => format!("{name}: as the table says; {detail}\n"),
        Err(error) => format!("{name}: {error:#}\n"),
    }
}

/// The whole table.
pub fn table(rows: &[Row]) -> String {
    let head = format!("| in ↓ out → | {} |\n|{}", OUT.join(" | "), "---|".repeat(OUT.len() + 1));
    let rows: String = rows.iter().map(|row| format!("\n{}", row.text())).collect();
    format!("{head}{rows}\n")
}

const BEGIN: &str = "<!-- matrix: `cargo xtask bless` writes it from tests/tests/matrix.rs -->\n";
const END: &str = "<!-- end of matrix -->";

/// Checks that the README has this table; writes it there where `BLESS` is set.
///
/// # Errors
/// Where it has another one.
pub fn readme_has(table: &str) -> Result<()> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../README.md");
    let text = std::fs::read_to_string(&file)?;
    let (before, rest) = text.split_once(BEGIN).context("no matrix begins")?;
    let (has, after) = rest.split_once(END).context("no matrix ends")?;
    if std::env::var_os("BLESS").is_some() {
        return Ok(std::fs::write(&file, format!("{before}{BEGIN}{table}{END}{after}"))?);
    }
    ensure!(has == table, "README's support matrix is not that of the tests: `cargo xtask bless`\n{table}");
    Ok(())
}

/// A listener that has not come to its end by then never will.
const PATIENCE: Duration = Duration::from_secs(60);
