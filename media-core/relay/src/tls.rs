//! TLS towards servers that are pulled from: whom to trust, and the handshake.
//!
//! Belongs here: the one place that makes a client's TLS. Not here: TLS of our own servers, what is said inside it.

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, Error, SignatureScheme};
use rustls_platform_verifier::BuilderVerifierExt;
use sha2::{Digest, Sha256};
use std::io;
use std::str::FromStr;
use std::sync::Arc;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// The SHA-256 of a certificate in DER: written as 64 hexadecimal digits, with or without colons.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fingerprint([u8; 32]);

impl FromStr for Fingerprint {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let digits: Vec<u32> = text.chars().filter(|c| *c != ':').map_while(|c| c.to_digit(16)).collect();
        let bytes: Option<Vec<u8>> =
            digits.chunks(2).map(|pair| u8::try_from(pair.first()? * 16 + pair.get(1)?).ok()).collect();
        let whole = text.chars().filter(|c| *c != ':').count() == digits.len();
        let bytes = bytes.filter(|_| whole).and_then(|bytes| bytes.try_into().ok());
        bytes.map(Self).ok_or("a fingerprint is the SHA-256 of the certificate, 64 hexadecimal digits")
    }
}

/// Whose certificate is good.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Trust {
    /// One that this system trusts, made out to the name that was dialled.
    #[default]
    System,
    /// This one, whatever name it is made out to and whoever signed it.
    Fingerprint(Fingerprint),
}

impl Trust {
    /// The client's side of a handshake.
    ///
    /// # Errors
    /// Where the system's certificates cannot be had.
    pub(crate) fn client_config(self) -> Result<ClientConfig, Error> {
        let provider = Arc::new(ring::default_provider());
        let builder =
            ClientConfig::builder_with_provider(Arc::clone(&provider)).with_safe_default_protocol_versions()?;
        Ok(match self {
            Self::System => builder.with_platform_verifier()?.with_no_client_auth(),
            Self::Fingerprint(wanted) => {
                let pinned = Arc::new(Pinned { wanted, provider });
                builder.dangerous().with_custom_certificate_verifier(pinned).with_no_client_auth()
            }
        })
    }

    /// Shakes hands with `host` over `stream`.
    pub(crate) async fn connect(self, host: &str, stream: TcpStream) -> io::Result<TlsStream<TcpStream>> {
        let name = ServerName::try_from(host.to_owned()).map_err(io::Error::other)?;
        let config = self.client_config().map_err(io::Error::other)?;
        TlsConnector::from(Arc::new(config)).connect(name, stream).await
    }
}

/// Takes one certificate alone; that the server has its key is proved by the handshake's signature as ever.
#[derive(Debug)]
struct Pinned {
    wanted: Fingerprint,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        if Sha256::digest(end_entity).as_slice() == self.wanted.0 {
            Ok(ServerCertVerified::assertion())
        } else {
            Err(Error::InvalidCertificate(CertificateError::ApplicationVerificationFailure))
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fingerprints() {
        let plain = "33949E05FFFB5FF3E8AA16F8213A6251B4D9363804BA53233C4DA9A46D6F2739";
        let colons: Vec<&str> = (0..32).map(|n| &plain[2 * n..2 * n + 2]).collect();
        let parsed: Fingerprint = plain.parse().unwrap();
        assert_eq!(parsed.0[..2], [0x33, 0x94]);
        assert_eq!(colons.join(":").to_lowercase().parse(), Ok(parsed));
        for bad in ["", "33949E", &plain[1..], &plain.replace('3', "g")] {
            assert!(bad.parse::<Fingerprint>().is_err(), "{bad}");
        }
    }
}
