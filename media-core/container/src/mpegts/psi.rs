//! Program tables (§2.4.4): which program there is, of which streams.
//!
//! Not here: what stream types mean to us (`elementary`).

/// A section at most: its length has ten usable bits, behind three bytes of header (§2.4.4.5).
const MAX_SECTION: usize = 3 + 1021;
const PAT: u8 = 0x00;
const PMT: u8 = 0x02;
/// The one program we write.
const PROGRAM: u16 = 1;

/// A stream of a program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) kind: u8,
    pub(super) pid: u16,
    pub(super) descriptors: Vec<u8>,
}

impl Entry {
    /// The descriptors as (tag, content).
    pub(super) fn descriptors(&self) -> impl Iterator<Item = (u8, &[u8])> {
        let mut rest = &self.descriptors[..];
        std::iter::from_fn(move || {
            let (&[tag, length], behind) = rest.split_first_chunk::<2>()?;
            let (content, next) = behind.split_at_checked(usize::from(length))?;
            rest = next;
            Some((tag, content))
        })
    }
}

/// The program map.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ProgramMap {
    pub(super) version: u8,
    pub(super) clock_pid: u16,
    pub(super) entries: Vec<Entry>,
}

/// Puts sections together that are spread over packets.
#[derive(Debug, Default)]
pub(super) struct Sections {
    buffer: Vec<u8>,
    inside: bool,
}

impl Sections {
    /// Takes a packet's payload, and hands whole sections whose checksum is right to `found`.
    pub(super) fn push(&mut self, starts: bool, payload: &[u8], mut found: impl FnMut(&[u8])) {
        let mut rest = payload;
        if starts {
            // The pointer says where the first new section begins; what stands before belongs to the old one.
            let Some((&pointer, behind)) = payload.split_first() else { return };
            let Some((before, behind)) = behind.split_at_checked(usize::from(pointer)) else { return self.reset() };
            if self.inside {
                self.take(before, &mut found);
            }
            self.reset();
            self.inside = true;
            rest = behind;
        }
        if self.inside {
            self.take(rest, &mut found);
        }
    }

    /// Something is missing.
    pub(super) fn reset(&mut self) {
        self.buffer.clear();
        self.inside = false;
    }

    fn take(&mut self, bytes: &[u8], found: &mut impl FnMut(&[u8])) {
        self.buffer.extend_from_slice(bytes);
        loop {
            match self.buffer.first() {
                // Stuffing to the end of the packet.
                None | Some(0xFF) => return self.buffer.clear(),
                Some(_) => {}
            }
            let Some(&[_, high, low]) = self.buffer.first_chunk::<3>() else { return };
            let total = 3 + (usize::from(high & 0x0F) << 8 | usize::from(low));
            if total > MAX_SECTION {
                return self.reset();
            }
            let Some(section) = self.buffer.get(..total) else { return };
            if crc(section) == 0 {
                found(section);
            }
            self.buffer.drain(..total);
        }
    }
}

/// The body of a section that holds now, between its header and its checksum, and its version.
fn body(section: &[u8], table: u8) -> Option<(u8, &[u8])> {
    let (&[id, _, _, _, _, version, _, _], rest) = section.split_first_chunk::<8>()?;
    let body = rest.get(..rest.len().checked_sub(4)?)?;
    (id == table && version & 1 == 1).then_some((version >> 1 & 0x1F, body))
}

/// Where the map of the first program is.
pub(super) fn parse_pat(section: &[u8]) -> Option<u16> {
    let (_, body) = body(section, PAT)?;
    // Program 0 is the network's.
    body.as_chunks::<4>().0.iter().find(|e| e[0] != 0 || e[1] != 0).map(|e| pid(e[2], e[3]))
}

pub(super) fn parse_pmt(section: &[u8]) -> Option<ProgramMap> {
    let (version, body) = body(section, PMT)?;
    let (&[a, b, high, low], rest) = body.split_first_chunk::<4>()?;
    let mut rest = rest.get(length(high, low)..)?;
    let mut entries = Vec::new();
    while let Some((&[kind, c, d, high, low], behind)) = rest.split_first_chunk::<5>() {
        let (descriptors, next) = behind.split_at_checked(length(high, low))?;
        entries.push(Entry { kind, pid: pid(c, d), descriptors: descriptors.to_vec() });
        rest = next;
    }
    Some(ProgramMap { version, clock_pid: pid(a, b), entries })
}

fn pid(high: u8, low: u8) -> u16 {
    u16::from(high & 0x1F) << 8 | u16::from(low)
}

fn length(high: u8, low: u8) -> usize {
    usize::from(high & 0x0F) << 8 | usize::from(low)
}

/// The association table, with the pointer before it.
pub(super) fn write_pat(map_pid: u16) -> Vec<u8> {
    let mut body = PROGRAM.to_be_bytes().to_vec();
    put_pid(&mut body, map_pid);
    section(PAT, 1, 0, &body)
}

/// The map, with the pointer before it.
pub(super) fn write_pmt(map: &ProgramMap) -> Vec<u8> {
    let mut body = Vec::new();
    put_pid(&mut body, map.clock_pid);
    body.extend_from_slice(&[0xF0, 0]);
    for entry in &map.entries {
        body.push(entry.kind);
        put_pid(&mut body, entry.pid);
        body.extend_from_slice(&[0xF0, u8::try_from(entry.descriptors.len()).unwrap_or(0)]);
        body.extend_from_slice(&entry.descriptors);
    }
    section(PMT, PROGRAM, map.version, &body)
}

fn put_pid(out: &mut Vec<u8>, pid: u16) {
    let [high, low] = pid.to_be_bytes();
    out.extend_from_slice(&[0xE0 | high, low]);
}

fn section(table: u8, id: u16, version: u8, body: &[u8]) -> Vec<u8> {
    let [high, low] = u16::try_from(body.len() + 9).unwrap_or(0).to_be_bytes();
    let [id_high, id_low] = id.to_be_bytes();
    let mut out = vec![0, table, 0xB0 | high, low, id_high, id_low, 0xC1 | version << 1, 0, 0];
    out.extend_from_slice(body);
    let sum = crc(&out[1..]);
    out.extend_from_slice(&sum.to_be_bytes());
    out
}

/// CRC-32 as annex A has it: over a section with its own checksum it is zero.
fn crc(bytes: &[u8]) -> u32 {
    bytes.iter().fold(u32::MAX, |sum, &byte| {
        (0..8).fold(sum ^ u32::from(byte) << 24, |sum, _| sum << 1 ^ if sum >> 31 == 1 { 0x04C1_1DB7 } else { 0 })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_read_back_whatever_the_packets() {
        let entry = |kind, pid, descriptors: &[u8]| Entry { kind, pid, descriptors: descriptors.to_vec() };
        let map = ProgramMap {
            version: 31,
            clock_pid: 256,
            entries: vec![entry(0x1B, 256, &[]), entry(6, 257, b"\x05\x04Opus\x7f\x02\x80\x02")],
        };
        let written = write_pmt(&map);
        for size in [1, 7, 184] {
            let mut sections = Sections::default();
            let mut read = Vec::new();
            // Two in a row, so that one ends where the other begins.
            let doubled = [&written[..], &written[1..], &[0xFF; 9]].concat();
            for (index, piece) in doubled.chunks(size).enumerate() {
                sections.push(index == 0, piece, |section| read.extend(parse_pmt(section)));
            }
            assert_eq!(read, [map.clone(), map.clone()], "{size} bytes a packet");
        }
        let mut found = None;
        Sections::default().push(true, &write_pat(4096), |section| found = parse_pat(section));
        assert_eq!(found, Some(4096));
        let opus: Vec<_> = map.entries[1].descriptors().collect();
        assert_eq!(opus, [(5, &b"Opus"[..]), (0x7F, &[0x80, 2])]);
    }

    #[test]
    fn a_broken_table_is_none() {
        let written = write_pat(4096);
        for at in 1..written.len() {
            let mut broken = written.clone();
            broken[at] ^= 1;
            Sections::default().push(true, &broken, |_| panic!("byte {at}"));
        }
    }
}
