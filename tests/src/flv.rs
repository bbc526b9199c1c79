//! FLV files taken apart and put together again, tag by tag, for streams that no encoder makes on its own.
//!
//! Belongs here: the framing of tags (Adobe FLV 10.1 §E.3, §E.4.1). Not here: what tags hold.

use anyhow::{Context, Result, ensure};
use std::path::Path;

/// One tag.
#[derive(Debug, Clone)]
pub struct Tag {
    kind: u8,
    /// Milliseconds.
    pub time: u32,
    body: Vec<u8>,
}

impl Tag {
    /// The same, `millis` later.
    #[must_use]
    pub fn later(self, millis: u32) -> Self {
        Self { time: self.time + millis, ..self }
    }

    /// Sound, but not its header?
    pub fn is_sound_frame(&self) -> bool {
        self.kind == 8 && self.body.get(1) != Some(&0)
    }

    /// Metadata?
    pub fn is_script(&self) -> bool {
        self.kind == 18
    }
}

/// The whole tags of `file`; one that was cut off is left out.
///
/// # Errors
/// Where it is no FLV.
pub fn tags(file: &Path) -> Result<Vec<Tag>> {
    let bytes = std::fs::read(file)?;
    ensure!(bytes.starts_with(b"FLV"), "{} is no FLV", file.display());
    let mut rest = bytes.get(13..).context("no tags")?;
    let mut tags = Vec::new();
    while let Some((head, after)) = rest.split_at_checked(11) {
        let length = u32::from_be_bytes([0, head[1], head[2], head[3]]) as usize;
        let Some((body, after)) = after.split_at_checked(length) else { break };
        let time = u32::from_be_bytes([head[7], head[4], head[5], head[6]]);
        tags.push(Tag { kind: head[0], time, body: body.to_vec() });
        rest = after.get(4..).unwrap_or_default();
    }
    Ok(tags)
}

/// Writes `tags` as a file with picture and sound.
///
/// # Errors
/// Where it cannot be written.
pub fn write(file: &Path, tags: &[Tag]) -> Result<()> {
    let mut out = b"FLV\x01\x05\0\0\0\x09\0\0\0\0".to_vec();
    for tag in tags {
        let length = u32::try_from(tag.body.len())?;
        out.push(tag.kind);
        out.extend_from_slice(&length.to_be_bytes()[1..]);
        out.extend_from_slice(&tag.time.to_be_bytes()[1..]);
        out.extend_from_slice(&[(tag.time >> 24) as u8, 0, 0, 0]);
        out.extend_from_slice(&tag.body);
        out.extend_from_slice(&(length + 11).to_be_bytes());
    }
    std::fs::write(file, out).with_context(|| format!("{}", file.display()))
}
