use std::sync::atomic::Ordering::Relaxed;

use super::proto::{KeyValue, SpanKind, Value};
use super::*;
use crate::types::{About, Alert, AlertState, Decision, EventTime, NoDataEvidence, Receipt, Segment, hex};

const ID: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

fn alert(revision: u32) -> Alert {
    let about = About::NoData(NoDataEvidence {
        last_seen: EventTime(1),
        expected_every_ns: 1,
        due: EventTime(2),
        resumed: None,
    });
    let decision = Decision {
        id: ID.into(),
        revision,
        state: if revision == 1 { AlertState::Raised } else { AlertState::Resolved },
        stream: "pumps".into(),
        key: "p1".into(),
        rule: "no_data".into(),
        onset: EventTime(1),
        about,
    };
    let segments = [("receive", 5), ("log", 0), ("judge", 7)];
    let segments = segments.map(|(stage, ns)| Segment { stage: stage.into(), ns }).into();
    Alert {
        decision,
        receipt: Receipt { segments, total_ns: 12, start_ns: 100, end_ns: 112, recovered: false },
    }
}

fn attempt(number: u32, error: Option<&'static str>) -> Attempt<'static> {
    Attempt {
        id: ID,
        revision: 1,
        is_incident: false,
        message_id: "m_1",
        sink: "on_call",
        sink_kind: "webhook",
        number,
        started_at_ns: 120,
        finished_at_ns: 130,
        status: Some(503).filter(|_| error.is_some()),
        error,
    }
}

fn text<'a>(attributes: &'a [KeyValue], key: &str) -> Option<&'a Value> {
    attributes.iter().find(|pair| pair.key == key)?.value.as_ref()?.value.as_ref()
}

#[test]
fn the_stretches_of_a_receipt_lie_end_to_end_in_the_span_of_their_revision() {
    let spans = of_alert(&alert(1), &[], None);
    let [whole, stages @ ..] = &spans[..] else { panic!("no span") };
    assert_eq!((hex(&whole.trace_id), &whole.name[..]), (ID.to_owned(), "no_data.raised"));
    assert_eq!((whole.start_time_unix_nano, whole.end_time_unix_nano), (100, 112));
    assert!(whole.parent_span_id.is_empty());
    let of = |span: &Span| (span.name.clone(), span.start_time_unix_nano, span.end_time_unix_nano);
    let expected = [("receive", 100, 105), ("log", 105, 105), ("judge", 105, 112)];
    assert_eq!(stages.iter().map(of).collect::<Vec<_>>(), expected.map(|(n, a, b)| (n.to_owned(), a, b)));
    let mut ids: Vec<&[u8]> = spans.iter().map(|span| &span.span_id[..]).collect();
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), 4, "each has an id of its own");
    for stage in stages {
        assert_eq!((&stage.trace_id, &stage.parent_span_id), (&whole.trace_id, &whole.span_id));
    }
    assert_eq!(of_alert(&alert(1), &[], None), spans, "a replay gives the same");
}

#[test]
fn revisions_and_attempts_lie_below_the_first_revision() {
    let [first, second] = [1, 2].map(|revision| of_alert(&alert(revision), &[], None).swap_remove(0));
    assert_eq!((&second.parent_span_id, &second.trace_id), (&first.span_id, &first.trace_id));
    assert_ne!(second.span_id, first.span_id);
    let (failed, good) = (of_attempt(&attempt(1, Some("answered 503"))), of_attempt(&attempt(2, None)));
    assert_eq!((&failed.parent_span_id, &failed.trace_id), (&first.span_id, &first.trace_id));
    assert_ne!(failed.span_id, good.span_id);
    assert_eq!(failed.kind, i32::from(SpanKind::Client));
    assert_eq!(failed.status.as_ref().map(|s| (&s.message[..], s.code)), Some(("answered 503", 2)));
    assert_eq!(text(&failed.attributes, "error.type"), Some(&Value::Text("503".into())));
    assert_eq!((good.status, text(&good.attributes, "error.type")), (None, None));
    let incident = of_attempt(&Attempt { is_incident: true, ..attempt(1, None) });
    assert!(incident.parent_span_id.is_empty() && text(&incident.attributes, "eddy.incident.id").is_some());
}

#[test]
fn what_sent_the_last_reading_is_linked_to() {
    let header = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let spans = of_alert(&alert(1), &[], Parent::parse(header, Some("a=b")));
    let link = &spans[0].links[0];
    assert_eq!(hex(&link.trace_id), "0af7651916cd43dd8448eb211c80319c");
    assert_eq!(
        (hex(&link.span_id), &link.trace_state[..], link.flags),
        ("b7ad6b7169203331".into(), "a=b", 1)
    );
    assert!(spans[1..].iter().all(|span| span.links.is_empty()));
}

#[test]
fn the_origin_is_named_where_there_is_one() {
    let parse = |source: &str| {
        let text = format!(
            "[source.a]\n{source}\n[stream.s]\nfrom = \"a\"\nkey = \"id\"\ntime = \"arrival\"\ncolumns.x = \"x\"\n\
             window = {{ type = \"tumbling\", size = \"1m\" }}\n"
        );
        crate::config::parse(&text, "", &Default::default()).unwrap_or_else(|problems| panic!("{problems}"))
    };
    let of = |source: &str| -> Vec<(String, Value)> {
        let pairs = origin(&parse(source), "s");
        pairs.into_iter().map(|pair| (pair.key, pair.value.unwrap().value.unwrap())).collect()
    };
    let expect = |pairs: &[(&str, &str)]| -> Vec<(String, Value)> {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), Value::Text((*value).to_owned()))).collect()
    };
    let kafka = "type = \"kafka\"\nbrokers = \"b:9092\"\ntopics = \"t\"\ngroup = \"g\"";
    assert_eq!(
        of(kafka),
        expect(&[
            ("messaging.system", "kafka"),
            ("messaging.destination.name", "t"),
            ("messaging.consumer.group.name", "g")
        ])
    );
    let mqtt = "type = \"mqtt\"\nurl = \"mqtt://127.0.0.1\"\ntopics = [\"plant/#\"]";
    assert_eq!(
        of(mqtt),
        expect(&[("messaging.system", "mqtt"), ("messaging.destination.template", "plant/#")])
    );
    assert_eq!(of("type = \"http\""), []);
    assert!(origin(&parse(kafka), "another").is_empty());
}

#[tokio::test]
async fn a_full_queue_drops_and_counts_and_nobody_waits() {
    let plan = crate::dashboard::testing::plan();
    let status = Arc::new(Status::new(&plan, 0));
    let (tracer, mut told) = Tracer::on(status.clone());
    (0..QUEUE_MAX + 5).for_each(|_| tracer.tell(|| vec![of_attempt(&attempt(1, None))]));
    assert_eq!(status.telemetry.dropped_total.load(Relaxed), 5);
    drop(tracer);
    let mut lot = Vec::new();
    assert_eq!(told.recv_many(&mut lot, usize::MAX).await, QUEUE_MAX);
    assert_eq!(told.recv_many(&mut lot, 1).await, 0, "whoever exports sees the end");
    Tracer::default().tell(|| panic!("one that is off makes no spans"));
}
