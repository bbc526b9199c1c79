//! What the doctor's own way takes: from the click to the first unit, from the drawn picture to the reader, and how far sound and
//! picture are apart there.
//!
//! Not here: the other way, to the doctor's screen (`window`).

use crate::common::figure::{Figure, Goal, Samples};
use crate::common::player::{Arrival, Player, clocks};
use crate::common::publisher::now;
use crate::common::{Bench, SETTLED};
use crate::hop::jumps;
use anyhow::{Context, Result, ensure};
use e2e::app::App;
use e2e::content::Content;
use e2e::desktop::Desktop;
use e2e::ffmpeg::pull;
use e2e::profile::Profile;
use e2e::wait::wait_for;
use media::AccessUnit;
use serde_json::Value;
use std::fs;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

const SOON: Duration = Duration::from_secs(20);
/// A doctor makes a pause between two visits, and what the last one leaves to do is done in it.
const PAUSE: Duration = Duration::from_secs(1);

/// A window at its home screen, whose streams can be read without the visit's token: a reader that waits before the visit has none.
pub(crate) struct Doctor {
    pub(crate) app: App,
    pub(crate) desktop: Desktop,
    pub(crate) profile: Profile,
}

impl Doctor {
    pub(crate) fn at_home(dir: &Path) -> Result<Self> {
        let desktop = Desktop::start(dir)?;
        let profile = Profile::new(dir)?;
        let settings = Path::new(profile.folder()?).join("settings.toml");
        let text = fs::read_to_string(&settings)?;
        fs::write(&settings, format!("open_names = true\n{text}"))?;
        let app = App::start(dir, &desktop, &["--synthetic", "clock", "--profile", profile.folder()?])?;
        app.until("document.documentElement.dataset.phase === 'ready'", SOON)?;
        Ok(Self { app, desktop, profile })
    }

    /// Where the doctor is played by RTMP.
    pub(crate) fn url(&self) -> String {
        format!("rtmp://127.0.0.1:{}/doctorStream", self.profile.ports[0])
    }

    fn end(&self) -> Result<()> {
        self.app.click("end")?;
        self.app.until("document.documentElement.dataset.phase === 'ready'", SOON)
    }
}

/// From the click to the first picture at a reader that has been knocking all the time.
pub(crate) fn start(bench: &Bench) -> Result<Vec<Figure>> {
    let doctor = Doctor::at_home(&bench.dir)?;
    let mut took = Samples::default();
    for _ in 0..bench.effort.runs() {
        std::thread::sleep(PAUSE);
        let player = Player::join(&doctor.url())?;
        // The page's own clock says when the click was there: how long the driver took to make it is not the app's.
        doctor.app.evaluate(
            "(window.addEventListener('click', () => { window.benchClicked = Date.now() }, { capture: true, once: true }), 0)",
        )?;
        doctor.app.click("start")?;
        let first = player.first(SOON, AccessUnit::is_video)?;
        let clicked = doctor.app.evaluate("window.benchClicked")?;
        took.push((first.at - monotonic(&clicked)?) * 1e3);
        doctor.end()?;
    }
    let what = "click → first access unit at an RTMP reader that is already waiting (synthetic)";
    Ok(vec![Figure::of(what, &took, "ms", Goal::P95(800.0))])
}

/// JavaScript's `Date.now()` in seconds of the machine's monotonic clock, within a millisecond.
fn monotonic(date: &Value) -> Result<f64> {
    let date = date.as_f64().context("the page did not see the click")? / 1e3;
    let wall = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs_f64();
    Ok(now() - (wall - date))
}

/// From the drawn picture to the reader that can decode it. The clock in the picture says when it was drawn.
pub(crate) fn picture(bench: &Bench) -> Result<Vec<Figure>> {
    let doctor = Doctor::at_home(&bench.dir)?;
    doctor.app.click("start")?;
    let player = Player::join(&doctor.url())?;
    let first = player.first(SOON, AccessUnit::is_video)?;
    std::thread::sleep(bench.effort.seconds(20));
    let arrivals = player.arrivals();
    drop(player);
    let settled = |at: f64| at > first.at + SETTLED;
    let clocks = clocks(&arrivals)?;
    let way = clocks.iter().filter(|(at, _)| settled(*at)).map(|(at, clock)| at - clock.drawn.micros() as f64 / 1e6);
    let way: Samples = way.map(|seconds| seconds * 1e3).collect();
    ensure!(way.len() > 30, "only {} pictures came", way.len());
    let sound: Vec<Arrival> = arrivals.into_iter().filter(|a| !a.unit.is_video()).collect();
    doctor.desktop.screenshot(&bench.dir, "visit")?;
    doctor.end()?;
    let what = "doctor's frame drawn → decodable at an RTMP reader, 640×480@30, encode included";
    Ok(vec![
        Figure::of(what, &way, "ms", Goal::P95(12.0)),
        Figure::one("jumps in the doctor's AAC timestamps", Some(jumps(&sound) as f64), "", Goal::Median(0.0)),
    ])
}

/// How far sound and picture are apart at the reader, by ffmpeg's reading and decoding.
pub(crate) fn sound(bench: &Bench) -> Result<Vec<Figure>> {
    let doctor = Doctor::at_home(&bench.dir)?;
    doctor.app.click("start")?;
    let url = doctor.url();
    wait_for("the visit's relay", SOON, || {
        Ok(std::net::TcpStream::connect(("127.0.0.1", doctor.profile.ports[0])).ok())
    })?;
    let (file, seconds) = (bench.dir.join("doctor.flv"), bench.effort.seconds(20) + Duration::from_secs(2));
    pull("pull", &bench.dir, &url, seconds.as_secs_f64(), &file)?.succeed(seconds + SOON)?;
    doctor.end()?;
    let content = Content::read(&file)?;
    // One who joins with a beep's picture hears its sound cut.
    let cut = content.pictures.first().is_some_and(|(_, clock)| clock.is_some_and(|clock| clock.beep));
    let offsets: Vec<f64> = content.offsets().into_iter().skip(usize::from(cut)).collect();
    ensure!(!offsets.is_empty(), "no beep was heard");
    fs::write(bench.dir.join("offsets.txt"), format!("sound minus picture, in seconds: {offsets:?}\n"))?;
    let apart: Samples = offsets.iter().map(|offset| offset.abs() * 1e3).collect();
    let signed: Samples = offsets.iter().map(|offset| offset * 1e3).collect();
    let what = format!("A/V offset at the reader, magnitude (median {:+.1} ms)", signed.median().unwrap_or_default());
    Ok(vec![Figure::of(what, &apart, "ms", Goal::P95(10.0))])
}
