//! What a folder is held against.

use super::*;
use crate::config::plan::{DeviationRule, Direction};

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
