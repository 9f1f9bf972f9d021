//! What people say of alerts to one member of a group holds for all: over a real Kafka, release binaries that die, start late and
//! lose their broker.

use std::collections::BTreeMap;
use std::process::Command;
use std::sync::atomic::AtomicUsize;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::e2e::eddy::{Deployment, Eddy};
use crate::e2e::group::{NOBODY, QUIET, STATE, until_committed};
use crate::e2e::kafka::{Kafka, Sent};
use crate::e2e::receiver::Receiver;
use crate::e2e::topic::{KEYS, PARTITIONS, TOPIC, send};
use crate::e2e::{self, expect, group, http};
use crate::plant::{self, Row};
use serde_json::{Value, json};

/// "In a moment", on a machine that has much to do.
const MOMENT: Duration = Duration::from_secs(5);
const BROKEN: usize = 10;

/// Pumps of which ten break and stay so: their alerts fire until the end.
fn rows() -> Vec<Row> {
    const SECONDS: i64 = 120;
    let mut rows = plant::rows(KEYS, SECONDS, 31, 0..0);
    (0..BROKEN).for_each(|key| expect::break_pump(&mut rows, key, 60..SECONDS));
    rows
}

/// Of pumps that are broken for good, and of nothing that the wall clock says.
fn text(kafka: &Kafka, webhook: &str) -> String {
    group::text(kafka, "idle_after = \"1h\"\nno_data = \"off\"", webhook) + "snapshot_every = \"1s\"\n"
}

fn deployment(kafka: &Kafka, webhook: &str) -> Deployment {
    Deployment::new(&text(kafka, webhook))
}

/// How many revisions there are to be told.
fn break_down(kafka: &Kafka) -> usize {
    let rows = rows();
    send(&kafka.producer(), &rows, &AtomicUsize::new(usize::MAX));
    until_committed(kafka, rows.len(), |_| {});
    let all = group::told(kafka);
    let fires = |(decision, _): &(Value, usize)| decision["state"] != "resolved";
    assert!(all.len() >= BROKEN && all.values().all(fires), "{all:?}");
    all.len()
}

fn ask(eddy: &Eddy, method: &str, path: &str, body: &Value) -> (u16, Value) {
    let headers = [("Content-Type", "application/json")];
    let answer =
        http::request(eddy.page, method, path, &headers, body.to_string().as_bytes()).expect("an answer");
    (answer.status, answer.json())
}

fn now_ns() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_nanos() as i64
}

fn draft(matcher: &str) -> Value {
    let ends_at = now_ns() + 7_200 * plant::SECOND_NS;
    json!({"matchers": [matcher], "ends_at": ends_at.to_string(), "author": "ann", "comment": "belt"})
}

/// The id, once the member that was told knows it.
fn silence(eddy: &Eddy, matcher: &str) -> String {
    let (status, said) = ask(eddy, "POST", "/api/v1/silences", &draft(matcher));
    // Asked at once: whoever was answered finds what it said.
    let known = silences(eddy);
    assert_eq!(status, 200, "{said}; it said:\n{}", eddy.said());
    let id = said["id"].as_str().expect("an id").to_owned();
    assert_eq!(known.get(&id).map(String::as_str), Some("active"), "{known:?}");
    id
}

/// State of each, by id.
fn silences(eddy: &Eddy) -> BTreeMap<String, String> {
    let all = eddy.get("/api/v1/silences")["silences"].take();
    let text = |value: &Value| value.as_str().expect("a text").to_owned();
    all.as_array().expect("a list").iter().map(|one| (text(&one["id"]), text(&one["state"]))).collect()
}

fn until_known(eddy: &mut Eddy, id: &str, state: &str) {
    let began = Instant::now();
    eddy.until("it knows the silence", |eddy| {
        silences(eddy).get(id).is_some_and(|known| known == state).then_some(())
    });
    assert!(began.elapsed() < MOMENT, "after {:?}", began.elapsed());
}

fn held(eddies: &[&Eddy]) -> usize {
    eddies.iter().map(|eddy| eddy.metric("eddy_sink_silenced{sink=\"on_call\"}") as usize).sum()
}

fn until_held(eddies: &[&Eddy], count: usize) {
    let began = Instant::now();
    while held(eddies) != count {
        assert!(began.elapsed() < e2e::WAIT_MAX, "{} of {count} are held back", held(eddies));
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// How often a receiver was told of what.
fn told(receiver: &Receiver) -> BTreeMap<String, usize> {
    let mut told = BTreeMap::new();
    receiver.received().iter().for_each(|request| *told.entry(request.id().to_owned()).or_default() += 1);
    told
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_silence_said_to_one_holds_at_all_and_ended_at_another_lets_go_everywhere() {
    let kafka = Kafka::start();
    kafka.make_topic(TOPIC, PARTITIONS);
    let receiver = Receiver::start([]).await;
    let [here, there, late] = [(); 3].map(|()| deployment(&kafka, &receiver.url));
    let (first, mut second) = (here.start(), there.start());
    let id = silence(&first, "stream=pumps");
    until_known(&mut second, &id, "active");
    let all = break_down(&kafka);
    until_held(&[&first, &second], all);
    // One that joins takes over what others hold back, restores partitions beside which words lie, and holds it back as well.
    let mut third = late.start();
    until_known(&mut third, &id, "active");
    third.until("it has alerts to deliver", |third| (held(&[third]) > 0).then_some(()));
    until_held(&[&first, &second, &third], all);
    std::thread::sleep(QUIET);
    assert_eq!(told(&receiver), BTreeMap::new());

    let (status, ended) = ask(&second, "DELETE", &format!("/api/v1/silences/{id}"), &Value::Null);
    assert_eq!((status, &ended["state"]), (200, &"expired".into()), "{ended}");
    receiver.wait_for(all).await;
    until_held(&[&first, &second, &third], 0);
    std::thread::sleep(QUIET);
    let told = told(&receiver);
    assert!(told.len() == all && told.values().all(|times| *times == 1), "{told:?}");
    for eddy in [&first, &second, &third] {
        assert_eq!(silences(eddy), BTreeMap::from([(id.clone(), "expired".to_owned())]));
    }
}

/// What it has to send when it starts was not silenced when it ended.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_that_starts_sends_nothing_that_was_silenced_while_it_was_off() {
    let kafka = Kafka::start();
    kafka.make_topic(TOPIC, PARTITIONS);
    let receiver = Receiver::start([]).await;
    let [here, there] = [(); 2].map(|()| deployment(&kafka, NOBODY));
    let mut off = here.start();
    let all = break_down(&kafka);
    off.until("all of it waits", |off| {
        (off.metric("eddy_sink_queued{sink=\"on_call\"}") == all as u64).then_some(())
    });
    off.kill();
    let on = there.start();
    let id = silence(&on, "stream=pumps");
    here.configure(&text(&kafka, &receiver.url));
    let mut off = here.start();
    until_known(&mut off, &id, "active");
    let queued = |eddy: &Eddy| eddy.metric("eddy_sink_queued{sink=\"on_call\"}") as usize;
    // What has failed before its start it would send at once: some of it is not due yet, and waits.
    off.until("it has looked", |off| (held(&[off]) + queued(off) > 0).then_some(()));
    std::thread::sleep(QUIET);
    assert_eq!(told(&receiver), BTreeMap::new());
}

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
    for words in [&["list", "eddy.toml"][..], &["expire", "eddy.toml", &id]] {
        let (done, said) = silence(words);
        assert!(!done && said.contains("start it, or say it on a box where one runs"), "{said}");
    }
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
    say("old", &json!({"until_ns": now_ns()}));
    say("later", &json!({"format": 99, "until_ns": now_ns()}));
    let mut eddy = deployment.start();
    eddy.until("it is forgotten", |eddy| (of("old").is_null() && silences(eddy).len() == 1).then_some(()));
    assert_eq!(silences(&eddy), BTreeMap::from([(kept.clone(), "active".to_owned())]));
    assert!(eddy.said().contains("it has format 99, this eddy reads 1"), "{}", eddy.said());
    assert_eq!(of("later")["format"], 99);
    assert_eq!(of(&kept), word);
}
