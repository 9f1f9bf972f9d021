//! What was said, and by whom it is known.

use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};

use super::{ask, break_down, deployment, draft, now_ns, silence, silences, text, until_known};
use crate::e2e;
use crate::e2e::group::{NOBODY, STATE};
use crate::e2e::kafka::{Kafka, Sent};
use crate::e2e::mosquitto::free_port;
use crate::e2e::topic::{PARTITIONS, TOPIC};
use crate::plant;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_said_outlives_the_member_that_was_told() {
    let kafka = Kafka::start();
    kafka.make_topic(TOPIC, PARTITIONS);
    let [here, there] = [(); 2].map(|()| deployment(&kafka, NOBODY));
    let mut dies = here.start();
    break_down(&kafka);
    let alert = dies.until("an alert fires", |dies| {
        let alerts = dies.alerts();
        let decision = &alerts.first()?["alert"]["decision"];
        (decision["state"] == "raised").then(|| decision["id"].as_str().expect("an id").to_owned())
    });
    let mut stays = there.start();
    let path = format!("/api/v1/alerts/{alert}/acknowledge");
    let (status, said) = ask(&dies, "POST", &path, &json!({"author": "ann", "comment": "on my way"}));
    assert_eq!(status, 200, "{said}");
    let (status, said) = ask(&dies, "POST", "/api/v1/silences", &draft("key=pump-3"));
    dies.kill();
    assert_eq!(status, 200, "{said}");
    let id = said["id"].as_str().expect("an id").to_owned();
    until_known(&mut stays, &id, "active");
    stays.until("it has the alert, and who has seen it", |stays| {
        let alerts = stays.alerts();
        let row = alerts.iter().find(|row| row["alert"]["decision"]["id"] == *alert)?;
        (row["acknowledged"]["author"] == "ann").then_some(())
    });
    let silence = |words: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_eddy"));
        command.current_dir(here.folder.path()).env_remove("RUST_LOG").arg("silence").args(words);
        let output = command.output().expect("it runs");
        let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        (output.status.success(), said)
    };
    for matcher in ["sink=on_call", "sink=~.+"] {
        let (status, said) = ask(&stays, "POST", "/api/v1/silences", &draft(matcher));
        assert!(status == 400 && said.to_string().contains("silence it at that receiver"), "{status} {said}");
    }
    for words in [&["list", "eddy.toml"][..], &["expire", "eddy.toml", &id]] {
        let (done, said) = silence(words);
        assert!(!done && said.contains("start it, or say it on a box where one runs"), "{said}");
    }
    // The command line asks an address that it knows.
    let page = format!("listen = \"127.0.0.1:{}\"", free_port());
    here.configure(&text(&kafka, NOBODY).replace("listen = \"127.0.0.1:0\"", &page));
    let mut again = here.start();
    until_known(&mut again, &id, "active");
    let (done, said) = silence(&["list", "eddy.toml"]);
    assert!(done && said.contains(&id), "{said}");
    // Of an alert that nobody knows.
    let (status, said) = ask(&again, "POST", "/api/v1/alerts/none/acknowledge", &json!({"author": "ann"}));
    assert!(status == 404 && said.to_string().contains("this member has no alert none"), "{status} {said}");
}

#[test]
fn without_a_broker_nothing_is_promised_and_with_it_all_agree() {
    let kafka = Kafka::start();
    kafka.make_topic(TOPIC, PARTITIONS);
    let [here, there] = [(); 2].map(|()| deployment(&kafka, NOBODY));
    let (mut first, mut second) = (here.start(), there.start());
    let known = silence(&first, "key=pump-1");
    until_known(&mut second, &known, "active");
    kafka.kill();
    let (status, said) = ask(&first, "POST", "/api/v1/silences", &draft("key=pump-2"));
    assert!([409, 503].contains(&status) && said["remedy"].is_string(), "{status} {said}");
    first.until("the page says it", |first| {
        let problems = first.get("/api/v1/status")["problems"].to_string();
        problems.contains("What the group silences and acknowledges is not read").then_some(())
    });
    let (status, said) = ask(&first, "POST", "/api/v1/silences", &draft("key=pump-2"));
    assert!(status == 409 && said["detail"].to_string().contains("no broker is reached"), "{status} {said}");
    assert_eq!(silences(&first).get(&known).map(String::as_str), Some("active"), "what is known holds on");
    kafka.launch();
    let id = first.until("it takes words again", |first| {
        let (status, said) = ask(first, "POST", "/api/v1/silences", &draft("key=pump-3"));
        if status != 200 {
            std::thread::sleep(Duration::from_millis(500));
        }
        (status == 200).then(|| said["id"].as_str().expect("an id").to_owned())
    });
    until_known(&mut second, &id, "active");
    assert_eq!(silences(&first), silences(&second));
    first.until("all is well", |first| {
        first.get("/api/v1/status")["sources"][0]["kafka"]["words_error"].is_null().then_some(())
    });
}

#[test]
fn words_that_nobody_needs_go_and_those_of_another_version_are_left_alone() {
    let kafka = Kafka::start();
    kafka.make_topic(TOPIC, PARTITIONS);
    let deployment = deployment(&kafka, NOBODY);
    let eddy = deployment.start();
    let kept = silence(&eddy, "key=pump-1");
    eddy.stop();
    let of = |id: &str| -> Value {
        let all = kafka.all_committed(STATE);
        let found = all.iter().rfind(|message| message.key == format!("silence/{id}")).expect("it is there");
        found.payload.as_ref().map_or(Value::Null, |payload| e2e::json(payload))
    };
    let word = of(&kept);
    let say = |id: &str, of: &Value| {
        let mut word = word.clone();
        word["silence"]["id"] = id.into();
        of.as_object().expect("fields").iter().for_each(|(name, value)| word[name] = value.clone());
        let (key, value) = (format!("silence/{id}"), word.to_string());
        let producer = kafka.producer();
        producer.send(&Sent { key: Some(key.as_bytes()), ..Sent::new(STATE, 0, value.as_bytes()) });
        producer.flush();
    };
    let days_ago = |days: i64| now_ns() - days * 86_400 * plant::SECOND_NS;
    say("old", &json!({"until_ns": days_ago(2)}));
    say("fresh", &json!({"until_ns": days_ago(0)}));
    say("later", &json!({"format": 99, "until_ns": days_ago(2)}));
    let mut eddy = deployment.start();
    eddy.until("it is forgotten", |eddy| (of("old").is_null() && silences(eddy).len() == 2).then_some(()));
    let known = silences(&eddy);
    assert!(known.contains_key(&kept) && known.contains_key("fresh"), "{known:?}");
    assert!(eddy.said().contains("it has format 99, this eddy reads 1"), "{}", eddy.said());
    assert_eq!(of("later")["format"], 99);
    assert_eq!(of(&kept), word);
}
