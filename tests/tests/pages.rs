//! The pages that the relay serves, used in Chromium as a person would: one goes live, others watch.

use anyhow::{Context, Result, ensure};
use device::synthetic::ClockReading;
use e2e::content::Content;
use e2e::ffmpeg::pull;
use e2e::page::Page;
use e2e::program::output_dir;
use e2e::relay::{EVERYTHING, Relay};
use e2e::wait::wait_for;
use std::time::Duration;

/// What a page takes to say something.
const SOON: Duration = Duration::from_secs(30);

/// The clock shown now; the camera's card is stream 9.
fn shown(page: &Page) -> Result<ClockReading> {
    wait_for("the camera's clock on the page", SOON, || Ok(page.read_clock()?.filter(|clock| clock.stream == 9)))
}

/// Is the clock on the page, and does it run?
fn runs(page: &Page) -> Result<()> {
    let first = shown(page)?;
    wait_for("the clock to run", SOON, || Ok((shown(page)?.frame != first.frame).then_some(())))
}

fn says(page: &Page, words: &str) -> Result<()> {
    page.until(&format!("document.getElementById('state').textContent.startsWith('{words}')"), SOON)
        .with_context(|| format!("{:?}", page.evaluate("document.getElementById('state').textContent")))
}

#[test]
fn one_goes_live_and_others_watch() -> Result<()> {
    let dir = output_dir("pages_one_goes_live")?;
    let relay = Relay::start(&dir, EVERYTHING)?;
    let webrtc = format!("http://{}", relay.address("webrtc")?);
    let studio = Page::open("studio", &dir, &format!("{webrtc}/class/studio/publish"))?;
    says(&studio, "Ready")?;
    // Whoever is there first is held.
    let viewer = Page::open("viewer", &dir, &format!("{webrtc}/class/studio/"))?;
    says(&viewer, "Waiting")?;

    studio.click_on("#go")?;
    says(&studio, "Live")?;
    let path = relay.path_ready("class/studio")?;
    assert_eq!(path["tracks"], serde_json::json!(["H264", "Opus"]), "{path}");
    studio.screenshot(&dir.join("studio.png"))?;

    says(&viewer, "Live")?;
    runs(&viewer)?;
    viewer.click_on("#sound")?;
    viewer.until("!document.querySelector('video').muted", SOON)?;
    viewer.screenshot(&dir.join("viewer.png"))?;

    let hls = Page::open("hls", &dir, &relay.hls("class/studio/")?)?;
    says(&hls, "Live")?;
    runs(&hls)?;
    hls.screenshot(&dir.join("hls.png"))?;
    drop(hls);

    let file = dir.join("recorder.flv");
    pull("recorder", &dir, &relay.rtmp("class/studio")?, 4.0, &file)?.succeed(Duration::from_secs(30))?;
    let content = Content::read(&file)?;
    assert_eq!(content.codecs(), ("h264", "aac"));
    ensure!(content.readable() > 0.9, "{} of the clocks are readable", content.readable());
    ensure!(!content.bursts.is_empty(), "the microphone is heard");

    // The same button ends it; who watches is told to wait, and sees what comes next.
    studio.click_on("#go")?;
    says(&studio, "Ready")?;
    relay.path_until("class/studio", |path| path["ready"] == false)?;
    studio.click_on("#go")?;
    says(&studio, "Live")?;
    runs(&viewer)?;
    relay.stop()
}

/// Credentials in the page's address are carried to what it asks for. (For a page without, the browser itself asks whoever sits there.)
#[test]
fn what_is_not_there_is_said() -> Result<()> {
    let dir = output_dir("pages_what_is_not_there")?;
    let config =
        EVERYTHING.replace("{all_others: }", "{cam: {publishUser: u, publishPass: p, readUser: u, readPass: p}}");
    let relay = Relay::start(&dir, &config)?;
    let webrtc = format!("http://{}", relay.address("webrtc")?);
    let page = Page::open("viewer", &dir, &format!("{webrtc}/nobody/"))?;
    says(&page, "There is no such stream")?;
    page.open_next(&format!("{webrtc}/cam/publish?user=u&pass=p"))?;
    says(&page, "Ready")?;
    page.click_on("#go")?;
    says(&page, "Live")?;
    relay.path_ready("cam")?;
    relay.stop()
}
