//! Plain HTTP requests over one connection each, so that what is tested is not tested with its own client.

use anyhow::{Context, Result, bail};
use serde_json::Value;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

/// One GET; the body of a 200.
///
/// # Errors
/// Where there is no answer, or another status.
pub fn get(address: &str, path: &str) -> Result<String> {
    let (status, body) = request("GET", address, path)?;
    if status != 200 {
        bail!("GET {path}: {status} {body}");
    }
    Ok(body)
}

/// One request without a body: status and body.
///
/// # Errors
/// Where there is no answer.
pub fn request(method: &str, address: &str, path: &str) -> Result<(u16, String)> {
    exchange(method, address, path, "")
}

/// One request with JSON both ways.
///
/// # Errors
/// Where there is no answer, or none in JSON.
pub fn json(method: &str, address: &str, path: &str, body: Option<&Value>) -> Result<(u16, Value)> {
    let (status, answer) = exchange(method, address, path, &body.map(Value::to_string).unwrap_or_default())?;
    Ok((status, serde_json::from_str(&answer).with_context(|| format!("{method} {path}: {status} {answer}"))?))
}

fn exchange(method: &str, address: &str, path: &str, body: &str) -> Result<(u16, String)> {
    let mut stream = TcpStream::connect(address).with_context(|| address.to_owned())?;
    stream.set_read_timeout(Some(Duration::from_secs(30)))?;
    let length = body.len();
    write!(
        stream,
        "{method} {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\nContent-Type: application/json\r\n\
         Content-Length: {length}\r\n\r\n{body}"
    )?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    let answer = String::from_utf8(answer)?;
    let (head, body) = answer.split_once("\r\n\r\n").context("no end of headers")?;
    let status = head.split(' ').nth(1).and_then(|s| s.parse().ok()).with_context(|| head.to_owned())?;
    Ok((status, body.to_owned()))
}
