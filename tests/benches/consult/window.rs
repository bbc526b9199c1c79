//! The doctor's window: how long a patient's picture takes to its pixels, and what the app costs with all its processes.
//!
//! Not here: whether lips move with the sound (`tests/tests/sound.rs`).

use crate::common::Bench;
use crate::common::clip::{Recipe, Sound};
use crate::common::figure::{Figure, Goal, Samples};
use crate::common::machine::Tree;
use crate::common::player::Player;
use crate::common::publisher::{Publisher, now};
use anyhow::{Context, Result, ensure};
use e2e::app::App;
use e2e::desktop::{Area, Desktop};
use e2e::profile::Profile;
use e2e::program::Program;
use e2e::relay::binary;
use e2e::wait::wait_for;
use media::AccessUnit;
use serde_json::Value;
use std::collections::HashMap;
use std::fs;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

const SOON: Duration = Duration::from_secs(20);
/// The pace of looking at the screen.
const PACE: Duration = Duration::from_millis(1);
/// Jitter buffer, decoder and lip sync find their widths in this time.
const WARM: Duration = Duration::from_secs(6);
/// Upright, as phones are: the window shows it whole.
const UPRIGHT: (u32, u32) = (480, 640);

/// From the patient's RTMP frame to the X framebuffer, without and with sound.
pub(crate) fn pixels(bench: &Bench) -> Result<Vec<Figure>> {
    let mut figures = way(bench, Sound::None, "without sound", 60.0)?;
    figures.extend(way(bench, Sound::Aac, "with sound", 120.0)?);
    Ok(figures)
}

fn way(bench: &Bench, sound: Sound, name: &str, goal: f64) -> Result<Vec<Figure>> {
    let desktop = Desktop::start(&bench.dir)?;
    let profile = Profile::new(&bench.dir)?;
    let app = App::start(&bench.dir, &desktop, &["--synthetic", "clock", "--profile", profile.folder()?])?;
    app.click("start")?;
    let urls = app.patient_urls()?;
    let seconds = bench.effort.seconds(20);
    let length = seconds + WARM + SOON;
    let clip = Arc::new(Recipe { size: Some(UPRIGHT), gop: 30, sound, length }.make()?);
    let publisher = Publisher::start(&urls[0], &clip)?;
    app.until("document.documentElement.dataset.phase === 'live'", SOON)?;
    let area = wait_for("the patient's clock on the screen", SOON, || {
        let area = app.area("remote-video")?;
        Ok(desktop.glance(area)?.map(|_| area))
    })?;
    std::thread::sleep(WARM);
    let watched = watch(&desktop, area, seconds)?;
    desktop.screenshot(&bench.dir, name)?;
    let sent = publisher.book.pictures(&clip);
    let mut took = Samples::default();
    for (frame, seen) in &watched.seen {
        let sent = sent.get(*frame as usize).copied().flatten().context("a picture nobody sent")?;
        took.push((seen - sent) * 1e3);
    }
    ensure!(took.len() > 10, "only {} pictures were seen", took.len());
    let (first, last) = (watched.seen.keys().min().context("none")?, watched.seen.keys().max().context("none")?);
    let share = took.len() as f64 / f64::from(last - first + 1) * 100.0;
    Ok(vec![
        Figure::of(format!("patient's RTMP frame → pixel in the window, {name}"), &took, "ms", Goal::P95(goal)),
        Figure::one(format!("… pictures of it that were seen, {name}"), Some(share), "%", Goal::Report),
        Figure::of(format!("… in this included: a look at the screen, {name}"), &watched.looks, "ms", Goal::Report),
    ])
}

/// When each picture was seen first, by its number; and the times from one look to the next, which is as much as a picture may have
/// been there before.
struct Watched {
    seen: HashMap<u32, f64>,
    looks: Samples,
}

fn watch(desktop: &Desktop, area: Area, time: Duration) -> Result<Watched> {
    let mut watched = Watched { seen: HashMap::new(), looks: Samples::default() };
    let (mut last, end) = (now(), now() + time.as_secs_f64());
    // What is on the screen at the first look has been there for an unknown time.
    let before = desktop.glance(area)?.map(|clock| clock.frame);
    while last < end {
        let clock = desktop.glance(area)?;
        let looked = now();
        watched.looks.push((looked - last) * 1e3);
        last = looked;
        if let Some(clock) = clock.filter(|clock| Some(clock.frame) != before) {
            watched.seen.entry(clock.frame).or_insert(looked);
        }
        std::thread::sleep(PACE);
    }
    Ok(watched)
}

/// CPU and memory of the app and its webview in a visit: 640×480@30 with sound each way, one reader.
pub(crate) fn cost(bench: &Bench) -> Result<Vec<Figure>> {
    let desktop = Desktop::start(&bench.dir)?;
    let profile = Profile::new(&bench.dir)?;
    // As a doctor starts it: no driver steers the webview.
    let mut command = Command::new(binary("VISAVIS_BIN", "visavis"));
    command.args(["--synthetic", "clock", "--profile", profile.folder()?, "--start", "consult", "--ready-json"]);
    desktop.show(&mut command);
    let mut app = Program::start("app", &bench.dir, &mut command)?;
    let url = wait_for("the patient's address", SOON, || {
        app.first_line(SOON)?;
        let lines = app.output()?;
        let ready = lines.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let urls = |line: Value| {
            let url = |name: &str| line["patient"][name].as_str().map(str::to_owned);
            Some((url("pushRtmp")?, url("playRtmp")?))
        };
        Ok(ready.filter_map(urls).next_back())
    })?;
    let seconds = bench.effort.seconds(20);
    let length = seconds + WARM + SOON;
    let clip = Arc::new(Recipe { size: Some((640, 480)), gop: 30, sound: Sound::Aac, length }.make()?);
    let _publisher = Publisher::start(&url.0, &clip)?;
    let player = Player::join(&url.1)?;
    player.first(SOON, AccessUnit::is_video)?;
    std::thread::sleep(WARM);
    let tree = Tree::of(app.id());
    let before = player.arrivals().len();
    let (cpu, memory) = (tree.cpu(seconds)?, tree.memory()?);
    ensure!(player.arrivals().len() > before, "the doctor's stream has stopped");
    desktop.screenshot(&bench.dir, "visit")?;
    fs::write(bench.dir.join("processes.txt"), tree.describe()?)?;
    Ok(vec![
        Figure::one("app + webview, both directions 640×480@30: CPU", Some(cpu), "% of a core", Goal::Median(90.0)),
        Figure::one("app + webview, both directions: memory (PSS)", Some(memory), "MB", Goal::Median(350.0)),
    ])
}
