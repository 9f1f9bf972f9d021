//! Partitions of more than a megabyte, in the release binary: each is saved round for round, and a kill leaves next
//! to nothing to read back.

use std::net::SocketAddr;

use crate::e2e::eddy::{Deployment, config};
use crate::e2e::http;
use crate::e2e::mosquitto::free_port;
use crate::plant::Row;
use crate::{e2e, plant};
use eddy::types::{PartitionId, key_hash};

/// Keys of a partition, of which its state comes to more than 2 MB.
const KEYS: usize = 3000;
/// First and last of the stream, with a small one between them.
const LARGE: [u8; 2] = [0, 63];
const SMALL: u8 = 30;

fn keys_of(partition: u8, keys: usize) -> impl Iterator<Item = String> {
    let names = (0..).map(|i| format!("pump-{i}"));
    names.filter(move |name| PartitionId::of(key_hash(name.as_bytes())).0 == partition).take(keys)
}

/// One reading of every key, at second `at`.
fn rows(names: &[String], at: i64) -> Vec<Row> {
    let like = plant::rows(1, at + 1, 5, 0..0).pop().expect("a row");
    names.iter().map(|name| Row { key: name.clone(), ..like.clone() }).collect()
}

fn post(http: SocketAddr, rows: &[Row]) {
    let headers = [("Content-Type", "application/x-ndjson")];
    let answer = http::request(http, "POST", "/v1/events/pumps", &headers, &plant::ndjson(rows));
    let answer = answer.expect("an answer");
    assert_eq!(answer.status, 200, "{}", answer.text());
}

#[test]
fn large_partitions_are_saved_round_for_round() {
    let http: SocketAddr = ([127, 0, 0, 1], free_port()).into();
    let source = format!("[source.line]\ntype = \"http\"\nlisten = \"{http}\"");
    let text = config(&source, "[\"line\"]", "max_future = \"none\"", "http://127.0.0.1:9/")
        + "snapshot_every = \"1s\"\n";
    let deployment = Deployment::new(&text);
    let mut names: Vec<String> = LARGE.into_iter().flat_map(|partition| keys_of(partition, KEYS)).collect();
    names.extend(keys_of(SMALL, 3));
    let mut eddy = deployment.start();
    let mut posted = 0usize;
    for at in 0..3 {
        for rows in rows(&names, at).chunks(500) {
            post(http, rows);
            posted += 1;
        }
        // Rounds follow messages; whatever they bring, all three partitions are saved in each.
        let rounds = |eddy: &e2e::eddy::Eddy| eddy.metric("eddy_snapshots_total") / 4;
        let before = rounds(&eddy);
        eddy.until("a round or two of saves", |eddy| {
            post(http, &rows(&names[..1], at));
            posted += 1;
            (rounds(eddy) > before + 1).then_some(())
        });
    }
    let large = || {
        let files = std::fs::read_dir(deployment.data().join("snapshots")).expect("snapshots").flatten();
        files.filter(|file| file.metadata().is_ok_and(|file| file.len() > 1 << 20)).count()
    };
    // While one is written there is one more, until the oldest is removed.
    eddy.until("two snapshots of each large partition", |_| (large() == 2 * LARGE.len()).then_some(()));
    eddy.kill();
    let eddy = deployment.start();
    let read_back = eddy.metric("eddy_recovered_messages_total") as usize;
    println!("{posted} messages in the log, {read_back} read back");
    // All rows but those of single readings are in the first messages of each third.
    assert!(read_back < posted / 2, "{read_back} of {posted} messages were read back");
}
