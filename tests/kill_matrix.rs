//! The kill matrix: a real Mosquitto (QoS 1, persistent session), the release binary killed with `kill -9`
//! at moments a seed chooses, and a real HTTP receiver, each of them in trouble of its own. Whatever
//! happens, what the receiver is told equals what the engine decides over the same events undisturbed.
//!
//! A sample by default; `make kill-matrix` runs the full counts and writes `benches/kill-matrix.json`.
//! Not seen here: whether anything was fsynced (a killed process leaves its writes in the system's cache);
//! the simulated power cuts of `tests/simulation.rs` are for that.

#[path = "support/e2e/mod.rs"]
mod e2e;
mod plant;
#[path = "kill_matrix/run.rs"]
mod run;
#[path = "kill_matrix/scale.rs"]
mod scale;
#[path = "support/small_disk.rs"]
mod small_disk;
#[path = "kill_matrix/trouble.rs"]
mod trouble;
#[path = "kill_matrix/verdict.rs"]
mod verdict;

use std::time::Duration;

use e2e::expect;
use e2e::receiver::{Behaviour, Receiver};
use run::{Run, Trouble};
use scale::Scale;
use trouble::{Broker, Disk, Gone, Kills, Moody};

/// Says how to run a failed scenario again.
struct Rerun(String);

impl Drop for Rerun {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("run it again: {}", self.0);
        }
    }
}

/// Every revision must have reached the one receiver by the end.
async fn scenario(name: &str, test: &str, moody: Moody, trouble: impl FnOnce(&mut Run) -> Box<dyn Trouble>) {
    let scale = Scale::from_environment();
    let _rerun = Rerun(scale.rerun(test));
    let _ = scale.expected();
    let (receiver, refused) = moody.receiver().await;
    let mut run = Run::new(scale, &receiver, "");
    let mut trouble = trouble(&mut run);
    run.drive(&mut *trouble);
    verdict::settle(&mut run, &["on_call"]);
    let told = expect::received(&receiver);
    let refused = refused.load(std::sync::atomic::Ordering::SeqCst);
    moody.was_felt(refused);
    verdict::hold(name, &mut run, &told, &receiver, refused);
}

async fn moody_receiver(name: &str, test: &str, behaviour: Behaviour, refusals: usize) {
    let moody = Moody { behaviour, refusals };
    scenario(name, test, moody, |_| Box::new(Kills)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kills_alone() {
    scenario("kills alone", "kills_alone", Moody::NONE, |_| Box::new(Kills)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn broker_stopped_and_started() {
    let name = "broker stopped and started";
    scenario(name, "broker_stopped_and_started", Moody::NONE, |_| Box::new(Broker)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn disk_full_and_freed() {
    if std::env::var_os(small_disk::WITHOUT).is_some() {
        return;
    }
    let disk = |run: &mut Run| Box::new(Disk::mount(run)) as Box<dyn Trouble>;
    scenario("disk full and freed", "disk_full_and_freed", Moody::NONE, disk).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn receiver_answers_500() {
    moody_receiver("receiver answers 500", "receiver_answers_500", Behaviour::Status(500), 60).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn receiver_answers_429() {
    let busy = Behaviour::RetryAfter(429, "2".into());
    moody_receiver("receiver answers 429, Retry-After", "receiver_answers_429", busy, 8).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn receiver_never_answers() {
    moody_receiver("receiver never answers", "receiver_never_answers", Behaviour::Hang, 24).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn receiver_closes_midway() {
    moody_receiver("receiver closes midway", "receiver_closes_midway", Behaviour::CloseMidResponse, 60).await;
}

/// One receiver answers 410 and is given a new url later on; the other one has every revision all the same.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn receiver_answers_410() {
    let scale = Scale::from_environment();
    let _rerun = Rerun(scale.rerun("receiver_answers_410"));
    let expected = scale.expected();
    let steady = Receiver::start([]).await;
    let mut gone = Gone::start(expected.decisions.len(), &steady).await;
    let mut run = Run::new(scale, &gone.first, &gone.steady_sink());
    run.drive(&mut gone);
    verdict::settle(&mut run, &["on_call", "steady"]);
    gone.holds(&mut run, expected);
    let refused = gone.refused();
    verdict::hold("receiver answers 410", &mut run, &expect::received(&steady), &steady, refused);
}

/// A wait that nothing shortens.
const A_WHILE: Duration = Duration::from_millis(200);
