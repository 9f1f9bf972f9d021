//! Schemas that change while messages come, as an operator hears of it.

use std::sync::atomic::Ordering::Relaxed;

use crate::decode::SchemaEvent;
use crate::status::RowStatus;

/// Counts and says what a new schema has changed.
pub(super) fn note(stream: &str, event: &SchemaEvent, shown: &RowStatus) {
    let SchemaEvent { schema, fields, missing } = event;
    for (change, detail) in fields {
        shown.schema_events[*change as usize].fetch_add(1, Relaxed);
        tracing::info!(
            stream,
            schema,
            change = change.as_str(),
            detail,
            "the schema of messages has changed"
        );
    }
    let missing = (!missing.is_empty()).then(|| missing.join(", "));
    if let Some(fields) = &missing {
        tracing::warn!(
            stream,
            schema,
            fields,
            "the newest schema has none of these fields: what is read from them is missing; send them again, or correct the \
             stream's paths"
        );
    }
    shown.set_fields_missing(missing.map(|fields| (*schema, fields)));
}
