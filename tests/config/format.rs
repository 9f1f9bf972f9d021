//! `format`, and the registry that some need: what they become, and what is told of broken ones.

use eddy::config::plan::{FormatPlan, RegistryAccess, SourceKind};

use super::{plan_with, problems};

const GOOD: &str = r#"[source.plant]
type = "kafka"
brokers = ["kafka-1:9092"]
topics = ["plant.pumps"]
registry = { url = "https://registry:8081/api/" }

[stream.pumps]
from = "plant"
format = "avro"
key = "pump"
time = { path = "ts", unit = "ms" }
window = { type = "hopping", size = "64s", every = "1s" }
columns.vibration = "vib.rms"

[sink.out]
type = "stdout"
"#;

fn good_but(old: &str, new: &str) -> String {
    assert!(GOOD.contains(old), "{old}");
    GOOD.replacen(old, new, 1)
}

fn access(text: &str) -> (String, RegistryAccess) {
    let plan = plan_with(text, &[("SECRET", "hidden")]);
    assert!(!format!("{plan:?}").contains("hidden"), "{plan:?}");
    let SourceKind::Kafka(kafka) = &plan.sources[0].kind else { panic!("{plan:?}") };
    let registry = kafka.registry.as_ref().expect("a registry");
    (registry.url.clone(), registry.access.clone())
}

#[test]
fn a_registry_is_asked_openly_or_with_a_password_or_a_token() {
    let (url, open) = access(GOOD);
    assert_eq!(url, "https://registry:8081/api");
    assert!(matches!(open, RegistryAccess::Open));
    let with = |keys: &str| access(&good_but("/api/\"", &format!("/api/\", {keys}"))).1;
    let basic = with("username = \"u\", password = \"env:SECRET\"");
    assert!(
        matches!(&basic, RegistryAccess::Basic { username, password } if username == "u" && password == "hidden")
    );
    let bearer = with("token = \"env:SECRET\", tls = {}");
    assert!(matches!(&bearer, RegistryAccess::Bearer { token } if token == "hidden"));
}

#[test]
fn csv_has_a_header() {
    let csv = "format = \"csv\"\nheader = [\"ts\", \"pump\", \"vib\"]";
    let text = good_but("format = \"avro\"", csv).replace("vib.rms", "vib");
    let plan = plan_with(&text, &[]);
    let header = ["ts", "pump", "vib"].map(str::to_owned).to_vec();
    assert_eq!(plan.streams[0].format, FormatPlan::Csv { header });
}

#[test]
fn what_is_wrong_is_told_with_a_remedy() {
    let registry = |keys: &str| good_but("url = \"https://registry:8081/api/\"", keys);
    let url = "url = \"https://r\"";
    let csv = |header: &str| good_but("format = \"avro\"", &format!("format = \"csv\"\n{header}"));
    let cells = "header = [\"ts\", \"pump\", \"vib\"]";
    let http = "[source.plant]\ntype = \"http\"\n\n[stream";
    let kafka = &GOOD[..GOOD.find("[stream").expect("a stream")];
    let replay = "[source.plant]\ntype = \"replay\"\npath = \"a.csv\"\n\n";
    let cases = [
        (registry(""), "source.plant.registry.url", "Add `url"),
        (registry("url = \"registry:8081\""), "source.plant.registry.url", "Write it like"),
        (registry("url = \"https://u:p@r\""), "source.plant.registry.url", "`username` and `password`"),
        (registry("url = \"https://r?x=1\""), "source.plant.registry.url", "Remove that"),
        (registry(&format!("{url}, username = \"u\"")), "source.plant.registry.username", "Add `password"),
        (registry(&format!("{url}, password = \"p\"")), "source.plant.registry.password", "Add `username"),
        (
            registry(&format!("{url}, username = \"u\", password = \"p\", token = \"t\"")),
            "source.plant.registry.token",
            "remove the other",
        ),
        (registry("url = \"http://r\", tls = {}"), "source.plant.registry.tls", "https://"),
        (registry("url = \"http://r\", token = \"t\""), "source.plant.registry.url", "https://"),
        (
            registry(&format!("{url}, user = \"u\"")),
            "source.plant.registry.user",
            "known here: url, username",
        ),
        (
            good_but("registry = { url = \"https://registry:8081/api/\" }\n", ""),
            "stream.pumps.format",
            "Add `registry",
        ),
        (
            good_but(kafka, http.trim_end_matches("[stream")),
            "stream.pumps.format",
            "bring the messages to Kafka",
        ),
        (csv(""), "stream.pumps.header", "Add `header"),
        (csv("header = []"), "stream.pumps.header", "Name 1 to"),
        (csv("header = [\"ts\", \"ts\"]"), "stream.pumps.header", "a name of its own"),
        (
            good_but("format = \"avro\"", &format!("format = \"avro\"\n{cells}")),
            "stream.pumps.header",
            "format = \"csv\"",
        ),
        (csv(cells), "stream.pumps.columns.vibration", "Use one of ts, pump or vib"),
        (csv("header = [\"ts\", \"vib.rms\"]"), "stream.pumps.key", "Use one of ts or vib.rms"),
        (csv(&format!("{cells}\npoints = \"a\"")), "stream.pumps.points", "each line is a row"),
        (csv(cells).replace(kafka, replay), "stream.pumps.format", "Leave `format` and `header` out"),
    ];
    let shared = "registry = { url = \"https://r\" }\nshared = { alerts = \"a\", state = \"s\" }";
    plan_with(&good_but("registry = { url = \"https://registry:8081/api/\" }", shared), &[]);
    for (text, key, remedy) in cases {
        let told = problems(&text);
        let line = told.lines().find(|line| line.contains(&format!(": {key}: ")));
        assert!(line.is_some_and(|line| line.contains(remedy)), "{key}, {remedy}:\n{told}\n{text}");
    }
}
