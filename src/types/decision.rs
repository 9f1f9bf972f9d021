//! What was decided of a key, and why.

use serde::ser::Error;
use serde::{Deserialize, Serialize, Serializer};

use super::EventTime;

/// State an alert's revision announces.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AlertState {
    Raised,
    /// Late data changed what was told, or another transaction of the episode is odd; it goes on.
    Revised,
    Resolved,
    /// Late data shows that there was nothing out of the ordinary.
    Retracted,
}

impl AlertState {
    /// The episode goes on as of this revision.
    pub fn is_firing(self) -> bool {
        matches!(self, AlertState::Raised | AlertState::Revised)
    }
}

/// What ended an episode.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Resolution {
    /// Nothing is odd any more.
    Calm,
    /// It was odd for so long that it is the key's new state.
    Standing,
}

/// One column's part in a decision, in the stream's own units.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ColumnEvidence {
    pub column: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unit: Option<String>,
    /// End of the cell that this is of, ns: the one in which the column departs the most from what was expected of it, where
    /// it has a part in the surprise, else the window's last. `None` for an event before the last of a window of several,
    /// and in alerts of versions before, which were of the last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cell_end: Option<EventTime>,
    /// What the readings in that cell come to; `None` when missing.
    pub value: Option<f64>,
    /// What the model expected there, given every other column.
    pub expected: f64,
    /// Central 95 % of that expectation.
    pub expected_low: f64,
    pub expected_high: f64,
    /// Share of the surprise this column carries; the shares of a decision add up to 1.
    pub share: f64,
}

/// What was decided. A pure function of the partition's log and the control log: no clock in here.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Decision {
    /// hash(deployment, stream, key, rule, onset); constant over revisions.
    pub id: String,
    pub revision: u32,
    pub state: AlertState,
    pub stream: String,
    pub key: String,
    pub rule: String,
    /// Start of the window that opened the episode, the last row before a silence, or the start of the grid cell in
    /// which something set in, ns.
    pub onset: EventTime,
    #[serde(flatten)]
    pub about: About,
}

/// What a decision is about. Each rule has evidence of its own and a body holds no field of another's: a
/// zero would read like a measurement. What is read back is told apart by the fields that only one rule has.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum About {
    Window(WindowEvidence),
    NoData(NoDataEvidence),
    Onset(OnsetEvidence),
}

/// A window out of the ordinary.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct WindowEvidence {
    /// The window this revision is about: `[start, end)`, ns.
    pub window_start: EventTime,
    pub window_end: EventTime,
    pub epoch: i64,
    /// Checksum of the model that scored the window.
    pub model: String,
    /// Exact log-likelihood of the observed cells, nats.
    pub log_likelihood: f64,
    #[serde(serialize_with = "number")]
    pub p_value: f64,
    pub threshold: f64,
    /// The smallest p-value of the episode so far.
    pub p_value_min: f64,
    /// Of a transaction: the episode's anomalous ones so far.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub transactions_anomalous: Option<u32>,
    /// Share of the window's cells that were observed.
    pub coverage: f64,
    /// Of a resolved alert.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resolution: Option<Resolution>,
    /// How much of the verdict was seen rather than extrapolated, in [0, 1]: few windows, missing cells and a key of
    /// which little is known lower it. `None` in alerts of versions before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub confidence: Option<f64>,
    pub columns: Vec<ColumnEvidence>,
}

/// JSON has no NaN, and `null` in its place could not be read back: better no decision than one that is lost.
fn number<S: Serializer>(value: &f64, to: S) -> Result<S::Ok, S::Error> {
    if value.is_nan() {
        return Err(S::Error::custom("it is not a number"));
    }
    to.serialize_f64(*value)
}

/// A key that had sent regularly and is silent. Times are event times.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NoDataEvidence {
    /// Its newest row before the silence, ns.
    pub last_seen: EventTime,
    /// From one row to the next, as it used to be or as configured.
    pub expected_every_ns: i64,
    /// Until when a row was waited for, ns.
    pub due: EventTime,
    /// The row that ended the silence, ns.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resumed: Option<EventTime>,
}

/// What of a column left its range.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Watched {
    /// A cell's value.
    Value,
    /// The mean of the last ten cells, about.
    Mean,
    /// That mean, against the same four hours of earlier days.
    MeanOfHours,
}

/// A grid cell in which a column went further than it ever had. Times are event times.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct OnsetEvidence {
    /// `[start, end)` of the cell, ns.
    pub cell_start: EventTime,
    pub cell_end: EventTime,
    pub epoch: i64,
    pub column: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unit: Option<String>,
    pub watched: Watched,
    /// What left the range, and the range as it was until then, in the column's unit.
    pub value: f64,
    pub range_low: f64,
    pub range_high: f64,
    /// How far it went in widths of the range, weighed by how long the range had held; see `judge::onset`.
    pub score: f64,
    /// From which score on there is an alert.
    pub score_threshold: f64,
    /// End of the cell with which the time ended in which more of it would have been the same onset, ns.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended: Option<EventTime>,
}

impl Decision {
    /// `webhook-id`: the same over retries, restarts and replays.
    pub fn message_id(&self) -> String {
        format!("{}_{}", self.id, self.revision)
    }

    /// The Standard Webhooks `type` of this revision.
    pub fn event_type(&self) -> &'static str {
        match (&self.about, self.state) {
            (About::Window(_), AlertState::Raised) => "anomaly.raised",
            (About::Window(_), AlertState::Revised) => "anomaly.revised",
            (About::Window(_), AlertState::Resolved) => "anomaly.resolved",
            (About::Window(_), AlertState::Retracted) => "anomaly.retracted",
            (About::NoData(_), AlertState::Raised | AlertState::Revised) => "no_data.raised",
            (About::NoData(_), AlertState::Resolved | AlertState::Retracted) => "no_data.resolved",
            (About::Onset(_), AlertState::Raised) => "onset.raised",
            (About::Onset(_), AlertState::Revised) => "onset.revised",
            (About::Onset(_), AlertState::Resolved | AlertState::Retracted) => "onset.resolved",
        }
    }

    /// When it was so, event time: the end of the window or cell, or when the silence was noticed or ended.
    pub fn happened(&self) -> EventTime {
        match &self.about {
            About::Window(window) => window.window_end,
            About::NoData(silence) => silence.resumed.unwrap_or(silence.due),
            About::Onset(onset) => onset.ended.unwrap_or(onset.cell_end),
        }
    }

    /// `[start, end)` of the window or cell it is about; none of a silence.
    pub fn span(&self) -> Option<(EventTime, EventTime)> {
        match &self.about {
            About::Window(window) => Some((window.window_start, window.window_end)),
            About::NoData(_) => None,
            About::Onset(onset) => Some((onset.cell_start, onset.cell_end)),
        }
    }

    pub fn window(&self) -> Option<&WindowEvidence> {
        match &self.about {
            About::Window(window) => Some(window),
            About::NoData(_) | About::Onset(_) => None,
        }
    }

    pub fn silence(&self) -> Option<&NoDataEvidence> {
        match &self.about {
            About::Window(_) | About::Onset(_) => None,
            About::NoData(silence) => Some(silence),
        }
    }

    pub fn set_in(&self) -> Option<&OnsetEvidence> {
        match &self.about {
            About::Window(_) | About::NoData(_) => None,
            About::Onset(onset) => Some(onset),
        }
    }

    /// What each column has to do with a window; none where it is about something else.
    pub fn columns(&self) -> &[ColumnEvidence] {
        self.window().map_or(&[], |window| &window.columns)
    }

    /// The column it is about: that of the largest share.
    pub fn top_column(&self) -> Option<&str> {
        match &self.about {
            About::Window(window) => {
                let columns = window.columns.iter();
                columns.max_by(|a, b| a.share.total_cmp(&b.share)).map(|column| column.column.as_str())
            }
            About::NoData(_) => None,
            About::Onset(onset) => Some(&onset.column),
        }
    }
}

#[cfg(test)]
mod tests;
