//! What a run came to, held to what it must come to, and written down.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Mutex;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::e2e::expect::{self, Outcome};
use crate::e2e::receiver::Receiver;
use crate::run::Run;

/// Attempts one sink has under way.
const SENDING_MAX: usize = 8;

/// One line of `benches/kill-matrix.json`.
#[derive(Serialize, Deserialize)]
pub struct Figures {
    pub scenario: String,
    pub events: usize,
    pub kills: u64,
    pub alerts_expected: usize,
    /// Different `webhook-id`s; by the end every receiver had each.
    pub alerts_received: usize,
    /// Requests with a `webhook-id` the receiver had seen: the same bytes, which was checked.
    pub duplicate_deliveries: usize,
    /// Requests the receiver refused, left unanswered or cut off.
    pub refused: usize,
    /// Messages in the log more than once: their acknowledgement was lost with a process or the broker.
    pub redelivered_events: usize,
    /// Published, and not in the log at the end.
    pub lost: usize,
    /// In the log or at the receiver without having been published or expected.
    pub extra: usize,
    pub seconds: f64,
    pub seed: u64,
    pub commit: String,
}

/// Waits until process and receivers have come to the outcome, then holds all to it.
pub fn hold(
    scenario: &str,
    run: &mut Run,
    told: &BTreeMap<String, Value>,
    receiver: &Receiver,
    refused: usize,
) {
    let expected = run.scale.expected();
    let found = expect::by_the_api(run.eddy());
    let said = run.eddy().said();
    let missing: Vec<_> = expected.decisions.keys().filter(|id| !told.contains_key(*id)).collect();
    let extra: Vec<_> = told.keys().filter(|id| !expected.decisions.contains_key(*id)).collect();
    assert!(
        missing.is_empty() && extra.is_empty(),
        "missing {missing:?}, extra {extra:?}; eddy said:\n{said}"
    );
    assert_eq!(*told, expected.decisions, "decisions as received");
    assert_eq!(found.decisions, expected.decisions, "decisions as stored");
    assert_eq!(found.partitions, expected.partitions, "events, windows and verdicts by partition");
    one_id_an_anomaly(told);
    in_order_of_revision(receiver);
    let late: u64 = run.eddy().partitions().iter().map(|p| p.late_total).sum();
    assert_eq!(late, 0, "no row came too late");
    assert!(run.scale.kills == 0 || run.reread > 0, "no kill met a message that had to be scored again");
    run.stop();
    let (lost, unknown, redelivered_events) = log_against_published(run);
    let requests = receiver.received();
    let ids: BTreeSet<&str> = requests.iter().map(|request| request.id()).collect();
    let figures = Figures {
        scenario: scenario.to_owned(),
        events: run.scale.events,
        kills: run.kills,
        alerts_expected: expected.decisions.len(),
        alerts_received: told.len(),
        duplicate_deliveries: requests.len() - ids.len(),
        refused,
        redelivered_events,
        lost,
        extra: unknown + extra.len(),
        seconds: (run.began.elapsed().as_secs_f64() * 10.0).round() / 10.0,
        seed: run.scale.seed,
        commit: std::env::var("EDDY_COMMIT").unwrap_or_default(),
    };
    // What a kill may have sent and not written down, and what was refused: nothing else is sent twice.
    let most = SENDING_MAX * run.kills as usize + refused;
    assert!(figures.duplicate_deliveries <= most, "{} alerts sent again", figures.duplicate_deliveries);
    println!("{}", serde_json::to_string(&figures).expect("figures are JSON"));
    assert_eq!((lost, unknown), (0, 0), "messages lost, and unknown ones in the log");
    write_down(figures);
}

/// Waits until every event is in, every window is judged, and nothing waits in the outbox for these sinks.
pub fn settle(run: &mut Run, sinks: &[&str]) {
    let expected: &Outcome = run.scale.expected();
    let windows = |outcome: u64, of: &(u64, u64, String)| outcome + of.1;
    let (events, closed) = (run.scale.events as u64, expected.partitions.values().fold(0, windows));
    run.eddy().until("the end of the stream", |eddy| {
        let partitions = eddy.partitions();
        let seen: u64 = partitions.iter().map(|p| p.events_total).sum();
        let judged: u64 = partitions.iter().map(|p| p.windows_total).sum();
        (seen == events && judged == closed).then_some(())
    });
    run.eddy().until("every alert is stored", |eddy| {
        (eddy.alerts().len() >= expected.decisions.len()).then_some(())
    });
    // By what is written down: the metric shows a moment later that something waits.
    let waits = |row: &Value| {
        let deliveries = row["deliveries"].as_array().expect("deliveries").iter();
        deliveries
            .filter(|of| sinks.iter().any(|sink| of["receiver"] == *sink))
            .any(|of| of["state"] == "pending")
    };
    run.eddy().until("every alert is told", |eddy| (!eddy.alerts().iter().any(waits)).then_some(()));
}

/// An anomaly is a key and where it began.
fn one_id_an_anomaly(told: &BTreeMap<String, Value>) {
    let mut ids: HashMap<(String, i64), &str> = HashMap::new();
    for decision in told.values() {
        let anomaly = (decision["key"].to_string(), decision["onset"].as_i64().expect("a time"));
        let id = decision["id"].as_str().expect("an id");
        let first = *ids.entry(anomaly).or_insert(id);
        assert_eq!(first, id, "one anomaly under two ids");
    }
}

/// Nobody hears of the end of an alert before its beginning.
fn in_order_of_revision(receiver: &Receiver) {
    let mut newest: HashMap<String, u64> = HashMap::new();
    for request in receiver.received() {
        let (id, revision) = request.id().rsplit_once('_').expect("id and revision");
        let revision: u64 = revision.parse().expect("a number");
        let newest = newest.entry(id.to_owned()).or_default();
        assert!(revision <= *newest + 1, "revision {revision} of {id} after {newest}");
        *newest = revision.max(*newest);
    }
}

/// Published messages that are not in the log, unknown ones that are, and copies.
fn log_against_published(run: &Run) -> (usize, usize, usize) {
    let mut times: HashMap<Vec<u8>, usize> = HashMap::new();
    for message in run.deployment.logged() {
        *times.entry(message.payload.to_vec()).or_default() += 1;
    }
    let (rows, closers) = run.scale.rows();
    let published = rows.iter().chain(&closers);
    let logged = published.filter(|row| times.contains_key(&row.message().payload[..])).count();
    let copies = times.values().map(|n| n - 1).sum();
    (run.scale.events - logged, times.len() - logged, copies)
}

/// Into the file `EDDY_MATRIX` names, one scenario a line, in place of the scenario's line of an earlier run.
fn write_down(figures: Figures) {
    static FILE: Mutex<()> = Mutex::new(());
    let Ok(path) = std::env::var("EDDY_MATRIX") else { return };
    let _alone = FILE.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    let text = std::fs::read_to_string(&path).unwrap_or_else(|_| "[]".to_owned());
    let mut all: Vec<Figures> = serde_json::from_str(&text).expect("figures of an earlier run");
    all.retain(|other| other.scenario != figures.scenario);
    all.push(figures);
    all.sort_by(|a, b| a.scenario.cmp(&b.scenario));
    let lines: Vec<String> =
        all.iter().map(|f| serde_json::to_string(f).expect("figures are JSON")).collect();
    std::fs::write(&path, format!("[\n{}\n]\n", lines.join(",\n"))).expect("the figures are written");
}
