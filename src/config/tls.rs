//! `ca`, `cert` and `key`: which files TLS to a broker goes by, whatever the protocol.

use std::path::PathBuf;

use super::field::Field;
use super::plan::{ClientCertificate, TlsPlan};

/// What the files make, looked into; `here` is the table they are named in. `None`: a problem was recorded.
pub fn checked(
    here: &Field<'_>,
    ca: Option<PathBuf>,
    cert: Option<PathBuf>,
    key: Option<PathBuf>,
) -> Option<TlsPlan> {
    let client = match (cert, key) {
        (Some(cert), Some(key)) => Some(ClientCertificate { cert, key }),
        (None, None) => None,
        (cert, _) => {
            let (given, other) = if cert.is_some() { ("cert", "key") } else { ("key", "cert") };
            let remedy = format!("Add `{other} = \"….pem\"`, or remove `{given}`.");
            here.locate(given).problem("a client certificate and its key go together", remedy);
            return None;
        }
    };
    let plan = TlsPlan { ca, client };
    match plan.client_config() {
        Ok(_) => Some(plan),
        Err(problem) => {
            here.locate(problem.key).problem(problem.fault, problem.remedy);
            None
        }
    }
}
