//! `[telemetry]`, and where it is silent the variables that OpenTelemetry has given meanings to.

use std::collections::BTreeMap;
use std::time::Duration;

use reqwest::header::{HeaderName, HeaderValue};
use url::Url;

use super::field::Field;
use super::plan::TelemetryPlan;
use super::section::Section;
use super::web::{self, Wording};

/// OpenTelemetry's own default.
const EVERY_DEFAULT: Duration = Duration::from_secs(60);
const EVERY_MIN: Duration = Duration::from_secs(1);
const EVERY_MAX: Duration = Duration::from_secs(3600);

/// By OpenTelemetry's convention.
const GRPC_PORT: u16 = 4317;

const ENDPOINT: &str = "OTEL_EXPORTER_OTLP_ENDPOINT";
const HEADERS: &str = "OTEL_EXPORTER_OTLP_HEADERS";
const PROTOCOL: &str = "OTEL_EXPORTER_OTLP_PROTOCOL";
const INTERVAL: &str = "OTEL_METRIC_EXPORT_INTERVAL";
const RESOURCE: &str = "OTEL_RESOURCE_ATTRIBUTES";
const SERVICE: &str = "OTEL_SERVICE_NAME";
const DISABLED: &str = "OTEL_SDK_DISABLED";

const URL: Wording = Wording {
    other_scheme: "is not OTLP over HTTP",
    example: "Write it like \"http://127.0.0.1:4318\".",
    user: "Write them as a header: headers.authorization = \"env:NAME\".",
};

/// What the file says.
#[derive(Default)]
struct Written {
    endpoint: Option<Url>,
    headers: BTreeMap<String, String>,
    every: Option<Duration>,
}

/// `Some(None)`: nothing is sent. `None`: a problem was recorded.
pub fn telemetry(root: &mut Section<'_>) -> Option<Option<TelemetryPlan>> {
    let here = root.here().locate("telemetry");
    let field = root.get("telemetry");
    let is_written = field.is_some();
    let written = field.map_or(Some(Written::default()), |field| written(&field))?;
    let is_off = here.variable(DISABLED).is_some_and(|text| text.eq_ignore_ascii_case("true"));
    // Who only asks sends nothing, and the variables of a shell are not the running Eddy's.
    if is_off || !here.sees_secrets() {
        return Some(None);
    }
    if is_written {
        return sent(&here, written).map(Some);
    }
    // Set for all programs of a machine, such variables stop none of them.
    let before = here.problems_count();
    let plan = here.variable(ENDPOINT).and_then(|_| sent(&here, written));
    here.excuse(before);
    Some(plan)
}

fn sent(here: &Field<'_>, written: Written) -> Option<TelemetryPlan> {
    let endpoint = match (written.endpoint, here.variable(ENDPOINT)) {
        (Some(endpoint), _) => endpoint,
        (None, Some(text)) => {
            spoken(here)?;
            from_variable(here, text)?
        }
        (None, None) => {
            let remedy = format!("Add `otlp_endpoint = \"http://127.0.0.1:4318\"`, or set {ENDPOINT}.");
            here.locate("otlp_endpoint").problem("is missing", remedy);
            return None;
        }
    };
    // A platform's headers hold the key of the platform's collector, and may go to that alone.
    let are_its_own =
        here.variable(ENDPOINT).is_none_or(|text| web::check(text, &URL).is_ok_and(|url| url == endpoint));
    let are_written = !written.headers.is_empty();
    let headers = match written.headers {
        // A collector that asks for a key would refuse all that is sent without it.
        _ if !are_written && are_its_own => pairs(here, HEADERS)?,
        headers => headers,
    };
    if let Some((fault, remedy)) = unsendable(&endpoint, &headers, are_written) {
        match are_written {
            true => here.locate("headers").problem(fault, remedy),
            false => here.blame(HEADERS, fault, remedy),
        }
        return None;
    }
    let mut resource = pairs(here, RESOURCE).unwrap_or_default();
    resource.extend(here.variable(SERVICE).map(|name| ("service.name".to_owned(), name.to_owned())));
    let every = written.every.unwrap_or_else(|| interval(here));
    Some(TelemetryPlan { endpoint, headers, every, resource })
}

/// Whether the environment's collector is to be spoken to as Eddy does. That of the file is.
fn spoken(here: &Field<'_>) -> Option<()> {
    let other = here.variable(PROTOCOL).filter(|protocol| *protocol != "http/protobuf");
    if let Some(protocol) = other {
        let remedy = "Set it to http/protobuf, or remove it; collectors take that on port 4318.";
        here.blame(PROTOCOL, format!("{protocol:?} is not spoken here"), remedy);
    }
    other.is_none().then_some(())
}

fn written(field: &Field<'_>) -> Option<Written> {
    let mut section = field.section()?;
    let endpoint = section.maybe("otlp_endpoint", |field| endpoint(&field));
    let headers = section.or("headers", BTreeMap::new(), |field| {
        let entries: Vec<_> = field.section()?.entries().collect();
        let secrets = entries
            .into_iter()
            .map(|(name, field)| Some((name.to_ascii_lowercase(), field.secret()?.to_owned())));
        secrets.collect()
    });
    let every = section.maybe("every", |field| field.duration(EVERY_MIN..=EVERY_MAX));
    section.finish();
    Some(Written { endpoint: endpoint?, headers: headers?, every: every? })
}

fn endpoint(field: &Field<'_>) -> Option<Url> {
    let url = web::url(field, &URL)?;
    if let Some((fault, remedy)) = misplaced(&url) {
        field.problem(fault, remedy);
        return None;
    }
    Some(url)
}

fn from_variable(here: &Field<'_>, text: &str) -> Option<Url> {
    let found = web::check(text, &URL)
        .and_then(|url| misplaced(&url).map_or(Ok(url), |(fault, remedy)| Err((fault.to_owned(), remedy))));
    if let Err((fault, remedy)) = &found {
        here.blame(ENDPOINT, fault, *remedy);
    }
    found.ok()
}

/// Where a collector takes something else, or a signal's own address was copied; what is wrong, and the remedy.
fn misplaced(url: &Url) -> Option<(&'static str, &'static str)> {
    let path = url.path().trim_end_matches('/');
    match () {
        () if url.query().is_some() || url.fragment().is_some() => {
            Some(("has something behind ? or #, where a path is appended", "Remove that."))
        }
        () if ["/v1/traces", "/v1/metrics", "/v1/logs"].iter().any(|signal| path.ends_with(signal)) => {
            Some(("ends in the path of one signal, which is appended", "Leave out /v1/... at the end."))
        }
        () if url.port() == Some(GRPC_PORT) => Some((
            "has port 4317, where collectors take OTLP over gRPC, which is not spoken here",
            "Write the port where yours takes OTLP over HTTP, which is 4318 unless it was changed.",
        )),
        () => None,
    }
}

/// Of milliseconds.
fn interval(here: &Field<'_>) -> Duration {
    let Some(text) = here.variable(INTERVAL) else { return EVERY_DEFAULT };
    let every = text.parse().ok().map(Duration::from_millis);
    every.filter(|every| (EVERY_MIN..=EVERY_MAX).contains(every)).unwrap_or_else(|| {
        let remedy = "Set it to 1000 to 3600000, which are ms.";
        here.blame(INTERVAL, format!("{text:?} is no usable interval"), remedy);
        EVERY_DEFAULT
    })
}

/// `name=value,name=value`, percent-encoded as in W3C's Baggage. `None`: a problem was recorded.
fn pairs(here: &Field<'_>, name: &str) -> Option<BTreeMap<String, String>> {
    let text = here.variable(name).unwrap_or_default();
    let pair = |part: &str| {
        let (key, value) = part.split_once('=')?;
        Some((key.trim().to_owned(), decoded(value.trim())?)).filter(|(key, _)| !key.is_empty())
    };
    let pairs: Option<_> = text.split(',').filter(|part| !part.trim().is_empty()).map(pair).collect();
    if pairs.is_none() {
        // Not repeated: headers hold secrets.
        here.blame(name, "cannot be read", "Write it like name=value,other=value, values percent-encoded.");
    }
    pairs
}

fn decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'%' => {
                let digits = [rest.next()?, rest.next()?].map(char::from).iter().collect::<String>();
                u8::from_str_radix(&digits, 16).ok()?
            }
            byte => byte,
        });
    }
    String::from_utf8(bytes).ok()
}

/// What keeps headers from being sent there, and the remedy. Says no value: they are secrets. Nor a name that stands in no file:
/// where a variable is written like `name: value`, what is before its first `=` has the secret in it.
fn unsendable(
    endpoint: &Url,
    headers: &BTreeMap<String, String>,
    are_written: bool,
) -> Option<(String, &'static str)> {
    if !headers.is_empty() && !web::is_private(endpoint) {
        let remedy = "Write the address of the collector with https://, or remove the headers.";
        return Some(("would go to another machine in clear".to_owned(), remedy));
    }
    let is_unusable = |(name, value): &(&String, &String)| {
        name.parse::<HeaderName>().is_err() || HeaderValue::from_str(value).is_err()
    };
    let (name, _) = headers.iter().find(is_unusable)?;
    if !are_written {
        let remedy = "Write it like name=value,other=value: names of letters, digits and dashes, values percent-encoded, each \
                      one line of printable ASCII.";
        return Some(("a name or value in it cannot be sent as a header".to_owned(), remedy));
    }
    let remedy = "Use the letters, digits and dashes of a header's name, and one line of printable ASCII.";
    Some((format!("{name:?} cannot be sent as a header"), remedy))
}
