//! One HTTP/1.1 connection that stays open, as players keep it.
//!
//! Not here: requests of which each has its own connection (`e2e::http`).

use anyhow::{Context, Result, bail, ensure};
use bytes::Bytes;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

/// Blocking reloads may take as long as a part; this is far beyond.
const PATIENCE: Duration = Duration::from_secs(20);
/// No answer here is larger.
const MOST: usize = 64 << 20;

/// A connection to one server.
#[derive(Debug)]
pub(crate) struct Connection {
    host: String,
    stream: BufReader<TcpStream>,
}

impl Connection {
    /// # Errors
    /// Where nobody listens at `host` (`HOST:PORT`).
    pub(crate) fn open(host: &str) -> Result<Self> {
        let stream = TcpStream::connect(host).with_context(|| host.to_owned())?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        Ok(Self { host: host.to_owned(), stream: BufReader::new(stream) })
    }

    /// The body of a 200.
    ///
    /// # Errors
    /// Any other answer.
    pub(crate) fn get(&mut self, path: &str) -> Result<Bytes> {
        let request = format!("GET {path} HTTP/1.1\r\nHost: {}\r\n\r\n", self.host);
        self.stream.get_mut().write_all(request.as_bytes())?;
        let status = self.line()?;
        let (mut length, mut chunked) = (0, false);
        loop {
            let line = self.line()?.to_ascii_lowercase();
            if line.is_empty() {
                break;
            }
            if let Some(value) = line.strip_prefix("content-length:") {
                length = value.trim().parse()?;
            }
            chunked |= line.starts_with("transfer-encoding:") && line.contains("chunked");
        }
        let mut body = Vec::new();
        if chunked {
            loop {
                let size = usize::from_str_radix(self.line()?.trim(), 16)?;
                self.bytes(size, &mut body)?;
                self.line()?;
                if size == 0 {
                    break;
                }
            }
        } else {
            self.bytes(length, &mut body)?;
        }
        if !status.contains(" 200 ") {
            bail!("GET {path}: {status} {}", String::from_utf8_lossy(&body));
        }
        Ok(body.into())
    }

    fn line(&mut self) -> Result<String> {
        let mut line = String::new();
        self.stream.read_line(&mut line)?;
        ensure!(line.ends_with('\n'), "the server hung up");
        Ok(line.trim_end().to_owned())
    }

    fn bytes(&mut self, count: usize, into: &mut Vec<u8>) -> Result<()> {
        ensure!(into.len() + count <= MOST, "an answer of more than {MOST} bytes");
        let begin = into.len();
        into.resize(begin + count, 0);
        Ok(self.stream.read_exact(&mut into[begin..])?)
    }
}
