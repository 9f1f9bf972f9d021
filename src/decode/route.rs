//! Which streams take a message: by source, and by topic.

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
    Filter(Box<str>),
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
                    (_, Some(filter)) => Topics::Filter(filter.as_str().into()),
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
                Topics::Filter(filter) => matches(filter, topic),
            })
            .map(|route| route.stream)
    }
}

/// MQTT 3.1.1, section 4.7: `+` is one level, a final `#` is its parent and everything below, and a
/// filter that starts with a wildcard does not reach topics that start with `$`.
fn matches(filter: &str, topic: &str) -> bool {
    if topic.starts_with('$') && filter.starts_with(['+', '#']) {
        return false;
    }
    let mut levels = topic.split('/');
    for wanted in filter.split('/') {
        match (wanted, levels.next()) {
            ("#", _) => return true,
            ("+", Some(_)) => {}
            (wanted, Some(level)) if wanted == level => {}
            _ => return false,
        }
    }
    levels.next().is_none()
}

#[cfg(test)]
mod tests {
    use super::matches;

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
            assert_eq!(matches(filter, topic), expected, "{filter} on {topic}");
        }
    }
}
