//! Stands before every address: lets in who may ask there, and notes who acts.

use std::net::IpAddr;
use std::sync::atomic::Ordering::Relaxed;

use axum::RequestExt as _;
use axum::extract::{MatchedPath, Path, Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Redirect, Response};

use super::api::{ApiError, Params, blocking};
use super::ways::{self, Rule};
use super::{AppState, feedback, host, login};
use crate::access::{Deed, Denied, Scope, Who};
use crate::connections::Peer;

/// Of an address in the audit log, bytes.
const WHAT_BYTES_MAX: usize = 512;

/// Where a request comes from, for handlers.
#[derive(Clone, Copy, Debug)]
pub struct From(pub IpAddr);

/// What a handler adds to the audit log beside the request's address: put it into the response's extensions.
#[derive(Clone, Debug)]
pub struct Detail(pub String);

pub async fn guard(State(state): State<AppState>, mut request: Request, next: Next) -> Response {
    let matched = request.extensions().get::<MatchedPath>().map(|path| path.as_str().to_owned());
    let known = matched.as_deref().and_then(|path| ways::rule(request.method(), path));
    // What there is not is told to those who may look around.
    let rule = known.unwrap_or(Rule::Needs(Scope::Read));
    if rule == Rule::Open {
        return next.run(request).await;
    }
    let from = peer(&request);
    request.extensions_mut().insert(From(from));
    let who = match admit(&state, &request, rule, from) {
        Ok(who) => who,
        Err(response) => return *response,
    };
    if let Some(who) = &who {
        request.extensions_mut().insert(who.clone());
    }
    if rule == Rule::Link
        && let Err(error) = linked(&state, &mut request, from).await
    {
        return error.into_response();
    }
    let acts = !is_safe(request.method()) && known.is_some();
    // Who logs in is not known before the handler has looked, which notes it; to log out changes nothing of Eddy.
    if acts && ![Some(login::PATH), Some(login::OUT)].contains(&matched.as_deref()) {
        let name = who.map_or("link".to_owned(), |who| who.name);
        return noted(&state, name, from, request, next).await;
    }
    next.run(request).await
}

/// Of a connection that is none, as in tests of a router by itself, nobody's.
fn peer(request: &Request) -> IpAddr {
    request.extensions().get::<Peer>().map_or(IpAddr::from([0, 0, 0, 0]), |Peer(address)| address.ip())
}

/// Whether a token is asked for: always on an address of the network, and once there is one.
///
/// # Errors
/// If the tokens cannot be read.
pub fn is_closed(state: &AppState) -> Result<bool, ApiError> {
    let open = state.parts.plan.dashboard.listen.ip().is_loopback();
    let has_tokens = state.parts.access.has_tokens();
    Ok(!open || has_tokens.map_err(|error| unreadable(error.to_string()))?)
}

/// Whether one who was let in to read would be now: a token may be revoked, and a session ends.
pub fn may_read(state: &AppState, headers: &HeaderMap, from: IpAddr) -> bool {
    let known = || state.parts.access.identify(bearer(headers), login::cookie(headers), from, now_s(state));
    is_closed(state).is_ok_and(|closed| !closed || known().is_ok())
}

// Boxed: a response is large, and most requests are let in.
fn admit(
    state: &AppState,
    request: &Request,
    rule: Rule,
    from: IpAddr,
) -> Result<Option<Who>, Box<Response>> {
    let boxed = |error: ApiError| Box::new(error.into_response());
    let closed = is_closed(state).map_err(boxed)?;
    let who = if closed {
        match rule {
            Rule::Needs(scope) => Some(holder(state, request, scope, from)?),
            Rule::Link | Rule::Anyone | Rule::Open => None,
        }
    } else {
        host::of_this_box(state, request).map_err(boxed)?;
        // Whoever is on this box may do everything until there is a token.
        Some(Who { name: "-".to_owned(), scope: Scope::Admin, by_cookie: false })
    };
    let by_cookie = who.as_ref().is_some_and(|who| who.by_cookie);
    if !is_safe(request.method()) && !is_meant(request.headers(), by_cookie) {
        return Err(boxed(ApiError::new(
            StatusCode::FORBIDDEN,
            "this was asked for by a page of another site",
            "open Eddy's own page and do it there; programs send a bearer token and no Origin",
        )));
    }
    Ok(who)
}

/// The signature is looked at before anything is noted: a stranger must not be able to fill the audit log.
async fn linked(state: &AppState, request: &mut Request, from: IpAddr) -> Result<(), ApiError> {
    let id = request.extract_parts::<Path<String>>().await;
    let Path(id) = id.map_err(|error| ApiError::bad(error.to_string(), "follow the link as it was sent"))?;
    let Params(link) = request.extract_parts::<Params<feedback::LinkQuery>>().await?;
    feedback::check_link(state, From(from), &id, &link)?;
    // Nor may whoever was sent an alert.
    let acts = !is_safe(request.method());
    match if acts { state.words.by_link(&id, now_s(state)) } else { 0 } {
        0 => Ok(()),
        wait_s => Err(ApiError::too_often(wait_s)),
    }
}

fn holder(state: &AppState, request: &Request, scope: Scope, from: IpAddr) -> Result<Who, Box<Response>> {
    let (headers, now_s) = (request.headers(), now_s(state));
    let access = &state.parts.access;
    let who = match access.identify(bearer(headers), login::cookie(headers), from, now_s) {
        Ok(who) => who,
        // A browser that shows nothing, or a session that has ended, is asked to log in.
        Err(Denied::Stranger | Denied::Wrong) if bearer(headers).is_none() && wants_page(request) => {
            return Err(Box::new(Redirect::to(&login::address(request.uri())).into_response()));
        }
        Err(denied) => return Err(Box::new(refusal(state, denied).into_response())),
    };
    if who.scope < scope {
        let error =
            format!("the token {} has the scope {}, not {}", who.name, who.scope.as_str(), scope.as_str());
        let remedy = format!("use a token made by `eddy token add CONFIG NAME --scope {}`", scope.as_str());
        return Err(Box::new(ApiError::new(StatusCode::FORBIDDEN, error, remedy).into_response()));
    }
    Ok(who)
}

/// How a request that is not let in is answered.
pub fn refusal(state: &AppState, denied: Denied) -> ApiError {
    let remedy = "send `Authorization: Bearer TOKEN`, or log in at /login; `eddy token add` makes one";
    let error = match denied {
        Denied::Stranger => {
            let challenge = HeaderValue::from_static("Bearer realm=\"eddy\"");
            ApiError::new(StatusCode::UNAUTHORIZED, "a token is asked for here", remedy)
                .with(header::WWW_AUTHENTICATE, challenge)
        }
        Denied::Wrong => {
            let challenge = "Bearer realm=\"eddy\", error=\"invalid_token\"";
            ApiError::new(
                StatusCode::UNAUTHORIZED,
                "the token is not one of this Eddy, or was revoked",
                remedy,
            )
            .with(header::WWW_AUTHENTICATE, HeaderValue::from_static(challenge))
        }
        Denied::TooOften(wait_s) => ApiError::too_often(wait_s),
        Denied::Broken(error) => return unreadable(error.to_string()),
    };
    state.parts.status.access_refused_total.fetch_add(1, Relaxed);
    error
}

fn unreadable(error: String) -> ApiError {
    ApiError::new(StatusCode::SERVICE_UNAVAILABLE, error, "nobody is let in before")
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = headers.get(header::AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

fn wants_page(request: &Request) -> bool {
    let accept = request.headers().get(header::ACCEPT).and_then(|value| value.to_str().ok());
    request.method() == Method::GET && accept.is_some_and(|accept| accept.contains("text/html"))
}

/// RFC 9110, section 9.2.1: asking changes nothing.
fn is_safe(method: &Method) -> bool {
    [Method::GET, Method::HEAD, Method::OPTIONS].contains(method)
}

/// A browser says where a request comes from, and a page of another site cannot make it say otherwise. A program
/// says nothing; but a cookie comes only from a browser, which then must say it.
fn is_meant(headers: &HeaderMap, by_cookie: bool) -> bool {
    let text = |name: &str| headers.get(name).map(|value| value.to_str().unwrap_or("?"));
    let (site, origin) = (text("sec-fetch-site"), text("origin"));
    match (site, origin) {
        (Some(site), _) => matches!(site, "same-origin" | "none"),
        (None, Some(origin)) => {
            let authority = origin.split_once("://").map(|(_, authority)| authority);
            authority.is_some() && authority == text("host")
        }
        (None, None) => !by_cookie,
    }
}

/// Acts, with a line in the audit log before and after.
async fn noted(state: &AppState, who: String, from: IpAddr, request: Request, next: Next) -> Response {
    let at_ns = state.parts.clock.now_ns();
    let deed = Deed { at_ns, who, from: Some(from), what: what(request.method(), request.uri()) };
    let access = state.parts.access.clone();
    let begun = blocking(move || access.audit().begin(&deed).map_err(not_noted)).await;
    let seq = match begun {
        Ok(seq) => seq,
        Err(error) => return error.into_response(),
    };
    let mut response = next.run(request).await;
    let detail = response.extensions_mut().remove::<Detail>().map(|Detail(text)| text);
    let (access, status) = (state.parts.access.clone(), response.status().as_u16());
    let ended = blocking(move || access.audit().end(seq, status, detail).map_err(not_noted)).await;
    if let Err(error) = ended {
        tracing::error!(?error, seq, "how a request ended is not in the audit log");
    }
    response
}

pub fn not_noted(error: crate::access::AccessError) -> ApiError {
    let remedy = "it was not done, because it could not be noted in the audit log; free disk space";
    ApiError::new(StatusCode::SERVICE_UNAVAILABLE, error.to_string(), remedy)
}

/// Method and address, without the signature of a link: it lets its holder act.
fn what(method: &Method, uri: &Uri) -> String {
    let query = uri.query().unwrap_or_default();
    let kept: Vec<&str> =
        query.split('&').filter(|part| !part.is_empty() && !part.starts_with("sig=")).collect();
    let mark = if kept.is_empty() { "" } else { "?" };
    let mut what = format!("{method} {}{mark}{}", uri.path(), kept.join("&"));
    // A path may hold UTF-8 as it is.
    let end = (0..=WHAT_BYTES_MAX.min(what.len())).rev().find(|&end| what.is_char_boundary(end));
    what.truncate(end.unwrap_or_default());
    what
}

/// Unix time.
pub fn now_s(state: &AppState) -> u64 {
    (state.parts.clock.now_ns() / 1_000_000_000).max(0) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(given: &[(&'static str, &'static str)]) -> HeaderMap {
        given.iter().map(|&(name, value)| (name.parse().unwrap(), HeaderValue::from_static(value))).collect()
    }

    #[test]
    fn what_another_site_asks_for_is_not_meant() {
        let host = ("host", "eddy.example.com:8080");
        for (given, by_cookie, meant) in [
            (vec![host], false, true),
            (vec![host], true, false),
            (vec![host, ("origin", "http://eddy.example.com:8080")], true, true),
            (vec![host, ("origin", "https://evil.example")], false, false),
            (vec![host, ("origin", "null")], true, false),
            (vec![host, ("origin", "null"), ("sec-fetch-site", "same-origin")], true, true),
            (vec![host, ("sec-fetch-site", "none")], true, true),
            (vec![host, ("sec-fetch-site", "cross-site")], false, false),
            (vec![host, ("sec-fetch-site", "same-site")], true, false),
        ] {
            assert_eq!(is_meant(&headers(&given), by_cookie), meant, "{given:?} {by_cookie}");
        }
    }

    #[test]
    fn a_signature_is_not_noted() {
        let uri = "/feedback/a1?until=5&sig=secret".parse().unwrap();
        assert_eq!(what(&Method::POST, &uri), "POST /feedback/a1?until=5");
        let uri = format!("/a?q={}", "x".repeat(2_000)).parse().unwrap();
        assert_eq!(what(&Method::POST, &uri).len(), WHAT_BYTES_MAX);
        let uri = Uri::try_from(format!("/{}éé", "x".repeat(WHAT_BYTES_MAX - 7)).into_bytes()).unwrap();
        assert_eq!(what(&Method::POST, &uri).len(), WHAT_BYTES_MAX - 1, "cut before a character");
    }
}
