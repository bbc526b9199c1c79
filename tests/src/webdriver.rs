//! WebDriver: a program that opens a page and presses what a person presses.
//!
//! Belongs here: the protocol (W3C WebDriver), as far as tests need it. Not here: which program opens what (`app`, `page`).

use crate::desktop::Area;
use crate::http::json;
use crate::program::Program;
use crate::wait::wait_for;
use anyhow::{Context, Result, bail};
use serde_json::{Value, json};
use std::net::TcpListener;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

/// A page and the driver that holds it. Dropping it ends both.
#[derive(Debug)]
pub struct WebDriver {
    address: String,
    session: String,
    _driver: Program,
}

impl WebDriver {
    /// Starts `driver`, which is told its port by `--port`, and has it open what `wish` says.
    ///
    /// # Errors
    /// Where the driver or what it opens do not come up.
    pub(crate) fn start(name: &str, dir: &Path, driver: &mut Command, wish: &Value) -> Result<Self> {
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let address = format!("127.0.0.1:{port}");
        let driver = Program::start(name, dir, driver.arg(format!("--port={port}")))?;
        wait_for("the driver", Duration::from_secs(20), || Ok(json("GET", &address, "/status", None).ok()))?;
        let wish = json!({ "capabilities": { "alwaysMatch": wish } });
        let (status, answer) = json("POST", &address, "/session", Some(&wish))?;
        let session = answer["value"]["sessionId"].as_str().with_context(|| format!("{status} {answer}"))?.to_owned();
        Ok(Self { address, session, _driver: driver })
    }

    /// Presses the element with this `data-testid`, once it is there.
    ///
    /// # Errors
    /// Where it does not come, or cannot be pressed.
    pub fn click(&self, testid: &str) -> Result<()> {
        self.click_on(&format!("[data-testid='{testid}']"))
    }

    /// Presses the element of a CSS selector, once it is there.
    ///
    /// # Errors
    /// Where it does not come, or cannot be pressed.
    pub fn click_on(&self, selector: &str) -> Result<()> {
        let element = self.find_by("css selector", selector)?;
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

    pub(crate) fn call(&self, method: &str, what: &str, body: Option<&Value>) -> Result<Value> {
        let path = format!("/session/{}/{what}", self.session);
        let (status, answer) = json(method, &self.address, &path, body)?;
        if status != 200 {
            bail!("{what}: {status} {}", answer["value"]);
        }
        Ok(answer["value"].clone())
    }
}

impl Drop for WebDriver {
    fn drop(&mut self) {
        // Ends what it steers too; a driver that is gone already has taken that along.
        let _ended = json("DELETE", &self.address, &format!("/session/{}", self.session), None);
    }
}
