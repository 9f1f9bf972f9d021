//! The page of the release binary in a real browser, while its engine works: `tests/dashboard/engine.mjs`.
//!
//! How long frames take is measured and not judged here: `target/screenshots/frames-engine.json`, of which
//! `benches/page.json` has a run.

use std::net::SocketAddr;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::e2e::eddy::{Deployment, Eddy, config};
use crate::e2e::expect::{self, now_ns};
use crate::e2e::http;
use crate::e2e::mosquitto::free_port;
use crate::e2e::receiver::{Behaviour, Receiver};
use crate::plant::{self, Row, SECOND_NS, START_NS};

/// Each says something this often.
const KEYS: usize = 2_000;
const HERTZ: usize = 5;
/// Those that are wrong from some second on, and stay so.
const BROKEN: usize = 500;
/// A whole epoch: what keys learn acts from the next minute on.
const WARM_S: i64 = 60;
const POSTS_A_SECOND: usize = 10;

fn free() -> SocketAddr {
    ([127, 0, 0, 1], free_port()).into()
}

fn source(http: SocketAddr) -> String {
    format!("[source.line]\ntype = \"http\"\nlisten = \"{http}\"\nmax_body = \"64MB\"")
}

fn post(http: SocketAddr, rows: &[Row]) {
    let headers = [("Content-Type", "application/x-ndjson")];
    let answer = http::request(http, "POST", "/v1/events/pumps", &headers, &plant::ndjson(rows));
    assert_eq!(answer.expect("an answer").status, 200);
}

/// Runs the script on the page; what it printed.
fn look(eddy: &Eddy, what: &str, more: &[&str]) -> String {
    let root = env!("CARGO_MANIFEST_DIR");
    let chromium = std::env::var("EDDY_CHROMIUM").unwrap_or_else(|_| "/usr/bin/chromium".to_owned());
    let output = Command::new("node")
        .args(["engine.mjs", what, &format!("http://{}", eddy.page), &chromium])
        .args(more)
        .current_dir(format!("{root}/tests/dashboard"))
        .stderr(Stdio::inherit())
        .output()
        .expect("node is installed by scripts/setup");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    println!("{said}");
    assert!(output.status.success(), "the browser found faults: read the lines starting with FAULT above");
    said
}

/// Second by second, from `from_ns` on; each key's rows of a second lie evenly in it.
struct Fleet {
    seconds: Vec<Vec<Row>>,
    from_ns: i64,
}

impl Fleet {
    fn new(seconds: i64, from_ns: i64) -> Self {
        let mut rows = plant::rows(KEYS, seconds, 7, 0..0);
        for (index, row) in rows.iter_mut().enumerate() {
            let (second, key) = ((index / KEYS) as i64, index % KEYS);
            row.time_ns = START_NS + second * SECOND_NS;
            if key < BROKEN && second >= WARM_S {
                row.values[3] = 5.0 - row.values[3];
            }
        }
        let of = rows.chunks(KEYS).map(<[Row]>::to_vec).collect();
        Fleet { seconds: of, from_ns }
    }

    /// One of a second's [`POSTS_A_SECOND`] parts. The last minute comes again and again: a browser takes as long as it takes.
    fn part(&self, second: usize, part: usize) -> Vec<Row> {
        let (at, half) = (part * HERTZ / POSTS_A_SECOND, POSTS_A_SECOND / HERTZ);
        let last = self.seconds.len() - 60;
        let known = if second < last { second } else { last + (second - last) % 60 };
        let rows = self.seconds[known].iter().enumerate().filter(|(index, _)| index % half == part % half);
        let later_ns = (second - known) as i64 * SECOND_NS;
        let offset_ns = self.from_ns - START_NS + later_ns + at as i64 * SECOND_NS / HERTZ as i64;
        rows.map(|(_, row)| Row { time_ns: row.time_ns + offset_ns, ..row.clone() }).collect()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_page_keeps_up_with_500_alerts_and_10_000_events_a_second() {
    let seconds: i64 = std::env::var("EDDY_FRAMES_S").map_or(5, |s| s.parse().expect("seconds"));
    let (http, receiver) = (free(), Receiver::start([]).await);
    // A machine that stands still for a moment must not make every key silent.
    let stream = "max_future = \"none\"\nno_data = \"off\"";
    let text = config(&source(http), "[\"line\"]", stream, &receiver.url);
    let deployment = Deployment::new(
        &text.replace("p_value = 1e-4", "p_value = 1e-9").replace("lateness = \"32s\"", "lateness = \"4s\""),
    );
    let mut eddy = deployment.start();
    // The windows that show who is wrong end some seconds before the newest row.
    let raised_by = WARM_S + 40;
    let from_s = (now_ns() / SECOND_NS - raised_by).div_euclid(WARM_S) * WARM_S;
    let fleet = Fleet::new(raised_by + 60, from_s * SECOND_NS);
    for second in 0..raised_by as usize {
        (0..POSTS_A_SECOND).for_each(|part| post(http, &fleet.part(second, part)));
    }
    let open = |eddy: &Eddy| eddy.get("/api/v1/status")["totals"]["alerts_open"].as_u64();
    eddy.until("the alerts", |eddy| open(eddy).filter(|open| *open >= BROKEN as u64));
    let ended = Arc::new(AtomicBool::new(false));
    let is_over = ended.clone();
    let sending = std::thread::spawn(move || {
        let (began, mut sent) = (Instant::now(), 0);
        let parts = (raised_by as usize..).flat_map(|s| (0..POSTS_A_SECOND).map(move |p| (s, p)));
        for (index, (second, part)) in parts.enumerate() {
            let due = Duration::from_secs(1) * index as u32 / POSTS_A_SECOND as u32;
            std::thread::sleep(due.saturating_sub(began.elapsed()));
            if is_over.load(Ordering::Relaxed) {
                break;
            }
            let rows = fleet.part(second, part);
            post(http, &rows);
            sent += rows.len();
        }
        sent as f64 / began.elapsed().as_secs_f64()
    });
    let file = format!("{}/target/screenshots/frames-engine.json", env!("CARGO_MANIFEST_DIR"));
    std::fs::create_dir_all(std::path::Path::new(&file).parent().expect("a folder")).expect("it can be made");
    look(&eddy, "load", &[&seconds.to_string(), &file]);
    assert!(!sending.is_finished(), "not all was taken");
    ended.store(true, Ordering::Relaxed);
    let rate = sending.join().expect("all was taken");
    let still = open(&eddy).expect("a count");
    println!("{rate:.0} events/s were taken, {still} alerts fire");
    // One of them may have a window that looks as ever.
    assert!(still >= (BROKEN - BROKEN / 100) as u64, "{still} fire");
}

/// Eight pumps, of which four break.
fn four_break(receiver: &Receiver) -> (Deployment, Eddy) {
    let http = free();
    let deployment =
        Deployment::new(&config(&source(http), "[\"line\"]", "max_future = \"none\"", &receiver.url));
    let eddy = deployment.start();
    let mut rows = plant::rows(8, 300, 31, 0..0);
    (0..4).for_each(|key| expect::break_pump(&mut rows, key, 100..300));
    post(http, &rows);
    (deployment, eddy)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_click_asks_a_receiver_at_once_for_what_waits() {
    let (receiver, is_back) = Receiver::refusing(Behaviour::RetryAfter(503, "3600".to_owned())).await;
    let (_deployment, mut eddy) = four_break(&receiver);
    eddy.until("four alerts wait", |eddy| {
        let sink = &eddy.get("/api/v1/status")["sinks"][0];
        (sink["queued"].as_u64()? >= 4 && sink["waiting"]["next_attempt_at_ns"].is_i64()).then_some(())
    });
    is_back.store(true, Ordering::Relaxed);
    look(&eddy, "asks", &[]);
    eddy.until("they are told", |_| (receiver.accepted().len() >= 4).then_some(()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_click_tries_a_failed_delivery_again_and_lists_go_by_keys() {
    // It wants nothing until it is back: attempts that were under way together are all refused.
    let (receiver, is_back) = Receiver::refusing(Behaviour::Status(410)).await;
    let (_deployment, mut eddy) = four_break(&receiver);
    eddy.until("four alerts", |eddy| {
        eddy.get("/api/v1/status")["totals"]["alerts_open"].as_u64().filter(|open| *open >= 4)
    });
    eddy.until("they are given up", |eddy| {
        eddy.get("/api/v1/deliveries/failed")["rows"].as_array().filter(|rows| rows.len() >= 4).map(Vec::len)
    });
    assert_eq!(receiver.accepted().len(), 0, "it wants nothing more");
    is_back.store(true, Ordering::Relaxed);
    let said = look(&eddy, "acts", &[]);
    let replayed = said.lines().find_map(|line| line.strip_prefix("replayed ")).expect("it was pressed");
    let id = replayed.strip_suffix(" on_call").expect("the sink's own");
    eddy.until("it is told", |_| receiver.accepted().iter().any(|told| told == id).then_some(()));
}
