//! Every address with every kind of token.

use reqwest::{Method, RequestBuilder, redirect};
use tempfile::TempDir;

use super::super::ways::{Rule, ways};
use super::*;
use crate::access::{Scope, Tokens, folder, link_query};

/// A page that asks for tokens, and one of each scope.
pub struct Guarded {
    pub served: Served,
    pub tokens: [String; 3],
    pub folder: TempDir,
}

impl Guarded {
    pub async fn new(scene: Scene) -> Self {
        Self::with(scene, |_| ()).await
    }

    pub async fn with(scene: Scene, change: impl FnOnce(&mut Parts)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut parts = testing::parts(scene, Clock::start().now_ns());
        parts.access = Arc::new(Access::open(folder.path()).unwrap());
        change(&mut parts);
        let tokens = Tokens::of(&self::folder(folder.path()));
        let tokens = Scope::ALL.map(|scope| tokens.add(scope.as_str(), scope, 1).unwrap());
        let mut served = Served::of(parts).await;
        served.client = Client::builder().redirect(redirect::Policy::none()).build().unwrap();
        Guarded { served, tokens, folder }
    }

    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.served.client.request(method, format!("{}{path}", self.served.base))
    }

    pub async fn get(&self, path: &str, scope: Scope) -> Response {
        self.request(Method::GET, path).bearer_auth(&self.tokens[scope as usize]).send().await.unwrap()
    }

    pub async fn json(&self, path: &str, scope: Scope) -> Value {
        let response = self.get(path, scope).await;
        assert_eq!(response.status(), 200, "{path}");
        serde_json::from_str(&response.text().await.unwrap()).unwrap()
    }

    /// The id of an alert of the scene.
    pub async fn alert(&self) -> String {
        let page = self.json("/api/v1/alerts?limit=1", Scope::Read).await;
        page["rows"][0]["alert"]["decision"]["id"].as_str().unwrap().to_owned()
    }
}

/// Each method and address, and the least scope that is let in; `None`: everybody. Written down once more, so that
/// neither an address without a rule nor a rule that was loosened goes unseen.
const MATRIX: &[(&str, &str, Option<Scope>)] = &[
    ("GET", "/livez", None),
    ("GET", "/readyz", None),
    ("GET", "/assets/{file}", None),
    ("GET", "/login", None),
    ("POST", "/login", None),
    ("POST", "/logout", None),
    ("GET", "/feedback/{id}", None),
    ("POST", "/feedback/{id}", None),
    ("GET", "/", Some(Scope::Read)),
    ("GET", "/streams", Some(Scope::Read)),
    ("GET", "/keys", Some(Scope::Read)),
    ("GET", "/keys/{stream}/{*key}", Some(Scope::Read)),
    ("GET", "/alerts", Some(Scope::Read)),
    ("GET", "/alerts/{id}", Some(Scope::Read)),
    ("GET", "/receivers", Some(Scope::Read)),
    ("GET", "/model", Some(Scope::Read)),
    ("GET", "/fragment/{name}", Some(Scope::Read)),
    ("GET", "/metrics", Some(Scope::Read)),
    ("GET", "/api/v1/openapi.json", Some(Scope::Read)),
    ("GET", "/api/v1/status", Some(Scope::Read)),
    ("GET", "/api/v1/latency", Some(Scope::Read)),
    ("GET", "/api/v1/streams", Some(Scope::Read)),
    ("GET", "/api/v1/partitions", Some(Scope::Read)),
    ("GET", "/api/v1/keys", Some(Scope::Read)),
    ("GET", "/api/v1/series", Some(Scope::Read)),
    ("GET", "/api/v1/chart.svg", Some(Scope::Read)),
    ("GET", "/api/v1/alerts", Some(Scope::Read)),
    ("GET", "/api/v1/alerts/{id}", Some(Scope::Read)),
    ("POST", "/api/v1/alerts/{id}/acknowledge", Some(Scope::Feedback)),
    ("GET", "/api/v1/silences", Some(Scope::Read)),
    ("POST", "/api/v1/silences", Some(Scope::Admin)),
    ("DELETE", "/api/v1/silences/{id}", Some(Scope::Admin)),
    ("GET", "/api/v1/deliveries/failed", Some(Scope::Read)),
    ("POST", "/api/v1/deliveries/replay", Some(Scope::Admin)),
    ("POST", "/api/v1/deliveries/retry", Some(Scope::Admin)),
    ("POST", "/api/v1/alerts/{id}/feedback", Some(Scope::Feedback)),
    ("GET", "/api/v1/feedback", Some(Scope::Read)),
    ("GET", "/api/v1/labels.csv", Some(Scope::Read)),
    ("GET", "/api/v1/models", Some(Scope::Read)),
    ("GET", "/api/v1/models/card", Some(Scope::Read)),
    ("GET", "/api/v1/models/sample", Some(Scope::Read)),
    ("GET", "/api/v1/models/sample.svg", Some(Scope::Read)),
    ("POST", "/api/v1/models/rollback", Some(Scope::Admin)),
    ("GET", "/api/v1/live", Some(Scope::Read)),
    ("GET", "/api/v1/audit", Some(Scope::Admin)),
];

#[test]
fn every_way_is_in_the_matrix_and_no_other() {
    let listed: Vec<_> = ways()
        .iter()
        .map(|way| {
            let least = match way.rule {
                Rule::Needs(scope) => Some(scope),
                Rule::Open | Rule::Anyone | Rule::Link => None,
            };
            (way.method.to_string(), way.path, least)
        })
        .collect();
    let written: Vec<_> =
        MATRIX.iter().map(|&(method, path, least)| (method.to_owned(), path, least)).collect();
    assert_eq!(listed, written);
}

#[tokio::test]
async fn every_way_lets_in_whom_the_matrix_says() {
    let guarded = Guarded::new(Scene::Trouble).await;
    let alert = guarded.alert().await;
    for &(method, path, least) in MATRIX {
        let link = link_query(guarded.served.state.parts.access.key(), &alert, u64::MAX);
        let path = path.replace("{file}", "style.css").replace("{name}", "tables");
        let path =
            path.replace("/feedback/{id}", &format!("/feedback/{alert}?{link}")).replace("{id}", &alert);
        let path = match path.as_str() {
            "/api/v1/live" => "/api/v1/live?topics=health".to_owned(),
            _ => path.replace("rollback", "rollback?stream=pumps"),
        };
        for holder in [None, Some(Scope::Read), Some(Scope::Feedback), Some(Scope::Admin)] {
            let method: Method = method.parse().unwrap();
            let mut request = guarded.request(method.clone(), &path);
            if method == Method::POST {
                // What the addresses themselves ask for beside a token.
                let body = if path.starts_with("/login") { "token=" } else { "verdict=real" };
                let body = if path.starts_with("/api") { r#"{"verdict":"real"}"# } else { body };
                let kind = if path.starts_with("/api") {
                    "application/json"
                } else {
                    "application/x-www-form-urlencoded"
                };
                request = request.header("content-type", kind).body(body);
            }
            if let Some(scope) = holder {
                request = request.bearer_auth(&guarded.tokens[scope as usize]);
            }
            let status = request.send().await.unwrap().status().as_u16();
            let what = format!("{method} {path} as {holder:?}: {status}");
            // The form for a token answers a wrong one with 401 as well.
            let admitted = ![401, 403].contains(&status) || (path == "/login" && method == Method::POST);
            let expected = least.is_none_or(|least| holder.is_some_and(|scope| scope >= least));
            assert_eq!(admitted, expected, "{what}");
            assert_eq!(status == 401 && path != "/login", !expected && holder.is_none(), "{what}");
        }
    }
}

#[tokio::test]
async fn refusals_are_problems_with_a_remedy_and_a_challenge() {
    let guarded = Guarded::new(Scene::Calm).await;
    let stranger = guarded.request(Method::GET, "/api/v1/status").send().await.unwrap();
    assert_eq!(
        (stranger.status().as_u16(), &stranger.headers()["www-authenticate"]),
        (401, &"Bearer realm=\"eddy\"".parse().unwrap())
    );
    assert_eq!(stranger.headers()["content-type"], "application/problem+json");
    let body: Value = serde_json::from_str(&stranger.text().await.unwrap()).unwrap();
    assert_eq!((&body["title"], &body["status"]), (&"Unauthorized".into(), &401.into()));
    assert!(body["remedy"].as_str().unwrap().contains("Authorization: Bearer"), "{body}");
    for _ in 0..10 {
        let wrong = guarded.request(Method::GET, "/metrics").bearer_auth("eddy_guess").send().await.unwrap();
        assert_eq!(wrong.status(), 401);
    }
    let wrong = guarded.request(Method::GET, "/metrics").bearer_auth("eddy_guess").send().await.unwrap();
    assert_eq!(wrong.status(), 429);
    let wait: u64 = wrong.headers()["retry-after"].to_str().unwrap().parse().unwrap();
    assert!((1..=60).contains(&wait));
    assert_eq!(guarded.get("/metrics", Scope::Read).await.status(), 200, "a good token is not held up");
    assert_eq!(guarded.served.state.parts.status.access_refused_total.load(Relaxed), 12);
    // Unknown addresses and methods tell a stranger nothing.
    assert_eq!(guarded.request(Method::GET, "/nothing").send().await.unwrap().status(), 401);
    assert_eq!(guarded.request(Method::DELETE, "/api/v1/status").send().await.unwrap().status(), 401);
    assert_eq!(guarded.get("/nothing", Scope::Read).await.status(), 404);
}

#[tokio::test]
async fn a_browser_logs_in_by_a_cookie_that_no_other_site_can_use() {
    let guarded = Guarded::new(Scene::Calm).await;
    let page =
        guarded.request(Method::GET, "/?key=a").header("accept", "text/html,*/*").send().await.unwrap();
    assert_eq!(page.status(), 303);
    assert_eq!(page.headers()["location"], "/login?next=%2F%3Fkey%3Da");
    let form = |token: &str, next: &str| {
        let body = format!("token={token}&next={next}");
        let kind = "application/x-www-form-urlencoded";
        guarded.request(Method::POST, "/login").header("content-type", kind).body(body).send()
    };
    let wrong = form("eddy_guess", "").await.unwrap();
    assert_eq!((wrong.status().as_u16(), wrong.headers().get("set-cookie")), (401, None));
    assert!(wrong.text().await.unwrap().contains("no token of this Eddy"));
    let right = form(&guarded.tokens[2], "%2F%3Fkey%3Da").await.unwrap();
    assert_eq!((right.status().as_u16(), &right.headers()["location"]), (303, &"/?key=a".parse().unwrap()));
    let set = right.headers()["set-cookie"].to_str().unwrap().to_owned();
    assert!(set.contains("; HttpOnly; SameSite=Strict;") && !set.contains(&guarded.tokens[2]), "{set}");
    assert!(!set.contains("Secure"), "in clear a browser would not send it back");
    let elsewhere = form(&guarded.tokens[2], "%2F%2Fevil.example").await.unwrap();
    assert_eq!(elsewhere.headers()["location"], "/");

    let cookie = set.split(';').next().unwrap();
    let with = |method: Method, path: &str| guarded.request(method, path).header("cookie", cookie);
    assert_eq!(with(Method::GET, "/").send().await.unwrap().status(), 200);
    let session = with(Method::GET, "/login").send().await.unwrap().text().await.unwrap();
    assert!(session.contains("As admin, with the scope admin"), "{session}");
    let roll_back = || with(Method::POST, "/api/v1/models/rollback?stream=pumps");
    assert_eq!(roll_back().send().await.unwrap().status(), 403, "a browser always says where it comes from");
    let foreign = roll_back().header("origin", "https://evil.example").send().await.unwrap();
    assert_eq!(foreign.status(), 403);
    let own = roll_back().header("origin", &guarded.served.base).send().await.unwrap();
    assert_eq!(own.status(), 503, "let in, and nobody there to ask");
    let out = with(Method::POST, "/logout").header("origin", &guarded.served.base).send().await.unwrap();
    assert!(out.headers()["set-cookie"].to_str().unwrap().starts_with("eddy_session=; "));
    Tokens::of(&folder(guarded.folder.path())).revoke("admin").unwrap();
    assert_eq!(
        with(Method::GET, "/api/v1/status").send().await.unwrap().status(),
        401,
        "it ends with its token"
    );
}

#[tokio::test]
async fn whatever_acts_is_noted_before_it_acts() {
    let guarded = Guarded::new(Scene::Calm).await;
    let roll_back = || {
        let request = guarded.request(Method::POST, "/api/v1/models/rollback?stream=pumps");
        request.bearer_auth(&guarded.tokens[2]).send()
    };
    assert_eq!(roll_back().await.unwrap().status(), 503);
    let audit = guarded.json("/api/v1/audit", Scope::Admin).await;
    let row = &audit["rows"][0];
    assert_eq!(
        (&row["who"], &row["what"], &row["from"], &row["status"]),
        (
            &"admin".into(),
            &"POST /api/v1/models/rollback?stream=pumps".into(),
            &"127.0.0.1".into(),
            &503.into()
        )
    );
    assert_eq!(audit["rows"].as_array().unwrap().len(), 1, "who only looks is not noted");
    assert_eq!(guarded.json("/api/v1/audit?limit=1", Scope::Admin).await["next_before"], row["seq"]);
    let before = format!("/api/v1/audit?before={}", row["seq"]);
    assert!(guarded.json(&before, Scope::Admin).await["rows"].as_array().unwrap().is_empty());
    // A disk that takes no line: nothing may be done.
    let file = folder(guarded.folder.path()).join("audit.jsonl");
    std::fs::remove_file(&file).unwrap();
    std::fs::create_dir(&file).unwrap();
    let refused = roll_back().await.unwrap();
    assert_eq!(refused.status(), 503);
    assert!(refused.text().await.unwrap().contains("could not be noted"));
}

#[tokio::test]
async fn without_a_token_this_box_and_only_it_may_do_everything() {
    let served = Served::new(Scene::Calm).await;
    assert_eq!(served.get("/api/v1/status").await.status(), 200);
    let login = served.get("/login").await.text().await.unwrap();
    assert!(login.contains("eddy token add"), "{login}");
    // On an address of the network nobody is let in, even if every token was revoked.
    let folder = tempfile::tempdir().unwrap();
    let mut parts = testing::parts(Scene::Calm, Clock::start().now_ns());
    parts.access = Arc::new(Access::open(folder.path()).unwrap());
    let mut plan = (*parts.plan).clone();
    plan.dashboard.listen = "0.0.0.0:8080".parse().unwrap();
    parts.plan = Arc::new(plan);
    let served = Served::of(parts).await;
    assert_eq!(served.get("/api/v1/status").await.status(), 401);
    assert_eq!(served.get("/readyz").await.status(), 200);
}

#[tokio::test]
async fn a_cookie_stays_on_https_if_that_is_how_browsers_come() {
    for (url, secure) in [("https://eddy.example.com", true), ("http://eddy.example.com", false)] {
        let guarded = Guarded::with(Scene::Calm, |parts| {
            let mut plan = (*parts.plan).clone();
            plan.dashboard.url = Some(url.parse().unwrap());
            parts.plan = Arc::new(plan);
        })
        .await;
        let form = guarded.request(Method::POST, "/login").body(format!("token={}", guarded.tokens[0]));
        let answer = form.header("content-type", "application/x-www-form-urlencoded").send().await.unwrap();
        assert_eq!(answer.headers()["set-cookie"].to_str().unwrap().ends_with("; Secure"), secure, "{url}");
    }
}
