//! What a folder is held against.

use super::*;
use crate::config::plan::{DeviationRule, Direction};
use crate::pipeline::open::check_units;

fn plan(kind: &str, keys: &str) -> Plan {
    let text = format!(
        "[source.a]\n{kind}\n[stream.pumps]\nfrom = \"a\"\nkey = \"id\"\ntime = \"arrival\"\n\
         columns.flow = {{ path = \"f\", unit = \"L/s\" }}\nwindow = {{ type = \"tumbling\", size = \"1m\" }}\n{keys}"
    );
    let plan = crate::config::parse(&text, "", &Default::default());
    plan.unwrap_or_else(|problems| panic!("{problems}"))
}

const HTTP: &str = "type = \"http\"";

fn stream(keys: &str) -> StreamPlan {
    plan(HTTP, keys).streams.remove(0)
}

#[test]
fn what_decides_is_in_the_fingerprint_and_what_is_usual_is_as_it_was() {
    let usual = stream("");
    let by_http = plan(HTTP, "");
    let of = |stream: &StreamPlan| fingerprint(&by_http, stream);
    let by_kafka = plan("type = \"kafka\"\nbrokers = \"b:9092\"\ntopics = \"t\"", "");
    assert_ne!(fingerprint(&by_kafka, &usual), of(&usual), "a key's partition is another");
    assert_eq!(of(&stream("standing = \"7d\"")), of(&usual));
    let mut others =
        vec![stream("standing = \"2d\""), stream("standing = \"off\""), stream("onsets = false")];
    for (direction, min_deviation) in
        [(Direction::Above, 0.0), (Direction::Below, 0.0), (Direction::Above, 1.0)]
    {
        let mut ruled = usual.clone();
        ruled.columns[0].deviation = Some(DeviationRule { direction, min_deviation });
        others.push(ruled);
    }
    others.push(usual.clone());
    for (at, one) in others.iter().enumerate() {
        assert!(others[..at].iter().all(|other| of(other) != of(one)), "{one:?}");
    }
    // As format 5 had it.
    let text = "ColumnPlan { name: \"flow\", path: Json([\"f\"]), unit: Some(\"L/s\"), aggregate: Mean }";
    assert_eq!(column_text(&usual.columns[0]), text);
}

#[test]
fn a_unit_that_is_not_the_model_s_is_refused_and_one_that_is_not_known_is_not() {
    let stream = stream("");
    let of = |unit: Option<&str>| check_units(&[unit.map(str::to_owned)], &stream);
    assert!(of(Some("L/s")).is_ok() && of(None).is_ok());
    let said = of(Some("m3/h")).unwrap_err().to_string();
    assert!(
        said.contains(
            "column flow was in m3/h when the model was trained, the config says L/s: train a model"
        ),
        "{said}"
    );
    let mut silent = stream.clone();
    silent.columns[0].unit = None;
    assert!(check_units(&[Some("L/s".into())], &silent).is_ok());
}
