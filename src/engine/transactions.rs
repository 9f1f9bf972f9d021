//! Transactions: what their holders spend, where frauds were, and what both say of the next one.
//!
//! As everything that adapts, it is constant inside an epoch and learns from final rows, and from the outcomes that have
//! come by the end of the epoch. What other partitions know of a second key comes by entries of the control log.

mod outcomes;
mod state;

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

use crate::engine::batch::{Batch, Span};
use crate::engine::partition::{Partition, Scale};
use crate::engine::setup::StreamSetup;
use crate::judge::risk::{self, Ages, Risks, SecondKeys, Tally};
use crate::judge::spending::{Everyone, Spending};
use crate::types::EPOCH_NS;
use crate::window::grow::grow;
use crate::window::keys::KeyIndex;
use crate::window::rows::KeyRows;
use outcomes::Outcome;

/// Frauds whose redelivery is noticed: they come days late, when the lateness no longer remembers them.
const OUTCOMES_SEEN: usize = 8192;
/// A holder's risk counts for no more than this.
const HOLDER_RISK_MAX: f64 = 0.9;
/// No second key has this number: there are fewer than 128 columns.
const NO_SECOND: u32 = u32::MAX;

/// Which columns of a stream say what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Roles {
    pub amount: usize,
    /// Columns that hold second keys, in order.
    pub seconds: Vec<usize>,
}

impl Roles {
    /// The number of a second key, by its place among the columns and its category; [`NO_SECOND`] if it is missing.
    fn number(place: usize, category: f32) -> u32 {
        // A category is a whole number below 2^24.
        if category.is_nan() { NO_SECOND } else { (place as u32) << 24 | category as u32 }
    }

    /// Of the nats that a transaction's window holds: what its second keys come to say, by known outcomes, that it is fraud.
    pub fn is_likely_fraud(&self, nats: &[f32]) -> bool {
        let known: f64 = self.seconds.iter().map(|&second| f64::from(nats[second])).sum();
        known >= risk::nats(risk::LIKELY)
    }

    fn numbers<'a>(&'a self, values: &'a [f32]) -> impl Iterator<Item = u32> + 'a {
        self.seconds.iter().enumerate().map(|(place, &column)| Roles::number(place, values[column]))
    }
}

/// What is known of one holder.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Holder {
    spending: Spending,
    /// Frauds and transactions, as [`SecondKeys`] counts them.
    counts: [f32; 2],
}

/// A final row of the running epoch.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Spent {
    key: KeyIndex,
    time: i64,
    amount: f32,
}

#[derive(Debug)]
pub(crate) struct Transactions {
    roles: Roles,
    holders: Vec<Holder>,
    everyone: Everyone,
    seconds: SecondKeys,
    ages: Ages,
    era: i64,
    /// End of the last epoch that was learnt from, ns.
    now: i64,
    /// Of the running epoch, in canonical order.
    spent: Vec<Spent>,
    /// spent x second keys
    spent_at: Vec<u32>,
    /// Frauds told since the epoch began.
    outcomes: Vec<Outcome>,
    /// Identities of the newest outcomes.
    seen: VecDeque<u64>,
    /// As of the epoch's beginning.
    risks: Arc<Risks>,
}

impl Transactions {
    /// Heap a key, bytes.
    pub const BYTES_A_KEY: usize = size_of::<Holder>();

    pub fn new(roles: Roles) -> Self {
        Transactions {
            roles,
            holders: Vec::new(),
            everyone: Everyone::default(),
            seconds: SecondKeys::default(),
            ages: Ages::default(),
            era: i64::MIN,
            now: i64::MIN,
            spent: Vec::new(),
            spent_at: Vec::new(),
            outcomes: Vec::new(),
            seen: VecDeque::new(),
            risks: Arc::default(),
        }
    }

    pub fn add_key(&mut self) {
        grow(&mut self.holders, 1);
        self.holders.push(Holder::default());
    }

    /// Notes a final row; changes nothing that scoring sees.
    pub fn observe(&mut self, key: KeyIndex, time: i64, values: &[f32]) {
        self.spent.push(Spent { key, time, amount: values[self.roles.amount] });
        self.spent_at.extend(self.roles.numbers(values));
    }

    /// Adds the transaction that is the row at `last`, together with those of its key at the very same time: the highest
    /// amount and the riskiest second keys. Its window holds a cause's nats a column, and shows the amount and risks.
    pub fn gather(&self, key: KeyIndex, rows: &KeyRows, last: usize, span: Span, batch: &mut Batch) {
        let time = rows.row(last).time;
        let columns = 1 + self.roles.seconds.len();
        let values = rows.values(self.twins(rows, time), columns);
        let column = |column: usize| values[column..].iter().step_by(columns).copied();
        let begin = batch.z.len();
        batch.push(key, span, rows.row(last).arrival, columns, |out| {
            out.resize(begin + columns, f32::NAN);
            out[begin + self.roles.amount] = column(self.roles.amount).fold(f32::NAN, f32::max);
            for (place, &second) in self.roles.seconds.iter().enumerate() {
                let known = column(second).filter(|category| !category.is_nan());
                let risk = known.map(|category| self.risks.of(Roles::number(place, category)) as f32);
                out[begin + second] = risk.fold(f32::NAN, f32::max);
            }
        });
        self.weigh(key, &mut batch.z[begin..]);
    }

    /// The rows of a key at exactly this time.
    pub fn twins(&self, rows: &KeyRows, time: i64) -> std::ops::Range<usize> {
        rows.between(time - 1, time)
    }

    /// Turns an amount and risks into nats. Of a second key that is not given nothing is known, as of a new one.
    fn weigh(&self, key: KeyIndex, values: &mut [f32]) {
        for &second in &self.roles.seconds {
            let known = Some(values[second]).filter(|risk| !risk.is_nan());
            values[second] = risk::nats(known.map_or(Risks::unknown(), f64::from)) as f32;
        }
        let amount = &mut values[self.roles.amount];
        if !amount.is_nan() {
            let heights = self.holders[key as usize].spending.heights(f64::from(*amount), &self.everyone);
            *amount = (heights.nats() + heights.holder_nats(self.holder_risk(key))) as f32;
        }
    }

    /// Share of frauds among the holder's transactions.
    fn holder_risk(&self, key: KeyIndex) -> f64 {
        let [bad, all] = self.holders[key as usize].counts;
        let now = 1.0 / risk::weight(self.now, self.era);
        let all = f64::from(all) * self.ages.told_share();
        risk::risk(f64::from(bad) * now, all * now).min(HOLDER_RISK_MAX)
    }

    /// What is usual of a column for this holder, as alerts and charts show it.
    pub fn scale(&self, key: KeyIndex, column: usize) -> Scale {
        if column == self.roles.amount {
            let level = self.holders[key as usize].spending.level(&self.everyone);
            return Scale { mean: level.mean as f32, sd: level.sd as f32 };
        }
        Scale { mean: Risks::unknown() as f32, sd: 0.0 }
    }

    /// Ends the epoch: what it showed acts from the next one on, and so do the risks written down since. `None`: nobody
    /// knows of the other partitions, so that the risks are what this one's own counts say.
    pub fn learn(&mut self, end: i64, risks: Option<&Arc<Risks>>) {
        self.now = self.now.max(end);
        self.begin_era();
        let (spent, spent_at) = (std::mem::take(&mut self.spent), std::mem::take(&mut self.spent_at));
        let places = self.roles.seconds.len();
        for (i, &Spent { key, time, amount }) in spent.iter().enumerate() {
            let weight = risk::weight(time, self.era);
            let holder = &mut self.holders[key as usize];
            holder.counts[1] += weight as f32;
            if !amount.is_nan() {
                holder.spending.learn(f64::from(amount), &self.everyone);
                self.everyone.learn(f64::from(amount));
            }
            for &second in spent_at[i * places..][..places].iter().filter(|second| **second != NO_SECOND) {
                self.seconds.transaction(second, weight);
            }
        }
        (self.spent, self.spent_at) = (spent, spent_at);
        self.spent.clear();
        self.spent_at.clear();
        self.charge();
        self.seconds.bound();
        match risks {
            Some(risks) => self.risks = risks.clone(),
            None => self.judge_alone(),
        }
    }

    fn judge_alone(&mut self) {
        let seconds: BTreeSet<u32> = self.charged().chain(self.risks.seconds()).collect();
        if seconds.is_empty() {
            return;
        }
        let mut tally = Tally::default();
        self.tally(seconds.into_iter(), &mut tally);
        let changes = tally.changes(&self.risks);
        Arc::make_mut(&mut self.risks).note(&changes);
    }

    fn begin_era(&mut self) {
        let era = risk::era(self.now);
        if self.era == i64::MIN {
            self.era = era;
        }
        let eras = era - self.era;
        if eras > 0 {
            self.era = era;
            self.seconds.fade(eras);
            self.ages.fade(eras);
            let factor = (-eras as f64).exp2() as f32;
            self.holders.iter_mut().flat_map(|holder| &mut holder.counts).for_each(|count| *count *= factor);
        }
    }

    /// Second keys that frauds were told of.
    pub fn charged(&self) -> impl Iterator<Item = u32> {
        self.seconds.charged()
    }

    /// Adds what is known of these second keys.
    pub fn tally(&self, seconds: impl Iterator<Item = u32>, to: &mut Tally) {
        to.ages(self.ages);
        for second in seconds {
            to.count(second, self.seconds.count(second), self.era, self.now);
        }
    }
}

impl Partition {
    /// Ends the epoch for transactions, before anything else learns.
    pub(super) fn learn_transactions(&mut self, setup: &StreamSetup) {
        if let Some(transactions) = self.events.transactions_mut()
            && self.epoch != i64::MIN
        {
            // In a topic that is shared each partition goes by itself, whoever has the others.
            let told = setup.partitions.is_none().then_some(&setup.risks);
            transactions.learn((self.epoch + 1) * EPOCH_NS, told);
        }
    }
}
