//! What alsa-lib has to say goes to the log instead of standard error.
//!
//! A machine without a sound card is no reason for a screenful: alsa-lib tells of every plugin that it could not load and every card
//! that it did not find, at each question. Whoever asks gets an error besides, so those lines are for those who look closer.
//!
//! Belongs here: that. Not here: what is asked (`host`, `devices`).

/// Does `work` with alsa-lib's messages of this thread going to the log.
#[cfg(target_os = "linux")]
pub(crate) fn quietly<T>(work: impl FnOnce() -> T) -> T {
    // A new buffer each time: the one before stays the thread's until then, and would grow.
    let said = alsa::Output::local_error_handler();
    let outcome = work();
    if let Ok(said) = &said {
        let text = said.borrow().to_string();
        for line in text.lines() {
            tracing::debug!("alsa-lib: {line}");
        }
    }
    outcome
}

/// Does `work`; there is no alsa-lib here.
#[cfg(not(target_os = "linux"))]
pub(crate) fn quietly<T>(work: impl FnOnce() -> T) -> T {
    work()
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;
    use std::process::Command;

    /// Run by the test below in a process of its own, because what is looked at is the process' standard error.
    #[test]
    #[ignore = "run by the test below"]
    fn asks_for_a_card_that_is_not_there() {
        let opened = quietly(|| alsa::PCM::new("no-such-card", alsa::Direction::Playback, false).is_ok());
        assert!(!opened);
    }

    #[test]
    fn standard_error_stays_empty() {
        let test = "sound::alsa_quiet::tests::asks_for_a_card_that_is_not_there";
        let output = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", test, "--ignored", "--nocapture"])
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && !said.to_lowercase().contains("alsa"), "{said}");
    }
}
