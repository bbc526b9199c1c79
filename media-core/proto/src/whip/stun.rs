//! Whose datagram is it? The user name of a STUN binding request (RFC 8489), read before anything else is known.
//!
//! Not here: checking its integrity (the ICE agent does).

/// Binding request: class and method zero, one bit.
const BINDING_REQUEST: u16 = 0x0001;
const MAGIC: u32 = 0x2112_A442;
const USERNAME: u16 = 0x0006;
/// RFC 8489 §14.3.
const MAX_USERNAME: usize = 509;

/// What a datagram is, by its first byte (RFC 7983 §7).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Datagram<'a> {
    /// A STUN binding request to the agent with this user name fragment (the part before the colon, RFC 8445 §7.2.2).
    Request {
        /// The receiver's fragment.
        ufrag: &'a str,
    },
    /// Other STUN: answers, indications.
    Stun,
    /// DTLS.
    Dtls,
    /// SRTP or SRTCP.
    Media,
    /// Nothing that belongs here.
    Unknown,
}

impl<'a> Datagram<'a> {
    /// Looks at a datagram; never fails, what cannot be read is [`Datagram::Unknown`].
    pub fn peek(bytes: &'a [u8]) -> Self {
        match bytes.first() {
            Some(0..=3) => peek_stun(bytes).unwrap_or(Self::Unknown),
            Some(20..=63) => Self::Dtls,
            Some(128..=191) => Self::Media,
            _ => Self::Unknown,
        }
    }
}

fn peek_stun(bytes: &[u8]) -> Option<Datagram<'_>> {
    let number = |at: usize| Some(u16::from_be_bytes(bytes.get(at..at + 2)?.try_into().ok()?));
    let magic = u32::from_be_bytes(bytes.get(4..8)?.try_into().ok()?);
    if magic != MAGIC || usize::from(number(2)?) + 20 != bytes.len() {
        return None;
    }
    if number(0)? != BINDING_REQUEST {
        return Some(Datagram::Stun);
    }
    let mut at = 20;
    while at < bytes.len() {
        let (kind, length) = (number(at)?, usize::from(number(at + 2)?));
        let value = bytes.get(at + 4..at + 4 + length)?;
        if kind == USERNAME && length <= MAX_USERNAME {
            let name = std::str::from_utf8(value).ok()?;
            let (ufrag, _theirs) = name.split_once(':')?;
            return Some(Datagram::Request { ufrag });
        }
        at += 4 + length.next_multiple_of(4);
    }
    Some(Datagram::Stun)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(attributes: &[u8]) -> Vec<u8> {
        let mut out = vec![0, 1, 0, attributes.len() as u8, 0x21, 0x12, 0xA4, 0x42];
        out.extend_from_slice(&[7; 12]);
        out.extend_from_slice(attributes);
        out
    }

    #[test]
    fn datagrams() {
        let check = |bytes: &[u8], want: Datagram<'_>| assert_eq!(Datagram::peek(bytes), want, "{bytes:02x?}");
        check(&request(b"\x80\x22\0\x01x\0\0\0\0\x06\0\x05abc:d\0\0\0"), Datagram::Request { ufrag: "abc" });
        check(&request(b""), Datagram::Stun);
        check(&request(b"\0\x06\0\x04abcd"), Datagram::Unknown);
        check(&request(b"\0\x06\0\x09abcd"), Datagram::Unknown);
        check(&[1, 1, 0, 0, 0x21, 0x12, 0xA4, 0x42, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], Datagram::Stun);
        check(&[22, 254], Datagram::Dtls);
        check(&[0x80], Datagram::Media);
        check(&[0, 1], Datagram::Unknown);
        check(&[], Datagram::Unknown);
    }
}
