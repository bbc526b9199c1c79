//! Certificates for tests, made by openssl.

use anyhow::{Context, Result, ensure};
use std::path::{Path, PathBuf};
use std::process::Command;

/// A certificate that signs itself, for 127.0.0.1 and localhost.
#[derive(Debug)]
pub struct Certificate {
    /// In PEM.
    pub cert: PathBuf,
    /// Its private key in PEM.
    pub key: PathBuf,
    /// SHA-256 of it, as openssl writes it: hexadecimal with colons.
    pub fingerprint: String,
}

impl Certificate {
    /// Makes one in `dir`, in files called after `name`.
    ///
    /// # Errors
    /// Where openssl cannot.
    pub fn make(dir: &Path, name: &str) -> Result<Self> {
        let (cert, key) = (dir.join(format!("{name}.crt")), dir.join(format!("{name}.key")));
        let mut command = Command::new("openssl");
        command.args(["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"]);
        command.args(["-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1", "-keyout"]).arg(&key);
        let made = command.arg("-out").arg(&cert).output().context("openssl")?;
        ensure!(made.status.success(), "openssl: {}", String::from_utf8_lossy(&made.stderr));
        let mut command = Command::new("openssl");
        command.args(["x509", "-noout", "-fingerprint", "-sha256", "-in"]).arg(&cert);
        let printed = String::from_utf8(command.output()?.stdout)?;
        let fingerprint = printed.split_once('=').context("no fingerprint")?.1.trim().to_owned();
        Ok(Self { cert, key, fingerprint })
    }

    /// Lines of the relay's configuration that serve `protocol` (`rtmp` or `rtsp`) in TLS with it, on a free loopback port;
    /// `encryption` is `optional` or `strict`.
    pub fn config(&self, protocol: &str, encryption: &str) -> String {
        format!(
            "{protocol}Encryption: {encryption}\n{protocol}sAddress: 127.0.0.1:0\n{protocol}ServerCert: {}\n{protocol}ServerKey: {}\n",
            self.cert.display(),
            self.key.display()
        )
    }

    /// Lines of the relay's configuration that serve WebRTC's HTTP in TLS with it.
    pub fn webrtc(&self) -> String {
        let (cert, key) = (self.cert.display(), self.key.display());
        format!("webrtcEncryption: yes\nwebrtcServerCert: {cert}\nwebrtcServerKey: {key}\n")
    }
}
