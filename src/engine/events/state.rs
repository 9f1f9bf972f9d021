//! Rows and habits as bytes.

use super::Events;
use crate::config::plan::Shape;
use crate::engine::setup::StreamSetup;
use crate::engine::transactions::Transactions;
use crate::engine::usual::Usual;
use crate::state::{NotUnderstood, StateReader, StateWriter};
use crate::window::rows::KeyRows;

impl Events {
    pub fn encode(&self, to: &mut StateWriter<'_>) {
        // Whatever came early was scored before the step ended.
        let Events { rows, usual, transactions, next_end, early: _ } = self;
        rows.iter().for_each(|rows| rows.encode(to));
        usual.encode(to);
        transactions.iter().for_each(|transactions| transactions.encode(to));
        to.number(*next_end);
    }

    /// # Errors
    /// If the bytes are those of other keys or columns.
    pub fn decode(
        setup: &StreamSetup,
        keys: usize,
        from: &mut StateReader<'_>,
    ) -> Result<Self, NotUnderstood> {
        let mut events = Events::new(setup);
        let kept = if setup.shape == Shape::Grid { 0 } else { keys };
        let columns = setup.columns.len();
        events.rows = (0..kept).map(|_| KeyRows::decode(columns, from)).collect::<Result<_, _>>()?;
        events.usual = Usual::decode(&setup.aggregates, kept, from)?;
        if let Some(roles) = &setup.roles {
            events.transactions = Some(Box::new(Transactions::decode(roles.clone(), kept, from)?));
        }
        events.next_end = from.number()?;
        Ok(events)
    }
}
