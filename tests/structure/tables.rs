//! The tables that say what there is agree with each other, and each row has what is promised of it.

use std::collections::{BTreeMap, BTreeSet};

use eddy::config::{parse, sink, source};
use eddy::decode::FORMATS;
use eddy::sink::TABLE;

use crate::source::root;

/// What stands in for a secret of an example.
const KEY: &str = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYX";

/// A value for every `env:NAME` in a config.
fn environment(text: &str) -> BTreeMap<String, String> {
    let name = |rest: &str| rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
    text.split("env:").skip(1).map(|rest| (name(rest), KEY.to_owned())).collect()
}

fn stream(source: &str, extra: &str) -> String {
    format!(
        "{source}\n[stream.s]\nfrom = \"a\"\nkey = \"id\"\ntime = \"arrival\"\ncolumns.x = \"x\"\n\
         window = {{ type = \"tumbling\", size = \"1m\" }}\n{extra}"
    )
}

#[test]
fn every_sink_of_the_config_can_deliver() {
    let configured: BTreeSet<&str> = sink::KINDS.iter().map(|kind| kind.name).collect();
    let delivering: BTreeSet<&str> = TABLE.iter().map(|row| row.name).collect();
    assert_eq!(configured, delivering);
    for row in &TABLE {
        let text = stream("[source.a]\ntype = \"http\"", row.example);
        let plan = parse(&text, row.name, &environment(&text));
        assert!(plan.is_ok(), "{}: {}", row.name, plan.unwrap_err());
    }
}

#[test]
fn every_format_of_the_decoder_can_be_configured_and_no_other() {
    const REST: &str = "from = \"a\"\nkey = \"id\"\ntime = \"arrival\"\ncolumns.x = \"x\"\n\
                        window = { type = \"tumbling\", size = \"1m\" }\n";
    for format in &FORMATS {
        let plan = parse(&format!("{}{REST}", format.example), format.name, &BTreeMap::new());
        let plan = plan.unwrap_or_else(|problems| panic!("{}: {problems}", format.name));
        assert_eq!(plan.streams[0].format.name(), format.name);
    }
    let config = |name: &str| {
        stream("[source.a]\ntype = \"http\"", "").replace("key", &format!("format = {name:?}\nkey"))
    };
    let problems =
        parse(&config("no-such-format"), "", &BTreeMap::new()).expect_err("an unknown format").to_string();
    let offered = problems.split("Use ").nth(1).and_then(|rest| rest.split('.').next()).expect("a remedy");
    let offered: BTreeSet<&str> =
        offered.split([',', ' ']).filter(|word| !["", "or"].contains(word)).collect();
    assert_eq!(offered, FORMATS.iter().map(|format| format.name).collect());
}

/// An operator reads of a source or sink in the examples before anywhere else.
#[test]
fn every_kind_is_shown_in_an_example() {
    let texts: Vec<String> = examples().into_iter().map(|(_, text)| text).collect();
    for name in source::KINDS.iter().map(|kind| kind.name).chain(sink::KINDS.iter().map(|kind| kind.name)) {
        let row = format!("type = {name:?}");
        assert!(texts.iter().any(|text| text.contains(&row)), "no file in configs/ has {row}");
    }
}

#[test]
fn every_example_is_good() {
    for (name, text) in examples() {
        let plan = parse(&text, &name, &environment(&text));
        assert!(plan.is_ok(), "{}", plan.unwrap_err());
    }
}

/// A name that only one machine has would make an example run nowhere else.
#[test]
fn examples_name_only_files_of_the_repository() {
    for (name, text) in examples() {
        for path in
            text.split('"').filter(|part| ["models/", "datasets/"].iter().any(|f| part.starts_with(f)))
        {
            assert!(root().join(path).exists(), "{name} names {path}");
        }
    }
}

fn examples() -> Vec<(String, String)> {
    let folder = std::fs::read_dir(root().join("configs")).expect("configs/ can be listed");
    let read = |path: std::path::PathBuf| {
        (path.display().to_string(), std::fs::read_to_string(&path).expect("an example can be read"))
    };
    let paths = folder.map(|entry| entry.expect("an entry").path());
    // Beside them stands what other programs read, such as a unit of systemd.
    let found: Vec<_> =
        paths.filter(|path| path.extension().is_some_and(|e| e == "toml")).map(read).collect();
    assert!(found.len() >= 5, "{} examples", found.len());
    found
}
