//! What the release binary tells systemd, read from a real datagram socket: ready once it is, beats while
//! every scoring thread turns over, none while one is stuck, and the stop.

mod thread;

use std::os::unix::net::UnixDatagram;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::e2e;
use crate::e2e::eddy::{Deployment, Eddy, config, mqtt_source};
use crate::e2e::mosquitto::{Mosquitto, free_port};
use thread::Stopped;

const WATCHDOG: Duration = Duration::from_millis(600);
const NOWHERE: &str = "http://127.0.0.1:1/none";

/// The service manager's end.
struct Manager(UnixDatagram);

impl Manager {
    fn listen(deployment: &Deployment) -> Self {
        let socket = UnixDatagram::bind(deployment.path("notify")).expect("a socket");
        socket.set_read_timeout(Some(Duration::from_millis(50))).expect("a timeout");
        Manager(socket)
    }

    /// The next datagram, if one comes soon.
    fn hear(&self) -> Option<String> {
        let mut bytes = [0; 4096];
        let len = self.0.recv(&mut bytes).ok()?;
        Some(String::from_utf8_lossy(&bytes[..len]).into_owned())
    }

    /// Every line heard within `time`.
    fn lines(&self, time: Duration) -> Vec<String> {
        let end = Instant::now() + time;
        let mut lines = Vec::new();
        while Instant::now() < end {
            lines.extend(self.hear().iter().flat_map(|said| said.lines()).map(str::to_owned));
        }
        lines
    }

    fn wait_for(&self, line: &str) -> Vec<String> {
        let mut before = Vec::new();
        let found = e2e::poll(|| {
            let said = self.hear()?;
            before.extend(said.lines().map(str::to_owned));
            said.lines().any(|said| said == line).then_some(())
        });
        assert!(found.is_some(), "never {line}; heard {before:?}");
        before
    }
}

fn beats(lines: &[String]) -> usize {
    lines.iter().filter(|line| *line == "WATCHDOG=1").count()
}

fn as_a_service(deployment: &Deployment) -> Command {
    let mut command = deployment.command("run");
    command.env("NOTIFY_SOCKET", deployment.path("notify"));
    // WATCHDOG_PID is left out, as for a service of one process.
    command.env("WATCHDOG_USEC", WATCHDOG.as_micros().to_string());
    command
}

#[test]
fn it_beats_while_every_shard_turns_over_and_says_when_it_stops() {
    let source = format!("[source.line]\ntype = \"http\"\nlisten = \"127.0.0.1:{}\"", free_port());
    let deployment = Deployment::new(&config(&source, "[\"line\"]", "", NOWHERE));
    let manager = Manager::listen(&deployment);
    let eddy = Eddy::start(as_a_service(&deployment));
    manager.wait_for("READY=1");
    let idle = beats(&manager.lines(Duration::from_secs(3)));
    assert!((5..=11).contains(&idle), "{idle} beats in 3 s, at two each {WATCHDOG:?}");

    for name in ["eddy-shard-0", "eddy-shard-1", "eddy-decode"] {
        let stopped = Stopped::by_name(eddy.id(), name);
        // A beat may have been under way.
        manager.lines(WATCHDOG);
        let stuck = beats(&manager.lines(3 * WATCHDOG));
        drop(stopped);
        assert_eq!(stuck, 0, "beats while {name} was stuck");
        manager.wait_for("WATCHDOG=1");
    }

    let (status, said) = eddy.stop();
    assert!(status.success(), "{said}");
    let end = manager.wait_for("STOPPING=1");
    assert!(!end.contains(&"READY=1".to_owned()), "{end:?}");
}

#[test]
fn ready_is_said_once_every_source_had_its_session_and_time_is_asked_for_until_then() {
    let mut broker = Mosquitto::start();
    broker.stop();
    let deployment = Deployment::new(&config(&mqtt_source(broker.port), "[\"plant\"]", "", NOWHERE));
    let manager = Manager::listen(&deployment);
    let mut process =
        as_a_service(&deployment).stderr(std::process::Stdio::null()).spawn().expect("it starts");
    let has = |lines: &[String], start: &str| lines.iter().any(|line| line.starts_with(start));
    let mut waiting = Vec::new();
    for start in ["EXTEND_TIMEOUT_USEC=", "STATUS=waiting for the first session"] {
        let heard = e2e::poll(|| {
            waiting.extend(manager.lines(Duration::from_millis(50)));
            has(&waiting, start).then_some(())
        });
        assert!(heard.is_some(), "never {start}; heard {waiting:?}");
    }
    waiting.extend(manager.lines(Duration::from_secs(2)));
    assert!(!has(&waiting, "READY=1"), "the broker is away: {waiting:?}");
    broker.launch();
    manager.wait_for("READY=1");
    process.kill().expect("it was alive until now");
    process.wait().expect("it ends");
}

#[test]
fn the_unit_is_sound() {
    let unit = concat!(env!("CARGO_MANIFEST_DIR"), "/configs/eddy.service");
    let text = std::fs::read_to_string(unit).expect("the unit");
    for line in
        ["Type=notify", "WatchdogSec=", "StateDirectory=eddy", "Restart=on-failure", "DynamicUser=yes"]
    {
        assert!(text.lines().any(|l| l.starts_with(line)), "no {line}");
    }
    // The program's place is that of an installation, which this machine need not have.
    let dir = tempfile::tempdir().expect("a folder");
    let copy = dir.path().join("eddy.service");
    let installed = text.replace("/usr/local/bin/eddy", env!("CARGO_BIN_EXE_eddy"));
    std::fs::write(&copy, installed).expect("a copy");
    match Command::new("systemd-analyze").arg("verify").arg(&copy).output() {
        Ok(output) => {
            let said = String::from_utf8_lossy(&output.stderr);
            let ours: Vec<_> = said.lines().filter(|line| line.contains("eddy.service")).collect();
            assert!(output.status.success() && ours.is_empty(), "{said}");
        }
        Err(error) => assert!(
            std::env::var_os("EDDY_WITHOUT_SYSTEMD").is_some(),
            "systemd-analyze: {error}; install systemd, or set EDDY_WITHOUT_SYSTEMD=1 to leave the unit unverified"
        ),
    }
}
