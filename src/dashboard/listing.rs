//! The list of alerts: evidence, receipt, and who was told.

use askama::Template;
use askama::filters::HtmlSafe;
use jiff::tz::TimeZone;

use super::alerts::{AlertEntry, DeliveryState, FailedRow, SegmentKind, Spoken};
use super::aside::{Receiver, SilenceLine, onsets, receivers, silence_lines};
use super::doc::Doc;
use super::format::clock;
use super::snapshot::Snapshot;
use crate::types::{AlertState, OnsetEvidence, Watched, Word};

/// Alerts shown with all their evidence; the API has the others.
const SHOWN: usize = 10;

#[derive(Template)]
#[template(path = "alerts.html")]
pub struct AlertsPart<'a> {
    pub alerts: &'a Doc<'a>,
    pub cards: Vec<Card>,
    pub more: usize,
    /// Open ones that are not shown.
    pub open_more: usize,
    pub silences: Vec<SilenceLine>,
    pub failed: &'a [FailedRow],
    pub failed_since: Vec<String>,
    pub error: Option<String>,
}

impl HtmlSafe for AlertsPart<'_> {}

/// One alert. `at` are paths into the API's document.
pub struct Card {
    pub at: String,
    pub decision: String,
    pub receipt: String,
    pub id: String,
    /// Shown unfolded: the first one that fires.
    pub open: bool,
    pub firing: bool,
    pub silenced: bool,
    /// Who has seen it.
    pub seen_by: Option<String>,
    pub said: Option<SpokenLine>,
    pub key: String,
    pub stream: String,
    pub onset: String,
    pub stored: String,
    /// When it was normal again.
    pub ended: Option<String>,
    pub retracted: bool,
    pub recovered: bool,
    /// Not about values: since when nothing came.
    pub silent_since: Option<String>,
    /// Its confidence is known.
    pub confident: bool,
    /// Of transactions: how many are odd is known.
    pub counted: bool,
    /// Not about a window: what left its range.
    pub set_in: Option<SetIn>,
    pub first: Option<Evidence>,
    pub evidence: Vec<Evidence>,
    /// The receipt: what a bar shows, and its segments.
    pub bars: [(&'static str, Vec<Stretch>); 2],
    pub receivers: Vec<Receiver>,
    pub reached: usize,
}

/// What somebody said of an alert; `at` is the path of its time.
pub struct SpokenLine {
    pub at: String,
    pub word: &'static str,
    pub reason: String,
    pub who: String,
    pub since: String,
    /// The key is told less because of it.
    pub in_force: bool,
    pub expected: bool,
}

/// A column that left its range; the numbers are in the decision.
pub struct SetIn {
    pub column: String,
    pub unit: String,
    /// What of it, after its name.
    pub watched: &'static str,
}

/// One column's part.
pub struct Evidence {
    pub at: String,
    pub name: String,
    pub unit: String,
    /// End of the cell that the numbers are of.
    pub cell: Option<String>,
    /// Of the bar, percent.
    pub width: f64,
    pub outside: bool,
}

/// One segment of a receipt's bar; lengths in percent.
pub struct Stretch {
    pub at: String,
    pub field: &'static str,
    pub name: String,
    pub class: &'static str,
    pub x: f64,
    pub width: f64,
}

impl<'a> AlertsPart<'a> {
    pub fn of(alerts: &'a Doc<'a>, snapshot: &'a Snapshot, zone: &TimeZone) -> Self {
        let rows = &snapshot.alerts.rows;
        let card = |(i, entry)| Card::of(i, entry, snapshot.time_ns, zone);
        AlertsPart {
            alerts,
            cards: rows.iter().take(SHOWN).enumerate().map(card).collect(),
            more: rows.len().saturating_sub(SHOWN),
            open_more: snapshot.alerts.open.saturating_sub(SHOWN),
            silences: silence_lines(&snapshot.alerts.silences, snapshot.time_ns, zone),
            failed: &snapshot.alerts.failed,
            failed_since: onsets(&snapshot.alerts.failed, snapshot.time_ns, zone),
            error: snapshot.alerts.error.clone(),
        }
    }
}

impl Card {
    /// `i`: its place in the document's `rows`.
    pub fn of(i: usize, entry: &AlertEntry, now_ns: i64, zone: &TimeZone) -> Self {
        let at = format!("rows[{i}]");
        let decision = &entry.row.alert.decision;
        let firing = decision.state.is_firing() && entry.resolved.is_none();
        let mut evidence = evidence(&at, entry, now_ns, zone);
        evidence.sort_by(|a, b| b.width.total_cmp(&a.width));
        let (whole, own) = receipt(&at, entry);
        Card {
            decision: format!("{at}.alert.decision"),
            receipt: format!("{at}.alert.receipt"),
            id: decision.id.clone(),
            open: i == 0 && firing,
            firing,
            silenced: entry.is_silenced(),
            seen_by: entry.acknowledged.as_ref().map(|seen| seen.author.clone()),
            said: entry.feedback.as_ref().map(|said| SpokenLine::of(&at, said, now_ns, zone)),
            key: decision.key.clone(),
            stream: decision.stream.clone(),
            onset: clock(decision.onset.0, now_ns, zone),
            stored: clock(entry.row.stored_at_ns, now_ns, zone),
            ended: entry.resolved.as_ref().map(|end| clock(end.window_end, now_ns, zone)),
            retracted: entry.resolved.as_ref().is_some_and(|end| end.state == AlertState::Retracted),
            recovered: entry.row.alert.receipt.recovered,
            confident: decision.window().is_some_and(|window| window.confidence.is_some()),
            counted: decision.window().is_some_and(|window| window.transactions_anomalous.is_some()),
            silent_since: decision.silence().map(|silence| clock(silence.last_seen.0, now_ns, zone)),
            set_in: decision.set_in().map(SetIn::of),
            first: self::evidence(&at, entry, now_ns, zone)
                .into_iter()
                .max_by(|a, b| a.width.total_cmp(&b.width)),
            evidence,
            bars: [("To scale", whole), ("Eddy's part, enlarged", own)],
            receivers: receivers(&at, entry, now_ns, zone),
            reached: entry.row.deliveries.iter().filter(|d| d.state == DeliveryState::Delivered).count(),
            at,
        }
    }
}

impl SpokenLine {
    fn of(at: &str, said: &Spoken, now_ns: i64, zone: &TimeZone) -> Self {
        SpokenLine {
            at: format!("{at}.feedback"),
            word: said.verdict.as_str(),
            reason: said.reason.clone(),
            who: said.who.clone(),
            since: clock(said.at_ns, now_ns, zone),
            in_force: said.in_force,
            expected: said.verdict == Word::Expected,
        }
    }
}

impl SetIn {
    fn of(onset: &OnsetEvidence) -> Self {
        SetIn {
            column: onset.column.clone(),
            unit: onset.unit.clone().unwrap_or_default(),
            watched: match onset.watched {
                Watched::Value => "",
                Watched::Mean => ", mean",
                Watched::MeanOfHours => ", mean at this time of day",
            },
        }
    }
}

fn evidence(at: &str, entry: &AlertEntry, now_ns: i64, zone: &TimeZone) -> Vec<Evidence> {
    let columns = entry.row.alert.decision.columns().iter().enumerate();
    columns
        .map(|(c, column)| Evidence {
            at: format!("{at}.alert.decision.columns[{c}]"),
            name: column.column.clone(),
            unit: column.unit.clone().unwrap_or_default(),
            cell: column.cell_end.map(|end| clock(end.0, now_ns, zone)),
            width: (100.0 * column.share).clamp(0.0, 100.0),
            outside: column.value.is_some_and(|v| !(column.expected_low..=column.expected_high).contains(&v)),
        })
        .collect()
}

/// Two bars: the whole way to scale, and Eddy's own part enlarged. Windows last seconds, Eddy takes
/// microseconds: on one scale its part would be invisible.
fn receipt(at: &str, entry: &AlertEntry) -> (Vec<Stretch>, Vec<Stretch>) {
    let receipt = &entry.row.alert.receipt;
    let delivery =
        entry.row.deliveries.iter().enumerate().filter_map(|(d, row)| Some((d, row.stored_to_2xx_ns?)));
    let first = delivery.min_by_key(|&(_, ns)| ns);
    let own = receipt
        .segments
        .iter()
        .enumerate()
        .filter(|(_, s)| SegmentKind::of(&s.stage) != SegmentKind::Outside);
    let outside = receipt
        .segments
        .iter()
        .enumerate()
        .filter(|(_, s)| SegmentKind::of(&s.stage) == SegmentKind::Outside);
    let segment = |(s, segment): (usize, &crate::types::Segment)| Part {
        at: format!("{at}.alert.receipt.segments[{s}]"),
        field: "ns",
        name: readable(&segment.stage),
        class: class(SegmentKind::of(&segment.stage)),
        ns: segment.ns,
    };
    let mut whole: Vec<Part> = outside.map(segment).collect();
    whole.push(Part {
        at: at.to_owned(),
        field: "eddy_ns",
        name: "Eddy".to_owned(),
        class: "computing",
        ns: entry.eddy_ns,
    });
    whole.extend(first.map(|(d, ns)| Part {
        at: format!("{at}.deliveries[{d}]"),
        field: "stored_to_2xx_ns",
        name: format!("delivery to {}", entry.row.deliveries[d].receiver),
        class: "moving",
        ns: ns.max(0) as u64,
    }));
    (stretches(whole), stretches(own.map(segment).collect()))
}

struct Part {
    at: String,
    field: &'static str,
    name: String,
    class: &'static str,
    ns: u64,
}

fn stretches(parts: Vec<Part>) -> Vec<Stretch> {
    let total: u64 = parts.iter().map(|part| part.ns).sum();
    let percent = |ns: u64| 100.0 * ns as f64 / total.max(1) as f64;
    let mut passed = 0;
    parts
        .into_iter()
        .map(|part| {
            let (x, width) = (percent(passed), percent(part.ns));
            passed += part.ns;
            let Part { at, field, name, class, .. } = part;
            Stretch { at, field, name, class, x, width }
        })
        .collect()
}

pub fn class(kind: SegmentKind) -> &'static str {
    match kind {
        SegmentKind::Outside => "outside",
        SegmentKind::Waiting => "waiting",
        SegmentKind::Computing => "computing",
        SegmentKind::Moving => "moving",
    }
}

/// Stage names as a reader says them.
pub fn readable(stage: &str) -> String {
    match stage {
        "wait_watermark" => "wait for watermark, by design".to_owned(),
        "recovery" => "Eddy was away".to_owned(),
        stage => stage.replace('_', " "),
    }
}
