//! The description of the API is the API: every way is in it, nothing else is, and answers are as it says.

use std::collections::BTreeSet;

use super::super::ways::{Rule, ways};
use super::schema::wrong;
use super::*;
use crate::access::Scope;

/// As it stands beside the code, which is what the binary serves.
pub fn description() -> Value {
    serde_json::from_str(
        &std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/src/dashboard/openapi.json")).unwrap(),
    )
    .expect("the description is JSON")
}

/// What a browser uses and no program: forms and parts of the page.
const NOT_DESCRIBED: [&str; 14] = [
    "/",
    "/fragment/{name}",
    "/assets/{file}",
    "/login",
    "/logout",
    "/feedback/{id}",
    "/streams",
    "/keys",
    "/keys/{stream}/{*key}",
    "/alerts",
    "/alerts/{id}",
    "/receivers",
    "/model",
    "/api/v1/openapi.json",
];

#[test]
fn every_way_is_described_with_its_scope_and_no_other() {
    let description = description();
    assert_eq!(description["openapi"], "3.1.0");
    let paths = description["paths"].as_object().unwrap();
    let described: BTreeSet<String> = paths
        .iter()
        .flat_map(|(path, item)| {
            let methods = item.as_object().unwrap().iter().filter(|(method, _)| *method != "parameters");
            methods.map(move |(method, operation)| {
                let scope = operation["x-scope"].as_str().unwrap_or("none");
                format!("{} {path} {scope}", method.to_uppercase())
            })
        })
        .collect();
    let served: BTreeSet<String> = ways()
        .iter()
        .filter(|way| !NOT_DESCRIBED.contains(&way.path))
        .map(|way| {
            let scope = match way.rule {
                Rule::Needs(scope) => scope.as_str(),
                Rule::Open | Rule::Anyone | Rule::Link => "none",
            };
            format!("{} {} {scope}", way.method, way.path)
        })
        .collect();
    assert_eq!(described, served);
}

#[test]
fn every_operation_says_what_it_is_and_how_it_refuses() {
    let mut ids = BTreeSet::new();
    for (path, item) in description()["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let what = format!("{method} {path}");
            assert!(operation["summary"].as_str().is_some_and(|text| !text.is_empty()), "{what}");
            assert!(ids.insert(operation["operationId"].as_str().unwrap().to_owned()), "{what}");
            let answers = operation["responses"].as_object().unwrap();
            if operation["x-scope"] == "none" {
                continue;
            }
            for status in ["401", "403", "429"] {
                assert!(answers.contains_key(status), "{what} says nothing of {status}");
            }
        }
    }
}

/// The schema of a JSON answer.
fn schema<'d>(description: &'d Value, path: &str, method: &str, status: &str) -> &'d Value {
    let mut answer = &description["paths"][path][method]["responses"][status];
    if let Some(name) = answer["$ref"].as_str() {
        answer = description.pointer(name.trim_start_matches('#')).unwrap();
    }
    let content = answer["content"].as_object().unwrap_or_else(|| panic!("{method} {path} {status}"));
    &content.values().next().unwrap()["schema"]
}

/// Everything the answer has, and nothing that is not described.
fn hold(description: &Value, path: &str, status: &str, answer: &Value) {
    hold_of(description, (path, "get", status), answer);
}

pub fn hold_of(description: &Value, (path, method, status): (&str, &str, &str), answer: &Value) {
    let wrong = wrong(description, schema(description, path, method, status), path, answer);
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[tokio::test]
async fn answers_are_as_described() {
    let description = description();
    for scene in [Scene::Trouble, Scene::Calm, Scene::Warming, Scene::Empty, Scene::Recovering] {
        let served = Served::new(scene).await;
        let columns = vec![Some(vec![1.5, 2.5, 2.0]), None, Some(vec![7.0; 3]), Some(vec![0.5; 3])];
        let sample = crate::status::Sample { checksum: "0123456789abcdef".into(), columns };
        served.state.parts.status.models(StreamId(0)).set_sample(Some(sample));
        served.sample().await;
        let alerts = served.json("/api/v1/alerts").await;
        let id = alerts["rows"][0]["alert"]["decision"]["id"].as_str().unwrap_or("none").to_owned();
        for (path, query) in [
            ("/api/v1/status", ""),
            ("/api/v1/latency", ""),
            ("/api/v1/streams", ""),
            ("/api/v1/partitions", ""),
            ("/api/v1/keys", "?stream=pumps"),
            ("/api/v1/series", "?stream=pumps&key=pump-17&limit=50"),
            ("/api/v1/alerts", ""),
            ("/api/v1/alerts", "?seq=1"),
            ("/api/v1/alerts/{id}", ""),
            ("/api/v1/models/sample", "?stream=pumps"),
            ("/api/v1/feedback", ""),
            ("/api/v1/audit", ""),
        ] {
            let response = served.get(&format!("{}{query}", path.replace("{id}", &id))).await;
            let status = response.status().as_u16().to_string();
            let answer = serde_json::from_str(&response.text().await.unwrap()).unwrap();
            hold(&description, path, &status, &answer);
        }
    }
}

#[tokio::test]
async fn what_people_said_and_did_is_as_described() {
    let description = description();
    let guarded = super::feedback::heard().await;
    let id = guarded.alert().await;
    let request = guarded.request(reqwest::Method::POST, &format!("/api/v1/alerts/{id}/feedback"));
    let request = request.bearer_auth(&guarded.tokens[1]).header("content-type", "application/json");
    let said = request.body(r#"{"verdict":"real","reason":"bearing"}"#).send().await.unwrap();
    assert_eq!(said.status(), 201);
    let said: Value = serde_json::from_str(&said.text().await.unwrap()).unwrap();
    hold_of(&description, ("/api/v1/alerts/{id}/feedback", "post", "201"), &said);
    hold(&description, "/api/v1/feedback", "200", &guarded.json("/api/v1/feedback", Scope::Read).await);
    hold(&description, "/api/v1/audit", "200", &guarded.json("/api/v1/audit", Scope::Admin).await);
}

#[tokio::test]
async fn the_description_is_served() {
    let served = Served::new(Scene::Calm).await;
    assert!(served.json("/api/v1/openapi.json").await == description(), "another description is served");
}
