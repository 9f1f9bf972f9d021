//! What a stream of transactions must have, and what only it may have: `outcome`, and columns of aggregate `risk`.

use super::super::plan::{Aggregate, ColumnPlan, FieldPath, Layout, ModelPlan, Shape, TimePlan, WindowPlan};
use super::super::section::Section;
use super::super::suggest;

/// The parts of a stream as far as they could be read.
pub struct Parts<'a> {
    pub model: Option<&'a ModelPlan>,
    pub outcome: Option<&'a FieldPath>,
    pub columns: Option<&'a [ColumnPlan]>,
    pub window: Option<WindowPlan>,
    pub layout: Option<&'a Layout>,
    pub time: Option<&'a TimePlan>,
}

/// False if a problem was recorded.
pub fn check(section: &Section<'_>, parts: &Parts<'_>) -> bool {
    let Some(model) = parts.model else { return true };
    match model {
        ModelPlan::Transactions { amount } => {
            let columns = columns(section, amount, parts);
            outcome(section, parts) & window(section, parts.window) & columns
        }
        ModelPlan::Fit { .. } | ModelPlan::Load { .. } => without(section, parts),
    }
}

/// Only transactions have risks and outcomes.
fn without(section: &Section<'_>, parts: &Parts<'_>) -> bool {
    let remedy = "Use model { type = \"transactions\", amount = \"COLUMN\" }";
    let mut fits = true;
    for column in risks(parts.columns) {
        section.here().locate("columns").locate(&column.name).locate("aggregate").problem(
            "\"risk\" is a cause of the surprise of transactions, and the model is another",
            format!("{remedy}, or another aggregate such as \"rarity\"."),
        );
        fits = false;
    }
    if parts.outcome.is_some() {
        section.here().locate("outcome").problem(
            "only the model of transactions learns from outcomes",
            format!("{remedy}, or remove `outcome`."),
        );
        fits = false;
    }
    fits
}

fn risks(columns: Option<&[ColumnPlan]>) -> impl Iterator<Item = &ColumnPlan> {
    columns.unwrap_or_default().iter().filter(|column| column.aggregate == Aggregate::Risk)
}

fn columns(section: &Section<'_>, amount: &str, parts: &Parts<'_>) -> bool {
    let Some(columns) = parts.columns else { return true };
    let amounts = |column: &&ColumnPlan| column.aggregate != Aggregate::Risk;
    if !columns.iter().filter(amounts).any(|column| column.name == amount) {
        let names: Vec<&str> = columns.iter().filter(amounts).map(|column| &column.name[..]).collect();
        let remedy = match names[..] {
            [] => "Add a column for it, such as `columns.amount = \"amount\"`.".to_owned(),
            _ => format!("Name the column that holds the amount: {}.", suggest::list(names.into_iter())),
        };
        section
            .here()
            .locate("model")
            .locate("amount")
            .problem(format!("there is no column {amount:?} of amounts"), remedy);
        return false;
    }
    let mut fits = true;
    for column in columns.iter().filter(|column| column.deviation.is_some()) {
        section.here().locate("columns").locate(&column.name).problem(
            "transactions are judged by their causes, which have no `direction` and no `min_deviation`",
            "Leave them out: only what is above the usual counts as it is.",
        );
        fits = false;
    }
    for column in columns.iter().filter(amounts) {
        let here = section.here().locate("columns").locate(&column.name);
        let own = matches!(column.aggregate, Aggregate::Mean | Aggregate::Last);
        if column.name == amount && !own {
            here.locate("aggregate").problem(
                format!(
                    "{:?} of the amount: each transaction is judged by itself",
                    column.aggregate.as_str()
                ),
                "Leave `aggregate` out.",
            );
            fits = false;
        } else if column.name != amount {
            here.problem(
                "is no cause that the model of transactions knows",
                "Give it aggregate \"risk\" if it is a second key such as a terminal, or remove it.",
            );
            fits = false;
        }
    }
    if let Some(column) = risks(parts.columns).next()
        && parts.outcome.is_none()
    {
        section.here().locate("columns").locate(&column.name).locate("aggregate").problem(
            "no risk can be known without outcomes",
            "Say where a message has them, such as `outcome = \"fraud\"`, or remove the column.",
        );
        fits = false;
    }
    fits
}

fn outcome(section: &Section<'_>, parts: &Parts<'_>) -> bool {
    let Some(path) = parts.outcome else { return true };
    let here = section.here().locate("outcome");
    if matches!(parts.layout, Some(Layout::Long { .. })) {
        here.problem(
            "an outcome repeats the event it is of, and messages of one metric each hold no whole event",
            "Leave `column` and `value` out, and send each transaction as one object.",
        );
        return false;
    }
    if matches!(parts.time, Some(TimePlan::Arrival)) {
        here.problem(
            "an outcome says when its transaction was, which is not when it arrives",
            "Say where a message has the time: `time = { path = \"time\", unit = \"iso8601\" }`.",
        );
        return false;
    }
    if parts.columns.unwrap_or_default().iter().any(|column| column.path == *path) {
        here.problem("is the path of a column, too", "Let messages name outcomes by a field of their own.");
        return false;
    }
    true
}

fn window(section: &Section<'_>, window: Option<WindowPlan>) -> bool {
    let Some(window) = window else { return true };
    let here = section.here().locate("window");
    if window.shape != Shape::Sliding {
        here.locate("type").problem(
            "transactions are judged one by one as they arrive",
            "Use window = { type = \"sliding\", size = \"1h\" }.",
        );
        return false;
    }
    if window.cells() > 1 {
        here.locate("grid").problem("each transaction is judged by itself, not by cells", "Leave it out.");
        return false;
    }
    true
}
