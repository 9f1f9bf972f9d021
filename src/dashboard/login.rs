//! Logging in by a browser: a token typed into a form becomes a cookie.

use askama::Template;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, Uri, header};
use axum::response::{Html, IntoResponse, Redirect, Response};
use axum::{Extension, Form};
use serde::Deserialize;

use super::api::{Answer, ApiError, Params, blocking};
use super::guard::{From, is_closed, not_noted, now_s, refusal};
use super::{AppState, assets};
use crate::access::{Deed, Denied, SESSION_S};

pub const PATH: &str = "/login";
pub const OUT: &str = "/logout";
const COOKIE: &str = "eddy_session";

#[derive(Template)]
#[template(path = "login.html")]
struct LoginPage<'a> {
    deployment: &'a str,
    assets: String,
    next: &'a str,
    refused: Option<&'a str>,
    /// Name and scope of who is logged in.
    who: Option<(String, &'static str)>,
    /// While nobody is asked for a token.
    open: bool,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct LoginQuery {
    next: String,
}

/// `GET /login`
pub async fn form(
    State(state): State<AppState>,
    Extension(From(from)): Extension<From>,
    Params(query): Params<LoginQuery>,
    headers: HeaderMap,
) -> Answer {
    let open = !is_closed(&state)?;
    let who = cookie(&headers).and_then(|cookie| {
        let found = state.parts.access.identify(None, Some(cookie), from, now_s(&state));
        found.ok().map(|who| (who.name, who.scope.as_str()))
    });
    page(StatusCode::OK, LoginPage { who, open, ..empty(&state, local(&query.next)) })
}

#[derive(Debug, Deserialize)]
pub struct Typed {
    token: String,
    #[serde(default)]
    next: String,
}

/// `POST /login`
pub async fn log_in(
    State(state): State<AppState>,
    Extension(From(from)): Extension<From>,
    Form(typed): Form<Typed>,
) -> Answer {
    let next = local(&typed.next);
    let (who, session) = match state.parts.access.log_in(&typed.token, from, now_s(&state)) {
        Ok(found) => found,
        Err(denied @ (Denied::Wrong | Denied::Stranger)) => {
            drop(refusal(&state, denied));
            let refused = Some("This is no token of this Eddy, or it was revoked.");
            let page_of = LoginPage { refused, ..empty(&state, next) };
            return page(StatusCode::UNAUTHORIZED, page_of);
        }
        Err(denied) => return Err(refusal(&state, denied)),
    };
    let deed = Deed {
        at_ns: state.parts.clock.now_ns(),
        who: who.name,
        from: Some(from),
        what: format!("POST {PATH}"),
    };
    let access = state.parts.access.clone();
    blocking(move || {
        let seq = access.audit().begin(&deed).map_err(not_noted)?;
        access.audit().end(seq, StatusCode::SEE_OTHER.as_u16(), None).map_err(not_noted)
    })
    .await?;
    Ok(with_cookie(&state, &session, SESSION_S, next))
}

/// `POST /logout`: this browser forgets its session. Revoking the token ends it everywhere.
pub async fn log_out(State(state): State<AppState>) -> Response {
    with_cookie(&state, "", 0, PATH)
}

fn with_cookie(state: &AppState, value: &str, age_s: u64, next: &str) -> Response {
    let plan = &state.parts.plan.dashboard;
    // A proxy in front may speak TLS for Eddy; then browsers reach it by `url`.
    let is_https = plan.tls.is_some() || plan.url.as_ref().is_some_and(|url| url.scheme() == "https");
    let secure = if is_https { "; Secure" } else { "" };
    let cookie = format!("{COOKIE}={value}; Path=/; HttpOnly; SameSite=Strict; Max-Age={age_s}{secure}");
    let mut response = Redirect::to(next).into_response();
    if let Ok(cookie) = HeaderValue::from_str(&cookie) {
        response.headers_mut().insert(header::SET_COOKIE, cookie);
    }
    response
}

/// The session a browser shows.
pub fn cookie(headers: &HeaderMap) -> Option<&str> {
    let all = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    let mut pairs = all.flat_map(|text| text.split(';')).filter_map(|pair| pair.trim().split_once('='));
    pairs.find(|(name, _)| *name == COOKIE).map(|(_, value)| value)
}

/// Where to log in to see `uri`.
pub fn address(uri: &Uri) -> String {
    let wanted = uri.path_and_query().map_or("/", |wanted| wanted.as_str());
    let next: String = url::form_urlencoded::byte_serialize(wanted.as_bytes()).collect();
    format!("{PATH}?next={next}")
}

/// A path of this page: a link to the form must not lead elsewhere.
fn local(next: &str) -> &str {
    let fits = next.starts_with('/')
        && !next[1..].starts_with(['/', '\\'])
        && next.bytes().all(|byte| byte.is_ascii_graphic());
    if fits { next } else { "/" }
}

fn empty<'a>(state: &'a AppState, next: &'a str) -> LoginPage<'a> {
    let deployment = state.parts.plan.deployment.as_str();
    LoginPage { deployment, assets: assets::version(), next, refused: None, who: None, open: false }
}

fn page(status: StatusCode, page: LoginPage<'_>) -> Answer {
    let html = page.render().map_err(|error| ApiError::internal(error, "send a bearer token instead"))?;
    Ok((status, Html(html)).into_response())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logging_in_leads_to_this_page_only() {
        for (next, goes) in [
            ("/?key=pumps%2Fa", "/?key=pumps%2Fa"),
            ("", "/"),
            ("https://evil.example", "/"),
            ("//evil.example", "/"),
            ("/\\evil.example", "/"),
            ("/a\r\nSet-Cookie: x", "/"),
            ("/", "/"),
        ] {
            assert_eq!(local(next), goes, "{next:?}");
        }
        assert_eq!(address(&"/?key=a%20b".parse().unwrap()), "/login?next=%2F%3Fkey%3Da%2520b");
    }
}
