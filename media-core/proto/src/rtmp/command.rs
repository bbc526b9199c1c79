//! The answers both sides know: `_result`, `_error`, `onStatus` (§7.2).
//!
//! Not here: which answer when (`server`, `client`).

use super::message::Command;
use media::amf0::Value;

/// `level` of an information object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Level {
    Status,
    Error,
}

/// An information object.
pub(super) fn info(level: Level, code: &str, description: &str) -> Value {
    let level = match level {
        Level::Status => "status",
        Level::Error => "error",
    };
    Value::object([("level", level.into()), ("code", code.into()), ("description", description.into())])
}

/// A successful answer.
pub(super) fn result(transaction: f64, values: Vec<Value>) -> Command {
    Command::new("_result", transaction, values)
}

/// A refusal of a call.
pub(super) fn error(transaction: f64, code: &str, description: &str) -> Command {
    Command::new("_error", transaction, vec![Value::Null, info(Level::Error, code, description)])
}

/// A notice about a message stream.
pub(super) fn on_status(level: Level, code: &str, description: &str) -> Command {
    Command::new("onStatus", 0.0, vec![Value::Null, info(level, code, description)])
}

/// What an information object says: level, code, description; empty where it says nothing.
pub(super) fn read_info(values: &[Value]) -> (&str, &str, &str) {
    let object = values.iter().find(|v| v.get("code").is_some());
    let field = |name| object.and_then(|o| o.get(name)).and_then(Value::as_str).unwrap_or("");
    (field("level"), field("code"), field("description"))
}
