//! AMF0, the value format of RTMP commands and FLV script data (Adobe AMF0 specification, December 2007).
//!
//! Belongs here: the values, a bounded reader and a writer, used by `proto` for commands and by `container` for metadata.
//! Not here: which commands exist (`proto::rtmp`), what `onMetaData` means (`container::flv`).

use thiserror::Error;

/// `connect` nests two levels and real metadata three; what nests deeper than this wants to exhaust the stack.
const MAX_DEPTH: usize = 16;
/// Members of all objects and arrays of one message together. Metadata with a keyframe index of an hour stays below.
const MAX_MEMBERS: usize = 4096;

/// An AMF0 value.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// Number (marker 0); AMF0 knows no integers.
    Number(f64),
    /// Boolean (1).
    Boolean(bool),
    /// String (2), long string (12) or XML document (15). Bytes that are not UTF-8 were replaced.
    String(String),
    /// Anonymous object (3), or a typed object (16) without its class name. In the order of the wire; names may repeat.
    Object(Vec<(String, Self)>),
    /// ECMA array (8): an object that announces its size.
    EcmaArray(Vec<(String, Self)>),
    /// Strict array (10).
    StrictArray(Vec<Self>),
    /// Null (5).
    Null,
    /// Undefined (6), unsupported (13), or a reference (7): nobody who sends those expects an answer to them.
    Undefined,
    /// Date (11).
    Date {
        /// Milliseconds since 1970 UTC.
        millis: f64,
        /// Reserved; should be zero.
        zone: i16,
    },
}

/// What AMF0 bytes can get wrong; offsets count from where decoding began.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Error {
    /// The bytes end inside the value that starts, or the field that lies, at this offset.
    #[error("AMF0 ends inside the value at byte {at}")]
    Truncated {
        /// Offset.
        at: usize,
    },
    /// A marker that starts no value: movie clip, record set, AMF3, a stray object end, or no marker at all.
    #[error("AMF0 marker {marker:#04x} at byte {at}")]
    Marker {
        /// Offset of the marker.
        at: usize,
        /// The marker.
        marker: u8,
    },
    /// Nesting beyond 16 levels.
    #[error("AMF0 nests deeper than {MAX_DEPTH} levels at byte {at}")]
    Depth {
        /// Offset of the value that is too deep.
        at: usize,
    },
    /// More than 4096 members in all.
    #[error("more than {MAX_MEMBERS} AMF0 members at byte {at}")]
    TooMany {
        /// Offset where the limit was met.
        at: usize,
    },
}

impl Value {
    /// An anonymous object of `members`.
    pub fn object<'a>(members: impl IntoIterator<Item = (&'a str, Self)>) -> Self {
        Self::Object(members.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
    }

    /// The text, if it is a string.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Self::String(text) => Some(text),
            _ => None,
        }
    }

    /// The number, if it is one.
    pub const fn as_f64(&self) -> Option<f64> {
        match self {
            Self::Number(number) => Some(*number),
            _ => None,
        }
    }

    /// The truth value, if it is one; numbers count as C has it, since some encoders send them so.
    pub fn as_bool(&self) -> Option<bool> {
        match self {
            Self::Boolean(value) => Some(*value),
            Self::Number(number) => Some(*number != 0.0),
            _ => None,
        }
    }

    /// The members, if it is an object or an ECMA array; empty for everything else.
    pub fn members(&self) -> &[(String, Self)] {
        match self {
            Self::Object(members) | Self::EcmaArray(members) => members,
            _ => &[],
        }
    }

    /// The first member of this name.
    pub fn get(&self, name: &str) -> Option<&Self> {
        self.members().iter().find(|(n, _)| n == name).map(|(_, value)| value)
    }
}

impl From<f64> for Value {
    fn from(number: f64) -> Self {
        Self::Number(number)
    }
}

impl From<bool> for Value {
    fn from(value: bool) -> Self {
        Self::Boolean(value)
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::String(text.to_owned())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::String(text)
    }
}

/// Every value in `bytes`, as a command or a data message carries them.
///
/// # Errors
/// [`Error`](enum@Error), its offset counted from the start of `bytes`.
pub fn decode_all(bytes: &[u8]) -> Result<Vec<Value>, Error> {
    let mut reader = Reader { bytes, at: 0, members: 0 };
    let mut values = Vec::new();
    while reader.at < bytes.len() {
        reader.count_member()?;
        values.push(reader.value(0)?);
    }
    Ok(values)
}

/// The first value in `bytes`, which then begins behind it; after an error it is unchanged.
///
/// # Errors
/// [`Error`](enum@Error), its offset counted from the start of `bytes`.
pub fn decode(bytes: &mut &[u8]) -> Result<Value, Error> {
    let mut reader = Reader { bytes, at: 0, members: 0 };
    let value = reader.value(0)?;
    *bytes = bytes.get(reader.at..).unwrap_or(&[]);
    Ok(value)
}

/// Appends `value`. Strings of 64 KiB and more become long strings; names are cut there, since AMF0 has no long names.
pub fn encode(out: &mut Vec<u8>, value: &Value) {
    match value {
        Value::Number(number) => {
            out.push(marker::NUMBER);
            out.extend_from_slice(&number.to_be_bytes());
        }
        Value::Boolean(value) => out.extend_from_slice(&[marker::BOOLEAN, u8::from(*value)]),
        Value::String(text) => encode_string(out, text),
        Value::Object(members) => {
            out.push(marker::OBJECT);
            encode_members(out, members);
        }
        Value::EcmaArray(members) => {
            out.push(marker::ECMA_ARRAY);
            encode_count(out, members.len());
            encode_members(out, members);
        }
        Value::StrictArray(values) => {
            out.push(marker::STRICT_ARRAY);
            encode_count(out, values.len());
            for value in values {
                encode(out, value);
            }
        }
        Value::Null => out.push(marker::NULL),
        Value::Undefined => out.push(marker::UNDEFINED),
        Value::Date { millis, zone } => {
            out.push(marker::DATE);
            out.extend_from_slice(&millis.to_be_bytes());
            out.extend_from_slice(&zone.to_be_bytes());
        }
    }
}

/// All of `values`, one behind the other: the body of a command or data message.
pub fn encode_all<'a>(values: impl IntoIterator<Item = &'a Value>) -> Vec<u8> {
    let mut out = Vec::new();
    for value in values {
        encode(&mut out, value);
    }
    out
}

/// Type markers (§2.1).
mod marker {
    pub(super) const NUMBER: u8 = 0;
    pub(super) const BOOLEAN: u8 = 1;
    pub(super) const STRING: u8 = 2;
    pub(super) const OBJECT: u8 = 3;
    pub(super) const NULL: u8 = 5;
    pub(super) const UNDEFINED: u8 = 6;
    pub(super) const REFERENCE: u8 = 7;
    pub(super) const ECMA_ARRAY: u8 = 8;
    pub(super) const OBJECT_END: u8 = 9;
    pub(super) const STRICT_ARRAY: u8 = 10;
    pub(super) const DATE: u8 = 11;
    pub(super) const LONG_STRING: u8 = 12;
    pub(super) const UNSUPPORTED: u8 = 13;
    pub(super) const XML_DOCUMENT: u8 = 15;
    pub(super) const TYPED_OBJECT: u8 = 16;
}

fn encode_string(out: &mut Vec<u8>, text: &str) {
    match u16::try_from(text.len()) {
        Ok(length) => {
            out.push(marker::STRING);
            out.extend_from_slice(&length.to_be_bytes());
        }
        Err(_) => {
            out.push(marker::LONG_STRING);
            encode_count(out, text.len());
        }
    }
    out.extend_from_slice(text.as_bytes());
}

fn encode_count(out: &mut Vec<u8>, count: usize) {
    out.extend_from_slice(&u32::try_from(count).unwrap_or(u32::MAX).to_be_bytes());
}

fn encode_members(out: &mut Vec<u8>, members: &[(String, Value)]) {
    for (name, value) in members {
        let name = name.get(..name.floor_char_boundary(usize::from(u16::MAX))).unwrap_or(name);
        out.extend_from_slice(&u16::try_from(name.len()).unwrap_or(u16::MAX).to_be_bytes());
        out.extend_from_slice(name.as_bytes());
        encode(out, value);
    }
    out.extend_from_slice(&[0, 0, marker::OBJECT_END]);
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
    members: usize,
}

impl<'a> Reader<'a> {
    fn value(&mut self, depth: usize) -> Result<Value, Error> {
        let at = self.at;
        if depth > MAX_DEPTH {
            return Err(Error::Depth { at });
        }
        let [kind] = self.array()?;
        Ok(match kind {
            marker::NUMBER => Value::Number(f64::from_be_bytes(self.array()?)),
            marker::BOOLEAN => Value::Boolean(self.array::<1>()? != [0]),
            marker::STRING => Value::String(self.short_text()?),
            marker::LONG_STRING | marker::XML_DOCUMENT => {
                let length = self.count()?;
                Value::String(self.text(length)?)
            }
            marker::OBJECT => Value::Object(self.object(depth)?),
            marker::TYPED_OBJECT => {
                let _class = self.short_text()?;
                Value::Object(self.object(depth)?)
            }
            marker::ECMA_ARRAY => {
                // The count is a hint that encoders get wrong (§2.10 calls it approximate); the end marker decides.
                let _hint = self.count()?;
                Value::EcmaArray(self.object(depth)?)
            }
            marker::STRICT_ARRAY => {
                let count = self.count()?;
                let mut values = Vec::new();
                for _ in 0..count {
                    self.count_member()?;
                    values.push(self.value(depth + 1)?);
                }
                Value::StrictArray(values)
            }
            marker::NULL => Value::Null,
            marker::UNDEFINED | marker::UNSUPPORTED => Value::Undefined,
            marker::REFERENCE => {
                let _index: [u8; 2] = self.array()?;
                Value::Undefined
            }
            marker::DATE => {
                Value::Date { millis: f64::from_be_bytes(self.array()?), zone: i16::from_be_bytes(self.array()?) }
            }
            marker => return Err(Error::Marker { at, marker }),
        })
    }

    /// Members up to the end marker, or up to the end of the bytes: Flash-age clients leave the marker out there.
    fn object(&mut self, depth: usize) -> Result<Vec<(String, Value)>, Error> {
        let mut members = Vec::new();
        loop {
            match self.bytes.get(self.at..).unwrap_or(&[]) {
                [] | [0] | [0, 0] => {
                    self.at = self.bytes.len();
                    return Ok(members);
                }
                [0, 0, marker::OBJECT_END, ..] => {
                    self.at += 3;
                    return Ok(members);
                }
                _ => {}
            }
            self.count_member()?;
            members.push((self.short_text()?, self.value(depth + 1)?));
        }
    }

    const fn count_member(&mut self) -> Result<(), Error> {
        self.members += 1;
        if self.members > MAX_MEMBERS { Err(Error::TooMany { at: self.at }) } else { Ok(()) }
    }

    fn short_text(&mut self) -> Result<String, Error> {
        let length = u16::from_be_bytes(self.array()?);
        self.text(usize::from(length))
    }

    fn text(&mut self, length: usize) -> Result<String, Error> {
        let bytes = self.take(length)?;
        Ok(String::from_utf8_lossy(bytes).into_owned())
    }

    fn count(&mut self) -> Result<usize, Error> {
        let at = self.at;
        usize::try_from(u32::from_be_bytes(self.array()?)).map_err(|_| Error::Truncated { at })
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Error> {
        let at = self.at;
        self.take(N)?.try_into().map_err(|_| Error::Truncated { at })
    }

    fn take(&mut self, length: usize) -> Result<&'a [u8], Error> {
        let at = self.at;
        let end = at.checked_add(length).ok_or(Error::Truncated { at })?;
        let bytes = self.bytes.get(at..end).ok_or(Error::Truncated { at })?;
        self.at = end;
        Ok(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn reads_what_clients_send() {
        let check = |bytes: &[u8], want: Result<Vec<Value>, Error>| assert_eq!(decode_all(bytes), want, "{bytes:02x?}");
        let object = |members: &[(&str, Value)]| Value::object(members.iter().cloned());
        check(&[], Ok(vec![]));
        check(b"\x02\0\x04play\0\x3f\xf0\0\0\0\0\0\0\x05", Ok(vec!["play".into(), 1.0.into(), Value::Null]));
        check(b"\x03\0\x03app\x02\0\x04live\0\0\x09", Ok(vec![object(&[("app", "live".into())])]));
        check(b"\x03\0\x01a\x01\x01\0\0\x09\x05", Ok(vec![object(&[("a", true.into())]), Value::Null]));
        // No end marker, a cut end marker.
        check(b"\x03\0\x01a\x01\x02", Ok(vec![object(&[("a", true.into())])]));
        check(b"\x03\0\x01a\x01\x01\0", Ok(vec![object(&[("a", true.into())])]));
        check(b"\x08\0\0\0\x63\0\x01a\x05\0\0\x09", Ok(vec![Value::EcmaArray(vec![("a".into(), Value::Null)])]));
        check(b"\x0a\0\0\0\x02\x05\x06", Ok(vec![Value::StrictArray(vec![Value::Null, Value::Undefined])]));
        check(b"\x0b\0\0\0\0\0\0\0\0\xff\xff", Ok(vec![Value::Date { millis: 0.0, zone: -1 }]));
        check(b"\x0c\0\0\0\x02hi\x0f\0\0\0\x01x\x0d", Ok(vec!["hi".into(), "x".into(), Value::Undefined]));
        check(b"\x10\0\x01T\0\x01a\x05\0\0\x09", Ok(vec![object(&[("a", Value::Null)])]));
        check(b"\x07\0\x01", Ok(vec![Value::Undefined]));
        check(b"\x02\0\x01\xff", Ok(vec!["\u{fffd}".into()]));
    }

    #[test]
    fn says_where_it_broke() {
        let check = |bytes: &[u8], want: Error| assert_eq!(decode_all(bytes), Err(want), "{bytes:02x?}");
        check(&[0, 1, 2], Error::Truncated { at: 1 });
        check(&[5, 2, 0, 9, 1], Error::Truncated { at: 4 });
        check(&[5, 0x11], Error::Marker { at: 1, marker: 0x11 });
        check(&[9], Error::Marker { at: 0, marker: 9 });
        check(&[3, 0, 1, b'a', 9], Error::Marker { at: 4, marker: 9 });
        check(&[10, 0xFF, 0xFF, 0xFF, 0xFF], Error::Truncated { at: 5 });
        check(&[12, 0xFF, 0xFF, 0xFF, 0xFF, 1], Error::Truncated { at: 5 });
    }

    #[test]
    fn bounds_depth_and_members() {
        let nested = |levels: usize| [&[10, 0, 0, 0, 1].repeat(levels)[..], &[5]].concat();
        assert!(decode_all(&nested(MAX_DEPTH)).is_ok());
        assert_eq!(decode_all(&nested(MAX_DEPTH + 1)), Err(Error::Depth { at: 5 * (MAX_DEPTH + 1) }));
        let wide = [&[10, 0, 1, 0, 0][..], &[5; 65_536]].concat();
        assert_eq!(decode_all(&wide), Err(Error::TooMany { at: 5 + MAX_MEMBERS - 1 }));
        assert_eq!(decode_all(&[5; MAX_MEMBERS + 1]), Err(Error::TooMany { at: MAX_MEMBERS }));
    }

    #[test]
    fn decode_moves_past_one_value() {
        let mut rest = &b"\x05\x06\xff"[..];
        assert_eq!(decode(&mut rest), Ok(Value::Null));
        assert_eq!(decode(&mut rest), Ok(Value::Undefined));
        assert_eq!(decode(&mut rest), Err(Error::Marker { at: 0, marker: 0xFF }));
        assert_eq!(rest, [0xFF]);
        assert_eq!(decode(&mut &[][..]), Err(Error::Truncated { at: 0 }));
    }

    #[test]
    fn long_strings_and_names() {
        let long = "ü".repeat(40_000);
        let value = Value::object([("text", long.as_str().into())]);
        assert_eq!(decode_all(&encode_all([&value])), Ok(vec![value]));
        let named = Value::Object(vec![(long.clone(), Value::Null)]);
        let cut = Value::Object(vec![(long[..65_534].to_owned(), Value::Null)]);
        assert_eq!(decode_all(&encode_all([&named])), Ok(vec![cut]));
    }

    #[test]
    fn accessors() {
        let value = Value::EcmaArray(vec![("width".into(), 640.0.into()), ("stereo".into(), true.into())]);
        assert_eq!(value.get("width").and_then(Value::as_f64), Some(640.0));
        assert_eq!(value.get("stereo").and_then(Value::as_bool), Some(true));
        assert_eq!(value.get("height"), None);
        assert_eq!(Value::Null.get("width"), None);
        assert_eq!(Value::from("x").as_str(), Some("x"));
    }

    pub(crate) fn any_value() -> impl Strategy<Value = Value> {
        let number = any::<f64>().prop_filter("NaN is not equal to itself", |n| !n.is_nan());
        let leaf = prop_oneof![
            number.clone().prop_map(Value::Number),
            any::<bool>().prop_map(Value::Boolean),
            "\\PC{0,12}".prop_map(Value::String),
            Just(Value::Null),
            Just(Value::Undefined),
            (number, any::<i16>()).prop_map(|(millis, zone)| Value::Date { millis, zone }),
        ];
        leaf.prop_recursive(6, 100, 8, |inner| {
            let members = prop::collection::vec(("\\PC{0,8}", inner.clone()), 0..8);
            prop_oneof![
                members.clone().prop_map(Value::Object),
                members.prop_map(Value::EcmaArray),
                prop::collection::vec(inner, 0..8).prop_map(Value::StrictArray),
            ]
        })
    }

    proptest! {
        #[test]
        fn round_trips(values in prop::collection::vec(any_value(), 0..6)) {
            prop_assert_eq!(decode_all(&encode_all(&values)), Ok(values));
        }
    }
}
