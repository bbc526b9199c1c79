//! The real window, driven by WebDriver: WebKitWebDriver starts the app and presses what a doctor presses.

use crate::desktop::{Area, Desktop};
use crate::http::json;
use crate::program::Program;
use crate::relay::binary;
use crate::wait::wait_for;
use anyhow::{Context, Result, bail};
use serde_json::{Value, json};
use std::net::TcpListener;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

/// A running app and the driver that holds it. Dropping it ends both.
#[derive(Debug)]
pub struct App {
    address: String,
    session: String,
    _driver: Program,
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
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let address = format!("127.0.0.1:{port}");
        let mut command = Command::new("WebKitWebDriver");
        command.arg(format!("--port={port}")).env("TAURI_WEBVIEW_AUTOMATION", "true");
        command.envs(environment.iter().copied());
        desktop.show(&mut command);
        let driver = Program::start("app", dir, &mut command)?;
        wait_for("the driver", Duration::from_secs(20), || Ok(json("GET", &address, "/status", None).ok()))?;
        let binary = binary("VISAVIS_BIN", "visavis");
        let wish = json!({ "capabilities": { "alwaysMatch": {
            "browserName": "wry",
            "webkitgtk:browserOptions": { "binary": binary, "args": arguments },
        } } });
        let (status, answer) = json("POST", &address, "/session", Some(&wish))?;
        let session = answer["value"]["sessionId"].as_str().with_context(|| format!("{status} {answer}"))?.to_owned();
        Ok(Self { address, session, _driver: driver })
    }

    /// Presses the element with this `data-testid`, once it is there.
    ///
    /// # Errors
    /// Where it does not come, or cannot be pressed.
    pub fn click(&self, testid: &str) -> Result<()> {
        let element = self.find(testid)?;
        self.call("POST", &format!("element/{element}/click"), Some(&json!({}))).map(drop)
    }

    /// Presses the button with these words, once it is there.
    ///
    /// # Errors
    /// Where it does not come, or cannot be pressed.
    pub fn press(&self, words: &str) -> Result<()> {
        let element = self.find_by("xpath", &format!("//button[normalize-space()='{words}']"))?;
        self.call("POST", &format!("element/{element}/click"), Some(&json!({}))).map(drop)
    }

    /// Types `text` into the field with this `data-testid`, once it is there, and Enter.
    ///
    /// # Errors
    /// Where it does not come, or takes no text.
    pub fn enter(&self, testid: &str, text: &str) -> Result<()> {
        let element = self.find(testid)?;
        // WebDriver's Enter (WebDriver §17.4.2).
        let keys = json!({ "text": format!("{text}\u{E007}") });
        self.call("POST", &format!("element/{element}/value"), Some(&keys)).map(drop)
    }

    /// Where the element with this `data-testid` is.
    ///
    /// # Errors
    /// Where it does not come.
    pub fn area(&self, testid: &str) -> Result<Area> {
        let element = self.find(testid)?;
        let rect = self.call("GET", &format!("element/{element}/rect"), None)?;
        let side = |name: &str| rect[name].as_f64().map(|n| n.max(0.0).round() as usize).context("no rectangle");
        Ok(Area { x: side("x")?, y: side("y")?, width: side("width")?, height: side("height")? })
    }

    /// The value of a JavaScript expression.
    ///
    /// # Errors
    /// Where it throws.
    pub fn evaluate(&self, expression: &str) -> Result<Value> {
        self.call("POST", "execute/sync", Some(&json!({ "script": format!("return {expression}"), "args": [] })))
    }

    /// Waits until a JavaScript expression is true.
    ///
    /// # Errors
    /// Where it is not in time.
    pub fn until(&self, expression: &str, limit: Duration) -> Result<()> {
        wait_for(expression, limit, || Ok((self.evaluate(expression)? == true).then_some(())))
    }

    /// Waits until what the page has now is on the screen.
    ///
    /// # Errors
    /// Where the page does not paint.
    pub fn painted(&self) -> Result<()> {
        // What is drawn in one refresh is on screen with the next. The driver's own asynchronous scripts never return here.
        self.evaluate("window.refreshes = 0")?;
        let count = "window.refreshes += 1";
        self.evaluate(&format!(
            "requestAnimationFrame(() => {{ {count}; requestAnimationFrame(() => {{ {count} }}) }})"
        ))?;
        self.until("window.refreshes === 2", Duration::from_secs(10))
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

    fn find(&self, testid: &str) -> Result<String> {
        self.find_by("css selector", &format!("[data-testid='{testid}']"))
    }

    fn find_by(&self, using: &str, value: &str) -> Result<String> {
        let wish = json!({ "using": using, "value": value });
        wait_for(&format!("the element {value}"), Duration::from_secs(20), || {
            let path = format!("/session/{}/element", self.session);
            let (status, answer) = json("POST", &self.address, &path, Some(&wish))?;
            let element = answer["value"].as_object().and_then(|o| o.values().next()).and_then(Value::as_str);
            Ok(element.filter(|_| status == 200).map(str::to_owned))
        })
    }

    fn call(&self, method: &str, what: &str, body: Option<&Value>) -> Result<Value> {
        let path = format!("/session/{}/{what}", self.session);
        let (status, answer) = json(method, &self.address, &path, body)?;
        if status != 200 {
            bail!("{what}: {status} {}", answer["value"]);
        }
        Ok(answer["value"].clone())
    }
}

impl Drop for App {
    fn drop(&mut self) {
        // Ends the app too; a driver that is gone already has taken it along.
        let _ended = json("DELETE", &self.address, &format!("/session/{}", self.session), None);
    }
}
