use jiff::Timestamp;

use super::*;

const BODY: &str = r#"{"type":"anomaly.raised","timestamp":"2023-11-14T22:14:24Z","data":{"id":"a1b2c3d4e5f60718293a","revision":1,"state":"raised","stream":"pumps","key":"halle 3/ä","rule":"window","onset":1700000000000000000,"p_value_min":1e-5,"columns":[{"column":"flow","share":0.1},{"column":"vibration","share":0.9}],"receipt":{"total_ns":0}}}"#;

fn outgoing(body: &'static str) -> Outgoing {
    Outgoing {
        id: "a".into(),
        message_id: "a1_1".into(),
        body: Bytes::from_static(body.as_bytes()),
        traceparent: String::new(),
    }
}

fn dress(format: BodyFormat, body: &'static str) -> Dressed {
    let dress = Dress { format, receiver: "on_call".into(), deployment: "plant 3".into() };
    dress.dress(&outgoing(body)).unwrap()
}

fn parsed(dressed: &Dressed) -> Value {
    serde_json::from_slice(&dressed.body).unwrap()
}

#[test]
fn standard_bodies_are_sent_as_they_are_stored() {
    let dressed = dress(BodyFormat::Standard, BODY);
    assert_eq!((dressed.content_type, &dressed.body[..]), ("application/json", BODY.as_bytes()));
}

#[test]
fn a_structured_cloud_event_has_every_attribute_and_the_data_to_the_byte() {
    let dressed = dress(BodyFormat::CloudEvents, BODY);
    assert_eq!(dressed.content_type, "application/cloudevents+json; charset=utf-8");
    let event = parsed(&dressed);
    for (name, value) in [
        ("specversion", "1.0"),
        ("id", "a1_1"),
        ("source", "/eddy/plant 3"),
        ("type", "eddy.anomaly.raised"),
        ("subject", "pumps/halle 3/ä"),
        ("time", "2023-11-14T22:14:24Z"),
        ("datacontenttype", "application/json"),
    ] {
        assert_eq!(event[name], value, "{name}");
    }
    let data = &BODY[BODY.find("{\"id\"").unwrap()..BODY.len() - 1];
    assert!(String::from_utf8_lossy(&dressed.body).ends_with(&format!("\"data\":{data}}}")));
}

#[test]
fn a_binary_cloud_event_says_the_same_in_encoded_headers() {
    let dressed = dress(BodyFormat::CloudEventsBinary, BODY);
    assert_eq!(dressed.content_type, "application/json");
    let header =
        |name: &str| dressed.headers.iter().find(|(known, _)| *known == name).map(|(_, v)| v.as_str());
    assert_eq!(header("ce-specversion"), Some("1.0"));
    assert_eq!(header("ce-id"), Some("a1_1"));
    assert_eq!(header("ce-source"), Some("/eddy/plant%203"));
    assert_eq!(header("ce-type"), Some("eddy.anomaly.raised"));
    assert_eq!(header("ce-subject"), Some("pumps/halle%203/%C3%A4"));
    assert_eq!(header("ce-time"), Some("2023-11-14T22:14:24Z"));
    assert_eq!(header("ce-datacontenttype"), None, "it is the content type");
    assert_eq!(parsed(&dressed)["key"], "halle 3/ä");
}

#[test]
fn an_alertmanager_webhook_is_told_what_alertmanager_would_tell_it() {
    let told = parsed(&dress(BodyFormat::Alertmanager, BODY));
    assert_eq!(
        (&told["version"], &told["status"], &told["receiver"]),
        (&"4".into(), &"firing".into(), &"on_call".into())
    );
    let alert = &told["alerts"][0];
    assert_eq!(
        (&alert["startsAt"], &alert["endsAt"]),
        (&"2023-11-14T22:13:20Z".into(), &"0001-01-01T00:00:00Z".into())
    );
    assert_eq!(alert["labels"]["alertname"], "anomaly");
    assert_eq!(alert["labels"]["key"], "halle 3/ä");
    assert_eq!(alert["annotations"]["column"], "vibration", "that of the largest share");
    assert_eq!(alert["fingerprint"], "a1b2c3d4e5f60718");
    assert_eq!(told["commonLabels"], alert["labels"]);
    assert_eq!(told["truncatedAlerts"], 0);
}

#[test]
fn an_incident_is_as_many_alerts_and_over_with_the_last() {
    const INCIDENT: &str = r#"{"type":"incident.revised","timestamp":"2023-11-14T22:14:24Z","data":{"id":"i1","revision":2,"state":"revised","group":{"stream":"pumps"},"alerts":[{"id":"a1","revision":1,"state":"raised","stream":"pumps","key":"k1","rule":"window","column":"flow","onset":1700000000000000000,"happened":1700000064000000000},{"id":"a2","revision":2,"state":"resolved","stream":"pumps","key":"k2","rule":"onset","onset":1700000000000000000,"happened":1700000063000000000}],"alerts_omitted":7}}"#;
    let told = parsed(&dress(BodyFormat::Alertmanager, INCIDENT));
    assert_eq!((&told["status"], &told["truncatedAlerts"]), (&"firing".into(), &7.into()));
    assert_eq!(told["groupLabels"], json!({"stream": "pumps"}));
    assert_eq!(told["commonLabels"], json!({"deployment": "plant 3", "stream": "pumps"}));
    let second = &told["alerts"][1];
    assert_eq!((&second["status"], &second["endsAt"]), (&"resolved".into(), &"2023-11-14T22:14:23Z".into()));
    assert_eq!(second["labels"]["alertname"], "onset");
    let event = parsed(&dress(BodyFormat::CloudEvents, INCIDENT));
    assert_eq!(event["subject"], "i1");
}

#[test]
fn what_is_pushed_never_ends_ahead_of_the_clock_nor_before_it_began() {
    let episode = |state: &str, happened_ns| {
        let body = BODY.replace("\"raised\"", &format!("{state:?}"));
        let mut told = episodes(body.as_bytes(), "plant").unwrap();
        told[0].happened_ns = happened_ns;
        told.remove(0)
    };
    let (start, lasting) = (1_700_000_000_000_000_000, 60_000_000_000);
    let at = |ns: i64| Timestamp::from_nanosecond(i128::from(ns)).unwrap().to_string();
    let now = start + 100_000_000_000;
    let firing = episode("raised", now).pushed(now, lasting);
    assert_eq!((&firing["startsAt"], &firing["endsAt"]), (&at(start).into(), &at(now + lasting).into()));
    let ended = |happened_ns| episode("resolved", happened_ns).pushed(now, lasting)["endsAt"].clone();
    assert_eq!(ended(start + 5), at(start + 5));
    assert_eq!(ended(now + 5), at(now), "by a device's clock that is ahead");
    assert_eq!(ended(start - 5), at(start));
    assert_eq!(episode("retracted", now).pushed(now, lasting)["endsAt"], at(now));
    let early = episode("raised", now).pushed(start - 7, lasting);
    assert_eq!(early["startsAt"], at(start - 7));
}
