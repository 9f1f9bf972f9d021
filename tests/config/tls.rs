//! TLS to the broker: files that are not what they should be are told before anything runs.

use std::path::Path;
use std::process::Command;

use eddy::config::plan::{ClientCertificate, SourceKind, TlsPlan};
use insta::assert_snapshot;

use super::{good_but, plan_with, problems};

/// A self-made certificate and its key, `NAME.pem` and `NAME.key`.
fn make(folder: &Path, name: &str) {
    let arguments = format!(
        "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout {name}.key -out {name}.pem -subj /CN={name}"
    );
    let made = Command::new("openssl").args(arguments.split(' ')).current_dir(folder).output();
    assert!(made.expect("openssl is installed by scripts/setup").status.success());
}

fn with_tls(keys: &str) -> String {
    good_but("url = \"mqtt://127.0.0.1:1883\"", &format!("url = \"mqtts://broker.example.com\"\n{keys}"))
}

#[test]
fn tls_with_a_client_certificate() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    make(folder.path(), "a");
    let path = |name: &str| folder.path().join(name);
    let keys = format!("ca = {0:?}\ncert = {0:?}\nkey = {1:?}", path("a.pem"), path("a.key"));
    let plan = plan_with(&with_tls(&keys), &[]);
    let SourceKind::Mqtt(mqtt) = &plan.sources[0].kind else { panic!("{plan:?}") };
    assert_eq!((mqtt.broker.host.as_str(), mqtt.broker.port), ("broker.example.com", 8883));
    let client = ClientCertificate { cert: path("a.pem"), key: path("a.key") };
    assert_eq!(mqtt.broker.tls, Some(TlsPlan { ca: Some(path("a.pem")), client: Some(client) }));
}

#[test]
fn files_that_hold_something_else() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    ["a", "b"].into_iter().for_each(|name| make(folder.path(), name));
    std::fs::write(folder.path().join("empty"), "").expect("the folder can be written");
    let told = |ca: &str, cert: &str, key: &str| {
        let path = |name: &str| folder.path().join(name);
        let keys = format!("ca = {:?}\ncert = {:?}\nkey = {:?}", path(ca), path(cert), path(key));
        problems(&with_tls(&keys)).replace(&folder.path().display().to_string(), "DIR")
    };
    assert_snapshot!(told("none", "a.pem", "a.key"), @"
    eddy.toml:4: source.plant.ca: DIR/none cannot be read (No such file or directory (os error 2)). Correct the path, or let the user Eddy runs as read the file.
    1 problem in eddy.toml
    ");
    assert_snapshot!(told("empty", "a.pem", "a.key"), @"
    eddy.toml:4: source.plant.ca: DIR/empty holds no certificate. Name a PEM file with lines like -----BEGIN CERTIFICATE-----.
    1 problem in eddy.toml
    ");
    assert_snapshot!(told("a.pem", "a.key", "a.key"), @"
    eddy.toml:5: source.plant.cert: DIR/a.key holds no certificate. Name a PEM file with lines like -----BEGIN CERTIFICATE-----.
    1 problem in eddy.toml
    ");
    assert_snapshot!(told("a.pem", "a.pem", "a.pem"), @"
    eddy.toml:6: source.plant.key: DIR/a.pem holds no private key. Name a PEM file with a line like -----BEGIN PRIVATE KEY-----, not encrypted.
    1 problem in eddy.toml
    ");
    assert_snapshot!(told("a.pem", "a.pem", "b.key"), @"
    eddy.toml:6: source.plant.key: DIR/b.key does not go with `cert` (keys may not be consistent: KeyMismatch). Name the key that the certificate was made for.
    1 problem in eddy.toml
    ");
}

#[test]
fn keys_that_do_not_go_together() {
    assert_snapshot!(problems(&with_tls("cert = \"a.pem\"")), @r#"
    eddy.toml:4: source.plant.cert: a client certificate and its key go together. Add `key = "….pem"`, or remove `cert`.
    1 problem in eddy.toml
    "#);
    assert_snapshot!(problems(&good_but("qos = 1", "qos = 1\nca = \"a.pem\"\nkey = \"a.key\"")), @r#"
    eddy.toml:6: source.plant.ca: belongs to TLS, which mqtt:// does not use. Write `url = "mqtts://…"`, or remove `ca`.
    eddy.toml:7: source.plant.key: belongs to TLS, which mqtt:// does not use. Write `url = "mqtts://…"`, or remove `key`. What tells devices apart is the `key` of a stream.
    2 problems in eddy.toml
    "#);
    assert_snapshot!(problems(&good_but("mqtt://127", "ssl://127")), @r#"
    eddy.toml:3: source.plant.url: ssl:// is written mqtts://. Write it like "mqtt://127.0.0.1:1883" or "mqtts://broker.example.com".
    1 problem in eddy.toml
    "#);
}
