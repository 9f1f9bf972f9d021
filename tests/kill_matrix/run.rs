//! One run: publisher, Mosquitto, the release binary and what befalls it.

use std::process::Stdio;
use std::time::{Duration, Instant};

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::e2e::eddy::{Deployment, Eddy, config, mqtt_source};
use crate::e2e::mosquitto::Mosquitto;
use crate::e2e::publisher::{Gate, Publisher};
use crate::e2e::receiver::Receiver;
use crate::scale::Scale;

/// A start takes about this long: a kill in its midst hits the reading back.
const START: Duration = Duration::from_millis(150);
/// Of the kills, those that are followed at once by a kill of the process that takes over.
const IN_RECOVERY: f64 = 0.2;

/// Messages that are still to be sent after the last kill: more than the publisher may be ahead.
const END: u64 = 1_200;

/// What happens besides the kills.
pub trait Trouble {
    /// Called at a random moment of the stream, and kills the process at least once: by the end it runs again.
    fn strike(&mut self, run: &mut Run);

    /// Told when the last row was sent, before the end is waited for.
    fn end(&mut self, _run: &mut Run) {}
}

pub struct Run {
    pub scale: Scale,
    pub broker: Mosquitto,
    pub deployment: Deployment,
    pub rng: ChaCha8Rng,
    pub kills: u64,
    /// Messages that restarts read back from the log.
    pub reread: u64,
    pub began: Instant,
    eddy: Option<Eddy>,
    gate: Gate,
}

/// The deployment's config: snapshots as often as they can be, so that kills meet them. `more` are further
/// tables.
pub fn configuration(port: u16, receiver: &Receiver, more: &str) -> String {
    let stream = "max_future = \"none\"";
    let whole = config(&mqtt_source(port), "[\"plant\"]", stream, &receiver.url);
    let whole = whole.replace("[sink.on_call]\n", "[sink.on_call]\ntimeout = \"1s\"\n");
    whole + "snapshot_every = \"1s\"\n" + more
}

impl Run {
    pub fn new(scale: Scale, receiver: &Receiver, more: &str) -> Self {
        let began = Instant::now();
        let broker = Mosquitto::start_quiet();
        let deployment = Deployment::new(&configuration(broker.port, receiver, more));
        let rng = ChaCha8Rng::seed_from_u64(scale.seed);
        let gate = Gate::default();
        Run { scale, broker, deployment, rng, kills: 0, reread: 0, began, eddy: None, gate }
    }

    pub fn eddy(&mut self) -> &mut Eddy {
        self.eddy.as_mut().expect("it runs")
    }

    pub fn launch(&mut self) {
        self.eddy = Some(self.deployment.start());
    }

    /// `kill -9`.
    pub fn kill(&mut self) {
        self.eddy.take().expect("it runs").kill();
        self.kills += 1;
    }

    /// Starts it again; at times it is killed once more while it reads its log back.
    pub fn start_again(&mut self) {
        if self.kills < self.scale.kills && self.rng.random_bool(IN_RECOVERY) {
            let mut command = self.deployment.command("run");
            let mut process = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("it starts");
            std::thread::sleep(START.mul_f64(self.rng.random()));
            process.kill().expect("it was alive until now");
            process.wait().expect("it ends");
            self.kills += 1;
        }
        self.launch();
        self.reread += self.eddy().metric("eddy_recovered_messages_total");
    }

    pub fn stop(&mut self) {
        let (status, said) = self.eddy.take().expect("it runs").stop();
        assert!(status.success(), "{status}; it said:\n{said}");
    }

    /// Lets the publisher go on, but not far beyond `limit` events, until something has come true.
    pub fn flows_until(&mut self, what: &str, limit: u64, holds: impl Fn(&Eddy) -> bool) {
        let gate = self.gate.clone();
        self.eddy().until(what, |eddy| {
            gate.follow(eddy.events().min(limit));
            holds(eddy).then_some(())
        });
    }

    /// The whole stream, with a strike at each of the moments the seed chooses.
    pub fn drive(&mut self, trouble: &mut dyn Trouble) {
        let (rows, closers) = self.scale.rows();
        self.launch();
        self.gate.follow(0);
        let mut publisher = Publisher::connect(self.broker.port);
        publisher.gate = self.gate.clone();
        let publish = |publisher: &mut Publisher, rows: &[crate::plant::Row]| {
            rows.iter().for_each(|row| publisher.publish("plant/pumps", &row.message().payload));
            publisher.settle();
        };
        let publishing = std::thread::spawn(move || {
            publish(&mut publisher, &rows);
            publisher
        });
        let share = (self.scale.events as u64 - END) / self.scale.kills.max(1);
        while self.kills < self.scale.kills {
            let moment = share * self.kills + self.rng.random_range(share / 4..share);
            self.flows_until("the stream goes on", moment, |eddy| eddy.events() >= moment);
            std::thread::sleep(Duration::from_micros(self.rng.random_range(0..5_000)));
            trouble.strike(self);
        }
        self.gate.open();
        let mut publisher = publishing.join().expect("the publisher ends");
        publish(&mut publisher, &closers);
        trouble.end(self);
    }
}
