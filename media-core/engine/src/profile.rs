//! The profile: the folder in which everything of one user of one machine lives.
//!
//! Belongs here: where it is, and that only one program has it. Not here: what is in it (`settings`).

use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};
use thiserror::Error;

/// Name of the file whose lock says that the profile is in use.
const LOCK: &str = "lock";

/// A profile that is ours until it is dropped.
#[derive(Debug)]
pub struct Profile {
    folder: PathBuf,
    /// Holds the lock.
    _lock: File,
}

/// Why a profile cannot be had.
#[derive(Debug, Error)]
pub enum ProfileError {
    /// Another program runs with it.
    #[error("Visavis is already running with the profile {0}")]
    InUse(PathBuf),
    /// The file system refused.
    #[error("{path}: {source}")]
    Io {
        /// Which folder.
        path: PathBuf,
        /// What it said.
        source: std::io::Error,
    },
}

impl Profile {
    /// Takes the profile in `folder`, making it where it does not exist.
    ///
    /// # Errors
    /// [`ProfileError`].
    pub fn open(folder: &Path) -> Result<Self, ProfileError> {
        let io = |source| ProfileError::Io { path: folder.to_owned(), source };
        fs::create_dir_all(folder).map_err(io)?;
        let lock = File::options().create(true).write(true).truncate(false).open(folder.join(LOCK)).map_err(io)?;
        match lock.try_lock() {
            Ok(()) => Ok(Self { folder: folder.to_owned(), _lock: lock }),
            Err(TryLockError::WouldBlock) => Err(ProfileError::InUse(folder.to_owned())),
            Err(TryLockError::Error(source)) => Err(io(source)),
        }
    }

    /// Its folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Where the profile is unless somebody says otherwise.
    pub fn default_folder() -> PathBuf {
        let var = |name: &str| std::env::var_os(name).filter(|v| !v.is_empty()).map(PathBuf::from);
        let home = || var("HOME").unwrap_or_else(|| PathBuf::from("."));
        if cfg!(target_os = "windows") {
            var("APPDATA").unwrap_or_else(|| PathBuf::from(".")).join("Visavis")
        } else if cfg!(target_os = "macos") {
            home().join("Library/Application Support/Visavis")
        } else {
            var("XDG_DATA_HOME").unwrap_or_else(|| home().join(".local/share")).join("visavis")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_program_at_a_time() {
        let folder = tempfile::tempdir().unwrap();
        let inner = folder.path().join("a/b");
        let first = Profile::open(&inner).unwrap();
        assert!(matches!(Profile::open(&inner), Err(ProfileError::InUse(_))));
        drop(first);
        assert!(Profile::open(&inner).is_ok());
        assert!(Profile::default_folder().is_absolute());
    }
}
