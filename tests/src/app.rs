//! The real window, driven by WebDriver: WebKitWebDriver starts the app and presses what a doctor presses.

use crate::desktop::Desktop;
use crate::relay::binary;
use crate::wait::wait_for;
use crate::webdriver::WebDriver;
use anyhow::Result;
use serde_json::json;
use std::ops::Deref;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

/// A running app: its page, and what only this page has. Dropping it ends the app.
#[derive(Debug)]
pub struct App(WebDriver);

impl Deref for App {
    type Target = WebDriver;

    fn deref(&self) -> &WebDriver {
        &self.0
    }
}

impl App {
    /// Starts the app on `desktop` with `arguments`.
    ///
    /// # Errors
    /// Where the driver or the app do not come up.
    pub fn start(dir: &Path, desktop: &Desktop, arguments: &[&str]) -> Result<Self> {
        Self::start_with(dir, desktop, &[], arguments)
    }

    /// Starts the app on `desktop` with `arguments`, and these variables in its environment.
    ///
    /// # Errors
    /// Where the driver or the app do not come up.
    pub fn start_with(dir: &Path, desktop: &Desktop, environment: &[(&str, &str)], arguments: &[&str]) -> Result<Self> {
        let mut command = Command::new("WebKitWebDriver");
        command.env("TAURI_WEBVIEW_AUTOMATION", "true").envs(environment.iter().copied());
        desktop.show(&mut command);
        let wish = json!({
            "browserName": "wry",
            "webkitgtk:browserOptions": { "binary": binary("VISAVIS_BIN", "visavis"), "args": arguments },
        });
        Ok(Self(WebDriver::start("app", dir, &mut command, &wish)?))
    }

    /// What the patient is told to open, in the window's order: push, play, HLS, FLV.
    ///
    /// # Errors
    /// Where the window does not show them.
    pub fn patient_urls(&self) -> Result<Vec<String>> {
        wait_for("the patient's addresses", Duration::from_secs(20), || {
            let texts = self.evaluate("[...document.querySelectorAll('p.text.selectable')].map(e => e.textContent)")?;
            let texts: Vec<String> =
                texts.as_array().into_iter().flatten().filter_map(|t| t.as_str().map(str::to_owned)).collect();
            Ok((texts.len() >= 4).then_some(texts))
        })
    }
}
