//! A server elsewhere: the window publishes to strangers and to another machine, plays from there, and says what is wrong with
//! a server that is of no use.
#![allow(clippy::unwrap_used)] // A failed unwrap is a failed test.

use anyhow::{Context, Result, ensure};
use device::synthetic::{ClockReading, find_bursts};
use e2e::app::App;
use e2e::content::Content;
use e2e::desktop::Desktop;
use e2e::ffmpeg::pull;
use e2e::namespace::Namespace;
use e2e::patient::{Patient, Phone};
use e2e::program::output_dir;
use e2e::relay::Relay;
use e2e::stubborn::{Manner, Stubborn};
use e2e::stun::Stun;
use e2e::wait::wait_for;
use e2e::whip_server::WhipServer;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::time::{Duration, Instant};

/// Sound and picture may be this far apart: what a viewer does not notice (ITU-R BT.1359).
const LIP_SYNC: f64 = 0.045;
/// So soon the window says what is wrong with a server.
const FIRST_WORD: Duration = Duration::from_secs(5);

/// The app, with a server at `address` in its settings.
fn app(dir: &Path, desktop: &Desktop, address: &str) -> Result<App> {
    app_with(dir, desktop, address, "")
}

/// The same, with `more` behind it in the file.
fn app_with(dir: &Path, desktop: &Desktop, address: &str, more: &str) -> Result<App> {
    let folder = dir.join("profile");
    if folder.exists() {
        std::fs::remove_dir_all(&folder)?;
    }
    std::fs::create_dir_all(&folder)?;
    let text = format!(
        "version = 1\nlanguage = \"en\"\nappearance = \"light\"\n\
         [server]\nkind = \"address\"\naddress = \"{address}\"\nuser = \"\"\n{more}"
    );
    std::fs::write(folder.join("settings.toml"), text)?;
    App::start(dir, desktop, &["--synthetic", "clock", "--profile", folder.to_str().context("a readable folder")?])
}

fn phase(app: &App, phase: &str, limit: Duration) -> Result<()> {
    app.until(&format!("document.documentElement.dataset.phase === '{phase}'"), limit)
}

fn says(app: &App, words: &str, limit: Duration) -> Result<()> {
    app.until(&format!("document.body.innerText.includes({words:?})"), limit)
}

/// Nothing but WHIP, at `address`.
fn whip_alone(dir: &Path, address: SocketAddr) -> Result<Relay> {
    let config = format!(
        "rtmp: no\nrtsp: no\nsrt: no\nhls: no\nwebrtcAddress: {address}\nwebrtcLocalUDPAddress: 127.0.0.1:0\napi: yes\n\
         apiAddress: 127.0.0.1:0\npaths: {{all_others: }}\n"
    );
    Relay::start(dir, &config)
}

#[test]
fn another_stack_is_the_server() -> Result<()> {
    let dir = output_dir("server_another_stack_is_the_server")?;
    let stun = Stun::start()?;
    let link = format!("<stun:{}>; rel=\"ice-server\"", stun.address());
    // The answer waits, so that there is time to find a candidate after the offer and before the connection.
    let server = WhipServer::start(&dir, &["--bearer", "s3cret-token", "--slow", "1", "--link", &link])?;

    let desktop = Desktop::start(&dir)?;
    let app = app(&dir, &desktop, &server.address)?;
    app.click("settings")?;
    app.enter("server-password", "s3cret-token")?;
    app.click("back")?;
    app.click("settings")?;
    // The password itself does not come back to the window; that there is one does.
    app.until("document.querySelector('[data-testid=server-password]').value === '••••••••'", Duration::from_secs(10))?;
    desktop.screenshot(&dir, "settings")?;
    app.click("back")?;
    app.click("start")?;

    let offer = server.says("offer", Duration::from_secs(20))?;
    assert_eq!(offer["path"], "/doctorStream/whip");
    assert_eq!(offer["authorization"], "Bearer");
    ensure!(stun.asked() > 0, "the STUN server of the Link header is asked before the offer");
    stun.answer();
    let patch = server.says("patch", Duration::from_secs(10))?;
    ensure!(patch["candidates"].as_u64() >= Some(1), "what was found late is trickled: {patch}");
    phase(&app, "waiting", Duration::from_secs(20))?;

    let (clocks, sound) = wait_for("four seconds of sound at the server", Duration::from_secs(20), || {
        let (clocks, sound) = server.recorded((640, 480))?;
        Ok((sound.len() > 48_000 * 4 && clocks.len() > 100).then_some((clocks, sound)))
    })?;
    desktop.screenshot(&dir, "waiting")?;
    let read: Vec<ClockReading> = clocks.iter().flatten().copied().collect();
    ensure!(read.len() * 100 > clocks.len() * 98, "{} of {} clocks are readable", read.len(), clocks.len());
    ensure!(read.windows(2).all(|pair| pair[0].frame < pair[1].frame), "the clock runs forwards");
    let bursts = find_bursts(&sound, 1, 48_000);
    let whole: Vec<_> = bursts.iter().filter(|b| b.start > 0.3 && b.length > 0.05).collect();
    ensure!(whole.len() >= 3, "beeps are heard: {bursts:?}");
    ensure!(whole.iter().all(|b| (b.frequency - 1000.0).abs() < 15.0), "of 1 kHz: {bursts:?}");

    app.click("end")?;
    server.says("delete", Duration::from_secs(10)).context("the session is ended with DELETE")?;
    phase(&app, "ready", Duration::from_secs(10))
}

#[test]
fn another_machine_is_the_server() -> Result<()> {
    let dir = output_dir("server_another_machine_is_the_server")?;
    let far = Namespace::new()?;
    let host = far.far();
    let config = format!(
        "rtmpAddress: {host}:1935\nrtsp: no\nsrt: no\nhls: no\nwebrtcAddress: {host}:8889\nwebrtcLocalUDPAddress: {host}:8189\n\
         api: yes\napiAddress: {host}:9997\nlogLevel: debug\npaths: {{all_others: }}\n"
    );
    let relay = Relay::start_in(&dir, &config, &far)?;
    let desktop = Desktop::start(&dir)?;
    // The ports are those that an address without one stands for.
    let app = app(&dir, &desktop, &host.to_string())?;
    app.click("start")?;
    phase(&app, "waiting", Duration::from_secs(20))?;
    let path = relay.path_ready("doctorStream")?;
    assert_eq!(path["tracks"], serde_json::json!(["H264", "Opus"]), "{path}");

    let file = dir.join("doctor.flv");
    let mut doctor = pull("pull", &dir, &relay.rtmp("doctorStream_aac")?, 6.0, &file)?;
    // Upright, as phones are; this shape is shown whole.
    let phone = Phone { size: (480, 640), stream: 42, ..Phone::default() };
    let _patient = Patient::push("patient", &dir, &relay.rtmp("patientStream")?, &phone)?;
    phase(&app, "live", Duration::from_secs(20))?;
    let (area, seen) = wait_for("the patient's clock on the screen", Duration::from_secs(20), || {
        let area = app.area("remote-video")?;
        Ok(desktop.read_clock(&dir, area)?.map(|clock| (area, clock)))
    })?;
    assert_eq!(seen.stream, 42, "it is the patient who is seen");
    // The relay makes Opus of the patient's sound, so WHEP brings it.
    let reads = |what: &str| {
        Ok::<_, anyhow::Error>(
            relay.list(what)?.iter().filter(|c| c["state"] == "read" && c["path"] == "patientStream").count(),
        )
    };
    assert_eq!((reads("webrtcsessions")?, reads("rtmpconns")?), (1, 0), "the patient is played by WHEP");
    let shape = area.width as f64 / area.height as f64;
    ensure!((shape - 0.75).abs() < 0.02, "the picture is upright: {area:?}");
    wait_for("a later clock", Duration::from_secs(10), || {
        Ok(desktop.read_clock(&dir, app.area("remote-video")?)?.filter(|c| c.frame > seen.frame))
    })?;
    desktop.screenshot(&dir, "live")?;

    doctor.succeed(Duration::from_secs(40))?;
    let content = Content::read(&file)?;
    assert_eq!(content.codecs(), ("h264", "aac"));
    content.dts_rises()?;
    content.in_sync(3, LIP_SYNC)?;
    ensure!(content.readable() > 0.98, "{} of the clocks are readable", content.readable());

    app.click("end")?;
    phase(&app, "ready", Duration::from_secs(20))?;
    relay.path_until("doctorStream", |p| p["ready"] == false)?;
    relay.stop()
}

/// The WHEP of a server that leaves AAC as it is brings a picture alone: it is played by RTMP.
#[test]
fn a_server_whose_whep_is_silent() -> Result<()> {
    let dir = output_dir("server_a_server_whose_whep_is_silent")?;
    let silent = WhipServer::start(&dir, &["--whep", "silent"])?;
    let config = "rtmpAddress: 127.0.0.1:0\nrtsp: no\nsrt: no\nhls: no\nwebrtc: no\napi: yes\napiAddress: 127.0.0.1:0\n\
        paths: {all_others: }\n";
    let relay = Relay::start(&dir, config)?;
    let rtmp = relay.address("rtmp")?;
    let port = rtmp.rsplit_once(':').context("no port")?.1;
    let desktop = Desktop::start(&dir)?;
    let app = app_with(&dir, &desktop, &silent.address, &format!("[server.ports]\nrtmp = {port}\n"))?;
    app.click("start")?;
    let _patient =
        Patient::push("patient", &dir, &relay.rtmp("patientStream")?, &Phone { stream: 42, ..Phone::default() })?;
    phase(&app, "live", Duration::from_secs(30))?;
    let seen = wait_for("the patient's clock on the screen", Duration::from_secs(20), || {
        desktop.read_clock(&dir, app.area("remote-video")?)
    })?;
    assert_eq!(seen.stream, 42, "nothing of the silent stream was shown");
    silent.says("whep-offer", Duration::from_secs(1))?;
    silent.says("whep-delete", Duration::from_secs(5))?;
    app.click("end")?;
    phase(&app, "ready", Duration::from_secs(20))?;
    relay.stop()
}

#[test]
fn a_server_that_refuses() -> Result<()> {
    let dir = output_dir("server_a_server_that_refuses")?;
    // A port that was free a moment ago: nobody listens there.
    let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
    let desktop = Desktop::start(&dir)?;
    let app = app(&dir, &desktop, &format!("http://{address}"))?;
    app.click("start")?;
    let begun = Instant::now();
    phase(&app, "reconnecting", FIRST_WORD)?;
    says(&app, "refused the connection", FIRST_WORD.saturating_sub(begun.elapsed()))?;
    desktop.screenshot(&dir, "refused")?;
    // The server comes up, and the visit goes on by itself.
    let relay = whip_alone(&dir, address)?;
    phase(&app, "waiting", Duration::from_secs(20))?;
    relay.path_ready("doctorStream")?;
    ensure!(
        app.evaluate("document.body.innerText.includes('refused the connection')")? == false,
        "nothing is wrong now"
    );
    desktop.screenshot(&dir, "waiting")?;
    drop(app);
    relay.stop()
}

#[test]
fn a_server_that_hangs() -> Result<()> {
    let dir = output_dir("server_a_server_that_hangs")?;
    let silent = Stubborn::start(Manner::Silent)?;
    let address = silent.address();
    let desktop = Desktop::start(&dir)?;
    let app = app(&dir, &desktop, &format!("http://{address}"))?;
    app.click("start")?;
    let begun = Instant::now();
    phase(&app, "reconnecting", FIRST_WORD)?;
    says(&app, "No answer from", FIRST_WORD.saturating_sub(begun.elapsed()))?;
    desktop.screenshot(&dir, "silent")?;
    let before = silent.asked("OPTIONS", "whip").len();
    app.press("Retry now")?;
    wait_for("another try at once", Duration::from_secs(1), || {
        Ok((silent.asked("OPTIONS", "whip").len() > before).then_some(()))
    })?;
    phase(&app, "reconnecting", Duration::from_secs(1))?;
    drop(silent);
    let relay = whip_alone(&dir, address)?;
    phase(&app, "waiting", Duration::from_secs(20))?;
    drop(app);
    relay.stop()
}

#[test]
fn a_server_that_wants_other_credentials() -> Result<()> {
    let dir = output_dir("server_a_server_that_wants_other_credentials")?;
    let server = Stubborn::start(Manner::Status(401))?;
    let address = server.address();
    let desktop = Desktop::start(&dir)?;
    let app = app(&dir, &desktop, &format!("http://{address}"))?;
    app.click("start")?;
    let begun = Instant::now();
    phase(&app, "reconnecting", FIRST_WORD)?;
    says(&app, "did not accept the user name or password", FIRST_WORD.saturating_sub(begun.elapsed()))?;
    desktop.screenshot(&dir, "unauthorized")?;
    let asked = wait_for("four tries", Duration::from_secs(15), || {
        let asked = server.asked("POST", "whip");
        Ok((asked.len() >= 4).then_some(asked))
    })?;
    let pauses: Vec<Duration> = asked.windows(2).map(|pair| pair[1] - pair[0]).collect();
    ensure!(pauses[0] < Duration::from_secs(2), "the second try comes soon: {pauses:?}");
    ensure!(pauses.windows(2).all(|pair| pair[0] < pair[1]), "then ever later: {pauses:?}");
    // By itself the next try would come after four to six seconds.
    app.press("Retry now")?;
    wait_for("another try at once", Duration::from_secs(2), || {
        Ok((server.asked("POST", "whip").len() > 4).then_some(()))
    })?;
    says(&app, "did not accept the user name or password", Duration::from_secs(2))?;
    drop(server);
    let relay = whip_alone(&dir, address)?;
    app.press("Retry now")?;
    phase(&app, "waiting", Duration::from_secs(5))?;
    drop(app);
    relay.stop()
}
