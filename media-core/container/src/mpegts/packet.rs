//! Transport packets (§2.4.3): header, adaptation field, clock reference.
//!
//! Not here: what their payloads are (`pes`, `psi`).

/// Bytes of a packet.
pub(super) const PACKET: usize = 188;
/// The first of them.
pub(super) const SYNC: u8 = 0x47;
/// Packets without meaning, there to fill a constant rate.
pub(super) const NULL_PID: u16 = 0x1FFF;
/// Bytes behind the header.
const BODY: usize = PACKET - 4;
/// An adaptation field with a clock: length, flags, and six bytes of PCR.
const CLOCK_FIELD: usize = 8;

/// What a packet says.
#[derive(Debug, Clone, Copy)]
pub(super) struct Packet<'a> {
    pub(super) pid: u16,
    /// A table or a PES begins in it.
    pub(super) starts: bool,
    pub(super) counter: u8,
    /// The counter may jump here (§2.4.3.5).
    pub(super) discontinuity: bool,
    /// Broken on the way, or scrambled.
    pub(super) unusable: bool,
    /// `None` where it has an adaptation field alone; the counter does not rise then.
    pub(super) payload: Option<&'a [u8]>,
}

impl<'a> Packet<'a> {
    /// Reads a packet; `None` where its adaptation field does not fit.
    pub(super) fn parse(bytes: &'a [u8; PACKET]) -> Option<Self> {
        let [_, b, c, d, body @ ..] = bytes;
        let (mut payload, mut discontinuity) = (&body[..], false);
        if d & 0x20 != 0 {
            let (&length, rest) = payload.split_first()?;
            let (field, behind) = rest.split_at_checked(usize::from(length))?;
            discontinuity = field.first().is_some_and(|flags| flags & 0x80 != 0);
            payload = behind;
        }
        Some(Self {
            pid: u16::from(b & 0x1F) << 8 | u16::from(*c),
            starts: b & 0x40 != 0,
            counter: d & 0x0F,
            discontinuity,
            unusable: b & 0x80 != 0 || d & 0xC0 != 0,
            payload: (d & 0x10 != 0).then_some(payload),
        })
    }
}

/// What goes into an adaptation field.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Adaptation {
    /// 33 bits at 90 kHz.
    pub(super) clock: Option<u64>,
    /// Decoding can start here.
    pub(super) random_access: bool,
}

/// Writes `payload` as packets of `pid`, its first with `first`. The last is filled up.
pub(super) fn write(out: &mut Vec<u8>, pid: u16, counter: &mut u8, first: Adaptation, payload: &[u8]) {
    let (mut rest, mut starts, mut adaptation) = (payload, true, first);
    while !rest.is_empty() {
        let wanted = match (adaptation.clock, adaptation.random_access) {
            (Some(_), _) => CLOCK_FIELD,
            (None, true) => 2,
            (None, false) => 0,
        };
        // What does not fill the packet makes its adaptation field longer.
        let field = wanted.max(BODY.saturating_sub(rest.len()));
        let (now, later) = rest.split_at(rest.len().min(BODY - field));
        header(out, pid, starts, if field > 0 { 0x30 } else { 0x10 } | *counter);
        adapt(out, field, adaptation);
        out.extend_from_slice(now);
        *counter = (*counter + 1) & 0x0F;
        (rest, starts, adaptation) = (later, false, Adaptation::default());
    }
}

/// A packet that holds nothing but the clock.
pub(super) fn write_clock(out: &mut Vec<u8>, pid: u16, counter: u8, clock: u64) {
    // Without a payload the counter stays that of the packet before.
    header(out, pid, false, 0x20 | (counter.wrapping_sub(1) & 0x0F));
    adapt(out, BODY, Adaptation { clock: Some(clock), random_access: false });
}

fn header(out: &mut Vec<u8>, pid: u16, starts: bool, last: u8) {
    let [high, low] = pid.to_be_bytes();
    out.extend_from_slice(&[SYNC, u8::from(starts) << 6 | high & 0x1F, low, last]);
}

/// Writes an adaptation field of `size` bytes, its length byte included.
fn adapt(out: &mut Vec<u8>, size: usize, what: Adaptation) {
    let end = out.len() + size;
    if size == 0 {
        return;
    }
    out.push(u8::try_from(size - 1).unwrap_or(0));
    if size > 1 {
        out.push(u8::from(what.random_access) << 6 | u8::from(what.clock.is_some()) << 4);
        if let Some(clock) = what.clock {
            // 33 bits, six reserved, nine of extension that stay zero.
            let [.., a, b, c, d, e] = (clock << 7 | 0x7E).to_be_bytes();
            out.extend_from_slice(&[a, b, c, d, e, 0]);
        }
    }
    out.resize(end, 0xFF);
}
