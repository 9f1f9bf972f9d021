//! MQTT topic filters (MQTT 3.1.1, section 4.7), which streams use for Kafka's topics, too: with dots between the levels,
//! since those have no slashes.

use super::field::Field;

/// Longest filter: an MQTT string has a two-byte length.
const BYTES_MAX: usize = 65_535;

/// Of topics that begin with $ those that clients publish to: AWS IoT hands what comes there to a rule (Basic Ingest).
const OF_A_BROKER_S_RULES: &str = "$aws/rules/";

/// The filter, or a problem that says which rule it breaks.
pub fn parse_filter(field: &Field<'_>, separator: char) -> Option<String> {
    let text = field.text()?;
    let levels: Vec<&str> = text.split(separator).collect();
    let fault = if text.is_empty() || text.len() > BYTES_MAX || text.contains('\0') {
        "must have 1 to 65535 bytes and no NUL"
    } else if levels[..levels.len() - 1].iter().any(|level| level.contains('#')) {
        "has a # that is not its last level"
    } else if levels.iter().any(|level| level.len() > 1 && level.contains(['#', '+'])) {
        "mixes a wildcard with other characters in one level"
    } else {
        return Some(text.to_string());
    };
    field.problem(
        format!("the topic filter {text:?} {fault}"),
        format!(
            "Write + for exactly one level and # for all that follow, such as {:?}.",
            ["plant", "+", "pump", "#"].join(&separator.to_string())
        ),
    );
    None
}

/// A topic to publish to (section 4.7.3), or a problem that says which rule it breaks.
pub fn parse_topic(field: &Field<'_>) -> Option<String> {
    let text = field.text()?;
    let (fault, remedy) = if text.is_empty() || text.len() > BYTES_MAX || text.contains('\0') {
        ("must have 1 to 65535 bytes and no NUL", "Write it like \"alerts/eddy\".")
    } else if text.contains(['+', '#']) {
        ("has a wildcard, and a message goes to one topic", "Write it without + and #, like \"alerts/eddy\".")
    } else if text.starts_with('$') && !text.starts_with(OF_A_BROKER_S_RULES) {
        ("begins with $, and such topics are the broker's own", "Write it without, like \"alerts/eddy\".")
    } else {
        return Some(text.to_string());
    };
    field.problem(format!("the topic {text:?} {fault}"), remedy);
    None
}

/// Whether a subscription of `filter` brings what is published to `topic` (section 4.7.1).
pub fn takes(filter: &str, topic: &str) -> bool {
    let filter = match filter.strip_prefix("$share/") {
        Some(shared) => shared.split_once('/').map_or("", |(_, filter)| filter),
        None => filter,
    };
    if topic.starts_with('$') && filter.starts_with(['+', '#']) {
        return false;
    }
    let mut levels = topic.split('/');
    for level in filter.split('/') {
        // `a/#` takes `a`, too.
        if level == "#" {
            return true;
        }
        match levels.next() {
            Some(of_topic) if level == "+" || level == of_topic => {}
            _ => return false,
        }
    }
    levels.next().is_none()
}

/// Number of levels a topic that matches `filter` has; `None` when that is open (`#`).
pub fn levels(filter: &str, separator: char) -> Option<usize> {
    // `$share/group/` belongs to the subscription, not to the topic.
    let topic = match filter.strip_prefix("$share/") {
        Some(shared) => shared.split_once('/').map_or("", |(_, topic)| topic),
        None => filter,
    };
    (!topic.ends_with('#')).then(|| topic.split(separator).count())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_of_filters() {
        assert_eq!(levels("plant/+/pump/7", '/'), Some(4));
        assert_eq!(levels("plant/#", '/'), None);
        assert_eq!(levels("$share/eddy/plant/+", '/'), Some(2));
    }

    #[test]
    fn filters_take_topics_as_a_broker_has_it() {
        for filter in ["plant/a", "plant/+", "+/a", "#", "plant/#", "plant/a/#", "$share/eddies/plant/+"] {
            assert!(takes(filter, "plant/a"), "{filter}");
        }
        for filter in ["plant", "plant/a/b", "plant/+/+", "+", "alerts/#", "$share/eddies/alerts/+"] {
            assert!(!takes(filter, "plant/a"), "{filter}");
        }
        assert!(!takes("#", "$SYS/a") && !takes("+/a", "$SYS/a") && takes("$SYS/#", "$SYS/a"));
    }
}
