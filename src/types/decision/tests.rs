use super::*;

/// Receivers have parsers for this: a new rule must not change what the others send.
#[test]
fn a_window_s_decision_is_written_as_it_always_was() {
    let text = concat!(
        r#"{"id":"a1","revision":1,"state":"raised","stream":"pumps","key":"p","rule":"window","onset":10,"#,
        r#""window_start":10,"window_end":20,"epoch":3,"model":"m","log_likelihood":-1.5,"p_value":0.00001,"#,
        r#""threshold":0.0001,"p_value_min":0.00001,"coverage":1.0,"confidence":0.75,"columns":[{"column":"c","value":null,"#,
        r#""expected":2.5,"expected_low":2.0,"expected_high":3.0,"share":1.0}]}"#
    );
    let decision: Decision = serde_json::from_str(text).unwrap();
    assert_eq!(decision.window().unwrap().window_end, EventTime(20));
    assert_eq!(serde_json::to_string(&decision).unwrap(), text);
    let resolved = text
        .replace("raised", "resolved")
        .replace(r#""coverage":1.0,"#, r#""coverage":1.0,"resolution":"standing","#);
    let decision: Decision = serde_json::from_str(&resolved).unwrap();
    assert_eq!(decision.window().unwrap().resolution, Some(Resolution::Standing));
    assert_eq!(serde_json::to_string(&decision).unwrap(), resolved);
}

#[test]
fn what_is_written_is_read_back_as_evidence_of_its_own_rule() {
    let common =
        r#"{"id":"a1","revision":1,"state":"raised","stream":"pumps","key":"p","rule":"r","onset":10"#;
    let onset = concat!(
        r#","cell_start":10,"cell_end":20,"epoch":3,"column":"c","unit":"bar","watched":"mean_of_hours","#,
        r#""value":7.5,"range_low":1.0,"range_high":7.0,"score":0.25,"score_threshold":0.05}"#
    );
    let silence = r#","last_seen":10,"expected_every_ns":7,"due":20}"#;
    let read = |rest: &str| {
        let text = format!("{common}{rest}");
        let decision: Decision = serde_json::from_str(&text).unwrap();
        assert_eq!(serde_json::to_string(&decision).unwrap(), text);
        decision
    };
    let onset = read(onset);
    assert_eq!(onset.set_in().unwrap().watched, Watched::MeanOfHours);
    assert_eq!(
        (onset.event_type(), onset.happened(), onset.top_column()),
        ("onset.raised", EventTime(20), Some("c"))
    );
    let silence = read(silence);
    assert!(silence.silence().is_some() && silence.top_column().is_none());
    // No field that a rule needs is another's, so that none is read as another's.
    let mut whole = serde_json::to_value(&onset).unwrap();
    let fields = whole.as_object_mut().unwrap();
    for name in
        ["cell_start", "column", "watched", "value", "range_low", "range_high", "score", "score_threshold"]
    {
        let field = fields.remove(name).unwrap();
        let without = serde_json::Value::Object(fields.clone());
        assert!(serde_json::from_value::<Decision>(without).is_err(), "without {name}");
        fields.insert(name.to_owned(), field);
    }
}
