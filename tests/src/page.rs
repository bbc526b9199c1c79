//! A page of ours in Chromium, where it is used as a person would.

use crate::browser::arguments;
use crate::webdriver::WebDriver;
use anyhow::{Context, Result};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use device::synthetic::{ClockReading, read_clock_luma};
use serde_json::json;
use std::fs;
use std::ops::Deref;
use std::path::Path;
use std::process::Command;

/// An open page. Dropping it ends the browser.
#[derive(Debug)]
pub struct Page(WebDriver);

impl Deref for Page {
    type Target = WebDriver;

    fn deref(&self) -> &WebDriver {
        &self.0
    }
}

impl Page {
    /// Opens `url`; what the browser needs is kept in a folder `name` of `dir`.
    ///
    /// # Errors
    /// Where the browser does not come up.
    pub fn open(name: &str, dir: &Path, url: &str) -> Result<Self> {
        let folder = dir.join(name);
        fs::create_dir_all(&folder)?;
        let folder = folder.canonicalize()?;
        let wish = json!({ "goog:chromeOptions": { "args": arguments(&folder)? } });
        let page = Self(WebDriver::start(name, dir, &mut Command::new("chromedriver"), &wish)?);
        page.open_next(url)?;
        Ok(page)
    }

    /// Opens another one in its place.
    ///
    /// # Errors
    /// Where it cannot be had.
    pub fn open_next(&self, url: &str) -> Result<()> {
        self.call("POST", "url", Some(&json!({ "url": url }))).map(drop)
    }

    /// Saves what it looks like as a PNG.
    ///
    /// # Errors
    /// Where it cannot be had or written.
    pub fn screenshot(&self, file: &Path) -> Result<()> {
        let answer = self.call("GET", "screenshot", None)?;
        fs::write(file, STANDARD.decode(answer.as_str().context("no picture")?)?)?;
        Ok(())
    }

    /// The clock card in its first video, if there is one.
    ///
    /// # Errors
    /// Where there is no video.
    pub fn read_clock(&self) -> Result<Option<ClockReading>> {
        let (width, height) = (320, 180);
        let script = format!(
            "(() => {{ const c = document.createElement('canvas').getContext('2d'); c.canvas.width = {width}; c.canvas.height = {height}; \
             c.drawImage(document.querySelector('video'), 0, 0, {width}, {height}); \
             return Array.from(c.getImageData(0, 0, {width}, {height}).data).filter((_, n) => n % 4 === 1); }})()"
        );
        let green = self.evaluate(&script)?;
        let green = green.as_array().context("no pixels")?;
        let luma: Vec<u8> = green.iter().map(|v| v.as_u64().and_then(|v| v.try_into().ok()).unwrap_or(0)).collect();
        Ok(read_clock_luma(&luma, width, height, width))
    }
}
