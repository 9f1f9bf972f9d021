//! Streams of transactions: what they must have, and what only they may have.

use eddy::config::plan::{Aggregate, FieldPath, ModelPlan};
use insta::assert_snapshot;

use super::{plan_with, problems};

const GOOD: &str = r#"[source.shop]
type = "http"

[stream.cards]
from = "shop"
key = "card"
time = { path = "time", unit = "iso8601" }
window = { type = "sliding", size = "1h" }
model = { type = "transactions", amount = "amount" }
outcome = "fraud"
columns.amount = { path = "amount", unit = "EUR" }
columns.terminal = { path = "terminal", aggregate = "risk" }

[sink.console]
type = "stdout"
"#;

fn good_but(old: &str, new: &str) -> String {
    assert!(GOOD.contains(old), "{old}");
    GOOD.replacen(old, new, 1)
}

#[test]
fn transactions_have_an_amount_second_keys_and_outcomes() {
    let plan = plan_with(GOOD, &[]);
    let stream = &plan.streams[0];
    assert_eq!(stream.model, ModelPlan::Transactions { amount: "amount".into() });
    assert_eq!(stream.outcome, Some(FieldPath::Json(vec!["fraud".into()])));
    assert_eq!(stream.columns[1].aggregate, Aggregate::Risk);
    let without = good_but("outcome = \"fraud\"\n", "").replace("columns.terminal", "# columns.terminal");
    assert_eq!(plan_with(&without, &[]).streams[0].outcome, None, "by the amount alone");
}

#[test]
fn what_has_no_amount_is_no_transaction() {
    assert_snapshot!(problems(&good_but("amount = \"amount\" }", "amount = \"amonut\" }")), @r#"
    eddy.toml:9: stream.cards.model.amount: there is no column "amonut" of amounts. Name the column that holds the amount: amount.
    1 problem in eddy.toml
    "#);
    assert_snapshot!(problems(&good_but("amount = \"amount\" }", "amount = \"terminal\" }")), @r#"
    eddy.toml:9: stream.cards.model.amount: there is no column "terminal" of amounts. Name the column that holds the amount: amount.
    1 problem in eddy.toml
    "#);
    assert_snapshot!(problems(&good_but(", amount = \"amount\"", "")), @r#"
    eddy.toml:9: stream.cards.model.amount: is missing. Add `amount = "amount"`.
    1 problem in eddy.toml
    "#);
    assert_snapshot!(problems(&good_but("unit = \"EUR\"", "aggregate = \"sum\"")), @r#"
    eddy.toml:11: stream.cards.columns.amount.aggregate: "sum" of the amount: each transaction is judged by itself. Leave `aggregate` out.
    1 problem in eddy.toml
    "#);
    assert_snapshot!(problems(&good_but("columns.terminal", "columns.pause = { path = \"x\", aggregate = \"since_last\" }\ncolumns.terminal")), @r#"
    eddy.toml:12: stream.cards.columns.pause: is no cause that the model of transactions knows. Give it aggregate "risk" if it is a second key such as a terminal, or remove it.
    1 problem in eddy.toml
    "#);
}

#[test]
fn risks_need_outcomes_and_outcomes_the_model() {
    assert_snapshot!(problems(&good_but("outcome = \"fraud\"\n", "")), @r#"
    eddy.toml:11: stream.cards.columns.terminal.aggregate: no risk can be known without outcomes. Say where a message has them, such as `outcome = "fraud"`, or remove the column.
    1 problem in eddy.toml
    "#);
    assert_snapshot!(problems(&good_but("model = { type = \"transactions\", amount = \"amount\" }", "model = { type = \"fit\", warmup = \"7d\" }")), @r#"
    eddy.toml:10: stream.cards.outcome: only the model of transactions learns from outcomes. Use model { type = "transactions", amount = "COLUMN" }, or remove `outcome`.
    eddy.toml:12: stream.cards.columns.terminal.aggregate: "risk" is a cause of the surprise of transactions, and the model is another. Use model { type = "transactions", amount = "COLUMN" }, or another aggregate such as "rarity".
    2 problems in eddy.toml
    "#);
    assert_snapshot!(problems(&good_but("{ type = \"transactions\", amount = \"amount\" }", "\"transactions\"")), @r#"
    eddy.toml:9: stream.cards.model: "transactions" is not a model by itself. Write { type = "transactions", amount = "COLUMN" }.
    1 problem in eddy.toml
    "#);
}

#[test]
fn an_outcome_says_which_event_it_is_of() {
    assert_snapshot!(problems(&good_but("time = { path = \"time\", unit = \"iso8601\" }", "time = \"arrival\"")), @r#"
    eddy.toml:10: stream.cards.outcome: an outcome says when its transaction was, which is not when it arrives. Say where a message has the time: `time = { path = "time", unit = "iso8601" }`.
    1 problem in eddy.toml
    "#);
    assert_snapshot!(problems(&good_but("outcome = \"fraud\"", "outcome = \"terminal\"")), @r#"
    eddy.toml:10: stream.cards.outcome: is the path of a column, too. Let messages name outcomes by a field of their own.
    1 problem in eddy.toml
    "#);
}

#[test]
fn transactions_are_judged_one_by_one() {
    let window = "{ type = \"sliding\", size = \"1h\" }";
    assert_snapshot!(problems(&good_but(window, "{ type = \"count\", size = 4 }")), @r#"
    eddy.toml:8: stream.cards.window.type: transactions are judged one by one as they arrive. Use window = { type = "sliding", size = "1h" }.
    1 problem in eddy.toml
    "#);
    assert_snapshot!(problems(&good_but(window, "{ type = \"sliding\", size = \"1h\", grid = \"10m\" }")), @r#"
    eddy.toml:8: stream.cards.window.grid: each transaction is judged by itself, not by cells. Leave it out.
    1 problem in eddy.toml
    "#);
    assert_snapshot!(problems(&good_but(window, "{ type = \"hopping\", size = \"1h\", every = \"1m\" }")), @r#"
    eddy.toml:8: stream.cards.window.type: transactions are judged one by one as they arrive. Use window = { type = "sliding", size = "1h" }.
    eddy.toml:12: stream.cards.columns.terminal.aggregate: "risk" needs windows of events. Use window type "sliding", "session" or "count", or another aggregate.
    2 problems in eddy.toml
    "#);
}
