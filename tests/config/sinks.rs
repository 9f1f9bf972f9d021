//! Sinks: what they become, and what is told of broken ones.

use std::time::Duration;

use eddy::config::plan::{BodyFormat, GroupPlan, SigningKey, SinkKind};
use eddy::types::silence::Label;
use insta::assert_snapshot;

use super::{GOOD, KEY, good_but, plan_with, problems};

/// The seed of test 1 of RFC 8032, and the same with its public key behind it.
const SEED: &str = "nWGxne/9WmC6hEr0kuwsxERJxXtpcyaXAzusAxrKf2A=";
const PAIR: &str = "nWGxne/9WmC6hEr0kuwsxERJxXtpcyaXAzusAxrKf2DXWpgBgrEKt9VL/tPJZAc6DuFy89qmIyWvAhpo9wdRGg==";

fn with_sink(text: &str) -> String {
    format!("{GOOD}\n{text}")
}

#[test]
fn alerts_are_put_together_as_configured() {
    let plan = plan_with(&with_sink("group = {}\n"), &[]);
    let usual = GroupPlan {
        by: vec![Label::Stream],
        wait: Duration::from_secs(30),
        interval: Duration::from_secs(300),
    };
    assert_eq!(plan.sinks[0].group, Some(usual.clone()));
    let all = plan_with(&with_sink("group = { by = [], wait = \"5s\", interval = \"10s\" }\n"), &[]);
    let wanted = GroupPlan { by: vec![], wait: Duration::from_secs(5), interval: Duration::from_secs(10) };
    assert_eq!(all.sinks[0].group, Some(wanted));
}

#[test]
fn each_format_and_kind_of_key_is_known() {
    for (name, format) in [
        ("standard", BodyFormat::Standard),
        ("cloudevents", BodyFormat::CloudEvents),
        ("cloudevents-binary", BodyFormat::CloudEventsBinary),
        ("alertmanager", BodyFormat::Alertmanager),
    ] {
        let keys = format!("whsk_{SEED} {KEY} whsk_{PAIR}");
        let plan = plan_with(&format!("{}format = {name:?}\n", good_but(KEY, &keys)), &[]);
        let SinkKind::Webhook(webhook) = &plan.sinks[0].kind else { panic!("{plan:?}") };
        assert_eq!(webhook.format, format);
        let [SigningKey::Private(seed), SigningKey::Symmetric(_), SigningKey::Private(same)] =
            &webhook.secret[..]
        else {
            panic!("three keys")
        };
        assert_eq!((seed[0], seed), (0x9d, same));
        let shown = format!("{plan:?}");
        assert!(!shown.contains("157") && shown.contains("[redacted]"), "{shown}");
    }
}

#[test]
fn what_a_sink_cannot_do_is_told() {
    let text = with_sink(
        "format = \"xml\"\ngroup = { by = [\"stream\", \"sink\"], wait = \"0s\", interval = \"1s\", floor = 3 }\n\
         [sink.prometheus]\ntype = \"alertmanager\"\nurl = \"ftp://h\"\ngroup = {}\n[sink.archive]\ntype = \"file\"\n",
    );
    assert_snapshot!(problems(&text.replace(KEY, "whsk_c2hvcnQ=")), @r#"
    eddy.toml:18: sink.on_call.secret: secret 1 is 5 bytes long where an ed25519 key has 32 or 64. Make one: echo "whsk_$(head -c 32 /dev/urandom | base64)".
    eddy.toml:20: sink.on_call.format: there is no format "xml". Use one of standard, cloudevents, cloudevents-binary, alertmanager.
    eddy.toml:21: sink.on_call.group.by: there is no label "sink" to group by. Use stream, key, rule, column.
    eddy.toml:21: sink.on_call.group.wait: 0s is out of bounds. Choose from 1s to 1d.
    eddy.toml:21: sink.on_call.group.interval: 1s is out of bounds. Choose from 10s to 1d.
    eddy.toml:21: sink.on_call.group.floor: unknown key. Remove it; known here: by, wait, interval.
    eddy.toml:24: sink.prometheus.url: ftp:// is not Alertmanager's. Write it like "http://alertmanager.example.com:9093".
    eddy.toml:26: sink.archive.path: is missing. Add `path = "alerts.ndjson"`.
    8 problems in eddy.toml
    "#);
}

#[test]
fn a_group_of_eddys_puts_nothing_together() {
    let kafka = "type = \"kafka\"\nbrokers = [\"k:9092\"]\ntopics = [\"t\"]\nshared = { alerts = \"a\", state = \"s\" }\n";
    let source = &GOOD[GOOD.find("type = \"mqtt\"").unwrap()..GOOD.find("\n[stream.pumps]").unwrap()];
    let text = with_sink("group = {}\n").replace(source, kafka).replace("\"topic.4\"", "\"pump\"");
    assert_snapshot!(problems(&text), @r"
    eddy.toml:5: source.plant.shared: [sink.on_call] has a `group`, and each Eddy would tell an incident of its own. Remove `group` and let the receiver put alerts together, as Alertmanager does, or remove `shared`.
    1 problem in eddy.toml
    ");
}
