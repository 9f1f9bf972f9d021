//! A running appliance refits its model over a real Mosquitto: not on a fault that is going on, then on sensors that
//! have aged, upon which false alerts end; a person goes back to the model before, over a kill. All of it decides
//! as the engine does over the same log and entries.

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;
use std::process::Command;

use crate::e2e::eddy::{Deployment, Eddy, config, mqtt_source};
use crate::e2e::expect::{self, Outcome};
use crate::e2e::http;
use crate::e2e::mosquitto::{Mosquitto, free_port};
use crate::e2e::publisher::Publisher;
use crate::e2e::receiver::Receiver;
use crate::plant::{self, Row, SECOND_NS, START_NS};
use eddy::alert::outbox::{AlertFilter, OutboxReader};
use eddy::config::plan::ModelPlan;
use eddy::durable::{ControlEntry, ControlEvent, ControlLog, DirLock, RealDisk};
use eddy::engine::{Engine, Env, Outputs};
use eddy::model::Model;
use eddy::ring::Slot;
use eddy::types::{By, StreamId};
use serde_json::Value;

const KEYS: usize = 20;
const TOTAL_S: i64 = 6000;
/// A refit each so many seconds of event time, on windows of the last four times that.
const EVERY_S: i64 = 120;
const SPAN_S: i64 = 4 * EVERY_S;
/// Half of the pumps are wrong at the first refit.
const WRONG: Range<i64> = 250..700;
const AGED_FROM_S: i64 = 1000;
const AGED: f32 = 0.15;

/// The stream of a run, and how far it was published.
struct Plant {
    rows: Vec<Row>,
    publisher: Publisher,
    published: usize,
    /// What refits came to, one after the other.
    refits: Vec<&'static str>,
}

impl Plant {
    fn new(port: u16) -> Self {
        let mut rows = plant::rows(KEYS, TOTAL_S, 21, 0..0);
        plant::aged(&mut rows, AGED_FROM_S, AGED, 22);
        (0..KEYS / 2).for_each(|key| expect::break_pump(&mut rows, key, WRONG));
        Plant { rows, publisher: Publisher::connect(port), published: 0, refits: Vec::new() }
    }

    /// The seconds published so far.
    fn now_s(&self) -> i64 {
        (self.published / KEYS) as i64
    }

    fn publish(&mut self, eddy: &mut Eddy, until_s: i64) {
        let until = until_s as usize * KEYS;
        for row in &self.rows[self.published..until] {
            self.publisher.publish("plant/pumps", &row.message().payload);
        }
        self.publisher.settle();
        self.published = until;
        let all = until as u64;
        eddy.until("all rows are in", |eddy| (eddy.metric(EVENTS) >= all).then_some(()));
    }

    /// As far as the next refit is due, but no further than this second; waits for what comes of it.
    fn step(&mut self, eddy: &mut Eddy, until_s: i64) {
        // The page's numbers are of the last second.
        let due_ns = eddy.until("the page has heard of the last refit", |eddy| {
            let stream = eddy.get("/api/v1/status")["streams"][0].take();
            let told = RESULTS.map(|result| stream[format!("refits_{result}_total")].as_u64());
            (told == RESULTS.map(|result| Some(refits(eddy, result))))
                .then(|| stream["next_refit_ns"].as_i64())
        });
        // The watermark passes it with the second after it, and is behind the readings.
        let due_s = due_ns.map(|due| (due - START_NS).div_euclid(SECOND_NS) + 2 + expect::LATENESS_S);
        let before = RESULTS.map(|result| refits(eddy, result));
        self.publish(eddy, due_s.map_or(until_s, |due| due.clamp(self.now_s(), until_s)));
        if due_s.is_some_and(|due| due <= until_s) {
            self.refits.push(eddy.until("a refit has come to something", |eddy| {
                (0..3).find(|&i| refits(eddy, RESULTS[i]) > before[i]).map(|i| RESULTS[i])
            }));
        }
    }

    /// The next seconds; some pumps may be wrong in some of them, which it gives.
    fn go_on(&mut self, eddy: &mut Eddy, seconds: i64, wrong: Range<usize>) -> Range<i64> {
        let (now, until) = (self.now_s(), self.now_s() + seconds);
        let broken = now + 70..now + 110;
        wrong.for_each(|key| expect::break_pump(&mut self.rows, key, broken.clone()));
        while self.now_s() < until {
            self.step(eddy, until);
        }
        broken
    }
}

const EVENTS: &str = "eddy_stream_events_total{stream=\"pumps\"}";
const RESULTS: [&str; 3] = ["activated", "rejected", "failed"];

fn refits(eddy: &Eddy, result: &str) -> u64 {
    eddy.metric(&format!("eddy_stream_refits_total{{stream=\"pumps\",result=\"{result}\"}}"))
}

fn all_refits(eddy: &Eddy) -> u64 {
    RESULTS.iter().map(|result| refits(eddy, result)).sum()
}

/// The first revisions whose onset is in these seconds.
fn raised(eddy: &Eddy, seconds: Range<i64>) -> Vec<Value> {
    let decisions = eddy.alerts().into_iter().map(|row| row["alert"]["decision"].clone());
    let within = |decision: &Value| {
        let onset = (decision["onset"].as_i64().expect("a time") - START_NS) / SECOND_NS;
        decision["revision"] == 1 && seconds.contains(&onset)
    };
    decisions.filter(within).collect()
}

/// The model by which alerts of these seconds were decided; waits for the first. (A pump of which an alert is
/// open has no other one, so several are broken.)
fn model_of(eddy: &mut Eddy, seconds: Range<i64>) -> String {
    let all = eddy.until("the fault is told of", |eddy| {
        Some(raised(eddy, seconds.start - 16..seconds.end)).filter(|all| !all.is_empty())
    });
    assert!(all.iter().all(|decision| decision["model"] == all[0]["model"]), "{all:?}");
    all[0]["model"].as_str().expect("a checksum").to_owned()
}

/// `eddy model SUBCOMMAND eddy.toml --stream pumps`: whether it worked, and what it said.
fn model(deployment: &Deployment, subcommand: &str) -> (bool, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_eddy"));
    command.args(["model", subcommand, "eddy.toml", "--stream", "pumps"]);
    let output = command.current_dir(deployment.folder.path()).output().expect("it runs");
    let said = String::from_utf8([output.stdout, output.stderr].concat()).expect("text");
    println!("eddy model {subcommand}:\n{said}");
    (output.status.success(), said)
}

fn is_active(eddy: &Eddy, model: &Model, name: &str, by: &str) -> bool {
    let short = model.checksum_short();
    let sample =
        format!("eddy_stream_model{{stream=\"pumps\",model=\"{short}\",name=\"{name}\",by=\"{by}\"}} 1");
    http::get(eddy.page, "/metrics").expect("it answers").text().contains(&sample)
}

/// The entries of a stopped deployment.
fn entries(deployment: &Deployment) -> Vec<ControlEntry> {
    let _lock = DirLock::acquire(&deployment.data()).expect("nobody uses the folder");
    ControlLog::open(Box::new(RealDisk::new()), &deployment.data()).expect("a sound log").1
}

/// `webhook-id` to decision, of a stopped deployment.
fn stored(deployment: &Deployment) -> BTreeMap<String, Value> {
    let reader = OutboxReader::open(&deployment.data().join("outbox.sqlite")).expect("an outbox");
    let (mut found, mut before) = (BTreeMap::new(), None);
    loop {
        let rows = reader.alerts_page(before, 500, &AlertFilter::default()).expect("it reads");
        let Some(last) = rows.last() else { return found };
        before = Some(last.seq);
        let decisions = rows.iter().map(|row| &row.alert.decision);
        found.extend(decisions.map(|decision| (decision.message_id(), expect::as_json(decision))));
    }
}

/// The engine over the log, with the models that its entries name, where they name them.
fn replayed(deployment: &Deployment, rows: &[Row]) -> Outcome {
    let mut plan = expect::plan();
    let refit = Some(std::time::Duration::from_secs(EVERY_S as u64));
    plan.streams[0].model = ModelPlan::Load { path: "unused".into(), refit, memory_bytes: 0 };
    let mut engine = Engine::new(&plan);
    let by_payload: HashMap<Vec<u8>, &Row> =
        rows.iter().map(|row| (row.message().payload.to_vec(), row)).collect();
    let (mut out, mut entries) = (Outputs::default(), entries(deployment).into_iter().peekable());
    for (position, message) in (0..).zip(deployment.logged()) {
        while let Some(entry) = entries.next_if(|entry| entry.precedes.0 <= position) {
            if let ControlEvent::ModelActivated { activation, .. } = entry.event {
                let file = format!("models/{}.safetensors", activation.checksum);
                let model = Model::load(&deployment.data().join(file)).expect("it was kept");
                engine.activate(StreamId(0), model.into()).expect("made for this stream");
            }
        }
        let mut slot = Slot::default();
        slot.push(by_payload[&message.payload[..]].record(position));
        engine.step(&slot, &Env::SIMULATED, &mut out);
    }
    expect::outcome(engine, out)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_challenger_that_is_better_takes_over_and_a_person_can_go_back() {
    let (receiver, broker) = (Receiver::start([]).await, Mosquitto::start_quiet());
    let lines = "max_future = \"none\"\nidle_after = \"off\"";
    let refit = format!("safetensors\", refit = \"{EVERY_S}s\"");
    let text = config(&mqtt_source(broker.port), "[\"plant\"]", lines, &receiver.url)
        .replace("safetensors\"", &refit)
        .replace("127.0.0.1:0", &format!("127.0.0.1:{}", free_port()));
    let deployment = Deployment::new(&text);
    let (champion, mut eddy) = (plant::model(), deployment.start());
    let mut plant = Plant::new(broker.port);
    assert!(is_active(&eddy, &champion, "model", "file"));

    plant.publish(&mut eddy, 1);
    eddy.until("time has begun", |eddy| eddy.get("/api/v1/status")["streams"][0]["next_refit_ns"].as_i64());
    plant.go_on(&mut eddy, AGED_FROM_S - 1, 0..0);
    assert!(raised(&eddy, WRONG.start - 16..WRONG.end).len() >= KEYS / 2, "the faults were told of");
    assert!(plant.refits.len() >= 3 && plant.refits.iter().all(|is| *is == "rejected"), "{:?}", plant.refits);

    while plant.refits.last() != Some(&"activated") {
        assert!(plant.now_s() < AGED_FROM_S + 3 * SPAN_S, "the challenger never wins");
        plant.step(&mut eddy, TOTAL_S);
    }
    let aged_for = plant.now_s() - AGED_FROM_S;
    let false_before = raised(&eddy, AGED_FROM_S..plant.now_s()).len();
    // The windows of one challenger are partly of before; the next may be better still.
    plant.go_on(&mut eddy, SPAN_S + EVERY_S, 0..0);
    let settled = plant.now_s();
    plant.go_on(&mut eddy, aged_for, 0..0);
    let false_after = raised(&eddy, settled..plant.now_s()).len();
    println!("refits: {:?}", plant.refits);
    println!("false alerts: {false_before} in {aged_for} s before, {false_after} in {aged_for} s after");
    assert!(false_before >= 3 && false_after * 3 < false_before);
    let wrong = plant.go_on(&mut eddy, 200, 3..6);
    let (_, said) = model(&deployment, "list");
    let newest = said.lines().last().expect("a line").to_owned();
    assert!(newest.contains("refit") && newest.ends_with("active"), "{newest}");
    let refitted = model_of(&mut eddy, wrong);
    assert!(newest.contains(&refitted) && refitted != champion.checksum_short());
    let sample = eddy.get("/api/v1/models/sample?stream=pumps");
    assert_eq!(
        sample["model"].as_str(),
        Some(&*refitted),
        "the page's sample of normal is the active model's"
    );
    let lengths = sample["columns"].as_array().expect("columns").iter();
    assert!(
        lengths.map(|column| column["values"].as_array().map_or(0, Vec::len)).all(|cells| cells > 1),
        "{sample}"
    );

    let activated = plant.refits.iter().filter(|is| **is == "activated").count();
    go_back(&deployment, &eddy, activated, &champion);
    eddy.until("no refit is due", |eddy| {
        eddy.get("/api/v1/status")["streams"][0]["next_refit_ns"].is_null().then_some(())
    });
    let held = all_refits(&eddy);
    plant.go_on(&mut eddy, 200, 0..0);
    let wrong = plant.go_on(&mut eddy, 200, 6..12);
    assert_eq!(model_of(&mut eddy, wrong), champion.checksum_short());
    assert_eq!(all_refits(&eddy), held, "refits rest");

    eddy.kill();
    let mut eddy = deployment.start();
    assert!(is_active(&eddy, &champion, "model", "roll_back"), "a start undoes no roll-back");
    let wrong = plant.go_on(&mut eddy, 200, 12..18);
    assert_eq!(model_of(&mut eddy, wrong), champion.checksum_short());
    plant.go_on(&mut eddy, 60, 0..0);
    let found = expect::of_partitions(&eddy.partitions());
    assert!(eddy.stop().0.success());
    let expected = replayed(&deployment, &plant.rows[..plant.published]);
    assert_eq!(found, expected.partitions);
    assert_eq!(stored(&deployment), expected.decisions);

    another_file_is_activated_and_left_again(&deployment, &refitted, &champion);
}

/// Back to the first model, one refit after the other.
fn go_back(deployment: &Deployment, eddy: &Eddy, activated: usize, champion: &Model) {
    let path = "/api/v1/models/rollback?stream=pumps";
    let elsewhere = [("Origin", "http://elsewhere.example")];
    let refused = http::request(eddy.page, "POST", path, &elsewhere, b"").expect("an answer");
    assert_eq!(refused.status, 403, "as a page of somebody else's would ask: {}", refused.text());
    for left in (0..activated).rev() {
        let (done, said) = model(deployment, "rollback");
        assert!(done && said.contains("refits of pumps rest"), "{said}");
        assert_eq!(
            said.contains(&format!("{}  roll_back  model  active", champion.checksum_short())),
            left == 0
        );
    }
    let (done, said) = model(deployment, "rollback");
    assert!(!done && said.contains("no model before"), "{said}");
    assert!(is_active(eddy, champion, "model", "roll_back"));
}

/// The config's file changes: it acts, and refits may come again. Then back once more, with nothing running.
fn another_file_is_activated_and_left_again(deployment: &Deployment, short: &str, champion: &Model) {
    let kept = std::fs::read_dir(deployment.data().join("models")).expect("a folder");
    let files = kept.map(|file| file.expect("a file").path());
    let another =
        files.filter_map(|file| Model::load(&file).ok()).find(|model| model.checksum_short() == short);
    let another = another.expect("the refitted one is kept");
    another.save(&deployment.path("model.safetensors")).expect("it is written");
    let eddy = deployment.start();
    assert!(is_active(&eddy, &another, "model", "file"));
    assert!(eddy.stop().0.success());
    let (done, said) = model(deployment, "rollback");
    assert!(done && said.contains("roll_back"), "{said}");
    let eddy = deployment.start();
    assert!(is_active(&eddy, champion, "model", "roll_back"), "the file is the one it was");
    assert!(eddy.stop().0.success());
    let activations = entries(deployment).into_iter().filter_map(|entry| match entry.event {
        ControlEvent::ModelActivated { activation, .. } => Some(activation),
        _ => None,
    });
    let by: Vec<By> = activations.map(|activation| activation.by).collect();
    assert_eq!(by.first(), Some(&By::File));
    assert_eq!(by[by.len() - 2..], [By::File, By::RollBack]);
}
