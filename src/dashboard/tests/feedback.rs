//! What people say of alerts.

use reqwest::Method;
use tokio::sync::mpsc;

use super::access::Guarded;
use super::orders::desk;
use super::*;
use crate::access::{Scope, link_query};
use crate::dashboard::{AlertQuery, AlertRow, AlertsView};
use crate::stage::{Done, Order, What};
use crate::types::{Feedback, UNSAID_MAX, Word};

/// Where somebody follows what is said.
pub async fn heard() -> Guarded {
    let (orders, given) = mpsc::channel(1);
    tokio::spawn(desk(given));
    Guarded::with(Scene::Trouble, |parts| parts.orders = orders).await
}

#[tokio::test]
async fn only_the_form_behind_a_link_acts() {
    let guarded = heard().await;
    let id = guarded.alert().await;
    let key = guarded.served.state.parts.access.key();
    let link = format!("/feedback/{id}?{}", link_query(key, &id, u64::MAX));
    let page = guarded.request(Method::GET, &link).send().await.unwrap();
    assert_eq!(page.status(), 200);
    let page = page.text().await.unwrap();
    assert!(page.contains(r#"value="expected""#) && page.contains(r#"value="real""#), "{page}");
    let said = || async { guarded.json("/api/v1/feedback", Scope::Read).await["rows"].take() };
    assert_eq!(said().await, serde_json::json!([]), "to follow a link says nothing");

    let action = page.split("action=\"").nth(1).unwrap().split('"').next().unwrap();
    let action = action.replace("&amp;", "&").replace("&#38;", "&");
    let send = |path: String, body: &'static str| {
        let kind = "application/x-www-form-urlencoded";
        let request = guarded.request(Method::POST, &path).header("content-type", kind).body(body);
        async move { request.send().await.unwrap() }
    };
    let done = send(action, "verdict=real&reason=bearing+17").await;
    assert_eq!(done.status(), 200);
    let answered = done.text().await.unwrap();
    assert!(answered.contains("Noted as real") && answered.contains(r#"value="undone""#), "{answered}");
    let rows = said().await;
    assert_eq!(
        (&rows[0]["alert"], &rows[0]["verdict"], &rows[0]["who"]),
        (&id.clone().into(), &"real".into(), &"link".into())
    );
    assert_eq!(rows[0]["reason"], "bearing 17");
    let audit = guarded.json("/api/v1/audit", Scope::Admin).await;
    assert_eq!(audit["rows"][0]["detail"], "real: bearing 17");
    let noted = audit["rows"].as_array().unwrap().len();
    let signature = link.split("sig=").nth(1).unwrap();
    assert!(!audit.to_string().contains(signature), "who reads the audit log must not act in another's name");

    for forged in [
        format!("/feedback/{id}?until=9999999999&sig={signature}"),
        format!("/feedback/{id}?{}", link_query(key, &id, 1)),
        format!("/feedback/{id}"),
        format!("/feedback/other?{}", link_query(key, &id, u64::MAX)),
    ] {
        assert_eq!(send(forged.clone(), "verdict=expected").await.status(), 403, "{forged}");
    }
    assert_eq!(said().await.as_array().unwrap().len(), 1);
    let undone = send(link.clone(), "verdict=undone").await.text().await.unwrap();
    assert!(undone.contains("Taken back"), "{undone}");
    assert_eq!(said().await, serde_json::json!([]));
    let noted = noted + 1;
    let audit = guarded.json("/api/v1/audit", Scope::Admin).await;
    assert_eq!(audit["rows"].as_array().unwrap().len(), noted, "who shows no good link writes nothing");
    assert_eq!(send(link, "verdict=maybe").await.status(), 422);
}

/// The control log and the labels must end with the same word, whoever of two is the faster.
#[tokio::test]
async fn of_two_who_speak_at_once_the_second_waits_for_the_first() {
    let (orders, mut given) = mpsc::channel::<Order>(4);
    let guarded = Guarded::with(Scene::Trouble, |parts| parts.orders = orders).await;
    let id = guarded.alert().await;
    let say = |verdict: &str| {
        let request = guarded.request(Method::POST, &format!("/api/v1/alerts/{id}/feedback"));
        let request = request.bearer_auth(&guarded.tokens[1]).header("content-type", "application/json");
        request.body(format!(r#"{{"verdict":"{verdict}"}}"#)).send()
    };
    let follow = async {
        let mut words = Vec::new();
        for at in 0..2 {
            let order = timeout(Duration::from_secs(20), given.recv()).await.expect("no word comes").unwrap();
            let early = timeout(Duration::from_millis(500), given.recv()).await;
            assert!(early.is_err(), "another word comes before word {at} is a label");
            let What::Feedback { feedback, .. } = &order.what else { panic!("a word") };
            words.push(feedback.word);
            let _ = order.answer.send(Ok(Done::Heard(Ok(()))));
        }
        words
    };
    let (real, expected, words) = tokio::join!(say("real"), say("expected"), follow);
    assert_eq!(
        (real.unwrap().status(), expected.unwrap().status()),
        (reqwest::StatusCode::CREATED, reqwest::StatusCode::CREATED)
    );
    let rows = guarded.json("/api/v1/feedback", Scope::Read).await["rows"].take();
    assert_eq!(rows[0]["verdict"], words[1].as_str());
}

#[tokio::test]
async fn the_last_word_holds_and_becomes_a_label_that_a_backtest_reads() {
    let guarded = heard().await;
    let id = guarded.alert().await;
    let say = |id: &str, body: String| {
        let request = guarded.request(Method::POST, &format!("/api/v1/alerts/{id}/feedback"));
        let request = request.bearer_auth(&guarded.tokens[1]).header("content-type", "application/json");
        async move { request.body(body).send().await.unwrap() }
    };
    assert_eq!(say(&id, r#"{"verdict":"real"}"#.into()).await.status(), 201);
    let labels = guarded.get("/api/v1/labels.csv?stream=pumps", Scope::Read).await;
    assert!(labels.headers()["content-type"].to_str().unwrap().starts_with("text/csv"));
    let labels = labels.text().await.unwrap();
    assert_eq!(labels.lines().count(), 2, "{labels}");
    assert!(labels.starts_with("key,start,end\npump-"), "{labels}");
    assert_eq!(say(&id, r#"{"verdict":"expected","reason":"test run"}"#.into()).await.status(), 201);
    let labels = guarded.get("/api/v1/labels.csv?stream=pumps", Scope::Read).await.text().await.unwrap();
    assert_eq!(labels, "key,start,end\n");
    assert_eq!(say("none", r#"{"verdict":"real"}"#.into()).await.status(), 404);
    let long = format!(r#"{{"verdict":"real","reason":"{}"}}"#, "x".repeat(501));
    assert_eq!(say(&id, long).await.status(), 400);
    for bad in [r#"{"verdict":"maybe"}"#, "{}", r#"{"verdict":"real","by":"me"}"#] {
        let refused = say(&id, bad.to_owned()).await;
        assert_eq!(refused.status(), 422, "{bad}");
        assert_eq!(refused.headers()["content-type"], "application/problem+json");
    }
    assert_eq!(guarded.get("/api/v1/labels.csv?stream=fans", Scope::Read).await.status(), 404);
}

#[tokio::test]
async fn what_cannot_act_is_kept_as_a_label_and_what_nobody_heard_is_not() {
    let guarded = Guarded::new(Scene::Trouble).await;
    let id = guarded.alert().await;
    let path = format!("/api/v1/alerts/{id}/feedback");
    let say = |guarded: &Guarded| {
        let request = guarded.request(Method::POST, &path).bearer_auth(&guarded.tokens[1]);
        let request = request.header("content-type", "application/json").body(r#"{"verdict":"expected"}"#);
        async move { request.send().await.unwrap() }
    };
    assert_eq!(say(&guarded).await.status(), 503, "nobody follows orders: Eddy is stopping");
    let rows = guarded.json("/api/v1/feedback", Scope::Read).await["rows"].take();
    assert_eq!(rows, serde_json::json!([]));

    let (orders, mut given) = mpsc::channel::<Order>(1);
    let guarded = Guarded::with(Scene::Trouble, |parts| parts.orders = orders).await;
    tokio::spawn(async move {
        while let Some(Order { answer, .. }) = given.recv().await {
            let _ = answer.send(Ok(Done::Heard(Err("a group: silence at the receiver".to_owned()))));
        }
    });
    let answer = say(&guarded).await;
    assert_eq!(answer.status(), 201);
    let kept: Value = serde_json::from_str(&answer.text().await.unwrap()).unwrap();
    assert_eq!((&kept["acts"], &kept["why"]), (&false.into(), &"a group: silence at the receiver".into()));
    let rows = guarded.json("/api/v1/feedback", Scope::Read).await["rows"].take();
    assert_eq!(rows[0]["verdict"], "expected");
}

/// An alert that fires, and others of the same key.
async fn stored(rows: Vec<AlertRow>, said: Option<Feedback>) -> Guarded {
    let (orders, given) = mpsc::channel(1);
    tokio::spawn(desk(given));
    Guarded::with(Scene::Trouble, |parts| {
        parts.orders = orders;
        said.into_iter().for_each(|said| parts.status.said.hear("pumps", said));
        let page = move |query| match query {
            AlertQuery::One { id } => {
                Ok(rows.iter().filter(|row| row.alert.decision.id == id).cloned().collect())
            }
            _ => Ok(rows.clone()),
        };
        parts.alerts = AlertsView { page: Box::new(page), failed: Box::new(|_| Ok(Vec::new())) };
    })
    .await
}

fn firing() -> AlertRow {
    let parts = testing::parts(Scene::Trouble, Clock::start().now_ns());
    let open = (parts.alerts.page)(AlertQuery::Open).unwrap();
    let mut row = open.into_iter().find(|row| row.alert.decision.window().is_some()).unwrap();
    row.alert.decision.id = "a1".into();
    row
}

async fn say(guarded: &Guarded, id: &str, verdict: &str) -> (u16, Value) {
    let request = guarded.request(Method::POST, &format!("/api/v1/alerts/{id}/feedback"));
    let request = request.bearer_auth(&guarded.tokens[1]).header("content-type", "application/json");
    let answer = request.body(format!(r#"{{"verdict":"{verdict}"}}"#)).send().await.unwrap();
    (answer.status().as_u16(), serde_json::from_str(&answer.text().await.unwrap()).unwrap())
}

#[tokio::test]
async fn what_is_said_of_a_deleted_alert_can_be_taken_back() {
    let said = Feedback {
        number: 1,
        word: Word::Expected,
        alert: "gone".into(),
        key: "pump-17".into(),
        rule: "window".into(),
        onset_ns: 5,
        reason: "test run".into(),
        who: "ana".into(),
        at_ns: 9,
    };
    let guarded = stored(vec![firing()], Some(said)).await;
    let page = guarded.get("/keys/pumps/pump-17", Scope::Read).await.text().await.unwrap();
    assert!(page.contains("/api/v1/alerts/gone/feedback") && page.contains("test run"), "{page}");
    let (status, kept) = say(&guarded, "gone", "undone").await;
    assert_eq!((status, &kept["acts"], &kept["key"]), (201, &true.into(), &"pump-17".into()), "{kept}");
    assert_eq!(say(&guarded, "never", "undone").await.0, 404);
}

#[tokio::test]
async fn what_the_engine_has_forgotten_or_cannot_find_is_said_not_to_act() {
    let acts = |rows: Vec<AlertRow>| async move {
        let (status, kept) = say(&stored(rows, None).await, "a1", "expected").await;
        assert_eq!(status, 201, "{kept}");
        let why = kept["why"].as_str().unwrap_or_default().to_owned();
        assert_eq!(kept["acts"] == true, why.is_empty(), "{kept}");
        why
    };
    let later = |n: i64| {
        let mut row = firing();
        row.alert.decision.id = format!("later-{n}");
        row.alert.decision.onset.0 += n;
        row
    };
    let with = |n: usize| (0..=n as i64).map(|n| if n == 0 { firing() } else { later(n) }).collect();
    assert_eq!(acts(with(UNSAID_MAX - 1)).await, "");
    assert!(acts(with(UNSAID_MAX)).await.contains("16 alerts after it"));
    let changed = |change: fn(&mut crate::types::Decision)| {
        let mut row = firing();
        change(&mut row.alert.decision);
        vec![row]
    };
    assert!(acts(changed(|of| of.key = "pump-\u{fffd}".into())).await.contains("no UTF-8"));
    let old = acts(changed(|of| of.onset.0 -= crate::types::LASTS_NS + 86_400_000_000_000)).await;
    assert!(old.contains("older than thirty days"), "{old}");
    let inside = acts(changed(|of| {
        let crate::types::About::Window(window) = &mut of.about else { unreachable!() };
        window.columns.iter_mut().for_each(|column| column.value = Some(column.expected));
    }));
    assert!(inside.await.contains("nothing to tolerate"));
}

#[tokio::test]
async fn a_link_takes_ten_words_a_minute_and_what_was_said_is_not_written_again() {
    let guarded = heard().await;
    let id = guarded.alert().await;
    let link =
        format!("/feedback/{id}?{}", link_query(guarded.served.state.parts.access.key(), &id, u64::MAX));
    let mut answers = Vec::new();
    // A minute may end in between.
    for i in 0..21 {
        let request = guarded.request(Method::POST, &link);
        let request = request.header("content-type", "application/x-www-form-urlencoded");
        let word = if i < 4 { "verdict=real&reason=bearing" } else { "verdict=expected" };
        answers.push(request.body(word).send().await.unwrap().status().as_u16());
    }
    assert!(answers.contains(&429) && answers[..10] == [200; 10], "{answers:?}");
    let labels = std::fs::read_to_string(guarded.folder.path().join("access/feedback.jsonl")).unwrap();
    assert_eq!(labels.lines().count(), 2, "{labels}");
    let audit = guarded.json("/api/v1/audit?limit=500", Scope::Admin).await;
    let noted = audit["rows"].as_array().unwrap().len();
    assert_eq!(
        noted,
        answers.iter().filter(|status| **status == 200).count(),
        "what is refused is not noted"
    );
    assert_eq!(guarded.request(Method::GET, &link).send().await.unwrap().status(), 200, "to look is free");
}
