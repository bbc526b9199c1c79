//! Why a device cannot be used, in kinds that lead to different words and next steps.

use thiserror::Error;

/// What is wrong with a device. The text is the system's own, for the log; the kind is what a person is told about.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum DeviceError {
    /// There is no such device, or none at all.
    #[error("no such device: {0}")]
    Missing(String),
    /// Another program has it.
    #[error("the device is in use by another program: {0}")]
    Busy(String),
    /// The system does not let this program use it.
    #[error("the system refuses access to the device: {0}")]
    Denied(String),
    /// It was there and went away.
    #[error("the device was lost: {0}")]
    Lost(String),
    /// It is there, and neither opens nor delivers.
    #[error("the device does not answer: {0}")]
    Hung(String),
    /// It gives nothing this program understands.
    #[error("no usable format: {0}")]
    Format(String),
    /// Everything else.
    #[error("device failure: {0}")]
    Other(String),
}

impl DeviceError {
    /// The kind that an operating system's message speaks of; camera libraries hand on nothing else.
    pub(crate) fn from_message(message: impl Into<String>) -> Self {
        let message = message.into();
        let lower = message.to_lowercase();
        let says = |words: &[&str]| words.iter().any(|word| lower.contains(word));
        if says(&["permission", "denied", "not authorized", "access is denied", "eacces", "eperm"]) {
            Self::Denied(message)
        } else if says(&["busy", "in use", "ebusy", "being used"]) {
            Self::Busy(message)
        } else if says(&["no such device", "no such file", "not found", "enoent", "enodev", "cannot find"]) {
            Self::Missing(message)
        } else {
            Self::Other(message)
        }
    }
}

impl From<&cpal::Error> for DeviceError {
    fn from(error: &cpal::Error) -> Self {
        use cpal::ErrorKind as Kind;
        let text = error.to_string();
        match error.kind() {
            Kind::DeviceBusy => Self::Busy(text),
            Kind::PermissionDenied => Self::Denied(text),
            Kind::DeviceNotAvailable | Kind::HostUnavailable => Self::Missing(text),
            Kind::StreamInvalidated | Kind::DeviceChanged => Self::Lost(text),
            Kind::UnsupportedConfig | Kind::InvalidInput | Kind::UnsupportedOperation => Self::Format(text),
            _ => Self::from_message(text),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_of_messages() {
        let check = |message: &str, want: fn(String) -> DeviceError| {
            assert_eq!(DeviceError::from_message(message), want(message.into()));
        };
        check("Permission denied (os error 13)", DeviceError::Denied);
        check("Device or resource busy (os error 16)", DeviceError::Busy);
        check("No such file or directory (os error 2)", DeviceError::Missing);
        check("something else", DeviceError::Other);
    }
}
