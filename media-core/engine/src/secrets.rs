//! Passwords of servers: in the system's keychain, or in memory for the run where there is none.
//!
//! Belongs here: keeping and finding them. Not here: settings (`settings`); a secret is never written to a file of ours.

use parking_lot::Mutex;
use std::collections::BTreeMap;

/// The keychain's name for this program.
const SERVICE: &str = "visavis";

/// Where a secret was kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kept {
    /// In the system's keychain: it is there next time.
    Keychain,
    /// In memory: it must be typed again after a restart.
    ThisRun,
}

/// Passwords by server and user.
#[derive(Default)]
pub(crate) struct Secrets {
    memory: Mutex<BTreeMap<String, String>>,
    without_keychain: bool,
}

impl Secrets {
    /// Secrets that use the system's keychain where there is one.
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// Secrets that live in memory alone.
    pub(crate) fn in_memory() -> Self {
        Self { without_keychain: true, ..Self::default() }
    }

    /// Keeps `password` for `user` at `address`; an empty one is forgotten. Asks the system: not for a thread that must not wait.
    pub(crate) fn keep(&self, address: &str, user: &str, password: &str) -> Kept {
        let account = account(address, user);
        let mut memory = self.memory.lock();
        if password.is_empty() {
            memory.remove(&account);
        } else {
            memory.insert(account.clone(), password.to_owned());
        }
        drop(memory);
        if self.without_keychain {
            return Kept::ThisRun;
        }
        let stored = keyring::Entry::new(SERVICE, &account).and_then(|entry| {
            if password.is_empty() { entry.delete_credential() } else { entry.set_password(password) }
        });
        match stored {
            Ok(()) => Kept::Keychain,
            Err(error) => {
                tracing::warn!(%error, "the system's keychain does not take the password; it is kept for this run");
                Kept::ThisRun
            }
        }
    }

    /// The password of `user` at `address`; empty where none is known. Asks the system: not for a thread that must not wait.
    pub(crate) fn find(&self, address: &str, user: &str) -> String {
        let account = account(address, user);
        if let Some(known) = self.memory.lock().get(&account) {
            return known.clone();
        }
        if self.without_keychain {
            return String::new();
        }
        let found = keyring::Entry::new(SERVICE, &account).and_then(|entry| entry.get_password()).unwrap_or_default();
        if !found.is_empty() {
            self.memory.lock().insert(account, found.clone());
        }
        found
    }
}

impl std::fmt::Debug for Secrets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secrets")
    }
}

fn account(address: &str, user: &str) -> String {
    format!("{user}@{address}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kept_found_forgotten() {
        let secrets = Secrets::in_memory();
        assert_eq!(secrets.find("relay", "doctor"), "");
        assert_eq!(secrets.keep("relay", "doctor", "pw"), Kept::ThisRun);
        assert_eq!(secrets.find("relay", "doctor"), "pw");
        assert_eq!(secrets.find("relay", "other"), "");
        secrets.keep("relay", "doctor", "");
        assert_eq!(secrets.find("relay", "doctor"), "");
        assert_eq!(format!("{secrets:?}"), "Secrets");
    }
}
