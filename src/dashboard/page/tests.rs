use std::sync::atomic::Ordering::Relaxed;

use super::*;
use crate::dashboard::testing::{self, HOSTILE, S, Scene};
use crate::dashboard::{AlertRow, AlertsView};

use crate::types::drift::Drift;
use crate::types::{About, Alert, AlertState, EventTime, NoDataEvidence, OnsetEvidence, Receipt, Watched};

const NOW: i64 = 1_700_000_000 * S;

fn state(scene: Scene) -> AppState {
    AppState::at(testing::parts(scene, NOW), NOW)
}

fn page(scene: Scene) -> String {
    render(&state(scene), &PageQuery::default()).unwrap()
}

fn part(scene: Scene, name: &str) -> String {
    render_fragment(&state(scene), name, &PageQuery::default()).unwrap()
}

/// What stands between two marks of the page.
fn between<'a>(page: &'a str, start: &str, end: &str) -> &'a str {
    let from = page.find(start).unwrap_or_else(|| panic!("{start} is on the page"));
    let length = page[from..].find(end).unwrap_or_else(|| panic!("{end} follows {start}"));
    &page[from..from + length]
}

#[test]
fn golden_tiles_in_trouble() {
    insta::assert_snapshot!(between(
        &page(Scene::Trouble),
        "<section class=\"tiles\"",
        "<div class=\"pair\">"
    ));
}

#[test]
fn golden_tiles_when_calm() {
    insta::assert_snapshot!(between(&page(Scene::Calm), "<section class=\"tiles\"", "<div class=\"pair\">"));
}

#[test]
fn golden_alerts() {
    insta::assert_snapshot!(part(Scene::Trouble, "alerts"));
}

#[test]
fn golden_tables() {
    insta::assert_snapshot!(part(Scene::Trouble, "tables"));
}

#[test]
fn golden_notices_of_an_empty_box() {
    insta::assert_snapshot!(part(Scene::Empty, "notices"));
}

#[test]
fn golden_notices_while_warming() {
    insta::assert_snapshot!(part(Scene::Warming, "notices"));
}

#[test]
fn a_stream_that_has_drifted_is_a_notice_with_its_remedy_and_no_trouble() {
    let parts = testing::parts(Scene::Calm, NOW);
    let mut drift = Drift::new(4);
    (0..100).for_each(|_| drift.count(3, -2.1));
    parts.status.partition(StreamId(0), 5).set_drift(&drift);
    let state = AppState::at(parts, NOW);
    let notices = render_fragment(&state, "notices", &PageQuery::default()).unwrap();
    for said in ["pumps has drifted: vibration has moved down by 2.1 sd for 100 % of its keys", "eddy train"]
    {
        assert!(notices.contains(said), "{notices}");
    }
    let frame = state.frames.newest();
    assert_eq!((frame.snapshot.problems.len(), frame.snapshot.state), (0, BoxState::Ok));
}

#[test]
fn a_hostile_name_never_becomes_markup() {
    let page = page(Scene::Hostile);
    assert!(
        page.contains("&lt;script&gt;") || page.contains("&#60;script&#62;"),
        "the name is shown, escaped"
    );
    for broken_out in ["<script>alert", "<img src=x", "onerror=alert(2)>"] {
        assert!(!page.contains(broken_out), "{broken_out}");
    }
    let escaped = page.matches("alert(1)").count();
    assert!(escaped > 10, "key, column, unit, receiver, source and deployment are all hostile: {escaped}");
    assert!(!page.contains(HOSTILE));
}

#[test]
fn without_a_choice_the_key_that_broke_first_is_shown() {
    let page = page(Scene::Trouble);
    assert!(page.contains(r#"data-topic="key:pumps/pump-17""#));
    let asked = PageQuery { key: Some("pumps/pump-03".to_owned()), ..PageQuery::default() };
    let page = render(&state(Scene::Trouble), &asked).unwrap();
    assert!(page.contains(r#"data-topic="key:pumps/pump-03""#));
}

#[test]
fn a_typed_key_wins_and_stays_in_the_chosen_stream() {
    let find = |text: &str| {
        let query =
            PageQuery { key: Some("pumps/pump-03".to_owned()), find: Some(text.to_owned()), range: None };
        let state = state(Scene::Calm);
        let frame = state.frames.newest();
        choose(&state, &frame, &query).unwrap().key
    };
    assert_eq!(find("pump-11"), "pump-11");
    assert_eq!(find("pumps/pump-12"), "pump-12");
    assert_eq!(find("  "), "pump-03");
}

#[test]
fn a_key_that_is_looked_at_is_followed() {
    let state = state(Scene::Calm);
    let asked = PageQuery { key: Some("pumps/never-seen".to_owned()), ..PageQuery::default() };
    let page = render(&state, &asked).unwrap();
    assert!(page.contains("followed from now on"));
    assert!(state.parts.watch.wanted(StreamId(0), crate::types::key_hash(b"never-seen")));
}

#[test]
fn the_longest_range_shows_the_start_and_the_shortest_only_the_end() {
    let shown = |range: &str| {
        let query = PageQuery { range: Some(range.to_owned()), ..PageQuery::default() };
        let state = state(Scene::Trouble);
        let choice = choose(&state, &state.frames.newest(), &query).unwrap();
        let (data, _) = (KeyData::read(&state, choice), ());
        let (now, recent) = data.docs();
        data.part(&now, &recent, NOW, &state.parts.zone, None).render().unwrap()
    };
    assert!(shown("all").contains("from 22:58:20 to 23:13:19"));
    assert!(shown("5m").contains("from 23:08:19 to 23:13:19"));
}

#[test]
fn a_silent_key_is_shown_without_numbers_that_were_not_there() {
    let decision = Decision {
        id: "d4".to_owned(),
        revision: 1,
        state: AlertState::Raised,
        stream: "pumps".to_owned(),
        key: "pump-05".to_owned(),
        rule: "no_data".to_owned(),
        onset: EventTime(NOW - 90 * S),
        about: About::NoData(NoDataEvidence {
            last_seen: EventTime(NOW - 90 * S),
            expected_every_ns: S,
            due: EventTime(NOW - 60 * S),
            resumed: None,
        }),
    };
    let page = page_with(decision);
    let alerts = between(&page, "<h2 id=\"alerts-title\"", "</details>");
    for text in ["pump-05", "no data since", "expected every", "1 s", "firing"] {
        assert!(alerts.contains(text), "{text}: {alerts}");
    }
    for text in ["1 in", "observed", "Contributions", "p_value", "–"] {
        assert!(!alerts.contains(text), "{text}: {alerts}");
    }
    let tiles = between(&page, "<section class=\"tiles\"", "<div class=\"pair\">");
    assert!(tiles.contains("no data") && tiles.contains("Silent"), "{tiles}");
    let key = between(&page, "<h2 id=\"key-title\"", "</form>");
    assert!(page.contains(r#"data-topic="key:pumps/pump-05""#), "the silent key is the one that is shown");
    assert!(page[page.find(key).unwrap()..].contains("No data since"), "and says so");
}

/// The page of a calm box that has told of nothing but this.
fn page_with(decision: Decision) -> String {
    let alert = Alert { decision, receipt: Receipt::default() };
    let row = AlertRow { seq: 1, stored_at_ns: NOW, alert, deliveries: Vec::new() };
    let mut parts = testing::parts(Scene::Calm, NOW);
    parts.alerts =
        AlertsView { page: Box::new(move |_| Ok(vec![row.clone()])), failed: Box::new(|_| Ok(Vec::new())) };
    render(&AppState::at(parts, NOW), &PageQuery::default()).unwrap()
}

#[test]
fn an_onset_is_shown_with_the_range_that_was_left() {
    let decision = Decision {
        id: "d5".to_owned(),
        revision: 1,
        state: AlertState::Raised,
        stream: "pumps".to_owned(),
        key: "pump-05".to_owned(),
        rule: "onset".to_owned(),
        onset: EventTime(NOW - 90 * S),
        about: About::Onset(OnsetEvidence {
            cell_start: EventTime(NOW - 90 * S),
            cell_end: EventTime(NOW - 89 * S),
            epoch: 7,
            column: "vibration".to_owned(),
            unit: Some("mm/s".to_owned()),
            watched: Watched::Mean,
            value: 7.25,
            range_low: 1.5,
            range_high: 3.5,
            score: 0.75,
            score_threshold: 0.05,
            ended: None,
        }),
    };
    let page = page_with(decision);
    let alerts = between(&page, "<h2 id=\"alerts-title\"", "</details>");
    for text in
        ["pump-05", "vibration, mean", ">7.25<", "mm/s", "until then", ">1.5<", ">3.5<", ">0.75<", "firing"]
    {
        assert!(alerts.contains(text), "{text}: {alerts}");
    }
    for text in ["1 in", "observed", "Contributions", "p_value", "no data"] {
        assert!(!alerts.contains(text), "{text}: {alerts}");
    }
    let tiles = between(&page, "<section class=\"tiles\"", "<div class=\"pair\">");
    assert!(tiles.contains("vibration") && tiles.contains("New extreme"), "{tiles}");
    assert!(page.contains(r#"data-topic="key:pumps/pump-05""#), "its key is the one that is shown");
}

#[test]
fn a_budget_is_shown_beside_what_was_opened() {
    let shown = |opened: u64| {
        let mut parts = testing::parts(Scene::Calm, NOW);
        let mut plan = (*parts.plan).clone();
        plan.streams[0].alarm = crate::config::plan::AlarmPlan::Budget { per_day: 1.5 };
        parts.plan = plan.into();
        parts.status.partition(StreamId(0), 3).alerts_opened_day.store(opened, Relaxed);
        let tables = render_fragment(&AppState::at(parts, NOW), "tables", &PageQuery::default()).unwrap();
        between(&tables, "data-label=\"alerts 24 h\"", "</td>").to_owned()
    };
    let two = shown(2);
    assert!(two.contains(">2</data> of ") && two.contains(">1.5</data> a day"), "{two}");
    assert!(!two.contains("◆") && shown(4).contains("◆"), "clearly more");
}
