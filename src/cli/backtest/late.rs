//! Data in another order than that of time, of which next to nothing is judged.

use std::path::Path;

use anyhow::{Result, ensure};

use super::Run;
use crate::status::LateRows;

const SORT: &str = "sort it by its time, oldest first, and merge files of a time";

/// Says what would make the figures worthless.
pub(super) fn warn(config: &Path, rows: LateRows) {
    if rows.are_many() {
        let LateRows { late, rows } = rows;
        eprintln!(
            "{}: {late} of {rows} rows came too late and were left out of the data: {SORT}",
            config.display()
        );
    }
}

pub(super) fn why_none(run: &Run) -> String {
    match of(run).are_most() {
        true => format!("most rows came too late, since the data is not in order of time; {SORT}"),
        false => "the data is shorter than the warm-up, or too sparse for the grid".to_owned(),
    }
}

/// # Errors
/// If the data could not be used.
pub(super) fn judge(run: &Run) -> Result<()> {
    let LateRows { late, rows } = of(run);
    ensure!(
        !of(run).are_nearly_all(),
        "nearly nothing was judged: {late} of {rows} rows came too late, since the data is not in order of time; {SORT}"
    );
    Ok(())
}

fn of(run: &Run) -> LateRows {
    LateRows { late: run.rows_late, rows: run.rows }
}
