//! What sources and sinks of Kafka have in common: the cluster, and names of topics.

mod access;

use super::field::Field;
use super::plan::ClusterPlan;
use super::section::Section;

pub use access::tls;

const BROKERS_MAX: usize = 64;
/// Kafka's own limit for a topic.
pub const TOPIC_BYTES_MAX: usize = 249;

/// `brokers`, `tls` and `sasl` of a section. `None`: a problem was recorded.
pub fn cluster(section: &mut Section<'_>) -> Option<ClusterPlan> {
    let brokers = section
        .required("brokers", "[\"127.0.0.1:9092\"]")
        .and_then(|field| each(&field, "brokers", BROKERS_MAX, broker));
    let tls = section.maybe("tls", |field| access::tls(&field));
    let sasl = section.maybe("sasl", |field| access::sasl(&field));
    Some(ClusterPlan { brokers: brokers?, tls: tls?, sasl: sasl? })
}

/// One text or a list of them, each once.
pub fn each(
    field: &Field<'_>,
    what: &str,
    max: usize,
    read: fn(&Field<'_>) -> Option<String>,
) -> Option<Vec<String>> {
    let fields = field.one_or_many();
    if fields.is_empty() || fields.len() > max {
        field.problem(format!("lists {} {what}", fields.len()), format!("List 1 to {max}."));
        return None;
    }
    let texts: Vec<Option<String>> = fields.iter().map(read).collect();
    for (index, text) in texts.iter().enumerate() {
        if text.is_some() && texts[..index].contains(text) {
            fields[index].problem("the same is listed twice", "Remove one of them.");
        }
    }
    texts.into_iter().collect()
}

/// `HOST:PORT`.
fn broker(field: &Field<'_>) -> Option<String> {
    let text = field.text()?;
    let fits = text.rsplit_once(':').is_some_and(|(host, port)| {
        let legal = |c: char| c.is_ascii_alphanumeric() || "-_.[]:".contains(c);
        let bare = host.contains(':') && !(host.starts_with('[') && host.ends_with(']'));
        !host.is_empty() && !bare && host.chars().all(legal) && port.parse::<u16>().is_ok_and(|port| port > 0)
    });
    if !fits {
        field.problem(
            format!("{text:?} is no address of a broker"),
            "Write host and port, such as \"kafka-1.plant.local:9092\"; whether by TLS is said in `tls`.",
        );
    }
    fits.then(|| text.to_string())
}

/// Whether a topic may have this name.
pub fn is_name(text: &str) -> bool {
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    (1..=TOPIC_BYTES_MAX).contains(&text.len()) && text.bytes().all(legal) && !matches!(text, "." | "..")
}

/// The name of a topic, and no regular expression.
pub fn topic_name(field: &Field<'_>) -> Option<String> {
    let text = field.text()?;
    if !is_name(text) {
        field.problem(
            format!("{text:?} is no name of a topic"),
            format!("Use 1 to {TOPIC_BYTES_MAX} characters of A-Z, a-z, 0-9, ., _ and -."),
        );
        return None;
    }
    Some(text.to_string())
}
