//! Which streams take a message: by source, and by topic.

use super::topic::separator;
use crate::config::plan::{Plan, SourceKind};

/// For each source the streams that name it in `from`.
#[derive(Debug)]
pub(super) struct Routes {
    sources: Vec<SourceRoutes>,
}

#[derive(Debug)]
struct SourceRoutes {
    source: Box<str>,
    streams: Vec<Route>,
}

#[derive(Debug)]
struct Route {
    stream: usize,
    topics: Topics,
}

#[derive(Debug)]
enum Topics {
    All,
    /// HTTP: the stream named in the request's path.
    Named(Box<str>),
    Filter(Filter),
}

impl Routes {
    pub fn new(plan: &Plan) -> Self {
        let mut sources: Vec<SourceRoutes> = plan
            .sources
            .iter()
            .map(|source| SourceRoutes { source: source.name.as_str().into(), streams: Vec::new() })
            .collect();
        for (source, routes) in plan.sources.iter().zip(&mut sources) {
            for (stream, stream_plan) in plan.streams.iter().enumerate() {
                if !stream_plan.from.contains(&source.name) {
                    continue;
                }
                let topics = match (&source.kind, &stream_plan.topics) {
                    (SourceKind::Http(_), _) => Topics::Named(stream_plan.name.as_str().into()),
                    (kind, Some(filter)) => {
                        let of_kafka = matches!(kind, SourceKind::Kafka(_));
                        Topics::Filter(Filter::new(filter, separator(of_kafka)))
                    }
                    (_, None) => Topics::All,
                };
                routes.streams.push(Route { stream, topics });
            }
        }
        Routes { sources }
    }

    /// Indices of the streams that take a message, in order.
    pub fn streams(&self, source: &str, topic: &str) -> impl Iterator<Item = usize> {
        let routes = self.sources.iter().find(|routes| &*routes.source == source);
        let streams = routes.map_or(&[][..], |routes| &routes.streams);
        streams
            .iter()
            .filter(move |route| match &route.topics {
                Topics::All => true,
                Topics::Named(name) => **name == *topic,
                Topics::Filter(filter) => filter.matches(topic),
            })
            .map(|route| route.stream)
    }
}

/// An MQTT topic filter taken apart (MQTT 3.1.1, section 4.7): `+` is one level, a final `#` is its
/// parent and everything below. On Kafka's topics the same, with dots between the levels.
#[derive(Debug)]
struct Filter {
    separator: u8,
    levels: Vec<Level>,
    /// Ends in `#`, which is not among the levels.
    open: bool,
}

#[derive(Debug, PartialEq)]
enum Level {
    Any,
    Named(Box<[u8]>),
}

impl Filter {
    fn new(filter: &str, separator: char) -> Self {
        let (levels, open) = match filter.strip_suffix('#') {
            Some(parent) => (parent.strip_suffix(separator), true),
            None => (Some(filter), false),
        };
        let level =
            |level| if level == "+" { Level::Any } else { Level::Named(Box::from(str::as_bytes(level))) };
        let levels = levels.map_or_else(Vec::new, |levels| levels.split(separator).map(level).collect());
        Filter { separator: separator as u8, levels, open }
    }

    fn matches(&self, topic: &str) -> bool {
        // A filter that starts with a wildcard does not reach topics that start with `$`.
        if topic.starts_with('$') && !matches!(self.levels.first(), Some(Level::Named(_))) {
            return false;
        }
        let mut rest = Some(topic.as_bytes());
        for level in &self.levels {
            let Some(levels) = rest else { return false };
            let len = match level {
                Level::Any => levels.iter().position(|&b| b == self.separator).unwrap_or(levels.len()),
                Level::Named(name) if levels.starts_with(name) => name.len(),
                Level::Named(_) => return false,
            };
            rest = match levels.get(len) {
                None => None,
                Some(&byte) if byte == self.separator => Some(&levels[len + 1..]),
                Some(_) => return false,
            };
        }
        self.open || rest.is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::Filter;

    /// The examples of MQTT 3.1.1, sections 4.7.1 and 4.7.2.
    #[test]
    fn filters_match_as_the_specification_says() {
        let table = [
            ("sport/tennis/player1/#", "sport/tennis/player1", true),
            ("sport/tennis/player1/#", "sport/tennis/player1/ranking", true),
            ("sport/tennis/player1/#", "sport/tennis/player1/score/wimbledon", true),
            ("sport/tennis/player1/#", "sport/tennis/player10", false),
            ("sport/#", "sport", true),
            ("#", "a/b", true),
            ("sport/tennis/+", "sport/tennis/player1", true),
            ("sport/tennis/+", "sport/tennis/player1/ranking", false),
            ("sport/+", "sport", false),
            ("sport/+", "sport/", true),
            ("+/+", "/finance", true),
            ("/+", "/finance", true),
            ("+", "/finance", false),
            ("+/tennis/#", "sport/tennis", true),
            ("sport/+/player1", "sport/tennis/player1", true),
            ("#", "$SYS/broker", false),
            ("+/monitor/Clients", "$SYS/monitor/Clients", false),
            ("$SYS/#", "$SYS/broker", true),
            ("$SYS/monitor/+", "$SYS/monitor/Clients", true),
            ("a/b", "a/b", true),
            ("a/b", "A/b", false),
            ("a/b", "a/b/", false),
            ("a/b", "a", false),
        ];
        for (filter, topic, expected) in table {
            assert_eq!(Filter::new(filter, '/').matches(topic), expected, "{filter} on {topic}");
        }
    }

    #[test]
    fn on_topics_of_kafka_levels_are_between_dots() {
        let table = [
            ("plant.+.pumps", "plant.north.pumps", true),
            ("plant.+.pumps", "plant.north.west.pumps", false),
            ("plant.#", "plant", true),
            ("plant.#", "plant.north", true),
            ("plant.#", "plants", false),
        ];
        for (filter, topic, expected) in table {
            assert_eq!(Filter::new(filter, '.').matches(topic), expected, "{filter} on {topic}");
        }
    }
}
