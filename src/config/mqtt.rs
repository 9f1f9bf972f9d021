//! An MQTT broker, of a source or a sink: where it is, how it is known to be the right one, and who Eddy is to it.

use url::Url;

use super::field::Field;
use super::plan::{BrokerPlan, TlsPlan, Version};
use super::section::Section;
use super::tls::checked;

const PORT_DEFAULT: u16 = 1883;
const TLS_PORT_DEFAULT: u16 = 8883;
const EXAMPLE: &str = "Write it like \"mqtt://127.0.0.1:1883\" or \"mqtts://broker.example.com\".";

const CLIENT_ID_BYTES_MAX: usize = 256;

struct Endpoint {
    host: String,
    port: u16,
    tls: bool,
}

/// The keys `url`, `ca`, `cert`, `key`, `client_id`, `username` and `password`. `None`: a problem was recorded.
pub fn broker(section: &mut Section<'_>, client_id_default: String) -> Option<BrokerPlan> {
    let endpoint = section.required("url", "\"mqtt://127.0.0.1:1883\"").and_then(|field| endpoint(&field));
    let tls = tls(section, endpoint.as_ref());
    let client_id = section.or("client_id", client_id_default, |field| client_id(&field));
    let username = section.maybe("username", |field| field.text().map(str::to_string));
    let password = section.maybe("password", |field| field.secret().map(str::to_string));
    if matches!((&username, &password), (Some(None), Some(Some(_)))) {
        let field = section.here().locate("password");
        field.problem("MQTT has no password without a username", "Add `username = \"…\"`.");
    }
    let endpoint = endpoint?;
    Some(BrokerPlan {
        host: endpoint.host,
        port: endpoint.port,
        tls: tls?,
        client_id: client_id?,
        username: username?,
        password: password?,
    })
}

/// Which version of MQTT it is spoken to in.
pub fn version(field: &Field<'_>) -> Option<Version> {
    match field.text()? {
        "3.1.1" => Some(Version::V3),
        "5" => Some(Version::V5),
        other => {
            field.problem(format!("{other:?} is not a version of MQTT"), "Write \"3.1.1\" or \"5\".");
            None
        }
    }
}

fn client_id(field: &Field<'_>) -> Option<String> {
    let text = field.text()?;
    let fits = (1..=CLIENT_ID_BYTES_MAX).contains(&text.len()) && !text.chars().any(char::is_control);
    if !fits {
        field.problem(
            "is not a usable client id",
            format!(
                "Use 1 to {CLIENT_ID_BYTES_MAX} bytes without control characters, \
                 or leave it out: the default is stable."
            ),
        );
    }
    fits.then(|| text.to_string())
}

/// Host and port. The URL is never repeated in a problem: it may hold a password.
fn endpoint(field: &Field<'_>) -> Option<Endpoint> {
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
            "Write it like \"mqtt://127.0.0.1:1883\"; topics have a key of their own.",
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
fn tls(section: &mut Section<'_>, endpoint: Option<&Endpoint>) -> Option<Option<TlsPlan>> {
    let mut file = |key| section.maybe(key, |field| field.file_path());
    let (ca, cert, key) = (file("ca")?, file("cert")?, file("key")?);
    let here = section.here();
    let pairs = [("ca", ca.is_some()), ("cert", cert.is_some()), ("key", key.is_some())];
    if !endpoint?.tls {
        let given = pairs.iter().filter(|(_, given)| *given);
        for (key, _) in given.clone() {
            let remedy = format!("Write `url = \"mqtts://…\"`, or remove `{key}`.");
            let more = if *key == "key" { " What tells devices apart is the `key` of a stream." } else { "" };
            here.locate(key).problem("belongs to TLS, which mqtt:// does not use", remedy + more);
        }
        return (given.count() == 0).then_some(None);
    }
    checked(here, ca, cert, key).map(Some)
}
