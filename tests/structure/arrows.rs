//! Dependencies point one way: `types ← stations ← engine, stage ← pipeline ← cli`.

use std::collections::BTreeSet;

use crate::source::{Source, sources};

const STATIONS: [&str; 9] =
    ["source", "durable", "decode", "window", "model", "judge", "alert", "sink", "dashboard"];

/// What any station may name besides itself.
const SHARED: [&str; 16] = [
    "types",
    "kafka",
    "ring",
    "schemas",
    "stage",
    "state",
    "status",
    "latency",
    "watch",
    "metrics",
    "config",
    "connections",
    "mqtt",
    "backend",
    "access",
    "telemetry",
];

/// Arrows that are drawn on purpose, each with its reason.
const ALLOWED: [(&str, &str, &str); 2] = [
    (
        "sink/deliver.rs",
        "alert",
        "the worker between the outbox (of alerts) and a sink: it takes from the one and feeds the other",
    ),
    ("backend", "model", "a backend computes the model's scores: it is the model's other half"),
];

/// Top-level modules that wire stations together and may name them all.
const WIRING: [&str; 5] = ["engine", "pipeline", "cli", "demo", "main"];

fn allowed(file: &Source, used: &str) -> bool {
    ALLOWED.iter().any(|(from, to, _)| *to == used && (file.path == *from || file.module() == *from))
}

#[test]
fn stations_never_import_each_other() {
    let mut wrong = Vec::new();
    for file in sources().iter().filter(|file| !file.is_test() && !WIRING.contains(&file.module())) {
        for used in file.uses() {
            let foreign = STATIONS.contains(&used.as_str()) && used != file.module();
            if foreign && !allowed(file, &used) {
                wrong.push(format!("src/{} names crate::{used}", file.path));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn nothing_below_the_wiring_names_it() {
    let mut wrong = Vec::new();
    for file in sources().iter().filter(|file| !file.is_test() && !WIRING.contains(&file.module())) {
        for used in file.uses().iter().filter(|used| WIRING.contains(&used.as_str())) {
            wrong.push(format!("src/{} names crate::{used}", file.path));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// A new folder must be put on the map: a station, shared, or wiring.
#[test]
fn every_module_has_its_place() {
    let known: BTreeSet<&str> = STATIONS.into_iter().chain(SHARED).chain(WIRING).chain(["lib"]).collect();
    let files = sources();
    let found: BTreeSet<&str> = files.iter().filter(|file| !file.is_test()).map(Source::module).collect();
    assert_eq!(found, known);
}

/// The config's plan is what stations are built from; how it was written is none of their business.
#[test]
fn stations_see_only_the_plan_of_the_config() {
    for file in sources().iter().filter(|file| STATIONS.contains(&file.module()) && !file.is_test()) {
        for line in file.product().lines() {
            let rest = line.split("crate::config::").nth(1);
            assert!(rest.is_none_or(|rest| rest.starts_with("plan")), "src/{}: {line}", file.path);
        }
    }
}

#[test]
fn devices_and_tensors_are_named_in_one_place_each() {
    for file in sources() {
        let names = |crate_name: &str| file.text.contains(&format!("{crate_name}::"));
        assert!(!names("cudarc") || file.module() == "backend", "src/{} names cudarc", file.path);
        let candle = ["candle_core", "candle_nn"].into_iter().any(names);
        assert!(!candle || file.module() == "model", "src/{} names candle", file.path);
        assert!(
            !names("anyhow") || ["cli", "pipeline"].contains(&file.module()),
            "src/{} names anyhow",
            file.path
        );
    }
}

/// Whether a line has a word, and not as a part of a longer one.
fn says(line: &str, word: &str) -> bool {
    let is_name = |c: char| c.is_alphanumeric() || c == '_';
    line.match_indices(word).any(|(at, _)| {
        let behind = &line[at + word.len()..];
        let goes_on = word.ends_with(is_name) && behind.starts_with(is_name);
        !line[..at].ends_with(is_name) && !goes_on
    })
}

/// The engine is a function of its input: no clock, file, thread, random number or hash order in it,
/// nor in what it is made of.
#[test]
fn the_engine_is_pure() {
    const IMPURE: [&str; 9] = [
        "Instant",
        "SystemTime",
        "std::fs",
        "std::thread",
        "std::net",
        "std::env",
        "rand::",
        "HashMap",
        "HashSet",
    ];
    let pure = |file: &Source| {
        ["engine", "window", "judge", "backend", "ring"].contains(&file.module())
            || file.path == "alert/lifecycle.rs"
            // The model's file is read and written by the wiring, not by the engine.
            || file.module() == "model" && file.path != "model/file.rs"
    };
    let mut seen = 0;
    for file in sources().iter().filter(|file| pure(file) && !file.is_test()) {
        seen += 1;
        for (number, line) in file.product().lines().enumerate() {
            for word in IMPURE {
                assert!(!says(line, word), "src/{}:{}: {word}: {line}", file.path, number + 1);
            }
        }
    }
    assert!(seen > 20, "only {seen} files looked at");
}

/// What is served without being on the list would be served without a rule on who may ask.
#[test]
fn every_address_of_the_page_stands_in_one_list() {
    let served = |file: &&Source| file.module() == "dashboard" && !file.is_test();
    for file in sources().iter().filter(served).filter(|file| file.path != "dashboard/ways.rs") {
        for word in ["Router::new()", ".route(", ".nest(", ".merge("] {
            assert!(!file.product().contains(word), "src/{} has {word}: give it a row in ways.rs", file.path);
        }
    }
}
