//! The four answers of the first five seconds: is it healthy, what broke first, is it real, who was told.

use serde::Serialize;

use super::alerts::{AlertEntry, DeliveryState};
use super::format::{Format, NONE, odds};
use super::snapshot::{SinkState, Snapshot, State, StreamView};
use crate::types::About;

/// How a tile is coloured. Normal has no colour.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    #[default]
    Normal,
    /// Not abnormal, not watched yet.
    Wait,
    Warn,
    Firing,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Tile {
    pub level: Level,
    /// Says the same as the colour.
    pub mark: &'static str,
    pub headline: String,
    pub lines: [String; 2],
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Tiles {
    pub healthy: Tile,
    pub first: Tile,
    pub real: Tile,
    pub told: Tile,
    /// Event time of the first open alert's onset, ns.
    pub first_onset_ns: Option<i64>,
}

impl Tiles {
    pub fn of(snapshot: &Snapshot) -> Self {
        let first_open = snapshot.alerts.rows.first().filter(|_| snapshot.alerts.open > 0);
        Tiles {
            healthy: healthy(snapshot),
            first: first(snapshot, first_open),
            real: first_open.map_or_else(|| quiet("–"), real),
            told: told(snapshot, first_open),
            first_onset_ns: first_open.map(|entry| entry.row.alert.decision.onset.0),
        }
    }
}

fn quiet(headline: &str) -> Tile {
    Tile { headline: headline.to_owned(), ..Tile::default() }
}

fn healthy(snapshot: &Snapshot) -> Tile {
    let (level, mark, headline) = match snapshot.state {
        State::Ok => (Level::Normal, "", "Healthy"),
        State::Warming => (Level::Wait, "○", "Warming up"),
        State::Empty => (Level::Wait, "○", "No data yet"),
        State::Recovering => (Level::Wait, "○", "Recovering"),
        State::Degraded => (Level::Warn, "◆", "Degraded"),
    };
    let lines = match snapshot.state {
        State::Degraded => {
            let more = snapshot.problems.len().saturating_sub(1);
            let what = snapshot.problems.first().map_or_else(String::new, |p| p.what.clone());
            [what, if more > 0 { format!("and {more} more") } else { throughput(snapshot) }]
        }
        State::Recovering => {
            let count = Format::Count.write(snapshot.totals.recovered_messages_total as f64);
            [format!("{count} messages replayed"), "nothing acknowledged is lost".to_owned()]
        }
        State::Empty => ["the command below".to_owned(), "sends a first event".to_owned()],
        State::Warming => [warm_up(snapshot), throughput(snapshot)],
        State::Ok => [throughput(snapshot), keys(snapshot)],
    };
    Tile { level, mark, headline: headline.to_owned(), lines }
}

fn throughput(snapshot: &Snapshot) -> String {
    match snapshot.totals.events_per_s {
        Some(rate) => format!("{} events/s", Format::Count.write(rate)),
        None => format!("{} events", Format::Count.write(snapshot.totals.events_total as f64)),
    }
}

/// Stream by stream: pumps and cards do not add up to anything.
fn keys(snapshot: &Snapshot) -> String {
    let count = |stream: &StreamView| Format::Count.write(stream.keys as f64);
    match &snapshot.streams[..] {
        [one] => format!("{} keys watched", count(one)),
        many => {
            let each: Vec<String> = many.iter().map(|s| format!("{} {}", count(s), s.name)).collect();
            format!("keys: {}", each.join(", "))
        }
    }
}

/// The stream that is furthest from scoring.
fn warm_up(snapshot: &Snapshot) -> String {
    let behind = snapshot.streams.iter().filter(|s| s.keys > 0).min_by_key(|s| s.warm_milli);
    behind.map_or_else(String::new, warm_line)
}

fn warm_line(stream: &StreamView) -> String {
    let done = Format::Milli.write(stream.warm_milli as f64);
    let count = |count: u64| Format::Count.write(count as f64);
    let keys = format!("{} of {} keys", count(stream.alive.keys_warm), count(stream.alive.keys));
    match stream.warm_eta_ns {
        Some(ns) => {
            format!("{} {done}, {keys}, about {} left", stream.name, Format::Duration.write(ns as f64))
        }
        None => format!("{} {done}, {keys}", stream.name),
    }
}

fn first(snapshot: &Snapshot, open: Option<&AlertEntry>) -> Tile {
    let Some(entry) = open else {
        let nothing = match snapshot.state {
            State::Ok | State::Degraded => "Nothing firing",
            State::Warming if snapshot.streams.iter().any(|s| s.windows_total > 0) => "Nothing firing",
            _ => "Nothing scored yet",
        };
        let last =
            snapshot.alerts.rows.first().map(|entry| format!("last: {}", entry.row.alert.decision.key));
        return Tile { lines: [last.unwrap_or_default(), String::new()], ..quiet(nothing) };
    };
    let decision = &entry.row.alert.decision;
    let others = snapshot.totals.alerts_open.max(snapshot.alerts.open as u64).saturating_sub(1);
    let second = match others {
        0 => format!("stream {}", decision.stream),
        n => format!("and {} more firing", Format::Count.write(n as f64)),
    };
    Tile {
        level: Level::Firing,
        mark: "▲",
        headline: decision.key.clone(),
        lines: [
            match decision.silence() {
                Some(_) => "no data".to_owned(),
                None => decision.top_column().unwrap_or_default().to_owned(),
            },
            second,
        ],
    }
}

/// The odds are of the oddest window: how rarely a normal one looks like it.
fn real(entry: &AlertEntry) -> Tile {
    let (headline, lines) = match &entry.row.alert.decision.about {
        About::Window(window) => {
            let observed = Format::Percent.write(window.coverage);
            let alarm = format!("alarm below {}", odds(window.threshold));
            (odds(window.p_value_min), [alarm, format!("{observed} of it observed")])
        }
        About::NoData(silence) => {
            let every = Format::Duration.write(silence.expected_every_ns as f64);
            let waited = Format::Duration.write((silence.due.0 - silence.last_seen.0) as f64);
            ("Silent".to_owned(), [format!("expected every {every}"), format!("waited for {waited}")])
        }
        About::Onset(onset) => {
            let [low, high, score, alarm] =
                [onset.range_low, onset.range_high, onset.score, onset.score_threshold]
                    .map(|x| Format::Value.write(x));
            let lines = [format!("until then {low} – {high}"), format!("score {score}, alarm from {alarm}")];
            ("New extreme".to_owned(), lines)
        }
    };
    Tile { level: Level::Firing, mark: "", headline, lines }
}

fn told(snapshot: &Snapshot, open: Option<&AlertEntry>) -> Tile {
    if snapshot.sinks.is_empty() {
        let lines = ["alerts stay on this page".to_owned(), "add a [sink.NAME]".to_owned()];
        return Tile { level: Level::Warn, mark: "◆", headline: "Nobody".to_owned(), lines };
    }
    let Some(entry) = open.or(snapshot.alerts.rows.first()) else { return quiet("Nothing to tell") };
    // Who was not told stands first: there is room for two.
    let mut deliveries: Vec<_> = entry.row.deliveries.iter().collect();
    deliveries.sort_by_key(|d| match d.state {
        DeliveryState::Failed => 0,
        DeliveryState::Pending => 1,
        DeliveryState::Silenced => 2,
        DeliveryState::Delivered => 3,
    });
    let reached = deliveries.iter().filter(|d| d.state == DeliveryState::Delivered).count();
    let line = |i: usize| {
        deliveries.get(i).map_or_else(String::new, |d| match (d.state, d.stored_to_2xx_ns) {
            (DeliveryState::Delivered, Some(ns)) => {
                format!("✓ {} {}", d.receiver, Format::Duration.write(ns as f64))
            }
            (DeliveryState::Delivered, None) => format!("✓ {}", d.receiver),
            (DeliveryState::Pending, _) if stuck(snapshot, &d.receiver).is_some() => {
                format!("✗ {}, {}", d.receiver, stuck(snapshot, &d.receiver).unwrap_or_default())
            }
            (DeliveryState::Pending, _) if d.last_error.is_some() => format!("✗ {}, tries again", d.receiver),
            (DeliveryState::Pending, _) => match d.waits_for {
                Some(revision) => format!("○ {}, waits for revision {revision}", d.receiver),
                None => format!("○ {}, under way", d.receiver),
            },
            (DeliveryState::Silenced, _) => format!("– {}, silenced", d.receiver),
            (DeliveryState::Failed, _) => format!("✗ {} gave up", d.receiver),
        })
    };
    let failed = deliveries.iter().any(|d| {
        let stuck = stuck(snapshot, &d.receiver).is_some();
        d.state != DeliveryState::Delivered && (d.last_error.is_some() || stuck)
    });
    let level = if failed { Level::Warn } else { Level::Normal };
    let headline = match open {
        Some(_) => format!("{reached} of {}", deliveries.len()),
        None if deliveries.is_empty() => NONE.to_owned(),
        None => format!("last: {reached} of {}", deliveries.len()),
    };
    Tile { level, mark: if failed { "◆" } else { "" }, headline, lines: [line(0), line(1)] }
}

/// Why a receiver takes nothing until somebody acts.
fn stuck(snapshot: &Snapshot, receiver: &str) -> Option<&'static str> {
    match snapshot.sinks.iter().find(|sink| sink.name == receiver)?.state {
        SinkState::Blocked => Some("nobody reads it"),
        SinkState::Closed => Some("closed"),
        SinkState::Disabled => Some("410 Gone"),
        SinkState::Idle | SinkState::Ok | SinkState::Retrying => None,
    }
}
