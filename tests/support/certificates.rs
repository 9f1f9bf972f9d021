//! Two authorities and what they signed, made by the openssl command for one test.

use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

pub struct Certificates(TempDir);

impl Certificates {
    /// `NAME.pem` and `NAME.key` for the authorities `ca` and `other`; from `ca`: `server` and `expired`
    /// for the host `localhost`, `client`; from `other`: `stranger`.
    pub fn make() -> Self {
        let made = Certificates(TempDir::new().expect("a temporary folder"));
        for name in ["ca", "other"] {
            made.openssl(&format!(
                "req -x509 {KEY} -keyout {name}.key -out {name}.pem -days 2 -subj /CN={name}"
            ));
        }
        made.sign("server", "ca", "-days 2");
        made.sign("client", "ca", "-days 2");
        made.sign("stranger", "other", "-days 2");
        made.sign("expired", "ca", "-days -1");
        made
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn sign(&self, name: &str, by: &str, days: &str) {
        std::fs::write(self.path("v3.ext"), "subjectAltName=DNS:localhost\n")
            .expect("the folder can be written");
        self.openssl(&format!("req {KEY} -keyout {name}.key -out {name}.csr -subj /CN={name}"));
        self.openssl(&format!(
            "x509 -req -in {name}.csr -CA {by}.pem -CAkey {by}.key -CAcreateserial -extfile v3.ext \
             -out {name}.pem {days}"
        ));
    }

    fn openssl(&self, arguments: &str) {
        run(self.0.path(), arguments);
    }
}

/// An elliptic curve, because an RSA key would take a second to make.
const KEY: &str = "-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes";

fn run(folder: &Path, arguments: &str) {
    let done = Command::new("openssl").args(arguments.split(' ')).current_dir(folder).output();
    let done = done.expect("openssl is installed by scripts/setup");
    assert!(done.status.success(), "openssl {arguments}: {}", String::from_utf8_lossy(&done.stderr));
}
