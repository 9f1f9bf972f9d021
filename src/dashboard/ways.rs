//! Every address the page and the API answer at, and who may ask there.
//!
//! This list is what the router is made of and what [`guard`](super::guard) goes by, so nothing can be served without a
//! rule. To add an address: its row here, its description in `openapi.json`, its row in `tests/access.rs` of the page.

use std::sync::LazyLock;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::handler::Handler;
use axum::http::Method;
use axum::middleware::{from_fn, from_fn_with_state};
use axum::routing::{MethodFilter, MethodRouter, on};

use super::{
    AppState, answer, api, assets, audit, feedback, guard, host, keys, live, login, models, openapi, orders,
    page, pages,
};
use crate::access::Scope;

/// No request to the page or the API is longer, bytes.
const BODY_BYTES_MAX: usize = 64 << 10;

/// Who may ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// Anybody, by whatever name of this box.
    Open,
    /// Anybody; while no token is asked for, by a name of this box only.
    Anyone,
    /// Whoever shows the good signature of a link to this alert.
    Link,
    /// Whoever holds a token of this scope or more.
    Needs(Scope),
}

/// A method at an address.
pub struct Way {
    pub method: Method,
    pub path: &'static str,
    pub rule: Rule,
    handler: MethodRouter<AppState>,
}

fn way<T: 'static>(
    method: Method,
    path: &'static str,
    rule: Rule,
    handler: impl Handler<T, AppState>,
) -> Way {
    let filter = MethodFilter::try_from(method.clone()).expect("a method with a name of its own");
    Way { method, path, rule, handler: on(filter, handler) }
}

fn get<T: 'static>(path: &'static str, rule: Rule, handler: impl Handler<T, AppState>) -> Way {
    way(Method::GET, path, rule, handler)
}

fn delete<T: 'static>(path: &'static str, rule: Rule, handler: impl Handler<T, AppState>) -> Way {
    way(Method::DELETE, path, rule, handler)
}

fn post<T: 'static>(path: &'static str, rule: Rule, handler: impl Handler<T, AppState>) -> Way {
    way(Method::POST, path, rule, handler)
}

pub fn ways() -> Vec<Way> {
    use Rule::{Anyone, Link, Open};
    const READ: Rule = Rule::Needs(Scope::Read);
    const FEEDBACK: Rule = Rule::Needs(Scope::Feedback);
    const ADMIN: Rule = Rule::Needs(Scope::Admin);
    vec![
        get("/livez", Open, api::livez),
        get("/readyz", Open, api::readyz),
        get("/assets/{file}", Anyone, assets::asset),
        get("/login", Anyone, login::form),
        post("/login", Anyone, login::log_in),
        post("/logout", Anyone, login::log_out),
        get("/feedback/{id}", Link, feedback::linked_form),
        post("/feedback/{id}", Link, feedback::linked),
        get("/", READ, page::index),
        get("/streams", READ, pages::streams::show),
        get("/keys", READ, pages::keys::show),
        get("/keys/{stream}/{*key}", READ, pages::key::show),
        get("/alerts", READ, pages::alerts::show),
        get("/alerts/{id}", READ, pages::alert::show),
        get("/receivers", READ, pages::receivers::show),
        get("/model", READ, pages::model::show),
        get("/fragment/{name}", READ, page::fragment),
        get("/metrics", READ, api::metrics),
        get("/api/v1/openapi.json", READ, openapi::description),
        get("/api/v1/status", READ, api::status),
        get("/api/v1/latency", READ, api::latency),
        get("/api/v1/streams", READ, api::streams),
        get("/api/v1/partitions", READ, api::partitions),
        get("/api/v1/keys", READ, keys::list),
        get("/api/v1/series", READ, api::series),
        get("/api/v1/chart.svg", READ, api::chart),
        get("/api/v1/alerts", READ, api::alerts),
        get("/api/v1/alerts/{id}", READ, api::alert),
        post("/api/v1/alerts/{id}/acknowledge", FEEDBACK, orders::acknowledge),
        get("/api/v1/silences", READ, orders::silences),
        post("/api/v1/silences", ADMIN, orders::silence),
        delete("/api/v1/silences/{id}", ADMIN, orders::end_silence),
        get("/api/v1/deliveries/failed", READ, orders::failed),
        post("/api/v1/deliveries/replay", ADMIN, orders::replay),
        post("/api/v1/deliveries/retry", ADMIN, orders::retry),
        post("/api/v1/alerts/{id}/feedback", FEEDBACK, feedback::say),
        get("/api/v1/feedback", READ, feedback::list),
        get("/api/v1/labels.csv", READ, feedback::labels),
        get("/api/v1/models", READ, models::list),
        get("/api/v1/models/card", READ, models::card),
        get("/api/v1/models/sample", READ, models::sample),
        get("/api/v1/models/sample.svg", READ, models::sample_chart),
        post("/api/v1/models/rollback", ADMIN, models::roll_back),
        get("/api/v1/live", READ, live::live),
        get("/api/v1/audit", ADMIN, audit::page),
    ]
}

/// What the guard looks up.
static RULES: LazyLock<Vec<(Method, &'static str, Rule)>> =
    LazyLock::new(|| ways().into_iter().map(|way| (way.method, way.path, way.rule)).collect());

/// The rule of a request; `None` if there is no such way. `path` is the router's own, with `{}`.
pub fn rule(method: &Method, path: &str) -> Option<Rule> {
    let method = if method == Method::HEAD { &Method::GET } else { method };
    RULES.iter().find(|(m, p, _)| m == method && *p == path).map(|(.., rule)| *rule)
}

pub fn router(state: AppState) -> Router {
    let routes = ways().into_iter().fold(Router::new(), |router, way| router.route(way.path, way.handler));
    routes
        .fallback(api::not_found)
        .method_not_allowed_fallback(api::not_allowed)
        .layer(from_fn(answer::whole_body))
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .layer(from_fn(answer::as_problem))
        .layer(from_fn_with_state(state.clone(), pages::error::for_people))
        .layer(from_fn_with_state(state.clone(), guard::guard))
        .layer(from_fn(host::security_headers))
        .with_state(state)
}
