//! What the window says of delay, held against the clock: what it knows of our part of either way is what a program finds that reads
//! the clock card where it was sent and where it arrived.
#![allow(clippy::unwrap_used)] // A failed unwrap is a failed test.

use anyhow::{Context, Result, ensure};
use device::MonoClock;
use e2e::app::App;
use e2e::desktop::{Area, Desktop};
use e2e::ffmpeg::ffmpeg;
use e2e::patient::{Patient, Phone};
use e2e::profile::Profile;
use e2e::program::{Program, output_dir};
use e2e::tap::Tap;
use e2e::wait::wait_for;
use std::collections::HashMap;
use std::path::Path;
use std::time::Duration;

/// Window and clock may differ by this much, in milliseconds.
const AGREE: f64 = 15.0;
/// How often the window is asked; it says something new twice a second, of means that settle within one.
const ASKED: usize = 12;
/// Pictures looked at between two questions.
const PICTURES: usize = 15;
/// What the picture goes through on this computer; its sound takes another way meanwhile. The network is loopback, which takes no
/// time: what stands there is how soon the other program answers.
const PICTURE: [&str; 4] = ["queueMs", "holdMs", "codecMs", "displayMs"];

/// The app with the clock in place of camera and microphone, its consultation started, its delay details open.
fn consult(dir: &Path, desktop: &Desktop) -> Result<(App, Vec<String>)> {
    let profile = Profile::new(dir)?;
    let app = App::start(dir, desktop, &["--synthetic", "clock", "--profile", profile.folder()?])?;
    app.click("start")?;
    let urls = app.patient_urls()?;
    app.click("delay")?;
    Ok((app, urls))
}

/// Seconds of the monotonic clock.
fn now() -> f64 {
    MonoClock::now().micros() as f64 / 1e6
}

/// The middle one.
fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied()
}

/// What the window says: the parts of each way in milliseconds, by their rows. One it does not know is not there.
#[derive(Debug, Default)]
struct Said {
    incoming: HashMap<String, f64>,
    outgoing: HashMap<String, f64>,
}

impl Said {
    fn now(app: &App) -> Result<Self> {
        let rows = app.evaluate(
            "[...document.querySelectorAll('tr[data-part]')]\
             .map(row => [row.dataset.part, row.cells[1].textContent, row.cells[2].textContent])",
        )?;
        let mut said = Self::default();
        for row in rows.as_array().context("no rows")? {
            let cell = |n: usize| row[n].as_str().unwrap_or_default();
            let number = |n: usize| cell(n).split(' ').next().and_then(|text| text.replace(',', "").parse().ok());
            said.incoming.extend(number(1).map(|ms| (cell(0).to_owned(), ms)));
            said.outgoing.extend(number(2).map(|ms| (cell(0).to_owned(), ms)));
        }
        Ok(said)
    }
}

/// The median of what was said of the picture in each of `ways`.
fn picture(ways: &[HashMap<String, f64>]) -> Option<f64> {
    median(ways.iter().map(|way| PICTURE.iter().filter_map(|part| way.get(*part)).sum()).collect())
}

/// A picture on the screen: its number, when it was not there yet, when it was.
struct Seen {
    frame: u32,
    before: f64,
    after: f64,
}

/// Looks at `area` until so many new pictures have appeared.
fn look(desktop: &Desktop, area: Area, count: usize) -> Result<Vec<Seen>> {
    let (mut seen, mut last, end) = (Vec::new(), None, now() + 10.0);
    while seen.len() < count {
        let begin = now();
        ensure!(begin < end, "the patient's picture stands still");
        let Some(clock) = desktop.glance(area)? else { continue };
        // Between two looks: after the one began that did not see it, before the one ended that did.
        if let Some((frame, before)) = last.replace((clock.frame, begin))
            && frame != clock.frame
        {
            seen.push(Seen { frame: clock.frame, before, after: now() });
        }
        // The pace of looking, not a wait: the machine has other things to do.
        std::thread::sleep(Duration::from_millis(1));
    }
    Ok(seen)
}

#[test]
fn the_patients_picture_takes_as_long_as_the_window_says() -> Result<()> {
    let dir = output_dir("delay_the_patients_picture")?;
    let desktop = Desktop::start(&dir)?;
    let (app, urls) = consult(&dir, &desktop)?;
    // Upright, as phones are; this shape is shown whole. Small, because time is what is looked at here.
    let phone = Phone { size: (240, 320), ..Phone::default() };
    let (patient, tap) = Patient::push_tapped("patient", &dir, &urls[0], &phone)?;
    app.until("document.documentElement.dataset.phase === 'live'", Duration::from_secs(20))?;
    let area = wait_for("the patient's clock on the screen", Duration::from_secs(20), || {
        let area = app.area("remote-video")?;
        Ok(desktop.glance(area)?.map(|_| area))
    })?;
    wait_for("every part of the picture's way", Duration::from_secs(20), || {
        let known = Said::now(&app)?.incoming;
        Ok(PICTURE.iter().all(|part| known.contains_key(*part)).then_some(()))
    })?;

    // The first looks are of what the sender had piled up when it began.
    look(&desktop, area, 3 * PICTURES)?;
    let (mut seen, mut said) = (Vec::new(), Vec::new());
    for _ in 0..ASKED {
        seen.extend(look(&desktop, area, PICTURES)?);
        said.push(Said::now(&app)?.incoming);
    }
    desktop.screenshot(&dir, "details")?;
    drop(patient);

    let sent: HashMap<u32, f64> = tap.pictures(&dir)?.into_iter().map(|(time, clock)| (clock.frame, time)).collect();
    let both: Vec<(f64, &Seen)> = seen.iter().filter_map(|s| Some((*sent.get(&s.frame)?, s))).collect();
    ensure!(both.len() * 10 >= seen.len() * 9, "{} of {} pictures were seen being sent", both.len(), seen.len());
    // It appeared somewhere between two looks: no sooner than this, no later than that.
    let least = median(both.iter().map(|(sent, seen)| (seen.before - sent) * 1e3).collect()).context("no picture")?;
    let most = median(both.iter().map(|(sent, seen)| (seen.after - sent) * 1e3).collect()).context("no picture")?;
    let window = picture(&said).context("the window says nothing")?;
    let report = format!("from sent to seen {least:.1} … {most:.1} ms; the window says {window:.1} ms\n{said:#?}\n");
    std::fs::write(dir.join("delay.txt"), &report)?;
    ensure!(window > least - AGREE && window < most + AGREE, "{report}");
    Ok(())
}

#[test]
fn the_doctors_picture_takes_as_long_as_the_window_says() -> Result<()> {
    let dir = output_dir("delay_the_doctors_picture")?;
    let desktop = Desktop::start(&dir)?;
    let (app, urls) = consult(&dir, &desktop)?;
    let tap = Tap::open(&dir, "doctor.h264")?;
    let mut command = ffmpeg();
    command.args(["-rw_timeout", "30000000", "-fflags", "nobuffer", "-analyzeduration", "100000", "-i", &urls[1]]);
    command.args(["-map", "0:v:0", "-c", "copy", "-flush_packets", "1", "-f", "h264"]).arg(tap.pipe());
    let mut reader = Program::start("reader", &dir, &mut command)?;
    wait_for("every part of the way to the patient", Duration::from_secs(30), || {
        let known = Said::now(&app)?.outgoing;
        Ok(["queueMs", "codecMs"].iter().all(|part| known.contains_key(*part)).then_some(()))
    })?;

    let (begin, mut said) = (now(), Vec::new());
    let mut last = HashMap::new();
    wait_for("the window to say it often enough", Duration::from_secs(60), || {
        let new = Said::now(&app)?.outgoing;
        if new != last {
            last.clone_from(&new);
            said.push(new);
        }
        // A way that stays the same says so too.
        Ok((said.len() >= ASKED || now() > begin + ASKED as f64).then_some(()))
    })?;
    let end = now();
    desktop.screenshot(&dir, "details")?;
    reader.kill()?;

    let pictures = tap.pictures(&dir)?;
    let ways = pictures.iter().filter(|(came, _)| (begin..end).contains(came)).map(|(came, clock)| {
        // What was captured when its time had come was drawn a little later.
        let captured = clock.drawn.micros() as f64 / 1e6 - clock.late.as_secs_f64();
        (came - captured) * 1e3
    });
    let clock = median(ways.collect()).context("no picture came")?;
    let window = picture(&said).context("the window says nothing")?;
    let report = format!("from captured to decodable {clock:.1} ms; the window says {window:.1} ms\n{said:#?}\n");
    std::fs::write(dir.join("delay.txt"), &report)?;
    ensure!((window - clock).abs() < AGREE, "{report}");
    Ok(())
}
