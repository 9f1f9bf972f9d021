//! TLS of the page, where others do not speak it or take their time.

use std::process::Command;

use axum::serve::Listener as _;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::*;
use crate::config::plan::ServerTlsPlan;

fn connector(plan: &ServerTlsPlan) -> TlsConnector {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(&plan.cert).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder =
        ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    TlsConnector::from(Arc::new(builder.with_root_certificates(roots).with_no_client_auth()))
}

#[tokio::test]
async fn who_is_slow_or_speaks_no_tls_holds_nobody_up() {
    let folder = tempfile::tempdir().unwrap();
    let arguments = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout a.key -out a.pem \
                     -subj /CN=a -addext subjectAltName=DNS:localhost -addext basicConstraints=critical,CA:FALSE";
    let made = Command::new("openssl").args(arguments.split_whitespace()).current_dir(folder.path()).output();
    assert!(made.expect("openssl is installed by scripts/setup").status.success());
    let plan = ServerTlsPlan { cert: folder.path().join("a.pem"), key: folder.path().join("a.key") };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let mut door = TlsDoor::new(listener, &plan).unwrap();
    let accepted = tokio::spawn(async move { door.accept().await.1 });

    let slow = TcpStream::connect(address).await.unwrap();
    let from = slow.local_addr().unwrap();
    let mut clear = TcpStream::connect(address).await.unwrap();
    clear.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
    // Its end shows that the handshake was given up.
    let _ = clear.read_to_end(&mut Vec::new()).await;
    let host = ServerName::try_from("localhost").unwrap();
    let _stream = connector(&plan).connect(host, slow).await.unwrap();
    let first = timeout(Duration::from_secs(20), accepted).await.expect("nobody was let in").unwrap();
    assert_eq!(first, from);
}
