//! What Enhanced RTMP peers tell each other in `connect` (enhanced-rtmp v2, "Enhancing NetConnection connect Command").
//!
//! Belongs here: reading and writing the four properties. Not here: the enhanced tag headers (`container::flv`).

use media::amf0::Value;

/// Entries of one list or map that are kept; there are not twenty FourCCs in all.
const MAX_ENTRIES: usize = 64;

/// What can be done with a FourCC, as a mask.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct FourCcUse(pub u32);

impl FourCcUse {
    /// It can be played.
    pub const DECODE: Self = Self(1);
    /// It can be made.
    pub const ENCODE: Self = Self(2);
    /// It can be passed on.
    pub const FORWARD: Self = Self(4);
    /// All three.
    pub const ALL: Self = Self(7);

    /// Is every use of `other` among these?
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }
}

/// The Enhanced RTMP abilities of a peer. Empty for all who speak plain RTMP.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Caps {
    /// `fourCcList` (v1): FourCCs that can be taken; `*` is any.
    pub fourccs: Vec<String>,
    /// `videoFourCcInfoMap` (v2).
    pub video: Vec<(String, FourCcUse)>,
    /// `audioFourCcInfoMap` (v2).
    pub audio: Vec<(String, FourCcUse)>,
    /// `capsEx` (v2): 1 reconnect, 2 multitrack, 4 ModEx, 8 nanosecond offsets.
    pub caps_ex: u32,
}

impl Caps {
    /// What this implementation carries: H.264, H.265, AV1, VP9, AAC and Opus, nothing of `capsEx`.
    pub fn ours() -> Self {
        let named = |name: &str| (name.to_owned(), FourCcUse::ALL);
        Self {
            fourccs: ["avc1", "hvc1", "av01", "vp09", "mp4a", "Opus"].map(str::to_owned).to_vec(),
            video: ["avc1", "hvc1", "av01", "vp09"].map(named).to_vec(),
            audio: vec![named("mp4a"), named("Opus")],
            caps_ex: 0,
        }
    }

    /// Does the peer speak Enhanced RTMP at all?
    pub const fn is_enhanced(&self) -> bool {
        !self.fourccs.is_empty() || !self.video.is_empty() || !self.audio.is_empty() || self.caps_ex != 0
    }

    /// Can the peer be sent this FourCC in an enhanced tag?
    pub fn takes(&self, fourcc: &str) -> bool {
        let named = |name: &String| name == fourcc || name == "*";
        let takes = |uses: &FourCcUse| uses.contains(FourCcUse::DECODE) || uses.contains(FourCcUse::FORWARD);
        self.fourccs.iter().any(named) || self.video.iter().chain(&self.audio).any(|(n, uses)| named(n) && takes(uses))
    }

    /// Reads the properties out of a command object or an information object.
    pub(super) fn read(object: &Value) -> Self {
        let fourccs = match object.get("fourCcList") {
            Some(Value::StrictArray(values)) => {
                values.iter().filter_map(Value::as_str).take(MAX_ENTRIES).map(str::to_owned).collect()
            }
            // Some encoders write the list as an ECMA array with "0", "1", … for names.
            Some(other) => {
                let values = other.members().iter().filter_map(|(_, v)| v.as_str());
                values.take(MAX_ENTRIES).map(str::to_owned).collect()
            }
            None => Vec::new(),
        };
        let map = |name| {
            let members = object.get(name).map_or(&[][..], Value::members).iter();
            let uses = members.filter_map(|(n, v)| Some((n.clone(), FourCcUse(mask(v.as_f64()?)))));
            uses.take(MAX_ENTRIES).collect()
        };
        let caps_ex = object.get("capsEx").and_then(Value::as_f64).map_or(0, mask);
        Self { fourccs, video: map("videoFourCcInfoMap"), audio: map("audioFourCcInfoMap"), caps_ex }
    }

    /// The properties as members of an object.
    pub(super) fn members(&self) -> Vec<(String, Value)> {
        let map = |entries: &[(String, FourCcUse)]| {
            Value::Object(entries.iter().map(|(n, uses)| (n.clone(), f64::from(uses.0).into())).collect())
        };
        let list = self.fourccs.iter().map(|name| name.as_str().into()).collect();
        let mut members = Vec::new();
        if !self.fourccs.is_empty() {
            members.push(("fourCcList".to_owned(), Value::StrictArray(list)));
        }
        if !self.video.is_empty() {
            members.push(("videoFourCcInfoMap".to_owned(), map(&self.video)));
        }
        if !self.audio.is_empty() {
            members.push(("audioFourCcInfoMap".to_owned(), map(&self.audio)));
        }
        if self.caps_ex != 0 {
            members.push(("capsEx".to_owned(), f64::from(self.caps_ex).into()));
        }
        members
    }
}

/// A bit mask out of a number that may be anything.
fn mask(number: f64) -> u32 {
    // Saturates, and NaN becomes 0: both are what `as` does.
    number as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_back_and_tells_what_is_taken() {
        let ours = Caps { caps_ex: 2, ..Caps::ours() };
        let read = Caps::read(&Value::Object(ours.members()));
        assert_eq!(read, ours);
        assert!(read.is_enhanced() && read.takes("Opus") && read.takes("hvc1") && !read.takes("vp08"));
        assert!(!Caps::read(&Value::Null).is_enhanced());

        let any = Caps { fourccs: vec!["*".into()], ..Caps::default() };
        assert!(any.takes("hvc1"));
        let only_encodes = Caps { audio: vec![("Opus".into(), FourCcUse::ENCODE)], ..Caps::default() };
        assert!(!only_encodes.takes("Opus"));
        let odd = Value::object([("capsEx", f64::NAN.into()), ("fourCcList", "avc1".into())]);
        assert!(!Caps::read(&odd).is_enhanced());
    }
}
