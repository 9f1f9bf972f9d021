//! What befalls broker, disk and receiver.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};

use rand::RngExt;
use serde_json::Value;

use crate::A_WHILE;
use crate::e2e::expect::{self, Outcome};
use crate::e2e::receiver::{Behaviour, Receiver};
use crate::run::{Run, Trouble, configuration};
use crate::small_disk::SmallDisk;

/// Events the process still takes before it is killed, once a full disk was freed.
const IN_THE_MIDST: u64 = 400;

/// Nothing but kills.
pub struct Kills;

impl Trouble for Kills {
    fn strike(&mut self, run: &mut Run) {
        run.kill();
        run.start_again();
    }
}

/// The broker is stopped, and started again, before the process is killed, around it, or after it.
/// By SIGTERM: it writes its queues to disk then. What `kill -9` loses of them is not Eddy's to keep.
pub struct Broker;

impl Trouble for Broker {
    fn strike(&mut self, run: &mut Run) {
        match run.kills % 3 {
            0 => {
                run.broker.stop();
                std::thread::sleep(A_WHILE.mul_f64(run.rng.random()));
                run.broker.launch();
                std::thread::sleep(A_WHILE.mul_f64(run.rng.random()));
                run.kill();
            }
            1 => {
                run.broker.stop();
                run.kill();
                run.broker.launch();
            }
            _ => {
                run.kill();
                run.broker.stop();
                run.broker.launch();
            }
        }
        run.start_again();
    }
}

/// The data folder's disk fills up and is freed; the process is killed soon after that, at times in between
/// as well, and then started before or after there is room again.
pub struct Disk(SmallDisk);

impl Disk {
    pub fn mount(run: &Run) -> Self {
        let size = (64 << 20) + run.scale.events * 800;
        let disk = SmallDisk::mount(&run.deployment.data(), &format!("size={size}"));
        Disk(disk.expect("nobody said that nothing may be mounted"))
    }
}

impl Trouble for Disk {
    fn strike(&mut self, run: &mut Run) {
        self.0.fill();
        let end = run.scale.events as u64;
        run.flows_until("the disk is found full", end, |eddy| eddy.metric("eddy_log_safe") == 0);
        std::thread::sleep(A_WHILE.mul_f64(run.rng.random()));
        match run.rng.random_range(0..3) {
            _ if run.kills + 1 >= run.scale.kills => self.0.make_room(),
            0 => {
                run.kill();
                run.start_again();
                self.0.make_room();
            }
            1 => {
                run.kill();
                self.0.make_room();
                run.start_again();
            }
            _ => self.0.make_room(),
        }
        run.flows_until("it goes on by itself", end, |eddy| eddy.metric("eddy_log_safe") == 1);
        // In the midst of what had to wait.
        let moment = run.eddy().events() + run.rng.random_range(1..IN_THE_MIDST);
        run.flows_until("what waited is taken", end, |eddy| eddy.events() >= moment);
        run.kill();
        run.start_again();
    }
}

/// A receiver that does not accept the first attempt of so many alerts on end. More than one refusal an
/// alert would make the run wait for the schedule's third attempt, five minutes later.
pub struct Moody {
    pub behaviour: Behaviour,
    pub refusals: usize,
}

impl Moody {
    pub const NONE: Moody = Moody { behaviour: Behaviour::Accept, refusals: 0 };

    /// And the count of its refusals.
    pub async fn receiver(&self) -> (Receiver, Arc<AtomicUsize>) {
        let refused = Arc::new(AtomicUsize::new(0));
        let (count, behaviour, refusals) = (refused.clone(), self.behaviour.clone(), self.refusals);
        let mut seen = BTreeSet::new();
        let receiver = Receiver::choosing(move |request| {
            let first = seen.insert(request.id().to_owned());
            // The first one is accepted: its connection is there to be used again.
            if first && seen.len() > 1 && count.load(SeqCst) < refusals {
                count.fetch_add(1, SeqCst);
                return behaviour.clone();
            }
            Behaviour::Accept
        });
        (receiver.await, refused)
    }

    pub fn was_felt(&self, refused: usize) {
        assert!(self.refusals == 0 || refused > 1, "{refused} attempts were refused");
    }
}

/// A receiver that answers 410 from some alert on, and is replaced by one under a new url later.
pub struct Gone {
    pub first: Receiver,
    second: Receiver,
    steady: String,
    moved: bool,
    accepted: Arc<Mutex<BTreeSet<String>>>,
    refused: Arc<AtomicUsize>,
}

impl Gone {
    pub async fn start(alerts: usize, steady: &Receiver) -> Self {
        let (accepted, refused) = (Arc::new(Mutex::new(BTreeSet::new())), Arc::new(AtomicUsize::new(0)));
        let (keep, count) = (accepted.clone(), refused.clone());
        let first = Receiver::choosing(move |request| {
            let mut accepted = keep.lock().unwrap();
            if accepted.len() < alerts / 8 {
                accepted.insert(request.id().to_owned());
                return Behaviour::Accept;
            }
            count.fetch_add(1, SeqCst);
            Behaviour::Status(410)
        });
        let (first, second) = (first.await, Receiver::start([]).await);
        Gone { first, second, steady: steady.url.clone(), moved: false, accepted, refused }
    }

    pub fn refused(&self) -> usize {
        self.refused.load(SeqCst)
    }

    pub fn steady_sink(&self) -> String {
        let secret = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYX";
        format!("[sink.steady]\ntype = \"webhook\"\nurl = \"{}\"\nsecret = \"{secret}\"\n", self.steady)
    }

    /// As the README has it: after a 410 nothing more is sent, what waits or comes is listed as failed with
    /// the reason, and a new url takes the receiver up again for what comes from then on.
    pub fn holds(&self, run: &mut Run, expected: &Outcome) {
        assert!(self.moved, "the receiver was moved before the end");
        let (mut failed, mut delivered) = (BTreeSet::new(), BTreeSet::new());
        for row in run.eddy().alerts() {
            let decision = &row["alert"]["decision"];
            let id = format!("{}_{}", decision["id"].as_str().expect("an id"), decision["revision"]);
            let deliveries = row["deliveries"].as_array().expect("deliveries");
            let delivery = deliveries.iter().find(|d| d["receiver"] == "on_call").expect("a delivery");
            if delivery["state"] == "failed" {
                let reason = delivery["last_error"].as_str().unwrap_or_default();
                assert!(reason.contains("410 Gone"), "{delivery}");
                failed.insert(id);
            } else {
                assert_eq!(delivery["state"], "delivered", "{delivery}");
                delivered.insert(id);
            }
        }
        assert!(!failed.is_empty(), "something was to be told while the receiver was gone");
        let accepted = self.accepted.lock().unwrap().clone();
        let later: BTreeMap<String, Value> = expect::received(&self.second);
        assert!(!later.is_empty(), "something was told under the new url");
        assert!(later.keys().all(|id| delivered.contains(id)), "told under the new url");
        assert!(
            delivered.iter().all(|id| accepted.contains(id) || later.contains_key(id)),
            "delivered was told"
        );
        assert!(expected.decisions.keys().all(|id| delivered.contains(id) || failed.contains(id)));
        // The answer that disabled it, those under way with it, and those whose record a kill took.
        let most = 8 * (1 + run.kills as usize);
        assert!(self.refused() <= most, "{} attempts after the first 410", self.refused());
    }
}

impl Trouble for Gone {
    fn strike(&mut self, run: &mut Run) {
        let moves = !self.moved && (run.kills + 1) * 2 > run.scale.kills;
        if moves {
            let gone = "eddy_sink_disabled{sink=\"on_call\"}";
            run.flows_until("the receiver is gone", run.scale.events as u64, |eddy| eddy.metric(gone) == 1);
        }
        run.kill();
        if moves {
            let config = configuration(run.broker.port, &self.second, &self.steady_sink());
            run.deployment.configure(&config);
            self.moved = true;
        }
        run.start_again();
    }
}
