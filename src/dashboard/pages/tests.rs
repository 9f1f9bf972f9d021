mod missed;
mod orders;
mod standing;

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use serde_json::{Value, json};

use crate::dashboard::shell::PAGES;
use crate::dashboard::testing::{self, CROWD, S, Scene};
use crate::dashboard::tests::Served;
use crate::dashboard::{AlertQuery, AlertRow, AlertsView};
use crate::latency::Clock;
use crate::status::Status;
use crate::types::{About, AlertState, EventTime, NoDataEvidence, StreamId};

pub async fn page(served: &Served, path: &str) -> String {
    let response = served.get(path).await;
    assert_eq!(response.status(), 200, "{path}");
    response.text().await.unwrap()
}

/// The exact number that stands at `place` on a page.
pub fn number(page: &str, place: &str) -> f64 {
    let mark = format!(r#"data-api="{place}""#);
    let at = page.find(&mark).unwrap_or_else(|| panic!("{place} is on the page: {page}"));
    let title = page[at..].split_once(r#"title=""#).unwrap().1;
    title.split('"').next().unwrap().parse().unwrap()
}

fn documents(page: &str) -> Vec<String> {
    let marked = page.match_indices(r#"data-url=""#).map(|(at, mark)| &page[at + mark.len()..]);
    marked.map(|rest| rest.split('"').next().unwrap().replace("&#38;", "&").replace("&amp;", "&")).collect()
}

#[tokio::test]
async fn every_page_can_be_linked_and_says_where_it_is_and_what_its_numbers_are_from() {
    for scene in [Scene::Trouble, Scene::Calm, Scene::Warming, Scene::Recovering, Scene::Empty] {
        let served = Served::new(scene).await;
        let one = [
            "/alerts?state=ended",
            "/alerts?state=all",
            "/keys?q=pump-0&by=begins",
            "/keys/pumps/pump-03?range=5m",
        ];
        for path in PAGES.iter().map(|(path, _)| *path).chain(one) {
            let page = page(&served, path).await;
            let place = path.split(['?']).next().unwrap();
            let place = if place.starts_with("/keys/") { "/keys" } else { place };
            let here = format!(r#"<a href="{place}" aria-current="page">"#);
            assert_eq!(page.matches("aria-current=\"page\"").count(), 1, "{path}");
            assert!(page.contains(&here), "{path} says where one is");
            for part in ["<main id=\"main\"", "class=\"skip\"", "id=\"search\"", "id=\"tile-told\""] {
                assert_eq!(page.matches(part).count(), 1, "{path}: {part}");
            }
            assert!(!page.contains(" style=") && !page.contains("<script>"), "{path}: the CSP blocks that");
            for url in documents(&page) {
                assert_eq!(served.get(&url).await.status(), 200, "{path}: {url}");
            }
        }
    }
}

#[tokio::test]
async fn a_key_that_nobody_follows_is_found_and_shown() {
    let served = Served::new(Scene::Crowd).await;
    let first = page(&served, "/keys?stream=pumps").await;
    assert_eq!(number(&first, "keys.found[0].total"), CROWD as f64);
    assert_eq!(first.matches("<li>").count(), super::ROWS, "a page of them");
    let next =
        first.split(r#"<a href="/keys?stream=pumps&"#).nth(1).map(|rest| rest.split('"').next().unwrap());
    assert!(next.is_some_and(|next| next.contains("after=pump-")), "{first}");
    let found = page(&served, "/keys?q=499").await;
    assert_eq!(number(&found, "keys.found[0].total"), 1.0);
    assert!(found.contains(r#"<a href="/keys/pumps/pump-499">pump-499"#), "{found}");
    assert!(found.contains("firing</span>"), "an open alert of it is said");
    let beginning = page(&served, "/keys?q=499&by=begins").await;
    assert_eq!(number(&beginning, "keys.found[0].total"), 0.0);
    let shown = page(&served, "/keys/pumps/pump-499").await;
    assert!(shown.contains("followed from now on"), "{shown}");
    let api = served.json("/api/v1/keys?prefix=pump-49&limit=4").await;
    let names: Vec<&str> =
        api["keys"].as_array().unwrap().iter().map(|k| k["key"].as_str().unwrap()).collect();
    assert_eq!(names, ["pump-49", "pump-490", "pump-491", "pump-492"]);
    assert_eq!((&api["found"][0]["total"], &api["found"][0]["next_after"]), (&json!(11), &json!("pump-492")));
}

#[tokio::test]
async fn five_hundred_open_alerts_are_paged_in_order_of_their_onset() {
    let served = Served::new(Scene::Crowd).await;
    let (mut path, mut seen) = (Some("/alerts".to_owned()), Vec::new());
    while let Some(at) = path {
        let page = page(&served, &at).await;
        assert!(page.len() < 400_000, "{at}: {} bytes", page.len());
        assert_eq!(number(&page, "alerts.open"), CROWD as f64);
        let ids = page.match_indices("<tr id=\"row-").map(|(at, mark)| &page[at + mark.len()..][..16]);
        seen.extend(ids.map(|id| u64::from_str_radix(id, 16).unwrap() - 0x1000));
        let next = page.split_once(r#"" rel="next""#).map(|(before, _)| before);
        path = next.map(|before| before.rsplit_once("href=\"").unwrap().1.replace("&amp;", "&"));
    }
    assert_eq!(seen, (1..=CROWD as u64).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_receipt_is_a_waterfall_that_adds_up() {
    let served = Served::new(Scene::Trouble).await;
    for id in ["00000000000000a1", "00000000000000b2", "00000000000000c3"] {
        let page = page(&served, &format!("/alerts/{id}")).await;
        let receipt = "alerts.rows[0].alert.receipt";
        let count = page.matches(&format!(r#"data-api="{receipt}.segments["#)).count();
        let sum: f64 = (0..count).map(|i| number(&page, &format!("{receipt}.segments[{i}].ns"))).sum();
        assert!(count > 5 && sum == number(&page, &format!("{receipt}.total_ns")), "{count}, {sum}");
        let widths = page.split("class=\"waterfall\"").nth(1).unwrap().split("</table>").next().unwrap();
        let drawn = |column: usize| -> f64 {
            let rows = widths.split("<tr>").skip(2);
            let cell = |row: &str| row.split("<td class=\"bar-cell\">").nth(column).map(str::to_owned);
            let bar = |cell: String| {
                Some(
                    cell.split("x=\"")
                        .nth(1)?
                        .split("width=\"")
                        .nth(1)?
                        .split('%')
                        .next()?
                        .parse::<f64>()
                        .unwrap(),
                )
            };
            rows.filter_map(cell).filter_map(bar).sum()
        };
        assert!(
            (drawn(1) - 100.0).abs() < 1e-6 && (drawn(2) - 100.0).abs() < 1e-6,
            "{} {}",
            drawn(1),
            drawn(2)
        );
    }
    let ended = page(&served, "/alerts/00000000000000c3").await;
    assert!(ended.contains("resolved, revision") && ended.contains("raised, revision"), "{ended}");
    let failing = page(&served, "/alerts/00000000000000a1").await;
    assert!(failing.contains("failed, tries again") && failing.contains("no answer within 15 s"));
}

#[tokio::test]
async fn receivers_say_what_reached_them_and_why_the_rest_did_not() {
    let served = Served::new(Scene::Trouble).await;
    let page = page(&served, "/receivers").await;
    for said in
        ["retrying", "no answer within 15 s", "failed, tries again", "pump-17", "/alerts/00000000000000a1"]
    {
        assert!(page.contains(said), "{said}: {page}");
    }
    assert_eq!(number(&page, "alerts.rows[1].deliveries[1].attempts"), 3.0);
    let reason =
        r#"data-api="alerts.rows[1].deliveries[1].last_error" data-fmt="text">no answer within 15 s<"#;
    assert!(page.contains(reason), "{page}");
    assert!(!page.contains("given up</h2>") && !page.contains("Try again"), "nothing was given up");
}

#[tokio::test]
async fn a_key_has_its_level_its_alerts_and_its_outages() {
    let mut parts = testing::parts(Scene::Trouble, Clock::start().now_ns());
    let known = parts.alerts;
    let page_of = known.page;
    parts.alerts = AlertsView {
        page: Box::new(move |query| {
            let mut rows = page_of(query)?;
            rows.iter_mut().filter(|row| row.alert.decision.key == "pump-04").for_each(silence);
            Ok(rows)
        }),
        failed: known.failed,
    };
    let served = Served::of(parts).await;
    let shown = page(&served, "/keys/pumps/pump-17").await;
    let series = served.json("/api/v1/series?stream=pumps&key=pump-17").await;
    let values: Vec<f64> = series["points"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|p| p["columns"][3]["value"].as_f64())
        .collect();
    let mean = values.iter().sum::<f64>() / values.len() as f64;
    assert!((number(&shown, "spread.spread[3].mean") - mean).abs() < 1e-6 * mean);
    assert_eq!(number(&shown, "spread.spread[0].count"), 870.0, "a gap of 30 windows");
    assert!(
        shown.contains("/alerts/00000000000000a1") && !shown.contains("/alerts/00000000000000b2"),
        "its own alerts"
    );
    assert!(shown.contains("None of the alerts above tells of silence"));
    let silent = page(&served, "/keys/pumps/pump-04").await;
    assert!(
        silent.contains("No data</a> from <time data-api=\"alerts.rows[0].alert.decision.last_seen\""),
        "{silent}"
    );
    assert!(silent.contains("data-api=\"alerts.rows[0].resolved.window_end\""), "{silent}");
}

fn silence(row: &mut AlertRow) {
    let decision = &mut row.alert.decision;
    let resumed = (decision.state == AlertState::Resolved).then_some(EventTime(decision.onset.0 + 60 * S));
    decision.about = About::NoData(NoDataEvidence {
        last_seen: decision.onset,
        expected_every_ns: S,
        due: EventTime(decision.onset.0 + 10 * S),
        resumed,
    });
}

#[tokio::test]
async fn a_hostile_key_has_a_page_and_no_name_becomes_markup() {
    let served = Served::new(Scene::Hostile).await;
    let found = page(&served, "/keys?q=%3Cscript").await;
    let link = found.split("href=\"/keys/pumps/").nth(1).unwrap().split('"').next().unwrap();
    for path in [
        &format!("/keys/pumps/{link}"),
        "/alerts",
        "/alerts/00000000000000a1",
        "/receivers",
        "/streams",
        "/model",
    ] {
        let page = page(&served, path).await;
        assert!(
            page.contains("&#60;script&#62;") || page.contains("&lt;script&gt;"),
            "{path} shows the name"
        );
        for broken_out in ["<script>alert", "<img src=x", "onerror=alert(2)>"] {
            assert!(!page.contains(broken_out), "{path}: {broken_out}");
        }
    }
}

#[tokio::test]
async fn keys_are_counted_by_stream_and_never_added_up() {
    let now_ns = Clock::start().now_ns();
    let mut parts = testing::parts(Scene::Calm, now_ns);
    let mut plan = (*parts.plan).clone();
    plan.streams.push(plan.streams[0].clone());
    plan.streams[1].name = "cards".to_owned();
    let status = Status::new(&plan, now_ns - 60 * S);
    status.sources.iter().for_each(|source| source.connected.store(true, Relaxed));
    status.recovering.store(false, Relaxed);
    status.log_messages_total.store(9, Relaxed);
    for (stream, keys) in [(0, 24), (1, 1_000_000)] {
        let partition = status.partition(StreamId(stream), 0);
        partition.keys.store(keys, Relaxed);
        partition.warm_milli.store(1_000, Relaxed);
    }
    (parts.plan, parts.status) = (Arc::new(plan), Arc::new(status));
    let served = Served::of(parts).await;
    let page = page(&served, "/").await;
    assert!(page.contains("keys: 24 pumps, 1M cards"), "{page}");
    assert!(!page.contains(r#"data-api="status.totals.keys""#), "{page}");
}

#[tokio::test]
async fn the_list_of_the_api_is_the_pages() {
    let served = Served::new(Scene::Trouble).await;
    let all = served.json("/api/v1/alerts?state=all").await;
    let ids = |view: &Value| {
        view["rows"]
            .as_array()
            .unwrap()
            .iter()
            .map(|r| r["alert"]["decision"]["key"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(ids(&all), ["pump-17", "pump-09", "pump-04"]);
    assert_eq!(ids(&served.json("/api/v1/alerts?state=firing&limit=1&offset=1").await), ["pump-09"]);
    let query = AlertQuery::Page { before: None, limit: 1, stream: None, key: None };
    assert_eq!((served.state.parts.alerts.page)(query).unwrap().len(), 1);
}

#[tokio::test]
async fn an_old_link_ends_on_a_page_for_people_and_in_json_for_programs() {
    let served = Served::new(Scene::Calm).await;
    let ask = |path: &str| {
        let url = format!("{}{path}", served.base);
        reqwest::Client::new().get(url).header("Accept", "text/html,*/*;q=0.8").send()
    };
    for (path, status, word) in [
        ("/alerts/none", 404, "no alert of this id"),
        ("/alerts?state=xyz", 400, "write state=firing, state=ended or state=all"),
        ("/keys/fans/a", 404, "streams here: pumps"),
        ("/nothing", 404, "start from /"),
    ] {
        let page = ask(path).await.unwrap();
        assert_eq!(
            (page.status().as_u16(), &page.headers()["content-type"]),
            (status, &"text/html; charset=utf-8".parse().unwrap())
        );
        let text = page.text().await.unwrap();
        assert!(text.contains(word) && text.contains("id=\"tile-told\""), "{text}");
        assert!(served.json(path).await["remedy"].is_string());
    }
    let api = ask("/api/v1/alerts/none").await.unwrap();
    let body: Value = serde_json::from_str(&api.text().await.unwrap()).unwrap();
    assert_eq!(body["detail"], "no alert of this id is kept");
}
