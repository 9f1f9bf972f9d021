//! Asking the Eddy that runs on a data folder, over its page.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, anyhow, bail};
use reqwest::{Client, Method, RequestBuilder};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, Error, SignatureScheme};
use serde_json::Value;

use crate::access::{self, Key};
use crate::config::plan::{Plan, ServerTlsPlan};
use crate::latency::Clock;

/// The log's thread may have much to write first.
const ANSWER_MAX: Duration = Duration::from_secs(60);

/// Where a page is, and what lets its own box in.
pub struct Page {
    client: Client,
    base: String,
    bearer: String,
}

impl Page {
    /// # Errors
    /// If the plan has no page to ask, or the deployment's key cannot be read.
    pub fn of(plan: &Plan) -> Result<Page> {
        let page = &plan.dashboard;
        if !page.enabled || page.listen.port() == 0 {
            bail!(
                "Eddy is running, and can only be asked over its page: give `[dashboard]` an address with a port, or \
                 stop Eddy and say it again"
            );
        }
        let key = Key::read_or_make(&access::folder(&plan.durable.path))?;
        let bearer = key.local((Clock::start().now_ns() / 1_000_000_000).max(0) as u64).0;
        // A proxy is for the way out of this machine.
        let mut client = Client::builder().no_proxy().timeout(ANSWER_MAX);
        if let Some(tls) = &page.tls {
            client = client.tls_backend_preconfigured(pinned(tls)?);
        }
        let base = format!("{}://{}", page.scheme(), on_this_box(page.listen));
        Ok(Page { client: client.build()?, base, bearer })
    }

    pub fn base(&self) -> &str {
        &self.base
    }

    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.client.request(method, format!("{}{path}", self.base)).bearer_auth(&self.bearer)
    }
}

/// It was said, and nothing was done.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Refused(String);

/// Body of a good answer; else what the refusal said.
///
/// # Errors
/// [`Refused`] if the request was not followed. After any other it may have been.
pub async fn body(request: RequestBuilder) -> Result<Vec<u8>> {
    let answer = request.send().await?;
    let (status, body) = (answer.status(), answer.bytes().await?);
    if status.is_success() {
        return Ok(body.into());
    }
    let said: Value = serde_json::from_slice(&body).unwrap_or_default();
    let part = |name: &str| said[name].as_str().unwrap_or("no reason").to_owned();
    let why = format!("{}; {}", part("detail"), part("remedy"));
    if status.is_client_error() { Err(Refused(why).into()) } else { Err(anyhow!(why)) }
}

/// What listens on every address listens on this one.
fn on_this_box(listen: SocketAddr) -> SocketAddr {
    let ip = match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        ip => ip,
    };
    SocketAddr::new(ip, listen.port())
}

/// The certificate is for the name that browsers use, which need not lead here; but which one it is, is known.
fn pinned(tls: &ServerTlsPlan) -> Result<ClientConfig> {
    let chain = tls.chain().map_err(|problem| anyhow!("{}. {}", problem.fault, problem.remedy))?;
    let own =
        chain.into_iter().next().ok_or_else(|| anyhow!("{} holds no certificate", tls.cert.display()))?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let verifier = Arc::new(Pinned { own, provider: provider.clone() });
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    Ok(builder.dangerous().with_custom_certificate_verifier(verifier).with_no_client_auth())
}

#[derive(Debug)]
struct Pinned {
    own: CertificateDer<'static>,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        shown: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        if *shown == self.own {
            return Ok(ServerCertVerified::assertion());
        }
        Err(Error::InvalidCertificate(CertificateError::ApplicationVerificationFailure))
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        shown: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, shown, signed, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        shown: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, shown, signed, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
