//! A real Apache Kafka for a test: one broker in KRaft mode or three, their own ports, config and data folders, killed by
//! process id.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::{BorrowedMessage, Header, Headers, Message, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use tempfile::TempDir;

use super::mosquitto::free_port;

const CHECKS_MAX: usize = 600;
const CHECK: Duration = Duration::from_millis(100);
const ANSWER_MAX: Duration = Duration::from_secs(20);
/// What a client may say that is no message, until that is a fault.
const FAULTS_MAX: usize = 10;

/// A listener beside the one in clear.
pub struct Listener {
    pub name: &'static str,
    /// SSL, SASL_SSL or SASL_PLAINTEXT.
    pub protocol: &'static str,
    /// Further lines of the broker's config about it.
    pub config: String,
}

pub struct Kafka {
    pub port: u16,
    /// From 1.
    node: usize,
    /// Ports of the brokers and of the controllers of the whole cluster, this one's among them.
    brokers: Vec<u16>,
    controllers: Vec<u16>,
    /// By name of the listener.
    pub ports: BTreeMap<&'static str, u16>,
    folder: TempDir,
    process: Mutex<Option<Child>>,
}

impl Kafka {
    pub fn start() -> Self {
        Self::start_with(&[], &[])
    }

    /// The one broker of a test program: whoever comes while it is used shares it.
    pub fn shared() -> Arc<Self> {
        static SHARED: Mutex<Weak<Kafka>> = Mutex::new(Weak::new());
        let mut shared = SHARED.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        shared.upgrade().unwrap_or_else(|| {
            let kafka = Arc::new(Kafka::start());
            *shared = Arc::downgrade(&kafka);
            kafka
        })
    }

    /// `scram`: more arguments for formatting the storage.
    pub fn start_with(listeners: &[Listener], scram: &[&str]) -> Self {
        let kafka = Self::prepare(1, (vec![free_port()], vec![free_port()]), listeners, scram);
        kafka.launch();
        kafka
    }

    /// Three brokers. What is written is on two at least, or not acknowledged.
    pub fn start_three() -> Vec<Self> {
        let [brokers, controllers] = [(); 2].map(|()| (0..3).map(|_| free_port()).collect::<Vec<u16>>());
        let prepare = |node| Self::prepare(node, (brokers.clone(), controllers.clone()), &[], &[]);
        let all: Vec<Self> = (1..=3).map(prepare).collect();
        all.iter().for_each(Self::spawn);
        all.iter().for_each(Self::wait);
        all
    }

    fn prepare(
        node: usize,
        (brokers, controllers): (Vec<u16>, Vec<u16>),
        listeners: &[Listener],
        scram: &[&str],
    ) -> Self {
        let folder = TempDir::new().expect("a temporary folder");
        let ports: BTreeMap<_, _> = listeners.iter().map(|listener| (listener.name, free_port())).collect();
        let (port, process) = (brokers[node - 1], Mutex::new(None));
        let kafka = Kafka { port, node, brokers, controllers, ports, folder, process };
        std::fs::write(kafka.path("server.properties"), kafka.config(listeners)).expect("it is written");
        let format = java()
            .args(["kafka.tools.StorageTool", "format", "-t", "4L6g3nShT-eMCtK--X86sw", "-c"])
            .arg(kafka.path("server.properties"))
            .args(scram)
            .output()
            .expect("java is installed by scripts/setup");
        assert!(format.status.success(), "{}", String::from_utf8_lossy(&format.stderr));
        kafka
    }

    fn config(&self, listeners: &[Listener]) -> String {
        let (node, controller) = (self.node, self.controllers[self.node - 1]);
        let voter = |(at, port): (usize, &u16)| format!("{}@127.0.0.1:{port}", at + 1);
        let voters = self.controllers.iter().enumerate().map(voter).collect::<Vec<_>>().join(",");
        let (replicas, in_sync) = if self.brokers.len() > 1 { (3, 2) } else { (1, 1) };
        let [mut addresses, mut public, mut protocols, mut further] = [const { String::new() }; 4];
        for listener in listeners {
            let (name, port) = (listener.name, self.ports[listener.name]);
            addresses += &format!(",{name}://127.0.0.1:{port}");
            public += &format!(",{name}://localhost:{port}");
            protocols += &format!(",{name}:{}", listener.protocol);
            further += &format!("{}\n", listener.config);
        }
        let (port, data) = (self.port, self.path("data").display().to_string());
        format!(
            "process.roles=broker,controller\nnode.id={node}\n\
             controller.quorum.voters={voters}\ncontroller.listener.names=CONTROLLER\n\
             listeners=CONTROLLER://127.0.0.1:{controller},CLEAR://127.0.0.1:{port}{addresses}\n\
             advertised.listeners=CLEAR://127.0.0.1:{port}{public}\ninter.broker.listener.name=CLEAR\n\
             listener.security.protocol.map=CONTROLLER:PLAINTEXT,CLEAR:PLAINTEXT{protocols}\n\
             log.dirs={data}\nauto.create.topics.enable=false\ngroup.initial.rebalance.delay.ms=0\n\
             offsets.topic.num.partitions=1\noffsets.topic.replication.factor={replicas}\n\
             transaction.state.log.num.partitions=1\ntransaction.state.log.replication.factor={replicas}\n\
             transaction.state.log.min.isr={in_sync}\ndefault.replication.factor={replicas}\n\
             min.insync.replicas={in_sync}\nnum.network.threads=2\nnum.io.threads=2\n{further}"
        )
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// SIGKILL: nothing is closed or written.
    pub fn kill(&self) {
        if let Some(mut process) = self.process.lock().unwrap_or_else(|p| p.into_inner()).take() {
            let _ = process.kill();
            let _ = process.wait();
        }
    }

    /// SIGSTOP: it does nothing and answers nothing, and what is sent to it waits.
    pub fn freeze(&self) {
        self.signal("STOP");
    }

    /// SIGCONT.
    pub fn thaw(&self) {
        self.signal("CONT");
    }

    fn signal(&self, name: &str) {
        let id = self.process.lock().unwrap_or_else(|p| p.into_inner()).as_ref().map(Child::id);
        let id = id.expect("it runs").to_string();
        assert!(Command::new("kill").args([&format!("-{name}"), &id]).status().is_ok_and(|s| s.success()));
    }

    /// After a kill: its disk was exchanged. What it had of topics is gone; who is in the cluster it still knows.
    pub fn lose_disk(&self) {
        for entry in std::fs::read_dir(self.path("data")).expect("its data") {
            let path = entry.expect("an entry").path();
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if path.is_dir() && !name.starts_with("__cluster_metadata") {
                std::fs::remove_dir_all(path).expect("it goes");
            } else if name.ends_with("-checkpoint") || name == ".kafka_cleanshutdown" {
                std::fs::remove_file(path).expect("it goes");
            }
        }
    }

    /// Has `line` among its settings once it is launched again.
    pub fn set(&self, line: &str) {
        let path = self.path("server.properties");
        let settings = std::fs::read_to_string(&path).expect("its settings");
        std::fs::write(path, format!("{settings}\n{line}\n")).expect("its settings");
    }

    /// Starts it again on the same ports and data.
    pub fn launch(&self) {
        self.spawn();
        self.wait();
    }

    fn spawn(&self) {
        let log = std::fs::File::options().create(true).append(true).open(self.path("log")).expect("a log");
        let process = java()
            .args(["-Dorg.slf4j.simpleLogger.defaultLogLevel=warn", "kafka.Kafka"])
            .arg(self.path("server.properties"))
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a second handle"))
            .stderr(log)
            .spawn()
            .expect("java is installed by scripts/setup");
        *self.process.lock().unwrap_or_else(|p| p.into_inner()) = Some(process);
    }

    /// Until it answers itself.
    fn wait(&self) {
        let own = format!("127.0.0.1:{}", self.port);
        let asking: BaseConsumer = self.client().set("bootstrap.servers", own).create().expect("a client");
        for _ in 0..CHECKS_MAX {
            if asking
                .fetch_metadata(None, CHECK * 10)
                .is_ok_and(|found| found.brokers().len() == self.brokers.len())
            {
                return;
            }
            std::thread::sleep(CHECK);
        }
        panic!("Kafka does not answer on port {}:\n{}", self.port, self.log());
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.path("log")).unwrap_or_default()
    }

    pub fn brokers(&self) -> String {
        self.brokers.iter().map(|port| format!("127.0.0.1:{port}")).collect::<Vec<_>>().join(",")
    }

    /// Which of the brokers leads a partition, from 0.
    pub fn leader(&self, topic: &str, partition: usize) -> usize {
        let asking: BaseConsumer = self.client().create().expect("a client");
        for _ in 0..CHECKS_MAX {
            // One that has not heard of the topic yet may be asked.
            let found = asking.fetch_metadata(Some(topic), ANSWER_MAX).expect("an answer");
            let leader =
                found.topics()[0].partitions().get(partition).map(|partition| partition.leader() - 1);
            if let Some(leader) = leader.and_then(|leader| usize::try_from(leader).ok()) {
                return leader;
            }
            std::thread::sleep(CHECK);
        }
        panic!("nobody leads {topic}/{partition}");
    }

    /// Until every broker has all that it is to have a copy of.
    pub fn until_in_sync(&self) {
        let asking: BaseConsumer = self.client().create().expect("a client");
        for _ in 0..CHECKS_MAX {
            let found = asking.fetch_metadata(None, ANSWER_MAX).expect("an answer");
            let mut partitions = found.topics().iter().flat_map(|topic| topic.partitions());
            if partitions.all(|partition| partition.isr().len() == partition.replicas().len()) {
                return;
            }
            std::thread::sleep(CHECK);
        }
        panic!("brokers stay behind");
    }

    /// Of a client of the listener in clear.
    pub fn client(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", self.brokers());
        config.set("reconnect.backoff.max.ms", "500");
        config.set_log_level(rdkafka::config::RDKafkaLogLevel::Emerg);
        config
    }

    fn admin(&self) -> AdminClient<DefaultClientContext> {
        self.client().create().expect("a client")
    }

    pub fn make_topic(&self, name: &str, partitions: i32) {
        self.make_topic_with(name, partitions, &[]);
    }

    pub fn make_topic_with(&self, name: &str, partitions: i32, settings: &[(&str, &str)]) {
        let admin = self.admin();
        let mut topic = NewTopic::new(name, partitions, TopicReplication::Fixed(-1));
        for (key, value) in settings {
            topic = topic.set(key, value);
        }
        let made = wait_for(admin.create_topics([&topic], &options())).expect("an answer");
        made.into_iter().for_each(|topic| drop(topic.expect("the topic is made")));
    }

    pub fn remove_topic(&self, name: &str) {
        let admin = self.admin();
        let gone = wait_for(admin.delete_topics(&[name], &options())).expect("an answer");
        gone.into_iter().for_each(|topic| drop(topic.expect("the topic goes")));
    }

    /// A rule of access for a topic, of a broker with an authorizer: `CreateAcls`, version 1, which no client here has.
    pub fn allow_to_write(&self, principal: &str, topic: &str) {
        const CREATE_ACLS: i16 = 30;
        let [topics, literal, write, allow] = [2_u8, 3, 4, 3];
        let text = |text: &str| [&(text.len() as i16).to_be_bytes(), text.as_bytes()].concat();
        let rule =
            [&[topics][..], &text(topic), &[literal], &text(principal), &text("*"), &[write, allow]].concat();
        let head =
            [&CREATE_ACLS.to_be_bytes()[..], &1_i16.to_be_bytes(), &7_i32.to_be_bytes(), &text("test")]
                .concat();
        let request = [&head[..], &1_i32.to_be_bytes(), &rule].concat();
        let mut socket = TcpStream::connect(("127.0.0.1", self.port)).expect("it listens");
        socket.write_all(&[&(request.len() as i32).to_be_bytes()[..], &request].concat()).expect("it reads");
        let mut answer = [0; 18];
        socket.read_exact(&mut answer).expect("it answers");
        // Behind length, number, throttling and the count of results: the code of the one result.
        assert_eq!(answer[16..], [0, 0], "the rule is refused: {answer:?}");
    }

    /// What retention does: everything of the partition before `offset` goes.
    pub fn delete_before(&self, topic: &str, partition: i32, offset: i64) {
        let admin = self.admin();
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(topic, partition, Offset::Offset(offset)).expect("an offset");
        let gone = wait_for(admin.delete_records(&list, &options())).expect("an answer");
        gone.elements().iter().for_each(|element| element.error().expect("the records go"));
    }

    pub fn producer(&self) -> KafkaProducer {
        let mut config = self.client();
        config.set("enable.idempotence", "true").set("linger.ms", "1").set("message.timeout.ms", "120000");
        KafkaProducer(config.create().expect("a producer"))
    }

    /// One message a text, to one partition, without a key.
    pub fn produce(&self, topic: &str, partition: i32, texts: &[String]) {
        let producer = self.producer();
        texts.iter().for_each(|text| producer.send(&Sent::new(topic, partition, text.as_bytes())));
        producer.flush();
    }

    /// One transaction of these messages, committed or taken back.
    pub fn transaction(&self, topic: &str, texts: &[String], commits: bool) {
        let sent: Vec<Sent<'_>> = texts.iter().map(|text| Sent::new(topic, 0, text.as_bytes())).collect();
        self.transaction_of(&sent, commits);
    }

    /// The same of any messages.
    pub fn transaction_of(&self, messages: &[Sent<'_>], commits: bool) {
        let mut config = self.client();
        let producer: BaseProducer =
            config.set("transactional.id", "of-a-test").create().expect("a producer");
        producer.init_transactions(ANSWER_MAX).expect("an answer");
        producer.begin_transaction().expect("it begins");
        for message in messages {
            let mut record = BaseRecord::<[u8], [u8]>::to(message.topic).partition(message.partition);
            (record.key, record.payload) = (message.key, message.payload);
            producer.send(record).expect("it is queued");
        }
        producer.flush(ANSWER_MAX).expect("the broker takes them");
        if commits {
            producer.commit_transaction(ANSWER_MAX).expect("it is committed");
        } else {
            producer.abort_transaction(ANSWER_MAX).expect("it is taken back");
        }
    }

    /// What a group has committed, by partition; `None` where it has nothing.
    pub fn committed(&self, group: &str, topic: &str, partitions: i32) -> Vec<Option<i64>> {
        let asking: BaseConsumer = self.client().set("group.id", group).create().expect("a client");
        let mut list = TopicPartitionList::new();
        list.add_partition_range(topic, 0, partitions - 1);
        let ask = || asking.committed_offsets(list.clone(), ANSWER_MAX);
        // Of brokers that are killed another has to take over first.
        let mut asked = ask();
        for _ in 0..CHECKS_MAX {
            if asked.is_ok() {
                break;
            }
            std::thread::sleep(CHECK);
            asked = ask();
        }
        let found = asked.expect("an answer");
        let offset = |offset| match offset {
            Offset::Offset(offset) => Some(offset),
            _ => None,
        };
        found.elements().iter().map(|element| offset(element.offset())).collect()
    }

    /// As if another process of the group had read so far.
    pub fn commit(&self, group: &str, topic: &str, partition: i32, offset: i64) {
        let client: BaseConsumer = self.client().set("group.id", group).create().expect("a client");
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(topic, partition, Offset::Offset(offset)).expect("an offset");
        client.commit(&list, rdkafka::consumer::CommitMode::Sync).expect("it is committed");
    }

    /// Every message of a topic that is committed by now, partition by partition; nothing if there is no such topic.
    pub fn all_committed(&self, topic: &str) -> Vec<Received> {
        let mut config = self.client();
        config.set("group.id", "looks-on").set("enable.auto.commit", "false");
        config.set("auto.offset.reset", "earliest").set("enable.partition.eof", "true");
        let consumer: BaseConsumer =
            config.set("isolation.level", "read_committed").create().expect("a client");
        let known = consumer.fetch_metadata(Some(topic), ANSWER_MAX).expect("an answer");
        let partitions = known.topics()[0].partitions().len() as i32;
        if partitions == 0 {
            return Vec::new();
        }
        let mut list = TopicPartitionList::new();
        for partition in 0..partitions {
            list.add_partition_offset(topic, partition, Offset::Beginning).expect("an offset");
        }
        consumer.assign(&list).expect("it is assigned");
        let (mut all, mut ended, mut faults) = (Vec::new(), 0, 0);
        while ended < partitions {
            match consumer.poll(ANSWER_MAX) {
                Some(Ok(message)) => all.push(Received::of(&message)),
                Some(Err(KafkaError::PartitionEOF(_))) => ended += 1,
                // A broker that has just come back, or a topic that was just made: the client asks again by itself.
                other => {
                    faults += 1;
                    assert!(faults < FAULTS_MAX, "{topic} cannot be read: {other:?}");
                }
            }
        }
        all
    }

    /// The message at an offset.
    pub fn one(&self, topic: &str, partition: i32, offset: i64) -> Received {
        let consumer: BaseConsumer = self
            .client()
            .set("group.id", "looks-on")
            .set("enable.auto.commit", "false")
            .create()
            .expect("a client");
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(topic, partition, Offset::Offset(offset)).expect("an offset");
        consumer.assign(&list).expect("it is assigned");
        let found = (0..FAULTS_MAX).find_map(|_| consumer.poll(ANSWER_MAX)?.ok()).expect("a message");
        assert_eq!(found.offset(), offset, "{topic}/{partition} has no message there");
        Received::of(&found)
    }

    pub fn ends(&self, topic: &str, partitions: i32) -> Vec<i64> {
        let asking: BaseConsumer = self.client().create().expect("a client");
        let end = |partition| asking.fetch_watermarks(topic, partition, ANSWER_MAX).expect("an answer").1;
        (0..partitions).map(end).collect()
    }
}

impl Drop for Kafka {
    fn drop(&mut self) {
        self.kill();
        if std::thread::panicking() {
            let log = self.log();
            let lines: Vec<&str> = log.lines().collect();
            eprintln!("the end of Kafka's log:\n{}", lines[lines.len().saturating_sub(20)..].join("\n"));
        }
    }
}

/// A message as it lies in a topic.
pub struct Received {
    pub partition: i32,
    pub offset: i64,
    pub timestamp_ms: Option<i64>,
    pub key: String,
    pub payload: Option<Vec<u8>>,
    pub headers: BTreeMap<String, String>,
}

impl Received {
    fn of(message: &BorrowedMessage<'_>) -> Self {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let headers = message.headers().into_iter().flat_map(|headers| headers.iter());
        Received {
            partition: message.partition(),
            offset: message.offset(),
            timestamp_ms: message.timestamp().to_millis(),
            key: message.key().map(text).unwrap_or_default(),
            payload: message.payload().map(<[u8]>::to_vec),
            headers: headers.map(|h| (h.key.to_owned(), h.value.map(text).unwrap_or_default())).collect(),
        }
    }
}

/// A message to be sent.
pub struct Sent<'a> {
    pub topic: &'a str,
    pub partition: i32,
    pub key: Option<&'a [u8]>,
    /// `None`: a tombstone.
    pub payload: Option<&'a [u8]>,
    pub headers: &'a [(&'a str, Option<&'a [u8]>)],
    pub timestamp_ms: Option<i64>,
}

impl<'a> Sent<'a> {
    pub fn new(topic: &'a str, partition: i32, payload: &'a [u8]) -> Self {
        Sent { topic, partition, key: None, payload: Some(payload), headers: &[], timestamp_ms: None }
    }
}

/// Each message once and in order, even through a restart of the broker.
pub struct KafkaProducer(BaseProducer);

impl KafkaProducer {
    pub fn send(&self, sent: &Sent<'_>) {
        let mut headers = OwnedHeaders::new();
        for (key, value) in sent.headers {
            headers = headers.insert(Header { key, value: *value });
        }
        let mut record = BaseRecord::<[u8], [u8]>::to(sent.topic).partition(sent.partition);
        record.key = sent.key;
        record.payload = sent.payload;
        record.timestamp = sent.timestamp_ms;
        record.headers = (!sent.headers.is_empty()).then_some(headers);
        while let Err((_, unsent)) = self.0.send(record) {
            self.0.poll(Duration::from_millis(5));
            record = unsent;
        }
    }

    /// Until the broker has all.
    pub fn flush(&self) {
        self.0.flush(Duration::from_secs(120)).expect("the broker takes everything");
        assert_eq!(self.0.in_flight_count(), 0);
    }
}

fn options() -> AdminOptions {
    AdminOptions::new().operation_timeout(Some(ANSWER_MAX)).request_timeout(Some(ANSWER_MAX))
}

/// From inside of a runtime or outside.
fn wait_for<T: Send>(answer: impl Future<Output = T> + Send) -> T {
    let wait = || {
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        runtime.block_on(answer)
    };
    std::thread::scope(|scope| scope.spawn(wait).join().expect("no panic"))
}

fn java() -> Command {
    let mut command = Command::new("java");
    command.args(["-Xmx512m", "-Xms128m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-cp"]);
    command.arg(jars().join("*"));
    command
}

fn jars() -> PathBuf {
    let pom = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/kafka/pom.xml"));
    let pom = pom.expect("tests/kafka/pom.xml");
    let version = pom.split("<kafka.version>").nth(1).and_then(|rest| rest.split('<').next());
    let home = || Some(PathBuf::from(std::env::var_os("HOME")?).join(".cache"));
    let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from).or_else(home).expect("a home");
    let folder = cache.join("eddy").join(format!("kafka-{}", version.expect("a version")));
    assert!(
        folder.join("complete").is_file(),
        "there is no Kafka in {}: run scripts/setup",
        folder.display()
    );
    folder
}
