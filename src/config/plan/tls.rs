//! TLS to a broker: which PEM files, and what they make. The config checks with the same code that the
//! source connects with, so that what passes the check is what is used.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore, ServerConfig};

/// Holds paths only: a renewed file is in use from the next connection on, and no key is kept here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsPlan {
    /// The authorities to trust; `None`: those of the system.
    pub ca: Option<PathBuf>,
    /// What Eddy shows of itself.
    pub client: Option<ClientCertificate>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientCertificate {
    pub cert: PathBuf,
    pub key: PathBuf,
}

/// A file that does not hold what it should.
#[derive(Debug)]
pub struct TlsProblem {
    /// The key of the config that names it.
    pub key: &'static str,
    pub fault: String,
    pub remedy: &'static str,
}

impl TlsPlan {
    /// Reads the files. The provider of cryptography is named here and is the one reqwest uses:
    /// left to the process's default, it would depend on which library came first.
    pub fn client_config(&self) -> Result<ClientConfig, TlsProblem> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|e| problem("url", format!("TLS cannot be set up ({e})"), "Use mqtt://."))?
            .with_root_certificates(self.roots()?);
        let Some(client) = &self.client else { return Ok(builder.with_no_client_auth()) };
        let chain = certificates("cert", &client.cert)?;
        let key = private_key(&client.key)?;
        builder.with_client_auth_cert(chain, key).map_err(|e| {
            let fault = format!("{} does not go with `cert` ({e})", client.key.display());
            problem("key", fault, "Name the key that the certificate was made for.")
        })
    }

    fn roots(&self) -> Result<RootCertStore, TlsProblem> {
        let mut roots = RootCertStore::empty();
        let Some(path) = &self.ca else {
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
            if roots.is_empty() {
                let fault = "this system has no certificates of authorities".to_owned();
                return Err(problem("url", fault, "Install ca-certificates, or name a PEM file in `ca`."));
            }
            return Ok(roots);
        };
        for certificate in certificates("ca", path)? {
            roots.add(certificate).map_err(|e| {
                let fault = format!("{} holds a certificate that cannot be read ({e})", path.display());
                problem("ca", fault, CERTIFICATES)
            })?;
        }
        Ok(roots)
    }
}

/// TLS of a listener. Holds paths only, like [`TlsPlan`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerTlsPlan {
    /// The listener's certificate, and those between it and its authority.
    pub cert: PathBuf,
    pub key: PathBuf,
}

impl ServerTlsPlan {
    /// Reads the files.
    pub fn server_config(&self) -> Result<ServerConfig, TlsProblem> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|e| problem("cert", format!("TLS cannot be set up ({e})"), "Remove `tls`."))?;
        let chain = self.chain()?;
        let key = private_key(&self.key)?;
        let made = builder.with_no_client_auth().with_single_cert(chain, key);
        let mut config = made.map_err(|e| {
            let fault = format!("{} does not go with `cert` ({e})", self.key.display());
            problem("key", fault, "Name the key that the certificate was made for.")
        })?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(config)
    }

    /// The certificates as they are shown, the listener's own first.
    pub fn chain(&self) -> Result<Vec<CertificateDer<'static>>, TlsProblem> {
        certificates("cert", &self.cert)
    }
}

const CERTIFICATES: &str = "Name a PEM file with lines like -----BEGIN CERTIFICATE-----.";
const KEY: &str = "Name a PEM file with a line like -----BEGIN PRIVATE KEY-----, not encrypted.";

fn problem(key: &'static str, fault: String, remedy: &'static str) -> TlsProblem {
    TlsProblem { key, fault, remedy }
}

fn bytes(key: &'static str, path: &Path) -> Result<Vec<u8>, TlsProblem> {
    std::fs::read(path).map_err(|e| {
        let fault = format!("{} cannot be read ({e})", path.display());
        problem(key, fault, "Correct the path, or let the user Eddy runs as read the file.")
    })
}

/// All certificates of a file, at least one.
fn certificates(key: &'static str, path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsProblem> {
    let bytes = bytes(key, path)?;
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&bytes).collect();
    match found {
        Ok(found) if !found.is_empty() => Ok(found),
        _ => Err(problem(key, format!("{} holds no certificate", path.display()), CERTIFICATES)),
    }
}

/// The first private key of a file. Nothing of it is repeated in a problem.
fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, TlsProblem> {
    PrivateKeyDer::from_pem_slice(&bytes("key", path)?)
        .map_err(|_| problem("key", format!("{} holds no private key", path.display()), KEY))
}
