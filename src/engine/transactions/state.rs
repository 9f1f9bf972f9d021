//! What is known of transactions as bytes.

use super::outcomes::Outcome;
use super::{Holder, OUTCOMES_SEEN, Roles, Spent, Transactions};
use crate::judge::risk::{Ages, Risks, SecondKeys};
use crate::judge::spending::{Everyone, Spending};
use crate::state::{NotUnderstood, StateReader, StateWriter, expect};

impl Transactions {
    pub fn encode(&self, to: &mut StateWriter<'_>) {
        let Transactions {
            roles: _,
            holders,
            everyone,
            seconds,
            ages,
            era,
            now,
            spent,
            spent_at,
            outcomes,
            seen,
            risks,
        } = self;
        for Holder { spending, counts } in holders {
            spending.encode(to);
            to.plain(counts);
        }
        everyone.encode(to);
        seconds.encode(to);
        ages.encode(to);
        to.number(*era);
        to.number(*now);
        to.len(spent.len());
        for Spent { key, time, amount } in spent {
            to.number(*key);
            to.number(*time);
            to.number(*amount);
        }
        to.numbers(spent_at);
        to.len(outcomes.len());
        outcomes.iter().for_each(|outcome| outcome.encode(to));
        to.len(seen.len());
        seen.iter().for_each(|identity| to.number(*identity));
        risks.encode(to);
    }

    /// # Errors
    /// If the bytes are those of other keys or columns.
    pub fn decode(roles: Roles, keys: usize, from: &mut StateReader<'_>) -> Result<Self, NotUnderstood> {
        let places = roles.seconds.len();
        let mut known = Transactions::new(roles);
        for _ in 0..keys {
            let spending = Spending::decode(from)?;
            known.holders.push(Holder { spending, counts: [from.number()?, from.number()?] });
        }
        known.everyone = Everyone::decode(from)?;
        known.seconds = SecondKeys::decode(from)?;
        known.ages = Ages::decode(from)?;
        known.era = from.number()?;
        known.now = from.number()?;
        for _ in 0..from.len(16)? {
            known.spent.push(Spent { key: from.number()?, time: from.number()?, amount: from.number()? });
        }
        known.spent_at = from.numbers()?;
        expect(known.spent.iter().all(|spent| (spent.key as usize) < keys), "a transaction of no key")?;
        expect(known.spent_at.len() == known.spent.len() * places, "second keys of other transactions")?;
        for _ in 0..from.len(33)? {
            known.outcomes.push(Outcome::decode(from)?);
        }
        let fits = |outcome: &Outcome| {
            outcome.key.is_none_or(|key| (key as usize) < keys) && outcome.seconds.len() == places
        };
        expect(known.outcomes.iter().all(fits), "an outcome of no key")?;
        for _ in 0..from.len(8)? {
            known.seen.push_back(from.number()?);
        }
        expect(known.seen.len() <= OUTCOMES_SEEN, "more outcomes than are remembered")?;
        known.risks = Risks::decode(from)?.into();
        Ok(known)
    }
}

impl Outcome {
    fn encode(&self, to: &mut StateWriter<'_>) {
        let Outcome { key, key_hash, time, amount, content_hash, seconds } = self;
        to.flag(key.is_some());
        to.number(key.unwrap_or_default());
        to.number(*key_hash);
        to.number(*time);
        to.number(*amount);
        to.number(*content_hash);
        to.numbers(seconds);
    }

    fn decode(from: &mut StateReader<'_>) -> Result<Self, NotUnderstood> {
        let (given, key) = (from.flag()?, from.number()?);
        Ok(Outcome {
            key: given.then_some(key),
            key_hash: from.number()?,
            time: from.number()?,
            amount: from.number()?,
            content_hash: from.number()?,
            seconds: from.numbers()?.into(),
        })
    }
}
