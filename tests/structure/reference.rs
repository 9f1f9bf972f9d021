//! The README's config reference, held to the config parser: every key it takes, no other, and the
//! defaults as they are.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;
use std::sync::LazyLock;

use eddy::config::{parse, sink, source, stream};

use crate::documents::{Table, read, section, tables};

const MQTT: &str = "[source.a]\ntype = \"mqtt\"\nurl = \"mqtt://127.0.0.1\"\ntopics = [\"a/b\"]\n";
const KAFKA: &str = "[source.a]\ntype = \"kafka\"\nbrokers = [\"b:9092\"]\ntopics = [\"t\"]\n";
const HTTP: &str = "[source.a]\ntype = \"http\"\n";
const REPLAY: &str = "[source.a]\ntype = \"replay\"\npath = \"a.csv\"\n";
const STREAM: &str = "[stream.s]\nfrom = \"a\"\nkey = \"id\"\ntime = { path = \"t\", unit = \"ms\" }\n\
                      window = { type = \"tumbling\", size = \"1m\" }\ncolumns.x = \"x\"\n";
const WEBHOOK: &str = "[sink.b]\ntype = \"webhook\"\nurl = \"https://h/\"\nsecret = \"whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYX\"\n";
const ALERTMANAGER: &str = "[sink.b]\ntype = \"alertmanager\"\nurl = \"https://h/\"\n";
const FILE: &str = "[sink.b]\ntype = \"file\"\npath = \"a.ndjson\"\n";
const KAFKA_SINK: &str = "[sink.b]\ntype = \"kafka\"\nbrokers = [\"b:9092\"]\ntopic = \"told\"\n";
const MQTT_SINK: &str = "[sink.b]\ntype = \"mqtt\"\nurl = \"mqtt://127.0.0.1\"\ntopic = \"a/b\"\n";
const STDOUT: &str = "[sink.b]\ntype = \"stdout\"\n";

/// A table of the config: its heading in the README, and a config with only what must be there, where
/// `@` marks the place of one more key.
struct Place {
    heading: String,
    config: String,
    inline: bool,
}

fn places() -> Vec<Place> {
    let line = |heading: &str, config: String| Place { heading: heading.into(), config, inline: false };
    let of = |family: &str, kind: &str| format!("`[{family}.NAME]`, `type = \"{kind}\"`");
    let value = |heading: &str, was: &str, is: &str| {
        assert!(STREAM.contains(was), "{was}");
        Place { heading: heading.into(), config: format!("{HTTP}{}", STREAM.replace(was, is)), inline: true }
    };
    let (window, columns) = ("window = { type = \"tumbling\", size = \"1m\" }", "columns.x = \"x\"");
    let long = format!("column = \"c\"\nvalue = \"v\"\n{columns}").replace("\"x\"", "{ name = \"y\"@ }");
    vec![
        line("At the top", format!("@\n{HTTP}{STREAM}")),
        line(&of("source", "mqtt"), format!("{MQTT}@\n{STREAM}")),
        line(&of("source", "kafka"), format!("{KAFKA}@\n{STREAM}")),
        line(
            "`shared` of a source of type `kafka`",
            format!("{KAFKA}[source.a.shared]\nalerts = \"a\"\nstate = \"s\"\n@\n{STREAM}"),
        ),
        line("`tls` of a source of type `kafka`", format!("{KAFKA}[source.a.tls]\n@\n{STREAM}")),
        line(
            "`sasl` of a source of type `kafka`",
            format!(
                "{KAFKA}[source.a.sasl]\nmechanism = \"PLAIN\"\nusername = \"u\"\npassword = \"p\"\n@\n{STREAM}"
            ),
        ),
        line(
            "`sasl` with `mechanism = \"OAUTHBEARER\"`",
            format!(
                "{KAFKA}[source.a.sasl]\nmechanism = \"OAUTHBEARER\"\ntoken_url = \"https://h/t\"\nclient_id = \"c\"\n\
                 client_secret = \"s\"\n@\n{STREAM}"
            ),
        ),
        line(
            "`registry` of a source of type `kafka`",
            format!("{KAFKA}[source.a.registry]\nurl = \"https://r:8081\"\n@\n{STREAM}"),
        ),
        line(&of("source", "http"), format!("{HTTP}@\n{STREAM}")),
        line(&of("source", "replay"), format!("{REPLAY}@\n{STREAM}")),
        line("`[stream.NAME]`", format!("{HTTP}{STREAM}@\n")),
        value("`time`", "unit = \"ms\"", "unit = \"ms\"@"),
        value("`columns.NAME`", columns, "columns.x = { path = \"x\"@ }"),
        value("`columns.NAME` with `column` and `value`", columns, &long),
        value("`window`, `type = \"tumbling\"`", window, &window.replace(" }", "@ }")),
        value(
            "`window`, `type = \"hopping\"`",
            window,
            "window = { type = \"hopping\", size = \"1m\", every = \"1s\"@ }",
        ),
        value("`window`, `type = \"sliding\"`", window, "window = { type = \"sliding\", size = \"1m\"@ }"),
        value(
            "`window`, `type = \"session\"`",
            window,
            "window = { type = \"session\", gap = \"10s\", max = \"1m\"@ }",
        ),
        value("`window`, `type = \"count\"`", window, "window = { type = \"count\", size = 4@ }"),
        value("`model`, `type = \"fit\"`", window, &format!("{window}\nmodel = {{ type = \"fit\"@ }}")),
        value(
            "`model`, `type = \"load\"`",
            window,
            &format!("{window}\nmodel = {{ type = \"load\", path = \"m\"@ }}"),
        ),
        Place {
            heading: "`model`, `type = \"transactions\"`".into(),
            config: format!(
                "{HTTP}{}",
                STREAM.replace(
                    window,
                    "window = { type = \"sliding\", size = \"1h\" }\nmodel = { type = \"transactions\", amount = \"x\"@ }"
                )
            ),
            inline: true,
        },
        line(&of("sink", "webhook"), format!("{HTTP}{STREAM}{WEBHOOK}@\n")),
        line(&of("sink", "alertmanager"), format!("{HTTP}{STREAM}{ALERTMANAGER}@\n")),
        line(&of("sink", "file"), format!("{HTTP}{STREAM}{FILE}@\n")),
        line(&of("sink", "kafka"), format!("{HTTP}{STREAM}{KAFKA_SINK}@\n")),
        line(&of("sink", "mqtt"), format!("{HTTP}{STREAM}{MQTT_SINK}@\n")),
        line(&of("sink", "stdout"), format!("{HTTP}{STREAM}{STDOUT}@\n")),
        line("`group` of a sink", format!("{HTTP}{STREAM}{STDOUT}[sink.b.group]\n@\n")),
        line("`[dashboard]`", format!("{HTTP}{STREAM}[dashboard]\n@\n")),
        line("`tls` of `[dashboard]`", format!("{HTTP}{STREAM}[dashboard.tls]\n{}@\n", certificate())),
        line("`[durable]`", format!("{HTTP}{STREAM}[durable]\n@\n")),
        line(
            "`[telemetry]`",
            format!("{HTTP}{STREAM}[telemetry]\notlp_endpoint = \"https://c:4318\"\n@\n"),
        ),
    ]
}

/// `cert` and `key`, of files that hold what they should.
fn certificate() -> &'static str {
    static MADE: LazyLock<String> = LazyLock::new(|| {
        let folder = env!("CARGO_TARGET_TMPDIR");
        let arguments = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout page.key -out page.pem -subj /CN=page";
        let made = Command::new("openssl").args(arguments.split(' ')).current_dir(folder).output();
        assert!(made.expect("openssl is installed by scripts/setup").status.success());
        format!("cert = \"{folder}/page.pem\"\nkey = \"{folder}/page.key\"\n")
    });
    &MADE
}

impl Place {
    fn with(&self, key_and_value: &str) -> String {
        let comma = if self.inline && !key_and_value.is_empty() { ", " } else { "" };
        self.config.replace('@', &format!("{comma}{key_and_value}"))
    }

    /// The keys the parser asked for, from its own remedy for an unknown one.
    fn keys(&self) -> BTreeSet<String> {
        let text = self.with("qqqqqqqqqqqqqqqqqqqqqqqq = 1");
        let problems = parse(&text, &self.heading, &BTreeMap::new()).expect_err("an unknown key");
        assert_eq!(problems.list.len(), 1, "{problems}");
        let known = problems.list[0].remedy.split("known here: ").nth(1).expect("the known keys");
        known.trim_end_matches('.').split(", ").map(str::to_owned).collect()
    }

    fn plan(&self, key_and_value: &str) -> String {
        let plan = parse(&self.with(key_and_value), &self.heading, &BTreeMap::new());
        format!(
            "{:?}",
            plan.unwrap_or_else(|problems| panic!("{}: {key_and_value}: {problems}", self.heading))
        )
    }
}

fn reference() -> Vec<Table> {
    tables(section(&read("README.md"), "Config reference"))
}

#[test]
fn the_readme_has_every_key_and_no_other() {
    let documented: BTreeMap<String, BTreeSet<String>> = reference()
        .into_iter()
        .map(|table| (table.heading, table.rows.into_iter().map(|row| row[0].replace('`', "")).collect()))
        .collect();
    let parsed: BTreeMap<String, BTreeSet<String>> =
        places().into_iter().map(|place| (place.heading.clone(), place.keys())).collect();
    assert_eq!(documented, parsed);
}

/// A default that stands between backticks is a value: writing it changes nothing.
#[test]
fn the_readme_s_defaults_are_the_defaults() {
    let mut checked = 0;
    for place in places() {
        let table = reference().into_iter().find(|table| table.heading == place.heading).expect("a table");
        for row in &table.rows {
            let Some(default) = row[1].strip_prefix('`').and_then(|d| d.strip_suffix('`')) else { continue };
            let key = row[0].replace('`', "");
            assert_eq!(place.plan(""), place.plan(&format!("{key} = {default}")), "{}: {key}", place.heading);
            checked += 1;
        }
    }
    assert!(checked >= 15, "only {checked} defaults checked");
}

#[test]
fn every_kind_has_its_table() {
    let headings: Vec<String> = places().into_iter().map(|place| place.heading).collect();
    let has = |family: &str, name: &str| {
        let kind = format!("`type = {name:?}`");
        assert!(headings.iter().any(|h| h.contains(family) && h.contains(&kind)), "{family} {name}");
    };
    source::KINDS.iter().for_each(|kind| has("source", kind.name));
    sink::KINDS.iter().for_each(|kind| has("sink", kind.name));
    stream::window::KINDS.iter().for_each(|kind| has("window", kind.name));
    stream::model::KINDS.iter().for_each(|kind| has("model", kind.name));
}
