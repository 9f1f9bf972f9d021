//! Holds every row of the tables to its contract.

use std::collections::{BTreeMap, BTreeSet};

use super::kind::Kind;
use super::{parse, sink, source, stream};

const SOURCE: &str = "[source.a]\ntype = \"http\"\n";
const STREAM: &str = "[stream.s]\nfrom = \"a\"\nkey = \"id\"\ntime = \"arrival\"\ncolumns.x = \"x\"\n";
const WINDOW: &str = "window = { type = \"tumbling\", size = \"1m\" }\n";

/// Parses each row's example in the place where a user would write it.
fn hold<F>(kinds: &[Kind<F>], config: impl Fn(&str) -> String) {
    let names: BTreeSet<&str> = kinds.iter().map(|kind| kind.name).collect();
    assert_eq!(names.len(), kinds.len(), "two rows share a name");
    for kind in kinds {
        assert!(!kind.summary.is_empty(), "{}", kind.name);
        assert!(
            kind.example.contains(&format!("type = {:?}", kind.name)),
            "{}: example of another type",
            kind.name
        );
        if let Err(problems) = parse(&config(kind.example), kind.name, &BTreeMap::new()) {
            panic!("{problems}");
        }
    }
}

#[test]
fn every_source_keeps_the_contract() {
    hold(source::KINDS, |example| format!("[source.a]\n{example}\n{STREAM}{WINDOW}"));
}

#[test]
fn every_sink_keeps_the_contract() {
    hold(sink::KINDS, |example| format!("{SOURCE}{STREAM}{WINDOW}[sink.b]\n{example}"));
}

#[test]
fn every_window_keeps_the_contract() {
    hold(stream::window::KINDS, |example| format!("{SOURCE}{STREAM}{example}\n"));
}

#[test]
fn every_model_keeps_the_contract() {
    let stream = STREAM.replace('x', "amount");
    let window = WINDOW.replace("tumbling", "sliding");
    hold(stream::model::KINDS, |example| format!("{SOURCE}{stream}{window}{example}\n"));
}
