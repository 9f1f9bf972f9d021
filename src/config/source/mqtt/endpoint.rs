//! Where the broker is, and how it is known to be the right one.

use url::Url;

use super::super::super::field::Field;
use super::super::super::plan::TlsPlan;
use super::super::super::section::Section;
use super::super::tls::checked;

const PORT_DEFAULT: u16 = 1883;
const TLS_PORT_DEFAULT: u16 = 8883;
const EXAMPLE: &str = "Write it like \"mqtt://127.0.0.1:1883\" or \"mqtts://broker.example.com\".";

pub struct Endpoint {
    pub host: String,
    pub port: u16,
    pub tls: bool,
}

/// Host and port. The URL is never repeated in a problem: it may hold a password.
pub fn endpoint(field: &Field<'_>) -> Option<Endpoint> {
    let url = match Url::parse(field.text()?) {
        Ok(url) => url,
        Err(error) => {
            field.problem(format!("is not a URL ({error})"), EXAMPLE);
            return None;
        }
    };
    let tls = url.scheme() == "mqtts";
    let (fault, remedy) = match url.scheme() {
        "mqtt" | "mqtts" if !url.username().is_empty() || url.password().is_some() => (
            "must not hold a user or password, because URLs are shown in logs".to_string(),
            "Write `username = \"…\"` and `password = \"env:NAME\"` instead.",
        ),
        "mqtt" | "mqtts" if url.port() == Some(0) => {
            ("port 0 cannot be connected to".to_string(), "Write the broker's port.")
        }
        "mqtt" | "mqtts" if has_more(&url) => (
            "has more than a host and a port".to_string(),
            "Write it like \"mqtt://127.0.0.1:1883\"; topics go into `topics`.",
        ),
        "mqtt" | "mqtts" => match url.host_str().filter(|host| !host.is_empty()) {
            // Brackets belong to the URL, not to the address.
            Some(host) => {
                let host = host.trim_start_matches('[').trim_end_matches(']').to_string();
                let default = if tls { TLS_PORT_DEFAULT } else { PORT_DEFAULT };
                return Some(Endpoint { host, port: url.port().unwrap_or(default), tls });
            }
            None => ("names no host".to_string(), EXAMPLE),
        },
        "ssl" | "tls" => (format!("{}:// is written mqtts://", url.scheme()), EXAMPLE),
        scheme => (format!("{scheme}:// is not MQTT"), EXAMPLE),
    };
    field.problem(fault, remedy);
    None
}

fn has_more(url: &Url) -> bool {
    !matches!(url.path(), "" | "/") || url.query().is_some() || url.fragment().is_some()
}

/// The keys `ca`, `cert` and `key`. `Some(None)` without TLS; `None`: a problem was recorded.
pub fn tls(section: &mut Section<'_>, endpoint: Option<&Endpoint>) -> Option<Option<TlsPlan>> {
    let mut file = |key| section.maybe(key, |field| field.file_path());
    let (ca, cert, key) = (file("ca")?, file("cert")?, file("key")?);
    let here = section.here();
    let pairs = [("ca", ca.is_some()), ("cert", cert.is_some()), ("key", key.is_some())];
    if !endpoint?.tls {
        let given = pairs.iter().filter(|(_, given)| *given);
        for (key, _) in given.clone() {
            let remedy = format!("Write `url = \"mqtts://…\"`, or remove `{key}`.");
            here.locate(key).problem("belongs to TLS, which mqtt:// does not use", remedy);
        }
        return (given.count() == 0).then_some(None);
    }
    checked(here, ca, cert, key).map(Some)
}
