//! The README's table of the kill matrix is what `benches/kill-matrix.json` holds; `EDDY_WRITE=1` makes it so.

use serde::Deserialize;

use crate::documents::{read, section};
use crate::source::root;

const HEADING: &str = "Kills and other trouble";
const SCENARIOS: usize = 8;

#[derive(Deserialize)]
struct Figures {
    scenario: String,
    events: u64,
    kills: u64,
    alerts_expected: u64,
    alerts_received: u64,
    duplicate_deliveries: u64,
    redelivered_events: u64,
    refused: u64,
    lost: u64,
    extra: u64,
    seconds: f64,
    seed: u64,
    commit: String,
}

fn figures() -> Vec<Figures> {
    serde_json::from_str(&read("benches/kill-matrix.json")).expect("figures of the kill matrix")
}

fn table(figures: &[Figures]) -> String {
    let mut table = "| Scenario | Events | `kill -9` | Alerts | Received | Lost | Extra | Events redelivered | \
                     Attempts refused | Alerts sent twice | Time |\n|---|---|---|---|---|---|---|---|---|---|---|\n"
        .to_owned();
    for f in figures {
        table += &format!(
            "| {} | {} | {} | {} | {} | {} | {} | {} | {} | {} | {:.0} s |\n",
            f.scenario,
            f.events,
            f.kills,
            f.alerts_expected,
            f.alerts_received,
            f.lost,
            f.extra,
            f.redelivered_events,
            f.refused,
            f.duplicate_deliveries,
            f.seconds
        );
    }
    table
}

#[test]
fn the_kill_matrix_of_the_readme_is_the_one_that_was_run() {
    let (readme, wanted) = (read("README.md"), table(&figures()));
    let text = section(&readme, HEADING);
    let start = text.find("| Scenario").expect("a table");
    let end = text[start..].find("\n\n").map_or(text.len(), |at| start + at + 1);
    if std::env::var_os("EDDY_WRITE").is_some() {
        std::fs::write(root().join("README.md"), readme.replacen(&text[start..end], &wanted, 1))
            .expect("the README is written");
        return;
    }
    assert_eq!(&text[start..end], wanted, "`scripts/kill-matrix` writes both");
}

#[test]
fn the_kill_matrix_was_run_in_full_and_lost_nothing() {
    let figures = figures();
    assert_eq!(figures.len(), SCENARIOS);
    for f in &figures {
        assert_eq!((f.lost, f.extra, f.alerts_received), (0, 0, f.alerts_expected), "{}", f.scenario);
        assert!(
            f.events >= 200_000 && f.kills >= 50,
            "{}: {} events, {} kills",
            f.scenario,
            f.events,
            f.kills
        );
        // One tree, one seed: no line is left over from an older run.
        assert_eq!((&f.commit, f.seed), (&figures[0].commit, figures[0].seed), "{}", f.scenario);
        assert!(!f.commit.is_empty() && !f.commit.ends_with("-dirty"), "{}: {:?}", f.scenario, f.commit);
    }
}
