//! How the brokers are known to be the right ones, and Eddy to them.

use super::super::super::field::Field;
use super::super::super::plan::{SaslMechanism, SaslPlan, TlsPlan};
use super::super::super::suggest;
use super::super::tls::checked;

/// An empty table is TLS with the system's authorities.
pub fn tls(field: &Field<'_>) -> Option<TlsPlan> {
    let mut section = field.section()?;
    let mut file = |key| section.maybe(key, |field| field.file_path());
    let (ca, cert, key) = (file("ca"), file("cert"), file("key"));
    let here = section.here().clone();
    section.finish();
    checked(&here, ca?, cert?, key?)
}

pub fn sasl(field: &Field<'_>) -> Option<SaslPlan> {
    let mut section = field.section()?;
    let mechanism = section.required("mechanism", "\"SCRAM-SHA-512\"").and_then(|field| mechanism(&field));
    let username =
        section.required("username", "\"eddy\"").and_then(|field| field.text().map(str::to_string));
    let password = section
        .required("password", "\"env:KAFKA_PASSWORD\"")
        .and_then(|field| field.secret().map(str::to_string));
    section.finish();
    Some(SaslPlan { mechanism: mechanism?, username: username?, password: password? })
}

fn mechanism(field: &Field<'_>) -> Option<SaslMechanism> {
    let text = field.text()?;
    let found = SaslMechanism::ALL.into_iter().find(|mechanism| mechanism.as_str() == text);
    if found.is_none() {
        let fault = match text {
            "OAUTHBEARER" => {
                "is not built in: fetching its tokens takes libcurl, which this program is without"
            }
            "GSSAPI" => "is not built in: it takes the system's Kerberos libraries",
            _ => "is no mechanism that is known here",
        };
        let names = suggest::list(SaslMechanism::ALL.iter().map(|mechanism| mechanism.as_str()));
        field.problem(format!("{text:?} {fault}"), format!("Use {names}, or a client certificate in `tls`."));
    }
    found
}
