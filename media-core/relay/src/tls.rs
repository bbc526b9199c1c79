//! TLS over a TCP connection, both ways: being dialled with a certificate of the operator's, and dialling.
//!
//! Belongs here: certificate files, whom a client believes, the stream. Not here: which servers are encrypted (`config`), what is said
//! inside (`rtmp`, `rtsp`, `http`).

use bytes::Buf;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, ServerConfig, SignatureScheme};
use rustls_platform_verifier::Verifier;
use sha2::{Digest as _, Sha256};
use std::fmt;
use std::io::{self, IoSlice};
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::str::FromStr;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};
use std::time::{Duration, SystemTime};
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::{TlsAcceptor, TlsConnector};

/// A peer that has not finished its handshake by then does not want to.
const HANDSHAKE: Duration = Duration::from_secs(10);

/// The files of a server's certificate, and the settings that name them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsFiles {
    /// The certificate, and those that lead to a root, in PEM.
    pub cert: PathBuf,
    /// Its private key in PEM.
    pub key: PathBuf,
    /// The settings' beginning, such as `rtmp` for `rtmpServerCert` and `rtmpServerKey`.
    pub settings: &'static str,
}

/// Why a certificate cannot be used.
#[derive(Debug, Error)]
pub enum TlsError {
    /// A file is missing, or not what it should be.
    #[error("{setting}: {}: {detail}", file.display())]
    File {
        /// The setting that names it.
        setting: String,
        /// The file.
        file: PathBuf,
        /// What is wrong.
        detail: String,
    },
    /// The two files do not belong together, or the key is of a kind that nobody takes.
    #[error("{settings}ServerCert and {settings}ServerKey: {source}")]
    Pair {
        /// The settings' beginning.
        settings: &'static str,
        /// What the library says.
        source: rustls::Error,
    },
}

impl TlsFiles {
    fn read(&self) -> Result<ServerConfig, TlsError> {
        let error = |which: &str, file: &Path, detail: String| TlsError::File {
            setting: format!("{}Server{which}", self.settings),
            file: file.to_owned(),
            detail,
        };
        let chain = CertificateDer::pem_file_iter(&self.cert)
            .and_then(Iterator::collect::<Result<Vec<_>, _>>)
            .map_err(|e| error("Cert", &self.cert, in_words(&e)))?;
        if chain.is_empty() {
            return Err(error("Cert", &self.cert, "there is no certificate in it".into()));
        }
        let key = PrivateKeyDer::from_pem_file(&self.key).map_err(|e| error("Key", &self.key, in_words(&e)))?;
        let pair = |source| TlsError::Pair { settings: self.settings, source };
        ServerConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .map_err(pair)?
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .map_err(pair)
    }

    /// When the files were last written; `None` for one that is not there.
    fn written(&self) -> [Option<SystemTime>; 2] {
        [&self.cert, &self.key].map(|file| file.metadata().and_then(|m| m.modified()).ok())
    }
}

fn in_words(error: &rustls::pki_types::pem::Error) -> String {
    match error {
        rustls::pki_types::pem::Error::Io(error) => error.to_string(),
        rustls::pki_types::pem::Error::NoItemsFound => "there is no such thing in it".into(),
        other => format!("it is no PEM: {other}"),
    }
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

/// A server's side. A clone is another handle to the same; files that have changed are read again when the next client comes.
#[derive(Debug, Clone)]
pub(crate) struct Acceptor(Arc<Kept>);

#[derive(Debug)]
struct Kept {
    files: TlsFiles,
    loaded: parking_lot::Mutex<(Arc<ServerConfig>, [Option<SystemTime>; 2])>,
}

impl Acceptor {
    /// Reads the files.
    pub(crate) fn new(files: TlsFiles) -> Result<Self, TlsError> {
        let (written, config) = (files.written(), Arc::new(files.read()?));
        Ok(Self(Arc::new(Kept { files, loaded: parking_lot::Mutex::new((config, written)) })))
    }

    /// Shakes hands with a client.
    pub(crate) async fn accept(&self, stream: TcpStream) -> io::Result<TlsStream> {
        let accepting = TlsAcceptor::from(self.0.current()).accept(stream);
        Ok(TlsStream(in_time(accepting).await?.into()))
    }
}

impl Kept {
    fn current(&self) -> Arc<ServerConfig> {
        let mut loaded = self.loaded.lock();
        let written = self.files.written();
        if loaded.1 != written {
            // Told once for every change: a certificate and its key are not replaced at one instant.
            loaded.1 = written;
            match self.files.read() {
                Ok(config) => {
                    loaded.0 = Arc::new(config);
                    tracing::info!(cert = %self.files.cert.display(), "the new certificate is used");
                }
                Err(error) => tracing::warn!(%error, "the certificate in use stays"),
            }
        }
        Arc::clone(&loaded.0)
    }
}

async fn in_time<T>(handshake: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    let late = |_| io::Error::new(io::ErrorKind::TimedOut, "no TLS handshake in time");
    tokio::time::timeout(HANDSHAKE, handshake).await.map_err(late)?
}

/// Whom a client believes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Trust {
    /// Whoever this computer's own roots vouch for, under the name that was dialled.
    #[default]
    System,
    /// The one certificate with this fingerprint, whatever its name and age: for servers that have signed their own.
    Fingerprint(Fingerprint),
}

/// SHA-256 of a certificate in DER.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Fingerprint([u8; 32]);

impl FromStr for Fingerprint {
    type Err = &'static str;

    /// 64 hexadecimal digits, with or without colons between.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const WRONG: &str = "a fingerprint is the SHA-256 of the certificate, 64 hexadecimal digits";
        let digits = text.chars().filter(|c| *c != ':').map(|c| c.to_digit(16).and_then(|d| u8::try_from(d).ok()));
        let digits: Vec<u8> = digits.collect::<Option<_>>().filter(|d: &Vec<u8>| d.len() == 64).ok_or(WRONG)?;
        let bytes: Vec<u8> = digits.chunks(2).map(|pair| pair.iter().fold(0, |n, d| n << 4 | d)).collect();
        bytes.try_into().map(Self).map_err(|_| WRONG)
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Trust {
    /// Shakes hands with the server `host` on a connection that was made.
    pub(crate) async fn connect(self, host: &str, stream: TcpStream) -> io::Result<TlsStream> {
        let name = ServerName::try_from(host.to_owned()).map_err(|e| io::Error::new(io::ErrorKind::InvalidInput, e))?;
        let config = Arc::new(self.client_config().map_err(io::Error::other)?);
        Ok(TlsStream(in_time(TlsConnector::from(config).connect(name, stream)).await?.into()))
    }

    /// The client's side of a handshake.
    ///
    /// # Errors
    /// Where the system's roots cannot be had.
    pub(crate) fn client_config(self) -> Result<ClientConfig, rustls::Error> {
        /// Reading hundreds of roots takes milliseconds, and they change with the system's updates.
        static SYSTEM: OnceLock<ClientConfig> = OnceLock::new();
        let with = |verifier: Arc<dyn ServerCertVerifier>| {
            let builder = ClientConfig::builder_with_provider(provider()).with_safe_default_protocol_versions()?;
            Ok(builder.dangerous().with_custom_certificate_verifier(verifier).with_no_client_auth())
        };
        match (self, SYSTEM.get()) {
            (Self::Fingerprint(want), _) => {
                let algorithms = provider().signature_verification_algorithms;
                with(Arc::new(Pinned { want, algorithms }))
            }
            (Self::System, Some(config)) => Ok(config.clone()),
            (Self::System, None) => {
                let config = with(Arc::new(Verifier::new(provider())?))?;
                Ok(SYSTEM.get_or_init(|| config).clone())
            }
        }
    }
}

/// Believes one certificate. That the server has its key is proved as ever.
#[derive(Debug)]
struct Pinned {
    want: Fingerprint,
    algorithms: WebPkiSupportedAlgorithms,
}

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let got = Fingerprint(Sha256::digest(end_entity).into());
        if got == self.want {
            return Ok(ServerCertVerified::assertion());
        }
        Err(rustls::Error::General(format!("the server's certificate has the fingerprint {got}, not the one expected")))
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, dss, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, dss, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

/// An encrypted connection. What was written goes out while the next read is waited for: TLS takes more than the socket does, and
/// a caller that sees everything taken would leave the rest where it is.
#[derive(Debug)]
pub(crate) struct TlsStream(tokio_rustls::TlsStream<TcpStream>);

impl AsyncRead for TlsStream {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if let Poll::Ready(Err(error)) = Pin::new(&mut self.0).poll_flush(cx) {
            return Poll::Ready(Err(error));
        }
        match Pin::new(&mut self.0).poll_read(cx, buf) {
            // Peers that simply close are many, and what RTMP and RTSP carry says itself where it ends.
            Poll::Ready(Err(error)) if error.kind() == io::ErrorKind::UnexpectedEof => Poll::Ready(Ok(())),
            read => read,
        }
    }
}

impl AsyncWrite for TlsStream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.0.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

/// Writes what there is; else sees to it that none of it is kept back, as TLS does with what the socket did not take. Says whether
/// nothing is.
pub(crate) async fn send(output: &mut (impl AsyncWrite + Unpin), bytes: &mut impl Buf) -> io::Result<bool> {
    if bytes.has_remaining() {
        output.write_buf(bytes).await?;
        return Ok(false);
    }
    output.flush().await?;
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::AsyncReadExt;
    use tokio::net::TcpListener;

    /// A certificate that signs itself, in files; and its fingerprint.
    fn certificate(dir: &Path) -> (TlsFiles, Fingerprint) {
        let made = rcgen::generate_simple_self_signed(vec!["localhost".into()]).unwrap();
        let files = TlsFiles { cert: dir.join("cert.pem"), key: dir.join("key.pem"), settings: "rtmp" };
        std::fs::write(&files.cert, made.cert.pem()).unwrap();
        std::fs::write(&files.key, made.signing_key.serialize_pem()).unwrap();
        (files, Fingerprint(Sha256::digest(made.cert.der()).into()))
    }

    /// What a client that trusts so hears from the server.
    async fn heard(acceptor: &Acceptor, trust: Trust) -> io::Result<Vec<u8>> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let acceptor = acceptor.clone();
        let server = tokio::spawn(async move {
            let (stream, _) = listener.accept().await?;
            let mut stream = acceptor.accept(stream).await?;
            stream.write_all(&[7; 100_000]).await?;
            stream.shutdown().await
        });
        let mut got = Vec::new();
        let mut stream = trust.connect("localhost", TcpStream::connect(address).await?).await?;
        stream.read_to_end(&mut got).await?;
        server.await??;
        Ok(got)
    }

    #[tokio::test]
    async fn only_the_pinned_certificate_is_believed() {
        let dir = tempfile::tempdir().unwrap();
        let (files, fingerprint) = certificate(dir.path());
        let acceptor = Acceptor::new(files).unwrap();
        assert_eq!(heard(&acceptor, Trust::Fingerprint(fingerprint)).await.unwrap(), [7; 100_000]);
        assert!(heard(&acceptor, Trust::System).await.is_err(), "nobody vouches for it");
        let other = heard(&acceptor, Trust::Fingerprint(Fingerprint([0; 32]))).await.unwrap_err().to_string();
        assert!(other.contains(&fingerprint.to_string()), "{other}");
    }

    #[tokio::test]
    async fn a_new_certificate_is_used() {
        let dir = tempfile::tempdir().unwrap();
        let (files, first) = certificate(dir.path());
        let acceptor = Acceptor::new(files.clone()).unwrap();
        // A broken one changes nothing.
        std::fs::write(&files.cert, "none").unwrap();
        assert!(heard(&acceptor, Trust::Fingerprint(first)).await.is_ok());
        let (_, second) = certificate(dir.path());
        assert!(heard(&acceptor, Trust::Fingerprint(second)).await.is_ok());
        assert!(heard(&acceptor, Trust::Fingerprint(first)).await.is_err());
    }

    #[test]
    fn errors_name_setting_and_file() {
        let dir = tempfile::tempdir().unwrap();
        let (files, _) = certificate(dir.path());
        let check = |files: &TlsFiles, want: &str| {
            let error = Acceptor::new(files.clone()).unwrap_err().to_string();
            assert!(error.contains(want), "{error}");
        };
        check(&TlsFiles { cert: dir.path().join("none.pem"), ..files.clone() }, "rtmpServerCert: ");
        check(&TlsFiles { cert: dir.path().join("none.pem"), ..files.clone() }, "none.pem: No such file");
        check(&TlsFiles { key: files.cert.clone(), ..files.clone() }, "rtmpServerKey: ");
        let (cert, _) = (files.cert.clone(), ());
        let elsewhere = tempfile::tempdir().unwrap();
        let (other, _) = certificate(elsewhere.path());
        check(&TlsFiles { cert, ..other }, "rtmpServerCert and rtmpServerKey: ");
    }

    #[test]
    fn fingerprints() {
        let text = "AB:".repeat(31) + "cd";
        let read: Fingerprint = text.parse().unwrap();
        assert_eq!(read.to_string(), "ab".repeat(31) + "cd");
        assert_eq!(read.to_string().parse(), Ok(read));
        for bad in ["", "ab", &"ab".repeat(33), &"zz".repeat(32), &("ab".repeat(31) + "c")] {
            assert!(bad.parse::<Fingerprint>().is_err(), "{bad}");
        }
    }
}
