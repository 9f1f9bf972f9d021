//! Closing a window: gather every active key's cells, score them as one batch, judge each.

use crate::alert::lifecycle::{Change, alert_id};
use crate::engine::output::Raised;
use crate::engine::partition::{Closing, Partition, Scale, Scoring};
use crate::engine::setup::StreamSetup;
use crate::types::{Arrival, ColumnEvidence, Decision, EventTime, Point, Verdict};
use crate::window::keys::KeyIndex;

/// Standardised values beyond this are as odd as it gets; also bounds what one wild cell can weigh.
const Z_MAX: f32 = 20.0;

/// Half-width of the central 95 % of a normal distribution, in standard deviations.
const BAND_SD: f32 = 1.96;

const F32_MAX: f64 = f32::MAX as f64;

/// The name under which this detector's alerts are filed.
const RULE_NAME: &str = "window";

/// Clock readings of one closing, ns.
#[derive(Clone, Copy)]
struct Times {
    closing: i64,
    gathered: i64,
    scored: i64,
}

impl Partition {
    /// Closes the windows that end with `cell`.
    pub(super) fn close(&mut self, cell: i64, closing: &mut Closing<'_, '_>) {
        let began = (closing.env.now)();
        self.keys.sort();
        if self.scoring.is_none() {
            return self.collect(cell, closing.setup);
        }
        self.gather(cell, closing);
        if closing.scratch.keys.is_empty() {
            return;
        }
        let gathered = (closing.env.now)();
        let Some(scoring) = self.scoring.take() else { return };
        let scratch = &mut *closing.scratch;
        scratch.backend.score(&scoring.model, &scratch.z, &mut scratch.scores);
        let scored = (closing.env.now)();
        self.follow(closing);
        let times = Times { closing: began, gathered, scored };
        for row in 0..closing.scratch.keys.len() {
            self.judge(row, cell, &scoring, times, closing);
        }
        self.scoring = Some(scoring);
        self.account(times, closing);
    }

    fn account(&mut self, times: Times, closing: &mut Closing<'_, '_>) {
        let judged = (closing.env.now)();
        let windows = closing.scratch.keys.len() as u64;
        let out = &mut *closing.out;
        out.gather_ns += times.gathered - times.closing;
        out.score_ns += times.scored - times.gathered;
        out.judge_ns += judged - times.scored;
        out.windows += windows;
        out.verdicts.push((Arrival(closing.trigger), judged, windows as u32));
    }

    /// While warming up: keeps what a fit will learn from.
    fn collect(&mut self, cell: i64, setup: &StreamSetup) {
        let end_ns = (cell + 1) * setup.grid_ns;
        for &key in self.keys.ordered() {
            if self.grid.active(key, cell) {
                self.counts.windows_unscored += 1;
                let hash = self.keys.hash(key);
                self.warmup.offer(key, hash, end_ns, |out| self.grid.gather(key, cell, out));
            }
        }
        self.counts.warm_milli = self.warmup.progress_milli(end_ns, setup.warmup_ns);
    }

    /// Fills the scratch with the standardised windows of all active keys, in canonical order.
    fn gather(&mut self, cell: i64, closing: &mut Closing<'_, '_>) {
        let columns = closing.setup.columns.len();
        let scratch = &mut *closing.scratch;
        scratch.keys.clear();
        scratch.z.clear();
        // Once for all of them: growing by and by would take twice the room.
        let width = closing.setup.cells * columns;
        scratch.z.reserve_exact(self.keys.len() * width);
        for &key in self.keys.ordered() {
            if !self.grid.active(key, cell) {
                continue;
            }
            let start = scratch.z.len();
            self.grid.gather(key, cell, &mut scratch.z);
            let scales = &self.scales[key as usize * columns..][..columns];
            standardise(&mut scratch.z[start..], scales);
            scratch.keys.push(key);
        }
    }

    /// Brings the set of followed keys up to date when the page asked for others.
    fn follow(&mut self, closing: &Closing<'_, '_>) {
        if self.follows_version != closing.env.follows_version {
            self.follows_version = closing.env.follows_version;
            for key in 0..self.followed.len() {
                let hash = self.keys.hash(key as KeyIndex);
                self.followed[key] = (closing.env.follows)(closing.setup.id, hash);
            }
        }
    }

    fn judge(
        &mut self,
        row: usize,
        cell: i64,
        scoring: &Scoring,
        times: Times,
        closing: &mut Closing<'_, '_>,
    ) {
        let setup = closing.setup;
        let key = closing.scratch.keys[row];
        let surprise = closing.scratch.scores.surprise[row];
        let p_value = scoring.calibrator.p_value(surprise);
        let confident = self.confident(row, key, scoring, closing);
        let verdict = Verdict { p_value, anomalous: p_value < setup.rule.threshold, confident };
        let end_ns = (cell + 1) * setup.grid_ns;
        self.count(key, end_ns, surprise, verdict);
        if confident {
            self.last_surprise[key as usize] = surprise;
        }
        let start = EventTime(end_ns - setup.cells as i64 * setup.grid_ns);
        let change = self.episodes[key as usize].step(verdict, start, setup.rule);
        if change.is_none() && !self.followed[key as usize] {
            return;
        }
        self.explain(row, scoring, closing);
        if let Some(change) = change {
            self.counts.alerts_open = match change.state {
                crate::types::AlertState::Raised => self.counts.alerts_open + 1,
                crate::types::AlertState::Resolved => self.counts.alerts_open - 1,
            };
            let decision = self.decision(row, cell, verdict, change, scoring, closing);
            closing.out.raised.push(Raised {
                decision,
                last_row: Arrival(self.grid.newest_arrival(key)),
                trigger: Arrival(closing.trigger),
                closing_ns: times.closing,
                gathered_ns: times.gathered,
                scored_ns: times.scored,
                judged_ns: (closing.env.now)(),
            });
        }
        if self.followed[key as usize] {
            let point = self.point(key, cell, verdict, closing);
            closing.out.points.push(point);
        }
    }

    /// A verdict to act on: the key's own scale is known, and half of every column's cells were seen.
    fn confident(&self, row: usize, key: KeyIndex, scoring: &Scoring, closing: &Closing<'_, '_>) -> bool {
        let setup = closing.setup;
        let columns = setup.columns.len();
        let seen = &closing.scratch.scores.column_observed[row * columns..][..columns];
        seen.iter().all(|&n| usize::from(n) * 2 >= setup.cells)
            && self.is_warm(key, setup)
            && scoring.calibrator.ready()
    }

    fn count(&mut self, key: KeyIndex, end_ns: i64, surprise: f32, verdict: Verdict) {
        let counts = &mut self.counts;
        counts.windows += 1;
        counts.windows_unsure += u64::from(!verdict.confident);
        counts.windows_anomalous += u64::from(verdict.anomalous && verdict.confident);
        let mut bytes = [0u8; 41];
        bytes[..8].copy_from_slice(&counts.digest.to_le_bytes());
        bytes[8..16].copy_from_slice(&self.keys.hash(key).to_le_bytes());
        bytes[16..24].copy_from_slice(&end_ns.to_le_bytes());
        bytes[24..32].copy_from_slice(&verdict.p_value.to_bits().to_le_bytes());
        bytes[32..36].copy_from_slice(&surprise.to_bits().to_le_bytes());
        bytes[40] = u8::from(verdict.confident) * 2 + u8::from(verdict.anomalous);
        counts.digest = xxhash_rust::xxh3::xxh3_64(&bytes);
    }

    /// Leaves in the scratch what the model expected of this row, in standardised units.
    fn explain(&self, row: usize, scoring: &Scoring, closing: &mut Closing<'_, '_>) {
        let width = closing.setup.cells * closing.setup.columns.len();
        let scratch = &mut *closing.scratch;
        let z = &scratch.z[row * width..][..width];
        scratch.backend.explain(&scoring.model, z, &mut scratch.explanation);
    }

    fn decision(
        &self,
        row: usize,
        cell: i64,
        verdict: Verdict,
        change: Change,
        scoring: &Scoring,
        closing: &Closing<'_, '_>,
    ) -> Decision {
        let setup = closing.setup;
        let scores = &closing.scratch.scores;
        let key = closing.scratch.keys[row];
        let end_ns = (cell + 1) * setup.grid_ns;
        let cells = setup.cells * setup.columns.len();
        Decision {
            id: alert_id(&setup.deployment, &setup.name, self.keys.bytes(key), RULE_NAME, change.onset),
            revision: change.revision,
            state: change.state,
            stream: setup.name.clone(),
            key: String::from_utf8_lossy(self.keys.bytes(key)).into_owned(),
            rule: RULE_NAME.to_owned(),
            onset: change.onset,
            window_start: EventTime(end_ns - setup.cells as i64 * setup.grid_ns),
            window_end: EventTime(end_ns),
            epoch: self.epoch,
            model: scoring.model.checksum_short().to_owned(),
            log_likelihood: scores.log_likelihood[row],
            p_value: verdict.p_value,
            threshold: setup.rule.threshold,
            p_value_min: change.p_value_min,
            coverage: f64::from(scores.observed[row]) / cells as f64,
            columns: (0..setup.columns.len()).map(|c| self.evidence(key, cell, c, closing)).collect(),
        }
    }

    fn evidence(&self, key: KeyIndex, cell: i64, column: usize, closing: &Closing<'_, '_>) -> ColumnEvidence {
        let setup = closing.setup;
        let band = self.band(key, column, closing);
        let value = self.grid.cell(key, cell).map(|values| values[column]).filter(|v| !v.is_nan());
        ColumnEvidence {
            column: setup.columns[column].clone(),
            unit: setup.units[column].clone(),
            value: value.map(f64::from),
            expected: f64::from(band.expected),
            expected_low: f64::from(band.low),
            expected_high: f64::from(band.high),
            share: f64::from(closing.scratch.explanation.share[column]),
        }
    }

    fn point(&self, key: KeyIndex, cell: i64, verdict: Verdict, closing: &Closing<'_, '_>) -> Point {
        let setup = closing.setup;
        let columns = setup.columns.len();
        let bands: Vec<Band> = (0..columns).map(|c| self.band(key, c, closing)).collect();
        let values = self.grid.cell(key, cell).map_or_else(|| vec![f32::NAN; columns], <[f32]>::to_vec);
        Point {
            stream: setup.id,
            key: self.keys.bytes(key).into(),
            time: EventTime((cell + 1) * setup.grid_ns),
            values,
            expected: bands.iter().map(|b| b.expected).collect(),
            low: bands.iter().map(|b| b.low).collect(),
            high: bands.iter().map(|b| b.high).collect(),
            p_value: verdict.p_value,
            anomalous: verdict.anomalous,
            confident: verdict.confident,
        }
    }

    /// Expectation of the window's last cell in raw units.
    fn band(&self, key: KeyIndex, column: usize, closing: &Closing<'_, '_>) -> Band {
        let Scale { mean, sd } = self.scales[key as usize * closing.setup.columns.len() + column];
        let explanation = &closing.scratch.explanation;
        let (z, z_sd) = (explanation.expected[column], explanation.sd[column]);
        // A scale near the end of f32 must not become an infinity, which JSON cannot hold.
        let raw = |z: f32| (f64::from(mean) + f64::from(sd) * f64::from(z)).clamp(-F32_MAX, F32_MAX) as f32;
        Band { expected: raw(z), low: raw(z - BAND_SD * z_sd), high: raw(z + BAND_SD * z_sd) }
    }
}

#[derive(Clone, Copy)]
struct Band {
    expected: f32,
    low: f32,
    high: f32,
}

/// `(x - mean) / sd`, clipped; missing stays NaN.
pub(super) fn standardise(window: &mut [f32], scales: &[Scale]) {
    for cell in window.chunks_exact_mut(scales.len()) {
        for (value, scale) in cell.iter_mut().zip(scales) {
            *value = ((*value - scale.mean) / scale.sd).clamp(-Z_MAX, Z_MAX);
        }
    }
}
