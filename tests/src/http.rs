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
    let (mut answer, mut piece) = (Vec::new(), [0; 16 << 10]);
    // Not everyone closes what it calls closed: chromedriver does not.
    while !is_whole(&answer) {
        match stream.read(&mut piece)? {
            0 => break,
            count => answer.extend(piece.iter().take(count)),
        }
    }
    let answer = String::from_utf8(answer)?;
    let (head, body) = answer.split_once("\r\n\r\n").context("no end of headers")?;
    let status = head.split(' ').nth(1).and_then(|s| s.parse().ok()).with_context(|| head.to_owned())?;
    Ok((status, body.to_owned()))
}

/// Is there as much body as the head announces?
fn is_whole(answer: &[u8]) -> bool {
    let Some(end) = answer.windows(4).position(|four| four == b"\r\n\r\n") else { return false };
    let head = String::from_utf8_lossy(answer.get(..end).unwrap_or_default()).to_ascii_lowercase();
    let mut fields = head.lines().filter_map(|line| line.split_once(':'));
    let length = fields.find(|(name, _)| *name == "content-length").and_then(|(_, value)| value.trim().parse().ok());
    length.is_some_and(|length: usize| answer.len() - end - 4 >= length)
}
