//! A schema registry that nobody here wrote (Apicurio, by Confluent's API), Confluent's own serializers, and a door in
//! front of the registry that may be shut or ask for a password.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use tempfile::TempDir;

use super::mosquitto::free_port;

const CHECKS_MAX: usize = 1200;
const CHECK: Duration = Duration::from_millis(100);
const API: &str = "/apis/ccompat/v7";

pub struct Registry {
    pub port: u16,
    folder: TempDir,
    process: Child,
}

impl Registry {
    pub fn start() -> Self {
        let (port, folder) = (free_port(), TempDir::new().expect("a temporary folder"));
        let log = std::fs::File::create(folder.path().join("log")).expect("a log");
        let process = Command::new("java")
            .args(["-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-jar"])
            .arg(jar())
            .current_dir(folder.path())
            .envs([("QUARKUS_HTTP_HOST", "127.0.0.1"), ("QUARKUS_HTTP_PORT", &port.to_string())])
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a second handle"))
            .stderr(log)
            .spawn()
            .expect("java is installed by scripts/setup");
        let registry = Registry { port, folder, process };
        for _ in 0..CHECKS_MAX {
            if ask(port, &format!("{API}/subjects")).is_some_and(|answer| answer.starts_with("HTTP/1.1 200"))
            {
                return registry;
            }
            std::thread::sleep(CHECK);
        }
        panic!("the registry does not answer on port {port}:\n{}", registry.log());
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    pub fn url(&self) -> String {
        url(self.port)
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Of the API behind a port.
pub fn url(port: u16) -> String {
    format!("http://127.0.0.1:{port}{API}")
}

fn ask(port: u16, path: &str) -> Option<String> {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(10))).ok()?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n").ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    Some(answer)
}

/// Lets requests through to a port for as long as it lives; only with this `Authorization`, if there is one.
pub struct Door {
    port: u16,
    shut: Arc<AtomicBool>,
    broken: Arc<AtomicI32>,
    listening: Option<JoinHandle<()>>,
}

impl Door {
    pub fn open(port: u16, behind: u16, authorization: Option<&'static str>) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).expect("the port is free");
        let shut = Arc::new(AtomicBool::new(false));
        let broken = Arc::new(AtomicI32::new(0));
        let (is_shut, is_broken) = (shut.clone(), broken.clone());
        let listening = std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                if is_shut.load(Ordering::SeqCst) {
                    return;
                }
                let _ = pass(stream, behind, authorization, is_broken.load(Ordering::SeqCst));
            }
        });
        Door { port, shut, broken, listening: Some(listening) }
    }

    /// Of this id the registry says that it fails; 0: of none.
    pub fn breaks(&self, id: i32) {
        self.broken.store(id, Ordering::SeqCst);
    }
}

impl Drop for Door {
    fn drop(&mut self) {
        self.shut.store(true, Ordering::SeqCst);
        // Wakes it up.
        let _ = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port));
        // The port is free once it is gone.
        let _ = self.listening.take().map(JoinHandle::join);
    }
}

/// One request without a body and its answer.
fn pass(mut stream: TcpStream, behind: u16, authorization: Option<&str>, broken: i32) -> std::io::Result<()> {
    let (mut head, mut reader) = (String::new(), BufReader::new(stream.try_clone()?));
    while !head.ends_with("\r\n\r\n") && reader.read_line(&mut head)? > 0 {}
    let known = authorization.is_none_or(|wanted| {
        head.lines().any(|line| line.to_lowercase().starts_with("authorization:") && line.ends_with(wanted))
    });
    if !known {
        stream.write_all(b"HTTP/1.1 401 Unauthorized\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")?;
        return stream.shutdown(Shutdown::Both);
    }
    if head.contains(&format!("/schemas/ids/{broken} ")) {
        let answer = b"HTTP/1.1 500 Internal Server Error\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
        stream.write_all(answer)?;
        return stream.shutdown(Shutdown::Both);
    }
    let mut to = TcpStream::connect((Ipv4Addr::LOCALHOST, behind))?;
    to.write_all(head.replacen("\r\n", "\r\nconnection: close\r\n", 1).as_bytes())?;
    std::io::copy(&mut to, &mut stream)?;
    stream.shutdown(Shutdown::Both)
}

/// What is to be written by which schema.
#[derive(serde::Serialize)]
pub struct Job<'a> {
    pub schema: &'a str,
    /// Name of Protobuf's message.
    pub message: &'a str,
    pub value: serde_json::Value,
}

/// The messages as Confluent's serializers write them; their schemas are registered on the way.
pub fn written(registry: &str, topic: &str, format: &str, jobs: &[Job<'_>]) -> Vec<Vec<u8>> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/registry/write.py");
    let mut process = Command::new(cache().join("registry-writer/bin/python"))
        .arg(script)
        .args([registry, topic, format])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("it is installed by scripts/setup");
    let mut input = process.stdin.take().expect("a pipe");
    let lines: Vec<String> =
        jobs.iter().map(|job| serde_json::to_string(job).expect("JSON") + "\n").collect();
    let sending =
        std::thread::spawn(move || lines.iter().try_for_each(|line| input.write_all(line.as_bytes())));
    let output = BufReader::new(process.stdout.take().expect("a pipe"));
    let payloads: Vec<Vec<u8>> = output.lines().map(|line| unhex(&line.expect("a line"))).collect();
    assert!(process.wait().expect("it ends").success(), "the writer failed; see above");
    sending.join().expect("no panic").expect("everything is read");
    assert_eq!(payloads.len(), jobs.len());
    payloads
}

fn unhex(text: &str) -> Vec<u8> {
    let digits = text.as_bytes().chunks(2);
    digits.map(|pair| u8::from_str_radix(std::str::from_utf8(pair).expect("hex"), 16).expect("hex")).collect()
}

fn cache() -> PathBuf {
    let home = || Some(PathBuf::from(std::env::var_os("HOME")?).join(".cache"));
    let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from).or_else(home).expect("a home");
    cache.join("eddy")
}

fn jar() -> PathBuf {
    let pom = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/registry/pom.xml"));
    let pom = pom.expect("tests/registry/pom.xml");
    let version = pom.split("<registry.version>").nth(1).and_then(|rest| rest.split('<').next());
    let version = version.expect("a version");
    let folder = cache().join(format!("registry-{version}"));
    assert!(folder.join("complete").is_file(), "no registry in {}: run scripts/setup", folder.display());
    folder.join(format!("apicurio-registry-app-{version}-runner.jar"))
}
