//! One listener: the program that plays what a cell speaks of, and what it got.
//!
//! Belongs here: which program can play what, by which address, and its judgement. Not here: what is expected (`tests/matrix.rs`).

use super::stage::{PATH, Stage};
use super::{BEEPS, Cell, Codec, Expected, Row, SECONDS};
use crate::browser::{Browser, judge_says, python};
use crate::content::{Content, LIP_SYNC, sound_alone};
use crate::enhanced_rtmp;
use crate::ffmpeg::{ffmpeg, pull, pull_rtsp};
use crate::program::Program;
use anyhow::{Context, Result, ensure};
use serde_json::Value;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// WebRTC's sound.
const OPUS: Codec = Codec::sound("Opus", "Opus", "opus", "opus");

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    Rtmp,
    Flv,
    Whep,
    HlsTs,
    HlsFmp4,
    HlsLl,
    Rtsp,
    Srt,
}

impl Way {
    const fn of(column: usize) -> &'static [Self] {
        match column {
            0 => &[Self::Rtmp],
            1 => &[Self::Flv],
            2 => &[Self::Whep],
            3 => &[Self::HlsTs],
            4 => &[Self::HlsFmp4, Self::HlsLl],
            5 => &[Self::Rtsp],
            _ => &[Self::Srt],
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Rtmp => "rtmp",
            Self::Flv => "flv",
            Self::Whep => "whep",
            Self::HlsTs => "hls_ts",
            Self::HlsFmp4 => "hls_fmp4",
            Self::HlsLl => "hls_ll",
            Self::Rtsp => "rtsp",
            Self::Srt => "srt",
        }
    }

    /// What the API calls such a reader.
    const fn reader(self) -> &'static str {
        match self {
            Self::Rtmp => "rtmpConn",
            Self::Flv => "httpFLVConn",
            Self::Whep => "webRTCSession",
            Self::HlsTs | Self::HlsFmp4 | Self::HlsLl => "hlsMuxer",
            Self::Rtsp => "rtspSession",
            Self::Srt => "srtConn",
        }
    }
}

/// Who plays.
#[derive(Debug)]
enum Player {
    /// Debian's ffmpeg: what it got is copied into the file.
    Ffmpeg(Program),
    /// The same, but pictures are decoded and coded again; it cannot copy what has no decode times.
    Decoding(Program),
    /// FFmpeg 8, which decodes.
    Newest(Program),
    Aiortc(Program),
    Chromium(Browser),
}

#[derive(Debug)]
pub(super) struct Listener {
    way: Way,
    name: String,
    file: PathBuf,
    player: Player,
    expected: Expected,
    /// The track of which it is told, where it is.
    told: Option<Codec>,
    /// Pictures that may be missing between two, and one.
    gap: u32,
}

impl Listener {
    /// Those whom `cell` speaks of.
    pub(super) fn of(row: &Row, column: usize, cell: Cell, stage: &Stage) -> Result<Vec<Self>> {
        let (asking, other) = match cell {
            Cell::Asked(other) => (Some(Cell::AsIs), Some(*other)),
            cell => (None, Some(cell)),
        };
        let mut all = Vec::new();
        for way in Way::of(column) {
            for (asks, cell) in [(true, asking), (false, other)] {
                let Some(cell) = cell else { continue };
                all.push(Self::start(row, *way, asks, cell, stage)?);
            }
        }
        Ok(all)
    }

    fn start(row: &Row, way: Way, asks: bool, cell: Cell, stage: &Stage) -> Result<Self> {
        let name = if asks { format!("{}_asking", way.name()) } else { way.name().to_owned() };
        let (got, told) = match cell {
            Cell::As(codec) => (Some(codec), None),
            Cell::Told => (None, Some(row.codec)),
            _ => (Some(row.codec), None),
        };
        let expected = row.expected(got, if way == Way::Whep { OPUS } else { row.beside });
        // FFmpeg 8's encoders drop a picture on a busy machine.
        let gap = if matches!(row.source, super::Source::Enhanced(..)) { 3 } else { 1 };
        // In decode order a picture that others are shown before comes first, where the recording ends.
        let gap = if row.reordered { gap + 3 } else { gap };
        let file = stage.dir.join(format!("{name}.mkv"));
        let player = play(&name, way, asks, row, got, stage, &file)?;
        Ok(Self { way, name, file, player, expected, told, gap })
    }

    pub(super) fn name(&self) -> String {
        self.name.clone()
    }

    /// Has it come to its end? A browser has none: its report is waited for.
    pub(super) fn is_over(&mut self) -> Result<bool> {
        match &mut self.player {
            Player::Ffmpeg(program) | Player::Decoding(program) | Player::Newest(program) | Player::Aiortc(program) => {
                Ok(program.ended()?.is_some())
            }
            // The others go on meanwhile, and are looked at.
            Player::Chromium(browser) => Ok(browser.says("report")?.is_some()),
        }
    }

    /// Did it get what it should, and was it told if it should be? How far its sound was from its pictures, in words.
    pub(super) fn judge(&self, dir: &Path, told: &BTreeSet<(String, String)>) -> Result<String> {
        if let Some(codec) = self.told {
            let named = told.contains(&(codec.label.to_owned(), self.way.reader().to_owned()));
            ensure!(named, "the API does not name {} for it, but {told:?}", codec.label);
        }
        let says = |event: &str| judge_says(&dir.join(format!("{}.out", self.name)), event, Duration::from_secs(1));
        match &self.player {
            Player::Chromium(browser) => return self.judge_report(&serde_json::from_str(&browser.said("report")?)?),
            Player::Newest(_) => self.are((&says("pulled")?["video"], &says("pulled")?["audio"]), |c| c.ffmpeg)?,
            Player::Aiortc(_) => {
                let codecs = says("recorded").with_context(|| self.errors())?["codecs"].take();
                let mime = |kind: &str| codecs[kind][0].as_str().and_then(|m| m.split_once('/')).map_or("", |(_, m)| m);
                self.are((&mime("video").into(), &mime("audio").into()), |c| c.mime)?;
            }
            Player::Ffmpeg(_) | Player::Decoding(_) => {}
        }
        if self.expected.picture.is_none() {
            beeps(&sound_alone(&self.file).with_context(|| self.errors())?)?;
            return Ok("the sound alone, and told".into());
        }
        let content = Content::read(&self.file).with_context(|| self.errors())?;
        if matches!(self.player, Player::Ffmpeg(_)) {
            let (picture, sound) = content.codecs();
            self.are((&picture.into(), &sound.into()), |c| c.ffmpeg)?;
            content.dts_rises()?;
        }
        content.clock_runs(if self.way == Way::Whep { self.gap + 1 } else { self.gap })?;
        ensure!(content.readable() > 0.95, "{} of the clocks are readable", content.readable());
        let mut clocks = content.pictures.iter().filter_map(|(_, clock)| *clock);
        ensure!(clocks.all(|clock| clock.stream == 7), "it is the patient's card");
        Self::in_step(&content)
    }

    /// Are enough beeps in step? Nearly everybody begins with a beep's picture, and within the beep; by WebRTC that picture comes with the
    /// whole past at once.
    fn in_step(content: &Content) -> Result<String> {
        beeps(&content.bursts)?;
        let offsets = content.offsets();
        let settled = offsets.get(1..).unwrap_or_default();
        ensure!(settled.len() >= BEEPS - 1, "{} beeps with their picture: {:?}", offsets.len(), content.bursts);
        ensure!(settled.iter().all(|offset| offset.abs() <= LIP_SYNC), "out of step: {offsets:?}");
        let millis: Vec<String> = settled.iter().map(|offset| format!("{:+.1}", offset * 1e3)).collect();
        Ok(format!("sound minus picture in ms: {}", millis.join(" ")))
    }

    /// Are these names of picture and sound those of what is expected?
    fn are(&self, got: (&Value, &Value), name: impl Fn(&Codec) -> &'static str) -> Result<()> {
        let is = |got: &Value, codec: Option<Codec>| {
            codec.is_none_or(|codec| got.as_str().is_some_and(|got| got.eq_ignore_ascii_case(name(&codec))))
        };
        ensure!(is(got.0, self.expected.picture) && is(got.1, self.expected.sound), "it got {} and {}", got.0, got.1);
        Ok(())
    }

    /// A browser says what it saw and heard; when, it does not.
    fn judge_report(&self, report: &Value) -> Result<String> {
        let subtype = |field: &str| report[field].as_str().and_then(|m| m.split_once('/')).map_or("", |(_, m)| m);
        self.are((&subtype("video").into(), &subtype("audio").into()), |c| c.mime)?;
        let number = |name: &str| report[name].as_f64().unwrap_or(f64::NAN);
        ensure!(report["stream"] == 7 && report["falls"] == 0, "{report}");
        ensure!(number("unread") < 8.0 && number("span") >= number("cards") - 1.0, "the clock is read: {report}");
        ensure!((number("tone") - 1000.0).abs() < 15.0, "the beep is heard: {report}");
        Ok("seen and heard".into())
    }

    fn errors(&self) -> String {
        match &self.player {
            Player::Ffmpeg(program) | Player::Decoding(program) | Player::Newest(program) | Player::Aiortc(program) => {
                program.errors()
            }
            Player::Chromium(_) => String::new(),
        }
    }
}

/// Enough beeps, of the right tone.
fn beeps(bursts: &[device::synthetic::Burst]) -> Result<()> {
    // The first may be cut.
    let whole: Vec<_> = bursts.iter().skip(1).filter(|burst| burst.length > 0.05).collect();
    ensure!(whole.len() >= BEEPS - 1, "{} whole beeps are heard: {bursts:?}", whole.len());
    ensure!(whole.iter().all(|burst| (burst.frequency - 1000.0).abs() < 15.0), "beeps of another tone: {bursts:?}");
    Ok(())
}

/// What Debian's ffmpeg does not know in FLV, and FFmpeg 8 does: the FourCC to name.
fn four_cc(codec: Codec) -> Option<&'static str> {
    [("hevc", "hvc1"), ("av1", "av01"), ("vp9", "vp09"), ("opus", "Opus")]
        .into_iter()
        .find_map(|(name, four_cc)| (codec.ffmpeg == name).then_some(four_cc))
}

fn play(name: &str, way: Way, asks: bool, row: &Row, got: Option<Codec>, stage: &Stage, file: &Path) -> Result<Player> {
    let (relay, dir, seconds) = (&stage.relay, &stage.dir, f64::from(SECONDS));
    let own = got == Some(row.codec);
    let four_cc = four_cc(row.codec).filter(|_| own);
    let hls = |variant: &str| {
        // Opus on wish has a name of its own.
        let path = if asks { format!("{PATH}_{}", row.codec.ffmpeg) } else { PATH.to_owned() };
        let url = relay.hls(&format!("{path}/stream.m3u8?variant={variant}"))?;
        Ok(Player::Ffmpeg(pull(name, dir, &url, seconds, file)?))
    };
    let newest =
        |url: &str, four_cc: &str| enhanced_rtmp::pull(name, dir, url, SECONDS, file, four_cc).map(Player::Newest);
    match (way, four_cc) {
        (Way::Rtmp, Some(four_cc)) => newest(&relay.rtmp(PATH)?, four_cc),
        (Way::Rtmp, None) => Ok(Player::Ffmpeg(pull(name, dir, &relay.rtmp(PATH)?, seconds, file)?)),
        (Way::Flv, Some(_)) => newest(&relay.hls(&format!("{PATH}.flv"))?, ""),
        (Way::Flv, None) => Ok(Player::Ffmpeg(pull(name, dir, &relay.hls(&format!("{PATH}.flv"))?, seconds, file)?)),
        (Way::HlsTs, _) => hls("ts"),
        (Way::HlsFmp4, _) => hls("fmp4"),
        (Way::HlsLl, _) => hls("ll"),
        // FFmpeg 5.1 knows no AV1 in RTP, and no key pictures of VP9.
        (Way::Rtsp, _) if ["av1", "vp9"].contains(&row.codec.ffmpeg) => newest(&relay.rtsp(PATH)?, ""),
        (Way::Rtsp, _) if row.reordered => decode_rtsp(name, dir, &relay.rtsp(PATH)?, file).map(Player::Decoding),
        (Way::Rtsp, _) => Ok(Player::Ffmpeg(pull_rtsp(name, dir, &relay.rtsp(PATH)?, "tcp", seconds, file)?)),
        (Way::Srt, _) => Ok(Player::Ffmpeg(pull(name, dir, &relay.srt(&format!("read:{PATH}"))?, seconds, file)?)),
        (Way::Whep, _) => {
            let endpoint = format!("http://{}/{PATH}/whep", relay.address("webrtc")?);
            // aiortc has none of these, or its judge no clock for it.
            if own && ["av1", "vp9", "hevc", "pcm_mulaw"].contains(&row.codec.ffmpeg) {
                let page = support("whep_player.html");
                return Browser::open(name, dir, &page, &format!("endpoint={endpoint}")).map(Player::Chromium);
            }
            let mut command = Command::new(python());
            command.arg(support("whep_client.py")).arg(endpoint).arg(file);
            command.args(["--seconds", &SECONDS.to_string()]);
            if got.is_none() {
                command.args(["--only", if row.codec.picture { "audio" } else { "video" }]);
            }
            Program::start(name, dir, &mut command).map(Player::Aiortc)
        }
    }
}

/// RTP says no decode times, and ffmpeg has none for the first pictures: it shows them, but cannot copy them.
fn decode_rtsp(name: &str, dir: &Path, url: &str, file: &Path) -> Result<Program> {
    let mut command = ffmpeg();
    command.args([
        "-rtsp_transport",
        "tcp",
        "-i",
        url,
        "-t",
        &SECONDS.to_string(),
        "-copyts",
        "-fps_mode",
        "passthrough",
    ]);
    command.args(["-c:v", "libx264", "-preset", "ultrafast", "-tune", "zerolatency", "-qp", "18", "-c:a", "copy"]);
    Program::start(name, dir, command.arg(file))
}

fn support(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("support").join(file)
}
