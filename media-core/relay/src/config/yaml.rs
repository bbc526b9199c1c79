//! YAML with line numbers: sections whose keys are taken one by one, so that what is left over is unknown.
//!
//! Not here: which keys there are (`super`).

use super::{ConfigError, Done, Note};
use saphyr::{LoadableYamlNode, MarkedYaml, Scalar, YamlData};
use std::str::FromStr;

/// A file's size at most; MediaMTX's reference file has 40 kB.
const MAX_BYTES: usize = 1 << 20;

/// One mapping of the file.
pub(super) struct Section<'a> {
    entries: Vec<Entry<'a>>,
    /// Every key that was asked for: the known ones.
    known: Vec<&'static str>,
    prefix: String,
}

struct Entry<'a> {
    key: String,
    line: usize,
    value: &'a MarkedYaml<'a>,
    taken: bool,
}

/// One value, with where it stands.
#[derive(Clone, Copy)]
pub(super) struct Value<'a> {
    pub(super) node: &'a MarkedYaml<'a>,
    pub(super) line: usize,
}

/// Parses `text` and hands its top mapping to `read`.
pub(super) fn read<T>(text: &str, read: impl FnOnce(Section<'_>) -> Result<T, ConfigError>) -> Result<T, ConfigError> {
    if text.len() > MAX_BYTES {
        return Err(ConfigError::new(0, format!("the file is larger than {MAX_BYTES} bytes")));
    }
    let documents = MarkedYaml::load_from_str(text)
        .map_err(|e| ConfigError::new(e.marker().line(), format!("this is not YAML: {}", e.info())))?;
    match documents.first() {
        Some(top) => read(Section::new(top, 1, String::new())?),
        None => read(Section { entries: Vec::new(), known: Vec::new(), prefix: String::new() }),
    }
}

impl<'a> Section<'a> {
    fn new(node: &'a MarkedYaml<'a>, line: usize, prefix: String) -> Result<Self, ConfigError> {
        let empty = |entries| Self { entries, known: Vec::new(), prefix };
        let mapping = match &node.data {
            YamlData::Mapping(mapping) => mapping,
            YamlData::Value(Scalar::Null) => return Ok(empty(Vec::new())),
            _ => return Err(ConfigError::new(line, "keys and values are expected here".into())),
        };
        let mut entries = Vec::new();
        for (key, value) in mapping {
            let line = key.span.start.line();
            let key = scalar_text(key).ok_or_else(|| ConfigError::new(line, "a key is a word".into()))?;
            entries.push(Entry { key, line, value, taken: false });
        }
        Ok(empty(entries))
    }

    /// The value of `key`, if the file has one that is not empty.
    pub(super) fn take(&mut self, key: &'static str) -> Option<Value<'a>> {
        self.known.push(key);
        let entry = self.entries.iter_mut().find(|e| e.key == key)?;
        entry.taken = true;
        let empty = matches!(entry.value.data, YamlData::Value(Scalar::Null));
        (!empty).then_some(Value { node: entry.value, line: entry.line })
    }

    /// As [`Self::take`], noting that the key is done.
    pub(super) fn done(&mut self, key: &'static str, notes: &mut Vec<Note>) -> Option<Value<'a>> {
        let value = self.take(key);
        if let Some(value) = value {
            notes.push(Note { line: value.line, key: format!("{}{key}", self.prefix), done: Done::Yes });
        }
        value
    }

    /// Accepts `key` and says why it changes nothing.
    pub(super) fn ignore(&mut self, key: &'static str, why: &'static str, notes: &mut Vec<Note>) {
        if let Some(value) = self.take(key) {
            notes.push(Note { line: value.line, key: format!("{}{key}", self.prefix), done: Done::Ignored(why) });
        }
    }

    /// All entries, for sections whose keys are names.
    pub(super) fn into_entries(self) -> impl Iterator<Item = (String, Value<'a>)> {
        self.entries.into_iter().map(|e| (e.key, Value { node: e.value, line: e.line }))
    }

    /// Nothing may be left over.
    pub(super) fn finish(self) -> Result<(), ConfigError> {
        let Some(unknown) = self.entries.iter().find(|e| !e.taken) else {
            return Ok(());
        };
        let near = self
            .known
            .iter()
            .max_by(|a, b| strsim::jaro_winkler(a, &unknown.key).total_cmp(&strsim::jaro_winkler(b, &unknown.key)));
        let hint = near.map_or_else(String::new, |near| format!("; the nearest known one is '{}{near}'", self.prefix));
        Err(ConfigError::new(unknown.line, format!("'{}{}' is not a known key{hint}", self.prefix, unknown.key)))
    }
}

impl<'a> Value<'a> {
    pub(super) fn section(self, prefix: String) -> Result<Section<'a>, ConfigError> {
        Section::new(self.node, self.line, prefix)
    }

    pub(super) fn is_empty(self) -> bool {
        matches!(self.node.data, YamlData::Value(Scalar::Null))
    }

    pub(super) fn text(self) -> Result<String, ConfigError> {
        scalar_text(self.node).ok_or_else(|| ConfigError::new(self.line, "one word or number is expected here".into()))
    }

    pub(super) fn list(self) -> Result<Vec<String>, ConfigError> {
        match &self.node.data {
            YamlData::Sequence(items) => {
                items.iter().map(|node| Value { node, line: node.span.start.line() }.text()).collect()
            }
            _ => Ok(vec![self.text()?]),
        }
    }

    pub(super) fn parse<T: FromStr<Err: std::fmt::Display>>(self) -> Result<T, ConfigError> {
        self.text()?.parse().map_err(|e: T::Err| ConfigError::new(self.line, e.to_string()))
    }

    /// YAML 1.1's words for yes and no are MediaMTX's too.
    pub(super) fn flag(self) -> Result<bool, ConfigError> {
        match self.text()?.as_str() {
            "yes" | "true" | "on" => Ok(true),
            "no" | "false" | "off" => Ok(false),
            other => Err(ConfigError::new(self.line, format!("'{other}' is neither yes nor no"))),
        }
    }
}

fn scalar_text(node: &MarkedYaml<'_>) -> Option<String> {
    match &node.data {
        YamlData::Value(Scalar::String(s)) => Some(s.to_string()),
        YamlData::Value(Scalar::Integer(n)) => Some(n.to_string()),
        YamlData::Value(Scalar::FloatingPoint(n)) => Some(n.to_string()),
        YamlData::Value(Scalar::Boolean(b)) => Some(b.to_string()),
        _ => None,
    }
}
